//! The typed client of one Agent: an OpenCode server of version [`install::VERSION`], over HTTP and its event stream.
//!
//! It says which version that is and how to get it ([`install`]), where each provider's key goes ([`endpoints`]),
//! and what the Agent is configured with ([`config`]). It starts no process, keeps no state beyond one mutex per
//! Agent, and never logs a request or response body. What an Agent says is untrusted: every body and event is capped,
//! ids are checked before they become part of a path, and error texts are cut and cleaned.
//!
//! `TRAPS.md` beside this crate lists what OpenCode does that a reader wouldn't expect, and the test that shows it.

pub mod catalogue;
pub mod config;
pub mod endpoints;
pub mod install;
pub mod login;

mod agent_error;
mod client;
mod event;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod fuzz;
mod http;
mod ids;
mod message;
mod stream;

pub use agent_error::AgentError;
pub use client::{Client, Health, HealthError, Prompt, ReadBack, Reply};
pub use event::{Event, FileChange, PermissionRequest, Question, QuestionRequest, Session, Status};
pub use http::CallError;
pub use ids::message_id;
pub use message::{Message, MessageWithParts, Part, PartKind, Role, Tokens, ToolCall, ToolStatus};
pub use stream::{EVENT_LIMIT, SILENCE_LIMIT, StreamError};
