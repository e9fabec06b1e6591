//! A fake Agent: a real HTTP server that speaks the part of OpenCode 1.18.33's protocol doce uses, traps included, and starts in milliseconds.
//!
//! It calls no model: the answer comes from the scripts given to it or from the directives in the prompt (see `directives`), else it echoes. Tools
//! really run. Its data lies where OpenCode's would (`auth.json`, sessions), so it can be stopped and started on the same data home.
//! `src/bin/fake-opencode.rs` is the same as a program that takes OpenCode's command line and environment.

mod agent;
mod answers;
mod auth;
mod calls;
mod events;
mod ids;
mod instance;
mod login_routes;
mod routes;
mod run;
mod runs;
mod session_routes;
mod sessions;
mod tools;
mod turn;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::script::Script;
use crate::serve::Served;
use agent::{Agent, Behaviour};
pub use calls::{Call, PromptCall, read_calls};

/// A file of this name in OpenCode's directory of the data home, made at any time, and the fake tells no events any more: a
/// sandbox has no other door through which a test could ask it to misbehave.
pub const REFUSES_EVENTS: &str = "fake-refuses-events";

/// While a file of this name lies there, a credential that is put is kept, and its request not answered.
pub const HOLDS_AUTH: &str = "fake-holds-auth";

/// The version of OpenCode that is played.
pub const VERSION: &str = "1.18.33";

/// A running fake Agent. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct FakeAgent {
    agent: Arc<Agent>,
    served: Served,
    data_home: PathBuf,
    workspace: PathBuf,
    _temporary: Option<TempDir>,
}

/// Says how a fake Agent is to behave, then starts it.
#[derive(Debug)]
pub struct Builder {
    behaviour: Behaviour,
    port: u16,
    data_home: Option<PathBuf>,
    workspace: Option<PathBuf>,
    scripts: Vec<Script>,
    rejected_keys: Vec<String>,
}

impl FakeAgent {
    /// Starts one with its own temporary data home and workspace and the password `secret`.
    ///
    /// # Panics
    /// When no port or no temporary directory can be had.
    pub async fn start() -> Self {
        Self::builder().start().await.expect("a free port and a temporary directory can be had")
    }

    /// Begins to describe one.
    pub fn builder() -> Builder {
        Builder {
            behaviour: Behaviour {
                version: VERSION.to_owned(),
                health_after: Duration::ZERO,
                message_delay: Duration::from_millis(5),
                load_delay: Duration::from_millis(20),
                heartbeat: Duration::from_secs(10),
                retry_delays: [2, 4, 8, 18, 35].map(Duration::from_secs).to_vec(),
                username: "opencode".to_owned(),
                password: Some("secret".to_owned()),
                directory: PathBuf::new(),
                config_file: None,
                config_content: None,
            },
            port: 0,
            data_home: None,
            workspace: None,
            scripts: Vec::new(),
            rejected_keys: Vec::new(),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.served.address()
    }

    /// Its address as a URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What `XDG_DATA_HOME` would be.
    pub fn data_home(&self) -> &Path {
        &self.data_home
    }

    /// The directory it works in.
    pub fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// Plays this script at the next turn instead of reading the prompt's directives.
    pub fn push(&self, script: Script) {
        self.agent.push(script);
    }

    /// Answers prompts whose provider has one of these keys as the provider would: 401.
    pub fn reject_keys<K: Into<String>>(&self, keys: impl IntoIterator<Item = K>) {
        self.agent.reject_keys(keys.into_iter().map(Into::into));
    }

    /// All requests with the right password, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.agent.calls.all()
    }

    /// How many requests there were with this method and path.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.calls().iter().filter(|call| call.method == method && call.path == path).count()
    }

    /// All prompts it received, repeats included.
    pub fn prompts(&self) -> Vec<PromptCall> {
        self.calls().into_iter().filter_map(|call| call.prompt).collect()
    }

    /// How often a prompt came with this message id.
    pub fn prompts_with_id(&self, message_id: &str) -> usize {
        self.prompts().iter().filter(|prompt| prompt.message_id == message_id).count()
    }

    /// How many accepted `PUT /auth` and `DELETE /auth` there were.
    pub fn auth_writes(&self) -> u64 {
        self.agent.calls.auth_writes()
    }

    /// The entries of its `auth.json` by provider.
    pub fn credentials(&self) -> serde_json::Map<String, Value> {
        self.agent.auth.read()
    }

    /// The messages of a session as its API lists them; empty when there is no such session.
    pub fn messages(&self, session_id: &str) -> Vec<Value> {
        self.agent
            .session(session_id)
            .map(|session| session.messages)
            .unwrap_or_default()
            .into_iter()
            .map(|message| serde_json::json!({ "info": message.info, "parts": message.parts }))
            .collect()
    }

    /// How many event streams are open.
    pub fn event_streams(&self) -> usize {
        self.agent.events.readers()
    }

    /// Ends every event stream; clients may connect again.
    pub fn disconnect_streams(&self) {
        self.agent.events.disconnect();
    }

    /// Sends an event in the name of its workspace: one that OpenCode would send, or one that a hostile Agent might.
    pub fn emit(&self, kind: &str, properties: &Value) {
        let directory = self.workspace.display().to_string();
        self.agent.events.emit(&directory, kind, properties);
    }

    /// Sends these bytes on every event stream as they are.
    pub fn emit_raw(&self, frame: &str) {
        self.agent.events.emit_raw(frame);
    }

    /// Waits for something that its requests or its runs bring about: `agent.wait_for("a prompt", bound, || !agent.prompts().is_empty())`.
    ///
    /// # Panics
    /// When the bound passes first; the message lists the requests.
    pub async fn wait_for(&self, what: &str, bound: Duration, condition: impl Fn() -> bool) {
        let mut changes = self.agent.changes();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if condition() {
                    return;
                }
                changes.changed().await.expect("the agent outlives its subscribers");
            }
        };
        if tokio::time::timeout(bound, wait).await.is_err() {
            let calls: Vec<String> = self.calls().iter().map(|call| format!("{} {}", call.method, call.path)).collect();
            panic!("waited {bound:?} in vain for {what}; the requests were {calls:#?}");
        }
    }

    /// Ends it as a kill would: running answers stay unfinished, the data home stays as it is.
    pub async fn stop(self) {
        self.served.stop().await;
    }
}

impl Builder {
    /// The version it reports.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.behaviour.version);
        self
    }

    /// Accepts connections at once, but never answers those made before this time has passed.
    #[must_use]
    pub fn health_after(mut self, delay: Duration) -> Self {
        self.behaviour.health_after = delay;
        self
    }

    /// How long after its 204 a prompt's message comes into being.
    #[must_use]
    pub fn message_delay(mut self, delay: Duration) -> Self {
        self.behaviour.message_delay = delay;
        self
    }

    /// How long the first request to a directory takes more than the others.
    #[must_use]
    pub fn load_delay(mut self, delay: Duration) -> Self {
        self.behaviour.load_delay = delay;
        self
    }

    /// How often the event streams carry a heartbeat.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.behaviour.heartbeat = interval;
        self
    }

    /// The waits before the five attempts after a failure; the last one repeats.
    #[must_use]
    pub fn retry_delays(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.behaviour.retry_delays = delays.into_iter().collect();
        self
    }

    /// The password of its user `opencode`; `None` lets everyone in.
    #[must_use]
    pub fn password(mut self, password: Option<&str>) -> Self {
        self.behaviour.password = password.map(str::to_owned);
        self
    }

    /// The user that goes with the password.
    #[must_use]
    pub fn username(mut self, username: &str) -> Self {
        username.clone_into(&mut self.behaviour.username);
        self
    }

    /// The port on 127.0.0.1; 0, the default, takes a free one.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Where its data lies (`XDG_DATA_HOME`); the default is a temporary directory.
    #[must_use]
    pub fn data_home(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_home = Some(path.into());
        self
    }

    /// The directory it works in; the default is a temporary directory.
    #[must_use]
    pub fn workspace(mut self, path: impl Into<PathBuf>) -> Self {
        self.workspace = Some(path.into());
        self
    }

    /// The configuration's file: `opencode.json` of the directory that `OPENCODE_CONFIG_DIR` would name.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.behaviour.config_file = Some(path.into());
        self
    }

    /// What `OPENCODE_CONFIG_CONTENT` would hold.
    #[must_use]
    pub fn config_content(mut self, content: impl Into<String>) -> Self {
        self.behaviour.config_content = Some(content.into());
        self
    }

    /// Plays this script at the next turn that has none yet.
    #[must_use]
    pub fn answer(mut self, script: Script) -> Self {
        self.scripts.push(script);
        self
    }

    /// Answers prompts whose provider has one of these keys with 401.
    #[must_use]
    pub fn reject_keys<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.rejected_keys = keys.into_iter().map(Into::into).collect();
        self
    }

    /// Starts it.
    pub async fn start(self) -> std::io::Result<FakeAgent> {
        let temporary = match (&self.data_home, &self.workspace) {
            (Some(_), Some(_)) => None,
            _ => Some(TempDir::new()?),
        };
        let inside = |name: &str| temporary.as_ref().map(|directory| directory.path().join(name)).unwrap_or_default();
        let data_home = self.data_home.unwrap_or_else(|| inside("data"));
        let workspace = self.workspace.unwrap_or_else(|| inside("workspace"));
        let data = data_home.join("opencode");
        std::fs::create_dir_all(&data)?;
        std::fs::create_dir_all(&workspace)?;
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, self.port)).await?;
        let behaviour = Behaviour { directory: workspace.clone(), ..self.behaviour };
        let agent = Agent::open(behaviour, &data);
        for script in self.scripts {
            agent.push(script);
        }
        agent.reject_keys(self.rejected_keys);
        let closing = Arc::clone(&agent);
        let served = Served::start(listener, routes::router(Arc::clone(&agent)), move || {
            closing.close();
        })?;
        Ok(FakeAgent { agent, served, data_home, workspace, _temporary: temporary })
    }
}
