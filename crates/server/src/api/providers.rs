//! Providers: what can be connected, and which models come with it.

use axum::{
    Json,
    extract::{Path, State as Extract},
};
use doce_app::views::{DeliveryPlan, MethodView, ModelView, PromptView, ProviderView};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, input::Query, words::DeliveryMode};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// A model vendor.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that a page shows")]
pub(crate) struct Provider {
    /// OpenCode's id for it.
    id: String,
    /// Its name.
    name: String,
    /// Whether it is among the most used.
    popular: bool,
    /// The ways to connect it.
    methods: Vec<Method>,
    /// Whether it can be connected.
    connectable: bool,
    /// Why not, if it can't.
    refusal: Option<String>,
    /// How its credential would be handed to agents.
    delivery: ProviderDelivery,
    /// Where requests go unless the user says otherwise.
    default_base_url: Option<String>,
    /// Whether the user has to say where requests go.
    base_url_required: bool,
    /// Where one gets a key.
    key_url: Option<&'static str>,
    /// Where one pays for it.
    credit_url: Option<&'static str>,
    /// How many models it has.
    model_count: usize,
    /// Whether the caller has connected it.
    connected: bool,
}

/// How a credential is handed to agents, and what that means.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderDelivery {
    /// Real or not.
    mode: DeliveryMode,
    /// What to know about it.
    reason: String,
}

/// A way to connect a provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Method {
    /// Its place in the provider's list: a sign-in is begun with it.
    index: usize,
    /// Which kind.
    #[schema(value_type = MethodKind)]
    kind: &'static str,
    /// What it is called.
    label: String,
    /// What it asks.
    prompts: Vec<MethodPrompt>,
    /// Why it can't be used here, if it can't.
    refusal: Option<String>,
    /// What a sign-in was tested against, in words that go on after *Tested*; null for keys.
    tested: Option<&'static str>,
}

/// Which kind of method.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it only describes the words")]
enum MethodKind {
    Api,
    Oauth,
}

/// A question of a method.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MethodPrompt {
    /// Free text, or a choice.
    #[schema(value_type = MethodPromptKind)]
    kind: &'static str,
    /// The answer's name.
    key: String,
    /// The question.
    message: String,
    /// An example.
    placeholder: Option<String>,
    /// What there is to choose from.
    options: Vec<MethodPromptOption>,
    /// When it is asked; always, if null.
    when: Option<MethodPromptWhen>,
}

/// Free text, or a choice.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it only describes the words")]
enum MethodPromptKind {
    Text,
    Select,
}

/// An answer to choose.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MethodPromptOption {
    /// What is sent.
    value: String,
    /// What is shown.
    label: String,
    /// A word more.
    hint: Option<String>,
}

/// On which other answer a question depends.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MethodPromptWhen {
    /// The other answer's name.
    key: String,
    /// How to compare.
    op: Comparison,
    /// With what.
    value: String,
}

/// How to compare.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Comparison {
    /// It is the value.
    Eq,
    /// It is another value.
    Neq,
}

/// A model of a provider.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that a page shows")]
pub(crate) struct Model {
    /// The provider's name for it.
    id: String,
    /// What it is called.
    name: String,
    /// Tokens of context.
    context: Option<u64>,
    /// Most tokens of an answer.
    output: Option<u64>,
    /// US dollars per million tokens read.
    cost_input: Option<f64>,
    /// US dollars per million tokens written.
    cost_output: Option<f64>,
    /// Whether it takes pictures.
    image_input: bool,
    /// Whether it can use tools; an agent needs one that can.
    tool_call: bool,
    /// Whether it thinks aloud.
    reasoning: bool,
    /// Whether it is a good first choice.
    recommended: bool,
}

/// Which providers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ProviderSearch {
    /// Words that the name or id contains.
    q: Option<String>,
}

impl From<ProviderView> for Provider {
    fn from(provider: ProviderView) -> Self {
        Self {
            id: provider.id,
            name: provider.name,
            popular: provider.popular,
            methods: provider.methods.into_iter().map(Method::from).collect(),
            connectable: provider.refusal.is_none(),
            refusal: provider.refusal,
            delivery: (&provider.delivery).into(),
            default_base_url: provider.default_base_url,
            base_url_required: provider.base_url_required,
            key_url: provider.key_url,
            credit_url: provider.credit_url,
            model_count: provider.model_count,
            connected: provider.connected,
        }
    }
}

impl From<&DeliveryPlan> for ProviderDelivery {
    fn from(plan: &DeliveryPlan) -> Self {
        Self { mode: plan.mode.into(), reason: plan.reason.clone() }
    }
}

impl From<MethodView> for Method {
    fn from(method: MethodView) -> Self {
        let prompts = method.prompts.into_iter().map(MethodPrompt::from).collect();
        let MethodView { index, kind, label, refusal, tested, .. } = method;
        Self { index, kind, label, prompts, refusal, tested }
    }
}

impl From<PromptView> for MethodPrompt {
    fn from(prompt: PromptView) -> Self {
        let option = |(value, label, hint)| MethodPromptOption { value, label, hint };
        Self {
            kind: prompt.kind,
            key: prompt.key,
            message: prompt.message,
            placeholder: prompt.placeholder,
            options: prompt.options.into_iter().map(option).collect(),
            when: prompt.when.map(|(key, equal, value)| MethodPromptWhen {
                key,
                op: if equal { Comparison::Eq } else { Comparison::Neq },
                value,
            }),
        }
    }
}

impl From<ModelView> for Model {
    fn from(model: ModelView) -> Self {
        Self {
            id: model.id,
            name: model.name,
            context: model.context,
            output: model.output,
            cost_input: model.cost_input,
            cost_output: model.cost_output,
            image_input: model.image_input,
            tool_call: model.tool_call,
            reasoning: model.reasoning,
            recommended: model.recommended,
        }
    }
}

/// Lists the providers.
#[utoipa::path(get, path = "/api/providers", tag = "providers", params(ProviderSearch),
    responses((status = 200, description = "The providers.", body = Page<Provider>)))]
pub(crate) async fn list_providers(
    Extract(state): Extract<State>,
    caller: Caller,
    Query(search): Query<ProviderSearch>,
) -> Result<Json<Page<Provider>>, Problem> {
    let found = state.app.list_providers(&caller.ctx, &caller.user, search.q.as_deref()).await?;
    Ok(Json(Page::whole(found.into_iter().map(Provider::from))))
}

/// Lists the models of a provider.
/// Of which providers models are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModelSearch {
    /// Their ids, with commas.
    providers: String,
}

/// The models of one provider.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderModels {
    /// Whose they are.
    provider_id: String,
    /// All of them.
    models: Vec<Model>,
}

/// Lists the models of several providers at once. One that isn't there is left out.
#[utoipa::path(get, path = "/api/models", tag = "providers", params(ModelSearch),
    responses((status = 200, description = "Their models.", body = Page<ProviderModels>)))]
pub(crate) async fn list_models_of(
    Extract(state): Extract<State>,
    caller: Caller,
    Query(search): Query<ModelSearch>,
) -> Result<Json<Page<ProviderModels>>, Problem> {
    let mut found = Vec::new();
    for provider_id in search.providers.split(',').filter(|id| !id.is_empty()) {
        match state.app.list_models(&caller.ctx, &caller.user, provider_id).await {
            Ok(models) => found.push(ProviderModels {
                provider_id: provider_id.to_owned(),
                models: models.into_iter().map(Model::from).collect(),
            }),
            Err(doce_app::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Json(Page::whole(found)))
}

#[utoipa::path(get, path = "/api/providers/{id}/models", tag = "providers",
    params(("id" = String, Path, description = "Which provider.")),
    responses((status = 200, description = "Its models.", body = Page<Model>)))]
pub(crate) async fn list_models(
    Extract(state): Extract<State>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Page<Model>>, Problem> {
    let found = state.app.list_models(&caller.ctx, &caller.user, &id).await?;
    Ok(Json(Page::whole(found.into_iter().map(Model::from))))
}
