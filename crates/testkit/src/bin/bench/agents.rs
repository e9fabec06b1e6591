//! The agents that a doce started, found by what the system says of its processes, and a script's way to talk to one.
//!
//! None of doce's code is in here: this is the baseline.

use std::{fs, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use super::doce::Events;

/// An OpenCode server that runs.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    client: reqwest::Client,
    url: String,
    username: String,
    password: String,
}

impl Agent {
    pub(crate) fn new(port: u16, username: &str, password: &str) -> Self {
        Self {
            client: super::doce::client(),
            url: format!("http://127.0.0.1:{port}"),
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).basic_auth(&self.username, Some(&self.password))
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("the agent answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let text = answer.text().await.expect("an answer is text");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("an answer is JSON") }
    }

    /// Waits until it answers; what is asked too early is never answered, so every look is short.
    pub(crate) async fn wait_healthy(&self) {
        let healthy = async {
            loop {
                let asked =
                    self.request(Method::GET, "/global/health").timeout(Duration::from_millis(200)).send().await;
                if asked.is_ok_and(|answer| answer.status().is_success()) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(super::doce::BOUND, healthy).await.expect("the agent is healthy in time");
    }

    pub(crate) async fn put_key(&self, key: &str) {
        self.send(Method::PUT, "/auth/anthropic", Some(&json!({ "type": "api", "key": key }))).await;
    }

    pub(crate) async fn reload(&self) {
        self.send(Method::POST, "/instance/dispose", None).await;
    }

    /// Looks which key it uses.
    pub(crate) async fn key(&self) -> Option<String> {
        let held = self.send(Method::GET, "/config/providers", None).await;
        let providers = held["providers"].as_array()?;
        let anthropic = providers.iter().find(|provider| provider["id"] == "anthropic")?;
        anthropic["key"].as_str().map(str::to_owned)
    }

    pub(crate) async fn create_session(&self) -> String {
        super::doce::id_of(&self.send(Method::POST, "/session", Some(&json!({}))).await)
    }

    pub(crate) async fn prompt(&self, session: &str, text: &str) {
        let body = json!({
            "model": { "providerID": "anthropic", "modelID": "claude-sonnet-4-6" },
            "parts": [{ "type": "text", "text": text }],
        });
        self.send(Method::POST, &format!("/session/{session}/prompt_async"), Some(&body)).await;
    }

    /// Opens the stream of all that happens in it.
    pub(crate) async fn events(&self) -> Events {
        Events::of(self.request(Method::GET, "/global/event").send().await.expect("the agent answers"))
    }
}

/// Finds the agents that a process started.
pub(crate) fn started_by(doce: u32) -> Vec<Agent> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("there is /proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let words = |name| {
            let text = fs::read(entry.path().join(name)).unwrap_or_default();
            text.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>()
        };
        let environment = words("environ");
        let variable = |name: &str| environment.iter().find_map(|v| v.strip_prefix(name)?.strip_prefix('='));
        let Some(password) = variable("OPENCODE_SERVER_PASSWORD") else { continue };
        let command = words("cmdline");
        let port = command.iter().skip_while(|word| *word != "--port").nth(1).and_then(|port| port.parse().ok());
        if let Some(port) = port.filter(|_| descends(pid, doce)) {
            found.push(Agent::new(port, variable("OPENCODE_SERVER_USERNAME").unwrap_or("opencode"), password));
        }
    }
    // The sandbox around an agent has the same words behind its own.
    found.sort_by(|a, b| a.url.cmp(&b.url));
    found.dedup_by(|a, b| a.url == b.url);
    found
}

/// Whether a process was started by another, or by one that it started.
fn descends(pid: u32, from: u32) -> bool {
    let parent = |pid: u32| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    std::iter::successors(Some(pid), |pid| parent(*pid)).take_while(|pid| *pid > 1).any(|pid| pid == from)
}
