//! API tokens: made, listed, revoked. Only by who signed in: a token makes no tokens.

use axum::{Json, extract::State as Extract};
use doce_app::NewApiToken;
use doce_model::ApiTokenId;
use http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Page,
    input::{Body, Id},
    people::forget,
    words::{Time, TokenScope},
};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// An API token.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiToken {
    /// Which.
    id: String,
    /// What its owner calls it.
    name: String,
    /// What it may do; each scope includes those before it.
    scope: TokenScope,
    /// When it was made.
    created_at: Time,
    /// When it ends by itself, if it does. One that has ended is listed until it is revoked.
    expires_at: Option<Time>,
    /// When it was last used, to the minute.
    last_used_at: Option<Time>,
    /// The address that it was last used from; empty if it was not, or if that is unknown.
    last_address: String,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeApiToken {
    /// The token.
    token: ApiToken,
    /// What to send as `Authorization: Bearer …`. It is shown here only.
    secret: String,
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// What to call it.
    name: String,
    /// What it may do.
    scope: TokenScope,
    /// After how many days it ends by itself; left out, it doesn't.
    days: Option<u32>,
}

impl From<doce_model::ApiToken> for ApiToken {
    fn from(token: doce_model::ApiToken) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            scope: token.scope.into(),
            created_at: token.created_at.into(),
            expires_at: token.expires_at.map(Time::from),
            last_used_at: token.last_used_at.map(Time::from),
            last_address: token.last_address.unwrap_or_default(),
        }
    }
}

/// Lists the caller's tokens.
#[utoipa::path(get, path = "/api/tokens", tag = "people", responses((status = 200, description = "The tokens.", body = Page<ApiToken>)))]
pub(crate) async fn list_tokens(
    Extract(state): Extract<State>,
    caller: Caller,
) -> Result<Json<Page<ApiToken>>, Problem> {
    let tokens = state.app.list_tokens(&caller.ctx, &caller.user).await?;
    Ok(Json(Page::whole(tokens.into_iter().map(ApiToken::from))))
}

/// Makes a token for the caller.
#[utoipa::path(post, path = "/api/tokens", tag = "people", request_body = NewToken,
    responses((status = 201, description = "It was made.", body = MadeApiToken)))]
pub(crate) async fn create_token(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeApiToken>), Problem> {
    let new = NewApiToken { name: new.name, scope: new.scope.0, days: new.days };
    let (token, secret) = state.app.create_token(&caller.ctx, &caller.user, new).await?;
    // Secret: this answer is the only place where the token ever stands.
    let secret = secret.expose_secret().to_owned();
    Ok((StatusCode::CREATED, Json(MadeApiToken { token: token.into(), secret })))
}

/// Revokes one of the caller's tokens, at once.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "people", params(("id" = String, Path, description = "Which.")),
    responses((status = 204, description = "It is revoked.")))]
pub(crate) async fn revoke_token(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ApiTokenId>,
) -> Result<StatusCode, Problem> {
    state.app.revoke_token(&caller.ctx, caller.user.id, id).await?;
    forget(&state, caller.user.id, &[id.into()]);
    Ok(StatusCode::NO_CONTENT)
}
