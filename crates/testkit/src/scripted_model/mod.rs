//! A model server that answers by script: a real HTTP server speaking Anthropic messages, `OpenAI` chat completions and `OpenAI` responses.
//!
//! What it answers is decided, in this order, by `accept_keys`, a function given to `on`, scripts given to `push` or `fail_next`, and at last by the
//! directives in the prompt (see `directives`), which need no state here and so work from another process. Requests for titles (no tools on
//! offer) get a title and use up no script. It doesn't speak Gemini or Bedrock.

mod answer;
mod control;
mod protocol;
mod record;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;

pub use control::ControlRequest;
pub use protocol::Protocol;
pub(crate) use protocol::describe;
pub use record::{Outcome, RecordedRequest};

use crate::directives::Refusal;
use crate::script::Script;
use crate::serve::Served;
use state::{Keys, State};

/// The largest request body that is read.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

/// A running scripted model. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct ScriptedModel {
    state: Arc<State>,
    served: Served,
}

impl ScriptedModel {
    /// Starts a model on a free port of 127.0.0.1. It accepts every key, but not a missing one.
    ///
    /// # Panics
    /// When no port can be opened.
    pub async fn start() -> Self {
        Self::start_on(0).await.expect("a free port of 127.0.0.1 can be opened")
    }

    /// Starts a model on this port of 127.0.0.1; 0 takes a free one.
    pub async fn start_on(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await?;
        let state = Arc::new(State::new());
        let app = Router::new()
            .route("/__requests", get(control::list_requests).delete(control::clear_requests))
            .route("/__script", post(control::take_script))
            .fallback(answer::answer)
            .layer(axum::extract::DefaultBodyLimit::max(BODY_LIMIT))
            .with_state(Arc::clone(&state));
        let closing = Arc::clone(&state);
        let served = Served::start(listener, app, move || closing.close())?;
        Ok(Self { state, served })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.served.address()
    }

    /// Its address as a URL without a path, such as `http://127.0.0.1:4711`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The base URL for Anthropic's SDK, which appends `/messages`.
    pub fn anthropic_base_url(&self) -> String {
        format!("{}/anthropic/v1", self.url())
    }

    /// The base URL for `OpenAI`'s SDKs, which append `/chat/completions` or `/responses`.
    pub fn openai_base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// Accepts these keys and refuses all others; an empty string stands for a request without a key.
    pub fn accept_keys<K: Into<String>>(&self, keys: impl IntoIterator<Item = K>) {
        self.state.set_keys(Keys::Only(keys.into_iter().map(Into::into).collect()));
    }

    /// Accepts every key, and requests without one.
    pub fn accept_everything(&self) {
        self.state.set_keys(Keys::Everything);
    }

    /// Plays this script at the next agent turn (or other request that isn't for a title) instead of reading the prompt's directives.
    pub fn push(&self, script: Script) {
        self.state.push(script);
    }

    /// Refuses the next such request with this HTTP status.
    pub fn fail_next(&self, status: u16) {
        self.push(Script::refuse(Refusal::new(status)));
    }

    /// Asks this function first, at every request whose key is accepted, titles included. `None` leaves the request to the scripts.
    pub fn on(&self, respond: impl Fn(&RecordedRequest) -> Option<Script> + Send + Sync + 'static) {
        self.state.set_respond(Box::new(respond));
    }

    /// Names the models in `GET …/models`.
    pub fn list_models<M: Into<String>>(&self, models: impl IntoIterator<Item = M>) {
        self.state.set_models(models.into_iter().map(Into::into).collect());
    }

    /// All requests so far, in order of arrival.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.state.requests()
    }

    /// The requests that are turns of an agent: with tools on offer, so neither titles nor lists of models.
    pub fn agent_turns(&self) -> Vec<RecordedRequest> {
        let mut requests = self.requests();
        requests.retain(RecordedRequest::is_agent_turn);
        requests
    }

    /// How many requests there were, lists of models included.
    pub fn count(&self) -> usize {
        self.state.count()
    }

    /// Waits for a request of this kind, also for one in this state: `|r| r.outcome == Outcome::ClosedByClient`.
    ///
    /// # Panics
    /// When none comes within the bound; the message lists what came.
    pub async fn wait_for_request(&self, is_it: impl Fn(&RecordedRequest) -> bool, bound: Duration) -> RecordedRequest {
        let mut changes = self.state.changes();
        let search = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = self.state.requests().into_iter().find(&is_it) {
                    return found;
                }
                changes.changed().await.expect("the state outlives its subscribers");
            }
        };
        let Ok(found) = tokio::time::timeout(bound, search).await else {
            panic!("no such request within {bound:?}; there were:\n{}", self.state.summary());
        };
        found
    }

    /// Closes the port and breaks every connection, then waits until both have happened.
    pub async fn stop(self) {
        self.served.stop().await;
    }
}
