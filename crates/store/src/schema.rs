//! The tables, and how a database gets them.
//!
//! Migrations are numbered and append-only: one that has been released never changes. They are written in the
//! dialect that SQLite and PostgreSQL share; the type names that differ are put in by [`Dialect::types`].
//! All times are milliseconds, all ids their printed form, all states the words of `doce-model`.

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

use crate::{OpenError, StoreError, audit, database::Dialect};

/// A step from one version of the schema to the next.
struct Migration {
    sql: &'static str,
    /// What SQL can't say, done in the same transaction.
    then: Then,
}

/// See [`Migration`].
enum Then {
    Nothing,
    /// Gives the audit events that there are their places in the chain.
    ChainAudit,
}

/// Every migration, first to last. The schema's version is their number.
const MIGRATIONS: &[Migration] = &[
    Migration { sql: include_str!("migrations/0001_first.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0002_imported.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0003_audit.sql"), then: Then::ChainAudit },
    Migration { sql: include_str!("migrations/0004_custom_provider.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0005_connection_age.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0006_model_preference.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0007_people.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0008_job_turn.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0009_tokens_and_invites.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0010_job_subject.sql"), then: Then::Nothing },
    Migration { sql: include_str!("migrations/0011_project_model.sql"), then: Then::Nothing },
];

/// The schema version that this program reads and writes.
pub fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Brings the database to the present schema. The caller holds the database's lock.
pub(crate) async fn migrate(connection: &mut AnyConnection, dialect: Dialect) -> Result<(), OpenError> {
    connection
        .execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)")
        .await
        .map_err(OpenError::Migrate)?;
    let found = version_of(connection).await.map_err(OpenError::Migrate)?;
    let known = known_version();
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate() {
        let version = i64::try_from(index).unwrap_or(i64::MAX) + 1;
        if version <= found {
            continue;
        }
        apply(connection, dialect, version, migration).await.map_err(OpenError::Migrate)?;
    }
    Ok(())
}

/// Refuses a database that is not of the present schema.
pub(crate) async fn check(connection: &mut AnyConnection) -> Result<(), OpenError> {
    let (found, known) = (version_of(connection).await.map_err(OpenError::Migrate)?, known_version());
    match found.cmp(&known) {
        std::cmp::Ordering::Less => Err(OpenError::Older { found, known }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(OpenError::Newer { found, known }),
    }
}

async fn version_of(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT MAX(version) FROM schema_version").fetch_one(connection).await?;
    Ok(found.unwrap_or(0))
}

/// Applies a migration in one transaction: a crash leaves the database at a version, never between two. Somebody else who
/// opens the database may have applied it while this waited for its turn.
async fn apply(
    connection: &mut AnyConnection,
    dialect: Dialect,
    version: i64,
    migration: &Migration,
) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin_with(dialect.begin()).await?;
    if version_of(&mut tx).await? >= version {
        return Ok(());
    }
    tx.execute(AssertSqlSafe(dialect.types(migration.sql))).await?;
    match migration.then {
        Then::Nothing => {}
        Then::ChainAudit => audit::chain_older(&mut tx).await.map_err(|e| match e {
            StoreError::Query(e) | StoreError::Unreachable(e) => e,
            e @ StoreError::Inconsistent { .. } => sqlx::Error::Decode(Box::new(e)),
        })?,
    }
    sqlx::query("INSERT INTO schema_version (version) VALUES ($1)").bind(version).execute(&mut *tx).await?;
    tx.commit().await
}
