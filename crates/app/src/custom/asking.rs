//! Asking addresses that a user gave what they offer: lists of models, and the documents of organisations.
//!
//! An address is checked before it is called, no redirect is followed, what comes back is capped, and nothing is kept.

use std::{collections::HashSet, time::Duration};

use doce_model::{CustomModel, Failure, NextMove, Role, custom_provider::CUSTOM_MODELS_MAX};
use doce_opencode::endpoints;
use doce_vault::{ExposeSecret as _, SecretString};
use reqwest::{StatusCode, header::HeaderValue};
use serde_json::Value;
use url::Url;

use super::{Offer, SDK};
use crate::{
    Error, outward, probe,
    projects::is_model_id,
    views::{WellKnownProvider, WellKnownView},
};

/// Bytes of a list of models, or of a document, that are read at most.
const BODY_MAX: usize = 4 << 20;
/// What models are called that doce doesn't know the size of, and their sizes elsewhere.
const CONTEXT_FIELDS: [&str; 5] =
    ["context_length", "context_window", "max_context_length", "max_model_len", "loaded_context_length"];

pub(super) fn unusable(message: String) -> Error {
    Error::Refused(Failure::new("endpoint_unusable", message, NextMove::None))
}

pub(super) fn url_of(address: &str, path: &str) -> Result<Url, String> {
    Url::parse(&format!("{}/{path}", address.trim_end_matches('/'))).map_err(|_| "That is not an address.".to_owned())
}

/// Asks where models are listed; many servers want `/v1` at the end of their address, and say so by having none here.
pub(super) async fn offer_of(
    base_url: &str,
    key: Option<&SecretString>,
    role: Role,
    within: Duration,
) -> Result<Offer, Error> {
    let candidates = [base_url.to_owned(), format!("{base_url}/v1")];
    let mut refusal = String::new();
    for candidate in candidates {
        let url = url_of(&candidate, "models").map_err(unusable)?;
        let place = probe::place_of(&url);
        let (status, body) = fetch(url, key, role, within).await.map_err(unusable)?;
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let wants = if key.is_some() { "did not accept this key" } else { "wants a key" };
            return Err(unusable(format!("{place} {wants} ({}).", status.as_u16())));
        }
        match models_in(&body).filter(|_| status.is_success()) {
            Some(models) if !models.is_empty() => {
                let name = place;
                return Ok(Offer { name, base_url: candidate, models });
            }
            Some(_) => refusal = format!("{place} has no models yet: load one there, or type their ids."),
            None if refusal.is_empty() => refusal = format!("{place} doesn't list its models: type their ids."),
            None => {}
        }
    }
    Err(unusable(refusal))
}

/// Reads a list of models (`OpenAI`'s form, and what others add to it). What isn't one of a model is left out.
fn models_in(body: &[u8]) -> Option<Vec<CustomModel>> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let list = answer.get("data").or(Some(&answer))?.as_array()?;
    let mut seen = HashSet::new();
    let models = list.iter().filter_map(|entry| {
        let id = entry.get("id")?.as_str().filter(|id| is_model_id(id))?;
        let context = CONTEXT_FIELDS.iter().find_map(|field| entry.get(*field)?.as_u64()).filter(|tokens| *tokens > 0);
        // Nobody says how much may be written: a quarter leaves room for what is read.
        let output = context.map(|context| (context / 4).clamp(1, 32_000));
        let name = entry.get("name").and_then(Value::as_str).filter(|name| *name != id);
        let name = name.map(|name| name.chars().filter(|c| !c.is_control()).take(120).collect());
        seen.insert(id).then(|| CustomModel { id: id.to_owned(), name, context, output })
    });
    Some(models.take(CUSTOM_MODELS_MAX).collect())
}

pub(super) async fn fetch(
    url: Url,
    key: Option<&SecretString>,
    role: Role,
    within: Duration,
) -> Result<(StatusCode, Vec<u8>), String> {
    let place = probe::place_of(&url);
    let addresses = probe::allowed_addresses(&url, role).await?;
    let client = outward::client()
        .timeout(within)
        .no_proxy()
        .resolve_to_addrs(url.host_str().unwrap_or_default(), &addresses)
        .build()
        .map_err(|_| "No HTTPS client could be set up.".to_owned())?;
    let mut request = client.get(url);
    if let Some(key) = key {
        // Secret: the key is in this header for the length of one request, marked so that no log shows it.
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
            .map_err(|_| "The key has a character that no request can carry.".to_owned())?;
        value.set_sensitive(true);
        request = request.header("authorization", value);
    }
    let mut response = request.send().await.map_err(|e| {
        if e.is_timeout() {
            format!("{place} did not answer within {} s.", within.as_secs())
        } else {
            format!("{place} could not be reached.")
        }
    })?;
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("{place} answered with a redirect ({}), which is not followed.", status.as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| format!("{place} broke off in the middle."))? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(format!("What {place} answered is longer than {} MB.", BODY_MAX >> 20));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

/// Picks out of a document what doce can make of it: providers that speak `OpenAI`'s protocol at an address of their own.
pub(super) fn well_known(address: String, document: &Value) -> WellKnownView {
    let words = |value: &Value| -> String {
        value.as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
    };
    let auth = &document["auth"];
    let providers = document["config"]["provider"].as_object().into_iter().flatten();
    let providers = providers.take(20).map(|(id, provider)| {
        let base_url = words(&provider["options"]["baseURL"]);
        let models = provider["models"].as_object().into_iter().flatten().filter(|(id, _)| is_model_id(id));
        let models = models.take(CUSTOM_MODELS_MAX).map(|(id, model)| {
            let tokens = |name: &str| model["limit"][name].as_u64().filter(|tokens| *tokens > 0);
            let limits = tokens("context").zip(tokens("output")).filter(|(context, output)| output <= context);
            CustomModel {
                id: id.clone(),
                name: Some(words(&model["name"])).filter(|name| !name.is_empty()),
                context: limits.map(|(context, _)| context),
                output: limits.map(|(_, output)| output),
            }
        });
        let npm = provider["npm"].as_str().unwrap_or(SDK);
        let refusal = if npm != SDK {
            Some(format!("It wants the package `{}`, which doce doesn't run.", words(&provider["npm"])))
        } else if endpoints::check_base_url(&base_url).is_err() {
            Some("It names no address that could be used.".to_owned())
        } else {
            None
        };
        let name = words(&provider["name"]);
        WellKnownProvider {
            name: if name.is_empty() { id.chars().take(60).collect() } else { name },
            base_url,
            models: models.collect(),
            refusal,
        }
    });
    WellKnownView {
        providers: providers.collect(),
        token_name: words(&auth["env"]),
        command: auth["command"].as_array().into_iter().flatten().take(20).map(words).collect(),
        address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_models_are_read_in_the_forms_that_there_are() {
        let body = br#"{"data": [{"id": "llama3.1:8b"}, {"id": "qwen", "name": "Qwen", "context_length": 40960},
            {"id": "llama3.1:8b"}, {"id": "a b"}, {"id": ""}, {"name": "x"}, 7]}"#;
        let models = models_in(body).expect("a list");
        let ids: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
        assert_eq!(ids, ["llama3.1:8b", "qwen"]);
        assert_eq!(
            (models[1].name.as_deref(), models[1].context, models[1].output),
            (Some("Qwen"), Some(40960), Some(10240))
        );
        assert_eq!(models_in(br#"[{"id": "one"}]"#).map(|models| models.len()), Some(1));
        assert_eq!(models_in(b"<html>"), None);
        assert_eq!(models_in(br#"{"data": "x"}"#), None);
    }

    #[test]
    fn a_document_is_shown_and_its_packages_are_not_run() {
        let document = serde_json::json!({
            "auth": {"command": ["sh", "-c", "curl evil"], "env": "ACME_TOKEN"},
            "config": {"provider": {
                "acme": {"name": "Acme", "npm": "@ai-sdk/openai-compatible", "options": {"baseURL": "https://ai.acme.test/v1"},
                    "models": {"big": {"name": "Big", "limit": {"context": 1000, "output": 100}}, "a b": {}}},
                "strange": {"npm": "evil-package", "options": {"baseURL": "https://x.test"}, "models": {}},
                "empty": {},
            }},
        });
        let view = well_known("https://acme.test".to_owned(), &document);
        assert_eq!((view.token_name.as_str(), view.command.len()), ("ACME_TOKEN", 3));
        let acme = view.providers.iter().find(|provider| provider.name == "Acme").expect("it is there");
        assert_eq!((acme.refusal.as_ref(), acme.models.len(), acme.models[0].output), (None, 1, Some(100)));
        assert_eq!(view.providers.iter().filter(|provider| provider.refusal.is_some()).count(), 2);
    }
}
