//! Jobs: their rows, and who may work on which.
//!
//! Every write after [`claim`] names its [`Lease`] and takes effect only while that lease is the row's own; a
//! worker that was thought dead writes nothing (`lease`). What a step does, and which one comes next, is decided in
//! `doce-jobs`; here are only the rows.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use doce_model::{
    Direction, Failure, Job, JobId, JobLine, JobState, JobStep, Ms, ProjectId, StepState, UserId, job::UNTIL_RESUMED,
};
use serde::{Deserialize, Serialize};
use sqlx::{any::AnyRow, query::Query};

use crate::{Read, StoreError, Tx, VALUES_MAX, chunks, get, parse, parse_opt, places};

mod lease;
pub mod pause;

pub use lease::{
    FARTHEST, Lease, LeaseError, MAX_LOG_LINES, append_log, begin_step, check, claim, end_step, finish, hold, next_due,
    park, release, release_all, release_expired, renew, resume, set_detail, turn, undone_step, wait, wait_for_other,
};

/// Values that are given for each Job that is added.
const JOB_VALUES: usize = 13;
/// Values that are given for each of its steps.
const STEP_VALUES: usize = 5;

const COLUMNS: &str = "id, kind, subject, user_id, project_id, payload, state, direction, after_job, retry_of, run_at,
    claims, crashes, cancel_requested_at, failure, created_at, started_at, finished_at";

/// Which Jobs to list. What is `None` doesn't matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this user.
    pub user_id: Option<UserId>,
    /// Of this Project.
    pub project_id: Option<ProjectId>,
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<String>,
}

/// What [`request_cancel`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelRequest {
    /// It had not begun: it is cancelled.
    Cancelled,
    /// It is under way: its worker will take back what it did.
    Requested,
    /// It had ended, or there is no such Job.
    Ended,
}

/// A [`Failure`] as it stands in a column.
#[derive(Serialize, Deserialize)]
struct FailureRow {
    code: String,
    message: String,
    next: String,
    connection_id: Option<String>,
    #[serde(default)]
    until: Option<i64>,
}

/// Writes a failure as a column's text.
pub(crate) fn failure_to_text(failure: &Failure) -> String {
    serde_json::json!(FailureRow {
        code: failure.code.clone(),
        message: failure.message.clone(),
        next: failure.next.as_str().to_owned(),
        connection_id: failure.connection_id.map(|id| id.to_string()),
        until: failure.until.map(|at| at.0),
    })
    .to_string()
}

/// Reads a failure from the column `failure` of `table`.
pub(crate) fn failure_from_text(table: &'static str, text: &str) -> Result<Failure, StoreError> {
    let row: FailureRow = serde_json::from_str(text).map_err(|_| StoreError::Inconsistent {
        table,
        column: "failure",
        value: text.chars().take(80).collect(),
    })?;
    Ok(Failure {
        next: parse(table, "failure", &row.next)?,
        connection_id: parse_opt(table, "failure", row.connection_id.as_deref())?,
        until: row.until.map(Ms),
        code: row.code,
        message: row.message,
    })
}

fn job(row: &AnyRow) -> Result<Job, StoreError> {
    let failure: Option<String> = get(row, "failure")?;
    Ok(Job {
        id: parse("job", "id", get(row, "id")?)?,
        kind: get(row, "kind")?,
        subject: get(row, "subject")?,
        user_id: parse("job", "user_id", get(row, "user_id")?)?,
        project_id: parse_opt("job", "project_id", get(row, "project_id")?)?,
        payload: get(row, "payload")?,
        state: parse("job", "state", get(row, "state")?)?,
        direction: parse("job", "direction", get(row, "direction")?)?,
        after: parse_opt("job", "after_job", get(row, "after_job")?)?,
        retry_of: parse_opt("job", "retry_of", get(row, "retry_of")?)?,
        run_at: Ms(get(row, "run_at")?),
        claims: get(row, "claims")?,
        crashes: get(row, "crashes")?,
        cancel_requested_at: get::<Option<i64>>(row, "cancel_requested_at")?.map(Ms),
        failure: failure.map(|text| failure_from_text("job", &text)).transpose()?,
        created_at: Ms(get(row, "created_at")?),
        started_at: get::<Option<i64>>(row, "started_at")?.map(Ms),
        finished_at: get::<Option<i64>>(row, "finished_at")?.map(Ms),
        steps: Vec::new(),
    })
}

fn step(row: &AnyRow) -> Result<JobStep, StoreError> {
    Ok(JobStep {
        position: get(row, "position")?,
        name: get(row, "name")?,
        label: get(row, "label")?,
        state: parse("job_step", "state", get(row, "state")?)?,
        attempts: get(row, "attempts")?,
        undo_attempts: get(row, "undo_attempts")?,
        started_at: get::<Option<i64>>(row, "started_at")?.map(Ms),
        ended_at: get::<Option<i64>>(row, "ended_at")?.map(Ms),
        undone_at: get::<Option<i64>>(row, "undone_at")?.map(Ms),
        detail: get(row, "detail")?,
    })
}

/// Finds a Job by id, with its steps.
pub async fn find(read: &mut impl Read, id: JobId) -> Result<Option<Job>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(read.connection()).await?;
    let found = row.as_ref().map(job).transpose()?;
    Ok(with_steps(read, found.into_iter().collect()).await?.pop())
}

/// Lists a page of Jobs, newest first, those made before `(created_at, id)`.
pub async fn list(
    read: &mut impl Read,
    filter: &Filter,
    before: Option<(Ms, JobId)>,
    limit: i64,
) -> Result<Vec<Job>, StoreError> {
    let (at, id) = before.map_or((i64::MAX, String::new()), |(at, id)| (at.0, id.to_string()));
    // The casts tell PostgreSQL the type of a parameter that is only compared with NULL.
    let sql = format!(
        "SELECT {COLUMNS} FROM job
         WHERE (CAST($1 AS TEXT) IS NULL OR user_id = $1)
           AND (CAST($2 AS TEXT) IS NULL OR project_id = $2)
           AND (CAST($3 AS TEXT) IS NULL OR state = $3)
           AND (CAST($4 AS TEXT) IS NULL OR kind = $4)
           AND (created_at < $5 OR (created_at = $5 AND id < $6))
         ORDER BY created_at DESC, id DESC
         LIMIT $7"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(filter.user_id.map(|id| id.to_string()))
        .bind(filter.project_id.map(|id| id.to_string()))
        .bind(filter.state.map(JobState::as_str))
        .bind(filter.kind.as_deref())
        .bind(at)
        .bind(id)
        .bind(limit)
        .fetch_all(read.connection())
        .await?;
    let jobs = rows.iter().map(job).collect::<Result<_, _>>()?;
    with_steps(read, jobs).await
}

/// Lists the Jobs of a subject that have not ended, oldest first.
pub async fn live_for_subject(read: &mut impl Read, subject: &str) -> Result<Vec<Job>, StoreError> {
    live_for_subjects(read, &BTreeSet::from([subject.to_owned()])).await
}

/// Lists the Jobs of these subjects that have not ended, oldest first.
pub async fn live_for_subjects(read: &mut impl Read, subjects: &BTreeSet<String>) -> Result<Vec<Job>, StoreError> {
    of_subjects(read, subjects, LIVE).await
}

/// Lists what is to be known of these subjects: their Jobs that have not ended, and the newest Job of each. Oldest first.
pub async fn present(read: &mut impl Read, subjects: &BTreeSet<String>) -> Result<Vec<Job>, StoreError> {
    let newest = format!(
        "({LIVE} OR NOT EXISTS (SELECT 1 FROM job AS later
                                WHERE later.subject = present.subject AND later.ordinal > present.ordinal))"
    );
    of_subjects(read, subjects, &newest).await
}

/// What is true of a Job that has not ended, in the words of the index of live Jobs.
const LIVE: &str = "state IN ('queued', 'running')";

/// Lists the Jobs of these subjects of which `condition` is true. It calls them `present`.
async fn of_subjects(
    read: &mut impl Read,
    subjects: &BTreeSet<String>,
    condition: &str,
) -> Result<Vec<Job>, StoreError> {
    let mut found = Vec::new();
    for subjects in chunks(subjects) {
        let sql = format!(
            "SELECT {COLUMNS} FROM job AS present WHERE subject IN ({}) AND {condition} ORDER BY ordinal",
            places(1, subjects.len())
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        let rows = subjects.into_iter().fold(query, Query::bind).fetch_all(read.connection()).await?;
        found.extend(rows.iter().map(job).collect::<Result<Vec<_>, _>>()?);
    }
    with_steps(read, found).await
}

/// Lists the Jobs that wait for something a person does, of one user or of all, oldest first.
pub async fn waiting(read: &mut impl Read, user_id: Option<UserId>) -> Result<Vec<Job>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM job
         WHERE state = 'queued' AND run_at = $1 AND (CAST($2 AS TEXT) IS NULL OR user_id = $2)
         ORDER BY ordinal"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(UNTIL_RESUMED.0)
        .bind(user_id.map(|id| id.to_string()))
        .fetch_all(read.connection())
        .await?;
    let jobs = rows.iter().map(job).collect::<Result<_, _>>()?;
    with_steps(read, jobs).await
}

/// Lists which Jobs of a user have not ended, oldest first, and whether each is at work.
pub async fn live_of(read: &mut impl Read, user_id: UserId) -> Result<Vec<(JobId, JobState)>, StoreError> {
    let sql = format!("SELECT id, state FROM job WHERE user_id = $1 AND {LIVE} ORDER BY ordinal");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user_id.to_string()).fetch_all(read.connection()).await?;
    rows.iter()
        .map(|row| Ok((parse("job", "id", get(row, "id")?)?, parse("job", "state", get(row, "state")?)?)))
        .collect()
}

/// Counts the Jobs of a user that have not ended.
pub async fn count_live(read: &mut impl Read, user_id: UserId) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM job WHERE user_id = $1 AND state IN ('queued', 'running')")
        .bind(user_id.to_string())
        .fetch_one(read.connection())
        .await?)
}

/// Reads a Job's log, oldest line first, those after `sequence`.
pub async fn log(read: &mut impl Read, id: JobId, after: i64, limit: i64) -> Result<Vec<JobLine>, StoreError> {
    let rows = sqlx::query(
        "SELECT sequence, at, level, text FROM job_log
         WHERE job_id = $1 AND sequence > $2
         ORDER BY sequence
         LIMIT $3",
    )
    .bind(id.to_string())
    .bind(after)
    .bind(limit)
    .fetch_all(read.connection())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(JobLine {
                sequence: get(row, "sequence")?,
                at: Ms(get(row, "at")?),
                level: parse("job_log", "level", get(row, "level")?)?,
                text: get(row, "text")?,
            })
        })
        .collect()
}

/// Adds Jobs with their steps at the end of the queue, in this order: their ordinals order what was made in the same
/// millisecond. With each Job goes how much sooner than others it is to begin.
pub async fn insert(tx: &mut Tx, jobs: &[(Job, Duration)]) -> Result<(), StoreError> {
    for some in jobs.chunks(VALUES_MAX / JOB_VALUES) {
        let rows = (0..some.len()).map(|n| {
            let places = places(n * JOB_VALUES + 1, JOB_VALUES);
            format!("({places}, 0, 0, 0, (SELECT COALESCE(MAX(ordinal), 0) FROM job) + {})", n + 1)
        });
        let sql = format!(
            "INSERT INTO job (id, kind, subject, user_id, project_id, payload, state, direction, after_job, retry_of,
                 run_at, created_at, head_start, claims, crashes, lease_token, ordinal)
             VALUES {}",
            rows.collect::<Vec<_>>().join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for (job, head_start) in some {
            query = query
                .bind(job.id.to_string())
                .bind(job.kind.as_str())
                .bind(job.subject.as_str())
                .bind(job.user_id.to_string())
                .bind(job.project_id.map(|id| id.to_string()))
                .bind(job.payload.as_str())
                .bind(JobState::Queued.as_str())
                .bind(Direction::Forward.as_str())
                .bind(job.after.map(|id| id.to_string()))
                .bind(job.retry_of.map(|id| id.to_string()))
                .bind(job.run_at.0)
                .bind(job.created_at.0)
                .bind(millis(*head_start));
        }
        query.execute(tx.connection()).await?;
    }
    let steps: Vec<(JobId, &JobStep)> =
        jobs.iter().flat_map(|(job, _)| job.steps.iter().map(|step| (job.id, step))).collect();
    for some in steps.chunks(VALUES_MAX / STEP_VALUES) {
        let rows = (0..some.len()).map(|n| format!("({}, 0, 0)", places(n * STEP_VALUES + 1, STEP_VALUES)));
        let sql = format!(
            "INSERT INTO job_step (job_id, position, name, label, state, attempts, undo_attempts) VALUES {}",
            rows.collect::<Vec<_>>().join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for (job_id, step) in some {
            query = query
                .bind(job_id.to_string())
                .bind(step.position)
                .bind(step.name.as_str())
                .bind(step.label.as_str())
                .bind(StepState::Pending.as_str());
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}

/// Gives a Job that has not begun another payload and the earlier of two times. Returns whether it had not begun.
pub async fn join(tx: &mut Tx, id: JobId, payload: &str, run_at: Ms) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE job SET payload = $2, run_at = CASE WHEN run_at < $3 THEN run_at ELSE $3 END
         WHERE id = $1 AND state = 'queued' AND started_at IS NULL",
    )
    .bind(id.to_string())
    .bind(payload)
    .bind(run_at.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Asks that a Job end without finishing. One that has not begun ends here and now.
pub async fn request_cancel(tx: &mut Tx, id: JobId) -> Result<CancelRequest, StoreError> {
    let now = tx.now();
    let cancelled = sqlx::query(
        "UPDATE job SET state = 'cancelled', cancel_requested_at = $2, finished_at = $2
         WHERE id = $1 AND state = 'queued' AND started_at IS NULL",
    )
    .bind(id.to_string())
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    if cancelled.rows_affected() > 0 {
        skip_pending(tx, id).await?;
        return Ok(CancelRequest::Cancelled);
    }
    // One that waits for its next try need not wait to be undone; an undo keeps its own pace.
    let requested = sqlx::query(
        "UPDATE job
         SET cancel_requested_at = COALESCE(cancel_requested_at, $2),
             run_at = CASE WHEN state = 'queued' AND direction = 'forward' AND run_at > $2 THEN $2 ELSE run_at END
         WHERE id = $1 AND state IN ('queued', 'running')",
    )
    .bind(id.to_string())
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(if requested.rows_affected() > 0 { CancelRequest::Requested } else { CancelRequest::Ended })
}

/// Deletes the Jobs that ended before `before`, with their steps and logs. Returns how many.
pub async fn delete_finished_before(tx: &mut Tx, before: Ms) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM job WHERE finished_at < $1").bind(before.0).execute(tx.connection()).await?;
    Ok(done.rows_affected())
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

async fn skip_pending(tx: &mut Tx, id: JobId) -> Result<(), StoreError> {
    sqlx::query("UPDATE job_step SET state = 'skipped' WHERE job_id = $1 AND state = 'pending'")
        .bind(id.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

async fn with_steps(read: &mut impl Read, mut jobs: Vec<Job>) -> Result<Vec<Job>, StoreError> {
    if jobs.is_empty() {
        return Ok(jobs);
    }
    let sql = format!(
        "SELECT job_id, position, name, label, state, attempts, undo_attempts, started_at, ended_at, undone_at, detail
         FROM job_step
         WHERE job_id IN ({})
         ORDER BY job_id, position",
        places(1, jobs.len())
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for job in &jobs {
        query = query.bind(job.id.to_string());
    }
    let mut steps: HashMap<JobId, Vec<JobStep>> = HashMap::new();
    for row in query.fetch_all(read.connection()).await? {
        steps.entry(parse("job_step", "job_id", get(&row, "job_id")?)?).or_default().push(step(&row)?);
    }
    for job in &mut jobs {
        job.steps = steps.remove(&job.id).unwrap_or_default();
    }
    Ok(jobs)
}
