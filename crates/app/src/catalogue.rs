//! The catalogue: which Providers there are, what models they have and how they are connected.
//!
//! It is `OpenCode`'s own, read once per version from a server that belongs to no Project, slimmed and kept as a file:
//! the full answer has 6 MB and takes seconds. What doce adds is how each Provider's credential would be handed over,
//! which ones are refused and why, and where one gets a key.

use std::{sync::Arc, time::Duration};

use doce_model::{Connection, CustomProvider, DeliveryMode};
use doce_opencode::{
    catalogue::{AuthKind, AuthMethods, AuthOperator, AuthPromptKind, Catalogue, Model, Provider},
    endpoints::{self, Endpoint},
    login,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{
    Error, custom,
    views::{DeliveryPlan, MethodView, ModelView, PromptView, ProviderView},
};

/// How long a request waits for a catalogue that is being read.
const WAIT: Duration = Duration::from_secs(45);

/// The Providers most people look for, in the order shown.
const POPULAR: &[&str] = &[
    "anthropic",
    "openai",
    "google",
    "github-copilot",
    "openrouter",
    "groq",
    "mistral",
    "deepseek",
    "xai",
    "opencode",
];

/// Where one gets a key. From the providers' own consoles.
const KEY_URLS: &[(&str, &str)] = &[
    ("anthropic", "https://console.anthropic.com/settings/keys"),
    ("openai", "https://platform.openai.com/api-keys"),
    ("google", "https://aistudio.google.com/apikey"),
    ("openrouter", "https://openrouter.ai/settings/keys"),
    ("groq", "https://console.groq.com/keys"),
    ("mistral", "https://console.mistral.ai/api-keys"),
    ("deepseek", "https://platform.deepseek.com/api_keys"),
    ("xai", "https://console.x.ai"),
    ("opencode", "https://opencode.ai/auth"),
    ("togetherai", "https://api.together.ai/settings/api-keys"),
    ("fireworks-ai", "https://fireworks.ai/account/api-keys"),
    ("cerebras", "https://cloud.cerebras.ai"),
    ("huggingface", "https://huggingface.co/settings/tokens"),
    ("cohere", "https://dashboard.cohere.com/api-keys"),
    ("perplexity", "https://www.perplexity.ai/settings/api"),
    ("moonshotai", "https://platform.moonshot.ai/console/api-keys"),
    ("zai", "https://z.ai/manage-apikey/apikey-list"),
];

/// Where one pays. From the providers' own consoles.
const CREDIT_URLS: &[(&str, &str)] = &[
    ("anthropic", "https://console.anthropic.com/settings/billing"),
    ("openai", "https://platform.openai.com/settings/organization/billing"),
    ("google", "https://aistudio.google.com/usage"),
    ("openrouter", "https://openrouter.ai/settings/credits"),
    ("groq", "https://console.groq.com/settings/billing"),
    ("mistral", "https://console.mistral.ai/billing"),
    ("deepseek", "https://platform.deepseek.com/top_up"),
    ("xai", "https://console.x.ai"),
    ("opencode", "https://opencode.ai/auth"),
    ("togetherai", "https://api.together.ai/settings/billing"),
    ("fireworks-ai", "https://fireworks.ai/account/billing"),
    ("cerebras", "https://cloud.cerebras.ai"),
    ("huggingface", "https://huggingface.co/settings/billing"),
    ("cohere", "https://dashboard.cohere.com/billing"),
    ("perplexity", "https://www.perplexity.ai/settings/api"),
    ("moonshotai", "https://platform.moonshot.ai/console/pay"),
    ("zai", "https://z.ai/manage-apikey/billing"),
];

fn address_of(addresses: &[(&str, &'static str)], provider_id: &str) -> Option<&'static str> {
    addresses.iter().find(|(id, _)| *id == provider_id).map(|(_, address)| *address)
}

/// What is kept in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    version: String,
    catalogue: Catalogue,
    methods: AuthMethods,
}

impl Stored {
    pub(crate) fn new(catalogue: Catalogue, methods: AuthMethods) -> Self {
        Self { version: doce_opencode::install::VERSION.to_owned(), catalogue, methods }
    }

    /// Reads the kept file; `None` if it is absent, damaged or of another version: it is then read anew.
    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|stored: &Self| stored.version == doce_opencode::install::VERSION)
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and lists are always JSON")
    }

    pub(crate) fn provider(&self, id: &str) -> Option<&Provider> {
        self.catalogue.providers.iter().find(|provider| provider.id == id)
    }
}

/// Whether the catalogue is at hand.
#[derive(Debug, Clone)]
pub(crate) enum CatalogueState {
    /// It is being read.
    Loading,
    /// It is here.
    Ready(Arc<Stored>),
    /// It could not be read.
    Failed(String),
}

/// Waits until the catalogue is at hand.
pub(crate) async fn ready(state: &watch::Sender<CatalogueState>) -> Result<Arc<Stored>, Error> {
    let mut receiver = state.subscribe();
    let unavailable = |message: String| Error::Unavailable {
        code: "catalogue_unavailable",
        message,
        retry_after: Duration::from_secs(5),
    };
    let waited = tokio::time::timeout(
        WAIT,
        receiver.wait_for(|state| match state {
            CatalogueState::Loading => false,
            CatalogueState::Ready(_) | CatalogueState::Failed(_) => true,
        }),
    )
    .await;
    match waited {
        Ok(Ok(state)) => match &*state {
            CatalogueState::Ready(stored) => Ok(Arc::clone(stored)),
            CatalogueState::Failed(reason) => {
                Err(unavailable(format!("The catalogue of providers could not be read: {reason}")))
            }
            CatalogueState::Loading => Err(unavailable("The catalogue is being read.".to_owned())),
        },
        Ok(Err(_)) | Err(_) => {
            Err(unavailable("The catalogue of providers is still being read; OpenCode is being set up.".to_owned()))
        }
    }
}

/// Returns why a Provider can't be connected by signing in, if it can't.
pub(crate) fn login_refusal(provider: &Provider) -> Option<String> {
    if provider.id == "azure" {
        return Some(
            "This way asks the Azure CLI of the machine that the agent runs on, and an agent's sandbox has none."
                .to_owned(),
        );
    }
    if login::facts(&provider.id).is_none() {
        return Some(format!("doce doesn't know how a sign-in at {} ends, so it begins none.", provider.name));
    }
    endpoints::find(&provider.id).and_then(Endpoint::refusal).map(str::to_owned)
}

/// Returns why a Provider can't be connected with a key, if it can't.
pub(crate) fn refusal(provider: &Provider, methods: &AuthMethods) -> Option<String> {
    if let Some(methods) = methods.get(&provider.id)
        && !methods.iter().any(|method| method.kind == AuthKind::Api)
    {
        return Some(format!("{} is connected by signing in, not by a key.", provider.name));
    }
    match endpoints::find(&provider.id) {
        Some(endpoint) => endpoint.refusal().map(str::to_owned),
        None => Some(format!(
            "{} is not among the providers whose requests were measured, so nobody can say where its key would go.",
            provider.name
        )),
    }
}

/// Says how a Provider's credential is handed to Agents.
pub(crate) fn delivery_plan(provider_name: &str) -> DeliveryPlan {
    DeliveryPlan {
        mode: DeliveryMode::Direct,
        reason: format!(
            "Sealed on this server. Handed directly to your projects' agents when they run: an agent can read its own \
             {provider_name} key. It is never written into a project's files."
        ),
    }
}

/// Returns why a Provider can't be used in this version at all, however it was connected.
pub(crate) fn unusable(provider: &Provider, methods: &AuthMethods) -> Option<String> {
    refusal(provider, methods).filter(|_| !can_sign_in(provider, methods))
}

pub(crate) fn provider_view(provider: &Provider, methods: &AuthMethods, connected: bool) -> ProviderView {
    let endpoint = endpoints::find(&provider.id);
    ProviderView {
        id: provider.id.clone(),
        name: provider.name.clone(),
        popular: POPULAR.contains(&provider.id.as_str()),
        refusal: unusable(provider, methods),
        methods: method_views(provider, methods),
        delivery: delivery_plan(&provider.name),
        default_base_url: endpoint.and_then(Endpoint::default_base_url),
        base_url_required: endpoint.is_some_and(Endpoint::base_url_required),
        key_url: address_of(KEY_URLS, &provider.id),
        credit_url: address_of(CREDIT_URLS, &provider.id),
        model_count: usable_models(provider).count(),
        connected,
    }
}

/// A custom provider, as the list shows it: it is there because it is connected.
fn custom_view(custom: &CustomProvider) -> ProviderView {
    ProviderView {
        default_base_url: Some(custom.base_url.clone()),
        base_url_required: false,
        refusal: None,
        ..provider_view(&custom::provider_of(custom), &AuthMethods::new(), true)
    }
}

fn can_sign_in(provider: &Provider, methods: &AuthMethods) -> bool {
    let has_login =
        methods.get(&provider.id).is_some_and(|methods| methods.iter().any(|method| method.kind == AuthKind::OAuth));
    has_login && login_refusal(provider).is_none()
}

fn method_views(provider: &Provider, methods: &AuthMethods) -> Vec<MethodView> {
    let Some(methods) = methods.get(&provider.id) else {
        let label = "API key".to_owned();
        return vec![MethodView { index: 0, kind: "api", label, prompts: Vec::new(), refusal: None, tested: None }];
    };
    let facts = login::facts(&provider.id);
    methods
        .iter()
        .enumerate()
        .filter_map(|(index, method)| {
            let kind = match method.kind {
                AuthKind::Api => "api",
                AuthKind::OAuth => "oauth",
                AuthKind::Other => return None,
            };
            let prompts = method
                .prompts
                .iter()
                .map(|prompt| PromptView {
                    kind: match prompt.kind {
                        AuthPromptKind::Text => "text",
                        AuthPromptKind::Select => "select",
                    },
                    key: prompt.key.clone(),
                    message: prompt.message.clone(),
                    placeholder: prompt.placeholder.clone(),
                    options: prompt
                        .options
                        .iter()
                        .map(|option| (option.value.clone(), option.label.clone(), option.hint.clone()))
                        .collect(),
                    when: prompt.when.as_ref().map(|when| {
                        let equal = match when.op {
                            AuthOperator::Eq => true,
                            AuthOperator::Neq => false,
                        };
                        (when.key.clone(), equal, when.value.clone())
                    }),
                })
                .collect();
            let refusal = match method.kind {
                AuthKind::OAuth => login_refusal(provider),
                AuthKind::Api | AuthKind::Other => None,
            };
            let tested = facts.and_then(|facts| facts.method(index)).map(|method| method.tested);
            Some(MethodView { index, kind, label: method.label.clone(), prompts, refusal, tested })
        })
        .collect()
}

/// The models that answer in words, at the address to which the Provider is pinned.
fn usable_models(provider: &Provider) -> impl Iterator<Item = &Model> {
    let endpoint = endpoints::find(&provider.id);
    provider.models.iter().filter(move |model| {
        model.text_output
            && model.status != "deprecated"
            && endpoint.is_none_or(|endpoint| endpoint.reaches(&model.npm))
    })
}

/// Lists a Provider's models, the best to build with first: those that can use tools, newest first.
pub(crate) fn model_views(provider: &Provider) -> Vec<ModelView> {
    let mut models: Vec<_> = usable_models(provider).collect();
    models.sort_by(|a, b| {
        b.tool_call
            .cmp(&a.tool_call)
            .then_with(|| b.release_date.cmp(&a.release_date))
            .then_with(|| a.name.cmp(&b.name))
    });
    let recommended = models
        .iter()
        .filter(|model| model.tool_call && model.context >= 64_000)
        .take(3)
        .map(|model| model.id.clone())
        .collect::<Vec<_>>();
    let known = |tokens: u64| (tokens > 0).then_some(tokens);
    models
        .into_iter()
        .map(|model| ModelView {
            id: model.id.clone(),
            name: model.name.clone(),
            context: known(model.context),
            output: known(model.output),
            cost_input: Some(model.cost_input),
            cost_output: Some(model.cost_output),
            image_input: model.image_input,
            tool_call: model.tool_call,
            reasoning: model.reasoning,
            recommended: recommended.contains(&model.id),
        })
        .collect()
}

/// Returns whether a Connection may be asked for models that no list names: behind an address of one's own there may be
/// any, and a Provider without a list has to be taken at its user's word.
pub(crate) fn takes_typed(provider: &Provider, connection: &Connection) -> bool {
    connection.base_url.is_some() || usable_models(provider).next().is_none()
}

impl crate::App {
    /// Lists the Providers whose id or name contains `query`: the popular ones first, then by name.
    pub async fn list_providers(
        &self,
        _ctx: &doce_model::Ctx,
        user: &doce_model::User,
        query: Option<&str>,
    ) -> Result<Vec<ProviderView>, Error> {
        let stored = ready(&self.catalogue).await?;
        let connections = doce_store::connection::list(&mut self.store.read().await?, user.id).await?;
        let query = query.unwrap_or_default().trim().to_lowercase();
        let mut views: Vec<ProviderView> = stored
            .catalogue
            .providers
            .iter()
            .filter(|provider| {
                query.is_empty() || provider.id.contains(&query) || provider.name.to_lowercase().contains(&query)
            })
            .map(|provider| {
                let connected = connections.iter().any(|connection| connection.provider_id == provider.id);
                provider_view(provider, &stored.methods, connected)
            })
            .collect();
        let own = self.customs.list(user.id);
        views.extend(
            own.iter()
                .filter(|custom| {
                    query.is_empty() || custom.id.contains(&query) || custom.name.to_lowercase().contains(&query)
                })
                .map(|custom| custom_view(custom)),
        );
        let rank = |view: &ProviderView| POPULAR.iter().position(|id| *id == view.id).unwrap_or(POPULAR.len());
        views.sort_by(|a, b| {
            rank(a).cmp(&rank(b)).then_with(|| a.name.to_lowercase().cmp(&b.name.to_lowercase())).then(a.id.cmp(&b.id))
        });
        Ok(views)
    }

    /// Lists a Provider's models: none, if it can't be used in this version.
    pub async fn list_models(
        &self,
        _ctx: &doce_model::Ctx,
        user: &doce_model::User,
        provider_id: &str,
    ) -> Result<Vec<ModelView>, Error> {
        if let Some(custom) = self.customs.own(user.id, provider_id) {
            // Nobody knows what they cost.
            let free = |view: ModelView| ModelView { cost_input: None, cost_output: None, ..view };
            return Ok(model_views(&custom::provider_of(&custom)).into_iter().map(free).collect());
        }
        let stored = ready(&self.catalogue).await?;
        let provider = stored.provider(provider_id).ok_or_else(|| Error::not_found("provider", provider_id))?;
        Ok(if unusable(provider, &stored.methods).is_some() { Vec::new() } else { model_views(provider) })
    }
}

impl Stored {
    pub(crate) fn methods(&self) -> &AuthMethods {
        &self.methods
    }
}
