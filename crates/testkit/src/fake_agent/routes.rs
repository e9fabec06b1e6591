//! The fake's HTTP routes, those of sessions apart, with the answers and the traps of OpenCode 1.18.33 (observed).

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::agent::Agent;
use super::answers::{bad_request, event_stream, server_error};
use super::auth::check_entry;
use super::instance::{auth_methods, defaults};
use super::login_routes;
use super::session_routes::{
    abort, create_session, delete_session, get_message, get_session, list_messages, list_sessions, prompt,
    prompt_async, rename_session, statuses,
};

pub(super) type Shared = State<Arc<Agent>>;

/// The largest request body that is read.
const BODY_LIMIT: usize = 64 * 1024 * 1024;

pub(super) fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/global/health", get(health))
        .route("/global/event", get(global_events))
        .route("/global/dispose", post(dispose_all))
        .route("/api/health", get(async || axum::Json(json!({ "healthy": true }))))
        .route("/auth/{id}", put(put_auth).delete(delete_auth))
        .route("/event", get(directory_events))
        .route("/instance/dispose", post(dispose))
        .route("/config", get(config))
        .route("/config/providers", get(config_providers))
        .route("/provider", get(providers))
        .route("/provider/auth", get(async || axum::Json(auth_methods())))
        .route("/provider/{id}/oauth/authorize", post(login_routes::authorize))
        .route("/provider/{id}/oauth/callback", post(login_routes::callback))
        .route("/path", get(paths))
        .route("/permission", get(permissions))
        .route("/permission/{id}/reply", post(reply))
        .route("/question", get(async || axum::Json(json!([]))))
        .route("/session", get(list_sessions).post(create_session))
        .route("/session/status", get(statuses))
        .route("/session/{id}", get(get_session).delete(delete_session).patch(rename_session))
        .route("/session/{id}/message", get(list_messages).post(prompt))
        .route("/session/{id}/message/{message}", get(get_message))
        .route("/session/{id}/prompt_async", post(prompt_async))
        .route("/session/{id}/abort", post(abort))
        .fallback(web_page)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(Arc::clone(&agent), enter))
        .with_state(agent)
}

/// What every request meets first: silence right after the start, then the password.
async fn enter(State(agent): Shared, request: Request, next: Next) -> Response {
    if agent.started.elapsed() < agent.behaviour.health_after {
        // A connection made this early is accepted and never answered, not even later.
        agent.closing.cancelled().await;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if let Some(password) = &agent.behaviour.password {
        let wanted =
            base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", agent.behaviour.username));
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given != Some(format!("Basic {wanted}").as_str()) {
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"Secure Area\"")])
                .into_response();
        }
    }
    let path = request.uri().path().to_owned();
    // Prompts are recorded where their bodies have been read.
    let is_prompt = request.method() == Method::POST && (path.ends_with("/message") || path.ends_with("/prompt_async"));
    if !is_prompt {
        agent.calls.add(request.method().as_str(), &path, None);
        agent.touch();
    }
    next.run(request).await
}

// The server itself

async fn health(State(agent): Shared) -> axum::Json<Value> {
    axum::Json(json!({ "healthy": true, "version": agent.behaviour.version }))
}

async fn global_events(State(agent): Shared) -> Response {
    if agent.refuses_events() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    event_stream(Body::from_stream(agent.events.subscribe(None)))
}

async fn dispose_all(State(agent): Shared) -> axum::Json<bool> {
    for directory in agent.loaded_directories() {
        agent.dispose(&directory).await;
    }
    axum::Json(true)
}

async fn web_page(method: Method) -> Response {
    // OpenCode serves its web client at any address it doesn't know.
    match method {
        Method::GET => {
            ([(header::CONTENT_TYPE, "text/html")], "<!doctype html>\n<title>OpenCode</title>\n").into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

// Credentials

async fn put_auth(State(agent): Shared, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok())
        && !kind.starts_with("application/json")
    {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("Unsupported content-type: {kind}")).into_response();
    }
    let body: Option<Value> = if body.is_empty() {
        None
    } else if let Ok(body) = serde_json::from_slice(&body) {
        Some(body)
    } else {
        return server_error();
    };
    let entry = match check_entry(body.as_ref()) {
        Ok(entry) => entry,
        Err(message) => return bad_request(&message),
    };
    agent.calls.count_auth_write();
    let written = agent.auth.put(&id, entry).await;
    agent.answers_auth().await;
    match written {
        Ok(()) => axum::Json(true).into_response(),
        Err(_) => server_error(),
    }
}

async fn delete_auth(State(agent): Shared, Path(id): Path<String>) -> Response {
    agent.calls.count_auth_write();
    match agent.auth.delete(&id).await {
        Ok(()) => axum::Json(true).into_response(),
        Err(_) => server_error(),
    }
}

// The instance of a directory

/// The directory a request is about: named in the query or a header, else the server's own.
#[derive(Debug, Deserialize)]
pub(super) struct In {
    directory: Option<String>,
    pub(super) limit: Option<usize>,
}

impl In {
    fn directory(&self, agent: &Agent, headers: &HeaderMap) -> String {
        let named = headers.get("x-opencode-directory").and_then(|value| value.to_str().ok());
        self.directory
            .clone()
            .or_else(|| named.map(str::to_owned))
            .unwrap_or_else(|| agent.behaviour.directory.display().to_string())
    }
}

/// Loads the instance the request is about, as almost every route does.
pub(super) async fn load(
    agent: &Agent,
    place: &In,
    headers: &HeaderMap,
) -> Result<(String, super::instance::Instance), Box<Response>> {
    let directory = place.directory(agent, headers);
    if !agent.is_loaded(&directory) {
        tokio::time::sleep(agent.behaviour.load_delay).await;
    }
    match agent.instance(&directory) {
        Ok(instance) => Ok((directory, instance)),
        Err(_) => Err(Box::new(server_error())),
    }
}

async fn directory_events(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    match load(&agent, &place, &headers).await {
        Ok((directory, _)) => event_stream(Body::from_stream(agent.events.subscribe(Some(directory)))),
        Err(response) => *response,
    }
}

async fn dispose(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    match load(&agent, &place, &headers).await {
        Ok((directory, _)) => {
            agent.dispose(&directory).await;
            axum::Json(true).into_response()
        }
        Err(response) => *response,
    }
}

async fn config(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    match load(&agent, &place, &headers).await {
        Ok((_, instance)) => axum::Json(instance.config()).into_response(),
        Err(response) => *response,
    }
}

async fn config_providers(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    match load(&agent, &place, &headers).await {
        Ok((_, instance)) => {
            let providers = instance.providers();
            axum::Json(json!({ "default": defaults(&providers), "providers": providers })).into_response()
        }
        Err(response) => *response,
    }
}

async fn providers(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    let instance = match load(&agent, &place, &headers).await {
        Ok((_, instance)) => instance,
        Err(response) => return *response,
    };
    let all = instance.known_providers();
    // What is loaded, and what lies in the file: the second may not be in use at all.
    let mut connected: Vec<Value> = instance.providers().iter().map(|provider| provider["id"].clone()).collect();
    for id in agent.auth.read().keys() {
        if !connected.iter().any(|known| known == id) {
            connected.push(json!(id));
        }
    }
    axum::Json(json!({ "default": defaults(&all), "all": all, "connected": connected })).into_response()
}

async fn paths(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    match load(&agent, &place, &headers).await {
        Ok((directory, _)) => axum::Json(json!({ "worktree": "/", "directory": directory })).into_response(),
        Err(response) => *response,
    }
}

async fn permissions(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    match load(&agent, &place, &headers).await {
        Ok((directory, _)) => axum::Json(agent.permissions(&directory)).into_response(),
        Err(response) => *response,
    }
}

async fn reply(State(agent): Shared, Path(id): Path<String>, axum::Json(body): axum::Json<Value>) -> Response {
    let Some(answer) = body["reply"].as_str().filter(|reply| matches!(*reply, "once" | "always" | "reject")) else {
        return bad_request("Expected \"once\" | \"always\" | \"reject\"\n  at [\"reply\"]");
    };
    if agent.reply(&id, answer) {
        return axum::Json(true).into_response();
    }
    let body = json!({
        "_tag": "PermissionNotFoundError", "requestID": id, "message": format!("Permission request not found: {id}"),
    });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}
