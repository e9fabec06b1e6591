//! The tables, and how a database gets them.
//!
//! Migrations are numbered and append-only: one that has been released never changes. They are written in the
//! dialect that SQLite and PostgreSQL share; the two type names that differ are put in by [`for_sqlite`].
//! All times are milliseconds, all ids their printed form, all states the words of `doce-model`.

use sqlx::{AnyConnection, AssertSqlSafe, Executor as _};

use crate::OpenError;

/// Every migration, first to last. The schema's version is their number.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_first.sql"), include_str!("migrations/0002_imported.sql")];

/// The schema version that this program reads and writes.
fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings the database to the present schema. The caller holds the database's lock.
pub(crate) async fn migrate(connection: &mut AnyConnection) -> Result<(), OpenError> {
    connection
        .execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .await
        .map_err(OpenError::Migrate)?;
    let found: Option<i64> = sqlx::query_scalar("SELECT MAX(version) FROM schema_version")
        .fetch_one(&mut *connection)
        .await
        .map_err(OpenError::Migrate)?;
    let found = found.unwrap_or(0);
    let known = known_version();
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        let version = i64::try_from(index).unwrap_or(i64::MAX) + 1;
        if version <= found {
            continue;
        }
        // One transaction per migration: a crash leaves the database at a version, never between two.
        let text = format!(
            "BEGIN IMMEDIATE; {} INSERT INTO schema_version (version) VALUES ({version}); COMMIT;",
            for_sqlite(migration)
        );
        connection.execute(AssertSqlSafe(text)).await.map_err(OpenError::Migrate)?;
    }
    Ok(())
}

/// Writes the type names as SQLite spells them.
fn for_sqlite(migration: &str) -> String {
    migration.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB")
}
