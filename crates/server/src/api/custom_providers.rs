//! Custom providers: OpenAI-compatible endpoints that a user describes.

use axum::{
    Json,
    extract::{Path, State as Extract},
};
use doce_app::{
    CustomProviderChange, NewCustomProvider, Offer,
    views::{WellKnownProvider, WellKnownView},
};
use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, connections::Connection, input::Body, words::Time};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// An endpoint of a user's own.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CustomProvider {
    /// Its id as a provider: `custom-` and more.
    id: String,
    /// Its name.
    name: String,
    /// Where requests go.
    base_url: String,
    /// Its models.
    models: Vec<CustomModel>,
    /// When it was made.
    created_at: Time,
    /// When it last changed.
    updated_at: Time,
}

/// A model of a custom provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CustomModel {
    /// Its id at the endpoint.
    id: String,
    /// What people call it.
    #[serde(default)]
    name: Option<String>,
    /// How many tokens it can read and write together.
    #[serde(default)]
    context: Option<u64>,
    /// How many tokens it can write.
    #[serde(default)]
    output: Option<u64>,
}

/// What a custom provider is made of.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateCustomProvider {
    /// What to call it.
    name: String,
    /// Where requests go: what `/chat/completions` is appended to.
    base_url: String,
    /// The key, if the endpoint asks for one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    key: Option<SecretString>,
    /// Its models.
    models: Vec<CustomModel>,
    /// Whether to keep a key that the endpoint rejected.
    #[serde(default)]
    keep_unverified: bool,
}

/// What changes about a custom provider. What is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeCustomProvider {
    /// Another name.
    name: Option<String>,
    /// Another address.
    base_url: Option<String>,
    /// Other models, all of them.
    models: Option<Vec<CustomModel>>,
}

/// Which endpoint to ask for its models.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskForModels {
    /// Where it is.
    base_url: String,
    /// The key, if it asks for one.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    key: Option<SecretString>,
}

/// What an endpoint offers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointOffer {
    /// What to call it.
    name: String,
    /// The address at which its models were found.
    base_url: String,
    /// Its models.
    models: Vec<CustomModel>,
}

/// Where an organisation publishes what its people connect with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadWellKnown {
    /// The organisation's address, without `/.well-known/opencode`.
    address: String,
}

/// What an organisation publishes. Nothing of it was run or kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WellKnown {
    /// Where it was found.
    address: String,
    /// What the token is called that it asks for.
    token_name: String,
    /// The command that gets such a token, by its words: to be run by a person who trusts it, never by doce.
    command: Vec<String>,
    /// The providers that it describes.
    providers: Vec<WellKnownEntry>,
}

/// A provider that such a document describes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WellKnownEntry {
    /// Its name.
    name: String,
    /// Where its requests go.
    base_url: String,
    /// Its models.
    models: Vec<CustomModel>,
    /// Why no custom provider can be made of it, if none can.
    refusal: Option<String>,
}

impl From<&doce_model::CustomModel> for CustomModel {
    fn from(model: &doce_model::CustomModel) -> Self {
        Self { id: model.id.clone(), name: model.name.clone(), context: model.context, output: model.output }
    }
}

impl From<CustomModel> for doce_model::CustomModel {
    fn from(model: CustomModel) -> Self {
        let name = model.name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        Self { id: model.id.trim().to_owned(), name, context: model.context, output: model.output }
    }
}

impl From<&doce_model::CustomProvider> for CustomProvider {
    fn from(custom: &doce_model::CustomProvider) -> Self {
        Self {
            id: custom.id.clone(),
            name: custom.name.clone(),
            base_url: custom.base_url.clone(),
            models: custom.models.iter().map(CustomModel::from).collect(),
            created_at: custom.created_at.into(),
            updated_at: custom.updated_at.into(),
        }
    }
}

impl From<Offer> for EndpointOffer {
    fn from(offer: Offer) -> Self {
        let models = offer.models.iter().map(CustomModel::from).collect();
        Self { name: offer.name, base_url: offer.base_url, models }
    }
}

impl From<WellKnownProvider> for WellKnownEntry {
    fn from(entry: WellKnownProvider) -> Self {
        let models = entry.models.iter().map(CustomModel::from).collect();
        Self { name: entry.name, base_url: entry.base_url, models, refusal: entry.refusal }
    }
}

impl From<WellKnownView> for WellKnown {
    fn from(view: WellKnownView) -> Self {
        Self {
            address: view.address,
            token_name: view.token_name,
            command: view.command,
            providers: view.providers.into_iter().map(WellKnownEntry::from).collect(),
        }
    }
}

/// Lists the caller's custom providers.
#[utoipa::path(get, path = "/api/custom-providers", tag = "providers",
    responses((status = 200, description = "The custom providers.", body = Page<CustomProvider>)))]
pub(crate) async fn list_custom_providers(
    Extract(state): Extract<State>,
    caller: Caller,
) -> Json<Page<CustomProvider>> {
    let own = state.app.list_custom_providers(&caller.ctx, &caller.user);
    Json(Page::whole(own.iter().map(|custom| CustomProvider::from(&**custom))))
}

/// Makes a custom provider and connects it: its endpoint is asked whether the key is good.
#[utoipa::path(post, path = "/api/custom-providers", tag = "providers", request_body = CreateCustomProvider,
    responses((status = 201, description = "It is connected.", body = Connection)))]
pub(crate) async fn create_custom_provider(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<CreateCustomProvider>,
) -> Result<(StatusCode, Json<Connection>), Problem> {
    let new = NewCustomProvider {
        name: request.name,
        base_url: request.base_url,
        key: request.key,
        models: request.models.into_iter().map(Into::into).collect(),
        keep_unverified: request.keep_unverified,
    };
    let made = state.app.create_custom_provider(&caller.ctx, &caller.user, new).await?;
    Ok((StatusCode::CREATED, Json((&made).into())))
}

/// Changes a custom provider's name, address or models. Agents get the change when they are idle.
#[utoipa::path(patch, path = "/api/custom-providers/{id}", tag = "providers", params(("id" = String, Path, description = "Which.")),
    request_body = ChangeCustomProvider, responses((status = 200, description = "It is changed.", body = CustomProvider)))]
pub(crate) async fn change_custom_provider(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
    Body(request): Body<ChangeCustomProvider>,
) -> Result<Json<CustomProvider>, Problem> {
    let change = CustomProviderChange {
        name: request.name,
        base_url: request.base_url,
        models: request.models.map(|models| models.into_iter().map(Into::into).collect()),
    };
    let changed = state.app.change_custom_provider(&caller.ctx, &caller.user, &id, change).await?;
    Ok(Json((&*changed).into()))
}

/// Asks an endpoint for its models. Neither the key nor the answer is kept.
#[utoipa::path(post, path = "/api/custom-providers/models", tag = "providers", request_body = AskForModels,
    responses((status = 200, description = "What it offers.", body = EndpointOffer)))]
pub(crate) async fn ask_for_models(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<AskForModels>,
) -> Result<Json<EndpointOffer>, Problem> {
    let offer = state.app.ask_for_models(&caller.ctx, &caller.user, &request.base_url, request.key.as_ref()).await?;
    Ok(Json(offer.into()))
}

/// Reads what an organisation publishes for its people. Its command is shown, never run.
#[utoipa::path(post, path = "/api/custom-providers/well-known", tag = "providers", request_body = ReadWellKnown,
    responses((status = 200, description = "What it says.", body = WellKnown)))]
pub(crate) async fn read_well_known(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<ReadWellKnown>,
) -> Result<Json<WellKnown>, Problem> {
    let view = state.app.read_well_known(&caller.ctx, &caller.user, &request.address).await?;
    Ok(Json(view.into()))
}

/// Looks for programs on the server's own machine that offer models: Ollama, LM Studio.
#[utoipa::path(get, path = "/api/local-providers", tag = "providers",
    responses((status = 200, description = "Those that answered and aren't connected.", body = Page<EndpointOffer>)))]
pub(crate) async fn find_local_providers(Extract(state): Extract<State>, caller: Caller) -> Json<Page<EndpointOffer>> {
    let found = state.app.find_local_providers(&caller.ctx, &caller.user).await;
    Json(Page::whole(found.into_iter().map(EndpointOffer::from)))
}
