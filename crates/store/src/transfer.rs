//! Everything from one kind of database into the other: a backup is a file of SQLite, wherever the rows come from.
//!
//! Both have the same tables and columns, made by the same migrations; only these columns' values go over, as they are.
//! Neither side is anything but a database of doce: a stranger's file never comes here.

use futures::TryStreamExt as _;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _, any::AnyRow};

use crate::{Database, OpenError, Store, StoreError, database::Dialect, get, places, schema, storable};

/// What every database has before anything is in it.
const MADE_WITH_THE_TABLES: [&str; 2] = ["schema_version", "audit_head"];

/// Why a database was not filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// Something is in it.
    #[error("fill the database: it is not empty")]
    NotEmpty,
    /// The file can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading or writing failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for FillError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How the values of a column are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Bytes,
}

/// A table, and its columns.
struct Table {
    name: String,
    columns: Vec<(String, Kind)>,
}

impl Table {
    fn select(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        format!("SELECT {} FROM {}", names.join(", "), self.name)
    }

    fn insert(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        format!("INSERT INTO {} ({}) VALUES ({})", self.name, names.join(", "), places(1, names.len()))
    }
}

impl Store {
    /// Tells whether nothing was ever kept here.
    pub async fn is_unused(&self) -> Result<bool, StoreError> {
        let mut reader = self.read().await?;
        is_unused(&mut reader.inner, self.dialect).await
    }

    /// Writes every row of a PostgreSQL database, as they are at one moment, into a file of SQLite that is empty or
    /// isn't there. Others go on meanwhile.
    pub(crate) async fn copy_rows_to(&self, path: &str) -> Result<(), StoreError> {
        let mut file = AnyConnection::connect(&format!("sqlite://{path}?mode=rwc")).await?;
        // A file that is not whole is thrown away: nothing has to outlive a crash, and no row waits for its owner.
        for setting in ["PRAGMA journal_mode = MEMORY", "PRAGMA synchronous = OFF", "PRAGMA foreign_keys = OFF"] {
            file.execute(setting).await?;
        }
        schema::migrate(&mut file, Dialect::Sqlite).await.map_err(|error| match error {
            OpenError::Migrate(error) => StoreError::Query(error),
            other => StoreError::Query(sqlx::Error::Decode(Box::new(other))),
        })?;
        let mut reader = self.read().await?;
        let mut from = reader.inner.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let mut to = file.begin().await?;
        let tables = tables_of_sqlite(&mut to).await?;
        copy(&mut from, &mut to, &tables).await?;
        to.commit().await?;
        from.commit().await?;
        file.close().await?;
        Ok(())
    }

    /// Fills the database, in which nothing is yet, with the rows of a file of SQLite of the present schema: all of
    /// them, or none.
    pub async fn fill_from(&self, path: &str) -> Result<(), FillError> {
        let source = Self::open_to_read(&Database::Sqlite(path.to_owned())).await?;
        let mut reader = source.read().await?;
        let tables = tables_of_sqlite(&mut reader.inner).await?;
        let mut from = reader.inner.begin().await.map_err(StoreError::from)?;
        let mut to = self.writer.begin_with(self.dialect.begin()).await.map_err(|e| self.failed(e))?;
        if !is_unused(&mut to, self.dialect).await? {
            return Err(FillError::NotEmpty);
        }
        copy(&mut from, &mut to, &tables).await?;
        to.commit().await?;
        from.commit().await?;
        drop(reader);
        source.close().await;
        Ok(())
    }
}

async fn is_unused(connection: &mut AnyConnection, dialect: Dialect) -> Result<bool, StoreError> {
    let list = match dialect {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'",
        Dialect::Postgres => {
            "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'"
        }
    };
    let names: Vec<String> = sqlx::query_scalar(list).fetch_all(&mut *connection).await?;
    for name in names.iter().filter(|name| !MADE_WITH_THE_TABLES.contains(&name.as_str())) {
        let sql = format!("SELECT COUNT(*) FROM (SELECT 1 FROM \"{name}\" LIMIT 1) AS first");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?;
        if count > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Lists the tables of a file of SQLite, each after those that it refers to: PostgreSQL looks at once whether a row's
/// owner is there.
async fn tables_of_sqlite(connection: &mut AnyConnection) -> Result<Vec<Table>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master
         WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'schema_version'
         ORDER BY name",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut waiting = Vec::new();
    for name in names {
        let mut columns = Vec::new();
        let rows = sqlx::query("SELECT name, type AS kind FROM pragma_table_info($1) ORDER BY cid")
            .bind(name.as_str())
            .fetch_all(&mut *connection)
            .await?;
        for row in &rows {
            let kind = match get::<String>(row, "kind")?.as_str() {
                "TEXT" => Kind::Text,
                "INTEGER" => Kind::Number,
                "BLOB" => Kind::Bytes,
                other => {
                    return Err(StoreError::Inconsistent {
                        table: "sqlite_master",
                        column: "type",
                        value: other.to_owned(),
                    });
                }
            };
            columns.push((get(row, "name")?, kind));
        }
        let owners: Vec<String> = sqlx::query_scalar("SELECT \"table\" FROM pragma_foreign_key_list($1)")
            .bind(name.as_str())
            .fetch_all(&mut *connection)
            .await?;
        waiting.push((Table { name, columns }, owners));
    }
    let mut tables: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let is_there = |owner: &String| tables.iter().any(|table| table.name == *owner);
        let (ready, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, owners)| owners.iter().all(is_there));
        if let (true, Some((table, _))) = (ready.is_empty(), later.first()) {
            // Tables that refer to each other: no schema of doce has them.
            return Err(StoreError::Inconsistent { table: "sqlite_master", column: "name", value: table.name.clone() });
        }
        tables.extend(ready.into_iter().map(|(table, _)| table));
        waiting = later;
    }
    Ok(tables)
}

async fn copy(from: &mut AnyConnection, to: &mut AnyConnection, tables: &[Table]) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM audit_head").execute(&mut *to).await?;
    for table in tables {
        let (select, insert) = (table.select(), table.insert());
        let mut rows = sqlx::query(AssertSqlSafe(select)).fetch(&mut *from);
        while let Some(row) = rows.try_next().await? {
            let mut query = sqlx::query(AssertSqlSafe(insert.clone()));
            for (index, (_, kind)) in table.columns.iter().enumerate() {
                query = bound(query, &row, index, *kind)?;
            }
            query.execute(&mut *to).await?;
        }
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, Any, sqlx::any::AnyArguments>;

/// Gives a query the value of a column as it is in the other database.
fn bound<'q>(query: Query<'q>, row: &AnyRow, index: usize, kind: Kind) -> Result<Query<'q>, StoreError> {
    Ok(match kind {
        Kind::Text => query.bind(row.try_get::<Option<String>, _>(index)?.map(|text| storable(&text))),
        Kind::Number => query.bind(row.try_get::<Option<i64>, _>(index)?),
        Kind::Bytes => query.bind(row.try_get::<Option<Vec<u8>>, _>(index)?),
    })
}
