//! The nouns of doce and the rules between them.
//!
//! Plain types: ids, entities, the states they may be in and the moves between those.
//! Nothing here reads a clock, a disk or a network, and nothing is async; time and identity arrive as a [`Ctx`].
//! Storage, wire formats and status codes belong to the crates above.
#![warn(clippy::wildcard_enum_match_arm)]

mod text_enum;

pub mod api_key;
pub mod api_token;
pub mod audit;
pub mod connection;
pub mod conversation;
pub mod ctx;
pub mod custom_provider;
pub mod delivery;
pub mod failure;
pub mod id;
pub mod imported;
pub mod instance;
pub mod invite;
pub mod job;
pub mod model_preference;
pub mod project;
pub mod time;
pub mod user;

pub use api_token::{ApiToken, Scope};
pub use audit::{AuditAction, AuditEvent};
pub use connection::{AuthType, Connection, ConnectionStatus, Outcome, Verification};
pub use conversation::{Message, MessageState, Part, PartKind, Session, SessionStatus, Speaker, ToolCall, ToolStatus};
pub use ctx::{Actor, Ctx};
pub use custom_provider::{CustomModel, CustomProvider};
pub use delivery::{Delivery, DeliveryMode, DeliveryStatus};
pub use failure::{Failure, NextMove};
pub use id::{
    ApiTokenId, AuditEventId, ConnectionId, CredentialId, DeliveryId, IdError, InstanceId, InviteId, JobId, MessageId,
    OAuthAttemptId, PartId, ProjectId, SessionId, SignInId, UserId,
};
pub use imported::ImportedKind;
pub use instance::{Instance, Observed};
pub use invite::Invite;
pub use job::{Direction, Job, JobLine, JobState, JobStep, LogLevel, StepState};
pub use model_preference::ModelPreference;
pub use project::{Desired, ModelRef, PreviewState, Project};
pub use text_enum::UnknownValue;
pub use time::{Clock, Ms};
pub use user::{Role, SignIn, User};
