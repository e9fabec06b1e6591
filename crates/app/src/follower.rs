//! Copies what an Agent says into the store and onto the bus.
//!
//! One follower per running Agent holds one upstream stream. It subscribes first and then reads the whole
//! conversation, because OpenCode replays nothing. Parts are stored whole: at once when their state changes, else at
//! most every [`FLUSH_EVERY`]; words in between live in memory, in [`Live`], which a snapshot of the conversation
//! lays over the rows. What an Agent says is untrusted: sizes are capped, ids are only compared, a user's Message that
//! doce did not send is not believed.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use doce_model::{
    Actor, AuditAction, AuditEvent, Connection, Failure, Message, MessageId, MessageState, ModelRef, Ms, NextMove,
    Observed, Part, PartId, PartKind, SessionStatus, Speaker, ToolCall, ToolStatus,
};
use doce_opencode::{AgentError, CallError, Event, MessageWithParts, Reply, Role, Status, StreamError};
use doce_store::{StoreError, connection, conversation, delivery};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::{
    App, Error,
    agents::{self, ANSWER_BEGINS_WITHIN, Agent},
    chain,
    events::Change,
    failures,
    jobs::apply_delivery,
    logins::renewal,
};

/// How long words stay in memory alone.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(500);
/// How long after a run's end the last word on it may still come: OpenCode sends `session.idle` before the message's
/// error (1.18.33, observed).
const SETTLE_AFTER: Duration = Duration::from_secs(1);
/// Waits between tries to follow again.
const RECONNECT: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(3)];
/// Tries in a row without any answer after which an Agent is said not to respond. One may be a pause.
const UNANSWERED_SHOWN: usize = 2;
/// Answers without any content in a row after which the run is stopped: OpenCode asks again without end when a provider
/// answers 200 with nothing (1.18.33, observed: 367 calls in a minute).
pub(crate) const EMPTY_ANSWERS_MAX: usize = 8;
/// Bytes of a text that are kept.
pub(crate) const TEXT_MAX: usize = 1024 * 1024;
/// Bytes of a tool's output that are kept.
pub(crate) const OUTPUT_MAX: usize = 64 * 1024;
/// Bytes of a tool's input that are kept.
pub(crate) const INPUT_MAX: usize = 512 * 1024;
/// Messages that are read of a conversation that is too large to be read whole; fewer, if these are too large, too.
const NEWEST_MAX: usize = 50;
/// What is said where something of an Agent was too large to be read.
const UNREAD: &str = "A part of this answer was too large to be shown here. It is in the agent's own files.";
/// How often it is logged that Parts can't be stored, while they can't.
const LOG_EVERY: Duration = Duration::from_mins(1);
/// How often browsers are told that files changed.
const FILES_EVERY: Duration = Duration::from_millis(500);

/// The Parts that are being written, as they are at this moment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Live {
    parts: HashMap<PartId, Part>,
}

impl Live {
    /// Lays the Parts in memory over those of a stored Message.
    pub(crate) fn lay_over(&self, message: &mut Message) {
        for part in self.parts.values().filter(|part| part.message_id == message.id) {
            match message.parts.iter_mut().find(|stored| stored.id == part.id) {
                Some(stored) => *stored = part.clone(),
                None => message.parts.push(part.clone()),
            }
        }
        message.parts.sort_by_key(|part| part.position);
    }
}

/// Begins to follow an Agent, once.
pub(crate) fn follow(app: &App, agent: &Arc<Agent>, agent_session: String) {
    if !agent.begin_following() {
        return;
    }
    let (app, agent) = (app.clone(), Arc::clone(agent));
    app.clone().tasks.spawn(async move {
        let mut follower = Follower::new(app.clone(), Arc::clone(&agent), agent_session);
        tokio::select! {
            () = follower.run() => {}
            () = agent.ended.cancelled() => {}
            () = app.stopping.cancelled() => {}
        }
        follower.flush().await;
    });
}

/// A Message that is being followed.
struct Followed {
    message: Message,
    /// Whether it has a row. An answer gets one with its first content.
    stored: bool,
    /// The Prompt that it answers, by the Agent's id, until that is known to be answered.
    answers: Option<String>,
    /// Its Parts by the Agent's ids.
    parts: HashMap<String, FollowedPart>,
    next_position: i64,
}

struct FollowedPart {
    part: Part,
    /// It was whole in a snapshot: words that are still on their way are in it already.
    whole: bool,
    /// Length of its text in UTF-16 units.
    utf16: usize,
    dirty: bool,
}

/// Where a Part comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The stream, in order.
    Stream,
    /// The whole conversation, read beside the stream.
    Snapshot,
}

struct Follower {
    app: App,
    agent: Arc<Agent>,
    agent_session: String,
    /// The Messages of the present turn, and older ones that changed, by the Agent's ids.
    messages: HashMap<String, Followed>,
    flush_at: Option<Instant>,
    settle_at: Option<Instant>,
    files_at: Option<Instant>,
    /// An error of the run, until it is known which Message it belongs to.
    error: Option<AgentError>,
    /// The Prompt of this turn, by the Agent's id.
    turn: Option<String>,
    /// Answers of this turn without any content, in a row.
    empty: usize,
    /// Whether this turn was stopped for those.
    runaway: bool,
    /// Tries to follow in a row that failed, for whatever reason.
    failures: usize,
    /// Those of them, in a row, in which the Agent gave no answer.
    unanswered: usize,
    /// When the Agent was last heard.
    heard_at: Instant,
    /// Whether its row may say that it doesn't respond.
    shown_unhealthy: bool,
    /// How many of the newest Messages are read, since the whole conversation was too large.
    newest: Option<usize>,
    /// Whether something was too large to be read, and this is not said yet.
    unread: bool,
    flush_failures: Seldom,
}

/// Keeps what happens again and again from filling the log.
#[derive(Debug, Default)]
struct Seldom {
    last: Option<Instant>,
}

impl Seldom {
    /// Tells whether it is to be logged: the first time, and each [`LOG_EVERY`].
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= LOG_EVERY);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

impl Follower {
    fn new(app: App, agent: Arc<Agent>, agent_session: String) -> Self {
        Self {
            app,
            agent,
            agent_session,
            messages: HashMap::new(),
            flush_at: None,
            settle_at: None,
            files_at: None,
            error: None,
            turn: None,
            empty: 0,
            runaway: false,
            failures: 0,
            unanswered: 0,
            heard_at: Instant::now(),
            shown_unhealthy: false,
            newest: None,
            unread: false,
            flush_failures: Seldom::default(),
        }
    }

    async fn run(&mut self) {
        loop {
            if let Err(e) = self.follow_once().await {
                tracing::warn!(instance = %self.agent.instance_id, error = chain(&e), "the agent's stream broke");
                if is_the_agents(&e) {
                    self.note_silence().await;
                } else {
                    self.unread |= is_too_large(&e);
                    self.heard_at = Instant::now();
                    self.unanswered = 0;
                }
            }
            let wait = RECONNECT[self.failures.min(RECONNECT.len() - 1)];
            self.failures += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// Notes that the Agent gave no answer that can be used. One that doesn't for long is ended: `reconcilers/restarts.rs` takes over.
    async fn note_silence(&mut self) {
        self.unanswered += 1;
        if self.unanswered < UNANSWERED_SHOWN {
            return;
        }
        self.shown_unhealthy = true;
        agents::observe(&self.app, &self.agent, Observed::Unhealthy).await;
        if self.heard_at.elapsed() >= self.app.config.agents.unanswered {
            agents::end_unanswering(&self.agent).await;
        }
    }

    /// Notes that the Agent is well: it sends events, and answers when it is asked.
    async fn note_heard(&mut self) {
        self.failures = 0;
        self.unanswered = 0;
        self.heard_at = Instant::now();
        if self.shown_unhealthy {
            self.shown_unhealthy = false;
            agents::observe(&self.app, &self.agent, Observed::Healthy).await;
        }
    }

    /// Follows one stream until it ends.
    async fn follow_once(&mut self) -> Result<(), Error> {
        let silence = self.app.config.agents.silence;
        let mut events = std::pin::pin!(self.agent.client.events_unless_silent_for(silence));
        // OpenCode says "connected" a moment before it listens to itself, and what happens in between is lost (1.18.33,
        // observed). So the state is read again at the first sign that it does listen: an event, or a heartbeat.
        let mut heard = false;
        loop {
            let due = [self.flush_at, self.settle_at, self.files_at].into_iter().flatten().min();
            let timer = async {
                match due {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(Event::Connected)) => {
                        self.resync().await?;
                        self.note_heard().await;
                    }
                    Some(Ok(event)) => {
                        if !heard {
                            heard = true;
                            self.resync().await?;
                        }
                        self.note_heard().await;
                        self.take(event).await?;
                    }
                    Some(Err(e)) => return Err(Error::internal(e)),
                    None => return Ok(()),
                },
                () = timer => self.on_timer().await?,
            }
        }
    }

    async fn on_timer(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if self.flush_at.is_some_and(|at| at <= now) {
            self.flush().await;
        }
        if self.files_at.is_some_and(|at| at <= now) {
            self.files_at = None;
            self.publish(Change::Files(self.agent.project_id));
        }
        if self.settle_at.is_some_and(|at| at <= now) {
            self.settle_at = None;
            self.settle().await?;
        }
        Ok(())
    }

    fn publish(&self, change: Change) {
        self.app.bus.publish(self.agent.user_id, change);
    }

    /// Reads the whole conversation, and what the Session is doing: nothing that happened before is replayed.
    async fn resync(&mut self) -> Result<(), Error> {
        self.flush().await;
        let client = self.agent.client.clone();
        for entry in self.read_conversation().await? {
            let has_parts = !entry.parts.is_empty();
            // Parts need a Message. One that is known gets its last words before it is said to be whole.
            let (unknown, known) =
                if self.known(&entry.info.id).await? { (None, Some(entry.info)) } else { (Some(entry.info), None) };
            if let Some(info) = unknown {
                self.take_message(info, Origin::Snapshot, has_parts).await?;
            }
            for part in entry.parts {
                self.take_part(part, Origin::Snapshot).await?;
            }
            if let Some(info) = known {
                self.take_message(info, Origin::Snapshot, has_parts).await?;
            }
        }
        let statuses = client.statuses().await.map_err(Error::internal)?;
        let status = statuses.get(&self.agent_session).cloned().unwrap_or(Status::Idle);
        self.set_status(&status).await;
        for request in client.permissions().await.map_err(Error::internal)? {
            self.refuse_permission(&request.id, &request.permission).await?;
        }
        for request in client.questions().await.map_err(Error::internal)? {
            client.reject_question(&request.id).await.map_err(Error::internal)?;
        }
        if status == Status::Idle {
            self.settle().await?;
        }
        Ok(())
    }

    /// Reads the whole conversation, or as many of its newest Messages as aren't too large together.
    async fn read_conversation(&mut self) -> Result<Vec<MessageWithParts>, Error> {
        let client = self.agent.client.clone();
        if self.newest.is_none() {
            match client.messages(&self.agent_session).await {
                Ok(messages) => {
                    self.unread = false;
                    return Ok(messages);
                }
                Err(CallError::TooLarge { .. }) => {}
                Err(e) => return Err(Error::internal(e)),
            }
        }
        let mut most = self.newest.unwrap_or(NEWEST_MAX);
        while most > 0 {
            match client.newest_messages(&self.agent_session, most).await {
                Ok(messages) => {
                    self.newest = Some((most * 2).min(NEWEST_MAX));
                    return Ok(messages);
                }
                Err(CallError::TooLarge { .. }) => most /= 2,
                Err(e) => return Err(Error::internal(e)),
            }
        }
        // Not even the last one alone: what comes after it is followed all the same.
        tracing::warn!(instance = %self.agent.instance_id, "the agent's last message is too large to be read");
        self.newest = Some(1);
        self.unread = true;
        Ok(Vec::new())
    }

    async fn take(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::SessionStatus { session, status } if session == self.agent_session => {
                if let Status::Retry { .. } = status {
                    self.reread_open_answers().await?;
                }
                self.set_status(&status).await;
            }
            Event::SessionIdle { session } if session == self.agent_session => self.set_status(&Status::Idle).await,
            Event::SessionError { session, error } if session.as_ref().is_none_or(|s| *s == self.agent_session) => {
                // It comes twice when the model is unknown; the first one has the reason without a stack.
                if self.error.is_none() {
                    self.error = Some(error);
                }
                self.settle_at = Some(Instant::now() + SETTLE_AFTER);
            }
            Event::MessageUpdated(message) if message.session == self.agent_session => {
                self.take_message(message, Origin::Stream, false).await?;
            }
            Event::MessageRemoved { session, message } if session == self.agent_session => {
                self.remove_message(&message).await?;
            }
            Event::PartUpdated(part) if part.session == self.agent_session => {
                self.take_part(part, Origin::Stream).await?;
            }
            Event::PartDelta { session, message, part, field, delta }
                if session == self.agent_session && field == "text" =>
            {
                self.take_delta(&message, &part, &delta);
            }
            Event::PartRemoved { session, message, part } if session == self.agent_session => {
                self.remove_part(&message, &part).await?;
            }
            Event::PermissionAsked(request) if request.session == self.agent_session => {
                self.refuse_permission(&request.id, &request.permission).await?;
            }
            Event::QuestionAsked(request) => {
                self.agent.client.reject_question(&request.id).await.map_err(Error::internal)?;
            }
            Event::FileEdited { .. } | Event::FileWatcherUpdated { .. } => {
                self.files_at.get_or_insert(Instant::now() + FILES_EVERY);
            }
            // An Agent's helpers have Sessions of their own; what they ask for must not wait for ever either.
            Event::PermissionAsked(request) => {
                self.agent.client.reply_permission(&request.id, Reply::Reject).await.map_err(Error::internal)?;
            }
            Event::SessionStatus { .. }
            | Event::SessionIdle { .. }
            | Event::SessionError { .. }
            | Event::MessageUpdated(_)
            | Event::MessageRemoved { .. }
            | Event::PartUpdated(_)
            | Event::PartDelta { .. }
            | Event::PartRemoved { .. }
            | Event::Connected
            | Event::Heartbeat
            | Event::SessionCreated(_)
            | Event::SessionUpdated(_)
            | Event::SessionDeleted { .. }
            | Event::InstanceDisposed { .. }
            | Event::Other { .. } => {}
        }
        Ok(())
    }

    async fn set_status(&mut self, status: &Status) {
        let status = match status {
            Status::Idle => SessionStatus::Idle,
            Status::Busy => SessionStatus::Busy,
            Status::Retry { attempt, message, next } => {
                SessionStatus::Retry { attempt: *attempt, message: message.clone(), next_at: Some(Ms(*next)) }
            }
        };
        let idle = status == SessionStatus::Idle;
        if idle {
            // It comes twice after an error or an abort: the clock simply starts again.
            self.settle_at = Some(Instant::now() + SETTLE_AFTER);
        } else {
            self.settle_at = None;
            self.agent.note_answer();
        }
        let changed = self.agent.status.send_if_modified(|current| {
            let changed = *current != status;
            if changed {
                *current = status;
            }
            changed
        });
        if changed {
            self.app.publish_project(self.agent.project_id).await;
            if idle {
                // Keys that were replaced while the Agent was busy are handed over now.
                apply_delivery::enqueue_if_stale(&self.app, &self.agent).await;
            }
        }
    }

    /// Loads a Message that is stored already, so that its ids stay.
    async fn known(&mut self, agent_id: &str) -> Result<bool, Error> {
        if self.messages.contains_key(agent_id) {
            return Ok(true);
        }
        let mut read = self.app.store.read().await?;
        let Some(message) = conversation::find_by_agent_id(&mut read, self.agent.session_id, agent_id).await? else {
            return Ok(false);
        };
        let parts: HashMap<String, FollowedPart> = message
            .parts
            .iter()
            .map(|part| {
                let utf16 = part.text.as_deref().map_or(0, utf16_len);
                (part.agent_part_id.clone(), FollowedPart { part: part.clone(), utf16, dirty: false, whole: false })
            })
            .collect();
        let next_position = message.parts.iter().map(|part| part.position + 1).max().unwrap_or(0);
        self.messages
            .insert(agent_id.to_owned(), Followed { message, stored: true, answers: None, parts, next_position });
        Ok(true)
    }

    async fn take_message(
        &mut self,
        info: doce_opencode::Message,
        origin: Origin,
        parts_follow: bool,
    ) -> Result<(), Error> {
        let known = self.known(&info.id).await?;
        match info.role {
            Role::User => {
                // Only what doce sent is a user's Message; anything else the Agent made up.
                if known {
                    self.mark_arrived(&info.id).await?;
                }
                return Ok(());
            }
            Role::Assistant => {}
        }
        if !known {
            let now = self.app.clock.now();
            let message = Message {
                id: MessageId::new(now),
                session_id: self.agent.session_id,
                agent_message_id: info.id.chars().take(100).collect(),
                speaker: Speaker::Assistant,
                state: MessageState::Streaming,
                model: None,
                connection_id: None,
                failure: None,
                created_at: now,
                completed_at: None,
                parts: Vec::new(),
            };
            let answers = info.parent.clone();
            let parts = HashMap::new();
            self.messages
                .insert(info.id.clone(), Followed { message, stored: false, answers, parts, next_position: 0 });
        }
        // What an Agent that is gone has left empty in its files answers nothing.
        if origin == Origin::Stream {
            self.mark_answered(&info.id).await?;
        }
        let model = info
            .provider_id
            .clone()
            .zip(info.model_id.clone())
            .map(|(provider_id, model_id)| ModelRef { provider_id, model_id });
        let paid_by = match &info.provider_id {
            Some(provider_id) => self.paying_connection(provider_id).await?,
            None => None,
        };
        let Some(followed) = self.messages.get_mut(&info.id) else {
            return Ok(());
        };
        let before = followed.message.clone();
        match before.state {
            MessageState::Streaming => {}
            // The word on an interrupted answer may come late.
            MessageState::Interrupted if info.error.is_some() || info.completed_at.is_some() => {
                followed.message.state = MessageState::Streaming;
            }
            MessageState::Waiting
            | MessageState::Sending
            | MessageState::Sent
            | MessageState::Complete
            | MessageState::Interrupted
            | MessageState::Failed
            | MessageState::Aborted => return Ok(()),
        }
        if model.is_some() {
            followed.message.model = model;
        }
        if followed.message.connection_id.is_none() {
            followed.message.connection_id = paid_by.as_ref().map(|(connection, _)| connection.id);
        }
        let mut ended_empty = false;
        if let Some(error) = &info.error {
            let provider = self.app.provider_name(info.provider_id.as_deref().unwrap_or_default());
            let followed = self.messages.get_mut(&info.id).expect("it was there a moment ago");
            let now = self.app.clock.now();
            let paid = paid_by.as_ref().map(|(paid, _)| paid);
            followed.message.failure = match paid.filter(|paid| failures::rejects_key(error) && renewal::renews(paid)) {
                Some(paid) => Some(failures::of_renewed_sign_in(&provider, paid.id)),
                None => failures::of_answer(error, &provider, paid.map(|paid| paid.id), now),
            };
            followed.message.state =
                if followed.message.failure.is_some() { MessageState::Failed } else { MessageState::Aborted };
            followed.message.completed_at = Some(now);
            self.error = None;
        } else if info.completed_at.is_some() && followed.message.state == MessageState::Streaming {
            // Stopped while it waited to try again, an answer ends without an error and without a reason to
            // finish (OpenCode 1.18.33, observed). That is no success.
            followed.message.state = if info.finish.is_none() && self.agent.aborted.load(Ordering::SeqCst) {
                MessageState::Aborted
            } else {
                MessageState::Complete
            };
            followed.message.completed_at = Some(self.app.clock.now());
            ended_empty = followed.parts.is_empty() && !parts_follow;
            if ended_empty {
                self.empty += 1;
            } else {
                self.empty = 0;
            }
        }
        let followed = self.messages.get(&info.id).expect("it was there a moment ago");
        let ended_early =
            followed.message.failure.is_some() || (followed.message.state == MessageState::Aborted && !self.runaway);
        let worth_a_row = followed.stored || !followed.parts.is_empty() || ended_early;
        let changed = worth_a_row && (followed.message != before || !followed.stored);
        let (has_ended, was_stored) = (followed.message.state != MessageState::Streaming, followed.stored);
        // Crash: the last words of an answer are stored before it is said to be whole.
        if changed && has_ended && was_stored {
            self.flush().await;
        }
        if changed {
            self.store_message(&info.id).await?;
        }
        if changed && has_ended && !was_stored {
            self.flush().await;
        }
        // The end of an answer that was taken for interrupted counts too; only whether a key was rejected can't be told
        // from it: that may have been another key than the one held now.
        let ended_late = before.state == MessageState::Interrupted && info.error.is_none();
        if before.state == MessageState::Streaming || ended_late {
            self.after_end(&info, paid_by).await?;
        }
        if ended_empty && self.empty == EMPTY_ANSWERS_MAX {
            self.stop_runaway(&info.id).await?;
        }
        Ok(())
    }

    /// Draws the consequences of an answer's end for the Connection that paid.
    async fn after_end(
        &mut self,
        info: &doce_opencode::Message,
        paid_by: Option<(Connection, i64)>,
    ) -> Result<(), Error> {
        let Some((paid, version)) = paid_by else {
            return Ok(());
        };
        match &info.error {
            Some(error) if failures::rejects_key(error) => {
                let provider = self.app.provider_name(&paid.provider_id);
                self.app
                    .mark_rejected(
                        paid.id,
                        version,
                        &format!("{provider} rejected this key (401) when an agent used it."),
                    )
                    .await?;
            }
            None if info.completed_at.is_some() => {
                let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
                self.app.record_use(&ctx, &paid, version, self.agent.project_id).await?;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// Finds the Connection whose Credential the Agent holds for a Provider, and its version.
    async fn paying_connection(&self, provider_id: &str) -> Result<Option<(Connection, i64)>, Error> {
        let mut read = self.app.store.read().await?;
        let deliveries = delivery::of_instance(&mut read, self.agent.instance_id).await?;
        let Some(held) = deliveries.into_iter().find(|delivery| delivery.provider_id == provider_id) else {
            return Ok(None);
        };
        Ok(connection::find(&mut read, held.connection_id).await?.map(|connection| (connection, held.version)))
    }

    /// Records that the Agent has a Prompt.
    async fn mark_arrived(&mut self, agent_id: &str) -> Result<(), Error> {
        let Some(followed) = self.messages.get_mut(agent_id) else {
            return Ok(());
        };
        if followed.message.speaker != Speaker::User {
            return Ok(());
        }
        if self.turn.as_deref() != Some(agent_id) {
            // A new turn: what was counted in the one before is over.
            self.turn = Some(agent_id.to_owned());
            self.agent.aborted.store(false, Ordering::SeqCst);
            self.runaway = false;
            self.empty = 0;
            self.error = None;
        }
        let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
        let mut tx = self.app.store.write(&ctx).await?;
        let changed = conversation::mark_sent(&mut tx, followed.message.id).await?;
        tx.commit().await?;
        if changed {
            followed.message.state = MessageState::Sent;
            let message = followed.message.clone();
            self.publish_message(&message);
        }
        Ok(())
    }

    /// Takes back what was said of a Prompt that seemed to stay without an answer, when this one turns out to be it.
    async fn mark_answered(&mut self, agent_id: &str) -> Result<(), Error> {
        let Some(prompt) = self.messages.get_mut(agent_id).and_then(|followed| followed.answers.take()) else {
            return Ok(());
        };
        let mut read = self.app.store.read().await?;
        let found = conversation::find_by_agent_id(&mut read, self.agent.session_id, &prompt).await?;
        drop(read);
        let Some(mut message) = found.filter(|message| message.state == MessageState::Interrupted) else {
            return Ok(());
        };
        message.state = MessageState::Sent;
        let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
        let mut tx = self.app.store.write(&ctx).await?;
        conversation::update_message(&mut tx, &message).await?;
        tx.commit().await?;
        self.publish_message(&message);
        Ok(())
    }

    /// Takes back the words of an answer that broke off and is tried again: the Agent forgets them and streams the
    /// next try into a new Part of the same Message (OpenCode 1.18.33, observed).
    async fn reread_open_answers(&mut self) -> Result<(), Error> {
        let open: Vec<String> = self
            .messages
            .iter()
            .filter(|(_, followed)| {
                followed.message.speaker == Speaker::Assistant && followed.message.state == MessageState::Streaming
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in open {
            let found = match self.agent.client.find_message(&self.agent_session, &id).await {
                Ok(Some(found)) => found,
                Ok(None) | Err(CallError::TooLarge { .. }) => continue,
                Err(e) => return Err(Error::internal(e)),
            };
            for part in found.parts {
                let Some((_, Some(text), _)) = content(part.kind) else {
                    continue;
                };
                let forgotten = self
                    .messages
                    .get(&id)
                    .and_then(|followed| followed.parts.get(&part.id))
                    .is_some_and(|entry| text.is_empty() && entry.utf16 > 0);
                if forgotten {
                    self.remove_part(&id, &part.id).await?;
                }
            }
        }
        Ok(())
    }

    async fn store_message(&mut self, agent_id: &str) -> Result<(), Error> {
        self.mark_answered(agent_id).await?;
        let Some(followed) = self.messages.get_mut(agent_id) else {
            return Ok(());
        };
        let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
        let mut tx = self.app.store.write(&ctx).await?;
        if followed.stored {
            conversation::update_message(&mut tx, &followed.message).await?;
        } else {
            conversation::insert_message(&mut tx, &followed.message, self.agent.user_id).await?;
        }
        tx.commit().await?;
        followed.stored = true;
        let message = followed.message.clone();
        self.publish_message(&message);
        Ok(())
    }

    fn publish_message(&self, message: &Message) {
        let message = Message { parts: Vec::new(), ..message.clone() };
        self.publish(Change::Message(self.agent.project_id, Box::new(message)));
    }

    async fn take_part(&mut self, part: doce_opencode::Part, origin: Origin) -> Result<(), Error> {
        if !self.known(&part.message).await? {
            return Ok(());
        }
        let Some((kind, text, tool)) = content(part.kind) else {
            return Ok(());
        };
        let Some(followed) = self.messages.get_mut(&part.message) else {
            return Ok(());
        };
        if followed.message.speaker == Speaker::User {
            return Ok(());
        }
        let now = self.app.clock.now();
        let settled = tool.is_some();
        let entry = if let Some(entry) = followed.parts.get_mut(&part.id) {
            if entry.part.text == text && entry.part.tool == tool {
                return Ok(());
            }
            // What comes through the stream is in order, and replaces what was there. A snapshot may be older than the
            // words that already came: a text that is being written is empty in it (1.18.33, observed). What the stream
            // says after a snapshot had the whole text may have been on its way before that.
            let older = (origin == Origin::Snapshot || entry.whole)
                && entry
                    .part
                    .text
                    .as_deref()
                    .zip(text.as_deref())
                    .is_some_and(|(had, got)| got.len() < had.len() && had.starts_with(got));
            if older {
                return Ok(());
            }
            entry.part.text = text;
            entry.part.tool = tool;
            entry
        } else {
            let position = followed.next_position;
            followed.next_position += 1;
            let made = Part {
                id: PartId::new(now),
                agent_part_id: part.id.chars().take(100).collect(),
                message_id: followed.message.id,
                position,
                kind,
                text,
                tool,
            };
            followed.parts.entry(part.id.clone()).or_insert(FollowedPart {
                part: made,
                utf16: 0,
                dirty: true,
                whole: false,
            })
        };
        entry.utf16 = entry.part.text.as_deref().map_or(0, utf16_len);
        entry.dirty = true;
        entry.whole = origin == Origin::Snapshot && entry.utf16 > 0;
        let snapshot = entry.part.clone();
        // In memory first: whoever reads the row finds its words too.
        self.agent.live.lock().unwrap_or_else(PoisonError::into_inner).parts.insert(snapshot.id, snapshot.clone());
        if !followed.stored {
            self.store_message(&part.message).await?;
        }
        {
            // Published under the lock, so that a snapshot of the conversation has every event up to its number.
            let mut live = self.agent.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.parts.insert(snapshot.id, snapshot.clone());
            self.publish(Change::Part(self.agent.project_id, Box::new(snapshot)));
        }
        if settled {
            self.flush().await;
        } else {
            self.flush_at.get_or_insert(Instant::now() + FLUSH_EVERY);
        }
        Ok(())
    }

    /// Appends words to a Part that is known. To one that isn't, nothing can be appended: its snapshot will come.
    fn take_delta(&mut self, message: &str, part: &str, delta: &str) {
        let Some(entry) = self.messages.get_mut(message).and_then(|followed| followed.parts.get_mut(part)) else {
            return;
        };
        if entry.whole {
            return;
        }
        let text = entry.part.text.get_or_insert_default();
        if text.len() + delta.len() > TEXT_MAX {
            return;
        }
        let offset = entry.utf16;
        text.push_str(delta);
        entry.utf16 += utf16_len(delta);
        entry.dirty = true;
        {
            let mut live = self.agent.live.lock().unwrap_or_else(PoisonError::into_inner);
            match live.parts.get_mut(&entry.part.id) {
                Some(shown) => shown.text.get_or_insert_default().push_str(delta),
                None => {
                    live.parts.insert(entry.part.id, entry.part.clone());
                }
            }
            self.app.bus.publish(
                self.agent.user_id,
                Change::Delta {
                    project_id: self.agent.project_id,
                    message_id: entry.part.message_id,
                    part_id: entry.part.id,
                    offset,
                    delta: delta.to_owned(),
                },
            );
        }
        self.flush_at.get_or_insert(Instant::now() + FLUSH_EVERY);
    }

    /// Stores every Part that changed, and lets go of what is whole.
    async fn flush(&mut self) {
        self.flush_at = None;
        let dirty: Vec<Part> = self
            .messages
            .values()
            .filter(|followed| followed.stored)
            .flat_map(|followed| followed.parts.values())
            .filter(|entry| entry.dirty)
            .map(|entry| entry.part.clone())
            .collect();
        if !dirty.is_empty()
            && let Err(e) = self.store_parts(&dirty).await
        {
            // They stay dirty, and the next flush tries again; meanwhile they are in memory and on every page.
            if self.flush_failures.is_due(Instant::now()) {
                tracing::error!(instance = %self.agent.instance_id, error = chain(&e), "parts were not stored");
            }
            self.flush_at = Some(Instant::now() + FLUSH_EVERY);
            return;
        }
        let mut live = self.agent.live.lock().unwrap_or_else(PoisonError::into_inner);
        for followed in self.messages.values_mut().filter(|followed| followed.stored) {
            for entry in followed.parts.values_mut() {
                entry.dirty = false;
                live.parts.remove(&entry.part.id);
            }
        }
    }

    async fn store_parts(&self, parts: &[Part]) -> Result<(), StoreError> {
        let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
        let mut tx = self.app.store.write(&ctx).await?;
        for part in parts {
            conversation::upsert_part(&mut tx, part, self.agent.user_id).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn remove_message(&mut self, agent_id: &str) -> Result<(), Error> {
        if !self.known(agent_id).await? {
            return Ok(());
        }
        let Some(followed) = self.messages.get(agent_id) else {
            return Ok(());
        };
        // A user's own words are not the Agent's to remove.
        if followed.message.speaker == Speaker::User {
            return Ok(());
        }
        let Some(followed) = self.messages.remove(agent_id) else {
            return Ok(());
        };
        let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
        let mut tx = self.app.store.write(&ctx).await?;
        conversation::delete_message(&mut tx, followed.message.id).await?;
        tx.commit().await?;
        self.publish(Change::MessageDeleted(self.agent.project_id, followed.message.id));
        Ok(())
    }

    async fn remove_part(&mut self, message: &str, part: &str) -> Result<(), Error> {
        if !self.known(message).await? {
            return Ok(());
        }
        let Some(followed) = self.messages.get_mut(message) else {
            return Ok(());
        };
        let Some(entry) = followed.parts.remove(part) else {
            return Ok(());
        };
        let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
        let mut tx = self.app.store.write(&ctx).await?;
        conversation::delete_part(&mut tx, &entry.part).await?;
        tx.commit().await?;
        // A Part that is gone has no event of its own: the Message is told anew, without it.
        let Some(followed) = self.messages.get(message) else {
            return Ok(());
        };
        let mut live = self.agent.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.parts.remove(&entry.part.id);
        self.publish(Change::MessageDeleted(self.agent.project_id, entry.part.message_id));
        self.publish_message(&followed.message);
        let mut left: Vec<&Part> = followed.parts.values().map(|entry| &entry.part).collect();
        left.sort_by_key(|part| part.position);
        for part in left {
            self.publish(Change::Part(self.agent.project_id, Box::new(part.clone())));
        }
        Ok(())
    }

    /// Rejects a permission that nobody can be asked for, and says so in the conversation.
    async fn refuse_permission(&mut self, request: &str, permission: &str) -> Result<(), Error> {
        self.agent.client.reply_permission(request, Reply::Reject).await.map_err(Error::internal)?;
        let permission: String = permission.chars().filter(|c| !c.is_control()).take(60).collect();
        let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
        let mut tx = self.app.store.write(&ctx).await?;
        tx.audit(
            AuditEvent::ok(AuditAction::RefusePermission, &self.agent.project_id)
                .of(self.agent.user_id)
                .detail(format!("`{permission}`")),
        )
        .await?;
        tx.commit().await?;
        self.notice(format!("The agent asked for the permission `{permission}`, which is always refused.")).await
    }

    /// Says in the last answer that something of it could not be read, once.
    async fn note_unread(&mut self) -> Result<(), Error> {
        let last = conversation::last(&mut self.app.store.read().await?, self.agent.session_id).await?;
        let is_said = |part: &Part| part.kind == PartKind::Notice && part.text.as_deref() == Some(UNREAD);
        if last.is_some_and(|last| last.parts.iter().any(is_said)) {
            return Ok(());
        }
        self.notice(UNREAD.to_owned()).await
    }

    /// Adds a notice to the last answer.
    async fn notice(&mut self, text: String) -> Result<(), Error> {
        let mut read = self.app.store.read().await?;
        let last = conversation::last(&mut read, self.agent.session_id).await?;
        drop(read);
        let Some(last) = last.filter(|last| last.speaker == Speaker::Assistant) else {
            return Ok(());
        };
        if !self.known(&last.agent_message_id).await? {
            return Ok(());
        }
        let Some(followed) = self.messages.get_mut(&last.agent_message_id) else {
            return Ok(());
        };
        let id = PartId::new(self.app.clock.now());
        let part = Part {
            id,
            agent_part_id: id.to_string(),
            message_id: last.id,
            position: followed.next_position,
            kind: PartKind::Notice,
            text: Some(text),
            tool: None,
        };
        followed.next_position += 1;
        followed.parts.insert(
            part.agent_part_id.clone(),
            FollowedPart { part: part.clone(), utf16: 0, dirty: true, whole: false },
        );
        self.flush().await;
        self.publish(Change::Part(self.agent.project_id, Box::new(part)));
        Ok(())
    }

    /// Stops a run in which the provider answers with nothing, again and again.
    async fn stop_runaway(&mut self, agent_id: &str) -> Result<(), Error> {
        self.runaway = true;
        self.agent.client.abort(&self.agent_session).await.map_err(Error::internal)?;
        let provider_id = self.messages.get(agent_id).and_then(|f| f.message.model.clone()).map(|m| m.provider_id);
        let provider = self.app.provider_name(provider_id.as_deref().unwrap_or_default());
        let Some(followed) = self.messages.get_mut(agent_id) else {
            return Ok(());
        };
        followed.message.state = MessageState::Failed;
        followed.message.failure = Some(Failure::new(
            "empty_answers",
            format!(
                "{provider} answered {EMPTY_ANSWERS_MAX} times with nothing, so the run was stopped before it went on \
                 for ever. Check the base URL, or choose another model."
            ),
            NextMove::SwitchModel,
        ));
        self.store_message(agent_id).await
    }

    /// Draws the line under a run: whatever is still open then stays open no longer.
    async fn settle(&mut self) -> Result<(), Error> {
        if !self.agent.is_idle() {
            return Ok(());
        }
        self.flush().await;
        let now = self.app.clock.now();
        let open: Vec<String> = self
            .messages
            .iter()
            .filter(|(_, followed)| followed.stored && followed.message.state == MessageState::Streaming)
            .map(|(id, _)| id.clone())
            .collect();
        for id in open {
            let error = self.error.take();
            if let Some(followed) = self.messages.get_mut(&id) {
                followed.message.state = MessageState::Interrupted;
                followed.message.completed_at = Some(now);
                if let Some(error) = error {
                    let provider_id = followed.message.model.clone().map(|m| m.provider_id).unwrap_or_default();
                    let provider = self.app.provider_name(&provider_id);
                    let followed = self.messages.get_mut(&id).expect("it was there a moment ago");
                    followed.message.failure =
                        failures::of_answer(&error, &provider, followed.message.connection_id, now);
                    followed.message.state =
                        if followed.message.failure.is_some() { MessageState::Failed } else { MessageState::Aborted };
                }
            }
            self.store_message(&id).await?;
        }
        // Rows that say "streaming" and that this Agent knows nothing of were left by one that is gone.
        let ctx = self.app.ctx(Actor::Reconciler("follower"), &self.agent.instance_id.to_string());
        let mut tx = self.app.store.write(&ctx).await?;
        let mut changed = Vec::new();
        for mut message in conversation::in_states(&mut tx, self.agent.session_id, &[MessageState::Streaming]).await? {
            if !self.messages.contains_key(&message.agent_message_id) {
                message.state = MessageState::Interrupted;
                message.completed_at = Some(now);
                conversation::update_message(&mut tx, &message).await?;
                changed.push(message.id);
            }
        }
        if let Some(mut last) = conversation::last(&mut tx, self.agent.session_id).await?
            && last.state == MessageState::Sent
        {
            // A Prompt that was only just sent may be about to be answered: the Agent says "idle" until it begins.
            let sent = conversation::find_send(&mut tx, last.id).await?;
            if self.error.is_none() && sent.is_some_and(|sent| now.since(sent.at) < ANSWER_BEGINS_WITHIN) {
                self.settle_at = Some(Instant::now() + SETTLE_AFTER);
                return Ok(());
            }
            match self.error.take() {
                Some(error) => {
                    let provider_id = last.model.clone().map(|m| m.provider_id).unwrap_or_default();
                    let provider = self.app.provider_name(&provider_id);
                    last.failure = failures::of_answer(&error, &provider, last.connection_id, now);
                    last.state = if last.failure.is_some() { MessageState::Failed } else { MessageState::Aborted };
                }
                None => last.state = MessageState::Interrupted,
            }
            conversation::update_message(&mut tx, &last).await?;
            if let Some(followed) = self.messages.get_mut(&last.agent_message_id) {
                followed.message = Message { parts: Vec::new(), ..last.clone() };
            }
            changed.push(last.id);
        }
        tx.commit().await?;
        for id in changed {
            self.app.publish_message(self.agent.project_id, id).await;
        }
        self.error = None;
        self.empty = 0;
        if std::mem::take(&mut self.unread) {
            self.note_unread().await?;
        }
        // The turn is over: its Messages are in the rows, and are loaded again should the Agent speak of them.
        self.messages.retain(|_, followed| followed.message.state == MessageState::Streaming);
        self.app.publish_project(self.agent.project_id).await;
        Ok(())
    }
}

/// Tells whether an Agent said more at once than is taken.
fn is_too_large(error: &Error) -> bool {
    let Error::Internal(source) = error else { return false };
    matches!(source.downcast_ref::<StreamError>(), Some(StreamError::TooLarge { .. }))
}

/// Tells whether an Agent gave no answer that can be used, rather than one that could not be stored.
fn is_the_agents(error: &Error) -> bool {
    let Error::Internal(source) = error else { return false };
    !is_too_large(error) && (source.is::<StreamError>() || source.is::<CallError>())
}

fn utf16_len(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Cuts a text at a character's boundary, and says so.
fn cut(text: String, limit: usize) -> String {
    if text.len() <= limit {
        return text;
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\n… {} more bytes are not kept", &text[..end], text.len() - end)
}

/// Returns what is shown of an Agent's Part; `None` for those that are not for people.
fn content(kind: doce_opencode::PartKind) -> Option<(PartKind, Option<String>, Option<ToolCall>)> {
    match kind {
        doce_opencode::PartKind::Text { text, synthetic: false, .. } => {
            Some((PartKind::Text, Some(cut(text, TEXT_MAX)), None))
        }
        doce_opencode::PartKind::Reasoning { text, .. } => Some((PartKind::Reasoning, Some(cut(text, TEXT_MAX)), None)),
        doce_opencode::PartKind::Tool(call) => {
            let input = call.input.to_string();
            let input = if input.len() > INPUT_MAX {
                serde_json::json!({ "not_kept": format!("an input of {} bytes", input.len()) }).to_string()
            } else {
                input
            };
            let tool = ToolCall {
                name: call.name.chars().take(100).collect(),
                status: match call.status {
                    doce_opencode::ToolStatus::Pending => ToolStatus::Pending,
                    doce_opencode::ToolStatus::Running => ToolStatus::Running,
                    doce_opencode::ToolStatus::Completed => ToolStatus::Completed,
                    doce_opencode::ToolStatus::Error => ToolStatus::Error,
                },
                title: call.title.map(|title| title.chars().take(200).collect()),
                input,
                output: call.output.map(|output| cut(output, OUTPUT_MAX)),
                error: call.error.map(|error| cut(error, OUTPUT_MAX)),
                started_at: call.started_at.map(Ms),
                ended_at: call.ended_at.map(Ms),
            };
            Some((PartKind::Tool, None, Some(tool)))
        }
        doce_opencode::PartKind::Text { synthetic: true, .. }
        | doce_opencode::PartKind::StepStart
        | doce_opencode::PartKind::StepFinish { .. }
        | doce_opencode::PartKind::File { .. }
        | doce_opencode::PartKind::Patch { .. }
        | doce_opencode::PartKind::Other { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_counted_as_browsers_count() {
        assert_eq!(utf16_len("aé日"), 3);
        assert_eq!(utf16_len("🥐"), 2);
    }

    #[test]
    fn what_fails_twice_a_second_is_logged_once_a_minute() {
        let mut failures = Seldom::default();
        let begun = Instant::now();
        let logged = (0..600).filter(|tries| failures.is_due(begun + FLUSH_EVERY * *tries)).count();
        assert_eq!(logged, 5, "in five minutes");
    }

    #[test]
    fn a_cut_text_says_so_and_stays_text() {
        assert_eq!(cut("short".to_owned(), 5), "short");
        let cut = cut("日".repeat(10), 8);
        assert!(cut.starts_with("日日\n… 24 more bytes"), "{cut}");
    }
}
