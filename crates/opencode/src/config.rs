//! What an Agent is configured with: two JSON texts, its environment, and the files around it that nobody but doce writes.
//!
//! OpenCode merges, in rising order, its home's configuration, the project's (switched off here), `~/.opencode`, the
//! directory that `OPENCODE_CONFIG_DIR` names, and `OPENCODE_CONFIG_CONTENT`. A file named by `OPENCODE_CONFIG` stands
//! *below* `~/.opencode`, which the Agent can write (1.18.33, observed: it redirected a key), so it isn't used:
//! constants go into the last, and what changes into [`AGENT_FILE`] of that directory, which the Agent sees read-only
//! and which is read again at every dispose. No credential is in any of them.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A registry that refuses every connection, on a port that only root could open.
///
/// With a real one, OpenCode installs 95 MB of plugins into every home.
const DEAD_REGISTRY: &str = "http://127.0.0.1:1/";

/// The name of the file with [`AgentConfig::to_json`], in the directory [`AgentPaths::pinned`].
pub const AGENT_FILE: &str = "opencode.json";

/// Returns the text of `OPENCODE_CONFIG_CONTENT`: what never changes for an Instance.
pub fn constants() -> String {
    json!({ "share": "disabled", "autoupdate": false }).to_string()
}

/// What changes with a Project's Connections: the content of [`AGENT_FILE`].
#[derive(Debug, Clone, PartialEq)]
pub struct AgentConfig {
    /// The providers that are delivered. All others are switched off, OpenCode's own free one included.
    pub providers: Vec<DeliveredProvider>,
    /// The model for titles and the like, as `provider/model`.
    pub small_model: Option<String>,
    /// What the Agent may do without asking; see [`default_permission`].
    pub permission: Value,
    /// Files that every prompt begins with, as paths that the Agent can read.
    pub instructions: Vec<String>,
}

/// A provider whose credential the Agent has.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveredProvider {
    /// Its id.
    pub id: String,
    /// Its own SDK.
    pub npm: String,
    /// What holds its calls where they belong: `baseURL` always, and more where a provider needs it; see
    /// [`crate::endpoints::Endpoint::pin`].
    pub options: Map<String, Value>,
    /// What OpenCode's catalogue doesn't say, for a provider that isn't in it.
    pub custom: Option<CustomProvider>,
}

/// A provider that OpenCode's catalogue doesn't have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomProvider {
    /// What people call it.
    pub name: String,
    /// Its models.
    pub models: Vec<CustomModel>,
}

/// A model of a custom provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomModel {
    /// Its id at the provider.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How many tokens it can read and write together.
    pub context: Option<u64>,
    /// How many tokens it can write.
    pub output: Option<u64>,
}

/// Where things are, as the Agent sees them.
#[derive(Debug, Clone, Copy)]
pub struct AgentPaths<'a> {
    /// Its home directory.
    pub home: &'a Path,
    /// `XDG_DATA_HOME`: sessions, snapshots and `auth.json`; persists.
    pub data: &'a Path,
    /// `XDG_CONFIG_HOME`: fresh per Instance; begins with [`home_files`] in its `opencode` directory.
    pub config: &'a Path,
    /// `XDG_STATE_HOME`: fresh per Instance.
    pub state: &'a Path,
    /// `XDG_CACHE_HOME`: fresh per Instance.
    pub cache: &'a Path,
    /// The directory with [`AGENT_FILE`] and [`pinned_files`]; read-only for the Agent, and to be bound as a
    /// directory, because the file in it is replaced.
    pub pinned: &'a Path,
}

/// Returns what an Agent may do without asking. An ask would wait for ever, so nothing asks.
///
/// It protects from mistakes: the Agent owns its server and answers its own requests if it wants to.
pub fn default_permission() -> Value {
    json!({ "*": "allow", "question": "deny", "external_directory": "deny", "doom_loop": "deny" })
}

impl AgentConfig {
    /// Writes the content of [`AGENT_FILE`].
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct File<'a> {
            #[serde(rename = "$schema")]
            schema: &'static str,
            enabled_providers: Vec<&'a str>,
            provider: Map<String, Value>,
            #[serde(skip_serializing_if = "Option::is_none")]
            small_model: Option<&'a str>,
            permission: &'a Value,
            instructions: &'a [String],
        }
        let file = File {
            schema: "https://opencode.ai/config.json",
            enabled_providers: self.providers.iter().map(|provider| provider.id.as_str()).collect(),
            provider: self.providers.iter().map(|provider| (provider.id.clone(), provider.to_value())).collect(),
            small_model: self.small_model.as_deref(),
            permission: &self.permission,
            instructions: &self.instructions,
        };
        inert(&serde_json::to_string_pretty(&file).expect("texts and maps serialise"))
    }
}

impl DeliveredProvider {
    fn to_value(&self) -> Value {
        let mut value = json!({ "npm": self.npm, "options": self.options });
        if let Some(custom) = &self.custom {
            value["name"] = json!(custom.name);
            let models = custom.models.iter().map(|model| (model.id.clone(), model.to_value()));
            value["models"] = Value::Object(models.collect());
        }
        value
    }
}

impl CustomModel {
    fn to_value(&self) -> Value {
        let mut value = json!({ "name": self.name, "tool_call": true });
        // OpenCode wants both or neither.
        if let (Some(context), Some(output)) = (self.context, self.output) {
            value["limit"] = json!({ "context": context, "output": output });
        }
        value
    }
}

/// Returns the variables an Agent is started with, besides those every process gets.
///
/// Secret: the Agent's own password is among them, because OpenCode takes it no other way. The Agent can read it, so
/// it opens nothing but the Agent. Credentials are never in an environment.
pub fn environment(paths: &AgentPaths<'_>, password: &SecretString) -> Vec<(String, String)> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let on = || "1".to_owned();
    [
        ("HOME", path(paths.home)),
        ("XDG_DATA_HOME", path(paths.data)),
        ("XDG_CONFIG_HOME", path(paths.config)),
        ("XDG_STATE_HOME", path(paths.state)),
        ("XDG_CACHE_HOME", path(paths.cache)),
        ("OPENCODE_CONFIG_DIR", path(paths.pinned)),
        ("OPENCODE_CONFIG_CONTENT", constants()),
        ("OPENCODE_SERVER_PASSWORD", password.expose_secret().to_owned()),
        // A file of the project could redirect a key (first) or run in the server (second). Each alone is not enough,
        // and both together neither: see `workspace_masks`.
        ("OPENCODE_DISABLE_PROJECT_CONFIG", on()),
        ("OPENCODE_PURE", on()),
        // The catalogue in the binary is the one that was measured; npm packages and addresses must not change under us.
        ("OPENCODE_DISABLE_MODELS_FETCH", on()),
        ("OPENCODE_DISABLE_AUTOUPDATE", on()),
        ("OPENCODE_DISABLE_LSP_DOWNLOAD", on()),
        ("OPENCODE_DISABLE_CLAUDE_CODE", on()),
        ("OPENCODE_DISABLE_EXTERNAL_SKILLS", on()),
        // OpenCode calls its own server, through a proxy if one is set.
        ("NO_PROXY", "127.0.0.1,localhost".to_owned()),
        ("no_proxy", "127.0.0.1,localhost".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Returns the files (name, content) that `opencode` in a fresh `XDG_CONFIG_HOME` begins with.
///
/// With all three there, OpenCode writes nothing of its own and installs nothing, and the directory can be read-only.
pub fn home_files() -> [(&'static str, String); 3] {
    let [npmrc, gitignore] = pinned_files();
    let empty = "{\n  \"$schema\": \"https://opencode.ai/config.json\"\n}\n".to_owned();
    [npmrc, gitignore, ("opencode.jsonc", empty)]
}

/// Returns the files (name, content) that belong beside [`AGENT_FILE`], for the same reason.
pub fn pinned_files() -> [(&'static str, String); 2] {
    let npmrc = format!("registry={DEAD_REGISTRY}\nfetch-retries=0\nupdate-notifier=false\n");
    let gitignore = "node_modules\npackage.json\npackage-lock.json\nbun.lock\n.gitignore\n".to_owned();
    [(".npmrc", npmrc), (".gitignore", gitignore)]
}

/// A place in the Workspace that the Agent's own process must not see as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mask {
    /// Shown as an empty directory. Must not be shown as a file: every route of OpenCode fails then.
    EmptyDirectory(&'static str),
    /// Shown as a file with this content.
    File(&'static str, &'static str),
}

/// Returns what a sandbox lays, read-only, over the Agent's view of its Workspace.
///
/// OpenCode imports plugins from these places into its server, whatever `OPENCODE_PURE` and
/// `OPENCODE_DISABLE_PROJECT_CONFIG` say (1.18.33, observed): what a dependency of the app leaves there would run
/// beside the credentials.
pub fn workspace_masks() -> [Mask; 3] {
    [Mask::EmptyDirectory(".opencode"), Mask::File("opencode.json", "{}\n"), Mask::File("opencode.jsonc", "{}\n")]
}

/// Keeps OpenCode from filling `{env:NAME}` and `{file:path}` in texts that people chose, as a provider's name.
///
/// It does so in the raw text, before reading it as JSON; outside of strings no `{` is followed by a letter.
fn inert(json: &str) -> String {
    json.replace("{env:", "\\u007benv:").replace("{file:", "\\u007bfile:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints;

    fn config() -> AgentConfig {
        let anthropic = endpoints::find("anthropic").expect("in the table");
        let options = anthropic.pin(&anthropic.default_base_url().expect("an address"));
        let custom = CustomProvider {
            name: "{env:HOME} {file:/etc/passwd}".to_owned(),
            models: vec![CustomModel { id: "m/1".to_owned(), name: "M".to_owned(), context: Some(9), output: Some(3) }],
        };
        AgentConfig {
            providers: vec![
                DeliveredProvider { id: anthropic.id.clone(), npm: anthropic.npm[0].clone(), options, custom: None },
                DeliveredProvider {
                    id: "custom-acme".to_owned(),
                    npm: "@ai-sdk/openai-compatible".to_owned(),
                    options: Map::from_iter([("baseURL".to_owned(), json!("https://acme.test/v1"))]),
                    custom: Some(custom),
                },
            ],
            small_model: Some("anthropic/claude-haiku-4-5".to_owned()),
            permission: default_permission(),
            instructions: vec!["/work/AGENTS.md".to_owned()],
        }
    }

    #[test]
    fn every_delivered_provider_is_enabled_and_held_and_no_other() {
        let value: Value = serde_json::from_str(&config().to_json()).expect("JSON");
        assert_eq!(value["enabled_providers"], json!(["anthropic", "custom-acme"]));
        assert_eq!(
            value["provider"]["anthropic"],
            json!({"npm": "@ai-sdk/anthropic", "options": {"baseURL": "https://api.anthropic.com/v1"}})
        );
        assert_eq!(value["provider"]["custom-acme"]["models"]["m/1"]["limit"], json!({"context": 9, "output": 3}));
        assert_eq!(value["small_model"], "anthropic/claude-haiku-4-5");
        assert_eq!(value["permission"]["question"], "deny");
        assert_eq!(value["instructions"], json!(["/work/AGENTS.md"]));
    }

    #[test]
    fn without_connections_every_provider_is_switched_off() {
        let none = AgentConfig { providers: vec![], small_model: None, ..config() };
        let value: Value = serde_json::from_str(&none.to_json()).expect("JSON");
        assert_eq!(value["enabled_providers"], json!([]));
        assert!(value.get("small_model").is_none());
    }

    #[test]
    fn a_text_that_people_chose_is_not_filled_in() {
        let text = config().to_json();
        assert!(!text.contains("{env:") && !text.contains("{file:"), "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["provider"]["custom-acme"]["name"], "{env:HOME} {file:/etc/passwd}");
    }

    #[test]
    fn the_environment_holds_exactly_what_an_agent_may_know() {
        let at = Path::new("/agent");
        let paths = AgentPaths { home: at, data: at, config: at, state: at, cache: at, pinned: at };
        let environment = environment(&paths, &SecretString::from("pw"));
        let get = |name: &str| environment.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        for on in ["OPENCODE_DISABLE_PROJECT_CONFIG", "OPENCODE_PURE", "OPENCODE_DISABLE_MODELS_FETCH"] {
            assert_eq!(get(on), Some("1"), "{on}");
        }
        assert_eq!(get("OPENCODE_SERVER_PASSWORD"), Some("pw"));
        assert_eq!(get("OPENCODE_CONFIG_CONTENT"), Some(r#"{"share":"disabled","autoupdate":false}"#));
        let known = |name: &str| ["OPENCODE_", "XDG_"].iter().any(|begin| name.starts_with(begin));
        let others: Vec<_> =
            environment.iter().filter(|(name, _)| !known(name)).map(|(name, _)| name.as_str()).collect();
        assert_eq!(others, ["HOME", "NO_PROXY", "no_proxy"]);
        assert_eq!(get("OPENCODE_AUTH_CONTENT"), None, "it would hide every credential that is delivered");
        assert_eq!(get("OPENCODE_DISABLE_DEFAULT_PLUGINS"), None, "it would switch the built-in logins off");
    }
}
