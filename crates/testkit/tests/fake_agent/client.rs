//! A client of a fake Agent, and agents to try it on.

use std::time::Duration;

use doce_testkit::fake_agent::{Builder, FakeAgent};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::SseReader;

pub(crate) const CONFIG: &str = r#"{
    "enabled_providers": ["anthropic", "custom"],
    "permission": { "*": "allow", "question": "deny", "external_directory": "deny", "doom_loop": "deny" },
    "provider": {
        "anthropic": { "npm": "@ai-sdk/anthropic", "options": { "baseURL": "http://127.0.0.1:9/v1" } },
        "custom": { "npm": "@ai-sdk/openai-compatible", "name": "Custom", "models": { "m": { "name": "M" } } }
    }
}"#;

/// A client of one fake Agent.
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(url: String) -> Self {
        Self { url, http: reqwest::Client::new() }
    }

    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request =
            self.http.request(method, format!("{}{path}", self.url)).basic_auth("opencode", Some("secret"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.call(Method::POST, path, Some(body)).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub(crate) async fn put_key(&self, provider: &str, key: &str) -> (u16, Value) {
        let entry = json!({ "type": "api", "key": key });
        self.call(Method::PUT, &format!("/auth/{provider}"), Some(entry)).await
    }

    pub(crate) async fn session(&self) -> String {
        let session = self.post("/session", json!({})).await;
        session["id"].as_str().expect("a session has an id").to_owned()
    }

    pub(crate) async fn prompt(&self, session: &str, text: &str) -> Value {
        self.post(&format!("/session/{session}/message"), prompt(None, text)).await
    }

    pub(crate) async fn prompt_async(&self, session: &str, id: Option<&str>, text: &str) {
        let path = format!("/session/{session}/prompt_async");
        let (status, body) = self.call(Method::POST, &path, Some(prompt(id, text))).await;
        assert_eq!((status, body), (204, Value::Null));
    }

    pub(crate) async fn message_status(&self, session: &str, id: &str) -> u16 {
        self.call(Method::GET, &format!("/session/{session}/message/{id}"), None).await.0
    }

    pub(crate) async fn messages(&self, session: &str) -> Vec<Value> {
        let list = self.get(&format!("/session/{session}/message")).await;
        list.as_array().expect("a list").clone()
    }

    pub(crate) async fn events(&self, path: &str) -> Events {
        let request = self.http.get(format!("{}{path}", self.url)).basic_auth("opencode", Some("secret"));
        let mut events = Events(SseReader::new(request.send().await.expect("an answer")));
        let first = events.next().await.expect("a first event");
        assert_eq!(kind(&first), "server.connected");
        events
    }
}

pub(crate) fn prompt(id: Option<&str>, text: &str) -> Value {
    let mut body = json!({
        "model": { "providerID": "custom", "modelID": "m" }, "parts": [{ "type": "text", "text": text }],
    });
    if let Some(id) = id {
        body["messageID"] = json!(id);
    }
    body
}

/// An event stream of a fake Agent.
pub(crate) struct Events(SseReader);

impl Events {
    /// The next event; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let event = self.0.next().await.expect("the stream isn't broken")?;
        assert_eq!(event.name, None, "OpenCode's events have no SSE name");
        Some(event.json())
    }

    /// Events up to the n-th of a kind, with their `sync` doubles.
    pub(crate) async fn until(&mut self, wanted: &str, times: usize) -> Vec<Value> {
        let mut seen: Vec<Value> = Vec::new();
        let mut count = 0;
        while count < times {
            let Some(event) = self.next().await else {
                panic!("the stream ended after {:?}", kinds(&seen));
            };
            count += usize::from(kind(&event) == wanted);
            seen.push(event);
        }
        seen
    }
}

pub(crate) fn payload(event: &Value) -> &Value {
    if event["payload"].is_null() { event } else { &event["payload"] }
}

pub(crate) fn kind(event: &Value) -> &str {
    payload(event)["type"].as_str().expect("an event has a type")
}

/// The kinds without the doubles, statuses with what they say.
pub(crate) fn kinds(events: &[Value]) -> Vec<String> {
    let plain = events.iter().filter(|event| kind(event) != "sync");
    plain
        .map(|event| match payload(event)["properties"]["status"]["type"].as_str() {
            Some(status) => format!("{}:{status}", kind(event)),
            None => kind(event).to_owned(),
        })
        .collect()
}

pub(crate) fn builder() -> Builder {
    FakeAgent::builder().config_content(CONFIG).retry_delays([Duration::from_millis(30)])
}

pub(crate) async fn agent() -> (FakeAgent, Client) {
    started(builder()).await
}

pub(crate) async fn started(builder: Builder) -> (FakeAgent, Client) {
    let agent = builder.start().await.expect("the fake starts");
    let client = Client::new(agent.url());
    assert_eq!(client.put_key("custom", "sk-custom").await, (200, json!(true)));
    (agent, client)
}
