//! What a scripted model holds while it runs: its keys, its scripts and the record of requests.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::watch;

use super::record::{Outcome, RecordedRequest};
use crate::script::Script;

type Respond = dyn Fn(&RecordedRequest) -> Option<Script> + Send + Sync;

/// Which keys are accepted.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    /// Every key, but there must be one.
    AnyKey,
    /// Every request.
    Everything,
    /// These; the empty one is a missing key.
    Only(BTreeSet<String>),
}

pub(super) struct State {
    inner: Mutex<Inner>,
    started: Instant,
    /// Raised at every change of the record.
    changed: watch::Sender<u64>,
    closing: watch::Sender<bool>,
}

struct Inner {
    keys: Keys,
    models: Vec<String>,
    scripts: VecDeque<Script>,
    respond: Option<Arc<Respond>>,
    requests: Vec<RecordedRequest>,
    /// How often a turn with `times` was refused, by conversation and turn.
    refused: HashMap<(String, usize), u32>,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                keys: Keys::AnyKey,
                models: vec!["scripted-large".to_owned(), "scripted-small".to_owned()],
                scripts: VecDeque::new(),
                respond: None,
                requests: Vec::new(),
                refused: HashMap::new(),
            }),
            started: Instant::now(),
            changed: watch::Sender::new(0),
            closing: watch::Sender::new(false),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }

    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Resolves when the server ends.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut closing = self.closing.subscribe();
        async move {
            // An error means that the state is gone, which is an end as well.
            let _ = closing.wait_for(|closed| *closed).await;
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn set_keys(&self, keys: Keys) {
        self.inner().keys = keys;
    }

    pub(super) fn set_models(&self, models: Vec<String>) {
        self.inner().models = models;
    }

    pub(super) fn models(&self) -> Vec<String> {
        self.inner().models.clone()
    }

    pub(super) fn set_respond(&self, respond: Box<Respond>) {
        self.inner().respond = Some(Arc::from(respond));
    }

    pub(super) fn respond(&self, request: &RecordedRequest) -> Option<Script> {
        // The function runs without the lock, so that it may ask the model things.
        let respond = self.inner().respond.clone();
        respond.and_then(|respond| respond(request))
    }

    pub(super) fn push(&self, script: Script) {
        self.inner().scripts.push_back(script);
    }

    pub(super) fn next_script(&self) -> Option<Script> {
        self.inner().scripts.pop_front()
    }

    pub(super) fn clear(&self) {
        let mut inner = self.inner();
        inner.scripts.clear();
        inner.refused.clear();
        inner.requests.clear();
    }

    /// Counts one more refusal of a turn and tells whether it is still within the limit.
    pub(super) fn may_refuse(&self, conversation: &str, turn: usize, limit: u32) -> bool {
        let mut inner = self.inner();
        let count = inner.refused.entry((conversation.to_owned(), turn)).or_default();
        *count += 1;
        *count <= limit
    }

    pub(super) fn accepts(&self, key: Option<&str>) -> bool {
        let key = key.unwrap_or_default();
        match &self.inner().keys {
            Keys::AnyKey => !key.is_empty(),
            Keys::Everything => true,
            Keys::Only(keys) => keys.contains(key),
        }
    }

    /// Adds a request to the record; its number and time are set here.
    pub(super) fn record(&self, request: &mut RecordedRequest) {
        {
            let mut inner = self.inner();
            request.number = inner.requests.len();
            request.at_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            inner.requests.push(request.clone());
        }
        self.changed.send_modify(|version| *version += 1);
    }

    /// Settles how a request ended; the first word counts.
    pub(super) fn settle(&self, number: usize, outcome: Outcome) {
        {
            let mut inner = self.inner();
            // The record may have been cleared in the meantime.
            if let Some(request) = inner.requests.get_mut(number)
                && request.outcome == Outcome::Open
            {
                request.outcome = outcome;
            }
        }
        self.changed.send_modify(|version| *version += 1);
    }

    pub(super) fn requests(&self) -> Vec<RecordedRequest> {
        self.inner().requests.clone()
    }

    pub(super) fn count(&self) -> usize {
        self.inner().requests.len()
    }

    /// One line per request, for messages of failed tests. Bodies are too long for it.
    pub(super) fn summary(&self) -> String {
        let mut lines = String::new();
        for request in &self.inner().requests {
            let text: String = request.user_text.chars().take(60).collect();
            let _ = writeln!(
                lines,
                "#{} at {} ms: {} {} tools={} results={} outcome={:?} text={text:?}",
                request.number,
                request.at_ms,
                request.method,
                request.path,
                request.tools.len(),
                request.tool_results,
                request.outcome,
            );
        }
        lines
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("count", &self.count()).finish_non_exhaustive()
    }
}
