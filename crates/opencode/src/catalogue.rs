//! OpenCode's catalogue of providers and models, slimmed to what doce shows and checks.
//!
//! The answer it is read from holds keys in clear. The types here have no field that could keep one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All providers that OpenCode knows, by id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// The providers, sorted by id.
    pub providers: Vec<Provider>,
}

/// One provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The environment variables that its own tools read a key from: a hint at what the key is called.
    pub env: Vec<String>,
    /// Its models, sorted by id.
    pub models: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent capabilities, each shown by itself")]
pub struct Model {
    /// Its id, as a Prompt names it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The SDK that OpenCode reaches it with; see [`crate::endpoints::Endpoint::reaches`].
    pub npm: String,
    /// How many tokens it can read and write together, 0 if unknown.
    pub context: u64,
    /// How many tokens it can write, 0 if unknown.
    pub output: u64,
    /// USD for a million tokens read.
    pub cost_input: f64,
    /// USD for a million tokens written.
    pub cost_output: f64,
    /// Whether it sees images.
    pub image_input: bool,
    /// Whether it writes text. Some only speak or draw.
    pub text_output: bool,
    /// Whether it can call tools, without which an Agent can't build anything.
    pub tool_call: bool,
    /// Whether it thinks before it answers.
    pub reasoning: bool,
    /// `active`, `beta` or `deprecated`.
    pub status: String,
    /// When it came out, as `2025-10-15`.
    pub release_date: String,
}

/// How each provider wants to be connected. A provider that is absent takes a plain API key.
pub type AuthMethods = BTreeMap<String, Vec<AuthMethod>>;

/// One way to connect. Its position in the list is the index that OpenCode knows it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthMethod {
    /// What kind of way.
    #[serde(rename = "type")]
    pub kind: AuthKind,
    /// What people call it.
    pub label: String,
    /// What has to be asked first. The answers of an API key method are its metadata.
    #[serde(default)]
    pub prompts: Vec<AuthPrompt>,
}

/// What kind of way to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthKind {
    /// A key to paste.
    Api,
    /// A login in the browser.
    OAuth,
    /// Something else, kept so that the indexes of the others stay right.
    #[serde(other)]
    Other,
}

/// Something to ask the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthPrompt {
    /// How it is answered.
    #[serde(rename = "type")]
    pub kind: AuthPromptKind,
    /// The name of the answer.
    pub key: String,
    /// What to ask.
    pub message: String,
    /// An example of an answer.
    pub placeholder: Option<String>,
    /// The answers to choose from.
    #[serde(default)]
    pub options: Vec<AuthOption>,
    /// When to ask at all.
    pub when: Option<AuthCondition>,
}

/// How a question is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthPromptKind {
    /// With one of the options.
    Select,
    /// With words.
    #[serde(other)]
    Text,
}

/// An answer to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthOption {
    /// What is shown.
    pub label: String,
    /// What is answered.
    pub value: String,
    /// What to know about it.
    pub hint: Option<String>,
}

/// A condition on an earlier answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthCondition {
    /// The earlier answer's name.
    pub key: String,
    /// How it is compared.
    pub op: AuthOperator,
    /// What it is compared with.
    pub value: String,
}

/// How answers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthOperator {
    /// It is the value.
    Eq,
    /// It is anything else.
    Neq,
}

impl AuthCondition {
    /// Returns whether the question is to be asked, given the answers so far.
    pub fn holds(&self, answers: &BTreeMap<String, String>) -> bool {
        let equal = answers.get(&self.key).is_some_and(|answer| *answer == self.value);
        match self.op {
            AuthOperator::Eq => equal,
            AuthOperator::Neq => !equal,
        }
    }
}

/// OpenCode's answer; whatever isn't named here is skipped while reading, keys among it.
#[derive(Deserialize)]
pub(crate) struct WireCatalogue {
    all: Vec<WireProvider>,
}

#[derive(Deserialize)]
struct WireProvider {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    env: Vec<String>,
    models: BTreeMap<String, WireModel>,
}

#[derive(Deserialize)]
struct WireModel {
    #[serde(default)]
    name: String,
    #[serde(default)]
    api: WireApi,
    #[serde(default)]
    capabilities: WireCapabilities,
    #[serde(default)]
    cost: WireCost,
    #[serde(default)]
    limit: WireLimit,
    #[serde(default)]
    status: String,
    #[serde(default)]
    release_date: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireApi {
    npm: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireCapabilities {
    reasoning: bool,
    toolcall: bool,
    input: WireMedia,
    output: WireMedia,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireMedia {
    text: bool,
    image: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireCost {
    input: f64,
    output: f64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireLimit {
    context: f64,
    output: f64,
}

impl From<WireCatalogue> for Catalogue {
    fn from(wire: WireCatalogue) -> Self {
        let mut providers: Vec<Provider> = wire.all.into_iter().map(Provider::from).collect();
        providers.sort_by(|one, other| one.id.cmp(&other.id));
        Self { providers }
    }
}

impl From<WireProvider> for Provider {
    fn from(wire: WireProvider) -> Self {
        let models = wire.models.into_iter().map(|(id, model)| model.into_model(id)).collect();
        let name = if wire.name.is_empty() { wire.id.clone() } else { wire.name };
        Self { id: wire.id, name, env: wire.env, models }
    }
}

impl WireModel {
    fn into_model(self, id: String) -> Model {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "limits are whole and positive, and `as` saturates"
        )]
        let tokens = |number: f64| number as u64;
        Model {
            name: if self.name.is_empty() { id.clone() } else { self.name },
            id,
            npm: self.api.npm,
            context: tokens(self.limit.context),
            output: tokens(self.limit.output),
            cost_input: self.cost.input,
            cost_output: self.cost.output,
            image_input: self.capabilities.input.image,
            text_output: self.capabilities.output.text,
            tool_call: self.capabilities.toolcall,
            reasoning: self.capabilities.reasoning,
            status: self.status,
            release_date: self.release_date,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> serde_json::Value {
        json!({"all": [
            {"id": "zeta", "name": "Zeta", "source": "api", "env": ["ZETA_KEY"], "key": "sk-planted",
             "options": {"apiKey": "sk-planted", "baseURL": "https://zeta.test"}, "models": {
                "z-1": {"id": "z-1", "providerID": "zeta", "api": {"id": "z-1", "url": "", "npm": "@ai-sdk/anthropic"},
                    "name": "Z One", "headers": {"authorization": "sk-planted"}, "options": {"apiKey": "sk-planted"},
                    "capabilities": {"temperature": true, "reasoning": true, "attachment": true, "toolcall": true,
                        "input": {"text": true, "image": true}, "output": {"text": true}},
                    "cost": {"input": 1, "output": 5.5, "cache": {"read": 0.1, "write": 1.25}},
                    "limit": {"context": 200_000, "output": 64_000}, "status": "active",
                    "release_date": "2025-10-15", "variants": {}}}},
            {"id": "alpha", "models": {"bare": {}}},
        ], "default": {}, "connected": ["zeta"]})
    }

    fn slim() -> Catalogue {
        serde_json::from_value::<WireCatalogue>(answer()).expect("an answer").into()
    }

    #[test]
    fn a_slim_catalogue_has_no_key_in_it() {
        let text = serde_json::to_string(&slim()).expect("serialises");
        assert!(answer().to_string().contains("sk-planted"), "the answer must hold what is looked for");
        assert!(!text.contains("planted"), "{text}");
    }

    #[test]
    fn a_slim_catalogue_survives_being_written_and_read() {
        let catalogue = slim();
        let text = serde_json::to_string(&catalogue).expect("serialises");
        assert_eq!(serde_json::from_str::<Catalogue>(&text).expect("reads"), catalogue);
        let model = &catalogue.providers[1].models[0];
        assert_eq!((model.name.as_str(), model.npm.as_str()), ("Z One", "@ai-sdk/anthropic"));
        assert_eq!((model.context, model.output), (200_000, 64_000));
        assert!(model.image_input && model.text_output && model.tool_call && model.reasoning);
        assert!((model.cost_output - 5.5).abs() < f64::EPSILON);
    }

    #[test]
    fn a_bare_provider_is_called_by_its_id() {
        let catalogue = slim();
        assert_eq!(catalogue.providers[0].name, "alpha");
        assert_eq!(catalogue.providers[0].models[0].name, "bare");
    }

    #[test]
    fn prompts_and_their_conditions_are_read() {
        let methods: AuthMethods = serde_json::from_value(json!({"github-copilot": [
            {"type": "oauth", "label": "Login", "prompts": [
                {"type": "select", "key": "kind", "message": "Which?", "options": [{"label": "A", "value": "a", "hint": "h"}]},
                {"type": "text", "key": "url", "message": "Where?", "placeholder": "x.test",
                 "when": {"key": "kind", "op": "eq", "value": "enterprise"}}]},
            {"type": "telepathy", "label": "Think"},
            {"type": "api", "label": "Key"},
        ]}))
        .expect("methods");
        let [login, unknown, key] = &methods["github-copilot"][..] else { panic!("three methods") };
        assert_eq!((login.kind, unknown.kind, key.kind), (AuthKind::OAuth, AuthKind::Other, AuthKind::Api));
        assert_eq!(login.prompts[0].kind, AuthPromptKind::Select);
        let when = login.prompts[1].when.as_ref().expect("a condition");
        let answered = |value: &str| BTreeMap::from([("kind".to_owned(), value.to_owned())]);
        assert!(when.holds(&answered("enterprise")));
        assert!(!when.holds(&answered("github.com")));
        assert!(!when.holds(&BTreeMap::new()));
        let unless = AuthCondition { op: AuthOperator::Neq, ..when.clone() };
        assert!(unless.holds(&answered("github.com")));
        let text = serde_json::to_string(&methods).expect("serialises");
        assert_eq!(serde_json::from_str::<AuthMethods>(&text).expect("reads"), methods);
    }
}
