//! The set-up of the server's machine: what is wrong with it, and what repairs it.

use axum::{Json, extract::State as Extract};
use doce_app::doctor::{Finding as AppFinding, Health as AppHealth};
use serde::Serialize;
use utoipa::ToSchema;

use super::Page;
use crate::{
    error::Problem,
    guard::access::Visitor,
    state::{Caller, State},
};

/// What was found of one thing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Finding {
    /// What was looked at, in a word.
    check: &'static str,
    /// How it is.
    health: FindingHealth,
    /// What was found, and why it matters if it is wrong.
    text: String,
    /// The command that repairs it, or else what to do.
    repair: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FindingHealth {
    /// As it should be.
    Ok,
    /// It works, and may not always.
    Warning,
    /// Something doesn't work.
    Problem,
}

impl From<AppFinding> for Finding {
    fn from(found: AppFinding) -> Self {
        let AppFinding { check, health, text, repair } = found;
        let health = match health {
            AppHealth::Ok => FindingHealth::Ok,
            AppHealth::Warning => FindingHealth::Warning,
            AppHealth::Problem => FindingHealth::Problem,
        };
        Self { check, health, text, repair }
    }
}

/// Looks at the set-up of the server's machine, as `doce doctor` does. It takes a few seconds at most.
#[utoipa::path(get, path = "/api/system/doctor", tag = "system",
    responses((status = 200, description = "What was found.", body = Page<Finding>)))]
pub(crate) async fn examine(
    Extract(state): Extract<State>,
    visitor: Visitor,
    caller: Caller,
) -> Result<Json<Page<Finding>>, Problem> {
    let public = state.names.public.as_ref().map(|public| public.as_str().to_owned());
    let running = public.clone().unwrap_or_else(|| visitor.place.origin.as_str().to_owned());
    let findings = state.app.doctor(&caller.ctx, &caller.user, state.listen, public, running).await?;
    Ok(Json(Page::whole(findings.into_iter().map(Finding::from))))
}
