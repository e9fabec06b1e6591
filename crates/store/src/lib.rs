//! What doce remembers: the only crate with SQL.
//!
//! [`Store::read`] gives a [`Reader`], [`Store::write`] a [`Tx`]; each noun's module has its queries.
//! A write needs a `Tx`, and a `Tx` needs a [`Ctx`], so no write is anonymous; its audit event goes into the same
//! transaction. A transaction holds nothing but SQL: no process, network or file work happens while one is open.
//! What is sealed stays sealed here: this crate stores opaque bytes and can't open them.

use std::{
    collections::BTreeSet,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use doce_model::{AuditEvent, Ctx, Ms};
use sqlx::{
    Any, AnyConnection, Connection as _, Executor as _, Transaction,
    any::{AnyPoolOptions, AnyRow},
    pool::PoolConnection,
};

mod database;
mod schema;

pub use schema::known_version;

pub mod api_token;
pub mod audit;
pub mod census;
pub mod connection;
pub mod conversation;
pub mod custom_provider;
pub mod delivery;
pub mod imported;
pub mod instance;
pub mod invite;
pub mod job;
pub mod model_preference;
pub mod project;
pub mod sealed;
pub mod setting;
mod transfer;
mod trouble;
pub mod usage;
pub mod user;

pub use database::{Database, NotPostgresUrl, PostgresUrl};
pub use transfer::FillError;
pub use trouble::{Trouble, Words};

use database::Dialect;

/// How long a write waits for the one before it.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a commit that doesn't wait for the disk may go without it.
pub const SYNC_WITHIN: Duration = Duration::from_secs(1);
/// Connections that only read.
pub const READERS: u32 = 4;
/// How long a query waits for a connection to a PostgreSQL server that doesn't answer. A server of ours that is only
/// busy answers well before.
pub const REACH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a start waits for the server before it to let go of a PostgreSQL database.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// The advisory lock of a PostgreSQL database that a server holds: the letters `doce` and a number.
const LOCK: i64 = 0x646f_6365_0000_0001;
/// The advisory lock of whoever is about to take the other one.
const DOOR: i64 = 0x646f_6365_0000_0002;

/// Why the database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It can't be reached, opened or created.
    #[error("open the database `{database}`")]
    Connect {
        /// Where it is.
        database: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The disk is full, or can't be written.
    #[error("write the database `{database}`: the disk is full, or can't be written; nothing was changed")]
    Full {
        /// Where it is.
        database: String,
    },
    /// Another program, which isn't a doce, holds it.
    #[error("open the database `{database}`: another program has locked it; nothing was changed")]
    Locked {
        /// Where it is.
        database: String,
    },
    /// Another server has it open.
    #[error("open the database `{database}`: another doce is using it")]
    InUse {
        /// Where it is.
        database: String,
    },
    /// It is damaged. It is left as it is.
    #[error("read the database `{database}`: it is damaged ({report}); restore a backup, nothing was changed")]
    Damaged {
        /// Where it is.
        database: String,
        /// What the check said.
        report: String,
    },
    /// A newer program wrote it.
    #[error(
        "read the database: its schema is version {found}, this program knows up to {known}; install the newer doce"
    )]
    Newer {
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// An older program wrote it, and it is opened to be read only.
    #[error("read the database: its schema is version {found}, this program reads {known}; start `doce serve` once")]
    Older {
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A migration failed.
    #[error("bring the database to the present schema")]
    Migrate(#[source] sqlx::Error),
}

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("query the database")]
    Query(#[from] sqlx::Error),
    /// The server of a PostgreSQL database gave no connection in time.
    #[error("reach the database")]
    Unreachable(#[source] sqlx::Error),
    /// A row says something that no version of doce writes.
    #[error("read `{column}` of `{table}`: the row says `{value}`")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What stood there.
        value: String,
    },
}

impl OpenError {
    /// Says in its words what a query's failure tells of, if it is one of the known troubles.
    fn of(database: &Database, error: sqlx::Error, otherwise: impl FnOnce(sqlx::Error) -> Self) -> Self {
        let name = database.to_string();
        match trouble::of(&error) {
            Some(Trouble::DiskFull) => Self::Full { database: name },
            Some(Trouble::Locked) => Self::Locked { database: name },
            Some(Trouble::Damaged) => Self::Damaged { database: name, report: error.to_string() },
            Some(Trouble::Unreachable) => Self::Connect { database: name, source: error },
            None => otherwise(error),
        }
    }

    /// Names the trouble that kept the schema from being read or brought up to date, if it is one of the known ones.
    fn in_words_of(self, database: &Database) -> Self {
        if let Self::Migrate(source) = self { Self::of(database, source, Self::Migrate) } else { self }
    }
}

impl StoreError {
    /// Tells whether the failure is one of the known troubles of a database.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Query(error) => trouble::of(error),
            Self::Unreachable(_) => Some(Trouble::Unreachable),
            Self::Inconsistent { .. } => None,
        }
    }

    /// Tells whether a uniqueness rule refused the write.
    pub fn is_taken(&self) -> bool {
        match self {
            Self::Query(sqlx::Error::Database(e)) => e.is_unique_violation(),
            Self::Query(_) | Self::Unreachable(_) | Self::Inconsistent { .. } => false,
        }
    }
}

/// The database: one connection that writes, some that read.
#[derive(Debug, Clone)]
pub struct Store {
    writer: sqlx::AnyPool,
    readers: sqlx::AnyPool,
    dialect: Dialect,
    /// Whether what didn't wait for the disk is about to be brought there.
    to_sync: Arc<AtomicBool>,
}

impl Store {
    /// Opens the database and brings it to the present schema. A file of SQLite is made if it isn't there.
    ///
    /// The caller holds the data directory's lock: no other process may have its file open. A PostgreSQL database has
    /// a lock of its own, which the store holds as long as it is open.
    pub async fn open(database: &Database) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let connect = |source| OpenError::Connect { database: database.to_string(), source };
        let dialect = database.dialect();
        if let Database::Sqlite(path) = database {
            check_file(path, database).await?;
        }
        let (url, door) = match database {
            Database::Sqlite(path) => (format!("sqlite://{path}?mode=rwc"), None),
            Database::Postgres(url) => (url.as_str().to_owned(), Some(wait_for_lock(database, url).await?)),
        };
        let writer = AnyPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(dialect.acquire_timeout())
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(dialect.can_lose_connections())
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    tune(connection, dialect).await?;
                    match dialect {
                        Dialect::Sqlite => Ok(()),
                        Dialect::Postgres => lock(connection).await,
                    }
                })
            })
            .connect(&url)
            .await
            .map_err(|e| match (e, dialect) {
                // A server that had lost its connection was faster.
                (sqlx::Error::PoolTimedOut, Dialect::Postgres) => OpenError::InUse { database: database.to_string() },
                (e, _) => connect(e),
            })?;
        if let Some(door) = door {
            door.close().await.map_err(connect)?;
        }
        {
            let mut connection = writer.acquire().await.map_err(connect)?;
            schema::migrate(&mut connection, dialect).await.map_err(|error| error.in_words_of(database))?;
        }
        let readers = AnyPoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .acquire_timeout(dialect.acquire_timeout())
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(dialect.can_lose_connections())
            .after_connect(move |connection, _| Box::pin(tune(connection, dialect)))
            .connect(&url)
            .await
            .map_err(connect)?;
        Ok(Self { writer, readers, dialect, to_sync: Arc::default() })
    }

    /// Opens the database to read it, whether or not a server has it open. Nothing is changed.
    pub async fn open_to_read(database: &Database) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let dialect = database.dialect();
        let connect = |source| {
            let unreachable = |source| OpenError::Connect { database: database.to_string(), source };
            match dialect {
                Dialect::Sqlite => OpenError::of(database, source, unreachable),
                Dialect::Postgres => unreachable(source),
            }
        };
        let (url, settings): (_, &'static [&'static str]) = match database {
            Database::Sqlite(path) => {
                (format!("sqlite://{path}?mode=ro"), &["PRAGMA busy_timeout = 10000", "PRAGMA query_only = ON"])
            }
            Database::Postgres(url) => (url.as_str().to_owned(), &["SET default_transaction_read_only = on"]),
        };
        let pool = || {
            AnyPoolOptions::new()
                .max_connections(1)
                .acquire_timeout(dialect.acquire_timeout())
                .after_connect(move |connection, _| Box::pin(set(connection, settings)))
                .connect_lazy(&url)
        };
        let (writer, readers) = (pool().map_err(connect)?, pool().map_err(connect)?);
        let mut connection = readers.acquire().await.map_err(connect)?;
        schema::check(&mut connection).await.map_err(|error| error.in_words_of(database))?;
        drop(connection);
        Ok(Self { writer, readers, dialect, to_sync: Arc::default() })
    }

    /// Writes a copy of the database as it is at one moment to `path`, a file of SQLite, where nothing may be yet. Others
    /// go on meanwhile.
    pub async fn copy_to(&self, path: &str) -> Result<(), StoreError> {
        if self.dialect == Dialect::Postgres {
            return self.copy_rows_to(path).await;
        }
        let mut reader = self.read().await?;
        // A connection that only reads refuses this, too, although it writes nothing here (SQLite 3.51, observed).
        sqlx::query("PRAGMA query_only = OFF").execute(reader.connection()).await?;
        let copied = sqlx::query("VACUUM INTO $1").bind(path).execute(reader.connection()).await;
        sqlx::query("PRAGMA query_only = ON").execute(reader.connection()).await?;
        copied?;
        Ok(())
    }

    /// Begins a transaction that may write. Dropped without [`Tx::commit`], it leaves nothing behind; committed, it
    /// outlives a power cut.
    pub async fn write(&self, ctx: &Ctx) -> Result<Tx, StoreError> {
        self.begin(ctx, self.dialect.begin()).await
    }

    /// Begins a transaction that may write, and whose commit doesn't wait for the disk: the end of the process can't
    /// undo it, a power cut within [`SYNC_WITHIN`] can. For what is found and done again then.
    pub async fn write_without_sync(&self, ctx: &Ctx) -> Result<Tx, StoreError> {
        let tx = self.begin(ctx, self.dialect.begin_without_sync()).await?;
        // PostgreSQL brings it to the disk by itself, within three times its `wal_writer_delay`.
        let to_sync = (self.dialect == Dialect::Sqlite).then(|| self.clone());
        Ok(Tx { to_sync, ..tx })
    }

    /// Brings what is committed to the disk in a moment, for many commits at once. No transaction waits for it.
    #[expect(clippy::disallowed_methods, reason = "a shutdown needn't wait for it: it closes the store, which syncs")]
    fn sync_soon(self) {
        if self.to_sync.swap(true, Ordering::SeqCst) {
            return;
        }
        tokio::spawn(async move {
            tokio::time::sleep(SYNC_WITHIN).await;
            // Before it begins: what is committed from here on asks anew.
            self.to_sync.store(false, Ordering::SeqCst);
            let synced = async {
                let mut reader = self.readers.acquire().await?;
                // A checkpoint syncs the log first; this kind waits for nobody, and nobody for it.
                reader.execute("PRAGMA wal_checkpoint(PASSIVE)").await
            };
            match synced.await {
                // To close the store brings everything to the disk.
                Ok(_) | Err(sqlx::Error::PoolClosed) => {}
                Err(error) => tracing::warn!(%error, "what was written is not known to be on the disk yet"),
            }
        });
    }

    async fn begin(&self, ctx: &Ctx, begin: &'static str) -> Result<Tx, StoreError> {
        let inner = match self.writer.begin_with(begin).await {
            Ok(inner) => inner,
            // No connection was given at all, or SQLite says what is wrong with its file.
            Err(error @ sqlx::Error::PoolTimedOut) => return Err(self.failed(error)),
            Err(error) if self.dialect == Dialect::Sqlite && trouble::of(&error).is_some() => {
                return Err(self.failed(error));
            }
            Err(error) => {
                // After a full disk SQLite has ended the transaction by itself; its connection goes on counting it
                // and takes no other (sqlx 0.9, observed). Another connection does. And one to a PostgreSQL server may
                // have been cut a moment ago.
                tracing::warn!(error = %error, "a connection takes no transaction: it is replaced");
                // One that is gone can't be closed in order.
                drop(self.writer.acquire().await.map_err(|e| self.failed(e))?.close().await);
                self.writer.begin_with(begin).await.map_err(|e| self.failed(e))?
            }
        };
        Ok(Tx { inner, ctx: ctx.clone(), to_sync: None })
    }

    /// Borrows a connection that reads.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        Ok(Reader { inner: self.readers.acquire().await.map_err(|e| self.failed(e))? })
    }

    /// Says what it means that no connection was given: a file of SQLite is held by somebody, a server is away.
    fn failed(&self, error: sqlx::Error) -> StoreError {
        match (error, self.dialect) {
            (error @ sqlx::Error::PoolTimedOut, Dialect::Postgres) => StoreError::Unreachable(error),
            (error, _) => StoreError::Query(error),
        }
    }

    /// Closes every connection: SQLite folds the write-ahead log into its file, PostgreSQL frees the server's lock.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        tracing::debug!("the database is closed");
    }
}

/// Sets what the database doesn't remember from one connection to the next.
async fn tune(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), sqlx::Error> {
    let settings: &[&'static str] = match dialect {
        // synchronous=FULL: rows mirror processes and prompts with outside effects; NORMAL may lose the last commits
        // at a power cut. secure_delete: a retired credential's pages are overwritten.
        Dialect::Sqlite => &[
            "PRAGMA busy_timeout = 10000",
            "PRAGMA journal_mode = WAL",
            "PRAGMA synchronous = FULL",
            "PRAGMA foreign_keys = ON",
            "PRAGMA secure_delete = ON",
            "PRAGMA journal_size_limit = 67108864",
        ],
        // The log needn't hear that a table is there already.
        Dialect::Postgres => &["SET client_min_messages = warning"],
    };
    set(connection, settings).await
}

async fn set(connection: &mut AnyConnection, settings: &[&'static str]) -> Result<(), sqlx::Error> {
    for setting in settings {
        connection.execute(*setting).await?;
    }
    Ok(())
}

/// Refuses a file that is damaged, locked, or on a full disk, before anything is written to it.
///
/// On a connection of its own: a pool tells none of that, it tries again until its time is over.
async fn check_file(path: &str, database: &Database) -> Result<(), OpenError> {
    let failed = |source| {
        OpenError::of(database, source, |source| OpenError::Connect { database: database.to_string(), source })
    };
    let mut connection = AnyConnection::connect(&format!("sqlite://{path}?mode=rwc")).await.map_err(failed)?;
    tune(&mut connection, Dialect::Sqlite).await.map_err(failed)?;
    let report: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    if report == "ok" { Ok(()) } else { Err(OpenError::Damaged { database: database.to_string(), report }) }
}

/// Takes the lock of a PostgreSQL database, for as long as the connection lives, or fails if another server has it.
///
/// The connection that writes holds it, whenever there is one: a server that lost its connection writes nothing more
/// until it has the lock again. And whoever has the lock is the only one to bring the schema up to date.
async fn lock(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    if try_lock(connection, LOCK).await? {
        Ok(())
    } else {
        Err(sqlx::Error::Configuration("another doce is using the database".into()))
    }
}

async fn try_lock(connection: &mut AnyConnection, lock: i64) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(lock).fetch_one(connection).await
}

/// Waits for the lock of a PostgreSQL database, so that one that is in use is said to be: a pool tells none of that,
/// it tries again until its time is over.
///
/// Until the connection that it returns is closed, nobody else gets this far.
async fn wait_for_lock(database: &Database, url: &PostgresUrl) -> Result<AnyConnection, OpenError> {
    let connect = |source| OpenError::Connect { database: database.to_string(), source };
    let connecting = tokio::time::timeout(REACH_TIMEOUT, AnyConnection::connect(url.as_str()));
    let in_time = connecting.await.unwrap_or_else(|late| Err(std::io::Error::from(late).into()));
    let mut connection = in_time.map_err(connect)?;
    // A server that was killed holds its lock until PostgreSQL notices that it is gone.
    let until = tokio::time::Instant::now() + LOCK_TIMEOUT;
    for lock in [DOOR, LOCK] {
        while !try_lock(&mut connection, lock).await.map_err(connect)? {
            if tokio::time::Instant::now() >= until {
                return Err(OpenError::InUse { database: database.to_string() });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK).execute(&mut connection).await.map_err(connect)?;
    Ok(connection)
}

/// Something that queries can read through: a [`Reader`] or a [`Tx`].
pub trait Read: Send {
    /// Returns the connection.
    fn connection(&mut self) -> &mut AnyConnection;
}

/// A borrowed connection that reads.
pub struct Reader {
    inner: PoolConnection<Any>,
}

impl Read for Reader {
    fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

/// A transaction that may write, and on whose behalf.
pub struct Tx {
    inner: Transaction<'static, Any>,
    ctx: Ctx,
    /// The store, if the commit doesn't wait for the disk.
    to_sync: Option<Store>,
}

impl Read for Tx {
    fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

impl Tx {
    /// Returns the present moment.
    pub fn now(&self) -> Ms {
        self.ctx.now()
    }

    /// Writes an audit event for what this transaction does.
    pub async fn audit(&mut self, event: AuditEvent) -> Result<(), StoreError> {
        let entry = audit::Entry::of(&self.ctx, event);
        audit::append(&mut self.inner, entry).await
    }

    /// Makes the transaction's writes last.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner.commit().await?;
        if let Some(store) = self.to_sync {
            store.sync_soon();
        }
        Ok(())
    }
}

/// Reads a column as `T`, through its text.
fn parse<T: FromStr>(table: &'static str, column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Inconsistent { table, column, value: text.chars().take(80).collect() })
}

/// Reads a column that may be NULL as `T`, through its text.
fn parse_opt<T: FromStr>(
    table: &'static str,
    column: &'static str,
    text: Option<&str>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| parse(table, column, text)).transpose()
}

/// Writes a text as both databases take it: PostgreSQL has no place for the character NUL, and what programs print may
/// hold one.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Values that one query may have: below the least that a database of ours allows.
const VALUES_MAX: usize = 500;

/// Writes ids as one query after the other takes them.
fn chunks<T: ToString>(ids: &BTreeSet<T>) -> Vec<Vec<String>> {
    let all: Vec<String> = ids.iter().map(ToString::to_string).collect();
    all.chunks(VALUES_MAX).map(<[String]>::to_vec).collect()
}

/// Writes `count` parameters in a row, from `first` on.
fn places(first: usize, count: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// Reads a column by name.
fn get<'r, T>(row: &'r AnyRow, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Any> + sqlx::Type<Any>,
{
    use sqlx::Row as _;
    Ok(row.try_get(column)?)
}
