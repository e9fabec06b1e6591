//! The fake's sessions: their messages and parts, in OpenCode's own JSON, saved to a file so that they survive a restart.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ids::new_id;
use crate::clock::epoch_ms;

/// All sessions of a data home.
#[derive(Debug)]
pub(super) struct Sessions {
    file: PathBuf,
    all: Vec<Session>,
    is_frozen: bool,
}

/// One session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) info: Value,
    pub(super) messages: Vec<Message>,
}

/// One message with its parts, as `GET /session/{id}/message` lists it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) info: Value,
    pub(super) parts: Vec<Value>,
}

/// The next turn a session owes its user.
#[derive(Debug, Clone)]
pub(super) struct Due {
    /// The user message to answer.
    pub(super) message_id: String,
    /// The last text in it.
    pub(super) text: String,
    /// How many tool calls were made for it.
    pub(super) turn: usize,
    /// The provider asked for.
    pub(super) provider_id: String,
    /// The model asked for.
    pub(super) model_id: String,
}

impl Sessions {
    pub(super) fn open(directory: &Path) -> Self {
        let file = directory.join("fake-sessions.json");
        let all =
            std::fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { file, all, is_frozen: false }
    }

    /// Saves everything. Best effort: a data home that was removed must not end the answer.
    pub(super) fn save(&self) {
        if self.is_frozen {
            return;
        }
        let temporary = self.file.with_extension("tmp");
        if let Ok(text) = serde_json::to_vec(&self.all)
            && std::fs::write(&temporary, text).is_ok()
        {
            let _ = std::fs::rename(&temporary, &self.file);
        }
    }

    /// Leaves the file as it is from now on.
    pub(super) fn freeze(&mut self) {
        self.is_frozen = true;
    }

    pub(super) fn create(&mut self, directory: &str, version: &str, wanted: &Value) -> Value {
        let now = epoch_ms();
        let title = match wanted["title"].as_str() {
            Some(title) => title.to_owned(),
            None => format!("{UNTITLED} - {}", iso(now)),
        };
        let info = json!({
            "id": new_id("ses"), "slug": "quiet-falcon", "version": version, "projectID": "global", "directory": directory,
            "path": directory.trim_start_matches('/'), "title": title, "cost": 0, "tokens": no_tokens(),
            "time": { "created": now, "updated": now },
        });
        self.all.push(Session { info: info.clone(), messages: Vec::new() });
        info
    }

    pub(super) fn find(&self, id: &str) -> Option<&Session> {
        self.all.iter().find(|session| session.info["id"] == id)
    }

    pub(super) fn find_mut(&mut self, id: &str) -> Option<&mut Session> {
        self.all.iter_mut().find(|session| session.info["id"] == id)
    }

    pub(super) fn list(&self, directory: &str) -> Vec<Value> {
        let mut infos: Vec<Value> = self
            .all
            .iter()
            .filter(|session| session.info["directory"] == directory)
            .map(|session| session.info.clone())
            .collect();
        infos.sort_by_key(|info| std::cmp::Reverse(info["time"]["updated"].as_u64()));
        infos
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Value> {
        let index = self.all.iter().position(|session| session.info["id"] == id)?;
        Some(self.all.remove(index).info)
    }
}

/// How titles begin until the model has given one.
const UNTITLED: &str = "New session";

impl Session {
    pub(super) fn directory(&self) -> String {
        self.info["directory"].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn is_untitled(&self) -> bool {
        self.info["title"].as_str().is_some_and(|title| title.starts_with(UNTITLED))
    }

    pub(super) fn find(&self, message: &str) -> Option<&Message> {
        self.messages.iter().find(|candidate| candidate.info["id"] == message)
    }

    pub(super) fn find_mut(&mut self, message: &str) -> Option<&mut Message> {
        self.messages.iter_mut().find(|candidate| candidate.info["id"] == message)
    }

    /// Adds a user message, or parts to the one that has this id already: that is how a prompt sent twice is doubled.
    pub(super) fn add_prompt(&mut self, message: &str, body: &Value, texts: &[String]) -> (Value, Vec<Value>) {
        let session = self.info["id"].clone();
        let model = json!({ "providerID": body["model"]["providerID"], "modelID": body["model"]["modelID"] });
        let info = json!({
            "id": message, "role": "user", "sessionID": session, "time": { "created": epoch_ms() }, "agent": "build", "model": model,
        });
        let parts: Vec<Value> = texts
            .iter()
            .map(|text| {
                json!({ "type": "text", "text": text, "messageID": message, "sessionID": session, "id": new_id("prt") })
            })
            .collect();
        self.info["agent"] = json!("build");
        self.info["model"] = json!({
            "id": body["model"]["modelID"], "providerID": body["model"]["providerID"], "variant": "default",
        });
        if let Some(existing) = self.find_mut(message) {
            existing.info = info.clone();
            existing.parts.extend(parts.clone());
        } else {
            self.messages.push(Message { info: info.clone(), parts: parts.clone() });
        }
        (info, parts)
    }

    /// Adds the assistant message of a turn.
    pub(super) fn add_answer(&mut self, due: &Due) -> Value {
        let info = json!({
            "id": new_id("msg"), "parentID": due.message_id, "role": "assistant", "mode": "build", "agent": "build",
            "path": { "cwd": self.info["directory"], "root": "/" }, "cost": 0, "tokens": no_tokens(),
            "modelID": due.model_id, "providerID": due.provider_id, "time": { "created": epoch_ms() }, "sessionID": self.info["id"],
        });
        self.messages.push(Message { info: info.clone(), parts: Vec::new() });
        info
    }

    /// What is owed to the last user message, if it isn't answered yet.
    pub(super) fn due(&self) -> Option<Due> {
        let prompt = self.messages.iter().rfind(|message| message.info["role"] == "user")?;
        let id = prompt.info["id"].as_str()?;
        let answers: Vec<&Value> = self
            .messages
            .iter()
            .filter(|message| message.info["parentID"] == id)
            .map(|message| &message.info)
            .collect();
        if let Some(last) = answers.last()
            && (last["finish"] == "stop" || !last["error"].is_null())
        {
            return None;
        }
        Some(Due {
            message_id: id.to_owned(),
            text: prompt.parts.iter().rev().find_map(|part| part["text"].as_str()).unwrap_or_default().to_owned(),
            turn: answers.iter().filter(|answer| answer["finish"] == "tool-calls").count(),
            provider_id: prompt.info["model"]["providerID"].as_str().unwrap_or_default().to_owned(),
            model_id: prompt.info["model"]["modelID"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

/// The count of tokens before any were used.
pub(super) fn no_tokens() -> Value {
    json!({ "input": 0, "output": 0, "reasoning": 0, "cache": { "read": 0, "write": 0 } })
}

/// A time as OpenCode writes it into titles.
fn iso(ms: u64) -> String {
    let time = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX));
    time.map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}
