//! The Agent's events, typed.
//!
//! `/global/event` wraps each one as `{directory, payload: {id, type, properties}}`, and sends every durable one a
//! second time as `sync`, which is dropped. Types without a use here become [`Event::Other`].

use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::agent_error::clean;
use crate::message::millis;
use crate::{AgentError, Message, Part};

/// Something that happened in the Agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The stream is open. Earlier events are not replayed, and for a moment more (most of a second on a busy machine,
    /// 1.18.33, observed) events are still lost: whoever reads the state now reads it again at the first
    /// [`Event::Heartbeat`].
    Connected,
    /// Nothing happened for ten seconds, and the Agent is alive.
    Heartbeat,
    /// A session was made.
    SessionCreated(Session),
    /// A session changed, as when its title was found.
    SessionUpdated(Session),
    /// A session was deleted.
    SessionDeleted {
        /// Which.
        session: String,
    },
    /// A session began, waits to repeat, or ended a run.
    SessionStatus {
        /// Which.
        session: String,
        /// What it does.
        status: Status,
    },
    /// A run ended. Comes twice after an error or an abort, once otherwise, and
    /// [`Event::MessageUpdated`] may follow it.
    SessionIdle {
        /// Which.
        session: String,
    },
    /// A run failed. Comes twice when the model is unknown.
    SessionError {
        /// Which; none when it happened outside of any.
        session: Option<String>,
        /// Why.
        error: AgentError,
    },
    /// A Message is new or changed.
    MessageUpdated(Message),
    /// A Message is gone.
    MessageRemoved {
        /// Its session.
        session: String,
        /// Which.
        message: String,
    },
    /// A Part is new or changed; the whole of it.
    PartUpdated(Part),
    /// Characters to append to a field of a Part that was seen before.
    PartDelta {
        /// Its session.
        session: String,
        /// Its Message.
        message: String,
        /// Which.
        part: String,
        /// The field, as `text`.
        field: String,
        /// What to append.
        delta: String,
    },
    /// A Part is gone.
    PartRemoved {
        /// Its session.
        session: String,
        /// Its Message.
        message: String,
        /// Which.
        part: String,
    },
    /// The Agent waits, without end, for leave to do something.
    PermissionAsked(PermissionRequest),
    /// The Agent waits, without end, for an answer.
    QuestionAsked(QuestionRequest),
    /// The Agent edited a file.
    FileEdited {
        /// Its path.
        file: String,
    },
    /// A file of the Workspace changed, whoever did it.
    FileWatcherUpdated {
        /// Its path.
        file: String,
        /// How.
        change: FileChange,
    },
    /// The Agent dropped what it had loaded, and with it every run.
    InstanceDisposed {
        /// For which directory; none means for all.
        directory: Option<String>,
    },
    /// A type that this client has no use for.
    Other {
        /// Its name in OpenCode.
        kind: String,
    },
}

/// One conversation with the Agent. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id (`ses_…`).
    pub id: String,
    /// What it is called.
    pub title: String,
    /// The session that started it to do a part of its work.
    pub parent: Option<String>,
    /// The Workspace it works in, as the Agent sees it.
    pub directory: String,
    /// When it began.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
}

/// What a session does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Nothing.
    Idle,
    /// It runs.
    Busy,
    /// The provider failed, and the Agent will ask again.
    Retry {
        /// Which repeat this is, from 1.
        attempt: u32,
        /// Why, in one clean line.
        message: String,
        /// When, in Unix milliseconds. A provider's `retry-after` can put it arbitrarily far away.
        next: i64,
    },
}

/// Leave that the Agent asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PermissionRequest {
    /// Its id (`per_…`).
    pub id: String,
    /// The session that waits.
    #[serde(rename = "sessionID")]
    pub session: String,
    /// For what, as `external_directory`.
    pub permission: String,
    /// On what.
    #[serde(default)]
    pub patterns: Vec<String>,
}

/// Questions that the Agent asks at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QuestionRequest {
    /// Its id (`que_…`).
    pub id: String,
    /// The session that waits.
    #[serde(rename = "sessionID")]
    pub session: String,
    /// The questions.
    #[serde(default)]
    pub questions: Vec<Question>,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Question {
    /// What is asked.
    pub question: String,
    /// What it is about, in a word or two.
    #[serde(default)]
    pub header: String,
}

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileChange {
    /// It is new.
    Add,
    /// It has another content.
    Change,
    /// It is gone.
    Unlink,
}

/// What one frame of the stream holds.
pub(crate) enum Frame {
    Event(Box<Event>),
    /// The second copy of a durable event.
    Duplicate,
    Unreadable,
}

impl Frame {
    /// Reads the data of one frame.
    pub(crate) fn parse(data: &str) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            payload: Payload,
        }
        #[derive(Deserialize)]
        struct Payload {
            r#type: String,
            #[serde(default)]
            properties: Value,
        }
        let Ok(Wire { payload }) = serde_json::from_str::<Wire>(data) else {
            return Self::Unreadable;
        };
        if payload.r#type == "sync" {
            return Self::Duplicate;
        }
        match event(payload.r#type, payload.properties) {
            Ok(event) => Self::Event(Box::new(event)),
            Err(_unreadable) => Self::Unreadable,
        }
    }
}

fn event(kind: String, properties: Value) -> Result<Event, serde_json::Error> {
    fn read<T: for<'de> Deserialize<'de>>(properties: Value) -> Result<T, serde_json::Error> {
        serde_json::from_value(properties)
    }
    Ok(match kind.as_str() {
        "server.connected" => Event::Connected,
        "server.heartbeat" => Event::Heartbeat,
        "session.created" => Event::SessionCreated(read::<Info<Session>>(properties)?.info),
        "session.updated" => Event::SessionUpdated(read::<Info<Session>>(properties)?.info),
        "session.deleted" => Event::SessionDeleted { session: read::<InSession>(properties)?.session },
        "session.status" => {
            let WireStatus { session, status } = read(properties)?;
            Event::SessionStatus { session, status }
        }
        "session.idle" => Event::SessionIdle { session: read::<InSession>(properties)?.session },
        "session.error" => {
            let WireError { session, error } = read(properties)?;
            Event::SessionError { session, error: AgentError::from_value(error) }
        }
        "message.updated" => Event::MessageUpdated(read::<Info<Message>>(properties)?.info),
        "message.removed" => {
            let WireRemoved { session, message, .. } = read(properties)?;
            Event::MessageRemoved { session, message }
        }
        "message.part.updated" => Event::PartUpdated(read::<WirePartUpdated>(properties)?.part),
        "message.part.delta" => {
            let WireDelta { session, message, part, field, delta } = read(properties)?;
            Event::PartDelta { session, message, part, field, delta }
        }
        "message.part.removed" => match read(properties)? {
            WireRemoved { session, message, part: Some(part) } => Event::PartRemoved { session, message, part },
            WireRemoved { part: None, .. } => Event::Other { kind },
        },
        "permission.asked" => Event::PermissionAsked(read(properties)?),
        "question.asked" => Event::QuestionAsked(read(properties)?),
        "file.edited" => Event::FileEdited { file: read::<WireFile>(properties)?.file },
        "file.watcher.updated" => {
            let WireFile { file, event } = read(properties)?;
            Event::FileWatcherUpdated { file, change: event.unwrap_or(FileChange::Change) }
        }
        "server.instance.disposed" | "global.disposed" => {
            Event::InstanceDisposed { directory: read::<WireDisposed>(properties)?.directory }
        }
        _ => Event::Other { kind },
    })
}

#[derive(Deserialize)]
struct Info<T> {
    info: T,
}

#[derive(Deserialize)]
struct InSession {
    #[serde(rename = "sessionID")]
    session: String,
}

#[derive(Deserialize)]
struct WireStatus {
    #[serde(rename = "sessionID")]
    session: String,
    status: Status,
}

#[derive(Deserialize)]
struct WireError {
    #[serde(rename = "sessionID")]
    session: Option<String>,
    #[serde(default)]
    error: Value,
}

#[derive(Deserialize)]
struct WireRemoved {
    #[serde(rename = "sessionID")]
    session: String,
    #[serde(rename = "messageID")]
    message: String,
    #[serde(rename = "partID")]
    part: Option<String>,
}

#[derive(Deserialize)]
struct WirePartUpdated {
    part: Part,
}

#[derive(Deserialize)]
struct WireDelta {
    #[serde(rename = "sessionID")]
    session: String,
    #[serde(rename = "messageID")]
    message: String,
    #[serde(rename = "partID")]
    part: String,
    field: String,
    delta: String,
}

#[derive(Deserialize)]
struct WireFile {
    file: String,
    event: Option<FileChange>,
}

#[derive(Deserialize)]
struct WireDisposed {
    directory: Option<String>,
}

impl<'de> Deserialize<'de> for Session {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            id: String,
            #[serde(default)]
            title: String,
            #[serde(rename = "parentID")]
            parent: Option<String>,
            #[serde(default)]
            directory: String,
            time: Time,
        }
        #[derive(Deserialize)]
        struct Time {
            created: Number,
            updated: Number,
        }
        let wire = Wire::deserialize(deserializer)?;
        Ok(Self {
            id: wire.id,
            title: wire.title,
            parent: wire.parent,
            directory: wire.directory,
            created_at: millis(&wire.time.created),
            updated_at: millis(&wire.time.updated),
        })
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(tag = "type", rename_all = "lowercase")]
        enum Wire {
            Idle,
            Busy,
            Retry { attempt: u32, message: String, next: Number },
        }
        Ok(match Wire::deserialize(deserializer)? {
            Wire::Idle => Self::Idle,
            Wire::Busy => Self::Busy,
            Wire::Retry { attempt, message, next } => {
                Self::Retry { attempt, message: clean(&message), next: millis(&next) }
            }
        })
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(kind: &str, properties: &Value) -> Option<Event> {
        let frame = json!({"directory": "/w", "payload": {"id": "evt_1", "type": kind, "properties": properties}});
        match Frame::parse(&frame.to_string()) {
            Frame::Event(event) => Some(*event),
            Frame::Duplicate | Frame::Unreadable => None,
        }
    }

    #[test]
    fn a_retry_far_in_the_future_keeps_its_time() {
        let event = parse(
            "session.status",
            &json!({"sessionID": "ses_1", "status": {"type": "retry", "attempt": 2,
                "message": "Too many\nrequests", "next": 1_795_369_538_801_i64}}),
        );
        assert_eq!(
            event,
            Some(Event::SessionStatus {
                session: "ses_1".to_owned(),
                status: Status::Retry { attempt: 2, message: "Too many".to_owned(), next: 1_795_369_538_801 },
            })
        );
    }

    #[test]
    fn the_second_copy_of_a_durable_event_is_dropped() {
        let frame =
            r#"{"directory":"/w","payload":{"type":"sync","syncEvent":{"id":"evt_1","type":"session.created.1"}}}"#;
        assert!(matches!(Frame::parse(frame), Frame::Duplicate));
    }

    #[test]
    fn an_unknown_type_is_other_and_nonsense_is_unreadable() {
        assert_eq!(parse("plugin.added", &json!({"id": "x"})), Some(Event::Other { kind: "plugin.added".to_owned() }));
        for nonsense in ["", "{", "[]", "{\"payload\":7}", "{\"payload\":{\"type\":\"session.idle\"}}"] {
            assert!(matches!(Frame::parse(nonsense), Frame::Unreadable), "{nonsense:?}");
        }
    }

    #[test]
    fn every_kind_that_matters_is_typed() {
        let in_part = json!({"sessionID": "s", "messageID": "m", "partID": "p", "field": "text", "delta": "wö"});
        assert_eq!(
            parse("message.part.delta", &in_part),
            Some(Event::PartDelta {
                session: "s".to_owned(),
                message: "m".to_owned(),
                part: "p".to_owned(),
                field: "text".to_owned(),
                delta: "wö".to_owned(),
            })
        );
        assert!(matches!(parse("message.part.removed", &in_part), Some(Event::PartRemoved { .. })));
        assert!(matches!(parse("message.removed", &in_part), Some(Event::MessageRemoved { .. })));
        assert!(matches!(parse("session.idle", &in_part), Some(Event::SessionIdle { .. })));
        assert!(matches!(parse("session.deleted", &in_part), Some(Event::SessionDeleted { .. })));
        assert_eq!(parse("server.connected", &json!({})), Some(Event::Connected));
        assert_eq!(parse("server.heartbeat", &json!({})), Some(Event::Heartbeat));
        assert_eq!(
            parse("file.watcher.updated", &json!({"file": "/w/a", "event": "unlink"})),
            Some(Event::FileWatcherUpdated { file: "/w/a".to_owned(), change: FileChange::Unlink })
        );
        assert_eq!(parse("file.edited", &json!({"file": "/w/a"})), Some(Event::FileEdited { file: "/w/a".to_owned() }));
        assert_eq!(parse("global.disposed", &json!({})), Some(Event::InstanceDisposed { directory: None }));
        let session = json!({"info": {"id": "ses_1", "title": "T", "parentID": "ses_0", "directory": "/w",
            "time": {"created": 1, "updated": 2}}});
        assert!(
            matches!(parse("session.created", &session), Some(Event::SessionCreated(session)) if session.parent.is_some())
        );
        assert!(
            matches!(parse("session.updated", &session), Some(Event::SessionUpdated(session)) if session.title == "T")
        );
    }

    #[test]
    fn an_ask_is_typed_with_what_it_is_about() {
        let event = parse(
            "permission.asked",
            &json!({"id": "per_1", "sessionID": "ses_1", "permission": "external_directory", "patterns": ["/etc/*"],
                "metadata": {}, "always": []}),
        );
        assert!(matches!(event, Some(Event::PermissionAsked(ask)) if ask.patterns == ["/etc/*"]));
        let event = parse(
            "question.asked",
            &json!({"id": "que_1", "sessionID": "ses_1", "questions": [{"question": "Which?", "header": "H",
                "options": []}]}),
        );
        assert!(matches!(event, Some(Event::QuestionAsked(ask)) if ask.questions[0].question == "Which?"));
    }

    #[test]
    fn an_error_without_a_session_is_read() {
        let event =
            parse("session.error", &json!({"error": {"name": "MessageAbortedError", "data": {"message": "x"}}}));
        assert_eq!(event, Some(Event::SessionError { session: None, error: AgentError::Aborted }));
    }
}
