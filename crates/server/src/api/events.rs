//! What the event stream says, as it is written.

use doce_app::events::Change;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    connections::Connection,
    conversation::{Message, Part},
    imports::ImportRun,
    jobs::{Job, Queue},
    keys::KeyRotation,
    logins::OAuthAttempt,
    model_preferences::ModelPreferences,
    projects::Project,
    system::OpenCode,
};

/// The data of an event of the stream; its `event` field says which of these it is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum StreamPayload {
    /// `hello`: the first.
    Hello(HelloEvent),
    /// `reset`: something was missed; read everything again.
    Reset(ResetEvent),
    /// `project`: new or different.
    Project(Box<ProjectEvent>),
    /// `project_deleted`.
    ProjectDeleted(ProjectDeletedEvent),
    /// `connection`: new or different.
    Connection(Box<ConnectionEvent>),
    /// `connection_deleted`.
    ConnectionDeleted(ConnectionDeletedEvent),
    /// `job`: new or different.
    Job(Box<JobEvent>),
    /// `message`: new or different, without its parts.
    Message(Box<MessageEvent>),
    /// `part`: new or different, whole.
    Part(Box<PartEvent>),
    /// `delta`: words to append.
    Delta(DeltaEvent),
    /// `message_deleted`.
    MessageDeleted(MessageDeletedEvent),
    /// `files`: something changed in the workspace.
    Files(FilesEvent),
    /// `model_preferences`: another one is preferred, a favourite, or was used last.
    ModelPreferences(Box<ModelPreferencesEvent>),
    /// `oauth_attempt`: a sign-in at a provider came to its end.
    OAuthAttempt(Box<OAuthAttemptEvent>),
    /// `import`: what is brought over is further, or over.
    Import(Box<ImportEvent>),
    /// `key_rotation`: a change of the master key is further, or over; told to admins.
    KeyRotation(KeyRotationEvent),
    /// `opencode`: it is further, there, or failed.
    OpenCode(OpenCodeEvent),
    /// `queue`: it was paused or resumed.
    Queue(QueueEvent),
}

/// The stream has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HelloEvent {
    /// The newest event so far.
    pub(crate) event_id: String,
    /// The projects whose conversations it carries: those asked for that are the caller's.
    pub(crate) projects: Vec<String>,
}

/// Something was missed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResetEvent {}

/// A project is new or different.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectEvent {
    /// The project.
    project: Project,
}

/// A project is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectDeletedEvent {
    /// Which.
    project_id: String,
}

/// A connection is new or different.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionEvent {
    /// The connection.
    connection: Connection,
}

/// A connection is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionDeletedEvent {
    /// Which.
    connection_id: String,
}

/// A job is new or different.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobEvent {
    /// The job.
    job: Job,
}

/// A message is new or different.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageEvent {
    /// In which project.
    project_id: String,
    /// The message, without its parts.
    message: Message,
}

/// A part is new or different.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartEvent {
    /// In which project.
    project_id: String,
    /// Of which message.
    message_id: String,
    /// The part, whole. Parts stand in the order in which they first came.
    part: Part,
}

/// Words were added to a part.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeltaEvent {
    /// In which project.
    project_id: String,
    /// Of which message.
    message_id: String,
    /// To which part.
    part_id: String,
    /// The text's length before, in UTF-16 units. Who has more has these words; who has less reads again.
    offset: usize,
    /// The words.
    delta: String,
}

/// A message is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageDeletedEvent {
    /// In which project.
    project_id: String,
    /// Which.
    message_id: String,
}

/// Files changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FilesEvent {
    /// In which project.
    project_id: String,
}

/// The caller thinks otherwise of models.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelPreferencesEvent {
    /// What they think.
    preferences: ModelPreferences,
}

/// A sign-in at a provider came to its end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OAuthAttemptEvent {
    /// The sign-in.
    attempt: OAuthAttempt,
}

/// What is brought over is further, or over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportEvent {
    /// The import, without its lines: they are read when it is over.
    import: ImportRun,
}

/// A change of the master key is further, or over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyRotationEvent {
    /// How far it is.
    rotation: KeyRotation,
}

/// OpenCode is further, there, or failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenCodeEvent {
    /// How far it is.
    opencode: OpenCode,
}

/// The queue was paused or resumed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueEvent {
    /// How it is.
    queue: Queue,
}

impl StreamPayload {
    /// Returns the `event` field of the stream.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Reset(_) => "reset",
            Self::Project(_) => "project",
            Self::ProjectDeleted(_) => "project_deleted",
            Self::Connection(_) => "connection",
            Self::ConnectionDeleted(_) => "connection_deleted",
            Self::Job(_) => "job",
            Self::Message(_) => "message",
            Self::Part(_) => "part",
            Self::Delta(_) => "delta",
            Self::MessageDeleted(_) => "message_deleted",
            Self::Files(_) => "files",
            Self::ModelPreferences(_) => "model_preferences",
            Self::OAuthAttempt(_) => "oauth_attempt",
            Self::Import(_) => "import",
            Self::KeyRotation(_) => "key_rotation",
            Self::OpenCode(_) => "opencode",
            Self::Queue(_) => "queue",
        }
    }
}

impl From<&Change> for StreamPayload {
    fn from(change: &Change) -> Self {
        match change {
            Change::Project(view) => Self::Project(Box::new(ProjectEvent { project: (&**view).into() })),
            Change::ProjectDeleted(id) => Self::ProjectDeleted(ProjectDeletedEvent { project_id: id.to_string() }),
            Change::Connection(view) => Self::Connection(Box::new(ConnectionEvent { connection: (&**view).into() })),
            Change::ConnectionDeleted(id) => {
                Self::ConnectionDeleted(ConnectionDeletedEvent { connection_id: id.to_string() })
            }
            Change::Job(job) => Self::Job(Box::new(JobEvent { job: (&**job).into() })),
            Change::Message(project, message) => Self::Message(Box::new(MessageEvent {
                project_id: project.to_string(),
                message: Message::bare(message),
            })),
            Change::MessageDeleted(project, message) => Self::MessageDeleted(MessageDeletedEvent {
                project_id: project.to_string(),
                message_id: message.to_string(),
            }),
            Change::Part(project, part) => Self::Part(Box::new(PartEvent {
                project_id: project.to_string(),
                message_id: part.message_id.to_string(),
                part: (&**part).into(),
            })),
            Change::Delta { project_id, message_id, part_id, offset, delta } => Self::Delta(DeltaEvent {
                project_id: project_id.to_string(),
                message_id: message_id.to_string(),
                part_id: part_id.to_string(),
                offset: *offset,
                delta: delta.clone(),
            }),
            Change::Import(run) => Self::Import(Box::new(ImportEvent { import: (&**run).into() })),
            Change::Rotation(rotation) => Self::KeyRotation(KeyRotationEvent { rotation: rotation.into() }),
            Change::ModelPreferences(view) => {
                Self::ModelPreferences(Box::new(ModelPreferencesEvent { preferences: (&**view).into() }))
            }
            Change::Login(view) => Self::OAuthAttempt(Box::new(OAuthAttemptEvent { attempt: (&**view).into() })),
            Change::Program(state) => Self::OpenCode(OpenCodeEvent { opencode: state.into() }),
            Change::Queue(queue) => Self::Queue(QueueEvent { queue: (*queue).into() }),
            Change::Files(project) => Self::Files(FilesEvent { project_id: project.to_string() }),
        }
    }
}
