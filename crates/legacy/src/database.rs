//! doce.dev's database: copied, and the copy read as it is.
//!
//! The SQL of this crate speaks to an old database only, and only reads. A table is read row by row: one that breaks
//! off gives what comes before the break, and what can be reached from its other end.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{File, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use futures::TryStreamExt as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, Sqlite, SqliteConnection, TypeInfo as _,
    ValueRef as _,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use tempfile::TempDir;

use crate::beneath::{Directory, Unusable};

/// The name of the database's file.
pub(crate) const FILE: &str = "db.sqlite";
/// The files of a database in WAL mode.
const FILES: [&str; 3] = [FILE, "db.sqlite-wal", "db.sqlite-shm"];
/// How often copying begins anew because somebody wrote meanwhile.
const COPIES: usize = 3;

/// The tables that are looked at, with the columns that matter where they exist.
const TABLES: [(&str, &[&str]); 8] = [
    ("users", &["id", "created_at", "username", "password_hash"]),
    ("user_settings", &["user_id", "openrouter_api_key", "default_model", "fast_model"]),
    (
        "projects",
        &[
            "id",
            "owner_user_id",
            "created_at",
            "deleted_at",
            "name",
            "slug",
            "prompt",
            "model",
            "status",
            "path_on_disk",
            "current_model",
            "current_model_provider_id",
            "current_model_id",
            "preferred_model",
            "production_status",
            "production_hash",
            // These tell how old the schema is.
            "opencode_port",
            "opencode_error_category",
            "icon",
            "desired_status",
            "description",
        ],
    ),
    ("queue_jobs", &["id", "state"]),
    ("queue_settings", &["paused", "concurrency"]),
    ("instance_settings", &["base_url", "tailscale_auth_key"]),
    ("model_favorites", &["user_id", "provider", "model_id"]),
    ("system_health_snapshots", &[]),
];

/// Why the database can't be copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyError {
    #[error("{0}")]
    Unusable(#[from] Unusable),
    #[error("somebody writes to it: stop doce.dev first")]
    InUse,
    #[error("make a copy of it: {}", crate::beneath::reason(.0))]
    Io(#[from] io::Error),
}

/// A copy of a database. It goes with this value.
#[derive(Debug)]
pub(crate) struct Copied {
    // Secret: keys are in it in clear, so the directory is its owner's alone, and removed.
    directory: TempDir,
}

/// Copies the database in `folder`, with its write-ahead log; `None` if there is none.
pub(crate) fn copy(from: &Directory, folder: &Path) -> Result<Option<Copied>, CopyError> {
    for _ in 0..COPIES {
        let before = stamps(from, folder)?;
        if before[0].is_none() {
            return Ok(None);
        }
        let directory =
            tempfile::Builder::new().prefix("doce-import-").permissions(Permissions::from_mode(0o700)).tempdir()?;
        for (name, stamp) in FILES.iter().zip(&before) {
            if stamp.is_some() {
                let mut source = from.file(&folder.join(name))?;
                io::copy(&mut source, &mut File::create(directory.path().join(name))?)?;
            }
        }
        // Three files that change while they are copied don't fit together.
        if stamps(from, folder)? == before {
            return Ok(Some(Copied { directory }));
        }
    }
    Err(CopyError::InUse)
}

type Stamp = Option<(u64, SystemTime)>;

fn stamps(from: &Directory, folder: &Path) -> Result<[Stamp; 3], CopyError> {
    let mut stamps = [None; 3];
    for (stamp, name) in stamps.iter_mut().zip(FILES) {
        *stamp = match from.file(&folder.join(name)) {
            Ok(file) => {
                let metadata = file.metadata()?;
                Some((metadata.len(), metadata.modified()?))
            }
            Err(Unusable::Absent) => None,
            Err(e) => return Err(e.into()),
        };
    }
    Ok(stamps)
}

/// What a value is, whatever its column was declared as.
#[derive(Clone, PartialEq)]
enum Value {
    Null,
    Integer(i64),
    Text(String),
    /// A number with a fraction, bytes, or text that is not UTF-8.
    Other(&'static str),
}

/// A row, as far as it was asked for.
pub(crate) struct Row {
    pub(crate) number: i64,
    values: HashMap<&'static str, Value>,
}

impl Row {
    /// Returns a text; `None` if there is none. What is no text is the error: the column and what stands there.
    pub(crate) fn text(&self, column: &'static str) -> Result<Option<&str>, String> {
        match self.values.get(column) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) | None => Ok(None),
            Some(Value::Integer(_)) => Err(format!("its `{column}` is a number")),
            Some(Value::Other(what)) => Err(format!("its `{column}` is {what}")),
        }
    }

    /// Returns a text that has to be there.
    pub(crate) fn required(&self, column: &'static str) -> Result<&str, String> {
        match self.text(column)? {
            Some(text) if !text.trim().is_empty() => Ok(text),
            Some(_) | None => Err(format!("it has no `{column}`")),
        }
    }

    /// Returns a number, if one is there.
    pub(crate) fn integer(&self, column: &'static str) -> Option<i64> {
        match self.values.get(column) {
            Some(Value::Integer(number)) => Some(*number),
            Some(Value::Null | Value::Text(_) | Value::Other(_)) | None => None,
        }
    }

    /// Tells whether anything stands in a column.
    pub(crate) fn is_set(&self, column: &'static str) -> bool {
        self.values.get(column).is_some_and(|value| *value != Value::Null)
    }
}

/// A table, as far as it could be read.
#[derive(Default)]
pub(crate) struct Table {
    columns: BTreeSet<String>,
    pub(crate) rows: Vec<Row>,
    /// Why it is not whole.
    pub(crate) broken: Option<String>,
}

/// The tables of a database.
#[derive(Default)]
pub(crate) struct Tables {
    tables: BTreeMap<&'static str, Table>,
}

impl Tables {
    pub(crate) fn has(&self, table: &str) -> bool {
        self.tables.contains_key(table)
    }

    pub(crate) fn has_column(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|table| table.columns.contains(column))
    }

    pub(crate) fn rows(&self, table: &str) -> &[Row] {
        self.tables.get(table).map_or(&[], |table| table.rows.as_slice())
    }

    /// Lists the tables that are not whole, and why.
    pub(crate) fn broken(&self) -> impl Iterator<Item = (&'static str, &str, usize)> {
        self.tables.iter().filter_map(|(name, table)| Some((*name, table.broken.as_deref()?, table.rows.len())))
    }
}

/// Reads the tables of a copy, or says why none can be.
pub(crate) async fn read(copied: &Copied) -> Result<Tables, String> {
    let mut connection = open(copied.directory.path().join(FILE)).await.map_err(|e| said(&e))?;
    let mut tables = Tables::default();
    for (name, wanted) in TABLES {
        let columns = columns(&mut connection, name).await.map_err(|e| said(&e))?;
        if columns.is_empty() {
            continue;
        }
        let mut table = Table { columns, ..Table::default() };
        let present: Vec<&'static str> =
            wanted.iter().copied().filter(|column| table.columns.contains(*column)).collect();
        if !present.is_empty() {
            read_rows(&mut connection, name, &present, &mut table).await;
        }
        tables.tables.insert(name, table);
    }
    // Whatever closing says, everything has been read.
    drop(connection.close().await);
    Ok(tables)
}

async fn open(path: PathBuf) -> Result<SqliteConnection, sqlx::Error> {
    // The copy may have a log to be replayed, which is written into it: that is why it isn't opened read-only.
    SqliteConnectOptions::new()
        .filename(path)
        .pragma("query_only", "1")
        .pragma("trusted_schema", "0")
        .disable_statement_logging()
        .connect()
        .await
}

/// Lists the columns of a table; none if it isn't there, or is something else than a table.
async fn columns(connection: &mut SqliteConnection, table: &str) -> Result<BTreeSet<String>, sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.name FROM sqlite_master t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name = $1",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    Ok(names.into_iter().collect())
}

async fn read_rows(connection: &mut SqliteConnection, name: &'static str, columns: &[&'static str], table: &mut Table) {
    let list = columns.join(", ");
    let mut seen = BTreeSet::new();
    for direction in ["ASC", "DESC"] {
        let sql = format!("SELECT rowid, {list} FROM {name} ORDER BY rowid {direction}");
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *connection);
        loop {
            match rows.try_next().await {
                Ok(Some(row)) => {
                    let Ok(number) = row.try_get::<i64, _>(0) else { continue };
                    if seen.insert(number) {
                        table.rows.push(Row { number, values: values(&row, columns) });
                    }
                }
                Ok(None) => return,
                Err(e) => {
                    // It is read from its end, too: what lies beyond the break may be whole.
                    table.broken = Some(said(&e));
                    break;
                }
            }
        }
    }
}

fn values(row: &SqliteRow, columns: &[&'static str]) -> HashMap<&'static str, Value> {
    columns.iter().enumerate().map(|(index, column)| (*column, value(row, index + 1))).collect()
}

fn value(row: &SqliteRow, index: usize) -> Value {
    let Ok(raw) = row.try_get_raw(index) else { return Value::Other("unreadable") };
    if raw.is_null() {
        return Value::Null;
    }
    let kind = raw.type_info().name().to_owned();
    match kind.as_str() {
        "INTEGER" => <i64 as sqlx::Decode<'_, Sqlite>>::decode(raw).map_or(Value::Other("unreadable"), Value::Integer),
        "TEXT" => <String as sqlx::Decode<'_, Sqlite>>::decode(raw).map_or(Value::Other("no UTF-8"), Value::Text),
        "REAL" => Value::Other("a fraction"),
        _ => Value::Other("bytes"),
    }
}

/// Says what the database answered. SQLite's own words hold nothing of its rows.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        other => other.to_string(),
    }
}
