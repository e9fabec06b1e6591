//! What the fake holds per directory once a request has loaded it: the credentials and the configuration of that moment.
//!
//! As in OpenCode 1.18.33 (observed), later changes of `auth.json` or of the configuration file have no effect on it until it is disposed of.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::auth::Entries;

/// A small piece of OpenCode 1.18.33's catalogue, taken from its `GET /provider` and `GET /provider/auth`.
const CATALOGUE: &str = include_str!("catalogue.json");

/// A loaded directory.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    auth: Entries,
    config: Value,
}

impl Instance {
    /// Loads the credentials and the configuration; `Err` when the configuration isn't JSON, which makes every route of the directory fail.
    pub(super) fn load(auth: Entries, file: Option<&Path>, content: Option<&str>) -> Result<Self, serde_json::Error> {
        let mut config = json!({});
        if let Some(text) = file.and_then(|file| std::fs::read_to_string(file).ok()) {
            merge(&mut config, serde_json::from_str(&text)?);
        }
        if let Some(text) = content {
            merge(&mut config, serde_json::from_str(text)?);
        }
        Ok(Self { auth, config })
    }

    pub(super) fn config(&self) -> &Value {
        &self.config
    }

    /// The providers that can be used, as `GET /config/providers` has them: keys in clear.
    pub(super) fn providers(&self) -> Vec<Value> {
        self.known_providers()
            .into_iter()
            .filter(|provider| {
                let id = provider["id"].as_str().unwrap_or_default();
                self.auth.contains_key(id) || !self.config["provider"][id].is_null()
            })
            .collect()
    }

    /// Every provider of the catalogue and the configuration that isn't closed by it.
    pub(super) fn known_providers(&self) -> Vec<Value> {
        let mut providers: Vec<Value> = catalogue()["providers"].as_array().cloned().unwrap_or_default();
        for (id, block) in self.config["provider"].as_object().into_iter().flatten() {
            if !providers.iter().any(|provider| provider["id"] == **id) {
                providers.push(json!({
                    "id": id, "name": block["name"].as_str().unwrap_or(id), "source": "config", "env": [], "options": {}, "models": {},
                }));
            }
        }
        providers.retain(|provider| self.is_open(provider["id"].as_str().unwrap_or_default()));
        for provider in &mut providers {
            self.apply(provider);
        }
        // A provider without models disappears (OpenCode 1.18.33, observed).
        providers.retain(|provider| provider["models"].as_object().is_some_and(|models| !models.is_empty()));
        providers
    }

    /// The key the instance would send for this provider.
    pub(super) fn key(&self, provider: &str) -> Option<&str> {
        self.config["provider"][provider]["options"]["apiKey"]
            .as_str()
            .or_else(|| self.auth.get(provider)?["key"].as_str())
            .or_else(|| self.auth.get(provider)?["access"].as_str())
    }

    /// What the configuration says about a permission: `allow`, `ask` or `deny`.
    pub(super) fn permission(&self, name: &str) -> &str {
        let rules = &self.config["permission"];
        let fallback = if name == "external_directory" { "ask" } else { "allow" };
        rules.as_str().or_else(|| rules[name].as_str()).or_else(|| rules["*"].as_str()).unwrap_or(fallback)
    }

    fn is_open(&self, id: &str) -> bool {
        let names = |key: &str, id: &str| self.config[key].as_array().map(|ids| ids.iter().any(|listed| listed == id));
        names("enabled_providers", id).unwrap_or(true) && !names("disabled_providers", id).unwrap_or(false)
    }

    /// Lays the configuration's block and the credential over a provider.
    fn apply(&self, provider: &mut Value) {
        let id = provider["id"].as_str().unwrap_or_default().to_owned();
        let block = &self.config["provider"][&id];
        if let Some(entry) = self.auth.get(&id) {
            provider["source"] = json!("api");
            if let Some(key) = entry["key"].as_str() {
                provider["key"] = json!(key);
            }
        }
        if block.is_null() {
            return;
        }
        provider["source"] = json!("config");
        if let Some(name) = block["name"].as_str() {
            provider["name"] = json!(name);
        }
        merge(&mut provider["options"], block["options"].clone());
        for (model, facts) in block["models"].as_object().into_iter().flatten() {
            if provider["models"][model].is_null() {
                provider["models"][model] = model_of(&id, model, facts, block);
            }
        }
    }
}

/// The login methods by provider.
pub(super) fn auth_methods() -> Value {
    catalogue()["auth_methods"].clone()
}

/// The first model of each provider, as OpenCode's `default`.
pub(super) fn defaults(providers: &[Value]) -> Value {
    let first = |provider: &Value| {
        let model = provider["models"].as_object()?.keys().next()?;
        Some((provider["id"].as_str()?.to_owned(), json!(model)))
    };
    Value::Object(providers.iter().filter_map(first).collect::<Map<_, _>>())
}

/// Where a file named by a tool lies, and whether that is inside the directory.
pub(super) fn resolve(directory: &Path, path: &str) -> (PathBuf, bool) {
    let mut full = PathBuf::new();
    for part in directory.join(path).components() {
        match part {
            std::path::Component::ParentDir => {
                full.pop();
            }
            std::path::Component::CurDir => {}
            other => full.push(other),
        }
    }
    let is_inside = full.starts_with(directory);
    (full, is_inside)
}

fn catalogue() -> Value {
    serde_json::from_str(CATALOGUE).expect("the catalogue is part of this crate and a test reads it")
}

fn model_of(provider: &str, id: &str, facts: &Value, block: &Value) -> Value {
    let limit = |key: &str| facts["limit"][key].as_u64().unwrap_or(0);
    json!({
        "id": id, "providerID": provider,
        "api": { "id": id, "url": "", "npm": block["npm"].as_str().unwrap_or("@ai-sdk/openai-compatible") },
        "name": facts["name"].as_str().unwrap_or(id), "family": "",
        "capabilities": {
            "temperature": false, "reasoning": false, "attachment": false, "toolcall": facts["tool_call"] != false,
            "input": { "text": true, "audio": false, "image": false, "video": false, "pdf": false },
            "output": { "text": true, "audio": false, "image": false, "video": false, "pdf": false },
            "interleaved": false,
        },
        "cost": { "input": 0, "output": 0, "cache": { "read": 0, "write": 0 } },
        "limit": { "context": limit("context"), "output": limit("output") },
        "status": "active", "options": {}, "headers": {}, "release_date": "", "variants": {},
    })
}

/// Lays one JSON value over another, objects field by field.
fn merge(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                merge(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (under, over) => *under = over,
    }
}
