//! An authorization server (RFC 6749, 8628) that rotates refresh tokens and revokes a login when one is used twice.
//!
//! It speaks as GitLab's (`/oauth/token`) and GitHub's (`/login/…`) do towards OpenCode 1.18.33. Nobody signs in at it: a
//! test approves.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::serve::{Served, TlsListener};

/// The code that a device login shows.
pub const USER_CODE: &str = "WDJB-MJHT";

/// A running authorization server. Dropping it closes its port.
#[derive(Debug)]
pub struct AuthorizationServer {
    logins: Arc<Mutex<Logins>>,
    served: Served,
    certificate: Option<String>,
}

/// A request for a new pair of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The refresh token that was used.
    pub refresh_token: String,
    /// The client that used it.
    pub client_id: String,
    /// Whether it was accepted.
    pub accepted: bool,
}

/// The logins that an authorization server knows, and their tokens.
#[derive(Debug)]
pub(crate) struct Logins {
    pub(crate) lifetime: u64,
    approved: bool,
    denied: bool,
    failing: u32,
    /// The login that a refresh token belongs to, and whether it was used.
    refresh: HashMap<String, (u32, bool)>,
    revoked: Vec<u32>,
    made: u32,
    pub(crate) renewals: Vec<Renewal>,
}

impl AuthorizationServer {
    /// Starts one on a free port of 127.0.0.1. Its access tokens live for an hour.
    ///
    /// # Panics
    /// When no port can be opened.
    pub async fn start() -> Self {
        let (logins, app, listener) = Self::parts().await;
        let served = Served::start(listener, app, || {}).expect("a bound socket has an address");
        Self { logins, served, certificate: None }
    }

    /// Starts one that speaks TLS, as `localhost`.
    ///
    /// # Panics
    /// When no port can be opened.
    pub async fn start_tls() -> Self {
        let (logins, app, listener) = Self::parts().await;
        let (listener, certificate) = TlsListener::new(listener);
        let served = Served::start(listener, app, || {}).expect("a bound socket has an address");
        Self { logins, served, certificate: Some(certificate) }
    }

    async fn parts() -> (Arc<Mutex<Logins>>, Router, TcpListener) {
        let logins = Arc::new(Mutex::new(Logins::new()));
        let app = Router::new()
            .route("/oauth/token", post(token))
            .route("/login/device/code", post(device_code))
            .route("/login/oauth/access_token", post(device_token))
            .route("/models", get(models))
            .with_state(Arc::clone(&logins));
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await;
        (logins, app, listener.expect("a free port of 127.0.0.1 can be opened"))
    }

    /// Its address as a URL without a path.
    pub fn url(&self) -> String {
        let address: SocketAddr = self.served.address();
        match self.certificate {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        }
    }

    /// The certificate that it shows, as PEM, if it speaks TLS.
    pub fn certificate(&self) -> Option<&str> {
        self.certificate.as_deref()
    }

    /// Where tokens are renewed.
    pub fn token_url(&self) -> String {
        format!("{}/oauth/token", self.url())
    }

    /// Lets access tokens live for this many seconds from now on.
    pub fn set_lifetime(&self, seconds: u64) {
        self.lock().lifetime = seconds;
    }

    /// Lets waiting device logins end well.
    pub fn approve(&self) {
        self.lock().approved = true;
    }

    /// Lets waiting device logins be refused.
    pub fn deny(&self) {
        self.lock().denied = true;
    }

    /// Answers the next requests for new pairs with 503.
    pub fn fail_next(&self, times: u32) {
        self.lock().failing = times;
    }

    /// Ends every login: none is renewed any more, nor is its token good.
    pub fn revoke_all(&self) {
        let mut logins = self.lock();
        logins.revoked = (0..=logins.made).collect();
    }

    /// The requests for new pairs so far.
    pub fn renewals(&self) -> Vec<Renewal> {
        self.lock().renewals.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Logins> {
        lock(&self.logins)
    }
}

fn lock(logins: &Mutex<Logins>) -> MutexGuard<'_, Logins> {
    logins.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logins {
    pub(crate) fn new() -> Self {
        Self {
            lifetime: 3600,
            approved: false,
            denied: false,
            failing: 0,
            refresh: HashMap::new(),
            revoked: Vec::new(),
            made: 0,
            renewals: Vec::new(),
        }
    }

    /// Begins a login: its first pair of tokens, as they are told.
    pub(crate) fn begin(&mut self) -> Value {
        self.made += 1;
        self.pair(self.made)
    }

    fn pair(&mut self, login: u32) -> Value {
        let number = self.refresh.len() + 1;
        let refresh = format!("refresh-{login}-{number}-0123456789abcdef");
        self.refresh.insert(refresh.clone(), (login, false));
        json!({
            "access_token": format!("access-{login}-{number}-0123456789abcdef"), "refresh_token": refresh,
            "expires_in": self.lifetime, "token_type": "Bearer",
        })
    }

    /// Answers a request for a new pair, and keeps it.
    pub(crate) fn renew(&mut self, token: &str, client_id: &str) -> Response {
        let answer = self.answer_renewal(token);
        self.renewals.push(Renewal {
            refresh_token: token.to_owned(),
            client_id: client_id.to_owned(),
            accepted: answer.status().is_success(),
        });
        answer
    }

    fn answer_renewal(&mut self, token: &str) -> Response {
        let refused = |code: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": code }))).into_response();
        if self.failing > 0 {
            self.failing -= 1;
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let Some((login, used)) = self.refresh.get(token).copied() else {
            return refused("invalid_grant");
        };
        if used {
            // Used twice: somebody has a copy, so the whole login is over.
            self.revoked.push(login);
        }
        if self.revoked.contains(&login) {
            return refused("invalid_grant");
        }
        self.refresh.insert(token.to_owned(), (login, true));
        Json(self.pair(login)).into_response()
    }
}

type Shared = State<Arc<Mutex<Logins>>>;

async fn token(State(logins): Shared, body: Bytes) -> Response {
    let form = form(&body);
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let mut logins = lock(&logins);
    match field("grant_type").as_str() {
        "authorization_code" if field("code") == "good-code" => Json(logins.begin()).into_response(),
        "refresh_token" => logins.renew(&field("refresh_token"), &field("client_id")),
        _ => (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response(),
    }
}

async fn device_code(headers: HeaderMap) -> Json<Value> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Json(json!({
        "device_code": "device-1", "user_code": USER_CODE, "verification_uri": format!("http://{host}/login/device"),
        "interval": 0, "expires_in": 900,
    }))
}

async fn device_token(State(logins): Shared) -> Json<Value> {
    let mut logins = lock(&logins);
    if logins.denied {
        return Json(json!({ "error": "access_denied" }));
    }
    if !logins.approved {
        return Json(json!({ "error": "authorization_pending" }));
    }
    logins.made += 1;
    Json(json!({ "access_token": format!("gho_{}_0123456789abcdef", logins.made), "token_type": "bearer" }))
}

/// Lists models to whoever holds the token of a device login that isn't over, as Copilot does.
async fn models(State(logins): Shared, headers: HeaderMap) -> Response {
    let logins = lock(&logins);
    let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let login =
        told("authorization").strip_prefix("Bearer gho_").and_then(|token| token.split('_').next()?.parse().ok());
    let is_good =
        login.is_some_and(|login: u32| (1..=logins.made).contains(&login) && !logins.revoked.contains(&login));
    if is_good && !told("x-github-api-version").is_empty() {
        Json(json!({ "data": [{ "id": "gpt-5" }] })).into_response()
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

/// Reads a form, or a query.
pub(crate) fn form(body: &[u8]) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(body);
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), percent_decoded(value)))
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                let value = str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.extend(value);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
