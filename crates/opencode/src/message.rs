//! Messages and Parts, as the Agent's API and events give them.
//!
//! Unknown kinds of Part are kept as [`PartKind::Other`], so that a conversation never fails to load because of one.

use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::AgentError;

/// Who wrote a Message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The user, through a Prompt.
    User,
    /// The model.
    Assistant,
}

/// What an answer used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens read, without cached ones.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens spent thinking.
    pub reasoning: u64,
    /// Tokens read from the provider's cache.
    pub cache_read: u64,
    /// Tokens written to the provider's cache.
    pub cache_write: u64,
}

/// One Message, without its Parts. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its id (`msg_…`); for a Prompt the one we chose.
    pub id: String,
    /// The session it belongs to.
    pub session: String,
    /// Who wrote it.
    pub role: Role,
    /// The user's message that an answer answers.
    pub parent: Option<String>,
    /// When it began.
    pub created_at: i64,
    /// When an answer ended. None while it runs, and for ever when its Agent was killed.
    pub completed_at: Option<i64>,
    /// The provider that was or will be asked.
    pub provider_id: Option<String>,
    /// The model that was or will be asked.
    pub model_id: Option<String>,
    /// What an answer ended with. OpenCode answers HTTP 200 all the same.
    pub error: Option<AgentError>,
    /// Why the model stopped, as `stop` or `tool-calls`.
    pub finish: Option<String>,
    /// What it used.
    pub tokens: Tokens,
    /// What it cost, in USD by the catalogue's prices.
    pub cost: f64,
}

/// A Message with its Parts in order.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageWithParts {
    /// The Message.
    pub info: Message,
    /// Its Parts.
    pub parts: Vec<Part>,
}

/// A piece of a Message: always a whole snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its id (`prt_…`).
    pub id: String,
    /// The session it belongs to.
    pub session: String,
    /// The Message it belongs to.
    pub message: String,
    /// What it is.
    pub kind: PartKind,
}

/// What a Part is.
#[derive(Debug, Clone, PartialEq)]
pub enum PartKind {
    /// Words.
    Text {
        /// All of them so far.
        text: String,
        /// Whether OpenCode added them itself, to be read by the model only.
        synthetic: bool,
        /// When the last word came, in Unix milliseconds.
        ended_at: Option<i64>,
    },
    /// The model's thinking.
    Reasoning {
        /// All of it so far.
        text: String,
        /// When it ended, in Unix milliseconds.
        ended_at: Option<i64>,
    },
    /// A tool call.
    Tool(ToolCall),
    /// One request to the model begins.
    StepStart,
    /// One request to the model ended.
    StepFinish {
        /// Why, as `stop` or `tool-calls`.
        reason: String,
        /// What it used.
        tokens: Tokens,
        /// What it cost, in USD by the catalogue's prices.
        cost: f64,
    },
    /// An attachment; its content is left out.
    File {
        /// Its media type.
        mime: String,
        /// Its name.
        filename: Option<String>,
    },
    /// Files of the workspace that a step changed.
    Patch {
        /// Their paths.
        files: Vec<String>,
    },
    /// A kind that this client has no use for.
    Other {
        /// Its name in OpenCode.
        kind: String,
    },
}

/// How far a tool call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolStatus {
    /// The model is still writing the call.
    Pending,
    /// The tool runs.
    Running,
    /// The tool has answered.
    Completed,
    /// The tool has failed, or was refused.
    Error,
}

/// A tool call and what came of it. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The model's id for the call.
    pub call_id: String,
    /// The tool's name, as `bash`.
    pub name: String,
    /// How far it is.
    pub status: ToolStatus,
    /// What the model gave it.
    pub input: Value,
    /// What it answered; while it runs, what it has printed so far.
    pub output: Option<String>,
    /// A short description, if the tool gives one.
    pub title: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireMessage::deserialize(deserializer)?;
        let (provider_id, model_id) = match wire.model {
            Some(model) => (Some(model.provider_id), Some(model.model_id)),
            None => (wire.provider_id, wire.model_id),
        };
        Ok(Self {
            id: wire.id,
            session: wire.session,
            role: match wire.role {
                WireRole::User => Role::User,
                WireRole::Assistant => Role::Assistant,
            },
            parent: wire.parent,
            created_at: millis(&wire.time.created),
            completed_at: wire.time.completed.as_ref().map(millis),
            provider_id,
            model_id,
            error: wire.error.map(AgentError::from_value),
            finish: wire.finish,
            tokens: wire.tokens.into(),
            cost: wire.cost,
        })
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WirePart { id, session, message, kind, rest } = WirePart::deserialize(deserializer)?;
        let kind = part_kind(&kind, rest).unwrap_or(PartKind::Other { kind });
        Ok(Self { id, session, message, kind })
    }
}

impl<'de> Deserialize<'de> for MessageWithParts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            info: Message,
            parts: Vec<Part>,
        }
        let Wire { info, parts } = Wire::deserialize(deserializer)?;
        Ok(Self { info, parts })
    }
}

/// Reads a time that may come as an integer or as a float.
pub(crate) fn millis(number: &Number) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a float time is whole milliseconds, and `as` saturates")]
    number.as_i64().or_else(|| number.as_f64().map(|float| float as i64)).unwrap_or_default()
}

fn part_kind(kind: &str, rest: Value) -> Option<PartKind> {
    match kind {
        "text" => serde_json::from_value::<WireText>(rest).ok().map(|text| PartKind::Text {
            ended_at: text.ended_at(),
            text: text.text,
            synthetic: text.synthetic,
        }),
        "reasoning" => serde_json::from_value::<WireText>(rest)
            .ok()
            .map(|text| PartKind::Reasoning { ended_at: text.ended_at(), text: text.text }),
        "tool" => serde_json::from_value::<WireTool>(rest).ok().map(|tool| PartKind::Tool(tool.into())),
        "step-start" => Some(PartKind::StepStart),
        "step-finish" => serde_json::from_value::<WireFinish>(rest).ok().map(|finish| PartKind::StepFinish {
            reason: finish.reason,
            tokens: finish.tokens.into(),
            cost: finish.cost,
        }),
        "file" => serde_json::from_value::<WireFile>(rest)
            .ok()
            .map(|file| PartKind::File { mime: file.mime, filename: file.filename }),
        "patch" => serde_json::from_value::<WirePatch>(rest).ok().map(|patch| PartKind::Patch { files: patch.files }),
        _ => None,
    }
}

#[derive(Deserialize)]
struct WireMessage {
    id: String,
    #[serde(rename = "sessionID")]
    session: String,
    role: WireRole,
    #[serde(rename = "parentID")]
    parent: Option<String>,
    time: WireTime,
    model: Option<WireModel>,
    #[serde(rename = "providerID")]
    provider_id: Option<String>,
    #[serde(rename = "modelID")]
    model_id: Option<String>,
    error: Option<Value>,
    finish: Option<String>,
    #[serde(default)]
    tokens: WireTokens,
    #[serde(default)]
    cost: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireRole {
    User,
    Assistant,
}

#[derive(Deserialize)]
struct WireTime {
    created: Number,
    completed: Option<Number>,
}

#[derive(Deserialize)]
struct WireModel {
    #[serde(rename = "providerID")]
    provider_id: String,
    #[serde(rename = "modelID")]
    model_id: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireTokens {
    input: f64,
    output: f64,
    reasoning: f64,
    cache: WireCache,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireCache {
    read: f64,
    write: f64,
}

impl From<WireTokens> for Tokens {
    fn from(wire: WireTokens) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are whole and positive, and `as` saturates when an agent says otherwise"
        )]
        let count = |number: f64| number as u64;
        Self {
            input: count(wire.input),
            output: count(wire.output),
            reasoning: count(wire.reasoning),
            cache_read: count(wire.cache.read),
            cache_write: count(wire.cache.write),
        }
    }
}

#[derive(Deserialize)]
struct WirePart {
    id: String,
    #[serde(rename = "sessionID")]
    session: String,
    #[serde(rename = "messageID")]
    message: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    rest: Value,
}

#[derive(Deserialize)]
struct WireText {
    text: String,
    #[serde(default)]
    synthetic: bool,
    time: Option<WireSpan>,
}

impl WireText {
    fn ended_at(&self) -> Option<i64> {
        self.time.as_ref()?.end.as_ref().map(millis)
    }
}

#[derive(Deserialize, Default)]
struct WireSpan {
    start: Option<Number>,
    end: Option<Number>,
}

#[derive(Deserialize)]
struct WireFinish {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    tokens: WireTokens,
    #[serde(default)]
    cost: f64,
}

#[derive(Deserialize)]
struct WireFile {
    mime: String,
    filename: Option<String>,
}

#[derive(Deserialize)]
struct WirePatch {
    files: Vec<String>,
}

#[derive(Deserialize)]
struct WireTool {
    #[serde(rename = "callID")]
    call_id: String,
    tool: String,
    state: WireToolState,
}

#[derive(Deserialize)]
struct WireToolState {
    status: WireToolStatus,
    #[serde(default)]
    input: Value,
    output: Option<String>,
    title: Option<String>,
    error: Option<String>,
    #[serde(default)]
    time: WireSpan,
    #[serde(default)]
    metadata: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum WireToolStatus {
    Pending,
    Running,
    Completed,
    Error,
}

impl From<WireTool> for ToolCall {
    fn from(wire: WireTool) -> Self {
        let state = wire.state;
        let printed = || state.metadata.get("output").and_then(Value::as_str).map(str::to_owned);
        Self {
            call_id: wire.call_id,
            name: wire.tool,
            status: match state.status {
                WireToolStatus::Pending => ToolStatus::Pending,
                WireToolStatus::Running => ToolStatus::Running,
                WireToolStatus::Completed => ToolStatus::Completed,
                WireToolStatus::Error => ToolStatus::Error,
            },
            output: state.output.or_else(printed),
            input: state.input,
            title: state.title.filter(|title| !title.is_empty()),
            error: state.error,
            started_at: state.time.start.as_ref().map(millis),
            ended_at: state.time.end.as_ref().map(millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn part(mut value: Value) -> PartKind {
        value["id"] = json!("prt_1");
        value["sessionID"] = json!("ses_1");
        value["messageID"] = json!("msg_1");
        serde_json::from_value::<Part>(value).expect("a part").kind
    }

    #[test]
    fn an_answer_of_200_may_hold_an_error() {
        let message: MessageWithParts = serde_json::from_value(json!({"info": {
            "id": "msg_2", "sessionID": "ses_1", "role": "assistant", "parentID": "msg_1",
            "time": {"created": 1, "completed": 2}, "providerID": "anthropic", "modelID": "claude", "mode": "build",
            "cost": 0.25, "tokens": {"input": 3, "output": 4, "reasoning": 5, "cache": {"read": 6, "write": 7}},
            "error": {"name": "APIError", "data": {"message": "no credit", "statusCode": 402, "isRetryable": false}},
        }, "parts": []}))
        .expect("a message");
        assert_eq!(
            message.info.error,
            Some(AgentError::Api {
                status: Some(402),
                retryable: false,
                message: "no credit".to_owned(),
                retry_after: None
            })
        );
        assert_eq!(message.info.completed_at, Some(2));
        assert_eq!(message.info.parent.as_deref(), Some("msg_1"));
        let tokens = Tokens { input: 3, output: 4, reasoning: 5, cache_read: 6, cache_write: 7 };
        assert_eq!(message.info.tokens, tokens);
    }

    #[test]
    fn a_user_s_message_names_the_model_it_is_for() {
        let message: Message = serde_json::from_value(json!({"id": "msg_1", "sessionID": "ses_1", "role": "user",
            "time": {"created": 1.0}, "agent": "build", "summary": {"diffs": []},
            "model": {"providerID": "custom-x", "modelID": "a/b"}}))
        .expect("a message");
        assert_eq!((message.provider_id.as_deref(), message.model_id.as_deref()), (Some("custom-x"), Some("a/b")));
        assert_eq!((message.created_at, message.completed_at), (1, None));
    }

    #[test]
    fn a_tool_call_is_read_in_each_of_its_states() {
        let tool = |state: Value| match part(json!({"type": "tool", "callID": "c", "tool": "bash", "state": state})) {
            PartKind::Tool(call) => call,
            other => panic!("not a tool: {other:?}"),
        };
        let pending = tool(json!({"status": "pending", "input": {}, "raw": ""}));
        assert_eq!((pending.status, pending.started_at), (ToolStatus::Pending, None));
        let running = tool(json!({"status": "running", "input": {"command": "ls"}, "time": {"start": 5},
            "metadata": {"output": "so far"}}));
        assert_eq!((running.status, running.output.as_deref()), (ToolStatus::Running, Some("so far")));
        let completed = tool(json!({"status": "completed", "input": {"command": "ls"}, "output": "a", "title": "List",
            "metadata": {}, "time": {"start": 5, "end": 9}}));
        assert_eq!((completed.title.as_deref(), completed.ended_at), (Some("List"), Some(9)));
        let failed = tool(json!({"status": "error", "input": {}, "error": "denied", "time": {"start": 5, "end": 9}}));
        assert_eq!((failed.status, failed.error.as_deref()), (ToolStatus::Error, Some("denied")));
    }

    #[test]
    fn words_and_steps_are_read() {
        assert_eq!(
            part(json!({"type": "text", "text": "hé", "time": {"start": 1, "end": 2}})),
            PartKind::Text { text: "hé".to_owned(), synthetic: false, ended_at: Some(2) }
        );
        assert_eq!(
            part(json!({"type": "reasoning", "text": "hm", "time": {"start": 1}})),
            PartKind::Reasoning { text: "hm".to_owned(), ended_at: None }
        );
        assert_eq!(part(json!({"type": "step-start", "snapshot": "abc"})), PartKind::StepStart);
        assert_eq!(
            part(json!({"type": "patch", "hash": "x", "files": ["/w/a"]})),
            PartKind::Patch { files: vec!["/w/a".to_owned()] }
        );
        assert_eq!(
            part(json!({"type": "file", "mime": "image/png", "url": "data:…"})),
            PartKind::File { mime: "image/png".to_owned(), filename: None }
        );
    }

    #[test]
    fn a_part_of_an_unknown_kind_or_shape_is_kept_as_other() {
        assert_eq!(part(json!({"type": "hologram", "beam": 1})), PartKind::Other { kind: "hologram".to_owned() });
        assert_eq!(part(json!({"type": "tool", "state": 7})), PartKind::Other { kind: "tool".to_owned() });
    }
}
