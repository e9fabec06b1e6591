//! The three protocols the scripted model speaks, and what they have in common.
//!
//! Each file below turns one `Script` into the frames of that protocol's stream, into its answer without streaming and into its errors, and reads
//! its requests into a `Conversation`. Shapes: the public API references of Anthropic (messages) and `OpenAI` (chat completions, responses), and what
//! OpenCode 1.18.33 accepts (observed, `tests/real_opencode.rs`).

mod anthropic;
mod chat;
mod responses;

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};

use crate::script::{Block, Script};

/// A protocol for talking to a model, known by the end of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Anthropic messages: `…/messages`.
    Anthropic,
    /// `OpenAI` chat completions: `…/chat/completions`.
    Chat,
    /// `OpenAI` responses: `…/responses`.
    Responses,
    /// The list of models: `…/models`.
    Models,
    /// Anything else; it is answered with 404.
    Other,
}

/// What a request says about the conversation so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    /// The text of the last user message.
    pub(crate) user_text: String,
    /// How many tool results followed it.
    pub(crate) tool_results: usize,
    /// The names of the tools on offer.
    pub(crate) tools: Vec<String>,
}

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The bytes of one event.
    pub(crate) text: String,
    /// Whether it carries words or arguments: such frames are delayed and counted.
    pub(crate) is_token: bool,
}

impl Frame {
    /// An event with a name.
    fn event(name: &str, data: &Value) -> Self {
        Self { text: format!("event: {name}\ndata: {data}\n\n"), is_token: false }
    }

    /// An event without a name.
    fn data(data: &impl std::fmt::Display) -> Self {
        Self { text: format!("data: {data}\n\n"), is_token: false }
    }

    fn token(mut self) -> Self {
        self.is_token = true;
        self
    }
}

/// The facts of an answer that aren't in its script.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// The model that was asked for.
    pub(crate) model: String,
    /// Unique for this answer; ids of its pieces are made from it.
    pub(crate) id: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// Input tokens, as a guess from the size of the body.
    pub(crate) input_tokens: usize,
    /// Whether the stream ends with a usage chunk (chat completions only).
    pub(crate) include_usage: bool,
}

impl Protocol {
    /// Tells the protocol by the end of the path.
    pub(crate) fn of_path(path: &str) -> Self {
        let path = path.trim_end_matches('/');
        if path.ends_with("/messages") {
            Self::Anthropic
        } else if path.ends_with("/chat/completions") {
            Self::Chat
        } else if path.ends_with("/responses") {
            Self::Responses
        } else if path.ends_with("/models") {
            Self::Models
        } else {
            Self::Other
        }
    }

    pub(crate) fn conversation(self, body: &Value) -> Conversation {
        match self {
            Self::Anthropic => anthropic::conversation(body),
            Self::Chat => chat::conversation(body),
            Self::Responses => responses::conversation(body),
            Self::Models | Self::Other => Conversation::default(),
        }
    }

    /// The whole stream of a turn, ended as the protocol has it.
    pub(crate) fn frames(self, script: &Script, meta: &Meta) -> Vec<Frame> {
        match self {
            Self::Anthropic => anthropic::frames(&script.blocks, meta),
            Self::Chat => chat::frames(&script.blocks, meta),
            Self::Responses => responses::frames(&script.blocks, meta),
            Self::Models | Self::Other => Vec::new(),
        }
    }

    /// The answer to a request that didn't ask for a stream.
    pub(crate) fn whole(self, script: &Script, meta: &Meta) -> Value {
        match self {
            Self::Anthropic => anthropic::whole(&script.blocks, meta),
            Self::Chat => chat::whole(&script.blocks, meta),
            Self::Responses => responses::whole(&script.blocks, meta),
            Self::Models | Self::Other => Value::Null,
        }
    }

    /// The event that reports a failure inside the stream.
    pub(crate) fn error_frame(self, message: &str) -> Frame {
        match self {
            Self::Anthropic => anthropic::error_frame(message),
            Self::Responses => responses::error_frame(message),
            Self::Chat | Self::Models | Self::Other => chat::error_frame(message),
        }
    }
}

/// How the provider writes its errors, told by the headers where the path leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorShape {
    Anthropic,
    OpenAi,
    Google,
}

impl ErrorShape {
    pub(crate) fn of(protocol: Protocol, headers: &HeaderMap) -> Self {
        if protocol == Protocol::Anthropic
            || headers.contains_key("anthropic-version")
            || headers.contains_key("x-api-key")
        {
            Self::Anthropic
        } else if headers.contains_key("x-goog-api-key") {
            Self::Google
        } else {
            Self::OpenAi
        }
    }

    /// The status and the body with which this provider refuses a key.
    pub(crate) fn key_refused(self) -> (u16, Value) {
        match self {
            Self::Anthropic => (401, anthropic::error_body(401, "invalid x-api-key")),
            Self::OpenAi => (401, chat::error_body(401, "Incorrect API key provided.")),
            Self::Google => (
                400,
                json!({"error": {
                    "code": 400,
                    "message": "API key not valid. Please pass a valid API key.",
                    "status": "INVALID_ARGUMENT",
                    "details": [{
                        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                        "reason": "API_KEY_INVALID",
                        "domain": "googleapis.com",
                    }],
                }}),
            ),
        }
    }

    pub(crate) fn body(self, status: u16, message: &str) -> Value {
        match self {
            Self::Anthropic => anthropic::error_body(status, message),
            Self::OpenAi => chat::error_body(status, message),
            Self::Google => {
                json!({"error": { "code": status, "message": message, "status": "UNKNOWN" }})
            }
        }
    }

    /// The list of models.
    pub(crate) fn models(self, models: &[String]) -> Value {
        match self {
            Self::Anthropic => json!({
                "data": models.iter().map(|id| json!({
                    "type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z",
                })).collect::<Vec<_>>(),
                "has_more": false,
                "first_id": models.first(),
                "last_id": models.last(),
            }),
            Self::OpenAi => json!({
                "object": "list",
                "data": models.iter().map(|id| json!({
                    "id": id, "object": "model", "created": 1_767_225_600, "owned_by": "scripted",
                })).collect::<Vec<_>>(),
            }),
            Self::Google => json!({
                "models": models.iter().map(|id| json!({
                    "name": format!("models/{id}"), "displayName": id,
                    "supportedGenerationMethods": ["generateContent", "countTokens"],
                })).collect::<Vec<_>>(),
            }),
        }
    }
}

/// A name for a status, for the text of an error.
pub(crate) fn describe(status: u16) -> &'static str {
    match status {
        400 => "The request was refused.",
        401 => "The API key is not valid.",
        402 => "Your credit balance is too low. Please go to Plans & Billing to add credits.",
        403 => "The API key has no permission for this.",
        404 => "The model was not found.",
        413 => "The request is too large.",
        429 => "Rate limit reached. Please try again later.",
        503 | 529 => "The service is overloaded.",
        _ => "The server had an error while processing the request.",
    }
}

/// Output tokens of a turn, one per streamed piece.
fn output_tokens(blocks: &[Block]) -> usize {
    blocks.iter().map(|block| block.tokens().len()).sum()
}

fn calls_tool(blocks: &[Block]) -> bool {
    blocks.iter().any(|block| matches!(block, Block::ToolCall { .. }))
}

/// The last text in a message's content, whether it is a string or a list of typed parts. OpenCode's own reminders aren't the user's words.
fn last_text(content: &Value) -> Option<&str> {
    let is_users = |text: &&str| !text.trim_start().starts_with("<system-reminder>");
    match content {
        Value::String(text) => Some(text.as_str()).filter(is_users),
        Value::Array(parts) => parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).rfind(is_users),
        _ => None,
    }
}

/// The names of the tools on offer; chat completions nest them one level deeper.
fn tools(body: &Value) -> Vec<String> {
    body["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tool| tool["name"].as_str().or(tool["function"]["name"].as_str()))
        .map(str::to_owned)
        .collect()
}
