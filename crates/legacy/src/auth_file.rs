//! `auth.json`, the file in which OpenCode keeps what it signs in to Providers with.
//!
//! Each entry is judged by itself. No text of the file gets into a reason: any of it may be a key.

use std::{collections::BTreeMap, time::SystemTime};

use camino::Utf8Path;
use doce_model::api_key::{self, KeyError};
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{
    Credential, Finding, Key, Owner, Subject,
    beneath::{Directory, Unusable},
};

/// Most bytes of an `auth.json` that are read.
pub(crate) const AUTH_MAX: u64 = 4 * 1024 * 1024;
/// Most bytes of a Provider's id.
const PROVIDER_MAX: usize = 100;

/// Why an `auth.json` can't be read.
#[derive(Debug, thiserror::Error)]
pub enum AuthFileError {
    /// There is none.
    #[error("find `{path}`: there is no such file")]
    Absent {
        /// Where it was looked for.
        path: String,
    },
    /// It is something else, or the system refused.
    #[error("read `{path}`: {reason}")]
    Unusable {
        /// Where it is.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Reads an `auth.json` that somebody named, and what in it can't be taken.
pub fn read_auth_file(path: &Utf8Path) -> Result<(Vec<Key>, Vec<Finding>), AuthFileError> {
    let unusable = |reason: String| AuthFileError::Unusable { path: path.to_string(), reason };
    let absent = || AuthFileError::Absent { path: path.to_string() };
    let folder = path.parent().filter(|folder| !folder.as_str().is_empty()).unwrap_or(Utf8Path::new("."));
    let name = path.file_name().ok_or_else(absent)?;
    let directory = Directory::open(folder).map_err(|_nothing_there| absent())?;
    let bytes = match directory.read(name, AUTH_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(absent()),
        Err(e) => return Err(unusable(e.to_string())),
    };
    let mut found = Found::default();
    match entries(&bytes) {
        Ok(entries) => found.take(path.as_str(), entries),
        Err(reason) => return Err(unusable(reason)),
    }
    Ok((found.keys, found.findings))
}

/// Keys, and what isn't one.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) keys: Vec<Key>,
    pub(crate) findings: Vec<Finding>,
}

impl Found {
    fn take(&mut self, place: &str, entries: Map<String, Value>) {
        for (provider_id, entry) in entries {
            match credential(&provider_id, &entry) {
                Ok(credential) => self.keys.push(Key {
                    id: format!("auth.json/{provider_id}"),
                    owner: Owner::Installation,
                    projects: Vec::new(),
                    provider_id,
                    credential,
                    place: place.to_owned(),
                }),
                Err(reason) => self.findings.push(Finding::refused(
                    Subject::Key,
                    shown_provider(&provider_id),
                    format!("{reason} (in {place})"),
                )),
            }
        }
    }
}

/// Reads all of an installation's files; for a Provider that is in more than one, the newest file's entry counts.
pub(crate) fn read_all(files: &[(&Directory, &str, String)]) -> Found {
    let mut found = Found::default();
    let mut read: Vec<(SystemTime, &str, Map<String, Value>)> = Vec::new();
    for (directory, path, place) in files {
        let modified = directory.file(path.as_ref()).and_then(|file| Ok(file.metadata()?.modified()?));
        let outcome = directory.read(path, AUTH_MAX).map_err(|e: Unusable| e.to_string());
        match outcome.and_then(|bytes| bytes.as_deref().map(entries).transpose()) {
            Ok(Some(entries)) => {
                read.push((modified.unwrap_or(SystemTime::UNIX_EPOCH), place.as_str(), entries));
            }
            Ok(None) => {}
            Err(reason) => found.findings.push(Finding::unreadable(Subject::File, place, reason)),
        }
    }
    read.sort_by_key(|(modified, ..)| std::cmp::Reverse(*modified));
    let mut seen = std::collections::HashSet::new();
    for (_, place, mut entries) in read {
        entries.retain(|provider_id, _| seen.insert(provider_id.clone()));
        found.take(place, entries);
    }
    found
}

/// Takes a file apart into its entries.
fn entries(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(entries)) => Ok(entries),
        Ok(_) => Err("it is JSON, and not a list of providers".to_owned()),
        // The parser's own words may quote the file.
        Err(e) => Err(format!("it is not JSON: it breaks off or errs in line {}, column {}", e.line(), e.column())),
    }
}

fn credential(provider_id: &str, entry: &Value) -> Result<Credential, String> {
    let Value::Object(entry) = entry else {
        return Err("its entry has an unknown shape, so it is left alone".to_owned());
    };
    let kind = entry.get("type").and_then(Value::as_str);
    // A well-known entry is named by the address of its document.
    if kind != Some("wellknown") && !is_provider_id(provider_id) {
        return Err("its name is not a provider's id".to_owned());
    }
    match kind {
        Some("api") => api(entry, "key"),
        // For a short time there was a shape without a type.
        None if entry.contains_key("apiKey") => api(entry, "apiKey"),
        Some("oauth") => {
            let secret = |name: &str| text(entry, name).map(SecretString::from);
            let (Some(refresh), Some(access)) = (secret("refresh"), secret("access")) else {
                return Err("its entry is a login without tokens".to_owned());
            };
            let details = ["accountId", "enterpriseUrl"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), text(entry, name)?.to_owned())))
                .collect();
            let expires = entry.get("expires").and_then(Value::as_i64);
            Ok(Credential::OAuth { refresh, access, expires, details })
        }
        Some("wellknown") if text(entry, "key").is_some() && text(entry, "token").is_some() => {
            Ok(Credential::WellKnown)
        }
        Some(_) | None => Err("its entry has an unknown shape, so it is left alone".to_owned()),
    }
}

fn api(entry: &Map<String, Value>, name: &str) -> Result<Credential, String> {
    let given = text(entry, name).ok_or("its entry holds no key")?;
    let mut metadata = BTreeMap::new();
    match entry.get("metadata") {
        None | Some(Value::Null) => {}
        Some(Value::Object(answers)) => {
            for (question, answer) in answers {
                let answer = answer.as_str().ok_or("the answers beside its key have an unknown shape")?;
                metadata.insert(question.clone(), answer.to_owned());
            }
        }
        Some(_) => return Err("the answers beside its key have an unknown shape".to_owned()),
    }
    Ok(Credential::Api { key: clean(given)?, metadata })
}

fn text<'e>(entry: &'e Map<String, Value>, name: &str) -> Option<&'e str> {
    entry.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// Returns a key without what stands around it, or why it can't be one. The reason shows nothing of it.
pub(crate) fn clean(given: &str) -> Result<SecretString, String> {
    api_key::clean(given).map(SecretString::from).map_err(|e| match e {
        KeyError::Empty => "its key is empty".to_owned(),
        KeyError::TooLong { len } => format!("its key has {len} bytes, more than any provider's"),
        KeyError::Character { position, .. } => {
            format!("its key can't be one: character {position} is none that a key may have")
        }
    })
}

/// The rule that a Provider's id keeps.
pub(crate) fn is_provider_id(text: &str) -> bool {
    (1..=PROVIDER_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && !text.starts_with('.')
}

/// A name that is no Provider's may be a key in the wrong place: it is not shown.
fn shown_provider(provider_id: &str) -> &str {
    let known = is_provider_id(provider_id) && provider_id.len() <= 40 && !provider_id.starts_with("sk-");
    if known { provider_id } else { "an entry with another name" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn read(text: &str) -> Found {
        let mut found = Found::default();
        found.take("auth.json", entries(text.as_bytes()).unwrap());
        found
    }

    fn key_of(key: &Key) -> &str {
        match &key.credential {
            Credential::Api { key, .. } => key.expose_secret(),
            other => panic!("{other:?} is not a key"),
        }
    }

    #[test]
    fn every_shape_that_opencode_ever_wrote_is_known() {
        let found = read(
            r#"{
              "groq": {"type": "api", "key": " gsk_planted "},
              "cloudflare-workers-ai": {"type": "api", "key": "cf", "metadata": {"accountId": "acc"}},
              "openrouter": {"apiKey": "sk-or-planted"},
              "github-copilot": {"type": "oauth", "refresh": "ghu_p", "access": "tid_p", "expires": 17, "accountId": "a"},
              "https://ai.acme.test": {"type": "wellknown", "key": "ACME_TOKEN", "token": "planted"}
            }"#,
        );
        assert_eq!(found.findings, []);
        let by = |id: &str| found.keys.iter().find(|key| key.provider_id == id).unwrap();
        assert_eq!(key_of(by("groq")), "gsk_planted");
        assert_eq!(key_of(by("openrouter")), "sk-or-planted");
        let Credential::Api { metadata, .. } = &by("cloudflare-workers-ai").credential else { panic!("it is a key") };
        assert_eq!(metadata["accountId"], "acc");
        let Credential::OAuth { refresh, access, expires, details } = &by("github-copilot").credential else {
            panic!("it is a login")
        };
        assert_eq!((refresh.expose_secret(), access.expose_secret(), *expires), ("ghu_p", "tid_p", Some(17)));
        assert_eq!(details["accountId"], "a");
        assert!(matches!(by("https://ai.acme.test").credential, Credential::WellKnown));
    }

    #[test]
    fn a_broken_entry_is_named_and_the_others_are_read() {
        let found = read(
            r#"{
              "a": "sk-planted", "b": {"type": "api"}, "c": {"type": "api", "key": 7}, "d": {"type": "saml", "key": "k"},
              "e": {"type": "oauth", "access": "planted"}, "f": {"type": "api", "key": "sk planted"}, "g": [],
              "../h": {"type": "api", "key": "k"}, "sk-planted-in-the-wrong-place": {"key": "x"},
              "i": {"type": "api", "key": "k", "metadata": {"a": {"planted": 1}}}, "j": {"type": "wellknown", "key": "K"},
              "groq": {"type": "api", "key": "gsk_good"}
            }"#,
        );
        assert_eq!(found.keys.len(), 1);
        assert_eq!(found.findings.len(), 11);
        let said = format!("{:?}{:?}", found.findings, found.keys);
        assert!(!said.contains("planted") && !said.contains("gsk_good"), "{said}");
    }

    #[test]
    fn a_broken_file_says_where_and_not_what() {
        for text in ["", "{", "[]", "7", "{\"a\": \"sk-planted\"", "{\"a\": sk-planted}", "\u{0}"] {
            let reason = entries(text.as_bytes()).unwrap_err();
            assert!(!reason.contains("planted"), "{reason}");
        }
    }

    #[test]
    fn the_newer_file_wins_for_each_provider() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let write = |name: &str, text: &str, age: u64| {
            std::fs::write(root.join(name), text).unwrap();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 - age);
            std::fs::File::options().write(true).open(root.join(name)).unwrap().set_modified(at).unwrap();
        };
        write("old", r#"{"groq": {"type": "api", "key": "old"}, "xai": {"type": "api", "key": "only"}}"#, 10);
        write("new", r#"{"groq": {"type": "api", "key": "new"}}"#, 0);
        write("broken", r#"{"groq": {"type": "api", "key": "planted""#, 0);
        let directory = Directory::open(root).unwrap();
        let files = ["old", "new", "broken", "absent"].map(|name| (&directory, name, name.to_owned()));
        let found = read_all(&files);
        let keys: Vec<_> = found.keys.iter().map(|key| (key.provider_id.as_str(), key_of(key))).collect();
        assert_eq!(keys, [("groq", "new"), ("xai", "only")]);
        assert_eq!(found.findings.len(), 1);
        assert!(!format!("{:?}", found.findings).contains("planted"));
    }

    #[test]
    fn a_file_that_somebody_named_is_read_or_the_reason_said() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let path = root.join("auth.json");
        assert!(matches!(read_auth_file(&path), Err(AuthFileError::Absent { .. })));
        assert!(matches!(read_auth_file(&root.join("no/auth.json")), Err(AuthFileError::Absent { .. })));
        assert!(matches!(read_auth_file(root), Err(AuthFileError::Unusable { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(read_auth_file(&path).unwrap_err().to_string().contains("line 1"));
        std::fs::write(&path, r#"{"groq": {"type": "api", "key": "k"}}"#).unwrap();
        assert_eq!(read_auth_file(&path).unwrap().0.len(), 1);
        let limit = usize::try_from(AUTH_MAX).unwrap();
        std::fs::write(&path, format!("{{}}{}", " ".repeat(limit - 2))).unwrap();
        assert!(read_auth_file(&path).unwrap().0.is_empty());
        std::fs::write(&path, format!("{{}}{}", " ".repeat(limit - 1))).unwrap();
        assert!(read_auth_file(&path).unwrap_err().to_string().contains("at most"));
    }
}
