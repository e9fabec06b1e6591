//! The answers that several of the fake's routes give, errors foremost.

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::ids::new_id;

pub(super) fn event_stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache, no-transform")], body)
        .into_response()
}

pub(super) fn no_session(id: &str) -> Response {
    if !id.starts_with("ses") {
        return server_error();
    }
    not_found(&format!("Session not found: {id}"))
}

pub(super) fn not_found(message: &str) -> Response {
    let body = json!({ "name": "NotFoundError", "data": { "message": message } });
    (StatusCode::NOT_FOUND, axum::Json(body)).into_response()
}

pub(super) fn bad_request(message: &str) -> Response {
    let body = json!({ "name": "BadRequest", "data": { "message": message, "kind": "Payload" } });
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

pub(super) fn server_error() -> Response {
    let body = json!({ "name": "UnknownError", "data": {
        "message": "Unexpected server error. Check server logs for details.", "ref": new_id("err"),
    } });
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
}
