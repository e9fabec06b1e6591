//! The record of what a fake Agent was asked, kept in memory and in a file beside its data, so that it outlives the process.
//!
//! Bodies aren't recorded, for they hold credentials; of a prompt its text, its model and its message id are.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// The name of the file in OpenCode's directory of the data home.
const FILE: &str = "fake-calls.jsonl";

/// One request a fake Agent received, with the right password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// The process that received it; another one after a restart.
    pub pid: u32,
    /// The HTTP method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The prompt, when it is one.
    pub prompt: Option<PromptCall>,
}

/// A prompt a fake Agent received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptCall {
    /// The session.
    pub session_id: String,
    /// The message id the client chose, or the one it was given.
    pub message_id: String,
    /// The provider that was asked for.
    pub provider_id: Option<String>,
    /// The model that was asked for.
    pub model_id: Option<String>,
    /// The text, all parts joined by newlines.
    pub text: String,
}

/// The record of one fake Agent.
#[derive(Debug)]
pub(super) struct CallLog {
    calls: Mutex<Vec<Call>>,
    file: PathBuf,
    auth_writes: AtomicU64,
}

impl CallLog {
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self { calls: Mutex::new(Vec::new()), file: directory.join(FILE), auth_writes: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, method: &str, path: &str, prompt: Option<PromptCall>) {
        let call = Call {
            at_ms: crate::clock::epoch_ms(),
            pid: std::process::id(),
            method: method.to_owned(),
            path: path.to_owned(),
            prompt,
        };
        let line = serde_json::to_string(&call).expect("a call has no type that JSON lacks");
        let mut calls = self.calls.lock().expect("no code panics while it holds this lock");
        calls.push(call);
        // Best effort: a data home that was removed must not end the answer.
        if let Ok(mut file) = OpenOptions::new().append(true).create(true).open(&self.file) {
            let _ = writeln!(file, "{line}");
        }
    }

    pub(super) fn count_auth_write(&self) {
        self.auth_writes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn auth_writes(&self) -> u64 {
        self.auth_writes.load(Ordering::Relaxed)
    }

    pub(super) fn all(&self) -> Vec<Call> {
        self.calls.lock().expect("no code panics while it holds this lock").clone()
    }
}

/// Reads the calls that all fake Agents with this data home (`XDG_DATA_HOME`) received, restarts included. Empty when there was none.
pub fn read_calls(data_home: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(data_home.join("opencode").join(FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
