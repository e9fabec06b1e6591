//! The hosts at which OpenCode's logins sign people in, and those that its requests then go to: all of them in one
//! process, behind a proxy that ends TLS.
//!
//! They speak as OpenCode 1.18.33 asks them (read in its JavaScript, and observed through this proxy), and check what an
//! authorization server checks: the client, the redirect, the code's verifier (RFC 7636), that a refresh token is used
//! once. The models behind them answer 400, or 401, to everything, which ends an answer at once: what counts is what they
//! were asked with.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::authorization_server::{Logins, Renewal, form};
use crate::intercepting_proxy::InterceptingProxy;

/// The end of every Snowflake account's host.
const SNOWFLAKE: &str = ".snowflakecomputing.com";
/// The end of every Azure resource's host.
const AZURE: &str = ".openai.azure.com";
/// The other hosts.
const HOSTS: [&str; 14] = [
    "api.cloudflare.com",
    "api.digitalocean.com",
    "api.githubcopilot.com",
    "api.poe.com",
    "api.x.ai",
    "auth.openai.com",
    "auth.x.ai",
    "chatgpt.com",
    "cloud.digitalocean.com",
    "cloud.gitlab.com",
    "github.com",
    "gitlab.com",
    "inference.do-ai.run",
    "poe.com",
];
/// The account that `OpenAI`'s tokens name.
pub const ACCOUNT: &str = "acct-0123456789";
/// Where a device login of `OpenAI`'s pretends to have been sent.
const OPENAI_DEVICE_REDIRECT: &str = "https://auth.openai.com/deviceauth/callback";

/// The running hosts. Dropping them closes the proxy.
pub struct Providers {
    world: Arc<Mutex<World>>,
    proxy: InterceptingProxy,
}

/// A request that arrived at one of the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The host.
    pub host: String,
    /// The path, without its query.
    pub path: String,
    /// The header `Authorization`, or Azure's `api-key`.
    pub authorization: Option<String>,
    /// Whether it asked for tokens.
    pub for_tokens: bool,
}

struct World {
    logins: Logins,
    asked: Vec<Asked>,
    /// What a code was given for.
    grants: HashMap<String, Grant>,
    /// Device logins by the code that only the device knows.
    devices: BTreeMap<String, Device>,
    made: u32,
    rejects: bool,
}

struct Grant {
    client_id: String,
    redirect_uri: String,
    challenge: String,
}

struct Device {
    user_code: String,
    approved: bool,
}

impl Providers {
    /// Starts them. Access tokens live for an hour.
    ///
    /// # Panics
    /// When no port can be opened.
    pub async fn start() -> Self {
        let world = Arc::new(Mutex::new(World {
            logins: Logins::new(),
            asked: Vec::new(),
            grants: HashMap::new(),
            devices: BTreeMap::new(),
            made: 0,
            rejects: false,
        }));
        let app = Router::new().fallback(answer).with_state(Arc::clone(&world));
        let knows = |host: &str| HOSTS.contains(&host) || host.ends_with(SNOWFLAKE) || host.ends_with(AZURE);
        let proxy = InterceptingProxy::start(app, knows).await;
        Self { world, proxy }
    }

    /// The proxy's address, for `HTTPS_PROXY`.
    pub fn proxy_url(&self) -> String {
        self.proxy.url()
    }

    /// The certificate to trust, as PEM.
    pub fn certificate(&self) -> &str {
        self.proxy.certificate()
    }

    /// What was asked of the proxy that none of the hosts is. Nothing of it left this machine.
    pub fn strangers(&self) -> Vec<String> {
        self.proxy.refused()
    }

    /// Lets access tokens live for this many seconds from now on.
    pub fn set_lifetime(&self, seconds: u64) {
        lock(&self.world).logins.lifetime = seconds;
    }

    /// Lets the device login that shows this code end well. Returns whether there is one.
    pub fn approve(&self, user_code: &str) -> bool {
        let mut world = lock(&self.world);
        let found = world.devices.values_mut().find(|device| device.user_code == user_code);
        found.map(|device| device.approved = true).is_some()
    }

    /// Lets the models reject every token from now on (401), or none.
    pub fn reject_tokens(&self, rejects: bool) {
        lock(&self.world).rejects = rejects;
    }

    /// The requests for new pairs of tokens so far.
    pub fn renewals(&self) -> Vec<Renewal> {
        lock(&self.world).logins.renewals.clone()
    }

    /// The requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.world).asked.clone()
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Providers").field("proxy", &self.proxy.url()).finish_non_exhaustive()
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client that OpenCode is registered as at a host that gives codes or tokens.
fn client_at(host: &str) -> &'static str {
    match host {
        "auth.openai.com" => "app_EMoamEEZ73f0CkXaXp7hrann",
        "auth.x.ai" => "b1a00492-073a-47ea-816f-4c329264a828",
        "gitlab.com" => "1d89f9fdb23ee96d4e603201f6861dab6e143c5c3c00469a018a2d94bdc03d4e",
        "github.com" => "Ov23li8tweQw6odWQebz",
        "poe.com" | "api.poe.com" => "client_728290227fc048cc9262091a1ea197ea",
        "cloud.digitalocean.com" => "b1a6c5158156caac821fd1b30253ca8acb52454a48fa744420e41889cb589f82",
        _ => "LOCAL_APPLICATION",
    }
}

async fn answer(State(world): State<Arc<Mutex<World>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: header::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let host = header(header::HOST).unwrap_or_default().to_owned();
    let path = parts.uri.path().to_owned();
    let query = form(parts.uri.query().unwrap_or_default().as_bytes());
    let body = axum::body::to_bytes(body, 16 << 20).await.unwrap_or_default();
    let is_json = header(header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    let fields = if is_json { json_fields(&body) } else { form(&body) };
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let at_snowflake = host.ends_with(SNOWFLAKE);
    let for_tokens = matches!(
        (host.as_str(), path.as_str()),
        ("auth.openai.com" | "gitlab.com", "/oauth/token")
            | ("auth.x.ai", "/oauth2/token")
            | ("api.poe.com", "/token")
            | ("github.com", "/login/oauth/access_token")
    ) || (at_snowflake && path == "/oauth/token-request");
    let api_key = || header(header::HeaderName::from_static("api-key"));
    let authorization = header(header::AUTHORIZATION).or_else(api_key).map(str::to_owned);
    let mut world = lock(&world);
    world.asked.push(Asked { host: host.clone(), path: path.clone(), authorization, for_tokens });
    match (host.as_str(), path.as_str()) {
        ("auth.openai.com" | "gitlab.com" | "poe.com", "/oauth/authorize")
        | ("cloud.digitalocean.com", "/v1/oauth/authorize") => world.sign_in(&host, &query),
        (_, "/oauth/authorize") if at_snowflake => world.sign_in(&host, &query),
        ("auth.openai.com", "/api/accounts/deviceauth/usercode") if field("client_id") == client_at(&host) => {
            let (device, code) = world.begin_device();
            Json(json!({ "device_auth_id": device, "user_code": code, "interval": "1" })).into_response()
        }
        ("auth.openai.com", "/api/accounts/deviceauth/token") => {
            world.openai_device(&field("device_auth_id"), &field("user_code"))
        }
        ("auth.x.ai", "/oauth2/device/code") if field("client_id") == client_at(&host) => {
            let (device, code) = world.begin_device();
            Json(json!({
                "device_code": device, "user_code": code, "verification_uri": "https://x.ai/device",
                "verification_uri_complete": format!("https://x.ai/device?user_code={code}"), "interval": 1, "expires_in": 900,
            }))
            .into_response()
        }
        ("github.com", "/login/device/code") if field("client_id") == client_at(&host) => {
            let (device, code) = world.begin_device();
            Json(json!({
                "device_code": device, "user_code": code, "verification_uri": "https://github.com/login/device",
                "interval": 1, "expires_in": 900,
            }))
            .into_response()
        }
        ("api.digitalocean.com", "/v2/gen-ai/models/routers") => {
            Json(json!({ "model_routers": [{ "name": "house", "uuid": "0", "description": "Everyday work" }] }))
                .into_response()
        }
        _ if for_tokens => world.give_tokens(&host, at_snowflake, &parts.headers, &fields),
        _ => {
            let status = if world.rejects { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
            let error = json!({ "error": { "message": "There is no model here.", "code": "no_model" } });
            (status, Json(error)).into_response()
        }
    }
}

fn json_fields(body: &[u8]) -> HashMap<String, String> {
    let fields: HashMap<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |value: Value| value.as_str().map(str::to_owned);
    fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

fn refused(code: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": code }))).into_response()
}

impl World {
    /// What the page of a provider does once a person has signed in: sends the browser back.
    fn sign_in(&mut self, host: &str, query: &HashMap<String, String>) -> Response {
        let asked = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let redirect = asked("redirect_uri");
        let is_here = redirect.starts_with("http://localhost:") || redirect.starts_with("http://127.0.0.1:");
        if asked("client_id") != client_at(host) || !is_here {
            return refused("invalid_client");
        }
        let state = match asked("state") {
            "" => String::new(),
            state => format!("&state={state}"),
        };
        let back = match (asked("response_type"), asked("code_challenge_method")) {
            ("token", _) if host == "cloud.digitalocean.com" => {
                let token = self.access_token();
                let lifetime = self.logins.lifetime;
                format!("{redirect}#access_token={token}&token_type=bearer&expires_in={lifetime}{state}")
            }
            ("code", "S256") => {
                let challenge = asked("code_challenge").to_owned();
                let code = self.grant(host, redirect, challenge);
                format!("{redirect}?code={code}{state}")
            }
            _ => return refused("unsupported_response_type"),
        };
        (StatusCode::FOUND, [(header::LOCATION, back)]).into_response()
    }

    fn grant(&mut self, host: &str, redirect_uri: &str, challenge: String) -> String {
        self.made += 1;
        let code = format!("code-{}", self.made);
        let (client_id, redirect_uri) = (client_at(host).to_owned(), redirect_uri.to_owned());
        self.grants.insert(code.clone(), Grant { client_id, redirect_uri, challenge });
        code
    }

    fn begin_device(&mut self) -> (String, String) {
        self.made += 1;
        let (device, user_code) = (format!("device-{}", self.made), format!("WDJB-{:04}", self.made));
        self.devices.insert(device.clone(), Device { user_code: user_code.clone(), approved: false });
        (device, user_code)
    }

    /// `OpenAI`'s device login ends in a code, and the verifier for it.
    fn openai_device(&mut self, device: &str, user_code: &str) -> Response {
        let found = self.devices.get(device).filter(|found| found.user_code == user_code);
        if !found.is_some_and(|found| found.approved) {
            return StatusCode::FORBIDDEN.into_response();
        }
        let verifier = format!("verifier-of-{device}");
        let code = self.grant("auth.openai.com", OPENAI_DEVICE_REDIRECT, challenge_of(&verifier));
        Json(json!({ "authorization_code": code, "code_verifier": verifier })).into_response()
    }

    fn give_tokens(
        &mut self,
        host: &str,
        at_snowflake: bool,
        headers: &HeaderMap,
        fields: &HashMap<String, String>,
    ) -> Response {
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let basic = format!("Basic {}", STANDARD.encode("LOCAL_APPLICATION:LOCAL_APPLICATION"));
        if field("client_id") != client_at(host)
            || (at_snowflake && headers.get(header::AUTHORIZATION).is_none_or(|sent| *sent != *basic))
        {
            return refused("invalid_client");
        }
        match field("grant_type") {
            "authorization_code" => {
                // A code is good once.
                let grant = self.grants.remove(field("code"));
                let good = grant.is_some_and(|grant| {
                    grant.client_id == field("client_id")
                        && grant.redirect_uri == field("redirect_uri")
                        && grant.challenge == challenge_of(field("code_verifier"))
                });
                match host {
                    _ if !good => refused("invalid_grant"),
                    "api.poe.com" => {
                        let (key, lifetime) = (self.access_token(), self.logins.lifetime);
                        Json(json!({ "api_key": key, "api_key_expires_in": lifetime })).into_response()
                    }
                    _ => self.new_pair(host),
                }
            }
            "urn:ietf:params:oauth:grant-type:device_code" => match self.devices.get(field("device_code")) {
                None => refused("expired_token"),
                // GitHub says it with 200.
                Some(device) if !device.approved && host == "github.com" => {
                    Json(json!({ "error": "authorization_pending" })).into_response()
                }
                Some(device) if !device.approved => refused("authorization_pending"),
                Some(_) if host == "github.com" => {
                    Json(json!({ "access_token": self.access_token(), "token_type": "bearer" })).into_response()
                }
                Some(_) => self.new_pair(host),
            },
            "refresh_token" => self.logins.renew(field("refresh_token"), field("client_id")),
            _ => refused("unsupported_grant_type"),
        }
    }

    fn new_pair(&mut self, host: &str) -> Response {
        let mut pair = self.logins.begin();
        if host == "auth.openai.com" {
            let claims = json!({ "https://api.openai.com/auth": { "chatgpt_account_id": ACCOUNT } });
            pair["id_token"] = json!(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string())));
        }
        Json(pair).into_response()
    }

    /// A token without a second one.
    fn access_token(&mut self) -> String {
        self.made += 1;
        format!("access-alone-{}-0123456789abcdef", self.made)
    }
}

fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}
