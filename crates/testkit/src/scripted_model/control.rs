//! The routes by which another process reads the record and gives scripts: `GET`/`DELETE /__requests`, `POST /__script`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::record::RecordedRequest;
use super::state::{Keys, State};
use crate::directives::{self, Refusal};
use crate::script::{self, Script};

/// The body of `POST /__script`; every field does its own thing, in this order.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlRequest {
    /// Forgets the record, the scripts and the counted refusals.
    pub reset: bool,
    /// Accepts only these keys.
    pub accept_keys: Option<Vec<String>>,
    /// Names the models that are listed.
    pub models: Option<Vec<String>>,
    /// Refuses the next agent turn with this status.
    pub fail_next: Option<u16>,
    /// Seconds of `retry-after` for `fail_next`.
    pub retry_after: Option<u64>,
    /// Directives whose turns are played at the next agent turns.
    pub push: Option<String>,
}

pub(super) async fn list_requests(Extract(state): Extract<Arc<State>>) -> Json<Vec<RecordedRequest>> {
    Json(state.requests())
}

pub(super) async fn clear_requests(Extract(state): Extract<Arc<State>>) -> StatusCode {
    state.clear();
    StatusCode::NO_CONTENT
}

pub(super) async fn take_script(Extract(state): Extract<Arc<State>>, Json(control): Json<ControlRequest>) -> Response {
    // Read first, so that a bad request changes nothing.
    let turns = match control.push.as_deref().map(directives::parse).transpose() {
        Ok(directives) => directives.map(|directives| script::turns(&directives)).unwrap_or_default(),
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("failed to {error}\n")).into_response();
        }
    };
    if control.reset {
        state.clear();
    }
    if let Some(keys) = control.accept_keys {
        state.set_keys(Keys::Only(keys.into_iter().collect()));
    }
    if let Some(models) = control.models {
        state.set_models(models);
    }
    if let Some(status) = control.fail_next {
        state.push(Script::refuse(Refusal { retry_after: control.retry_after, ..Refusal::new(status) }));
    }
    for turn in turns {
        state.push(turn);
    }
    StatusCode::NO_CONTENT.into_response()
}
