//! Answering one request: record it, choose the script, stream it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State as Extract;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::stream;
use serde_json::Value;
use tokio::time::sleep;

use super::protocol::{ErrorShape, Frame, Meta, Protocol, describe};
use super::record::{Outcome, RecordedRequest};
use super::state::State;
use crate::directives::{self, Refusal};
use crate::script::{self, Ending, GREETING, Opening, Script};

/// What was sent before a cut shall arrive: clients drop what they haven't read when a connection breaks.
const BEFORE_CUT: Duration = Duration::from_millis(50);

pub(super) async fn answer(
    Extract(state): Extract<Arc<State>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut request = read(&state, &method, &uri, &headers, &body);
    state.record(&mut request);
    let shape = ErrorShape::of(request.protocol, &headers);
    let guard = Guard { state: Arc::clone(&state), number: request.number };
    let is_known = match request.protocol {
        Protocol::Models => method == Method::GET,
        Protocol::Anthropic | Protocol::Chat | Protocol::Responses => method == Method::POST,
        Protocol::Other => false,
    };
    if !is_known {
        return guard.complete(json_response(404, &shape.body(404, "There is nothing at this address.")));
    }
    if !request.key_accepted {
        let (status, body) = shape.key_refused();
        return guard.complete(json_response(status, &body));
    }
    if request.protocol == Protocol::Models {
        return guard.complete(json_response(200, &shape.models(&state.models())));
    }
    if request.body.is_string() || request.body.is_null() {
        return guard.complete(json_response(400, &shape.body(400, "The body is not JSON.")));
    }
    let script = match choose(&state, &request) {
        Ok(script) => script.for_tools(&request.tools),
        // A mistake in a test's prompt shall be loud: 400 is never retried.
        Err(error) => {
            let message = format!("The scripted model failed to {error}.");
            return guard.complete(json_response(400, &shape.body(400, &message)));
        }
    };
    let meta = Meta {
        model: request.model.clone().unwrap_or_default(),
        id: uuid::Uuid::now_v7().simple().to_string(),
        created: crate::clock::epoch_ms() / 1000,
        input_tokens: body.len() / 4,
        include_usage: request.body["stream_options"]["include_usage"] == true,
    };
    play(&state, &request, &script, &meta, shape, guard).await
}

async fn play(
    state: &Arc<State>,
    request: &RecordedRequest,
    script: &Script,
    meta: &Meta,
    shape: ErrorShape,
    guard: Guard,
) -> Response {
    match &script.opening {
        Opening::Refuse(refusal) => {
            let mut response = json_response(refusal.status, &shape.body(refusal.status, describe(refusal.status)));
            if let Some(seconds) = refusal.retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            guard.complete(response)
        }
        Opening::Hang => {
            state.closed().await;
            guard.settle(Outcome::Cut);
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
        Opening::Empty => guard.complete(event_stream(Body::from(": nothing follows\n\n"))),
        Opening::Stream if !request.stream => guard.complete(json_response(200, &request.protocol.whole(script, meta))),
        Opening::Stream => {
            let frames = request.protocol.frames(script, meta);
            let error = request.protocol.error_frame("The scripted model failed in the middle of its answer.");
            let (frames, end) = end_at(frames, script.ending, error);
            let closed = state.closed();
            event_stream(Body::from_stream(pace(frames, script.delay, end, guard, closed)))
        }
    }
}

/// How the connection goes on after the last frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Finish,
    Hang,
    Cut,
}

/// Drops what the ending forbids: everything after the n-th token, at least the events that say the answer is complete.
fn end_at(mut frames: Vec<Frame>, ending: Ending, error: Frame) -> (Vec<Frame>, End) {
    let (limit, end) = match ending {
        Ending::Complete => return (frames, End::Finish),
        Ending::HangAfter(limit) => (limit, End::Hang),
        Ending::CutAfter(limit) => (limit, End::Cut),
        Ending::ErrorAfter(limit) => (limit, End::Finish),
    };
    let mut tokens = 0;
    let mut keep = 0;
    for (index, frame) in frames.iter().enumerate() {
        if frame.is_token {
            if tokens == limit {
                break;
            }
            tokens += 1;
            keep = index + 1;
        } else if tokens == 0 {
            // The opening events come even when no word does.
            keep = index + 1;
        }
    }
    frames.truncate(keep);
    if matches!(ending, Ending::ErrorAfter(_)) {
        frames.push(error);
    }
    (frames, end)
}

/// Sends frame after frame, waiting before each token.
fn pace(
    frames: Vec<Frame>,
    delay: Duration,
    end: End,
    guard: Guard,
    closed: impl Future<Output = ()> + Send + 'static,
) -> impl Stream<Item = io::Result<String>> + Send {
    struct Pacing<C> {
        frames: std::vec::IntoIter<Frame>,
        guard: Guard,
        closed: std::pin::Pin<Box<C>>,
        over: bool,
    }
    let start = Pacing { frames: frames.into_iter(), guard, closed: Box::pin(closed), over: false };
    stream::unfold(start, move |mut pacing| async move {
        if pacing.over {
            return None;
        }
        let next = pacing.frames.next();
        let wait = async {
            match (&next, end) {
                (Some(frame), _) if frame.is_token && !delay.is_zero() => sleep(delay).await,
                (None, End::Hang) => std::future::pending().await,
                (None, End::Cut) => sleep(BEFORE_CUT).await,
                _ => {}
            }
        };
        let was_closed = tokio::select! {
            () = wait => false,
            () = &mut pacing.closed => true,
        };
        match next {
            Some(frame) if !was_closed => return Some((Ok(frame.text), pacing)),
            None if end == End::Finish => {
                pacing.guard.settle(Outcome::Completed);
                return None;
            }
            _ => {}
        }
        pacing.guard.settle(Outcome::Cut);
        pacing.over = true;
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), pacing))
    })
}

/// Finds the script for a request that may be answered.
fn choose(state: &State, request: &RecordedRequest) -> Result<Script, directives::DirectiveError> {
    if let Some(script) = state.respond(request) {
        return Ok(script);
    }
    if is_title(request) {
        return Ok(Script::say(title_of(&request.user_text)));
    }
    if let Some(script) = state.next_script() {
        return Ok(script);
    }
    let mut turns = script::turns(&directives::parse(&request.user_text)?);
    let turn = request.tool_results.min(turns.len() - 1);
    let mut script = turns.swap_remove(turn);
    if let Opening::Refuse(Refusal { times: Some(limit), .. }) = script.opening
        && !state.may_refuse(&request.user_text, turn, limit)
    {
        script.opening = Opening::Stream;
    }
    Ok(script)
}

/// OpenCode asks for a title in a request of its own, without tools, with this instruction (OpenCode 1.18.33, observed).
fn is_title(request: &RecordedRequest) -> bool {
    request.tools.is_empty() && request.mentions("title generator")
}

/// A short title made of the prompt's words.
fn title_of(text: &str) -> String {
    let words = directives::strip(text.trim_start_matches("Generate a title for this conversation:"));
    let title = words.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
    if title.is_empty() { GREETING.split('!').next().unwrap_or_default().to_owned() } else { title }
}

fn read(state: &State, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> RecordedRequest {
    let protocol = Protocol::of_path(uri.path());
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
    };
    let conversation = protocol.conversation(&body);
    let (key_header, key) = find_key(protocol, headers).unzip();
    RecordedRequest {
        number: 0,
        at_ms: 0,
        protocol,
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: uri.query().map(str::to_owned),
        headers: headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        key_accepted: state.accepts(key.as_deref()),
        key_header,
        key,
        model: body["model"].as_str().map(str::to_owned),
        stream: body["stream"] == true,
        body,
        user_text: conversation.user_text,
        tool_results: conversation.tool_results,
        tools: conversation.tools,
        outcome: Outcome::Open,
    }
}

/// Finds the key in the header where this protocol's providers look for it, and nowhere else: a key in the wrong header is no key.
fn find_key(protocol: Protocol, headers: &HeaderMap) -> Option<(String, String)> {
    let names: &[&str] = match protocol {
        Protocol::Anthropic => &["x-api-key"],
        Protocol::Chat | Protocol::Responses => &["authorization", "api-key"],
        Protocol::Models | Protocol::Other => &["x-api-key", "authorization", "api-key", "x-goog-api-key"],
    };
    names.iter().find_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        let key = match *name {
            "authorization" => value.strip_prefix("Bearer ")?,
            _ => value,
        };
        Some(((*name).to_owned(), key.to_owned()))
    })
}

/// Notes how a request ended, whoever ends it: dropped early, it was the client.
struct Guard {
    state: Arc<State>,
    number: usize,
}

impl Guard {
    fn complete(self, response: Response) -> Response {
        self.settle(Outcome::Completed);
        response
    }

    fn settle(&self, outcome: Outcome) {
        self.state.settle(self.number, outcome);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Without effect when the end was settled before.
        self.settle(Outcome::ClosedByClient);
    }
}

fn json_response(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(body)).into_response()
}

fn event_stream(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")], body)
        .into_response()
}
