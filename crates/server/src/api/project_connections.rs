//! Which connection pays in a project, provider by provider. Another one is chosen with the project's `PATCH`.

use axum::{Json, extract::State as Extract};
use doce_app::views::ProjectConnectionView;
use doce_model::ProjectId;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Page, input::Id, projects::ProjectDelivery};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// A connection that a project uses.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectConnection {
    /// To which provider. A project uses one connection of each.
    provider_id: String,
    /// The provider's name.
    provider_name: String,
    /// Which.
    connection_id: String,
    /// What its owner calls it.
    label: String,
    /// Whether it was chosen for this project; else it is its owner's default.
    chosen: bool,
    /// What the project's agent holds of this provider, if it runs. While another connection waits to take its place,
    /// it is still the one before.
    delivery: Option<ProjectDelivery>,
}

impl From<&ProjectConnectionView> for ProjectConnection {
    fn from(view: &ProjectConnectionView) -> Self {
        Self {
            provider_id: view.connection.provider_id.clone(),
            provider_name: view.provider_name.clone(),
            connection_id: view.connection.id.to_string(),
            label: view.connection.label.clone(),
            chosen: view.chosen,
            delivery: view.delivery.as_ref().map(ProjectDelivery::from),
        }
    }
}

/// Lists the connections that a project uses, and how far its agent has each.
#[utoipa::path(get, path = "/api/projects/{id}/connections", tag = "projects", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The connections, one for each provider.", body = Page<ProjectConnection>)))]
pub(crate) async fn list_project_connections(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<Json<Page<ProjectConnection>>, Problem> {
    let used = state.app.project_connections(&caller.ctx, &caller.user, id).await?;
    Ok(Json(Page::whole(used.iter().map(ProjectConnection::from))))
}
