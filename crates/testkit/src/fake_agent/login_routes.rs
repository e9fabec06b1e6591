//! The fake's logins: GitLab's redirect and GitHub's device code, as OpenCode 1.18.33 runs them (observed), but for the
//! port of GitLab's listener, which is free instead of fixed, and for GitHub's address, which may be plain http.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::answers::{bad_request, server_error};
use super::routes::Shared;
use crate::serve::Served;

/// How often the fake asks whether a device login was approved.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A login that was begun.
#[derive(Debug)]
pub(super) enum Login {
    /// Waits for the browser.
    Redirect { base: String, redirect_uri: String, code: oneshot::Receiver<String>, _listener: Served },
    /// Waits for an approval.
    Device { base: String },
}

/// `POST /provider/{id}/oauth/authorize`.
pub(super) async fn authorize(
    State(agent): Shared,
    Path(id): Path<String>,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    let begun = match id.as_str() {
        "gitlab" if body["method"] == 0 => begin_redirect(&body["inputs"]).await,
        "github-copilot" if body["method"] == 0 => begin_device(&body["inputs"]).await,
        _ => return axum::Json(Value::Null).into_response(),
    };
    match begun {
        Some((login, answer)) => {
            agent.inner().logins.insert(id, login);
            axum::Json(answer).into_response()
        }
        None => server_error(),
    }
}

/// `POST /provider/{id}/oauth/callback`: answers when the login has ended.
pub(super) async fn callback(State(agent): Shared, Path(id): Path<String>) -> Response {
    let Some(login) = agent.inner().logins.remove(&id) else {
        return bad_request("ProviderAuthOauthMissing");
    };
    let entry = match login {
        Login::Redirect { base, redirect_uri, code, _listener } => exchange(&base, &redirect_uri, code).await,
        Login::Device { base } => poll(&base).await,
    };
    let Some(entry) = entry else {
        return server_error();
    };
    match agent.auth.put(&id, entry).await {
        Ok(()) => axum::Json(true).into_response(),
        Err(_) => server_error(),
    }
}

async fn begin_redirect(inputs: &Value) -> Option<(Login, Value)> {
    let base = inputs["instanceUrl"].as_str()?.trim_end_matches('/').to_owned();
    let state = super::ids::new_id("state");
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.ok()?;
    let redirect_uri = format!("http://127.0.0.1:{}/callback", listener.local_addr().ok()?.port());
    let (sender, code) = oneshot::channel();
    let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
    let expected = state.clone();
    let landing = get(move |RawQuery(query): RawQuery| {
        let query = query.unwrap_or_default();
        let field = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, v)| v.to_owned())
        };
        let answer = match (field("code"), field("state") == Some(expected.clone())) {
            (Some(code), true) => {
                let waiting = sender.lock().ok().and_then(|mut sender| sender.take());
                // A login that was given up waits no more.
                drop(waiting.map(|waiting| waiting.send(code)));
                Html("<h1>Authentication Successful</h1>").into_response()
            }
            _ => StatusCode::BAD_REQUEST.into_response(),
        };
        std::future::ready(answer)
    });
    let listener = Served::start(listener, Router::new().route("/callback", landing), || {}).ok()?;
    let encoded = redirect_uri.replace(':', "%3A").replace('/', "%2F");
    let url = format!("{base}/oauth/authorize?client_id=fake&redirect_uri={encoded}&response_type=code&state={state}");
    let answer = json!({
        "url": url, "method": "auto",
        "instructions": "Your browser will open for authentication. The callback will be handled automatically.",
    });
    Some((Login::Redirect { base, redirect_uri, code, _listener: listener }, answer))
}

async fn exchange(base: &str, redirect_uri: &str, code: oneshot::Receiver<String>) -> Option<Value> {
    let code = code.await.ok()?;
    let form = format!("grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}&client_id=fake");
    let tokens = ask(&format!("{base}/oauth/token"), form).await?;
    let lifetime = tokens["expires_in"].as_i64()?;
    Some(json!({
        "type": "oauth", "access": tokens["access_token"], "refresh": tokens["refresh_token"],
        "expires": i64::try_from(crate::clock::epoch_ms()).ok()? + lifetime * 1000, "enterpriseUrl": base,
    }))
}

async fn begin_device(inputs: &Value) -> Option<(Login, Value)> {
    let base = inputs["enterpriseUrl"].as_str()?.trim_end_matches('/').to_owned();
    let device = ask(&format!("{base}/login/device/code"), String::new()).await?;
    let answer = json!({
        "url": device["verification_uri"], "method": "auto",
        "instructions": format!("Enter code: {}", device["user_code"].as_str()?),
    });
    Some((Login::Device { base }, answer))
}

async fn poll(base: &str) -> Option<Value> {
    loop {
        let answer = ask(&format!("{base}/login/oauth/access_token"), String::new()).await?;
        if let Some(token) = answer["access_token"].as_str() {
            return Some(json!({ "type": "oauth", "access": token, "refresh": token, "expires": 0 }));
        }
        if answer["error"] != "authorization_pending" {
            return None;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask(url: &str, form: String) -> Option<Value> {
    let client = reqwest::Client::builder().no_proxy().build().ok()?;
    let request = client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
    let response = request.send().await.ok()?.error_for_status().ok()?;
    serde_json::from_slice(&response.bytes().await.ok()?).ok()
}
