//! Where requests to previews come in: by a host name of their own, or by a port of their own.
//!
//! Nothing of doce's own guards applies here: no cookie of doce is read, no header of doce is written. Who may see a
//! preview, and what goes through, is the business of [`crate::preview`].

pub(crate) mod ports;

use std::net::{Ipv4Addr, SocketAddr};

use axum::{extract::Request, response::Response};
use doce_app::views::PreviewTarget;
use doce_model::PreviewState;
use tracing::Instrument as _;

use crate::{
    guard::front::span,
    preview::{Origin, Preview, Upstream, Visit},
    state::State,
};

/// Answers a request to a preview's own host name. `id` is the request's number.
pub(crate) async fn at_host(state: &State, request: Request, slug: &str, origin: &Origin, id: &str) -> Response {
    answer(state, request, slug, origin, &state.names.home_of(origin), id).await
}

/// Answers a request to a preview, for which doce itself is at `home`.
async fn answer(state: &State, request: Request, slug: &str, origin: &Origin, home: &str, id: &str) -> Response {
    look_up_and_serve(state, request, slug, origin, home, id).instrument(span(id)).await
}

async fn look_up_and_serve(
    state: &State,
    request: Request,
    slug: &str,
    origin: &Origin,
    home: &str,
    id: &str,
) -> Response {
    match state.app.preview_target(slug).await {
        Ok(Some(target)) => {
            let home = format!("{home}/projects/{}", target.project_id);
            let upstream = upstream(&target);
            let visit = Visit { project: target.project_id, origin, home: &home, upstream: &upstream, id };
            state.preview.serve(request, visit).await
        }
        Ok(None) => Preview::refuse(&request, home, id),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, slug, "a preview was not found out");
            Preview::broken(&request, id)
        }
    }
}

fn upstream(target: &PreviewTarget) -> Upstream {
    match (target.view.state, target.port) {
        (PreviewState::Ready, Some(port)) => Upstream::Ready { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) },
        (state, _) => Upstream::NotReady { state, reason: target.view.reason.clone() },
    }
}
