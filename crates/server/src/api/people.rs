//! People: the first account, signing in and out, accounts, passwords.

use axum::{
    Json,
    extract::State as Extract,
    response::{IntoResponse, Response},
};
use doce_app::{ChangedUser, InUse, SignedIn, UserChange};
use doce_model::{Actor, SignInId, UserId};
use http::{HeaderMap, StatusCode, header};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Page,
    input::{Body, Id},
    system::needs_setup_code,
    words::{Role, Time},
};
use crate::{
    address::Place,
    error::{Problem, code},
    guard::{access::Visitor, cookie},
    state::{Caller, State},
};

/// A person with an account.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    /// Which.
    id: String,
    /// The name they sign in with.
    username: String,
    /// What they may do.
    role: Role,
    /// When the account was made.
    created_at: Time,
    /// Since when nobody may sign in with it, if an admin decided so.
    disabled_at: Option<Time>,
}

/// A signed-in browser.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SignIn {
    /// Which.
    id: String,
    /// When it began.
    created_at: Time,
    /// When it was last used, to the minute.
    last_seen_at: Time,
    /// The address it came from; empty if unknown.
    address: String,
    /// What the browser calls itself; empty if unknown.
    user_agent: String,
    /// Whether it is the one that asks.
    current: bool,
}

/// The first account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstAccount {
    /// The name to sign in with.
    username: String,
    /// At least eight characters.
    #[schema(value_type = String)]
    password: SecretString,
    /// The code that `doce serve` printed, where it is asked for.
    #[schema(value_type = Option<String>)]
    setup_code: Option<SecretString>,
}

/// A name and a password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The name.
    username: String,
    /// The password.
    #[schema(value_type = String)]
    password: SecretString,
}

/// A change of one's own account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeMe {
    /// The password until now.
    #[schema(value_type = String)]
    current_password: SecretString,
    /// The password from now on.
    #[schema(value_type = String)]
    new_password: SecretString,
}

/// A new account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// The name to sign in with.
    username: String,
    /// The first password.
    #[schema(value_type = String)]
    password: SecretString,
    /// What they may do.
    role: Role,
}

/// A change of somebody's account. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeUser {
    /// What they may do.
    role: Option<Role>,
    /// Whether nobody may sign in with it. It is signed out everywhere, its projects stop, and its sign-ins at providers
    /// are not renewed; nothing is deleted.
    disabled: Option<bool>,
    /// Another password; it is signed out everywhere.
    #[schema(value_type = Option<String>)]
    password: Option<SecretString>,
}

impl From<&doce_model::User> for User {
    fn from(user: &doce_model::User) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.clone(),
            role: user.role.into(),
            created_at: user.created_at.into(),
            disabled_at: user.disabled_at.map(Time::from),
        }
    }
}

/// What of an account is of use to somebody at present.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AccountInUse {
    /// Projects that run or are to run.
    projects: i64,
    /// Browsers that are signed in.
    sign_ins: i64,
    /// Tokens of scripts that are in force.
    api_tokens: i64,
    /// Invites that it made and that can still be used.
    invites: i64,
}

/// Makes the first account, an admin's, and signs it in.
#[utoipa::path(post, path = "/api/setup", tag = "people", request_body = FirstAccount,
    responses((status = 201, description = "It was made, and this browser is signed in.", body = User)))]
pub(crate) async fn set_up(
    Extract(state): Extract<State>,
    visitor: Visitor,
    headers: HeaderMap,
    Body(setup): Body<FirstAccount>,
) -> Result<Response, Problem> {
    if state.app.setup_required().await? && needs_setup_code(&state, &visitor) {
        let code = setup.setup_code.as_ref();
        if !code.is_some_and(|code| state.setup_code.is(code)) {
            return Err(setup_code_wrong());
        }
    }
    let user_agent = visitor.user_agent.as_deref();
    let signed_in = state.app.setup(&visitor.ctx, &setup.username, setup.password, user_agent).await?;
    signed_in_as(&state, &visitor, &headers, StatusCode::CREATED, signed_in).await
}

/// Signs this browser in.
#[utoipa::path(post, path = "/api/sign-in", tag = "people", request_body = Credentials,
    responses((status = 200, description = "This browser is signed in.", body = User)))]
pub(crate) async fn sign_in(
    Extract(state): Extract<State>,
    visitor: Visitor,
    headers: HeaderMap,
    Body(given): Body<Credentials>,
) -> Result<Response, Problem> {
    let user_agent = visitor.user_agent.as_deref();
    let signed_in = state.app.sign_in(&visitor.ctx, &given.username, given.password, user_agent).await?;
    signed_in_as(&state, &visitor, &headers, StatusCode::OK, signed_in).await
}

/// Signs this browser out.
#[utoipa::path(post, path = "/api/sign-out", tag = "people", responses((status = 204, description = "It is signed out.")))]
pub(crate) async fn sign_out(
    Extract(state): Extract<State>,
    visitor: Visitor,
    caller: Caller,
) -> Result<Response, Problem> {
    state.app.sign_out(&caller.ctx, caller.user.id, caller.sign_in.id).await?;
    let ended = [caller.sign_in.id];
    forget(&state, caller.user.id, &ended);
    Ok(without_cookie(StatusCode::NO_CONTENT.into_response(), &visitor.place))
}

/// Says who is signed in.
#[utoipa::path(get, path = "/api/me", tag = "people", responses((status = 200, description = "Who is signed in.", body = User)))]
pub(crate) async fn get_me(caller: Caller) -> Json<User> {
    Json((&caller.user).into())
}

/// Changes one's own password; all other browsers are signed out.
#[utoipa::path(patch, path = "/api/me", tag = "people", request_body = ChangeMe,
    responses((status = 200, description = "It is changed.", body = User)))]
pub(crate) async fn change_me(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(change): Body<ChangeMe>,
) -> Result<Json<User>, Problem> {
    let Caller { user, sign_in, ctx } = &caller;
    let before = state.app.list_sign_ins(ctx, user.id).await?;
    let (current, new) = (change.current_password, change.new_password);
    let changed = state.app.change_password(ctx, user, current, new, sign_in.id).await?;
    let others: Vec<_> = before.iter().map(|other| other.id).filter(|id| *id != sign_in.id).collect();
    forget(&state, user.id, &others);
    Ok(Json((&changed).into()))
}

/// Lists the browsers that are signed in as the caller.
#[utoipa::path(get, path = "/api/sign-ins", tag = "people", responses((status = 200, description = "The browsers.", body = Page<SignIn>)))]
pub(crate) async fn list_sign_ins(
    Extract(state): Extract<State>,
    caller: Caller,
) -> Result<Json<Page<SignIn>>, Problem> {
    let sign_ins = state.app.list_sign_ins(&caller.ctx, caller.user.id).await?;
    Ok(Json(Page::whole(sign_ins.into_iter().map(|sign_in| SignIn {
        id: sign_in.id.to_string(),
        created_at: sign_in.created_at.into(),
        last_seen_at: sign_in.last_seen_at.into(),
        address: sign_in.address.unwrap_or_default(),
        user_agent: sign_in.user_agent.unwrap_or_default(),
        current: sign_in.id == caller.sign_in.id,
    }))))
}

/// Signs one of the caller's browsers out.
#[utoipa::path(delete, path = "/api/sign-ins/{id}", tag = "people", params(("id" = String, Path, description = "Which.")),
    responses((status = 204, description = "It is signed out.")))]
pub(crate) async fn end_sign_in(
    Extract(state): Extract<State>,
    visitor: Visitor,
    caller: Caller,
    Id(id): Id<SignInId>,
) -> Result<Response, Problem> {
    state.app.end_sign_in(&caller.ctx, caller.user.id, id).await?;
    forget(&state, caller.user.id, &[id]);
    let response = StatusCode::NO_CONTENT.into_response();
    Ok(if id == caller.sign_in.id { without_cookie(response, &visitor.place) } else { response })
}

/// Lists the accounts.
#[utoipa::path(get, path = "/api/users", tag = "people", responses((status = 200, description = "The accounts.", body = Page<User>)))]
pub(crate) async fn list_users(Extract(state): Extract<State>, caller: Caller) -> Result<Json<Page<User>>, Problem> {
    let users = state.app.list_users(&caller.ctx, &caller.user).await?;
    Ok(Json(Page::whole(users.iter().map(User::from))))
}

/// Makes an account.
#[utoipa::path(post, path = "/api/users", tag = "people", request_body = NewUser,
    responses((status = 201, description = "It was made.", body = User)))]
pub(crate) async fn create_user(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let Caller { user, ctx, .. } = &caller;
    let made = state.app.create_user(ctx, user, &new.username, new.password, new.role.0).await?;
    Ok((StatusCode::CREATED, Json((&made).into())))
}

/// Changes somebody's account: what it may do, whether it may be used, its password.
#[utoipa::path(patch, path = "/api/users/{id}", tag = "people", params(("id" = String, Path, description = "Which.")),
    request_body = ChangeUser, responses((status = 200, description = "It is changed.", body = User)))]
pub(crate) async fn change_user(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<UserId>,
    Body(change): Body<ChangeUser>,
) -> Result<Json<User>, Problem> {
    let ChangeUser { role, disabled, password } = change;
    let change = UserChange { role: role.map(|role| role.0), disabled, password };
    let ChangedUser { user, ended } = state.app.change_user(&caller.ctx, &caller.user, id, change).await?;
    forget(&state, id, &ended);
    Ok(Json((&user).into()))
}

/// Counts what of somebody's account is of use at present: what disabling it takes along.
#[utoipa::path(get, path = "/api/users/{id}/in-use", tag = "people", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "How much there is.", body = AccountInUse)))]
pub(crate) async fn get_account_in_use(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<UserId>,
) -> Result<Json<AccountInUse>, Problem> {
    let InUse { projects, sign_ins, api_tokens, invites } =
        state.app.account_in_use(&caller.ctx, &caller.user, id).await?;
    Ok(Json(AccountInUse { projects, sign_ins, api_tokens, invites }))
}

/// Answers with who is signed in, and gives the browser its cookie. The sign-in that it had before ends.
pub(crate) async fn signed_in_as(
    state: &State,
    visitor: &Visitor,
    headers: &HeaderMap,
    status: StatusCode,
    signed_in: SignedIn,
) -> Result<Response, Problem> {
    let SignedIn { user, sign_in, token } = signed_in;
    if let Some(token) = cookie::token(headers, &visitor.place.origin)
        && let Some((before, user)) = state.app.authenticate(token).await?
    {
        let ctx = visitor.ctx.acting_as(Actor::User(user.id));
        // It may have ended by itself since; then there is nothing left to do.
        if state.app.sign_out(&ctx, user.id, before.id).await.is_ok() {
            forget(state, user.id, &[before.id]);
        }
    }
    let life = doce_app::SIGN_IN_MAX;
    let given = cookie::give(&visitor.place.origin, &token, life);
    tracing::info!(user = %user.id, sign_in = %sign_in.id, "signed in");
    let mut response = (status, Json(User::from(&user))).into_response();
    response.headers_mut().append(header::SET_COOKIE, given);
    Ok(response)
}

/// Ends what hangs on sign-ins that ended: streams, and passes to previews.
pub(crate) fn forget(state: &State, user: UserId, ended: &[SignInId]) {
    for sign_in in ended {
        state.streams.end(user, *sign_in);
        state.preview.revoke_sign_in(*sign_in);
    }
}

fn without_cookie(mut response: Response, place: &Place) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie::take_away(&place.origin));
    response
}

fn setup_code_wrong() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, code::SETUP_CODE_WRONG, "The setup code is missing or wrong.")
        .hint("`doce serve` printed it when it started.")
}
