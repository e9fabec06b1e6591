//! Sign-ins at providers: begun, looked at, answered, cancelled.
//!
//! How one goes on is told on the event stream. What a person pastes may hold a code: it goes into a type that doesn't
//! print, and never comes back out.

use std::collections::BTreeMap;

use axum::{Json, extract::State as Extract};
use doce_app::{AttemptKind, AttemptState, AttemptView, NewAttempt};
use doce_model::{ConnectionId, OAuthAttemptId};
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    input::{Body, Id},
    words::Time,
};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// An attempt to sign in at a provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OAuthAttempt {
    /// Which.
    id: String,
    /// At which provider.
    provider_id: String,
    /// Its name.
    provider_name: String,
    /// What the person has to do.
    kind: OAuthAttemptKind,
    /// The page to open; empty if there is none.
    url: String,
    /// The code to enter there, for `device`.
    code: Option<String>,
    /// How the address begins that is to be pasted, for `redirect`.
    address: Option<String>,
    /// What OpenCode says about it.
    instructions: String,
    /// How far it is.
    state: OAuthAttemptState,
    /// Why it failed, if it did.
    reason: Option<String>,
    /// What it became, once it succeeded.
    connection_id: Option<String>,
    /// When it is given up.
    expires_at: Time,
}

/// What the person has to do.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OAuthAttemptKind {
    /// Enter a code on the provider's page.
    Device,
    /// Sign in, and paste the address that the browser could not open.
    Redirect,
    /// Sign in, and paste the code that is shown.
    Code,
    /// Sign in; the rest happens by itself.
    Page,
}

/// How far an attempt is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OAuthAttemptState {
    /// It waits for the person.
    Waiting,
    /// The provider is connected.
    Succeeded,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It took too long.
    Expired,
}

impl From<&AttemptView> for OAuthAttempt {
    fn from(view: &AttemptView) -> Self {
        let (kind, code, address) = match &view.kind {
            AttemptKind::Device { code } => (OAuthAttemptKind::Device, Some(code.clone()), None),
            AttemptKind::Redirect { address } => (OAuthAttemptKind::Redirect, None, Some(address.clone())),
            AttemptKind::Code => (OAuthAttemptKind::Code, None, None),
            AttemptKind::Page => (OAuthAttemptKind::Page, None, None),
        };
        let (state, reason, connection_id) = match &view.state {
            AttemptState::Waiting => (OAuthAttemptState::Waiting, None, None),
            AttemptState::Succeeded { connection_id } => {
                (OAuthAttemptState::Succeeded, None, Some(connection_id.to_string()))
            }
            AttemptState::Failed { reason } => (OAuthAttemptState::Failed, Some(reason.clone()), None),
            AttemptState::Cancelled => (OAuthAttemptState::Cancelled, None, None),
            AttemptState::Expired => (OAuthAttemptState::Expired, None, None),
        };
        Self {
            id: view.id.to_string(),
            provider_id: view.provider_id.clone(),
            provider_name: view.provider_name.clone(),
            kind,
            url: view.url.clone(),
            code,
            address,
            instructions: view.instructions.clone(),
            state,
            reason,
            connection_id,
            expires_at: view.expires_at.into(),
        }
    }
}

/// A sign-in to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewOAuthAttempt)]
pub(crate) struct BeginRequest {
    /// At which provider.
    provider_id: String,
    /// Which of its methods, by index.
    method: usize,
    /// Answers to the method's questions.
    #[serde(default)]
    inputs: BTreeMap<String, String>,
    /// What to call the connection.
    label: Option<String>,
    /// The connection whose sign-in this renews; a new one is made without it.
    connection_id: Option<String>,
}

/// What the person was shown.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OAuthAttemptAnswer)]
pub(crate) struct AnswerRequest {
    /// The code, or the whole address that the browser could not open.
    #[schema(value_type = String)]
    code: SecretString,
}

/// Begins a sign-in at a provider; it takes some seconds.
#[utoipa::path(post, path = "/api/oauth-attempts", tag = "connections", request_body = BeginRequest,
    responses((status = 201, description = "It waits for the person, for ten minutes.", body = OAuthAttempt)))]
pub(crate) async fn begin_login(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<BeginRequest>,
) -> Result<(StatusCode, Json<OAuthAttempt>), Problem> {
    let connection_id = match request.connection_id.as_deref().map(str::parse::<ConnectionId>) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(Problem::invalid("connection_id", "That is not the id of a connection.")),
    };
    let new = NewAttempt {
        provider_id: request.provider_id,
        method: request.method,
        inputs: request.inputs,
        label: request.label,
        connection_id,
    };
    let attempt = state.app.begin_login(&caller.ctx, &caller.user, new).await?;
    Ok((StatusCode::CREATED, Json((&attempt).into())))
}

/// Shows a sign-in.
#[utoipa::path(get, path = "/api/oauth-attempts/{id}", tag = "connections", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The sign-in.", body = OAuthAttempt)))]
pub(crate) async fn get_login(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<OAuthAttemptId>,
) -> Result<Json<OAuthAttempt>, Problem> {
    let attempt = state.app.get_login(&caller.ctx, &caller.user, id)?;
    Ok(Json((&attempt).into()))
}

/// Gives a sign-in the code, or the address that the browser could not open.
#[utoipa::path(post, path = "/api/oauth-attempts/{id}/code", tag = "connections", params(("id" = String, Path, description = "Which.")),
    request_body = AnswerRequest, responses((status = 202, description = "It is tried.", body = OAuthAttempt)))]
pub(crate) async fn answer_login(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<OAuthAttemptId>,
    Body(request): Body<AnswerRequest>,
) -> Result<(StatusCode, Json<OAuthAttempt>), Problem> {
    let answer = request.code.expose_secret();
    let attempt = state.app.answer_login(&caller.ctx, &caller.user, id, answer).await?;
    Ok((StatusCode::ACCEPTED, Json((&attempt).into())))
}

/// Gives a sign-in up.
#[utoipa::path(delete, path = "/api/oauth-attempts/{id}", tag = "connections", params(("id" = String, Path, description = "Which.")),
    responses((status = 204, description = "It is given up.")))]
pub(crate) async fn cancel_login(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<OAuthAttemptId>,
) -> Result<StatusCode, Problem> {
    state.app.cancel_login(&caller.ctx, &caller.user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
