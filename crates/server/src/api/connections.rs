//! Connections: what a user has connected, and who holds it.
//!
//! A key goes from the body straight into a type that doesn't print, and never comes back out.

use std::collections::BTreeMap;

use axum::{Json, extract::State as Extract};
use doce_app::{
    ConnectionChange, NewConnection,
    views::{ConnectionView, Delivered},
};
use doce_model::{ConnectionId, Ms, ProjectId};
use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Page,
    input::{Body, Id, present},
    providers::ProviderDelivery,
    words::{ConnectionStatus, DeliveryMode, DeliveryStatus, Time, VerificationOutcome},
};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// A user's link to a provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connection {
    /// Which.
    id: String,
    /// To which provider.
    provider_id: String,
    /// The provider's name.
    provider_name: String,
    /// What its owner calls it.
    label: String,
    /// How it proves itself.
    auth_type: AuthType,
    /// Whether it can be used.
    status: ConnectionStatus,
    /// Why not, if it can't.
    error_message: Option<String>,
    /// What the provider said when the key was last checked.
    verification: Option<Verification>,
    /// Where requests go instead of the provider's default.
    base_url: Option<String>,
    /// Whether projects take this one unless they name another.
    is_default: bool,
    /// Keyed hash of the key.
    fingerprint: String,
    /// The last characters of the key.
    last_four: String,
    /// 1, then one more with each replacement of the key.
    version: i64,
    /// How it is handed to agents.
    delivery: ProviderDelivery,
    /// When it was made.
    created_at: Time,
    /// When it last changed.
    updated_at: Time,
    /// When its tokens run out, or its key by what its owner said, if they do.
    expires_at: Option<Time>,
    /// Since when its key is this one.
    key_since: Time,
    /// How many days its owner wants a key to be in force at most.
    max_age_days: Option<i64>,
    /// When its owner is to have replaced the key or signed in again, if doce doesn't renew it.
    replace_by: Option<Time>,
    /// Whether doce renews them before that.
    renews: bool,
    /// When an agent last got an answer with it.
    last_used_at: Option<Time>,
    /// How many projects use it: it pays for their model, or their agent holds it.
    project_count: u64,
    /// What the agents that run hold of it.
    deliveries: Vec<ConnectionDelivery>,
}

/// How a connection proves itself.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthType {
    /// With a key.
    Api,
    /// With the tokens of a login.
    OAuth,
}

impl From<doce_model::AuthType> for AuthType {
    fn from(auth_type: doce_model::AuthType) -> Self {
        match auth_type {
            doce_model::AuthType::Api => Self::Api,
            doce_model::AuthType::OAuth => Self::OAuth,
        }
    }
}

/// How a connection that is made with a request proves itself. One that signs in begins with `POST /api/oauth-attempts`.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyAuthType {
    /// With a key.
    Api,
}

/// What the provider said when the key was last checked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verification {
    /// In one word.
    outcome: VerificationOutcome,
    /// When.
    at: Time,
    /// In a sentence.
    detail: String,
}

/// A project that uses a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionProject {
    /// Which.
    project_id: String,
    /// Its name.
    project_name: String,
}

/// What an agent of a project holds of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionDelivery {
    /// Which project.
    project_id: String,
    /// Its name.
    project_name: String,
    /// Which agent.
    instance_id: String,
    /// Which version of the key.
    version: i64,
    /// Real or not.
    mode: DeliveryMode,
    /// How far it is.
    status: DeliveryStatus,
    /// Why, where that needs saying.
    reason: Option<String>,
    /// Since when.
    at: Time,
}

/// A provider to connect.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewConnection)]
pub(crate) struct ConnectRequest {
    /// Which provider.
    provider_id: String,
    /// How it proves itself.
    auth_type: KeyAuthType,
    /// The key.
    #[schema(value_type = String)]
    key: SecretString,
    /// What to call it.
    label: Option<String>,
    /// Where requests go instead of the provider's default.
    base_url: Option<String>,
    /// Answers to the method's questions.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// Whether to keep a key that the provider rejected.
    #[serde(default)]
    keep_unverified: bool,
}

/// What to change of a connection. A key replaces the one before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConnectionChange)]
pub(crate) struct ChangeRequest {
    /// What to call it.
    label: Option<String>,
    /// The key from now on.
    #[schema(value_type = Option<String>)]
    key: Option<SecretString>,
    /// Where requests go; null for the provider's default.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    #[expect(clippy::option_option, reason = "absent and null are different wishes")]
    base_url: Option<Option<String>>,
    /// Answers to the method's questions that change; the others stay, and an empty one is taken away.
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// Whether projects take this one unless they name another.
    is_default: Option<bool>,
    /// When the key runs out; null if it doesn't, as after a replacement.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Time>)]
    #[expect(clippy::option_option, reason = "absent and null are different wishes")]
    expires_at: Option<Option<Time>>,
    /// How many days a key is to be in force at most; null for as long as it works.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<i64>)]
    #[expect(clippy::option_option, reason = "absent and null are different wishes")]
    max_age_days: Option<Option<i64>>,
    /// Whether to keep a key that the provider rejected.
    #[serde(default)]
    keep_unverified: bool,
}

impl From<&ConnectionView> for Connection {
    fn from(view: &ConnectionView) -> Self {
        let connection = &view.connection;
        Self {
            id: connection.id.to_string(),
            provider_id: connection.provider_id.clone(),
            provider_name: view.provider_name.clone(),
            label: connection.label.clone(),
            auth_type: connection.auth_type.into(),
            status: connection.status.into(),
            error_message: connection.error_message.clone(),
            verification: connection.verification.as_ref().map(|verification| Verification {
                outcome: verification.outcome.into(),
                at: verification.at.into(),
                detail: verification.detail.clone(),
            }),
            base_url: connection.base_url.clone(),
            is_default: connection.is_default,
            fingerprint: connection.fingerprint.clone(),
            last_four: connection.last_four.clone(),
            version: connection.version,
            delivery: (&view.delivery).into(),
            created_at: connection.created_at.into(),
            updated_at: connection.updated_at.into(),
            expires_at: connection.expires_at.map(Time::from),
            key_since: connection.key_since.into(),
            max_age_days: connection.max_age_days,
            replace_by: view.replace_by.map(Time::from),
            renews: view.renews,
            last_used_at: connection.last_used_at.map(Time::from),
            project_count: view.project_count,
            deliveries: view.deliveries.iter().map(ConnectionDelivery::from).collect(),
        }
    }
}

impl From<&Delivered> for ConnectionDelivery {
    fn from(held: &Delivered) -> Self {
        let delivery = &held.delivery;
        Self {
            project_id: held.project_id.to_string(),
            project_name: held.project_name.clone(),
            instance_id: delivery.instance_id.to_string(),
            version: delivery.version,
            mode: delivery.mode.into(),
            status: delivery.status.into(),
            reason: delivery.reason.clone(),
            at: delivery.updated_at.into(),
        }
    }
}

/// Lists the caller's connections.
#[utoipa::path(get, path = "/api/connections", tag = "connections",
    responses((status = 200, description = "The connections.", body = Page<Connection>)))]
pub(crate) async fn list_connections(
    Extract(state): Extract<State>,
    caller: Caller,
) -> Result<Json<Page<Connection>>, Problem> {
    let connections = state.app.list_connections(&caller.ctx, &caller.user).await?;
    Ok(Json(Page::whole(connections.iter().map(Connection::from))))
}

/// Connects a provider: asks it whether the key is good, and keeps it.
#[utoipa::path(post, path = "/api/connections", tag = "connections", request_body = ConnectRequest,
    responses((status = 201, description = "It is connected; `verification` says what the provider said.", body = Connection)))]
pub(crate) async fn connect(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<ConnectRequest>,
) -> Result<(StatusCode, Json<Connection>), Problem> {
    let KeyAuthType::Api = request.auth_type;
    let new = NewConnection {
        provider_id: request.provider_id,
        label: request.label,
        key: request.key,
        base_url: request.base_url,
        metadata: request.metadata,
        keep_unverified: request.keep_unverified,
    };
    let made = state.app.connect(&caller.ctx, &caller.user, new).await?;
    Ok((StatusCode::CREATED, Json((&made).into())))
}

/// Shows a connection.
#[utoipa::path(get, path = "/api/connections/{id}", tag = "connections", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The connection.", body = Connection)))]
pub(crate) async fn get_connection(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ConnectionId>,
) -> Result<Json<Connection>, Problem> {
    let connection = state.app.get_connection(&caller.ctx, &caller.user, id).await?;
    Ok(Json((&connection).into()))
}

/// Renames a connection, replaces its key or address, or makes it the default.
#[utoipa::path(patch, path = "/api/connections/{id}", tag = "connections", params(("id" = String, Path, description = "Which.")),
    request_body = ChangeRequest, responses((status = 200, description = "It is changed.", body = Connection)))]
pub(crate) async fn change_connection(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ConnectionId>,
    Body(request): Body<ChangeRequest>,
) -> Result<Json<Connection>, Problem> {
    let change = ConnectionChange {
        label: request.label,
        key: request.key,
        base_url: request.base_url,
        metadata: request.metadata,
        is_default: request.is_default,
        keep_unverified: request.keep_unverified,
        expires_at: request.expires_at.map(|at| at.map(Ms::from)),
        max_age_days: request.max_age_days,
    };
    let changed = state.app.change_connection(&caller.ctx, &caller.user, id, change).await?;
    Ok(Json((&changed).into()))
}

/// Disconnects: the key is taken from every agent and destroyed.
#[utoipa::path(delete, path = "/api/connections/{id}", tag = "connections", params(("id" = String, Path, description = "Which.")),
    responses((status = 204, description = "It is gone.")))]
pub(crate) async fn disconnect(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ConnectionId>,
) -> Result<StatusCode, Problem> {
    state.app.disconnect(&caller.ctx, &caller.user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks the provider again whether the key is good.
#[utoipa::path(post, path = "/api/connections/{id}/verify", tag = "connections", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "`verification` says what it said.", body = Connection)))]
pub(crate) async fn verify_connection(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ConnectionId>,
) -> Result<Json<Connection>, Problem> {
    let verified = state.app.verify(&caller.ctx, &caller.user, id).await?;
    Ok(Json((&verified).into()))
}

/// Lists which agents hold a connection.
#[utoipa::path(get, path = "/api/connections/{id}/deliveries", tag = "connections", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The deliveries.", body = Page<ConnectionDelivery>)))]
pub(crate) async fn list_connection_deliveries(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ConnectionId>,
) -> Result<Json<Page<ConnectionDelivery>>, Problem> {
    let connection = state.app.get_connection(&caller.ctx, &caller.user, id).await?;
    Ok(Json(Page::whole(connection.deliveries.iter().map(ConnectionDelivery::from))))
}

/// Lists the projects that use a connection, those that don't run as well.
#[utoipa::path(get, path = "/api/connections/{id}/projects", tag = "connections", params(("id" = String, Path, description = "Which.")),
    responses((status = 200, description = "The projects.", body = Page<ConnectionProject>)))]
pub(crate) async fn list_connection_projects(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ConnectionId>,
) -> Result<Json<Page<ConnectionProject>>, Problem> {
    let projects = state.app.projects_of_connection(&caller.ctx, &caller.user, id).await?;
    let named = |(id, name): (ProjectId, String)| ConnectionProject { project_id: id.to_string(), project_name: name };
    Ok(Json(Page::whole(projects.into_iter().map(named))))
}
