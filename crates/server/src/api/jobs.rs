//! Jobs: durable work, with its steps.

use axum::{Json, extract::State as Extract};
use doce_app::{JobQuery as AppJobQuery, QueueView};
use doce_model::{Job as ModelJob, JobId, JobState as State_, JobStep as ModelStep, ProjectId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page,
    input::{Body, Id, Query},
    words::{Direction, Failure, JobState, StepState, Time},
};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// Durable work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Job {
    /// Which.
    id: String,
    /// What it does.
    kind: String,
    /// For which project.
    project_id: Option<String>,
    /// How far it is.
    state: JobState,
    /// Whether it does its steps, or takes them back.
    direction: Direction,
    /// Its steps, in order.
    steps: Vec<JobStep>,
    /// Why it failed.
    error: Option<Failure>,
    /// When it was asked for.
    created_at: Time,
    /// When it began.
    started_at: Option<Time>,
    /// When it ended.
    finished_at: Option<Time>,
    /// When it is tried next, while it waits for that.
    next_attempt_at: Option<Time>,
    /// What somebody has to do before it goes on by itself.
    waits_for: Option<Failure>,
}

/// A part of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobStep {
    /// Its name.
    name: String,
    /// What a person reads.
    label: String,
    /// How far it is.
    state: StepState,
    /// How often it was begun.
    attempts: i64,
    /// When it was last begun.
    started_at: Option<Time>,
    /// When it ended.
    ended_at: Option<Time>,
    /// What it is doing, or why the last try failed.
    detail: Option<String>,
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobQuery {
    /// Of which project.
    project_id: Option<String>,
    /// Of which kind, such as `launch_project`.
    kind: Option<String>,
    /// In which state.
    state: Option<JobState>,
    /// Most items of the page.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

/// How the queue is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Queue {
    /// Since when no job begins, if it is paused.
    paused_at: Option<Time>,
}

/// Whether jobs may begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueChange)]
pub(crate) struct QueueRequest {
    /// Whether the queue is to be paused.
    paused: bool,
}

impl From<QueueView> for Queue {
    fn from(queue: QueueView) -> Self {
        Self { paused_at: queue.paused_at.map(Time::from) }
    }
}

impl From<&ModelJob> for Job {
    fn from(job: &ModelJob) -> Self {
        Self {
            id: job.id.to_string(),
            kind: job.kind.clone(),
            project_id: job.project_id.map(|id| id.to_string()),
            state: job.state.into(),
            direction: job.direction.into(),
            steps: job.steps.iter().map(JobStep::from).collect(),
            error: job.failure.as_ref().filter(|_| job.waits_for().is_none()).map(Failure::from),
            created_at: job.created_at.into(),
            started_at: job.started_at.map(Time::from),
            finished_at: job.finished_at.map(Time::from),
            // A job that was never claimed waits for its turn; one that was waits for its next try.
            next_attempt_at: (job.state == State_::Queued && job.claims > 0 && job.waits_for().is_none())
                .then(|| job.run_at.into()),
            waits_for: job.waits_for().map(Failure::from),
        }
    }
}

impl From<&ModelStep> for JobStep {
    fn from(step: &ModelStep) -> Self {
        Self {
            name: step.name.clone(),
            label: step.label.clone(),
            state: step.state.into(),
            attempts: step.attempts,
            started_at: step.started_at.map(Time::from),
            ended_at: step.ended_at.map(Time::from),
            detail: step.detail.clone(),
        }
    }
}

/// Lists the caller's jobs, the newest first.
#[utoipa::path(get, path = "/api/jobs", tag = "jobs", params(JobQuery),
    responses((status = 200, description = "The jobs.", body = Page<Job>)))]
pub(crate) async fn list_jobs(
    Extract(state): Extract<State>,
    caller: Caller,
    Query(query): Query<JobQuery>,
) -> Result<Json<Page<Job>>, Problem> {
    let only = AppJobQuery {
        project_id: query.project_id.map(|id| id.parse::<ProjectId>()).transpose()?,
        state: query.state.map(|state| state.0),
        kind: query.kind,
    };
    let cursor = query.cursor.as_deref();
    let (jobs, next) = state.app.list_jobs(&caller.ctx, &caller.user, &only, cursor, query.limit).await?;
    Ok(Json(Page { items: jobs.iter().map(Job::from).collect(), next }))
}

/// Shows a job.
#[utoipa::path(get, path = "/api/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The job.", body = Job)))]
pub(crate) async fn get_job(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, Problem> {
    let job = state.app.get_job(&caller.ctx, &caller.user, id).await?;
    Ok(Json((&job).into()))
}

/// A line of a job's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobLine {
    /// Its number.
    sequence: i64,
    /// When it was written.
    at: Time,
    /// `info`, `warn` or `error`.
    level: &'static str,
    /// What it says.
    text: String,
}

/// Shows the last lines of a job's log, the oldest first.
#[utoipa::path(get, path = "/api/jobs/{id}/log", tag = "jobs", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The lines.", body = Page<JobLine>)))]
pub(crate) async fn get_job_log(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Json<Page<JobLine>>, Problem> {
    let lines = state.app.job_log(&caller.ctx, &caller.user, id).await?;
    Ok(Json(Page::whole(lines.into_iter().map(|line| JobLine {
        sequence: line.sequence,
        at: line.at.into(),
        level: line.level.as_str(),
        text: line.text,
    }))))
}

/// Cancels a job: what it did is taken back.
#[utoipa::path(post, path = "/api/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "It is being cancelled.", body = Job)))]
pub(crate) async fn cancel_job(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, Problem> {
    let job = state.app.cancel_job(&caller.ctx, &caller.user, id).await?;
    Ok(Json((&job).into()))
}

/// Does a job that failed again, as a job of its own.
#[utoipa::path(post, path = "/api/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The job that does it again.", body = Job)))]
pub(crate) async fn retry_job(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, Problem> {
    let job = state.app.retry_job(&caller.ctx, &caller.user, id).await?;
    Ok(Json((&job).into()))
}

/// Tells whether the queue is paused.
#[utoipa::path(get, path = "/api/queue", tag = "jobs",
    responses((status = 200, description = "How it is.", body = Queue)))]
pub(crate) async fn get_queue(Extract(state): Extract<State>, caller: Caller) -> Result<Json<Queue>, Problem> {
    Ok(Json(state.app.queue(&caller.ctx, &caller.user).await?.into()))
}

/// Pauses the queue, or resumes it: while it is paused no job begins, and those that have begun go on to their end.
#[utoipa::path(put, path = "/api/queue", tag = "jobs", request_body = QueueRequest,
    responses((status = 200, description = "How it is.", body = Queue)))]
pub(crate) async fn change_queue(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<QueueRequest>,
) -> Result<Json<Queue>, Problem> {
    Ok(Json(state.app.pause_queue(&caller.ctx, &caller.user, request.paused).await?.into()))
}
