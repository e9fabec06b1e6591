//! Custom providers: OpenAI-compatible endpoints that a user describes, finds on this machine, or takes from a
//! document that an organisation publishes.
//!
//! They are few and asked for by id everywhere, so all of them are in memory, beside the catalogue. One comes with its
//! first Connection and goes with its last. What an endpoint or a document says is read, capped and shown; nothing of
//! it is run.

mod asking;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    App, Error,
    connections::{ConnectionChange, clean_key},
    probe::{self, Question},
    projects::is_model_id,
    views::{ConnectionView, WellKnownView},
};
use asking::{fetch, offer_of, unusable, url_of, well_known};
use doce_model::{
    AuditAction, AuditEvent, Ctx, CustomModel, CustomProvider, Role, User, UserId,
    custom_provider::{CUSTOM_MODELS_MAX, custom_id},
};
use doce_opencode::{
    catalogue::{Model, Provider},
    config,
    endpoints::{self, Endpoint},
};
use doce_store::{connection, custom_provider};
use doce_vault::{ExposeSecret as _, SecretString};

/// What an endpoint without a key is sent in its place: OpenCode asks nothing of a provider that has no credential.
pub(crate) const NO_KEY: &str = "none";
/// The SDK of every custom provider; OpenCode brings it along.
pub(super) const SDK: &str = "@ai-sdk/openai-compatible";
/// How long a server on this machine may take to say that it is there.
const LOCAL_WITHIN: Duration = Duration::from_secs(1);
/// Most characters of a name.
const NAME_MAX: usize = 60;
/// Where an organisation publishes what its people connect with.
const WELL_KNOWN: &str = ".well-known/opencode";

/// A program that may run on this machine and offer models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPlace {
    /// What it is called.
    pub name: String,
    /// Where it answers.
    pub base_url: String,
}

/// The programs that are looked for, at the addresses that they take by default.
pub fn local_places() -> Vec<LocalPlace> {
    [("Ollama", "http://127.0.0.1:11434/v1"), ("LM Studio", "http://127.0.0.1:1234/v1")]
        .map(|(name, base_url)| LocalPlace { name: name.to_owned(), base_url: base_url.to_owned() })
        .into()
}

/// What an endpoint offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What to call it.
    pub name: String,
    /// The address that its models were found at.
    pub base_url: String,
    /// Its models.
    pub models: Vec<CustomModel>,
}

/// What a new custom provider is made of.
pub struct NewCustomProvider {
    /// What to call it.
    pub name: String,
    /// Where requests go.
    pub base_url: String,
    /// The key as it was pasted, if the endpoint asks for one.
    pub key: Option<SecretString>,
    /// Its models.
    pub models: Vec<CustomModel>,
    /// Whether to keep a key that the endpoint rejected.
    pub keep_unverified: bool,
}

/// What changes about a custom provider. What is `None` stays.
#[derive(Default)]
pub struct CustomProviderChange {
    /// Another name.
    pub name: Option<String>,
    /// Another address.
    pub base_url: Option<String>,
    /// Other models.
    pub models: Option<Vec<CustomModel>>,
}

/// All custom providers.
#[derive(Default)]
pub(crate) struct Customs {
    all: RwLock<HashMap<String, Arc<CustomProvider>>>,
}

impl Customs {
    pub(crate) fn new(all: Vec<CustomProvider>) -> Self {
        let all = all.into_iter().map(|custom| (custom.id.clone(), Arc::new(custom))).collect();
        Self { all: RwLock::new(all) }
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<CustomProvider>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// One of this user's.
    pub(crate) fn own(&self, user_id: UserId, id: &str) -> Option<Arc<CustomProvider>> {
        self.find(id).filter(|custom| custom.user_id == user_id)
    }

    /// A user's, by name.
    pub(crate) fn list(&self, user_id: UserId) -> Vec<Arc<CustomProvider>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let mut own: Vec<_> = all.values().filter(|custom| custom.user_id == user_id).cloned().collect();
        own.sort_by(|a, b| a.name.to_lowercase().cmp(&b.name.to_lowercase()).then_with(|| a.id.cmp(&b.id)));
        own
    }

    pub(crate) fn put(&self, custom: CustomProvider) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(custom.id.clone(), Arc::new(custom));
    }

    pub(crate) fn remove(&self, id: &str) {
        self.all.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The id for a name; with a number where somebody has it already.
    fn free_id(&self, name: &str) -> String {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = custom_id(name);
        let numbered = (2..=all.len() + 2).map(|n| format!("{wanted}-{n}"));
        std::iter::once(wanted.clone())
            .chain(numbered)
            .find(|id| !all.contains_key(id))
            .expect("fewer ids are taken than there are candidates")
    }
}

/// Returns what is known about a custom provider's way to its upstream.
pub(crate) fn endpoint_of(custom: &CustomProvider) -> Endpoint {
    Endpoint::custom(&custom.id, &custom.name, &custom.base_url)
}

/// Returns a custom provider as the catalogue would have it.
pub(crate) fn provider_of(custom: &CustomProvider) -> Provider {
    let model = |model: &CustomModel| Model {
        id: model.id.clone(),
        name: model.name.clone().unwrap_or_else(|| model.id.clone()),
        npm: SDK.to_owned(),
        context: model.context.unwrap_or(0),
        output: model.output.unwrap_or(0),
        cost_input: 0.0,
        cost_output: 0.0,
        image_input: false,
        text_output: true,
        tool_call: true,
        reasoning: false,
        status: "active".to_owned(),
        release_date: String::new(),
    };
    Provider {
        id: custom.id.clone(),
        name: custom.name.clone(),
        env: Vec::new(),
        models: custom.models.iter().map(model).collect(),
    }
}

/// Returns what an Agent's configuration says about a custom provider.
pub(crate) fn config_of(custom: &CustomProvider) -> config::CustomProvider {
    let model = |model: &CustomModel| config::CustomModel {
        id: model.id.clone(),
        name: model.name.clone().unwrap_or_else(|| model.id.clone()),
        context: model.context,
        output: model.output,
    };
    config::CustomProvider { name: custom.name.clone(), models: custom.models.iter().map(model).collect() }
}

impl App {
    /// Lists a user's custom providers.
    pub fn list_custom_providers(&self, _ctx: &Ctx, user: &User) -> Vec<Arc<CustomProvider>> {
        self.customs.list(user.id)
    }

    /// Makes a custom provider, and connects it.
    pub async fn create_custom_provider(
        &self,
        ctx: &Ctx,
        user: &User,
        new: NewCustomProvider,
    ) -> Result<ConnectionView, Error> {
        let name = check_name(&new.name)?;
        let base_url = check_address("base_url", &new.base_url)?;
        let models = check_models(new.models)?;
        let key = match &new.key {
            Some(key) if !key.expose_secret().trim().is_empty() => clean_key(key)?,
            Some(_) | None => SecretString::from(NO_KEY),
        };
        let now = ctx.now();
        let id = self.customs.free_id(&name);
        let custom = CustomProvider { id, user_id: user.id, name, base_url, models, created_at: now, updated_at: now };
        let answer = probe::ask(&Question {
            provider_name: &custom.name,
            endpoint: &endpoint_of(&custom),
            base_url: &custom.base_url,
            base_url_given: true,
            key: &key,
            role: user.role,
        })
        .await;
        self.connect_custom(ctx, user, custom, &key, answer, new.keep_unverified).await
    }

    /// Changes a custom provider. Agents that run get the change when they are idle.
    pub async fn change_custom_provider(
        &self,
        ctx: &Ctx,
        user: &User,
        id: &str,
        change: CustomProviderChange,
    ) -> Result<Arc<CustomProvider>, Error> {
        let before = self.customs.own(user.id, id).ok_or_else(|| Error::not_found("provider", id))?;
        let mut custom = (*before).clone();
        if let Some(name) = &change.name {
            custom.name = check_name(name)?;
        }
        if let Some(base_url) = &change.base_url {
            custom.base_url = check_address("base_url", base_url)?;
        }
        if let Some(models) = change.models {
            custom.models = check_models(models)?;
        }
        custom.updated_at = ctx.now();
        let mut tx = self.store.write(ctx).await?;
        custom_provider::update(&mut tx, &custom).await?;
        tx.audit(AuditEvent::ok(AuditAction::ChangeConnection, &custom.id).detail(&custom.base_url)).await?;
        let connections = connection::list(&mut tx, user.id).await?;
        tx.commit().await?;
        self.customs.put(custom);
        for record in connections.into_iter().filter(|record| record.provider_id == id) {
            // The same key in a new version: this is how Agents learn that something about it is different.
            let anew = ConnectionChange { base_url: Some(None), keep_unverified: true, ..ConnectionChange::default() };
            self.change_connection(ctx, user, record.id, anew).await?;
        }
        self.customs.own(user.id, id).ok_or_else(|| Error::not_found("provider", id))
    }

    /// Asks an endpoint for its models. Nothing is kept.
    pub async fn ask_for_models(
        &self,
        ctx: &Ctx,
        user: &User,
        base_url: &str,
        key: Option<&SecretString>,
    ) -> Result<Offer, Error> {
        let base_url = check_address("base_url", base_url)?;
        let key = match key {
            Some(key) if !key.expose_secret().trim().is_empty() => Some(clean_key(key)?),
            Some(_) | None => None,
        };
        self.audit_question(ctx, user, &base_url).await?;
        offer_of(&base_url, key.as_ref(), user.role, probe::TIMEOUT).await
    }

    /// Looks for programs on this machine that offer models. Only an admin may make the server call itself.
    pub async fn find_local_providers(&self, _ctx: &Ctx, user: &User) -> Vec<Offer> {
        if user.role != Role::Admin {
            return Vec::new();
        }
        let known = self.customs.list(user.id);
        let places = self.config.local_places.iter();
        let asked =
            places.filter(|place| !known.iter().any(|custom| custom.base_url == place.base_url)).map(async |place| {
                let offer = offer_of(&place.base_url, None, user.role, LOCAL_WITHIN).await.ok()?;
                Some(Offer { name: place.name.clone(), ..offer })
            });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// Fetches the document that an organisation publishes, and returns what it says. Its command is shown, never run.
    pub async fn read_well_known(&self, ctx: &Ctx, user: &User, address: &str) -> Result<WellKnownView, Error> {
        let address = check_address("address", address)?;
        let url = url_of(&address, WELL_KNOWN).map_err(unusable)?;
        self.audit_question(ctx, user, &address).await?;
        let (status, body) = fetch(url, None, user.role, probe::TIMEOUT).await.map_err(unusable)?;
        if !status.is_success() {
            return Err(unusable(format!("There is no document at {address}/{WELL_KNOWN} ({}).", status.as_u16())));
        }
        let document: serde_json::Value = serde_json::from_slice(&body)
            .map_err(|_| unusable(format!("What is at {address}/{WELL_KNOWN} is not such a document.")))?;
        Ok(well_known(address, &document))
    }

    async fn audit_question(&self, ctx: &Ctx, user: &User, address: &str) -> Result<(), Error> {
        let mut tx = self.store.write(ctx).await?;
        tx.audit(AuditEvent::ok(AuditAction::AskEndpoint, &user.id).detail(address)).await?;
        Ok(tx.commit().await?)
    }
}

fn check_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Error::Invalid { field: "name", message: format!("A name has 1 to {NAME_MAX} characters.") });
    }
    Ok(name.to_owned())
}

fn check_address(field: &'static str, given: &str) -> Result<String, Error> {
    endpoints::check_base_url(given).map_err(|e| {
        let reason = match e {
            endpoints::BaseUrlError::Invalid { reason } => reason,
            endpoints::BaseUrlError::Needed { .. } | endpoints::BaseUrlError::Answer { .. } => "it is incomplete",
        };
        Error::Invalid { field, message: format!("That is not an address: {reason}.") }
    })
}

fn check_models(models: Vec<CustomModel>) -> Result<Vec<CustomModel>, Error> {
    let invalid = |message: String| Error::Invalid { field: "models", message };
    if models.is_empty() || models.len() > CUSTOM_MODELS_MAX {
        return Err(invalid(format!("Name 1 to {CUSTOM_MODELS_MAX} models.")));
    }
    let mut seen = std::collections::HashSet::new();
    for model in &models {
        if !is_model_id(&model.id) {
            return Err(invalid("A model's id has 1 to 200 plain characters and no spaces.".to_owned()));
        }
        if !seen.insert(&model.id) {
            return Err(invalid(format!("The model `{}` is there twice.", model.id)));
        }
        if model.name.as_ref().is_some_and(|name| name.chars().count() > 120 || name.chars().any(char::is_control)) {
            return Err(invalid(format!("The name of `{}` is too long.", model.id)));
        }
        // OpenCode wants both or neither.
        if model.context.is_some() != model.output.is_some() {
            return Err(invalid(format!("`{}` needs both limits, context and output, or neither.", model.id)));
        }
        if model.context == Some(0) || model.output == Some(0) || model.output > model.context {
            return Err(invalid(format!("The output of `{}` is more than 0 and fits into its context.", model.id)));
        }
    }
    Ok(models)
}

/// A custom provider that a test made up.
#[cfg(test)]
fn made_up(id: &str, user_id: UserId) -> CustomProvider {
    CustomProvider {
        id: id.to_owned(),
        user_id,
        name: "Acme".to_owned(),
        base_url: "https://acme.test/v1".to_owned(),
        models: vec![CustomModel { id: "m".to_owned(), name: None, context: None, output: None }],
        created_at: doce_model::Ms(0),
        updated_at: doce_model::Ms(0),
    }
}

#[cfg(test)]
mod tests {
    use doce_model::Ms;

    use super::*;

    #[test]
    fn two_people_may_give_one_name() {
        let (ada, bob) = (UserId::new(Ms(0)), UserId::new(Ms(1)));
        let customs = Customs::new(vec![made_up("custom-acme", ada)]);
        assert_eq!(customs.free_id("Acme"), "custom-acme-2");
        customs.put(made_up("custom-acme-2", bob));
        assert_eq!(customs.free_id("ACME!"), "custom-acme-3");
        assert!(customs.own(ada, "custom-acme-2").is_none(), "that is somebody else's");
        assert_eq!(customs.list(bob).len(), 1);
    }
}
