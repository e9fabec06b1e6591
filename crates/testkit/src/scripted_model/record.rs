//! What the scripted model remembers of each request.
//!
//! Keys are kept in clear on purpose: they are made up by the test that looks for them here.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::protocol::Protocol;

/// How the connection of a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is still being sent, or withheld.
    Open,
    /// The whole answer was sent, be it an error.
    Completed,
    /// The client went away before the end, as an abort makes it do.
    ClosedByClient,
    /// The script (or the end of the server) broke the connection.
    Cut,
}

/// One request the model received.
#[derive(Debug, Clone, Serialize)]
pub struct RecordedRequest {
    /// Its number, from 0 in order of arrival.
    pub number: usize,
    /// Milliseconds since the model was started.
    pub at_ms: u64,
    /// The protocol, told by the path.
    pub protocol: Protocol,
    /// The HTTP method.
    pub method: String,
    /// The path, prefix included.
    pub path: String,
    /// The query, without its question mark.
    pub query: Option<String>,
    /// All headers, their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The header that carried the key: `authorization`, `x-api-key`, `api-key` or `x-goog-api-key`.
    pub key_header: Option<String>,
    /// The key, without `Bearer`.
    pub key: Option<String>,
    /// Whether the key was accepted.
    pub key_accepted: bool,
    /// The body; a string when it isn't JSON, null when there is none.
    pub body: Value,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The text of the last user message.
    pub user_text: String,
    /// How many tool results came after it.
    pub tool_results: usize,
    /// The names of the tools on offer. OpenCode's requests for titles and summaries offer none.
    pub tools: Vec<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// How it ended.
    pub outcome: Outcome,
}

impl RecordedRequest {
    /// Whether this is a turn of an agent: a request to a model with tools on offer.
    pub fn is_agent_turn(&self) -> bool {
        !self.tools.is_empty() && matches!(self.protocol, Protocol::Anthropic | Protocol::Chat | Protocol::Responses)
    }

    /// Whether any text of the body contains these words: the system prompt, a message or a tool result.
    pub fn mentions(&self, words: &str) -> bool {
        fn search(value: &Value, words: &str) -> bool {
            match value {
                Value::String(text) => text.contains(words),
                Value::Array(items) => items.iter().any(|item| search(item, words)),
                Value::Object(fields) => fields.values().any(|field| search(field, words)),
                Value::Null | Value::Bool(_) | Value::Number(_) => false,
            }
        }
        search(&self.body, words)
    }
}
