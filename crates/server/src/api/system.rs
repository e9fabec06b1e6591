//! The server itself: whether it lives, what it describes, how it runs.

use axum::{Json, extract::State as Extract};
use doce_app::{ProgramState, SandboxState};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{connections::Connection, description, model_preferences::ModelPreferences, people::User, words::JobState};
use crate::{
    address::{PreviewPlace, Via},
    error::Problem,
    guard::access::Visitor,
    state::{Caller, State},
};

/// Whether the server lives, and whether it has an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// It lives.
    status: HealthStatus,
    /// Which version of doce.
    version: &'static str,
    /// Whether the first account is still to be made.
    setup_required: bool,
    /// Whether making it takes the code that `doce serve` printed.
    setup_code_required: bool,
}

/// That the server lives.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HealthStatus {
    /// It does.
    Ok,
}

/// How the server runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct System {
    /// Which version of doce.
    version: &'static str,
    /// How far OpenCode is: no agent starts before it is there.
    opencode: OpenCode,
    /// Whether agents are locked in.
    sandbox: Sandbox,
    /// Whether every page has to warn that agents are not locked in.
    unsandboxed_warning: bool,
    /// Whether nobody can listen between this browser and the server.
    encrypted: bool,
    /// How previews are reached.
    preview: PreviewAddresses,
    /// Where everything is kept; told to admins.
    data_dir: Option<String>,
}

/// What every page of somebody who is signed in begins with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Start {
    /// Who is signed in.
    user: User,
    /// How the server runs.
    system: System,
    /// What they think of models.
    model_preferences: ModelPreferences,
    /// Their connections.
    connections: Vec<Connection>,
    /// Their jobs that have not ended, the oldest first.
    live_jobs: Vec<LiveJob>,
    /// The newest event that all this includes: an event stream that goes on after it misses nothing.
    event_id: String,
}

/// A job that has not ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveJob {
    /// Which.
    id: String,
    /// Whether it is at work.
    state: JobState,
}

/// How far OpenCode is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpenCode {
    /// In one word.
    state: OpenCodeWord,
    /// The version that doce works with.
    version: &'static str,
    /// Why it isn't there, and what to do.
    detail: Option<String>,
    /// Bytes of it that were downloaded so far.
    downloaded: Option<u64>,
    /// Bytes to download in all, if known.
    total: Option<u64>,
}

/// How far OpenCode is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OpenCodeWord {
    /// It is being looked for.
    Checking,
    /// It is being downloaded.
    Installing,
    /// It is there, in the right version.
    Ready,
    /// It isn't, and it isn't tried again by itself.
    Failed,
}

impl From<&ProgramState> for OpenCode {
    fn from(state: &ProgramState) -> Self {
        let (state, detail, downloaded, total) = match state {
            ProgramState::Checking => (OpenCodeWord::Checking, None, None, None),
            ProgramState::Installing { got, total } => (OpenCodeWord::Installing, None, Some(*got), *total),
            ProgramState::Ready { .. } => (OpenCodeWord::Ready, None, None, None),
            ProgramState::Failed(failure) => (OpenCodeWord::Failed, Some(failure.message.clone()), None, None),
        };
        Self { state, version: doce_app::OPENCODE_VERSION, detail, downloaded, total }
    }
}

/// Whether agents are locked in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sandbox {
    /// In one word.
    state: SandboxWord,
    /// What to know, or to do.
    detail: String,
}

/// Whether agents are locked in, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SandboxWord {
    /// They are.
    Active,
    /// They can't be, so none starts.
    Unavailable,
    /// They aren't, by the owner's order.
    Overridden,
}

/// How previews are reached.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewAddresses {
    /// By a host name each, or by a port each.
    mode: PreviewMode,
}

/// By what previews are told apart.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PreviewMode {
    /// A host name each.
    Host,
    /// A port each.
    Port,
}

/// Says whether the server lives.
#[utoipa::path(get, path = "/api/health", tag = "system", responses((status = 200, description = "It does.", body = Health)))]
pub(crate) async fn get_health(Extract(state): Extract<State>, visitor: Visitor) -> Result<Json<Health>, Problem> {
    Ok(Json(Health {
        status: HealthStatus::Ok,
        version: env!("CARGO_PKG_VERSION"),
        setup_required: state.app.setup_required().await?,
        setup_code_required: needs_setup_code(&state, &visitor),
    }))
}

/// Describes this API, as OpenAPI 3.1.
#[utoipa::path(get, path = "/api/openapi.json", tag = "system", responses((status = 200, description = "The description.", body = Object)))]
pub(crate) async fn get_openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(description())
}

/// Says how the server runs.
#[utoipa::path(get, path = "/api/system", tag = "system", responses((status = 200, description = "How it runs.", body = System)))]
pub(crate) async fn get_system(Extract(state): Extract<State>, visitor: Visitor, caller: Caller) -> Json<System> {
    Json(system(&state, &visitor, &caller))
}

/// Says who is signed in, how the server runs, what is connected, preferred and under way: what every page begins with, in one answer.
#[utoipa::path(get, path = "/api/start", tag = "system", responses((status = 200, description = "All that.", body = Start)))]
pub(crate) async fn get_start(
    Extract(state): Extract<State>,
    visitor: Visitor,
    caller: Caller,
) -> Result<Json<Start>, Problem> {
    // First: what happens while the rest is read comes once more.
    let event_id = state.app.bus().last_id();
    let preferences = state.app.model_preferences(&caller.ctx, &caller.user).await?;
    let connections = state.app.list_connections(&caller.ctx, &caller.user).await?;
    let live = state.app.live_jobs(&caller.ctx, &caller.user).await?;
    Ok(Json(Start {
        user: (&caller.user).into(),
        system: system(&state, &visitor, &caller),
        model_preferences: (&preferences).into(),
        connections: connections.iter().map(Connection::from).collect(),
        live_jobs: live.into_iter().map(|(id, state)| LiveJob { id: id.to_string(), state: state.into() }).collect(),
        event_id,
    }))
}

/// How the server runs, as this caller may know it, from where they look at it.
fn system(state: &State, visitor: &Visitor, caller: &Caller) -> System {
    let sandbox = sandbox(&state.app.sandbox());
    let opencode = OpenCode::from(&*state.app.program().borrow());
    let mode = match state.names.preview_of(&visitor.place, "any") {
        PreviewPlace::Origin(_) | PreviewPlace::None => PreviewMode::Host,
        PreviewPlace::Port => PreviewMode::Port,
    };
    System {
        version: env!("CARGO_PKG_VERSION"),
        opencode,
        unsandboxed_warning: sandbox.state == SandboxWord::Overridden,
        sandbox,
        encrypted: visitor.place.is_encrypted(),
        preview: PreviewAddresses { mode },
        data_dir: caller.is_admin().then(|| state.app.data_dir().to_string()),
    }
}

/// Tries again to set OpenCode up after it failed, and the sandbox that it runs in. How it goes is told on the event stream.
#[utoipa::path(post, path = "/api/system/opencode/retry", tag = "system", responses((status = 202, description = "It is tried.")))]
pub(crate) async fn retry_opencode(Extract(state): Extract<State>, caller: Caller) -> Result<StatusCode, Problem> {
    state.app.retry_opencode(&caller.ctx).await?;
    Ok(StatusCode::ACCEPTED)
}

fn sandbox(state: &SandboxState) -> Sandbox {
    let (state, detail) = match state {
        SandboxState::Active => (SandboxWord::Active, "Each agent is locked into its own project.".to_owned()),
        SandboxState::Overridden => (
            SandboxWord::Overridden,
            "Agents run without a sandbox and can read everything that the server can, its keys included.".to_owned(),
        ),
        SandboxState::Unavailable { reason, repair } => {
            (SandboxWord::Unavailable, format!("doce could not {reason}. {repair}"))
        }
    };
    Sandbox { state, detail }
}

/// Says whether the first account takes the printed code: unless listener and name are this machine's own, and nobody
/// forwarded the request.
pub(super) fn needs_setup_code(state: &State, visitor: &Visitor) -> bool {
    !(state.listen.ip().is_loopback() && visitor.place.via == Via::Loopback && !visitor.is_forwarded)
}
