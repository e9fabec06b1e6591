//! What doce remembers: the only crate with SQL.
//!
//! [`Store::read`] gives a [`Reader`], [`Store::write`] a [`Tx`]; each noun's module has its queries.
//! A write needs a `Tx`, and a `Tx` needs a [`Ctx`], so no write is anonymous; its audit event goes into the same
//! transaction. A transaction holds nothing but SQL: no process, network or file work happens while one is open.
//! What is sealed stays sealed here: this crate stores opaque bytes and can't open them.

use std::{collections::BTreeSet, str::FromStr, time::Duration};

use doce_model::{AuditEvent, Ctx, Ms};
use sqlx::{
    Any, AnyConnection, Transaction,
    any::{AnyPoolOptions, AnyRow},
    pool::PoolConnection,
};

mod schema;

pub use schema::known_version;

pub mod audit;
pub mod connection;
pub mod conversation;
pub mod custom_provider;
pub mod delivery;
pub mod imported;
pub mod instance;
pub mod job;
pub mod model_preference;
pub mod project;
pub mod sealed;
pub mod setting;
pub mod usage;
pub mod user;

/// How long a write waits for the one before it.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections that only read.
pub const READERS: u32 = 4;

/// Why the database can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be opened or created.
    #[error("open the database `{path}`")]
    Connect {
        /// Where it is.
        path: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// It is damaged. It is left as it is.
    #[error("read the database `{path}`: it is damaged ({report}); restore a backup, nothing was changed")]
    Damaged {
        /// Where it is.
        path: String,
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

impl StoreError {
    /// Tells whether a uniqueness rule refused the write.
    pub fn is_taken(&self) -> bool {
        match self {
            Self::Query(sqlx::Error::Database(e)) => e.is_unique_violation(),
            Self::Query(_) | Self::Inconsistent { .. } => false,
        }
    }
}

/// The database: one connection that writes, some that read.
#[derive(Debug, Clone)]
pub struct Store {
    writer: sqlx::AnyPool,
    readers: sqlx::AnyPool,
}

impl Store {
    /// Opens the SQLite database at `path`, makes it if it isn't there, and brings it to the present schema.
    ///
    /// The caller holds the data directory's lock: no other process may have it open.
    pub async fn open(path: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let connect = |source| OpenError::Connect { path: path.to_owned(), source };
        let url = format!("sqlite://{path}?mode=rwc");
        let writer = AnyPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|connection, _| Box::pin(async move { tune(connection).await }))
            .connect(&url)
            .await
            .map_err(connect)?;
        {
            let mut connection = writer.acquire().await.map_err(connect)?;
            let report: String = sqlx::query_scalar("PRAGMA quick_check(1)")
                .fetch_one(&mut *connection)
                .await
                .map_err(|e| OpenError::Damaged { path: path.to_owned(), report: e.to_string() })?;
            if report != "ok" {
                return Err(OpenError::Damaged { path: path.to_owned(), report });
            }
            schema::migrate(&mut connection).await?;
        }
        let readers = AnyPoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .after_connect(|connection, _| Box::pin(async move { tune(connection).await }))
            .connect(&url)
            .await
            .map_err(connect)?;
        Ok(Self { writer, readers })
    }

    /// Opens the SQLite database at `path` to read it, whether or not a server has it open. Nothing is changed.
    pub async fn open_to_read(path: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let connect = |source| OpenError::Connect { path: path.to_owned(), source };
        let pool = || {
            AnyPoolOptions::new()
                .max_connections(1)
                .after_connect(|connection, _| {
                    Box::pin(async move {
                        sqlx::query("PRAGMA busy_timeout = 10000").execute(&mut *connection).await?;
                        sqlx::query("PRAGMA query_only = ON").execute(&mut *connection).await?;
                        Ok(())
                    })
                })
                .connect_lazy(&format!("sqlite://{path}?mode=ro"))
        };
        let (writer, readers) = (pool().map_err(connect)?, pool().map_err(connect)?);
        let mut connection = readers.acquire().await.map_err(connect)?;
        schema::check(&mut connection).await?;
        drop(connection);
        Ok(Self { writer, readers })
    }

    /// Writes a copy of the database as it is at one moment to `path`, where nothing may be yet. Others go on meanwhile.
    pub async fn copy_to(&self, path: &str) -> Result<(), StoreError> {
        let mut reader = self.read().await?;
        // A connection that only reads refuses this, too, although it writes nothing here (SQLite 3.51, observed).
        sqlx::query("PRAGMA query_only = OFF").execute(reader.connection()).await?;
        let copied = sqlx::query("VACUUM INTO $1").bind(path).execute(reader.connection()).await;
        sqlx::query("PRAGMA query_only = ON").execute(reader.connection()).await?;
        copied?;
        Ok(())
    }

    /// Begins a transaction that may write. Dropped without [`Tx::commit`], it leaves nothing behind.
    pub async fn write(&self, ctx: &Ctx) -> Result<Tx, StoreError> {
        // IMMEDIATE: a transaction that begins by reading and then writes would fail with BUSY_SNAPSHOT whenever
        // another process's write came between, and waiting does not help there (SQLite 3.51, observed).
        let inner = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Tx { inner, ctx: ctx.clone() })
    }

    /// Borrows a connection that reads.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        Ok(Reader { inner: self.readers.acquire().await? })
    }

    /// Closes every connection, so that the write-ahead log is folded into the database.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Sets what SQLite doesn't remember from one connection to the next.
async fn tune(connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // synchronous=FULL: rows mirror processes and prompts with outside effects; NORMAL may lose the last commits
    // at a power cut. secure_delete: a retired credential's pages are overwritten.
    for pragma in [
        "PRAGMA busy_timeout = 10000",
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA secure_delete = ON",
        "PRAGMA journal_size_limit = 67108864",
    ] {
        sqlx::query(pragma).execute(&mut *connection).await?;
    }
    Ok(())
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
        Ok(self.inner.commit().await?)
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
