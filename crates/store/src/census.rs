//! Numbers about everything that is kept: for metrics and the system page. No row is told, only how many there are.

use doce_model::{DeliveryStatus, JobState, Ms, Observed, Outcome, job::UNTIL_RESUMED};
use sqlx::any::AnyRow;

use crate::{Read, Store, StoreError, database::Dialect, get, parse};

/// Counts the Jobs that are kept, by kind and state.
pub async fn jobs(read: &mut impl Read) -> Result<Vec<(String, JobState, u64)>, StoreError> {
    let rows = sqlx::query("SELECT kind, state, COUNT(*) AS number FROM job GROUP BY kind, state ORDER BY kind, state")
        .fetch_all(read.connection())
        .await?;
    rows.iter().map(|row| Ok((get(row, "kind")?, parse("job", "state", get(row, "state")?)?, number(row)?))).collect()
}

/// The Jobs that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queue {
    /// They could begin if a worker were free, and nothing else held them up.
    pub due: u64,
    /// They have a time that has not come.
    pub later: u64,
    /// They wait for a person, or for room.
    pub waiting: u64,
    /// A worker has them.
    pub running: u64,
    /// Since when the oldest that is due is.
    pub oldest_due: Option<Ms>,
}

/// Counts the Jobs that have not ended, by what they wait for.
pub async fn queue(read: &mut impl Read, now: Ms) -> Result<Queue, StoreError> {
    let rows = sqlx::query(
        "SELECT CASE WHEN state = 'running' THEN 'running' WHEN run_at = $1 THEN 'waiting' WHEN run_at > $2 THEN 'later'
             ELSE 'due' END AS what, COUNT(*) AS number, MIN(run_at) AS oldest
         FROM job
         WHERE state IN ('queued', 'running')
         GROUP BY 1",
    )
    .bind(UNTIL_RESUMED.0)
    .bind(now.0)
    .fetch_all(read.connection())
    .await?;
    let mut queue = Queue::default();
    for row in &rows {
        let what: String = get(row, "what")?;
        match what.as_str() {
            "running" => queue.running = number(row)?,
            "waiting" => queue.waiting = number(row)?,
            "later" => queue.later = number(row)?,
            _ => {
                queue.due = number(row)?;
                queue.oldest_due = Some(Ms(get(row, "oldest")?));
            }
        }
    }
    Ok(queue)
}

/// Counts the Deliveries to Instances that have not ended, by status.
pub async fn deliveries(read: &mut impl Read) -> Result<Vec<(DeliveryStatus, u64)>, StoreError> {
    let sql = format!(
        "SELECT d.status, COUNT(*) AS number FROM delivery d JOIN instance i ON i.id = d.instance_id
         WHERE i.observed <> '{}' GROUP BY d.status ORDER BY d.status",
        Observed::Exited
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(read.connection()).await?;
    rows.iter().map(|row| Ok((parse("delivery", "status", get(row, "status")?)?, number(row)?))).collect()
}

/// Counts the Connections that were checked, by what came of the last check.
pub async fn verifications(read: &mut impl Read) -> Result<Vec<(Outcome, u64)>, StoreError> {
    let rows = sqlx::query(
        "SELECT verification_outcome, COUNT(*) AS number FROM connection
         WHERE verification_outcome IS NOT NULL AND status <> 'revoked'
         GROUP BY verification_outcome ORDER BY verification_outcome",
    )
    .fetch_all(read.connection())
    .await?;
    rows.iter()
        .map(|row| {
            let outcome = parse("connection", "verification_outcome", get(row, "verification_outcome")?)?;
            Ok((outcome, number(row)?))
        })
        .collect()
}

fn number(row: &AnyRow) -> Result<u64, StoreError> {
    Ok(u64::try_from(get::<i64>(row, "number")?).unwrap_or(0))
}

/// The database itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Which: `SQLite` or `PostgreSQL`.
    pub kind: &'static str,
    /// Its version, as it says.
    pub version: String,
    /// Bytes that it takes on its disk.
    pub bytes: u64,
    /// Connections that are open.
    pub connections: u32,
    /// Those of them that are in use.
    pub busy: u32,
}

impl Store {
    /// Asks the database about itself.
    pub async fn facts(&self) -> Result<DatabaseFacts, StoreError> {
        let (kind, version, size) = match self.dialect {
            Dialect::Sqlite => (
                "SQLite",
                "SELECT sqlite_version() AS version",
                "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()",
            ),
            Dialect::Postgres => (
                "PostgreSQL",
                "SELECT current_setting('server_version') AS version",
                "SELECT pg_database_size(current_database()) AS bytes",
            ),
        };
        let mut read = self.read().await?;
        let version = get(&sqlx::query(version).fetch_one(read.connection()).await?, "version")?;
        let bytes: i64 = get(&sqlx::query(size).fetch_one(read.connection()).await?, "bytes")?;
        drop(read);
        let pools = [&self.writer, &self.readers];
        let connections = pools.iter().map(|pool| pool.size()).sum::<u32>();
        let idle = pools.iter().map(|pool| u32::try_from(pool.num_idle()).unwrap_or(u32::MAX)).sum::<u32>();
        let bytes = u64::try_from(bytes).unwrap_or(0);
        Ok(DatabaseFacts { kind, version, bytes, connections, busy: connections.saturating_sub(idle) })
    }
}
