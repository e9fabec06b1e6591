//! A model that plays a part by its name, over the chat completions protocol.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::StatusCode;
use serde_json::{Value, json};

/// One request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

/// A scripted model server. It runs until the test ends.
pub(crate) struct Model {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Model {
    #[expect(clippy::disallowed_methods, reason = "a test has no shutdown that could wait for it")]
    pub(crate) async fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new().fallback(answer).with_state(asked.clone());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has free ports");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        tokio::spawn(async move {
            axum::serve(listener, router).await.expect("runs until the test ends");
        });
        Self { port, asked }
    }

    /// Its address, with a path that tells where a request was meant to go.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What arrived so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics inside").clone()
    }
}

async fn answer(State(asked): State<Arc<Mutex<Vec<Asked>>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let bytes = axum::body::to_bytes(request.into_body(), 16 * 1024 * 1024).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    asked.lock().expect("no test panics inside").push(Asked {
        path,
        authorization: authorization.clone(),
        body: body.clone(),
    });

    let called_a_tool =
        body["messages"].as_array().is_some_and(|list| list.iter().any(|message| message["role"] == "tool"));
    match body["model"].as_str().unwrap_or_default() {
        "reject" => {
            // As some providers do, it repeats the key that it rejects.
            let message = format!("Incorrect API key provided: {}", authorization.unwrap_or_default());
            (StatusCode::UNAUTHORIZED, axum::Json(json!({"error": {"message": message}}))).into_response()
        }
        "hang" => stream(vec![words("It begins")], false),
        "bash" if !called_a_tool => stream(
            vec![tool("bash", &json!({"command": "echo hi", "description": "Says hi"})), end("tool_calls")],
            true,
        ),
        "question" if !called_a_tool => {
            let question =
                json!({"question": "Which?", "header": "Choice", "options": [{"label": "A", "description": "a"}]});
            stream(vec![tool("question", &json!({"questions": [question]})), end("tool_calls")], true)
        }
        _ => stream(vec![words("Hello "), words("wörld"), end("stop")], true),
    }
}

fn chunk(delta: &Value, finish: Option<&str>) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn words(text: &str) -> Value {
    chunk(&json!({"role": "assistant", "content": text}), None)
}

fn tool(name: &str, arguments: &Value) -> Value {
    let call = json!({"index": 0, "id": "call_1", "type": "function",
        "function": {"name": name, "arguments": arguments.to_string()}});
    chunk(&json!({"role": "assistant", "tool_calls": [call]}), None)
}

fn end(reason: &str) -> Value {
    chunk(&json!({}), Some(reason))
}

fn stream(chunks: Vec<Value>, ends: bool) -> Response {
    let mut frames: Vec<String> = chunks.into_iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    if ends {
        frames.push("data: [DONE]\n\n".to_owned());
    }
    let sent = futures::stream::iter(frames.into_iter().map(|frame| Ok::<_, std::io::Error>(Bytes::from(frame))));
    let body = if ends { Body::from_stream(sent) } else { Body::from_stream(sent.chain(futures::stream::pending())) };
    ([("content-type", "text/event-stream")], body).into_response()
}
