//! Carries a change out to its end, whether or not its sender still waits.
//!
//! When a connection breaks, the HTTP library drops what it was working on, in the middle. A change has parts that
//! belong together (commit, then tell browsers, then end what hung on it), so it runs as a task of its own;
//! shutting down waits for it.

use axum::{
    extract::{Request, State as Extract},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use doce_app::Error;
use tracing::Instrument as _;

use super::same_origin::is_safe;
use crate::{error::Problem, state::State};

/// Passes every request to doce itself.
pub(crate) async fn carry_out(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    if is_safe(request.method()) {
        return next.run(request).await;
    }
    let carried_out = state.tasks.spawn(next.run(request).in_current_span());
    carried_out.await.unwrap_or_else(|error| Problem::from(Error::internal(error)).into_response())
}
