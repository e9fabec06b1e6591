//! Projects: made from a prompt, started, stopped, deleted.

use std::collections::BTreeMap;

use axum::{Json, extract::State as Extract};
use doce_app::views::{NewProject, PreviewView, ProjectChange, ProjectView};
use doce_model::{ConnectionId, Instance as ModelInstance, ProjectId, SessionStatus};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page,
    input::{Body, Id, Query},
    jobs::Job,
    words::{DeliveryMode, DeliveryStatus, Desired, ModelRef, Observed, PreviewState, ProjectState, Time},
};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// What the user makes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Project {
    /// Which.
    id: String,
    /// What its owner calls it.
    name: String,
    /// Its name in addresses.
    slug: String,
    /// What it is doing.
    state: ProjectState,
    /// What its owner wants.
    desired: Desired,
    /// The model that the next prompt goes to.
    model: ModelRef,
    /// When it was made.
    created_at: Time,
    /// When it last changed.
    updated_at: Time,
    /// When somebody or its agent last did something in it.
    last_active_at: Time,
    /// The live job, or the last one if it failed.
    job: Option<Job>,
    /// The agent that runs.
    instance: Option<Instance>,
    /// What the agent is doing.
    session: SessionView,
    /// How far the preview is.
    preview: Preview,
}

/// An agent that runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Instance {
    /// Which.
    id: String,
    /// What was last seen of it.
    observed: Observed,
    /// Since when.
    started_at: Time,
}

/// What an agent is doing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    /// In one word.
    kind: SessionKind,
    /// Which try comes next, while it waits to try again.
    attempt: Option<u32>,
    /// Why the last try failed.
    message: Option<String>,
    /// When the next try starts.
    next_at: Option<Time>,
}

/// What an agent is doing, in one word.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SessionKind {
    /// There is none.
    None,
    /// Nothing.
    Idle,
    /// It answers.
    Busy,
    /// It waits to ask the provider again.
    Retry,
}

/// How far a preview is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// In one word.
    state: PreviewState,
    /// Why it doesn't work, if it doesn't.
    reason: Option<String>,
}

/// A project to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewProject)]
pub(crate) struct CreateRequest {
    /// What to build.
    prompt: String,
    /// What to call it.
    name: Option<String>,
    /// Which model builds it.
    model: ModelRef,
    /// Connections to use instead of the defaults, by provider.
    #[serde(default)]
    connections: BTreeMap<String, String>,
}

/// What to change of a project.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProjectChange)]
pub(crate) struct ChangeRequest {
    /// What to call it.
    name: Option<String>,
    /// The model that the next prompt goes to.
    model: Option<ModelRef>,
    /// Connections that pay from here on, by provider; null for the owner's default again. The agent is told when it is
    /// idle.
    #[serde(default)]
    connections: BTreeMap<String, Option<String>>,
}

/// A project that was accepted, and the job that brings it up.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectAndJob {
    /// The project.
    project: Project,
    /// The job.
    job: Job,
}

/// What the agent of a project holds of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectDelivery {
    /// Which connection.
    connection_id: String,
    /// Of which provider.
    provider_id: String,
    /// Which agent.
    instance_id: String,
    /// Which version of the key.
    version: i64,
    /// Real or not.
    mode: DeliveryMode,
    /// How far it is.
    status: DeliveryStatus,
    /// Why, where that needs saying.
    reason: Option<String>,
    /// Since when.
    at: Time,
}

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Most items of the page.
    limit: Option<i64>,
    /// The `next` of the page before.
    cursor: Option<String>,
}

impl From<&ProjectView> for Project {
    fn from(view: &ProjectView) -> Self {
        let project = &view.project;
        Self {
            id: project.id.to_string(),
            name: project.name.clone(),
            slug: project.slug.clone(),
            state: view.state.into(),
            desired: project.desired.into(),
            model: (&project.model).into(),
            created_at: project.created_at.into(),
            updated_at: project.updated_at.into(),
            last_active_at: project.last_active_at.into(),
            job: view.job.as_ref().map(Job::from),
            instance: view.instance.as_ref().map(Instance::from),
            session: (&view.session).into(),
            preview: (&view.preview).into(),
        }
    }
}

impl From<&ModelInstance> for Instance {
    fn from(instance: &ModelInstance) -> Self {
        Self { id: instance.id.to_string(), observed: instance.observed.into(), started_at: instance.created_at.into() }
    }
}

impl From<&SessionStatus> for SessionView {
    fn from(status: &SessionStatus) -> Self {
        let bare = |kind| Self { kind, attempt: None, message: None, next_at: None };
        match status {
            SessionStatus::None => bare(SessionKind::None),
            SessionStatus::Idle => bare(SessionKind::Idle),
            SessionStatus::Busy => bare(SessionKind::Busy),
            SessionStatus::Retry { attempt, message, next_at } => Self {
                kind: SessionKind::Retry,
                attempt: Some(*attempt),
                message: Some(message.clone()),
                next_at: next_at.map(Time::from),
            },
        }
    }
}

impl From<&PreviewView> for Preview {
    fn from(preview: &PreviewView) -> Self {
        Self { state: preview.state.into(), reason: preview.reason.clone() }
    }
}

impl From<&doce_model::Delivery> for ProjectDelivery {
    fn from(delivery: &doce_model::Delivery) -> Self {
        Self {
            connection_id: delivery.connection_id.to_string(),
            provider_id: delivery.provider_id.clone(),
            instance_id: delivery.instance_id.to_string(),
            version: delivery.version,
            mode: delivery.mode.into(),
            status: delivery.status.into(),
            reason: delivery.reason.clone(),
            at: delivery.updated_at.into(),
        }
    }
}

/// Lists the caller's projects, the one last used first.
#[utoipa::path(get, path = "/api/projects", tag = "projects", params(PageQuery),
    responses((status = 200, description = "The projects.", body = Page<Project>)))]
pub(crate) async fn list_projects(
    Extract(state): Extract<State>,
    caller: Caller,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<Project>>, Problem> {
    let (projects, next) =
        state.app.list_projects(&caller.ctx, &caller.user, page.cursor.as_deref(), page.limit).await?;
    Ok(Json(Page { items: projects.iter().map(Project::from).collect(), next }))
}

/// Makes a project from a prompt. A job brings it up.
#[utoipa::path(post, path = "/api/projects", tag = "projects", request_body = CreateRequest,
    responses((status = 202, description = "It is accepted.", body = ProjectAndJob)))]
pub(crate) async fn create_project(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<CreateRequest>,
) -> Result<(StatusCode, Json<ProjectAndJob>), Problem> {
    let connections = request.connections.into_iter();
    let connections = connections.map(|(provider, id)| Ok((provider, chosen(&id)?))).collect::<Result<_, Problem>>()?;
    let new = NewProject { prompt: request.prompt, name: request.name, model: request.model.into(), connections };
    let (project, job) = state.app.create_project(&caller.ctx, &caller.user, new).await?;
    let accepted = ProjectAndJob { project: (&project).into(), job: (&job).into() };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

fn chosen(id: &str) -> Result<ConnectionId, Problem> {
    id.parse().map_err(|_| Problem::invalid("connections", "A connection's id can't be read."))
}

/// Shows a project.
#[utoipa::path(get, path = "/api/projects/{id}", tag = "projects", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The project.", body = Project)))]
pub(crate) async fn get_project(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<Json<Project>, Problem> {
    let project = state.app.get_project(&caller.ctx, &caller.user, id).await?;
    Ok(Json((&project).into()))
}

/// Renames a project, changes its model, or switches the connections that pay.
#[utoipa::path(patch, path = "/api/projects/{id}", tag = "projects", params(("id" = String, Path, description = "Which.")),
    request_body = ChangeRequest, responses((status = 200, description = "It is changed.", body = Project)))]
pub(crate) async fn change_project(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
    Body(request): Body<ChangeRequest>,
) -> Result<Json<Project>, Problem> {
    let connections = request.connections.into_iter();
    let connections = connections
        .map(|(provider, id)| Ok((provider, id.as_deref().map(chosen).transpose()?)))
        .collect::<Result<_, Problem>>()?;
    let change = ProjectChange { name: request.name, model: request.model.map(Into::into), connections };
    let project = state.app.change_project(&caller.ctx, &caller.user, id, change).await?;
    Ok(Json((&project).into()))
}

/// Deletes a project with all that belongs to it. A job does it.
#[utoipa::path(delete, path = "/api/projects/{id}", tag = "projects", params(("id" = String, Path, description = "Which.")),
    responses((status = 202, description = "It is accepted.", body = Job)))]
pub(crate) async fn delete_project(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<(StatusCode, Json<Job>), Problem> {
    let job = state.app.delete_project(&caller.ctx, &caller.user, id).await?;
    state.preview.revoke_project(id);
    state.ports.close(id);
    Ok((StatusCode::ACCEPTED, Json((&job).into())))
}

/// Starts a project's agent. A job does it.
#[utoipa::path(post, path = "/api/projects/{id}/start", tag = "projects", params(("id" = String, Path, description = "Which.")),
    responses((status = 202, description = "It is accepted.", body = Job)))]
pub(crate) async fn start_project(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<(StatusCode, Json<Job>), Problem> {
    let job = state.app.start_project(&caller.ctx, &caller.user, id).await?;
    Ok((StatusCode::ACCEPTED, Json((&job).into())))
}

/// Stops a project's agent. A job does it; nothing is lost.
#[utoipa::path(post, path = "/api/projects/{id}/stop", tag = "projects", params(("id" = String, Path, description = "Which.")),
    responses((status = 202, description = "It is accepted.", body = Job)))]
pub(crate) async fn stop_project(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<(StatusCode, Json<Job>), Problem> {
    let job = state.app.stop_project(&caller.ctx, &caller.user, id).await?;
    Ok((StatusCode::ACCEPTED, Json((&job).into())))
}

/// Lists which connections a project's agent holds.
#[utoipa::path(get, path = "/api/projects/{id}/deliveries", tag = "projects", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The deliveries.", body = Page<ProjectDelivery>)))]
pub(crate) async fn list_project_deliveries(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<Json<Page<ProjectDelivery>>, Problem> {
    let deliveries = state.app.project_deliveries(&caller.ctx, &caller.user, id).await?;
    Ok(Json(Page::whole(deliveries.iter().map(ProjectDelivery::from))))
}
