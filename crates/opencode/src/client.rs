//! What doce asks of an Agent.
//!
//! Left out on purpose: `PATCH /config` and `PATCH /global/config` (they write into the workspace or kill every run)
//! and `wellknown` entries. Which routes load the Agent's instance is part of each method's description: nothing may
//! load it before the credentials are delivered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::catalogue::{AuthMethods, Catalogue, WireCatalogue};
use crate::http::{CallError, Http, Limits};
use crate::ids::segment;
use crate::stream::{Bounds, StreamError};
use crate::{Event, MessageWithParts, PermissionRequest, QuestionRequest, Session, Status, install};

/// A probe waits no longer than this: a connection made in the first moments of a server is never answered.
const PROBE_LIMIT: Duration = Duration::from_millis(400);
/// How long to wait between two probes.
const PROBE_PAUSE: Duration = Duration::from_millis(50);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Calls that the server answers at once.
const SHORT: Limits = Limits { time: Duration::from_secs(10), bytes: MIB };
/// Calls that may load the instance first.
const LOADING: Limits = Limits { time: Duration::from_secs(30), bytes: 4 * MIB };
/// A conversation with everything its tools printed.
const CONVERSATION: Limits = Limits { time: Duration::from_mins(1), bytes: 64 * MIB };
/// The catalogue has 6.4 MB and takes 4.4 s the first time (OpenCode 1.18.33, observed).
const CATALOGUE: Limits = Limits { time: Duration::from_mins(1), bytes: 32 * MIB };

/// A way to one Agent. Clones share the mutex that keeps credential writes apart: clone it, don't make two.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    /// Invariant: at most one write of credentials is under way. OpenCode's is an unlocked read-modify-write: of
    /// twenty at once, all answered `true` and between one and five survived.
    credentials: Mutex<()>,
}

/// The Agent is up. It says nothing about whether its instance works.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Health {
    /// The version it runs.
    pub version: String,
}

/// Why an Agent didn't become healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// It didn't answer in time.
    #[error("see the agent healthy within {} s", bound.as_secs_f32())]
    TimedOut {
        /// How long was waited.
        bound: Duration,
        /// How the last probe ended.
        #[source]
        last: Option<CallError>,
    },
    /// Something listens that doesn't know the password.
    #[error("sign in to the agent: its port belongs to another program")]
    Unauthorized,
    /// It is another version than the one this client was written for.
    #[error("use OpenCode {found}: this needs {}", install::VERSION)]
    WrongVersion {
        /// What it says it is.
        found: String,
    },
}

/// Whether the Agent's runtime holds a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBack {
    /// It holds this one.
    Same,
    /// It holds another one.
    Different,
    /// It doesn't show one: not loaded yet, not enabled, lost, or of a kind that can't be read back.
    Unknown,
}

/// What the user asks for, and which model is to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The id that the user's Message will have; see [`crate::message_id`].
    pub message_id: String,
    /// The provider to ask.
    pub provider_id: String,
    /// Its model. Always named: OpenCode's defaults include speech and image models.
    pub model_id: String,
    /// The words.
    pub text: String,
}

/// An answer to a [`PermissionRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    /// Yes, this time.
    Once,
    /// Yes, and don't ask again.
    Always,
    /// No; the run ends.
    Reject,
}

impl Client {
    /// Makes a client for the Agent on `port` of this machine. Nothing is sent.
    pub fn new(port: u16, password: &SecretString) -> Self {
        Self { inner: Arc::new(Inner { http: Http::new(port, password), credentials: Mutex::new(()) }) }
    }

    /// Asks whether the server is up. Loads nothing.
    pub async fn health(&self, timeout: Duration) -> Result<Health, CallError> {
        let limits = Limits { time: timeout, bytes: 64 * KIB };
        self.inner
            .http
            .call("ask for its health", limits, Method::GET, &["global", "health"], None)
            .await?
            .succeeded()?
            .json()
    }

    /// Waits until the server is up and is the version that this client knows. Loads nothing; dropping it stops it.
    pub async fn wait_healthy(&self, bound: Duration) -> Result<Health, HealthError> {
        let deadline = Instant::now() + bound;
        let mut last = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(HealthError::TimedOut { bound, last });
            }
            match self.health(PROBE_LIMIT.min(left)).await {
                Ok(health) if health.version == install::VERSION => return Ok(health),
                Ok(health) => {
                    return Err(HealthError::WrongVersion { found: health.version.chars().take(32).collect() });
                }
                Err(CallError::Unauthorized { .. }) => return Err(HealthError::Unauthorized),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(PROBE_PAUSE.min(deadline.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Hands over an API key. A loaded instance goes on with the old one until [`Client::dispose`].
    ///
    /// `metadata` are the answers to the provider's own prompts, as an account id.
    pub async fn put_auth(
        &self,
        provider_id: &str,
        key: &SecretString,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: &'static str,
            key: &'a str,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            metadata: &'a BTreeMap<String, String>,
        }
        let path = ["auth", segment("provider", provider_id)?];
        if key.expose_secret().trim().is_empty() {
            return Err(CallError::EmptyCredential);
        }
        // Secret: in clear for the length of one request; wiped when the body has been sent.
        let body = Body { r#type: "api", key: key.expose_secret(), metadata };
        let body = serde_json::to_vec(&body).map(Zeroizing::new).expect("text serialises");
        let _alone = self.inner.credentials.lock().await;
        let body = Some(Bytes::from_owner(body));
        self.inner.http.call("deliver a credential", SHORT, Method::PUT, &path, body).await?.succeeded()?;
        Ok(())
    }

    /// Takes a credential away; one that isn't there is fine. A loaded instance keeps it until [`Client::dispose`].
    pub async fn delete_auth(&self, provider_id: &str) -> Result<(), CallError> {
        let path = ["auth", segment("provider", provider_id)?];
        let _alone = self.inner.credentials.lock().await;
        self.inner.http.call("take a credential away", SHORT, Method::DELETE, &path, None).await?.succeeded()?;
        Ok(())
    }

    /// Compares `key` with what the Agent's runtime holds. Loads the instance.
    ///
    /// It asks for the runtime's view, not for the list whose `connected` is true as soon as a file says so.
    pub async fn read_back(&self, provider_id: &str, key: &SecretString) -> Result<ReadBack, CallError> {
        #[derive(Deserialize)]
        struct Body {
            providers: Vec<Held>,
        }
        #[derive(Deserialize)]
        struct Held {
            id: String,
            key: Option<Zeroizing<String>>,
        }
        segment("provider", provider_id)?;
        // Secret: the answer holds every key of this Agent. It is compared here, and dropped here, wiped.
        let limits = Limits { bytes: CATALOGUE.bytes, ..LOADING };
        let answer =
            self.inner.http.call("read a credential back", limits, Method::GET, &["config", "providers"], None);
        let Body { providers } = answer.await?.succeeded()?.json()?;
        let held = providers.into_iter().find(|held| held.id == provider_id).and_then(|held| held.key);
        Ok(match held {
            None => ReadBack::Unknown,
            Some(held) if bool::from(held.as_bytes().ct_eq(key.expose_secret().as_bytes())) => ReadBack::Same,
            Some(_other) => ReadBack::Different,
        })
    }

    /// Begins a session. Without a title the Agent finds one itself. Loads the instance.
    pub async fn create_session(&self, title: Option<&str>) -> Result<Session, CallError> {
        let body = title.map_or_else(|| json!({}), |title| json!({ "title": title }));
        self.send("create a session", LOADING, Method::POST, &["session"], &body).await
    }

    /// Looks a session up. Loads the instance.
    pub async fn find_session(&self, id: &str) -> Result<Option<Session>, CallError> {
        let path = ["session", segment("session", id)?];
        let answer = self.inner.http.call("find a session", LOADING, Method::GET, &path, None).await?;
        answer.found()?.map(|answer| answer.json()).transpose()
    }

    /// Deletes a session; one that isn't there is fine.
    pub async fn delete_session(&self, id: &str) -> Result<(), CallError> {
        let path = ["session", segment("session", id)?];
        self.inner.http.call("delete a session", SHORT, Method::DELETE, &path, None).await?.found()?;
        Ok(())
    }

    /// Sends a Prompt; the answer comes as events.
    ///
    /// Not idempotent: a second call with the same id appends the text a second time. And it returns before the
    /// Message exists, up to half a second on an instance that isn't loaded: ask [`Client::find_message`] before a
    /// repeat. An unknown model is told by an event, too.
    pub async fn prompt(&self, session: &str, prompt: &Prompt) -> Result<(), CallError> {
        let path = ["session", segment("session", session)?, "prompt_async"];
        segment("message", &prompt.message_id)?;
        let body = json!({
            "messageID": prompt.message_id,
            "model": { "providerID": prompt.provider_id, "modelID": prompt.model_id },
            "parts": [{ "type": "text", "text": prompt.text }],
        });
        let body = Some(Bytes::from(body.to_string()));
        self.inner.http.call("send a prompt", LOADING, Method::POST, &path, body).await?.succeeded()?;
        Ok(())
    }

    /// Looks a Message up, as to see whether a Prompt has arrived. For a moment it is there without its Parts.
    pub async fn find_message(&self, session: &str, id: &str) -> Result<Option<MessageWithParts>, CallError> {
        let path = ["session", segment("session", session)?, "message", segment("message", id)?];
        let answer = self.inner.http.call("find a message", CONVERSATION, Method::GET, &path, None).await?;
        answer.found()?.map(|answer| answer.json()).transpose()
    }

    /// Reads a whole conversation, oldest first.
    pub async fn messages(&self, session: &str) -> Result<Vec<MessageWithParts>, CallError> {
        let path = ["session", segment("session", session)?, "message"];
        let answer = self.inner.http.call("read a conversation", CONVERSATION, Method::GET, &path, None);
        answer.await?.succeeded()?.json()
    }

    /// Reads the newest Messages of a conversation, oldest first. With `most` of 0 the Agent gives all (OpenCode 1.18.33,
    /// observed).
    pub async fn newest_messages(&self, session: &str, most: usize) -> Result<Vec<MessageWithParts>, CallError> {
        let path = ["session", segment("session", session)?, "message"];
        let answer = self.inner.http.read_some("read the end of a conversation", CONVERSATION, &path, most);
        answer.await?.succeeded()?.json()
    }

    /// Reads what each session does; idle ones are absent.
    pub async fn statuses(&self) -> Result<HashMap<String, Status>, CallError> {
        self.read("read the sessions' states", LOADING, &["session", "status"]).await
    }

    /// Stops a session's run; also fine when there is none.
    pub async fn abort(&self, session: &str) -> Result<(), CallError> {
        let path = ["session", segment("session", session)?, "abort"];
        self.inner.http.call("stop an answer", SHORT, Method::POST, &path, None).await?.succeeded()?;
        Ok(())
    }

    /// Drops what the Agent has loaded, so that credentials and configuration are read again.
    ///
    /// Ends every run: wait for idle first. The event stream goes on.
    pub async fn dispose(&self) -> Result<(), CallError> {
        let path = ["instance", "dispose"];
        self.inner.http.call("reload the agent", LOADING, Method::POST, &path, None).await?.succeeded()?;
        Ok(())
    }

    /// Lists what the Agent waits for leave to do. Entries of ended runs stay in it.
    pub async fn permissions(&self) -> Result<Vec<PermissionRequest>, CallError> {
        self.read("list permission requests", LOADING, &["permission"]).await
    }

    /// Answers a request for leave.
    pub async fn reply_permission(&self, id: &str, reply: Reply) -> Result<(), CallError> {
        let path = ["permission", segment("permission", id)?, "reply"];
        let body = Some(Bytes::from(json!({ "reply": reply }).to_string()));
        self.inner.http.call("answer a permission request", SHORT, Method::POST, &path, body).await?.succeeded()?;
        Ok(())
    }

    /// Lists what the Agent waits for an answer to.
    pub async fn questions(&self) -> Result<Vec<QuestionRequest>, CallError> {
        self.read("list questions", LOADING, &["question"]).await
    }

    /// Refuses to answer a question.
    pub async fn reject_question(&self, id: &str) -> Result<(), CallError> {
        let path = ["question", segment("question", id)?, "reject"];
        self.inner.http.call("reject a question", SHORT, Method::POST, &path, None).await?.succeeded()?;
        Ok(())
    }

    /// Follows everything that happens in the Agent, until the stream ends with an error.
    ///
    /// It connects when first polled; [`Event::Connected`] tells that it has, a moment too early. Loads nothing.
    pub fn events(&self) -> impl Stream<Item = Result<Event, StreamError>> + Send + 'static + use<> {
        self.events_within(Bounds::default())
    }

    /// As [`Client::events`], and ends after another silence than [`crate::SILENCE_LIMIT`].
    pub fn events_unless_silent_for(
        &self,
        silence: Duration,
    ) -> impl Stream<Item = Result<Event, StreamError>> + Send + 'static + use<> {
        self.events_within(Bounds { silence, ..Bounds::default() })
    }

    /// Reads the catalogue of providers and models, slimmed and without keys. Loads the instance; takes seconds.
    pub async fn catalogue(&self) -> Result<Catalogue, CallError> {
        self.read::<WireCatalogue>("read the catalogue", CATALOGUE, &["provider"]).await.map(Catalogue::from)
    }

    /// Reads how each provider wants to be connected; one that is absent takes a plain API key.
    pub async fn auth_methods(&self) -> Result<AuthMethods, CallError> {
        self.read("read how providers connect", LOADING, &["provider", "auth"]).await
    }

    pub(crate) fn events_within(
        &self,
        bounds: Bounds,
    ) -> impl Stream<Item = Result<Event, StreamError>> + Send + 'static + use<> {
        crate::stream::open(self.inner.http.request(Method::GET, &["global", "event"]), bounds)
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        limits: Limits,
        path: &[&str],
    ) -> Result<T, CallError> {
        self.inner.http.call(operation, limits, Method::GET, path, None).await?.succeeded()?.json()
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        operation: &'static str,
        limits: Limits,
        method: Method,
        path: &[&str],
        body: &serde_json::Value,
    ) -> Result<T, CallError> {
        let body = Some(Bytes::from(body.to_string()));
        self.inner.http.call(operation, limits, method, path, body).await?.succeeded()?.json()
    }
}

mod login;
#[cfg(test)]
mod tests;
