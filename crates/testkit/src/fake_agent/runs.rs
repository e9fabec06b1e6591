//! Which sessions of a fake Agent are at work, and how they are started, stopped and asked for permissions.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::agent::{Agent, Inner};
use super::ids::new_id;
use super::run;
use super::sessions::Due;
use crate::clock::epoch_ms;

/// A session at work.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) stop: Stop,
    done: watch::Receiver<bool>,
    status: Value,
}

/// Ends what a run is at, and tells when that has ended. A run gets another when it goes on with a prompt that came later.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) wanted: CancellationToken,
    pub(super) happened: CancellationToken,
}

/// A permission that was asked for. It stays when the run that asked is aborted, as in OpenCode 1.18.33 (observed).
#[derive(Debug)]
pub(super) struct Permission {
    request: Value,
    directory: String,
    reply: oneshot::Sender<bool>,
}

impl Agent {
    // Prompts and runs

    /// Adds a prompt to its session and sees that it is answered. `None` when the session is gone.
    pub(super) fn take_prompt(
        self: &Arc<Self>,
        session: &str,
        message: &str,
        body: &Value,
        texts: &[String],
    ) -> Option<watch::Receiver<bool>> {
        let (info, parts, directory, session_info) = {
            let mut inner = self.inner();
            let found = inner.sessions.find_mut(session)?;
            let (info, parts) = found.add_prompt(message, body, texts);
            let taken = (info, parts, found.directory(), found.info.clone());
            inner.sessions.save();
            taken
        };
        self.emit_session("session.updated", &session_info);
        self.events.emit(&directory, "message.updated", &json!({ "sessionID": session, "info": info }));
        for part in parts {
            let properties = json!({ "sessionID": session, "part": part, "time": epoch_ms() });
            self.events.emit(&directory, "message.part.updated", &properties);
        }
        self.emit_session("session.updated", &session_info);
        Some(self.run(session))
    }

    /// Starts the session's run, unless it is at work: then the run takes the prompt up by itself.
    fn run(self: &Arc<Self>, session: &str) -> watch::Receiver<bool> {
        let (sender, done, stop) = {
            let mut inner = self.inner();
            if let Some(run) = inner.runs.get(session) {
                return run.done.clone();
            }
            let (sender, done) = watch::channel(false);
            let stop = self.new_stop();
            let run = Run { stop: stop.clone(), done: done.clone(), status: json!({ "type": "busy" }) };
            inner.runs.insert(session.to_owned(), run);
            (sender, done, stop)
        };
        let agent = Arc::clone(self);
        let session = session.to_owned();
        self.tasks.spawn(async move {
            run::drive(&agent, &session, stop).await;
            sender.send_replace(true);
            agent.touch();
        });
        done
    }

    fn new_stop(&self) -> Stop {
        Stop { wanted: self.closing.child_token(), happened: CancellationToken::new() }
    }

    /// The work that is due in a session.
    pub(super) fn due(&self, session: &str) -> Option<Due> {
        self.inner().due(session)
    }

    /// Ends the session's run, unless work came up meanwhile: then it goes on, and can be stopped by what is returned.
    pub(super) fn end_run(&self, session: &str) -> Option<Stop> {
        let mut inner = self.inner();
        if inner.due(session).is_none() {
            inner.runs.remove(session);
            return None;
        }
        let stop = self.new_stop();
        if let Some(run) = inner.runs.get_mut(session) {
            run.stop = stop.clone();
        }
        Some(stop)
    }

    /// Leaves all prompts so far without an answer, as OpenCode 1.18.33 does with those that wait when an answer is aborted (observed).
    pub(super) fn skip_waiting(&self, session: &str) {
        let mut inner = self.inner();
        let prompts: Vec<String> = inner
            .sessions
            .find(session)
            .into_iter()
            .flat_map(|session| &session.messages)
            .filter(|message| message.info["role"] == "user")
            .filter_map(|message| message.info["id"].as_str().map(str::to_owned))
            .collect();
        inner.skipped.extend(prompts);
    }

    /// Begins the assistant message of a turn.
    pub(super) fn add_answer(&self, session: &str, due: &Due) -> Option<Value> {
        let (directory, info) = {
            let mut inner = self.inner();
            let session = inner.sessions.find_mut(session)?;
            let info = session.add_answer(due);
            let added = (session.directory(), info);
            inner.sessions.save();
            added
        };
        self.events.emit(&directory, "message.updated", &json!({ "sessionID": session, "info": info }));
        self.touch();
        Some(info)
    }

    /// Stops what a session is at and waits for it; says idle even when there is nothing.
    pub(super) async fn abort(&self, session: &str) {
        let stop = self.inner().runs.get(session).map(|run| run.stop.clone());
        match stop {
            Some(stop) => stop.stop().await,
            None => self.emit_idle(session),
        }
    }

    pub(super) fn set_status(&self, session: &str, status: &Value) {
        if let Some(run) = self.inner().runs.get_mut(session) {
            run.status = status.clone();
        }
        self.emit_in(session, "session.status", &json!({ "sessionID": session, "status": status }));
    }

    pub(super) fn emit_idle(&self, session: &str) {
        self.set_status(session, &json!({ "type": "idle" }));
        self.emit_in(session, "session.idle", &json!({ "sessionID": session }));
    }

    pub(super) fn statuses(&self, directory: &str) -> Value {
        let inner = self.inner();
        let mut statuses = json!({});
        for (id, run) in &inner.runs {
            let is_here = inner.sessions.find(id).is_some_and(|session| session.directory() == directory);
            if is_here && run.status["type"] != "idle" {
                statuses[id] = run.status.clone();
            }
        }
        statuses
    }

    // Permissions

    /// Asks for a permission and waits for the answer: true allows.
    pub(super) async fn ask(&self, session: &str, request: Value) -> bool {
        let (reply, answer) = oneshot::channel();
        let directory = self.session(session).map(|session| session.directory()).unwrap_or_default();
        let mut request = request;
        request["id"] = json!(new_id("per"));
        self.inner().permissions.push(Permission { request: request.clone(), directory: directory.clone(), reply });
        self.events.emit(&directory, "permission.asked", &request);
        self.touch();
        // A sender that was dropped is a rejection.
        answer.await.unwrap_or(false)
    }

    pub(super) fn permissions(&self, directory: &str) -> Vec<Value> {
        self.inner()
            .permissions
            .iter()
            .filter(|permission| permission.directory == directory)
            .map(|permission| permission.request.clone())
            .collect()
    }

    /// Answers a permission request; false when there is none with this id.
    pub(super) fn reply(&self, id: &str, reply: &str) -> bool {
        let permission = {
            let mut inner = self.inner();
            let Some(index) = inner.permissions.iter().position(|permission| permission.request["id"] == id) else {
                return false;
            };
            inner.permissions.remove(index)
        };
        let properties = json!({ "sessionID": permission.request["sessionID"], "requestID": id, "reply": reply });
        self.events.emit(&permission.directory, "permission.replied", &properties);
        // The run may have been aborted meanwhile.
        let _ = permission.reply.send(reply != "reject");
        true
    }
}

impl Inner {
    fn due(&self, session: &str) -> Option<Due> {
        let due = self.sessions.find(session)?.due()?;
        (!self.skipped.contains(&due.message_id)).then_some(due)
    }
}

impl Stop {
    pub(super) async fn stop(self) {
        self.wanted.cancel();
        self.happened.cancelled().await;
    }
}
