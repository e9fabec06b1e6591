//! Leases: who may work on a Job, and the writes of whoever does.
//!
//! Every write here takes effect only while its [`Lease`] is the row's own.
//!
//! Clocks are set, and machines sleep. A lease that ran out says nothing about a worker of the caller's own process,
//! so the caller names those that live. A time farther away than any that is ever written stems from before the clock
//! was set back, and counts as over.

use std::time::Duration;

use doce_model::{Direction, Failure, JobId, JobState, LogLevel, Ms, StepState, job::UNTIL_RESUMED};
use sqlx::{Any, any::AnyRow, query::Query};

use super::{failure_to_text, millis, pause, skip_pending};
use crate::{Read, StoreError, Tx, get, parse, storable};

/// Lines that a Job's log keeps; the oldest go first.
pub const MAX_LOG_LINES: i64 = 1000;

/// The longest that a Job is put off: until its first try, or until the next.
pub const FARTHEST: Duration = Duration::from_mins(15);

/// What makes a queued Job `j` free to be claimed, apart from its time: the Job it waits for has ended, and no other
/// Job of its subject is under way, be it at work or between two tries. `state IN` is what the index of live Jobs says
/// of itself: without it every claim reads the whole table.
const FREE: &str = "j.state = 'queued'
    AND NOT EXISTS (SELECT 1 FROM job a WHERE a.id = j.after_job AND a.state IN ('queued', 'running'))
    AND NOT EXISTS (
        SELECT 1 FROM job o
        WHERE o.subject = j.subject AND o.id <> j.id AND o.state IN ('queued', 'running')
          AND (o.state = 'running' OR o.started_at IS NOT NULL))";

/// The right to work on a Job, until somebody else claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The Job.
    pub job_id: JobId,
    token: i64,
}

/// Why a write under a [`Lease`] did not happen.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The Job is somebody else's, or has ended.
    #[error("write to `{0}`: its lease is lost")]
    Lost(JobId),
    /// The database failed.
    #[error("write to a job")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for LeaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Returns when there is next something to do: a free Job becomes due, or a lease runs out whose worker isn't known to
/// `live`.
///
/// A Job that waits for another isn't counted: that one's end is an event of its own. Neither is one that a pause holds.
pub async fn next_due(read: &mut impl Read, live: &[Lease]) -> Result<Option<Ms>, StoreError> {
    let sql = format!("SELECT MIN(j.run_at) FROM job j WHERE j.run_at < $1 AND {FREE} AND {}", pause::LETS_BEGIN);
    let due: Option<i64> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(UNTIL_RESUMED.0).fetch_one(read.connection()).await?;
    let sql = format!("SELECT MIN(lease_until) FROM job WHERE state = 'running' {}", but(live, 1));
    let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    for lease in live {
        query = query.bind(lease.job_id.to_string());
    }
    let lease: Option<i64> = query.fetch_one(read.connection()).await?;
    Ok(due.into_iter().chain(lease).min().map(Ms))
}

/// Claims the Job whose turn it is, until `lease_until`. Its claims are counted here, so that a crash counts.
pub async fn claim(tx: &mut Tx, lease_until: Ms) -> Result<Option<Lease>, StoreError> {
    let now = tx.now();
    // `state` stands in the outer WHERE too: of two PostgreSQL transactions that chose the same row, the second
    // waits for the first and then finds the row changed.
    let sql = format!(
        "UPDATE job
         SET state = 'running', claims = claims + 1, lease_token = lease_token + 1, lease_until = $2,
             started_at = COALESCE(started_at, $1)
         WHERE state = 'queued' AND id = (
             SELECT j.id FROM job j
             WHERE {FREE} AND {} AND j.run_at <> $4
               AND (j.run_at <= $1 OR j.run_at > $3 OR (j.claims = 0 AND j.created_at > $1))
             ORDER BY j.run_at - j.head_start, j.ordinal
             LIMIT 1)
         RETURNING id, lease_token",
        pause::LETS_BEGIN
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(now.0)
        .bind(lease_until.0)
        .bind(now.plus(FARTHEST).0)
        .bind(UNTIL_RESUMED.0)
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| Ok(Lease { job_id: parse("job", "id", get(&row, "id")?)?, token: get(&row, "lease_token")? }))
        .transpose()
}

/// Gives back every lease that has run out, or lasts longer than any that is given, but those of workers that `live`.
/// The worker of such a one is taken for dead, and that counts. Returns the Jobs.
pub async fn release_expired(tx: &mut Tx, live: &[Lease], longest: Duration) -> Result<Vec<JobId>, StoreError> {
    let now = tx.now();
    let sql = format!(
        "UPDATE job SET state = 'queued', lease_until = NULL, crashes = crashes + 1
         WHERE state = 'running' AND (lease_until <= $1 OR lease_until > $2) {}
         RETURNING id",
        but(live, 3)
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now.0).bind(now.0.saturating_add(millis(longest)));
    for lease in live {
        query = query.bind(lease.job_id.to_string());
    }
    ids(&query.fetch_all(tx.connection()).await?)
}

/// Gives back every lease. For a start, when no worker can be alive: whatever is held was left by a crash.
pub async fn release_all(tx: &mut Tx) -> Result<Vec<JobId>, StoreError> {
    let rows = sqlx::query(
        "UPDATE job SET state = 'queued', lease_until = NULL, crashes = crashes + 1
         WHERE state = 'running'
         RETURNING id",
    )
    .fetch_all(tx.connection())
    .await?;
    ids(&rows)
}

/// Confirms that the lease holds, and keeps it from changing hands until the transaction ends.
pub async fn hold(tx: &mut Tx, lease: Lease) -> Result<(), LeaseError> {
    fenced(tx, lease, "lease_token = lease_token", |query| query).await.map(drop)
}

/// Makes the lease last until `until`. Returns when somebody asked to cancel the Job.
pub async fn renew(tx: &mut Tx, lease: Lease, until: Ms) -> Result<Option<Ms>, LeaseError> {
    fenced(tx, lease, "lease_until = $3", |query| query.bind(until.0)).await
}

/// Returns when somebody asked to cancel the Job, if the lease holds. Changes nothing.
pub async fn check(read: &mut impl Read, lease: Lease) -> Result<Option<Ms>, LeaseError> {
    let row =
        sqlx::query("SELECT cancel_requested_at FROM job WHERE id = $1 AND lease_token = $2 AND state = 'running'")
            .bind(lease.job_id.to_string())
            .bind(lease.token)
            .fetch_optional(read.connection())
            .await?;
    cancel_requested_at(row.as_ref(), lease)
}

/// Gives the lease back without blame: the server stops, and the Job goes on at the next start.
pub async fn release(tx: &mut Tx, lease: Lease) -> Result<(), LeaseError> {
    fenced(tx, lease, "state = 'queued', lease_until = NULL", |query| query).await.map(drop)
}

/// Records that a step, or its undo, begins, and makes the lease last until `until`.
pub async fn begin_step(tx: &mut Tx, lease: Lease, until: Ms, position: i64, way: Direction) -> Result<(), LeaseError> {
    let now = tx.now();
    fenced(tx, lease, "lease_until = $3", |query| query.bind(until.0)).await?;
    let id = lease.job_id.to_string();
    let begin = match way {
        Direction::Forward => sqlx::query(
            "UPDATE job_step SET state = 'running', attempts = attempts + 1, started_at = $3, ended_at = NULL
             WHERE job_id = $1 AND position = $2",
        )
        .bind(id)
        .bind(position)
        .bind(now.0),
        Direction::Undo => {
            sqlx::query("UPDATE job_step SET undo_attempts = undo_attempts + 1 WHERE job_id = $1 AND position = $2")
                .bind(id)
                .bind(position)
        }
    };
    begin.execute(tx.connection()).await?;
    Ok(())
}

/// Writes what a step is doing.
pub async fn set_detail(tx: &mut Tx, lease: Lease, position: i64, detail: Option<&str>) -> Result<(), LeaseError> {
    hold(tx, lease).await?;
    sqlx::query("UPDATE job_step SET detail = $3 WHERE job_id = $1 AND position = $2")
        .bind(lease.job_id.to_string())
        .bind(position)
        .bind(detail.map(storable))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Records that a step is done (`succeeded`), failed for good (`failed`), or waits for its next try (`pending`). Returns
/// when somebody asked to cancel the Job.
pub async fn end_step(
    tx: &mut Tx,
    lease: Lease,
    position: i64,
    state: StepState,
    detail: Option<&str>,
) -> Result<Option<Ms>, LeaseError> {
    let now = tx.now();
    let asked = survived(tx, lease).await?;
    sqlx::query("UPDATE job_step SET state = $3, ended_at = $4, detail = $5 WHERE job_id = $1 AND position = $2")
        .bind(lease.job_id.to_string())
        .bind(position)
        .bind(state.as_str())
        .bind(now.0)
        .bind(detail.map(storable))
        .execute(tx.connection())
        .await?;
    Ok(asked)
}

/// Records that what a step did is taken back. The step that failed goes on saying so.
pub async fn undone_step(tx: &mut Tx, lease: Lease, position: i64) -> Result<(), LeaseError> {
    let now = tx.now();
    survived(tx, lease).await?;
    sqlx::query(
        "UPDATE job_step
         SET undone_at = $3, ended_at = COALESCE(ended_at, $3),
             state = CASE WHEN state = 'failed' THEN state ELSE 'undone' END
         WHERE job_id = $1 AND position = $2",
    )
    .bind(lease.job_id.to_string())
    .bind(position)
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Turns a Job round: from here on it takes back what it did. Without a failure it was cancelled.
pub async fn turn(tx: &mut Tx, lease: Lease, failure: Option<&Failure>) -> Result<(), LeaseError> {
    let failure = failure.map(failure_to_text);
    fenced(tx, lease, "direction = 'undo', crashes = 0, failure = $3", |query| query.bind(failure)).await.map(drop)
}

/// Gives the lease back until `run_at`, when the present step or undo is tried again.
pub async fn park(tx: &mut Tx, lease: Lease, run_at: Ms) -> Result<(), LeaseError> {
    fenced(tx, lease, "state = 'queued', lease_until = NULL, crashes = 0, run_at = $3", |query| query.bind(run_at.0))
        .await
        .map(drop)
}

/// Gives the lease back until somebody says [`resume`]: the present step can't be done before. That try doesn't count.
pub async fn wait(tx: &mut Tx, lease: Lease, position: i64, waits_for: &Failure) -> Result<(), LeaseError> {
    let now = tx.now();
    let text = failure_to_text(waits_for);
    fenced(tx, lease, "state = 'queued', lease_until = NULL, crashes = 0, run_at = $3, failure = $4", |query| {
        query.bind(UNTIL_RESUMED.0).bind(text)
    })
    .await?;
    sqlx::query(
        "UPDATE job_step SET state = 'pending', attempts = attempts - 1, ended_at = $3, detail = $4
         WHERE job_id = $1 AND position = $2",
    )
    .bind(lease.job_id.to_string())
    .bind(position)
    .bind(now.0)
    .bind(storable(&waits_for.message))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Says anew what a Job waits for. Nothing happens to one that doesn't wait.
pub async fn wait_for_other(tx: &mut Tx, id: JobId, waits_for: &Failure) -> Result<(), StoreError> {
    sqlx::query("UPDATE job SET failure = $2 WHERE id = $1 AND state = 'queued' AND run_at = $3")
        .bind(id.to_string())
        .bind(failure_to_text(waits_for))
        .bind(UNTIL_RESUMED.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Lets a Job go on that waits. Returns whether it did.
pub async fn resume(tx: &mut Tx, id: JobId) -> Result<bool, StoreError> {
    let now = tx.now();
    let done =
        sqlx::query("UPDATE job SET run_at = $2, failure = NULL WHERE id = $1 AND state = 'queued' AND run_at = $3")
            .bind(id.to_string())
            .bind(now.0)
            .bind(UNTIL_RESUMED.0)
            .execute(tx.connection())
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends a Job. Steps that never began are skipped; one that was cut off and has no undo failed.
pub async fn finish(tx: &mut Tx, lease: Lease, state: JobState, failure: Option<&Failure>) -> Result<(), LeaseError> {
    let now = tx.now();
    let failure = failure.map(failure_to_text);
    fenced(tx, lease, "state = $3, lease_until = NULL, finished_at = $4, failure = $5", |query| {
        query.bind(state.as_str()).bind(now.0).bind(failure)
    })
    .await?;
    // A Job succeeds when each of its steps has.
    if state == JobState::Succeeded {
        return Ok(());
    }
    sqlx::query(
        "UPDATE job_step SET state = 'failed', ended_at = COALESCE(ended_at, $2)
         WHERE job_id = $1 AND attempts > 0 AND state IN ('pending', 'running')",
    )
    .bind(lease.job_id.to_string())
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    skip_pending(tx, lease.job_id).await?;
    Ok(())
}

/// Adds lines to a Job's log and drops the oldest beyond [`MAX_LOG_LINES`].
pub async fn append_log(tx: &mut Tx, lease: Lease, lines: &[(Ms, LogLevel, String)]) -> Result<(), LeaseError> {
    if lines.is_empty() {
        return Ok(());
    }
    hold(tx, lease).await?;
    let id = lease.job_id.to_string();
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(sequence) FROM job_log WHERE job_id = $1")
        .bind(id.as_str())
        .fetch_one(tx.connection())
        .await?;
    let mut sequence = last.unwrap_or(0);
    for (at, level, text) in lines {
        sequence += 1;
        sqlx::query("INSERT INTO job_log (job_id, sequence, at, level, text) VALUES ($1, $2, $3, $4, $5)")
            .bind(id.as_str())
            .bind(sequence)
            .bind(at.0)
            .bind(level.as_str())
            .bind(storable(text))
            .execute(tx.connection())
            .await?;
    }
    sqlx::query("DELETE FROM job_log WHERE job_id = $1 AND sequence <= $2")
        .bind(id)
        .bind(sequence - MAX_LOG_LINES)
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn cancel_requested_at(row: Option<&AnyRow>, lease: Lease) -> Result<Option<Ms>, LeaseError> {
    let row = row.ok_or(LeaseError::Lost(lease.job_id))?;
    Ok(get::<Option<i64>>(row, "cancel_requested_at")?.map(Ms))
}

/// Updates the Job's row under its lease. `set` uses `$3` and up, which `bind` gives. Returns when somebody asked to
/// cancel the Job.
async fn fenced<'q>(
    tx: &mut Tx,
    lease: Lease,
    set: &str,
    bind: impl FnOnce(Query<'q, Any, sqlx::any::AnyArguments>) -> Query<'q, Any, sqlx::any::AnyArguments>,
) -> Result<Option<Ms>, LeaseError> {
    let sql = format!(
        "UPDATE job SET {set} WHERE id = $1 AND lease_token = $2 AND state = 'running' RETURNING cancel_requested_at"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(lease.job_id.to_string()).bind(lease.token);
    let row = bind(query).fetch_optional(tx.connection()).await?;
    cancel_requested_at(row.as_ref(), lease)
}

/// Notes that a worker came back from a step alive. Returns when somebody asked to cancel the Job.
async fn survived(tx: &mut Tx, lease: Lease) -> Result<Option<Ms>, LeaseError> {
    fenced(tx, lease, "crashes = 0", |query| query).await
}

/// Leaves out the Jobs of these leases, which are bound from `$first` on.
fn but(live: &[Lease], first: usize) -> String {
    if live.is_empty() {
        return String::new();
    }
    let places: Vec<String> = (first..first + live.len()).map(|n| format!("${n}")).collect();
    format!("AND id NOT IN ({})", places.join(", "))
}

fn ids(rows: &[AnyRow]) -> Result<Vec<JobId>, StoreError> {
    rows.iter().map(|row| parse("job", "id", get(row, "id")?)).collect()
}
