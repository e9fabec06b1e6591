//! The state of a fake Agent, and the changes to its instances, sessions and messages; those to its runs are in `runs`.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::auth::AuthFile;
use super::calls::CallLog;
use super::events::Events;
use super::instance::Instance;
use super::login_routes::Login;
use super::runs::{Permission, Run, Stop};
use super::sessions::{Message, Session, Sessions};
use crate::clock::epoch_ms;
use crate::script::Script;

/// How a fake Agent behaves.
#[derive(Debug, Clone)]
pub(super) struct Behaviour {
    pub(super) version: String,
    pub(super) health_after: Duration,
    pub(super) message_delay: Duration,
    pub(super) load_delay: Duration,
    pub(super) heartbeat: Duration,
    pub(super) retry_delays: Vec<Duration>,
    pub(super) username: String,
    pub(super) password: Option<String>,
    pub(super) directory: PathBuf,
    pub(super) config_file: Option<PathBuf>,
    pub(super) config_content: Option<String>,
}

/// A fake Agent's insides.
#[derive(Debug)]
pub(super) struct Agent {
    pub(super) behaviour: Behaviour,
    /// Where its data lies.
    data: PathBuf,
    pub(super) started: Instant,
    pub(super) auth: AuthFile,
    pub(super) calls: CallLog,
    pub(super) events: Events,
    pub(super) closing: CancellationToken,
    pub(super) tasks: TaskTracker,
    inner: Mutex<Inner>,
    /// Raised at every change that a test may wait for.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) sessions: Sessions,
    pub(super) instances: HashMap<String, Instance>,
    pub(super) runs: HashMap<String, Run>,
    pub(super) permissions: Vec<Permission>,
    pub(super) scripts: VecDeque<Script>,
    pub(super) logins: HashMap<String, Login>,
    pub(super) rejected_keys: BTreeSet<String>,
    pub(super) refused: HashMap<(String, usize), u32>,
    /// User messages that stay without an answer: they waited behind one that was aborted or failed.
    pub(super) skipped: HashSet<String>,
}

/// The configuration of a directory can't be read.
#[derive(Debug)]
pub(super) struct Bricked;

impl Agent {
    /// Opens the data that lies in OpenCode's directory of a data home.
    pub(super) fn open(behaviour: Behaviour, data: &std::path::Path) -> Arc<Self> {
        Arc::new(Self {
            data: data.to_owned(),
            started: Instant::now(),
            auth: AuthFile::in_directory(data),
            calls: CallLog::in_directory(data),
            events: Events::new(behaviour.heartbeat),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            inner: Mutex::new(Inner {
                sessions: Sessions::open(data),
                instances: HashMap::new(),
                runs: HashMap::new(),
                permissions: Vec::new(),
                scripts: VecDeque::new(),
                logins: HashMap::new(),
                rejected_keys: BTreeSet::new(),
                refused: HashMap::new(),
                skipped: HashSet::new(),
            }),
            changed: watch::Sender::new(0),
            behaviour,
        })
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }

    /// Whether it tells no events at the moment.
    pub(super) fn refuses_events(&self) -> bool {
        self.data.join(super::REFUSES_EVENTS).exists()
    }

    /// Returns once it answers whoever puts a credential.
    pub(super) async fn answers_auth(&self) {
        while self.data.join(super::HOLDS_AUTH).exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends everything at once, as a kill does: what is saved and told stays as it is.
    pub(super) fn close(&self) {
        self.inner().sessions.freeze();
        self.events.disconnect();
        self.closing.cancel();
    }

    pub(super) fn touch(&self) {
        self.changed.send_modify(|version| *version += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn push(&self, script: Script) {
        self.inner().scripts.push_back(script);
    }

    pub(super) fn next_script(&self) -> Option<Script> {
        self.inner().scripts.pop_front()
    }

    pub(super) fn reject_keys(&self, keys: impl IntoIterator<Item = String>) {
        self.inner().rejected_keys = keys.into_iter().collect();
    }

    pub(super) fn is_rejected(&self, key: &str) -> bool {
        self.inner().rejected_keys.contains(key)
    }

    /// Counts one more refusal of a turn and tells whether it is still within the limit.
    pub(super) fn may_refuse(&self, message: &str, turn: usize, limit: u32) -> bool {
        let mut inner = self.inner();
        let count = inner.refused.entry((message.to_owned(), turn)).or_default();
        *count += 1;
        *count <= limit
    }

    // Instances

    pub(super) fn is_loaded(&self, directory: &str) -> bool {
        self.inner().instances.contains_key(directory)
    }

    /// The loaded instance of a directory; loads it when it isn't.
    pub(super) fn instance(&self, directory: &str) -> Result<Instance, Bricked> {
        if let Some(instance) = self.inner().instances.get(directory) {
            return Ok(instance.clone());
        }
        let behaviour = &self.behaviour;
        let instance =
            Instance::load(self.auth.read(), behaviour.config_file.as_deref(), behaviour.config_content.as_deref())
                .map_err(|_| Bricked)?;
        self.inner().instances.insert(directory.to_owned(), instance.clone());
        for kind in ["catalog.updated", "integration.updated", "reference.updated"] {
            self.events.emit(directory, kind, &json!({}));
        }
        Ok(instance)
    }

    /// Aborts the directory's runs, then forgets what was loaded.
    pub(super) async fn dispose(&self, directory: &str) {
        let stops: Vec<Stop> = {
            let inner = self.inner();
            let is_here = |id: &str| inner.sessions.find(id).is_some_and(|session| session.directory() == directory);
            inner.runs.iter().filter(|(id, _)| is_here(id)).map(|(_, run)| run.stop.clone()).collect()
        };
        for stop in stops {
            stop.stop().await;
        }
        self.inner().instances.remove(directory);
        self.events.emit(directory, "server.instance.disposed", &json!({ "directory": directory }));
        self.touch();
    }

    pub(super) fn loaded_directories(&self) -> Vec<String> {
        self.inner().instances.keys().cloned().collect()
    }

    // Sessions

    pub(super) fn create_session(&self, directory: &str, wanted: &Value) -> Value {
        let info = {
            let mut inner = self.inner();
            let info = inner.sessions.create(directory, &self.behaviour.version, wanted);
            inner.sessions.save();
            info
        };
        self.emit_session("session.created", &info);
        info
    }

    pub(super) async fn delete_session(&self, id: &str) -> bool {
        self.abort(id).await;
        let removed = {
            let mut inner = self.inner();
            let removed = inner.sessions.remove(id);
            inner.sessions.save();
            removed
        };
        if let Some(info) = &removed {
            self.emit_session("session.deleted", info);
        }
        removed.is_some()
    }

    pub(super) fn list_sessions(&self, directory: &str) -> Vec<Value> {
        self.inner().sessions.list(directory)
    }

    pub(super) fn session(&self, id: &str) -> Option<Session> {
        self.inner().sessions.find(id).cloned()
    }

    pub(super) fn message(&self, session: &str, id: &str) -> Option<Message> {
        self.inner().sessions.find(session)?.find(id).cloned()
    }

    /// Changes a session, saves it and tells it to the streams.
    pub(super) fn update_session(&self, id: &str, change: impl FnOnce(&mut Session)) {
        let info = {
            let mut inner = self.inner();
            let Some(session) = inner.sessions.find_mut(id) else {
                return;
            };
            change(session);
            session.info["time"]["updated"] = json!(epoch_ms());
            let info = session.info.clone();
            inner.sessions.save();
            info
        };
        self.emit_session("session.updated", &info);
    }

    /// Changes a message's info, saves it and tells it to the streams.
    pub(super) fn update_message(&self, session: &str, id: &str, change: impl FnOnce(&mut Value)) {
        let found = {
            let mut inner = self.inner();
            let found = inner.sessions.find_mut(session).and_then(|session| {
                let directory = session.directory();
                let message = session.find_mut(id)?;
                change(&mut message.info);
                Some((directory, message.info.clone()))
            });
            inner.sessions.save();
            found
        };
        if let Some((directory, info)) = found {
            let properties = json!({ "sessionID": session, "info": info });
            self.events.emit(&directory, "message.updated", &properties);
            self.touch();
        }
    }

    /// Puts a part into its message, or in the place of its former state, saves it and tells it to the streams.
    pub(super) fn put_part(&self, session: &str, message: &str, part: &Value) {
        let directory = {
            let mut inner = self.inner();
            let directory = inner.sessions.find_mut(session).and_then(|session| {
                let directory = session.directory();
                let parts = &mut session.find_mut(message)?.parts;
                match parts.iter_mut().find(|known| known["id"] == part["id"]) {
                    Some(known) => *known = part.clone(),
                    None => parts.push(part.clone()),
                }
                Some(directory)
            });
            inner.sessions.save();
            directory
        };
        if let Some(directory) = directory {
            let properties = json!({ "sessionID": session, "part": part, "time": epoch_ms() });
            self.events.emit(&directory, "message.part.updated", &properties);
            self.touch();
        }
    }

    pub(super) fn emit_in(&self, session: &str, kind: &str, properties: &Value) {
        // A session that was deleted meanwhile, or never was, is told of in the server's own directory.
        let directory = self
            .session(session)
            .map_or_else(|| self.behaviour.directory.display().to_string(), |session| session.directory());
        self.events.emit(&directory, kind, properties);
        self.touch();
    }

    pub(super) fn emit_session(&self, kind: &str, info: &Value) {
        let directory = info["directory"].as_str().unwrap_or_default();
        self.events.emit(directory, kind, &json!({ "sessionID": info["id"], "info": info }));
        self.touch();
    }
}
