//! The fake's routes of sessions, messages and prompts, with the answers and the traps of OpenCode 1.18.33 (observed).

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::agent::Agent;
use super::answers::{bad_request, no_session, not_found, server_error};
use super::calls::PromptCall;
use super::ids::new_id;
use super::routes::{In, Shared, load};

pub(super) async fn list_sessions(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    match load(&agent, &place, &headers).await {
        Ok((directory, _)) => {
            let mut sessions = agent.list_sessions(&directory);
            sessions.truncate(place.limit.unwrap_or(usize::MAX));
            axum::Json(sessions).into_response()
        }
        Err(response) => *response,
    }
}

pub(super) async fn create_session(
    State(agent): Shared,
    Query(place): Query<In>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Ok(wanted) = serde_json::from_slice(if body.is_empty() { b"{}" } else { &body }) else {
        return server_error();
    };
    match load(&agent, &place, &headers).await {
        Ok((directory, _)) => axum::Json(agent.create_session(&directory, &wanted)).into_response(),
        Err(response) => *response,
    }
}

pub(super) async fn statuses(State(agent): Shared, Query(place): Query<In>, headers: HeaderMap) -> Response {
    match load(&agent, &place, &headers).await {
        Ok((directory, _)) => axum::Json(agent.statuses(&directory)).into_response(),
        Err(response) => *response,
    }
}

pub(super) async fn get_session(State(agent): Shared, Path(id): Path<String>) -> Response {
    match agent.session(&id) {
        Some(session) => axum::Json(session.info).into_response(),
        None => no_session(&id),
    }
}

pub(super) async fn delete_session(State(agent): Shared, Path(id): Path<String>) -> Response {
    if agent.session(&id).is_some() && agent.delete_session(&id).await {
        axum::Json(true).into_response()
    } else {
        no_session(&id)
    }
}

pub(super) async fn rename_session(
    State(agent): Shared,
    Path(id): Path<String>,
    axum::Json(body): axum::Json<Value>,
) -> Response {
    if let Some(title) = body["title"].as_str() {
        agent.update_session(&id, |session| session.info["title"] = json!(title));
    }
    get_session(State(agent), Path(id)).await
}

pub(super) async fn list_messages(State(agent): Shared, Path(id): Path<String>, Query(place): Query<In>) -> Response {
    let Some(session) = agent.session(&id) else {
        return no_session(&id);
    };
    // 0 is no limit (OpenCode 1.18.33, observed).
    let limit = place.limit.filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let skipped = session.messages.len().saturating_sub(limit);
    axum::Json(&session.messages[skipped..]).into_response()
}

pub(super) async fn get_message(State(agent): Shared, Path((id, message)): Path<(String, String)>) -> Response {
    match agent.message(&id, &message) {
        Some(message) => axum::Json(message).into_response(),
        None if agent.session(&id).is_none() => no_session(&id),
        None => not_found(&format!("Message not found: {message}")),
    }
}

pub(super) async fn abort(State(agent): Shared, Path(id): Path<String>) -> axum::Json<bool> {
    agent.abort(&id).await;
    axum::Json(true)
}

// Prompts

/// A prompt that was read and recorded.
struct Prompt {
    message: String,
    body: Value,
    texts: Vec<String>,
}

fn read_prompt(agent: &Agent, session: &str, route: &str, body: &Bytes) -> Result<Prompt, Box<Response>> {
    if !session.starts_with("ses") {
        return Err(Box::new(server_error()));
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Err(Box::new(server_error()));
    };
    let refuse = |message: String| Err(Box::new(bad_request(&message)));
    if !matches!(body["model"], Value::Null | Value::Object(_)) {
        return refuse(format!("Expected object | null, got {}\n  at [\"model\"]", body["model"]));
    }
    let message = match &body["messageID"] {
        Value::Null => new_id("msg"),
        Value::String(id) if id.starts_with("msg") => id.clone(),
        other => {
            return refuse(format!("Expected a string starting with \"msg\", got {other}\n  at [\"messageID\"]"));
        }
    };
    let Some(parts) = body["parts"].as_array() else {
        return refuse("Missing key\n  at [\"parts\"]".to_owned());
    };
    let texts: Vec<String> = parts.iter().filter_map(|part| part["text"].as_str()).map(str::to_owned).collect();
    let Some(directory) = agent.session(session).map(|session| session.directory()) else {
        return Err(Box::new(no_session(session)));
    };
    agent.calls.add(
        "POST",
        &format!("/session/{session}/{route}"),
        Some(PromptCall {
            session_id: session.to_owned(),
            message_id: message.clone(),
            provider_id: body["model"]["providerID"].as_str().map(str::to_owned),
            model_id: body["model"]["modelID"].as_str().map(str::to_owned),
            text: texts.join("\n"),
        }),
    );
    agent.touch();
    if agent.is_loaded(&directory) || agent.instance(&directory).is_ok() {
        Ok(Prompt { message, body, texts })
    } else {
        Err(Box::new(server_error()))
    }
}

/// Answers 204 before the message exists, as the original does: for half a second when the instance wasn't loaded.
pub(super) async fn prompt_async(State(agent): Shared, Path(id): Path<String>, body: Bytes) -> Response {
    let was_loaded = agent.session(&id).is_some_and(|session| agent.is_loaded(&session.directory()));
    let prompt = match read_prompt(&agent, &id, "prompt_async", &body) {
        Ok(prompt) => prompt,
        Err(response) => return *response,
    };
    let mut delay = agent.behaviour.message_delay;
    if !was_loaded {
        delay += agent.behaviour.load_delay;
    }
    let later = Arc::clone(&agent);
    agent.tasks.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(delay) => {
                // The session may have been deleted meanwhile; then the prompt is lost.
                let _ = later.take_prompt(&id, &prompt.message, &prompt.body, &prompt.texts);
            }
            () = later.closing.cancelled() => {}
        }
    });
    StatusCode::NO_CONTENT.into_response()
}

/// Answers with the last assistant message when the run is over: 200 also when the model failed.
pub(super) async fn prompt(State(agent): Shared, Path(id): Path<String>, body: Bytes) -> Response {
    let prompt = match read_prompt(&agent, &id, "message", &body) {
        Ok(prompt) => prompt,
        Err(response) => return *response,
    };
    let Some(mut done) = agent.take_prompt(&id, &prompt.message, &prompt.body, &prompt.texts) else {
        return no_session(&id);
    };
    // An error means that the run's task is gone, which is an end as well.
    let _ = done.wait_for(|done| *done).await;
    let last = agent
        .session(&id)
        .and_then(|session| session.messages.into_iter().rfind(|message| message.info["role"] == "assistant"));
    match last {
        Some(message) => axum::Json(message).into_response(),
        None => server_error(),
    }
}
