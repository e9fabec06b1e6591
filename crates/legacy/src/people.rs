//! The people of an installation, and the keys in their settings.

use std::collections::{HashMap, HashSet};

use doce_model::{ModelRef, Ms};
use secrecy::SecretString;

use crate::{
    Credential, Finding, Key, Owner, Subject, User, auth_file,
    database::{Row, Tables},
    projects,
};

/// The Provider whose keys doce.dev kept in its database and in `.env` files.
pub(crate) const OPENROUTER: &str = "openrouter";
/// Later than this, 2100-01-01, is no moment that doce.dev wrote.
const SECONDS_MAX: i64 = 4_102_444_800;

/// Reads a moment, in whole seconds. One that can't be is none: it costs nobody an account.
pub(crate) fn moment(row: &Row, column: &'static str) -> Option<Ms> {
    row.integer(column).filter(|seconds| (0..SECONDS_MAX).contains(seconds)).map(|seconds| Ms(seconds * 1000))
}

/// Reads the people, oldest first.
pub(crate) fn users(tables: &Tables, findings: &mut Vec<Finding>) -> Vec<User> {
    let mut rows: Vec<&Row> = tables.rows("users").iter().collect();
    rows.sort_by_key(|row| (moment(row, "created_at").map_or(i64::MAX, |at| at.0), row.number));
    let mut users: Vec<User> = Vec::new();
    let mut ids = HashSet::new();
    for row in rows {
        let name = row.text("username").ok().flatten().map_or_else(|| format!("row {}", row.number), str::to_owned);
        match user(row) {
            Ok(user) if ids.insert(user.id.clone()) => users.push(user),
            Ok(_) => findings.push(Finding::refused(Subject::User, name, "another user has the same id")),
            Err(reason) => findings.push(Finding::unreadable(Subject::User, name, reason)),
        }
    }
    users
}

fn user(row: &Row) -> Result<User, String> {
    Ok(User {
        id: row.required("id")?.to_owned(),
        username: row.required("username")?.to_owned(),
        password_hash: SecretString::from(row.required("password_hash")?),
        created_at: moment(row, "created_at"),
        preferred: None,
        favourites: Vec::new(),
    })
}

/// Finds which models people preferred and marked, once it is known which Providers the installation has keys for.
pub(crate) fn settle_models(users: &mut [User], tables: &Tables, keys: &[Key], findings: &mut Vec<Finding>) {
    let defaults = default_models(tables);
    let only_openrouter = projects::has_only_openrouter(keys);
    for user in users.iter_mut() {
        user.preferred = defaults.get(user.id.as_str()).and_then(|text| projects::parse_model(text, only_openrouter));
    }
    for row in tables.rows("model_favorites") {
        let read = || -> Result<(&str, ModelRef), String> {
            let (provider_id, model_id) = (row.required("provider")?, row.required("model_id")?);
            let model = projects::model_ref(provider_id.trim(), model_id.trim());
            Ok((row.required("user_id")?, model.ok_or("it names no model")?))
        };
        match read() {
            Ok((user_id, model)) => {
                let user = users.iter_mut().find(|user| user.id == user_id);
                if let Some(user) = user.filter(|user| !user.favourites.contains(&model)) {
                    user.favourites.push(model);
                }
            }
            Err(reason) => {
                findings.push(Finding::unreadable(Subject::Setting, format!("favourite {}", row.number), reason));
            }
        }
    }
}

/// Reads the keys in people's settings.
pub(crate) fn keys(tables: &Tables, findings: &mut Vec<Finding>) -> Vec<Key> {
    let mut keys = Vec::new();
    for row in tables.rows("user_settings").iter().filter(|row| row.is_set("openrouter_api_key")) {
        let place = format!("user_settings, row {}", row.number);
        let read = row.required("user_id").and_then(|user_id| {
            let given = row.text("openrouter_api_key")?.map(str::trim).filter(|key| !key.is_empty());
            Ok((user_id.to_owned(), given.map(auth_file::clean).transpose()?))
        });
        match read {
            Ok((user_id, Some(key))) => keys.push(Key {
                id: format!("settings/{user_id}"),
                owner: Owner::User(user_id),
                projects: Vec::new(),
                provider_id: OPENROUTER.to_owned(),
                credential: Credential::Api { key, metadata: std::collections::BTreeMap::new() },
                place: "the settings".to_owned(),
            }),
            Ok((_, None)) => {}
            Err(reason) => findings.push(Finding::unreadable(Subject::Key, OPENROUTER, format!("{reason} ({place})"))),
        }
    }
    keys
}

/// Reads the model that each user preferred, by the user's id.
pub(crate) fn default_models(tables: &Tables) -> HashMap<&str, &str> {
    tables
        .rows("user_settings")
        .iter()
        .filter_map(|row| {
            let user_id = row.text("user_id").ok().flatten()?;
            let model = row.text("default_model").ok().flatten()?.trim();
            (!model.is_empty()).then_some((user_id, model))
        })
        .collect()
}

/// Says what there is besides people, keys and Projects.
pub(crate) fn others(tables: &Tables, findings: &mut Vec<Finding>) {
    for row in tables.rows("instance_settings") {
        if let Ok(Some(url)) = row.text("base_url") {
            // An address may hold a password: only a plain one is shown.
            let shown = if is_plain_address(url) { url } else { "an address" };
            let reason = format!("it was {shown}: start `doce serve` with --public-url if it is to stay");
            findings.push(Finding::left(Subject::Setting, "base_url", reason));
        }
        if row.is_set("tailscale_auth_key") {
            findings.push(Finding::left(
                Subject::Setting,
                "tailscale_auth_key",
                "it lies there in clear and is of no use to doce: revoke it at Tailscale",
            ));
        }
    }
    for row in tables.rows("queue_settings") {
        let number = |column| row.integer(column).map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        let reason = format!("concurrency {}, paused {}: doce has its own", number("concurrency"), number("paused"));
        findings.push(Finding::left(Subject::Setting, "queue_settings", reason));
    }
    let fast = tables.rows("user_settings").iter().filter(|row| row.is_set("fast_model")).count();
    if fast > 0 {
        let reason = format!("{fast} of them: titles are written by the project's own model");
        findings.push(Finding::left(Subject::Setting, "fast_model", reason));
    }
    let live = |row: &&Row| matches!(row.text("state"), Ok(Some("queued" | "running")));
    let live = tables.rows("queue_jobs").iter().filter(live).count();
    if live > 0 {
        let reason = "work that was under way is never taken up here";
        findings.push(Finding::left(Subject::Job, format!("{live} queued or running"), reason));
    }
}

fn is_plain_address(url: &str) -> bool {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    host.is_some_and(|host| {
        !host.is_empty() && host.len() <= 100 && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:/".contains(&b))
    })
}
