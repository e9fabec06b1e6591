//! The fake's `auth.json`: written the way OpenCode 1.18.33 writes it, with its traps.
//!
//! A write is an unlocked read-modify-write (concurrent ones lose entries), an unreadable file counts as empty (the next write erases it), and an
//! unknown `type` is refused with a message that repeats the whole body, key included.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value, json};

/// How long a write is open to being overtaken by another.
const UNLOCKED: Duration = Duration::from_millis(2);

/// The entries by provider.
pub(super) type Entries = Map<String, Value>;

/// The file with the credentials.
#[derive(Debug, Clone)]
pub(super) struct AuthFile {
    path: PathBuf,
}

impl AuthFile {
    /// The file in OpenCode's directory of this data home.
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self { path: directory.join("auth.json") }
    }

    pub(super) fn read(&self) -> Entries {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) async fn put(&self, id: &str, entry: Value) -> std::io::Result<()> {
        let mut entries = self.read();
        entries.insert(id.trim_end_matches('/').to_owned(), entry);
        tokio::time::sleep(UNLOCKED).await;
        self.write(&entries)
    }

    pub(super) async fn delete(&self, id: &str) -> std::io::Result<()> {
        let mut entries = self.read();
        entries.remove(id);
        tokio::time::sleep(UNLOCKED).await;
        self.write(&entries)
    }

    fn write(&self, entries: &Entries) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(entries)?;
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        file.write_all(text.as_bytes())
    }
}

/// Checks the body of `PUT /auth/{id}` and drops fields that don't belong. The error is the message of a 400.
pub(super) fn check_entry(body: Option<&Value>) -> Result<Value, String> {
    let Some(body) = body else {
        return Err("Expected Auth, got undefined".to_owned());
    };
    let fields: &[(&str, bool)] = match body["type"].as_str() {
        Some("api") => &[("key", true)],
        Some("oauth") => &[("refresh", true), ("access", true), ("accountId", false), ("enterpriseUrl", false)],
        Some("wellknown") => &[("key", true), ("token", true)],
        _ => return Err(format!("Expected Auth, got {body}")),
    };
    let mut entry = Map::new();
    entry.insert("type".to_owned(), body["type"].clone());
    for (field, required) in fields {
        match &body[*field] {
            Value::String(text) => {
                entry.insert((*field).to_owned(), json!(text));
            }
            Value::Null if !required => {}
            Value::Null => return Err(format!("Missing key\n  at [\"{field}\"]")),
            other => return Err(format!("Expected string, got {other}\n  at [\"{field}\"]")),
        }
    }
    if body["type"] == "oauth" {
        let Some(expires) = body["expires"].as_u64() else {
            return Err("Missing key\n  at [\"expires\"]".to_owned());
        };
        entry.insert("expires".to_owned(), json!(expires));
    }
    match &body["metadata"] {
        Value::Null => {}
        Value::Object(fields) if fields.values().all(Value::is_string) => {
            entry.insert("metadata".to_owned(), json!(fields));
        }
        other => return Err(format!("Expected object, got {other}\n  at [\"metadata\"]")),
    }
    Ok(Value::Object(entry))
}
