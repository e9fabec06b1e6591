//! Conversations: read them, prompt, continue, abort.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::Duration,
};

use doce_jobs::{New, Policy};
use doce_model::{
    AuditAction, AuditEvent, Ctx, Desired, Failure, Job, Message, MessageId, MessageState, ModelRef, NextMove,
    ProjectId, Session, Speaker, User,
};
use doce_opencode::Status;
use doce_store::{Tx, conversation, instance, job, project};

use crate::{
    App, Error,
    events::Change,
    jobs::{self, send_prompt},
    model_preferences::note_use,
    projects::{check_prompt, enqueue_error, insert_prompt, own_project},
    views::{ConversationView, ProjectView},
};

/// Messages on a page, unless the caller wants another number.
const PAGE: i64 = 100;
/// Most Messages on a page.
const PAGE_MAX: i64 = 200;
/// Failures of the Job that sends a Prompt, rather than of the answer to one.
const NOT_TAKEN: &[&str] =
    &["project_not_running", "prompt_not_taken", "step_timeout", "internal", "not_sent", "agent_not_answering"];
/// How long until an Agent that answers nothing may have been ended without anybody's doing.
const NOT_ANSWERING_RETRY_AFTER: Duration = Duration::from_mins(2);
/// What the user is taken to say when they press *Continue*.
const CONTINUE: &str = "Continue where you stopped.";

impl App {
    /// Reads a page of a Project's conversation, the newest unless `before` says otherwise, without any Agent.
    pub async fn conversation(
        &self,
        _ctx: &Ctx,
        user: &User,
        id: ProjectId,
        before: Option<i64>,
        limit: Option<i64>,
    ) -> Result<ConversationView, Error> {
        let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let mut read = self.store.read().await?;
        own_project(&mut read, user, id).await?;
        let session = session_of(&mut read, id).await?;
        // The number is taken first, and with the words in memory: every event up to it is in what is read after it.
        let agent = self.agents.find(id);
        let (event_id, live) = match &agent {
            Some(agent) => {
                let live = agent.live.lock().unwrap_or_else(PoisonError::into_inner);
                (self.bus.last_id(), Some(live.clone()))
            }
            None => (self.bus.last_id(), None),
        };
        let page = conversation::page(&mut read, session.id, before, limit).await?;
        let mut messages = page.messages;
        if let Some(live) = live {
            for message in &mut messages {
                live.lay_over(message);
            }
        }
        Ok(ConversationView { messages, before: page.before, event_id })
    }

    /// Sends a Prompt. A Project that doesn't run is started for it.
    pub async fn prompt(
        &self,
        ctx: &Ctx,
        user: &User,
        id: ProjectId,
        text: String,
        model: Option<ModelRef>,
    ) -> Result<(Message, Job), Error> {
        let text = check_prompt(&text, "text")?;
        self.require_sandbox().map_err(Error::Conflict)?;
        let model = match model {
            Some(model) => model,
            None => own_project(&mut self.store.read().await?, user, id).await?.model,
        };
        let chosen = self.choice_with(user, id, &[]).await?;
        self.check_model(user, &model, &chosen).await?;
        let answering = self.is_answering(id).await?;
        let mut tx = self.store.write(ctx).await?;
        let mut project = own_project(&mut tx, user, id).await?;
        let session = session_of(&mut tx, id).await?;
        require_not_busy(&mut tx, &session, answering).await?;
        project.model = model.clone();
        project.desired = Desired::Running;
        project.last_active_at = tx.now();
        project::update(&mut tx, &project).await?;
        let message = insert_prompt(&mut tx, user, session.id, &text, &model).await?;
        note_use(&mut tx, user, &model).await?;
        tx.audit(AuditEvent::ok(AuditAction::Prompt, &id)).await?;
        let accepted = self.enqueue_send(tx, user, id, &session, message).await?;
        self.publish_recents(user).await?;
        Ok(accepted)
    }

    /// Takes a turn up again that was interrupted or failed.
    ///
    /// A Prompt that no Agent ever had is sent as it is; otherwise the Agent is asked to continue.
    pub async fn continue_turn(&self, ctx: &Ctx, user: &User, id: ProjectId) -> Result<(Message, Job), Error> {
        let mut tx = self.store.write(ctx).await?;
        let project = own_project(&mut tx, user, id).await?;
        let session = session_of(&mut tx, id).await?;
        let last = conversation::last(&mut tx, session.id).await?;
        let unsent = match last {
            // Sending it again is safe either way: the step asks the Agent first whether it has it.
            Some(last) if last.speaker == Speaker::User && last.state == MessageState::Failed => {
                let tried = conversation::find_send(&mut tx, last.id).await?.is_some();
                let not_taken = last.failure.as_ref().is_some_and(|failure| NOT_TAKEN.contains(&failure.code.as_str()));
                (!tried || not_taken).then_some(last.id)
            }
            Some(_) | None => None,
        };
        let Some(unsent) = unsent else {
            drop(tx);
            return self.prompt(ctx, user, id, CONTINUE.to_owned(), Some(project.model)).await;
        };
        let mut message =
            conversation::find_message(&mut tx, unsent).await?.ok_or_else(|| Error::not_found("message", unsent))?;
        message.state = MessageState::Waiting;
        message.failure = None;
        conversation::update_message(&mut tx, &message).await?;
        tx.audit(AuditEvent::ok(AuditAction::Prompt, &id)).await?;
        self.enqueue_send(tx, user, id, &session, message).await
    }

    async fn enqueue_send(
        &self,
        mut tx: Tx,
        user: &User,
        id: ProjectId,
        session: &Session,
        message: Message,
    ) -> Result<(Message, Job), Error> {
        let mut changed = Vec::new();
        let runs = self.agents.find(id).is_some()
            && instance::find_live(&mut tx, id).await?.is_some()
            && job::live_for_subject(&mut tx, &jobs::project_subject(id)).await?.is_empty();
        let mut new = New::new(send_prompt::KIND, jobs::session_subject(session.id), user.id)
            .project(id)
            .payload(&send_prompt::Payload { message_id: message.id.to_string() })
            // Behind the Job of the Prompt before, which may end a moment after its answer. One that has not begun is none:
            // its Prompt would still be waiting, and this one refused.
            .policy(Policy::Coalesce);
        if !runs {
            let project = project::find(&mut tx, id).await?.ok_or_else(|| Error::not_found("project", id))?;
            let start = self.enqueue_start(&mut tx, &project).await?;
            new = new.after(start.id);
            changed.extend(start.changed());
        }
        let enqueued = self.jobs.enqueue(&mut tx, new).await.map_err(enqueue_error)?;
        changed.extend(enqueued.changed());
        let job = job::find(&mut tx, enqueued.id).await?.ok_or_else(|| Error::not_found("job", enqueued.id))?;
        tx.commit().await?;
        for part in &message.parts {
            self.bus.publish(user.id, Change::Message(id, Box::new(Message { parts: Vec::new(), ..message.clone() })));
            self.bus.publish(user.id, Change::Part(id, Box::new(part.clone())));
        }
        self.jobs.changed(changed);
        self.publish_project(id).await;
        Ok((message, job))
    }

    /// Stops the answer that is being written, or a Prompt on its way.
    pub async fn abort(&self, ctx: &Ctx, user: &User, id: ProjectId) -> Result<ProjectView, Error> {
        let mut tx = self.store.write(ctx).await?;
        let project = own_project(&mut tx, user, id).await?;
        let session = session_of(&mut tx, id).await?;
        let mut cancelled = Vec::new();
        for waiting in job::live_for_subject(&mut tx, &jobs::session_subject(session.id)).await? {
            self.jobs.cancel(&mut tx, waiting.id).await?;
            cancelled.push(waiting.id);
        }
        tx.audit(AuditEvent::ok(AuditAction::Abort, &id)).await?;
        tx.commit().await?;
        self.jobs.changed(cancelled);
        if let (Some(agent), Some(agent_session)) = (self.agents.find(id), session.agent_session_id) {
            agent.aborted.store(true, Ordering::SeqCst);
            agent
                .client
                .abort(&agent_session)
                .await
                .map_err(|e| if e.is_transient() { unanswered(&e) } else { Error::internal(e) })?;
        }
        let mut read = self.store.read().await?;
        self.project_view(&mut read, project).await
    }

    /// Tells whether a Project's Agent writes an answer. One that is said to is asked itself before somebody is refused
    /// for it: the follower may not have looked at an adopted one yet, or hear late of an end.
    async fn is_answering(&self, id: ProjectId) -> Result<bool, Error> {
        let Some(agent) = self.agents.find(id).filter(|agent| !agent.is_idle()) else {
            return Ok(false);
        };
        let session = session_of(&mut self.store.read().await?, id).await?;
        let Some(agent_session) = session.agent_session_id else {
            return Ok(false);
        };
        // One that doesn't answer is left alone.
        Ok(agent
            .client
            .statuses()
            .await
            .map_or(true, |statuses| statuses.get(&agent_session).is_some_and(|status| *status != Status::Idle)))
    }

    /// Tells the owner's browsers how a Message stands, with its Parts.
    pub(crate) async fn publish_message(&self, project_id: ProjectId, id: MessageId) {
        let told = async {
            let mut read = self.store.read().await?;
            let Some(message) = conversation::find_message(&mut read, id).await? else {
                return Ok(());
            };
            let Some(project) = project::find(&mut read, project_id).await? else {
                return Ok(());
            };
            let bare = Message { parts: Vec::new(), ..message.clone() };
            self.bus.publish(project.user_id, Change::Message(project_id, Box::new(bare)));
            Ok::<(), Error>(())
        };
        if let Err(e) = told.await {
            tracing::error!(message = %id, error = crate::chain(&e), "a message was not published");
        }
    }
}

/// Says what to do about an Agent that did not do what it was asked for.
fn unanswered(error: &doce_opencode::CallError) -> Error {
    tracing::warn!(error = crate::chain(error), "an agent was asked to stop its answer and did not");
    Error::Unavailable {
        code: "agent_not_answering",
        message: "The agent does not answer, so its work could not be stopped. Stop the project: that ends the agent, \
                  and the next prompt starts it again."
            .to_owned(),
        retry_after: NOT_ANSWERING_RETRY_AFTER,
    }
}

/// Refuses a Prompt while another one is under way.
async fn require_not_busy(tx: &mut Tx, session: &Session, answering: bool) -> Result<(), Error> {
    let waiting = conversation::in_states(tx, session.id, &[MessageState::Waiting, MessageState::Sending]).await?;
    // Between a Prompt's arrival and the first sign of its answer the Agent still says "idle".
    let arriving = conversation::last(tx, session.id).await?.is_some_and(|last| last.state == MessageState::Sent);
    if waiting.is_empty() && !answering && !arriving {
        return Ok(());
    }
    Err(Error::Conflict(Failure::new("busy", "The agent is still answering. Wait, or stop it first.", NextMove::None)))
}

pub(crate) async fn session_of(read: &mut impl doce_store::Read, id: ProjectId) -> Result<Session, Error> {
    conversation::find_session(read, id).await?.ok_or_else(|| Error::not_found("session", id))
}
