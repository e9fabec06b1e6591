//! Conversations: Session, Message and Part.

use crate::{ConnectionId, Failure, MessageId, ModelRef, Ms, PartId, ProjectId, SessionId, text_enum::text_enum};

/// One conversation with an Agent. A Project has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub project_id: ProjectId,
    /// The Agent's own id for it, once it was made.
    pub agent_session_id: Option<String>,
    /// When it was made.
    pub created_at: Ms,
}

text_enum! {
    /// Who speaks in a Message.
    Speaker {
        /// The user.
        User = "user",
        /// The Agent.
        Assistant = "assistant",
    }
}

text_enum! {
    /// How far a Message is.
    MessageState {
        /// A Prompt that the Agent has not been given.
        Waiting = "waiting",
        /// A Prompt whose sending was recorded; it may or may not have arrived.
        Sending = "sending",
        /// A Prompt that the Agent has.
        Sent = "sent",
        /// An answer that is being written.
        Streaming = "streaming",
        /// An answer that is whole.
        Complete = "complete",
        /// An answer whose Agent went away, or a Prompt left without one.
        Interrupted = "interrupted",
        /// An answer that ended with an error.
        Failed = "failed",
        /// An answer that its user stopped.
        Aborted = "aborted",
    }
}

/// What either side said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Which.
    pub id: MessageId,
    /// In which conversation.
    pub session_id: SessionId,
    /// The Agent's own id for it.
    pub agent_message_id: String,
    /// Who speaks.
    pub speaker: Speaker,
    /// How far it is.
    pub state: MessageState,
    /// The model that answers or answered.
    pub model: Option<ModelRef>,
    /// The Connection that paid.
    pub connection_id: Option<ConnectionId>,
    /// Why it ended early.
    pub failure: Option<Failure>,
    /// When it began.
    pub created_at: Ms,
    /// When it was whole.
    pub completed_at: Option<Ms>,
    /// Its pieces, in order.
    pub parts: Vec<Part>,
}

text_enum! {
    /// What a Part is.
    PartKind {
        /// Words.
        Text = "text",
        /// What the model thought on the way.
        Reasoning = "reasoning",
        /// A tool the Agent used.
        Tool = "tool",
        /// Something doce says about the conversation.
        Notice = "notice",
    }
}

text_enum! {
    /// How far a tool call is.
    ToolStatus {
        /// Announced; its input is still arriving.
        Pending = "pending",
        /// At work.
        Running = "running",
        /// Done.
        Completed = "completed",
        /// Ended with an error.
        Error = "error",
    }
}

/// A piece of a Message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub id: PartId,
    /// The Agent's own id for it.
    pub agent_part_id: String,
    /// Of which Message.
    pub message_id: MessageId,
    /// Its place in the Message, from 0.
    pub position: i64,
    /// What it is.
    pub kind: PartKind,
    /// The words of a text, reasoning or notice.
    pub text: Option<String>,
    /// The tool call of a tool part.
    pub tool: Option<ToolCall>,
}

/// A tool that the Agent used. All of it is the Agent's word: untrusted text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The tool's name.
    pub name: String,
    /// How far it is.
    pub status: ToolStatus,
    /// What the Agent calls this use.
    pub title: Option<String>,
    /// Its input, as JSON text.
    pub input: String,
    /// What it returned, cut to a limit.
    pub output: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Option<Ms>,
    /// When it ended.
    pub ended_at: Option<Ms>,
}

/// What an Agent's Session is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SessionStatus {
    /// There is no running Agent.
    #[default]
    None,
    /// Nothing.
    Idle,
    /// Answering.
    Busy,
    /// Waiting to ask the provider again.
    Retry {
        /// Which try comes next.
        attempt: u32,
        /// Why the last one failed.
        message: String,
        /// When the next one starts.
        next_at: Option<Ms>,
    },
}
