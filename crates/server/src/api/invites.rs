//! Invites: a link with which somebody makes an account of their own.

use axum::{Json, extract::State as Extract, response::Response};
use doce_app::InviteView;
use doce_model::InviteId;
use http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Page,
    input::{Body, Id},
    people::{User, signed_in_as},
    words::{Role, Time},
};
use crate::{
    error::Problem,
    guard::access::Visitor,
    state::{Caller, State},
};

/// An invite that was not used yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Invite {
    /// Which.
    id: String,
    /// What the account may do.
    role: Role,
    /// The name of whoever invites.
    by: String,
    /// When it was made.
    created_at: Time,
    /// When it ends by itself.
    expires_at: Time,
}

/// An invite that was just made.
#[derive(Serialize, ToSchema)]
pub(crate) struct MadeInvite {
    /// The invite.
    invite: Invite,
    /// The page to open, from this server's address on. It is shown here only.
    path: String,
}

/// An invite to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvite {
    /// What the account may do.
    role: Role,
}

/// What the link of an invite holds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invited {
    /// What stands behind the `#` of the link.
    #[schema(value_type = String)]
    token: SecretString,
}

/// The account that somebody was invited to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitedAccount {
    /// What stands behind the `#` of the link.
    #[schema(value_type = String)]
    token: SecretString,
    /// The name to sign in with.
    username: String,
    /// At least eight characters.
    #[schema(value_type = String)]
    password: SecretString,
}

impl From<InviteView> for Invite {
    fn from(view: InviteView) -> Self {
        let InviteView { invite, by } = view;
        Self {
            id: invite.id.to_string(),
            role: invite.role.into(),
            by,
            created_at: invite.created_at.into(),
            expires_at: invite.expires_at.into(),
        }
    }
}

/// Lists the invites that can still be used.
#[utoipa::path(get, path = "/api/invites", tag = "people", responses((status = 200, description = "The invites.", body = Page<Invite>)))]
pub(crate) async fn list_invites(
    Extract(state): Extract<State>,
    caller: Caller,
) -> Result<Json<Page<Invite>>, Problem> {
    let invites = state.app.list_invites(&caller.ctx, &caller.user).await?;
    Ok(Json(Page::whole(invites.into_iter().map(Invite::from))))
}

/// Makes an invite: whoever opens its link within seven days makes an account, once.
#[utoipa::path(post, path = "/api/invites", tag = "people", request_body = NewInvite,
    responses((status = 201, description = "It was made.", body = MadeInvite)))]
pub(crate) async fn create_invite(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(new): Body<NewInvite>,
) -> Result<(StatusCode, Json<MadeInvite>), Problem> {
    let (invite, token) = state.app.create_invite(&caller.ctx, &caller.user, new.role.0).await?;
    // Secret: behind the `#`, so that no log of a proxy and no Referer ever has it.
    let path = format!("/invite#{}", token.expose_secret());
    Ok((StatusCode::CREATED, Json(MadeInvite { invite: invite.into(), path })))
}

/// Takes an invite back.
#[utoipa::path(delete, path = "/api/invites/{id}", tag = "people", params(("id" = String, Path, description = "Which.")),
    responses((status = 204, description = "Its link is worthless.")))]
pub(crate) async fn revoke_invite(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<InviteId>,
) -> Result<StatusCode, Problem> {
    state.app.revoke_invite(&caller.ctx, &caller.user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Says what a link invites to.
#[utoipa::path(post, path = "/api/invited", tag = "people", request_body = Invited,
    responses((status = 200, description = "The invite.", body = Invite)))]
pub(crate) async fn look_at_invite(
    Extract(state): Extract<State>,
    visitor: Visitor,
    Body(invited): Body<Invited>,
) -> Result<Json<Invite>, Problem> {
    Ok(Json(state.app.look_at_invite(&visitor.ctx, &invited.token).await?.into()))
}

/// Makes the account that a link invites to, and signs this browser in.
#[utoipa::path(post, path = "/api/invited/account", tag = "people", request_body = InvitedAccount,
    responses((status = 201, description = "It was made, and this browser is signed in.", body = User)))]
pub(crate) async fn accept_invite(
    Extract(state): Extract<State>,
    visitor: Visitor,
    headers: HeaderMap,
    Body(account): Body<InvitedAccount>,
) -> Result<Response, Problem> {
    let InvitedAccount { token, username, password } = account;
    let user_agent = visitor.user_agent.as_deref();
    let signed_in = state.app.accept_invite(&visitor.ctx, &token, &username, password, user_agent).await?;
    signed_in_as(&state, &visitor, &headers, StatusCode::CREATED, signed_in).await
}
