//! What the server does, for Prometheus.

use axum::extract::State as Extract;
use http::header::CONTENT_TYPE;

use crate::{error::Problem, metrics, state::State};

/// Returns what the server does in numbers, as Prometheus reads them. No label tells of a person, a project or a key.
#[utoipa::path(get, path = "/metrics", tag = "system",
    responses((status = 200, description = "The numbers.", body = String, content_type = "application/openmetrics-text")))]
pub(crate) async fn get_metrics(
    Extract(state): Extract<State>,
) -> Result<([(http::HeaderName, &'static str); 1], String), Problem> {
    let load = state.app.load().await?;
    let written = state.metrics.write(&load, state.streams.count())?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], written))
}
