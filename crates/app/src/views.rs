//! What the use cases show: nouns together with what a person wants to see beside them.

use doce_model::{
    Connection, CustomModel, Delivery, DeliveryMode, Instance, Job, Message, ModelRef, Ms, PreviewState, Project,
    ProjectId, SessionStatus, audit::NounKind, project::ProjectState,
};
pub use doce_store::delivery::Delivered;

/// A Project with all that its page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectView {
    /// The Project.
    pub project: Project,
    /// What it is doing, in one word.
    pub state: ProjectState,
    /// The live Job, or the last one if it failed.
    pub job: Option<Job>,
    /// The Instance that has not ended.
    pub instance: Option<Instance>,
    /// What the Agent's Session is doing.
    pub session: SessionStatus,
    /// How far the preview is.
    pub preview: PreviewView,
}

/// How far a preview is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewView {
    /// How far.
    pub state: PreviewState,
    /// Why it does not work, if it doesn't.
    pub reason: Option<String>,
}

/// A Connection, and how far it is in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionView {
    /// The Connection.
    pub connection: Connection,
    /// The Provider's name.
    pub provider_name: String,
    /// How it is handed to Agents.
    pub delivery: DeliveryPlan,
    /// Whether its tokens are renewed before they run out.
    pub renews: bool,
    /// When its owner is to have replaced it, if doce doesn't.
    pub replace_by: Option<Ms>,
    /// How many Projects use it: it pays for their model, or their Instance holds it.
    pub project_count: u64,
    /// What the Instances that run hold of it. There are never many, however many Projects there are.
    pub deliveries: Vec<Delivered>,
}

/// How a Connection would be handed to an Agent, and what that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPlan {
    /// Real or not.
    pub mode: DeliveryMode,
    /// What a person should know about it.
    pub reason: String,
}

/// A Provider of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderView {
    /// `OpenCode`'s id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is among the most used.
    pub popular: bool,
    /// The ways to connect it.
    pub methods: Vec<MethodView>,
    /// Why it can't be connected, if it can't.
    pub refusal: Option<String>,
    /// How it would be handed over.
    pub delivery: DeliveryPlan,
    /// Where requests go unless the user says otherwise.
    pub default_base_url: Option<String>,
    /// Whether the user must say where requests go.
    pub base_url_required: bool,
    /// Where one gets a key.
    pub key_url: Option<&'static str>,
    /// Where one pays for it.
    pub credit_url: Option<&'static str>,
    /// How many models it has.
    pub model_count: usize,
    /// Whether the asking user has connected it.
    pub connected: bool,
}

/// A way to connect a Provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodView {
    /// Its place in the Provider's list: a login is begun with it.
    pub index: usize,
    /// `api` or `oauth`.
    pub kind: &'static str,
    /// What a person reads.
    pub label: String,
    /// What it asks.
    pub prompts: Vec<PromptView>,
    /// Why it can't be used here, if it can't.
    pub refusal: Option<String>,
    /// What a login was tested against; goes on after *Tested*.
    pub tested: Option<&'static str>,
}

/// A question of a method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptView {
    /// `text` or `select`.
    pub kind: &'static str,
    /// The answer's name.
    pub key: String,
    /// The question.
    pub message: String,
    /// An example.
    pub placeholder: Option<String>,
    /// The answers to choose from: value, label, hint.
    pub options: Vec<(String, String, Option<String>)>,
    /// When to ask: another answer's name, whether it must be equal, and the value.
    pub when: Option<(String, bool, String)>,
}

/// A model of a Provider.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent capabilities, each shown by itself")]
pub struct ModelView {
    /// The Provider's id for it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Tokens of context.
    pub context: Option<u64>,
    /// Most tokens of an answer.
    pub output: Option<u64>,
    /// US dollars per million tokens read.
    pub cost_input: Option<f64>,
    /// US dollars per million tokens written.
    pub cost_output: Option<f64>,
    /// Whether it takes pictures.
    pub image_input: bool,
    /// Whether it can use tools; an Agent needs one that can.
    pub tool_call: bool,
    /// Whether it thinks aloud.
    pub reasoning: bool,
    /// Whether it is a good first choice.
    pub recommended: bool,
}

/// A page of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationView {
    /// The Messages, oldest first.
    pub messages: Vec<Message>,
    /// Where the page of older ones begins, if there are any.
    pub before: Option<i64>,
    /// The newest event that this snapshot includes.
    pub event_id: String,
}

/// An entry of a Workspace's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileView {
    /// Its name.
    pub name: String,
    /// Its path from the Workspace, with `/`.
    pub path: String,
    /// `file`, `directory`, `link` or `other`.
    pub kind: &'static str,
    /// Bytes of a file.
    pub size: Option<u64>,
}

/// A request for a new Project.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// The first Prompt.
    pub prompt: String,
    /// What to call it; made from the prompt if absent.
    pub name: Option<String>,
    /// The model that answers.
    pub model: ModelRef,
    /// Connections to use instead of the defaults: Provider id and Connection id.
    pub connections: Vec<(String, doce_model::ConnectionId)>,
}

/// A change of a Project. What is `None` or empty stays.
#[derive(Debug, Clone, Default)]
pub struct ProjectChange {
    /// Another name.
    pub name: Option<String>,
    /// The model of its next Prompts.
    pub model: Option<ModelRef>,
    /// Who pays from here on: Provider id, and a Connection or the owner's default again.
    pub connections: Vec<(String, Option<doce_model::ConnectionId>)>,
}

/// A Connection that a Project uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectConnectionView {
    /// The Connection.
    pub connection: Connection,
    /// The Provider's name.
    pub provider_name: String,
    /// Whether it was chosen for this Project; else it is its owner's default.
    pub chosen: bool,
    /// What the Project's Instance holds of this Provider, if it has one. It may be another Connection's.
    pub delivery: Option<Delivery>,
}

/// What a user thinks of models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelPreferencesView {
    /// The one that a new Project begins with.
    pub preferred: Option<ModelRef>,
    /// Those offered before others, by name.
    pub favourites: Vec<ModelRef>,
    /// Those used last, newest first.
    pub recents: Vec<ModelRef>,
}

/// An attempt to open a preview that may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewTarget {
    /// The Project.
    pub project_id: ProjectId,
    /// The name in its address.
    pub slug: String,
    /// The dev server's port on 127.0.0.1, once it answers.
    pub port: Option<u16>,
    /// How far it is.
    pub view: PreviewView,
}

/// An audit event, with names for what it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditView {
    /// The event.
    pub entry: crate::AuditEntry,
    /// Who did it.
    pub actor: AuditNoun,
    /// To what.
    pub noun: AuditNoun,
    /// In which Project.
    pub project: Option<AuditNoun>,
    /// Whose it is.
    pub owner: Option<AuditNoun>,
}

/// Something that an audit event speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditNoun {
    /// What kind of thing.
    pub kind: NounKind,
    /// Which.
    pub id: String,
    /// What its owner calls it, where the caller may know.
    pub name: Option<String>,
    /// Whether the caller can still open it.
    pub open: bool,
}

/// What a document says that an organisation publishes for its people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WellKnownView {
    /// Where it was found.
    pub address: String,
    /// What the token is called that it asks for.
    pub token_name: String,
    /// The command that gets such a token, by its words. It is shown, and never run.
    pub command: Vec<String>,
    /// The Providers that it describes.
    pub providers: Vec<WellKnownProvider>,
}

/// A Provider that such a document describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WellKnownProvider {
    /// Its name.
    pub name: String,
    /// Where its requests go.
    pub base_url: String,
    /// Its models.
    pub models: Vec<CustomModel>,
    /// Why no custom provider can be made of it, if none can.
    pub refusal: Option<String>,
}
