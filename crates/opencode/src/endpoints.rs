//! Where each provider's key goes: what was measured of OpenCode's own catalogue, provider by provider.
//!
//! The data and its source are in `data/`. Providers that are not in it (custom ones) bring their own base URL.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;

/// GitLab is the one provider that ignores `options.baseURL` and takes two addresses instead.
const GITLAB: &str = "gitlab";
const GITLAB_GATEWAY: &str = "https://cloud.gitlab.com";

/// What is known about a provider's way to its upstream.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The provider's id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The SDKs of its models, its own one first.
    pub npm: Vec<String>,
    base_url: Option<String>,
    variables: Vec<Variable>,
    /// The header that carries its key; none if it can't be one header.
    pub key_header: Option<KeyHeader>,
    /// Whether every call follows the base URL; none if that isn't known.
    pub base_url_honoured: Option<bool>,
    /// Whether OpenCode brings all of its SDKs along.
    pub bundled_sdk: bool,
    /// Whether a gateway can stand in for it.
    pub sealable: Sealable,
    reached_by: Vec<String>,
    /// What was seen on the way.
    pub notes: String,
}

/// A header that carries a key.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyHeader {
    /// Its name, in lower case.
    pub name: String,
    /// What comes before the key.
    pub scheme: KeyScheme,
}

/// What comes before a key in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyScheme {
    /// `Bearer ` does.
    Bearer,
    /// Nothing does.
    #[serde(rename = "raw")]
    Raw,
}

/// Whether a gateway can stand in for a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sealable {
    /// For all of it.
    Yes,
    /// For a part of it; see the notes.
    Conditional,
    /// Not at all.
    No,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    name: String,
    metadata: Option<String>,
    default: Option<String>,
}

/// Why there is no base URL for a Connection.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// The provider's address depends on the account, and nothing asked for it.
    #[error("address {provider} without a base URL of the user's own account")]
    Needed {
        /// The provider's id.
        provider: String,
    },
    /// The address depends on an answer that wasn't given or can't be part of one.
    #[error("address {provider} without a plain `{key}`")]
    Answer {
        /// The provider's id.
        provider: String,
        /// Which answer.
        key: String,
    },
    /// It is not an http(s) address without user, query and fragment.
    #[error("use that as a base URL: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Looks a provider up. Its absence means that it is a custom one, or unknown.
pub fn find(provider_id: &str) -> Option<&'static Endpoint> {
    TABLE.get(provider_id)
}

/// Lists all providers that were measured, in no order.
pub fn all() -> impl Iterator<Item = &'static Endpoint> {
    TABLE.values()
}

/// Checks a base URL that a person gave, and brings it into the form it is used in: no slash at the end.
pub fn check_base_url(given: &str) -> Result<String, BaseUrlError> {
    let invalid = |reason| BaseUrlError::Invalid { reason };
    let url = Url::parse(given.trim()).map_err(|_not_an_address| invalid("it is not an address"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("it must begin with http:// or https://"));
    }
    if !url.has_host() {
        return Err(invalid("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it holds a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("it has a query or a fragment"));
    }
    // OpenCode fills `${NAME}` in base URLs from the environment.
    if given.contains(['{', '}', '$']) {
        return Err(invalid("it has a place to be filled in"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl Endpoint {
    /// What holds for an OpenAI-compatible endpoint of a user's own: OpenCode brings its SDK along, and every call follows
    /// the base URL (1.18.33, observed).
    pub fn custom(id: &str, name: &str, base_url: &str) -> Self {
        let npm = vec!["@ai-sdk/openai-compatible".to_owned()];
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            reached_by: npm.clone(),
            npm,
            base_url: Some(base_url.to_owned()),
            variables: Vec::new(),
            key_header: Some(KeyHeader { name: "authorization".to_owned(), scheme: KeyScheme::Bearer }),
            base_url_honoured: Some(true),
            bundled_sdk: true,
            sealable: Sealable::Yes,
            notes: String::new(),
        }
    }

    /// Returns why this provider can't be connected with an API key at all, as a sentence for people.
    pub fn refusal(&self) -> Option<&'static str> {
        if !self.bundled_sdk {
            return Some(
                "Its SDK is not part of OpenCode: connecting it would download and run other people's code beside the key.",
            );
        }
        if self.key_header.is_none() {
            return Some("It takes application credentials of a cloud account, not an API key.");
        }
        None
    }

    /// Returns the base URL, if it is the same for everybody.
    pub fn default_base_url(&self) -> Option<String> {
        self.base_url(None, &BTreeMap::new()).ok()
    }

    /// Whether the user must give a base URL, because no answer of the form leads to one.
    pub fn base_url_required(&self) -> bool {
        let fillable = |variable: &Variable| variable.metadata.is_some() || variable.default.is_some();
        !(self.base_url.is_some() && self.variables.iter().all(fillable))
    }

    /// Returns the base URL for one Connection: the user's own, or the provider's, filled with the answers
    /// (`metadata`) that it depends on.
    pub fn base_url(&self, given: Option<&str>, metadata: &BTreeMap<String, String>) -> Result<String, BaseUrlError> {
        let own = (self.id == GITLAB).then(|| metadata.get("instanceUrl").map(String::as_str)).flatten();
        if let Some(given) = given.or(own).filter(|given| !given.trim().is_empty()) {
            return check_base_url(given);
        }
        let needed = || BaseUrlError::Needed { provider: self.id.clone() };
        let mut url = self.base_url.clone().ok_or_else(needed)?;
        for variable in &self.variables {
            let answer = variable.metadata.as_ref().and_then(|key| metadata.get(key)).map(|answer| answer.trim());
            let value = match (answer, &variable.default, &variable.metadata) {
                (Some(answer), _, _) if is_plain(answer) => answer,
                (None, Some(default), _) => default,
                (_, _, Some(key)) => {
                    return Err(BaseUrlError::Answer { provider: self.id.clone(), key: key.clone() });
                }
                (_, _, None) => return Err(needed()),
            };
            url = url.replace(&format!("${{{}}}", variable.name), value);
        }
        Ok(url)
    }

    /// Returns the options that hold the provider's calls at `base_url`, for the Agent's configuration.
    pub fn pin(&self, base_url: &str) -> Map<String, Value> {
        let options = if self.id == GITLAB {
            json!({ "baseURL": base_url, "instanceUrl": base_url, "aiGatewayUrl": GITLAB_GATEWAY })
        } else {
            json!({ "baseURL": base_url })
        };
        match options {
            Value::Object(options) => options,
            other => unreachable!("an object literal is an object, not {other}"),
        }
    }

    /// Whether a model with this SDK has its upstream at the provider's base URL.
    ///
    /// One base URL holds for all SDKs of a provider, and eight providers have several upstreams: without a gateway
    /// that tells them apart, the others' models don't answer.
    pub fn reaches(&self, npm: &str) -> bool {
        self.reached_by.iter().any(|sdk| sdk == npm)
    }
}

/// Whether an answer can be part of a host or path without changing where it leads.
fn is_plain(answer: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !answer.is_empty() && answer.len() <= 128 && answer.bytes().all(known) && !answer.contains("..")
}

static TABLE: LazyLock<HashMap<String, Endpoint>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct File {
        endpoints: Vec<Endpoint>,
    }
    let text = include_str!("../data/provider-endpoints.json");
    let file: File = serde_json::from_str(text).expect("the table is checked in and tested");
    file.endpoints.into_iter().map(|endpoint| (endpoint.id.clone(), endpoint)).collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str) -> &'static Endpoint {
        find(id).unwrap_or_else(|| panic!("{id} is in the table"))
    }

    fn answers(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_table_has_every_provider_of_the_catalogue() {
        assert_eq!(all().count(), 225);
        assert!(all().all(|endpoint| !endpoint.npm.is_empty() && !endpoint.reached_by.is_empty()));
        assert_eq!(all().filter(|endpoint| endpoint.sealable == Sealable::Yes).count(), 213);
        assert_eq!(all().filter(|endpoint| endpoint.base_url_honoured == Some(false)).count(), 4);
        assert!(find("custom-acme").is_none());
    }

    #[test]
    fn the_seven_providers_with_foreign_code_are_refused() {
        let mut refused: Vec<_> = all().filter(|endpoint| !endpoint.bundled_sdk).map(|endpoint| &endpoint.id).collect();
        refused.sort();
        let seven =
            ["aihubmix", "cloudflare-ai-gateway", "merge-gateway", "qvac", "salad-cloud", "sap-ai-core", "watsonx"];
        assert_eq!(refused, seven);
        assert!(seven.iter().all(|id| of(id).refusal().is_some()));
        assert!(of("google-vertex-anthropic").refusal().is_some());
        assert_eq!(all().filter(|endpoint| endpoint.refusal().is_some()).count(), 8);
    }

    #[test]
    fn every_provider_that_is_not_refused_has_an_address_or_says_what_it_needs() {
        let everything = answers(&[("accountId", "acc"), ("account", "acc"), ("resourceName", "res")]);
        let mut own_address = Vec::new();
        for endpoint in all().filter(|endpoint| endpoint.refusal().is_none()) {
            match endpoint.base_url(None, &everything) {
                Ok(url) => assert_eq!(check_base_url(&url).as_deref(), Ok(url.as_str()), "{}", endpoint.id),
                Err(BaseUrlError::Needed { .. }) => own_address.push(endpoint.id.as_str()),
                Err(other) => panic!("{}: {other}", endpoint.id),
            }
            assert_eq!(endpoint.base_url_required(), endpoint.base_url(None, &everything).is_err(), "{}", endpoint.id);
        }
        own_address.sort_unstable();
        assert_eq!(own_address, ["azure-cognitive-services", "databricks", "infomaniak", "neon"]);
    }

    #[test]
    fn an_address_is_filled_with_answers_and_defaults() {
        let azure = of("azure");
        assert_eq!(azure.default_base_url(), None);
        assert_eq!(
            azure.base_url(None, &answers(&[("resourceName", " my-models ")])).as_deref(),
            Ok("https://my-models.openai.azure.com/openai/v1")
        );
        assert_eq!(
            of("amazon-bedrock").default_base_url().as_deref(),
            Some("https://bedrock-runtime.us-east-1.amazonaws.com")
        );
        assert_eq!(of("anthropic").default_base_url().as_deref(), Some("https://api.anthropic.com/v1"));
        assert_eq!(of("bailing").default_base_url().as_deref(), Some("https://api.tbox.cn/api/llm/v1"));
    }

    #[test]
    fn an_answer_cannot_lead_somewhere_else() {
        for evil in ["", "evil.test/", "evil.test#", "a@evil.test", "a..b", "${X}", "a b", "é"] {
            let refused = of("azure").base_url(None, &answers(&[("resourceName", evil)]));
            assert!(matches!(refused, Err(BaseUrlError::Answer { .. })), "{evil:?}");
        }
    }

    #[test]
    fn a_user_s_base_url_is_checked_and_tidied() {
        assert_eq!(check_base_url(" https://proxy.test/v1/ ").as_deref(), Ok("https://proxy.test/v1"));
        assert_eq!(check_base_url("http://127.0.0.1:11434/v1").as_deref(), Ok("http://127.0.0.1:11434/v1"));
        for bad in [
            "",
            "proxy.test/v1",
            "ftp://x.test",
            "https://user@x.test",
            "https://x.test/?key=1",
            "https://x.test/#a",
            "https://x.test/${HOME}",
            "https://x.test/{env:HOME}",
            "file:///etc/passwd",
        ] {
            assert!(check_base_url(bad).is_err(), "{bad:?}");
        }
        let given = of("databricks").base_url(Some("https://dbc.test/ai-gateway/mlflow/v1"), &BTreeMap::new());
        assert_eq!(given.as_deref(), Ok("https://dbc.test/ai-gateway/mlflow/v1"));
    }

    #[test]
    fn gitlab_is_held_at_both_of_its_addresses() {
        let gitlab = of("gitlab");
        let base = gitlab.base_url(None, &answers(&[("instanceUrl", "https://git.acme.test/")])).expect("an address");
        let pin = gitlab.pin(&base);
        assert_eq!(pin["instanceUrl"], "https://git.acme.test");
        assert_eq!(pin["aiGatewayUrl"], "https://cloud.gitlab.com");
        assert_eq!(gitlab.default_base_url().as_deref(), Some("https://gitlab.com"));
    }

    #[test]
    fn a_provider_with_several_upstreams_says_which_models_answer() {
        let zenmux = of("zenmux");
        assert!(zenmux.reaches("@ai-sdk/openai-compatible") && zenmux.reaches("@ai-sdk/openai"));
        assert!(!zenmux.reaches("@ai-sdk/anthropic"));
        let several =
            all().filter(|endpoint| endpoint.refusal().is_none() && endpoint.npm.len() != endpoint.reached_by.len());
        assert_eq!(several.count(), 8);
    }
}
