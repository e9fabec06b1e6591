//! One bounded request to the Agent, and how it can fail.
//!
//! Every call has a time bound and a size cap, opens a connection of its own and follows nothing. Nothing of a body
//! ever reaches an error or a log: OpenCode's 400 for a bad credential repeats the credential, and serde's messages
//! quote the value they stumble over.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use zeroize::Zeroizing;

/// Why a call to the Agent didn't do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or it broke before the answer was complete.
    #[error("{operation}: reach the agent")]
    Unreachable {
        /// What was asked for.
        operation: &'static str,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// The answer wasn't complete in time. Whether the Agent acted is unknown.
    #[error("{operation}: get an answer from the agent within {} s", bound.as_secs_f32())]
    TimedOut {
        /// What was asked for.
        operation: &'static str,
        /// How long was waited.
        bound: Duration,
    },
    /// The password is not this server's: something else listens on the port.
    #[error("{operation}: sign in to the agent")]
    Unauthorized {
        /// What was asked for.
        operation: &'static str,
    },
    /// The Agent answered with an error. Its text is left out on purpose.
    #[error("{operation}: the agent answered {status}{}", name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default())]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The HTTP status.
        status: u16,
        /// The name of the error, as `NotFoundError`.
        name: Option<String>,
        /// Under which reference the reason is in the Agent's own log, as `err_1a2b3c4d`.
        reference: Option<String>,
    },
    /// The answer was longer than anything that makes sense.
    #[error("{operation}: take an answer of more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        operation: &'static str,
        /// The cap, in bytes.
        limit: usize,
    },
    /// The answer had another shape than this version of OpenCode gives.
    #[error("{operation}: understand the agent's answer (line {line}, column {column})")]
    Malformed {
        /// What was asked for.
        operation: &'static str,
        /// Where reading stopped.
        line: usize,
        /// Where reading stopped.
        column: usize,
    },
    /// An id that can't be one. Nothing was sent.
    #[error("use that {what} id")]
    InvalidId {
        /// The noun whose id it should have been.
        what: &'static str,
    },
    /// An empty credential, which OpenCode would accept. Nothing was sent.
    #[error("deliver an empty credential")]
    EmptyCredential,
}

impl CallError {
    /// Whether the same call may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::Unauthorized { .. }
            | Self::TooLarge { .. }
            | Self::Malformed { .. }
            | Self::InvalidId { .. }
            | Self::EmptyCredential => false,
        }
    }
}

/// How long a call may take and how long its answer may be.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) bytes: usize,
}

/// A way to one Agent.
pub(crate) struct Http {
    client: reqwest::Client,
    base: Url,
    authorization: HeaderValue,
}

/// A complete answer.
pub(crate) struct Answer {
    operation: &'static str,
    status: StatusCode,
    body: Zeroizing<Vec<u8>>,
}

impl Http {
    pub(crate) fn new(port: u16, password: &SecretString) -> Self {
        // Secret: the header is kept for the Client's life, marked so that nothing prints it.
        let pair = Zeroizing::new(format!("opencode:{}", password.expose_secret()));
        let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut authorization = HeaderValue::from_str(&encoded).expect("base64 is a valid header value");
        authorization.set_sensitive(true);
        let mut base = Url::parse("http://127.0.0.1/").expect("a constant address is valid");
        base.set_port(Some(port)).expect("http addresses have ports");
        Self { client: loopback_client(), base, authorization }
    }

    /// Builds a request; `path` are whole segments, encoded one by one.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> reqwest::RequestBuilder {
        self.request_to(method, self.address(path))
    }

    fn request_to(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        self.client.request(method, url).header(AUTHORIZATION, self.authorization.clone())
    }

    fn address(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("http addresses have paths").clear().extend(path);
        url
    }

    /// Reads what is at `path`, of a limited number.
    pub(crate) async fn read_some(
        &self,
        operation: &'static str,
        limits: Limits,
        path: &[&str],
        most: usize,
    ) -> Result<Answer, CallError> {
        let mut url = self.address(path);
        url.query_pairs_mut().append_pair("limit", &most.to_string());
        self.send(operation, limits, self.request_to(Method::GET, url), None).await
    }

    /// Sends one request and reads the whole answer, within limits.
    pub(crate) async fn call(
        &self,
        operation: &'static str,
        limits: Limits,
        method: Method,
        path: &[&str],
        body: Option<Bytes>,
    ) -> Result<Answer, CallError> {
        self.send(operation, limits, self.request(method, path), body).await
    }

    async fn send(
        &self,
        operation: &'static str,
        limits: Limits,
        request: reqwest::RequestBuilder,
        body: Option<Bytes>,
    ) -> Result<Answer, CallError> {
        let mut request = request.header(ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let answer = async {
            let unreachable =
                |source: reqwest::Error| CallError::Unreachable { operation, source: source.without_url() };
            let mut response = request.send().await.map_err(unreachable)?;
            let status = response.status();
            let mut body = Zeroizing::new(Vec::new());
            while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
                if body.len() + chunk.len() > limits.bytes {
                    return Err(CallError::TooLarge { operation, limit: limits.bytes });
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { operation, status, body })
        };
        let answer = tokio::time::timeout(limits.time, answer)
            .await
            .map_err(|_elapsed| CallError::TimedOut { operation, bound: limits.time })??;
        if answer.status == StatusCode::UNAUTHORIZED {
            return Err(CallError::Unauthorized { operation });
        }
        Ok(answer)
    }
}

impl Answer {
    /// Turns anything but success into an error.
    pub(crate) fn succeeded(self) -> Result<Self, CallError> {
        if self.status.is_success() { Ok(self) } else { Err(self.refused()) }
    }

    /// Turns 404 into `None` and other failures into an error.
    pub(crate) fn found(self) -> Result<Option<Self>, CallError> {
        if self.status == StatusCode::NOT_FOUND { Ok(None) } else { self.succeeded().map(Some) }
    }

    /// Reads the body as `T`.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| CallError::Malformed {
            operation: self.operation,
            line: error.line(),
            column: error.column(),
        })
    }

    fn refused(self) -> CallError {
        #[derive(Deserialize)]
        struct Body {
            #[serde(alias = "_tag")]
            name: Option<String>,
            data: Option<Data>,
        }
        #[derive(Deserialize)]
        struct Data {
            r#ref: Option<String>,
        }
        let word =
            |text: &String| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let (name, reference) = match serde_json::from_slice::<Body>(&self.body) {
            Ok(body) => (body.name.filter(word), body.data.and_then(|data| data.r#ref).filter(word)),
            Err(_) => (None, None),
        };
        CallError::Refused { operation: self.operation, status: self.status.as_u16(), name, reference }
    }
}

/// A client that only ever speaks plain HTTP to this machine.
fn loopback_client() -> reqwest::Client {
    reqwest::Client::builder()
        // The Agent's address is ours: a proxy from the environment would see the password.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        // No certificate is ever checked, so a machine without any must not matter.
        .tls_certs_only([])
        // A kept connection that the other side closes meanwhile would fail a POST that can't be repeated blindly.
        .pool_max_idle_per_host(0)
        .http1_only()
        .build()
        .expect("a client without certificates and proxies has nothing to load")
}
