//! How the words, moments and shared pieces of the nouns are written in JSON.
//!
//! The nouns themselves know nothing of JSON; a word is written as it is stored, so that there is one word per thing.

use std::borrow::Cow;

use doce_model::{Failure as ModelFailure, ModelRef as Model, Ms, NextMove};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

/// Defines how the values of an enum of the model are written.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident of $model:ty;)+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) $model);

        impl From<$model> for $name {
            fn from(word: $model) -> Self {
                Self(word)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = Cow::<'de, str>::deserialize(deserializer)?;
                word.parse().map(Self).map_err(|_| de::Error::custom("an unknown word"))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .enum_values(Some(<$model>::ALL.iter().map(|word| word.as_str())))
                    .into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

words! {
    /// What a person may do.
    Role of doce_model::Role;
    /// What an API token may do; each scope includes those before it.
    TokenScope of doce_model::Scope;
    /// Whether a connection can be used.
    ConnectionStatus of doce_model::ConnectionStatus;
    /// What the provider said when the key was last checked.
    VerificationOutcome of doce_model::Outcome;
    /// How a credential is handed to an agent.
    DeliveryMode of doce_model::DeliveryMode;
    /// How far a delivery is.
    DeliveryStatus of doce_model::DeliveryStatus;
    /// What a project is doing.
    ProjectState of doce_model::project::ProjectState;
    /// What the owner wants of a project.
    Desired of doce_model::Desired;
    /// What was last seen of an agent.
    Observed of doce_model::Observed;
    /// How far a preview is.
    PreviewState of doce_model::PreviewState;
    /// How far a job is.
    JobState of doce_model::JobState;
    /// Which way a job goes.
    Direction of doce_model::Direction;
    /// How far a step is.
    StepState of doce_model::StepState;
    /// Who speaks.
    Speaker of doce_model::Speaker;
    /// What a part is.
    PartKind of doce_model::PartKind;
    /// How far a tool call is.
    ToolStatus of doce_model::ToolStatus;
    /// What was done.
    AuditAction of doce_model::AuditAction;
    /// What kind of thing an audit event speaks of.
    NounKind of doce_model::audit::NounKind;
    /// What a person can do about a failure.
    ActionKind of doce_model::NextMove;
}

/// A moment, in RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(Ms);

impl From<Ms> for Time {
    fn from(at: Ms) -> Self {
        Self(at)
    }
}

impl From<Time> for Ms {
    fn from(time: Time) -> Self {
        time.0
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ms::from_rfc3339(&text).map(Self).ok_or_else(|| de::Error::custom("not a moment"))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339())
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl ToSchema for Time {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Time")
    }
}

/// A model, by provider and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelRef {
    /// The provider.
    pub(crate) provider_id: String,
    /// The provider's name for the model.
    pub(crate) model_id: String,
}

impl From<&Model> for ModelRef {
    fn from(model: &Model) -> Self {
        Self { provider_id: model.provider_id.clone(), model_id: model.model_id.clone() }
    }
}

impl From<ModelRef> for Model {
    fn from(model: ModelRef) -> Self {
        Self { provider_id: model.provider_id, model_id: model.model_id }
    }
}

/// What went wrong, and the one next move.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    /// Stable name, documented in `docs/errors.md`.
    code: String,
    /// What went wrong and what to do.
    message: String,
    /// The next move.
    action: FailureAction,
    /// Until when the move is of no use.
    until: Option<Time>,
}

/// The one next move.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureAction {
    /// Which.
    kind: ActionKind,
    /// What its button says.
    label: &'static str,
    /// The connection that it is about.
    connection_id: Option<String>,
}

impl From<&ModelFailure> for Failure {
    fn from(failure: &ModelFailure) -> Self {
        Self {
            code: failure.code.clone(),
            message: failure.message.clone(),
            action: FailureAction {
                kind: failure.next.into(),
                label: label(failure),
                connection_id: failure.connection_id.map(|id| id.to_string()),
            },
            until: failure.until.map(Time::from),
        }
    }
}

fn label(failure: &ModelFailure) -> &'static str {
    match failure.next {
        NextMove::Start if failure.code == "agent_gave_up" => "Start again",
        NextMove::ConnectProvider => "Connect provider",
        NextMove::ReplaceKey => "Replace key",
        NextMove::Retry => "Try again",
        NextMove::Continue => "Continue",
        NextMove::Start => "Start project",
        NextMove::TopUp => "Top up",
        NextMove::SwitchModel => "Switch model",
        NextMove::OpenLogs => "Open logs",
        NextMove::None => "",
    }
}
