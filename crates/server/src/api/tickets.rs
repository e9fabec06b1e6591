//! Tickets to previews: one use, half a minute, for the owner's own page.

use axum::{Json, extract::State as Extract};
use doce_model::ProjectId;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::{input::Id, words::Time};
use crate::{
    address::PreviewPlace,
    error::{Problem, code},
    guard::access::Visitor,
    preview::{Grant, Origin, Preview},
    preview_host::ports,
    state::{Caller, State},
};

/// A way into a preview.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PreviewTicket {
    /// The address to frame or open.
    url: String,
    /// From when on it is worthless.
    expires_at: Time,
}

/// Issues a ticket to a project's preview.
#[utoipa::path(post, path = "/api/projects/{id}/preview-ticket", tag = "projects", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The way in.", body = PreviewTicket)))]
pub(crate) async fn issue_preview_ticket(
    Extract(state): Extract<State>,
    visitor: Visitor,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<Json<PreviewTicket>, Problem> {
    let target = state.app.open_preview(&caller.ctx, &caller.user, id).await?;
    let origin = match state.names.preview_of(&visitor.place, &target.slug) {
        PreviewPlace::Origin(origin) => origin,
        PreviewPlace::Port => {
            let port = ports::open(&state, target.project_id, &target.slug).map_err(|error| {
                tracing::warn!(%error, project = %id, "a preview got no port");
                no_address("The server has no port left for this preview.")
            })?;
            let origin = Origin::parse(&format!("http://{}:{port}", visitor.place.host));
            origin.map_err(|_| no_address("This page's address has no room for a preview."))?
        }
        PreviewPlace::None => return Err(no_address("Over TLS, previews need a domain of their own.")),
    };
    let opener = visitor.place.origin;
    let ticket = state.preview.issue(Grant { project: target.project_id, sign_in: Some(caller.sign_in.id), opener });
    let url = Preview::enter_url(&origin, &ticket, None);
    Ok(Json(PreviewTicket { url, expires_at: ticket.expires_at.into() }))
}

fn no_address(detail: &str) -> Problem {
    Problem::new(StatusCode::CONFLICT, code::PREVIEW_ADDRESS, detail)
        .hint("Start doce with DOCE_PREVIEW_DOMAIN set to a domain whose subdomains all lead to it.")
}
