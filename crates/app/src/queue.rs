//! Jobs as people see them: list, look, cancel, retry, pause them all. And what happens outside the queue when a Job changes.

use std::collections::BTreeSet;

use doce_jobs::RetryError;
use doce_model::{
    Actor, AuditAction, AuditEvent, Ctx, Failure, Job, JobId, JobLine, JobState, MessageId, MessageState, Ms, NextMove,
    ProjectId, User, UserId,
};
use doce_store::{Read, conversation, job, project};
use tokio::sync::mpsc;

use crate::{
    App, Error, chain,
    events::Change,
    jobs::{apply_delivery, delete_project, launch_project, send_prompt, start_project},
    people::admins_only,
    projects::{enqueue_error, read_cursor},
    reconcilers::restarts,
    room,
    steps::delivery,
};

/// Jobs on a page, unless the caller wants another number.
const PAGE: i64 = 50;
/// Most Jobs on a page.
const PAGE_MAX: i64 = 200;
/// Changes of Jobs that are told together.
const AT_ONCE: usize = 256;

/// Which Jobs to list. What is `None` doesn't matter.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Of this Project.
    pub project_id: Option<ProjectId>,
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<String>,
}

/// What audit events of the queue name.
const NOUN: &str = "queue";

/// How the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueView {
    /// Since when no Job begins, if it is paused.
    pub paused_at: Option<Ms>,
}

impl App {
    /// Tells how the queue is. Everybody may know why nothing begins.
    pub async fn queue(&self, _ctx: &Ctx, _user: &User) -> Result<QueueView, Error> {
        Ok(QueueView { paused_at: job::pause::find(&mut self.store.read().await?).await? })
    }

    /// Pauses the queue, or resumes it: while it is paused no Job begins, and what has begun goes on to its end.
    /// Admins only.
    pub async fn pause_queue(&self, ctx: &Ctx, by: &User, paused: bool) -> Result<QueueView, Error> {
        admins_only(by)?;
        let mut tx = self.store.write(ctx).await?;
        let (changed, action) = if paused {
            (self.jobs.pause(&mut tx).await?, AuditAction::PauseQueue)
        } else {
            (self.jobs.end_pause(&mut tx).await?, AuditAction::ResumeQueue)
        };
        let queue = QueueView { paused_at: job::pause::find(&mut tx).await? };
        if changed {
            tx.audit(AuditEvent::ok(action, NOUN)).await?;
            tx.commit().await?;
            self.jobs.wake();
            self.bus.publish_to_all(Change::Queue(queue));
        }
        Ok(queue)
    }

    /// Lists a page of a user's Jobs, newest first, and where the next one begins.
    pub async fn list_jobs(
        &self,
        _ctx: &Ctx,
        user: &User,
        only: &JobQuery,
        cursor: Option<&str>,
        limit: Option<i64>,
    ) -> Result<(Vec<Job>, Option<String>), Error> {
        let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let before = cursor.map(read_cursor::<JobId>).transpose()?;
        let JobQuery { project_id, state, kind } = only.clone();
        let filter = job::Filter { user_id: Some(user.id), project_id, state, kind };
        let jobs = job::list(&mut self.store.read().await?, &filter, before, limit).await?;
        let full = i64::try_from(jobs.len()).unwrap_or(i64::MAX) == limit;
        let next = jobs.last().filter(|_| full).map(|last| format!("{}.{}", last.created_at.0, last.id));
        Ok((jobs, next))
    }

    /// Lists which of a user's Jobs have not ended, oldest first, and whether each is at work.
    pub async fn live_jobs(&self, _ctx: &Ctx, user: &User) -> Result<Vec<(JobId, JobState)>, Error> {
        Ok(job::live_of(&mut self.store.read().await?, user.id).await?)
    }

    /// Returns one of a user's Jobs.
    pub async fn get_job(&self, _ctx: &Ctx, user: &User, id: JobId) -> Result<Job, Error> {
        own_job(&mut self.store.read().await?, user, id).await
    }

    /// Returns the last lines of the log of one of a user's Jobs, oldest first.
    pub async fn job_log(&self, _ctx: &Ctx, user: &User, id: JobId) -> Result<Vec<JobLine>, Error> {
        let mut read = self.store.read().await?;
        own_job(&mut read, user, id).await?;
        Ok(job::log(&mut read, id, 0, job::MAX_LOG_LINES).await?)
    }

    /// Asks a Job to end; what it did is undone.
    pub async fn cancel_job(&self, ctx: &Ctx, user: &User, id: JobId) -> Result<Job, Error> {
        let mut tx = self.store.write(ctx).await?;
        let found = own_job(&mut tx, user, id).await?;
        if !found.state.is_live() {
            return Err(Error::Conflict(Failure::new(
                "job_ended",
                format!("This job has ended already: {}.", found.state),
                NextMove::None,
            )));
        }
        self.jobs.cancel(&mut tx, id).await?;
        tx.audit(of_job(AuditAction::CancelJob, &found)).await?;
        tx.commit().await?;
        self.jobs.changed([id]);
        own_job(&mut self.store.read().await?, user, id).await
    }

    /// Does a Job again that failed or was cancelled.
    pub async fn retry_job(&self, ctx: &Ctx, user: &User, id: JobId) -> Result<Job, Error> {
        crate::program::retry(self);
        let mut tx = self.store.write(ctx).await?;
        let found = own_job(&mut tx, user, id).await?;
        let again = self.jobs.retry(&mut tx, id).await.map_err(|e| match e {
            RetryError::NotFound(id) => Error::not_found("job", id),
            RetryError::NotFailed(state) => Error::Conflict(Failure::new(
                "job_not_failed",
                format!("Only a job that failed or was cancelled can be run again; this one is {state}."),
                NextMove::None,
            )),
            RetryError::Enqueue(e) => enqueue_error(e),
            RetryError::Store(e) => e.into(),
        })?;
        if (found.kind == send_prompt::KIND || found.kind == launch_project::KIND)
            && let Some(mut message) = message_of(&mut tx, &found).await?
            && message.state == MessageState::Failed
        {
            message.state = MessageState::Waiting;
            message.failure = None;
            conversation::update_message(&mut tx, &message).await?;
        }
        tx.audit(of_job(AuditAction::RetryJob, &found)).await?;
        let job = job::find(&mut tx, again).await?.ok_or_else(|| Error::not_found("job", again))?;
        tx.commit().await?;
        self.jobs.changed([again]);
        Ok(job)
    }
}

impl App {
    /// Lets the Jobs go on, of one user or of all, that waited for a key which is there.
    ///
    /// Called after each change of a Connection. A Job that begins to wait in the same moment is looked at when it does,
    /// see [`tell`], and all of them are at a start.
    pub(crate) async fn resume_waiting(&self, user_id: Option<UserId>) -> Result<(), Error> {
        let waiting = job::waiting(&mut self.store.read().await?, user_id).await?;
        for job in waiting {
            self.resume_if_mended(&job).await?;
        }
        Ok(())
    }

    /// Lets a waiting Job go on if what it waits for is there, or is something else by now, which it then says.
    async fn resume_if_mended(&self, job: &Job) -> Result<(), Error> {
        let (Some(waits_for), Some(project_id)) = (job.waits_for(), job.project_id) else {
            return Ok(());
        };
        if room::is_no_room(waits_for) {
            self.room.look();
            return Ok(());
        }
        let mut read = self.store.read().await?;
        let Some(project) = project::find(&mut read, project_id).await? else {
            return Ok(());
        };
        let missing = delivery::missing_key(self, &mut read, &project).await?;
        // Names in the sentence may differ while the catalogue isn't read yet.
        if missing.is_some_and(|missing| {
            (&missing.code, missing.next, missing.connection_id)
                == (&waits_for.code, waits_for.next, waits_for.connection_id)
        }) {
            return Ok(());
        }
        drop(read);
        let ctx = self.ctx(Actor::Reconciler("waiting"), &job.id.to_string());
        let mut tx = self.store.write(&ctx).await?;
        let resumed = self.jobs.resume(&mut tx, job.id).await?;
        tx.commit().await?;
        if resumed {
            self.jobs.changed([job.id]);
        }
        Ok(())
    }
}

fn of_job(action: AuditAction, job: &Job) -> AuditEvent {
    let event = AuditEvent::ok(action, &job.id).of(job.user_id).detail(job.kind.clone());
    match job.project_id {
        Some(project_id) => event.project(project_id),
        None => event,
    }
}

async fn own_job(read: &mut impl Read, user: &User, id: JobId) -> Result<Job, Error> {
    job::find(read, id).await?.filter(|job| job.user_id == user.id).ok_or_else(|| Error::not_found("job", id))
}

/// Finds the Message that a Job sends.
async fn message_of(read: &mut impl Read, job: &Job) -> Result<Option<doce_model::Message>, Error> {
    let Ok(payload) = serde_json::from_str::<send_prompt::Payload>(&job.payload) else {
        return Ok(None);
    };
    let Ok(id) = payload.message_id.parse::<MessageId>() else {
        return Ok(None);
    };
    Ok(conversation::find_message(read, id).await?)
}

/// Tells browsers about each Job that changed, and lets a Prompt that could not be sent say so.
pub(crate) async fn tell_changes(app: &App, mut changes: mpsc::UnboundedReceiver<JobId>) {
    let mut some = Vec::new();
    loop {
        some.clear();
        tokio::select! {
            _ = changes.recv_many(&mut some, AT_ONCE) => {}
            () = app.stopping.cancelled() => return,
        }
        if some.is_empty() {
            return;
        }
        // What changed several times since is told as it stands now, once.
        let mut told = BTreeSet::new();
        for id in some.iter().rev().filter(|id| told.insert(**id)).collect::<Vec<_>>().into_iter().rev() {
            if let Err(e) = tell(app, *id).await {
                tracing::error!(job = %id, error = chain(&e), "a change of a job was not told");
            }
        }
    }
}

async fn tell(app: &App, id: JobId) -> Result<(), Error> {
    let Some(job) = job::find(&mut app.store.read().await?, id).await? else {
        return Ok(());
    };
    if job.kind == send_prompt::KIND || job.kind == launch_project::KIND {
        settle_prompt(app, &job).await?;
    }
    if !job.state.is_live() {
        app.room.forget(job.id);
    }
    // The Agent may have ended while this Job was at work, or at its hands.
    let starts = [launch_project::KIND, start_project::KIND, send_prompt::KIND].contains(&job.kind.as_str());
    if let Some(project_id) = job.project_id.filter(|_| starts && !job.state.is_live()) {
        restarts::look(app, project_id).await;
    }
    // What it waits for may have come before it began to wait.
    app.resume_if_mended(&job).await?;
    let (user_id, project_id) = (job.user_id, job.project_id);
    let deleted = job.kind == delete_project::KIND && job.state == JobState::Succeeded;
    let is_of_project = job.kind != apply_delivery::KIND;
    app.bus.publish(user_id, Change::Job(Box::new(job)));
    match project_id {
        Some(project_id) if deleted => app.bus.publish(user_id, Change::ProjectDeleted(project_id)),
        // What a Project is doing doesn't depend on who else's Job is about it.
        Some(project_id) if is_of_project => app.publish_project(project_id).await,
        Some(_) | None => {}
    }
    Ok(())
}

/// Gives a Prompt whose Job ended without sending it a state that says so.
async fn settle_prompt(app: &App, job: &Job) -> Result<(), Error> {
    let (state, failure) = match job.state {
        JobState::Failed | JobState::Stuck => {
            let failure = job.failure.clone().map(|failure| Failure { next: next_of(&failure), ..failure });
            (MessageState::Failed, failure)
        }
        JobState::Cancelled => {
            let stopped = Failure::new("not_sent", "Stopped before the prompt was sent.", NextMove::Continue);
            (MessageState::Failed, Some(stopped))
        }
        JobState::Queued | JobState::Running | JobState::Succeeded => return Ok(()),
    };
    let ctx = app.ctx(Actor::Job(job.id, job.user_id), &job.id.to_string());
    let mut tx = app.store.write(&ctx).await?;
    let Some(mut message) = message_of(&mut tx, job).await? else {
        return Ok(());
    };
    match message.state {
        MessageState::Waiting | MessageState::Sending => {}
        MessageState::Sent
        | MessageState::Streaming
        | MessageState::Complete
        | MessageState::Interrupted
        | MessageState::Failed
        | MessageState::Aborted => return Ok(()),
    }
    message.state = state;
    message.failure = failure;
    conversation::update_message(&mut tx, &message).await?;
    tx.commit().await?;
    if let Some(project_id) = job.project_id {
        app.publish_message(project_id, message.id).await;
    }
    Ok(())
}

/// The next move about a Prompt that was not sent: *Continue* sends it.
fn next_of(failure: &Failure) -> NextMove {
    match failure.next {
        NextMove::Retry | NextMove::Start | NextMove::None => NextMove::Continue,
        other @ (NextMove::ConnectProvider
        | NextMove::ReplaceKey
        | NextMove::Continue
        | NextMove::TopUp
        | NextMove::SwitchModel
        | NextMove::OpenLogs) => other,
    }
}
