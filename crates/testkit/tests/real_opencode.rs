//! The scripted model behind the real OpenCode, once per protocol: its bundled SDKs accept the streams, and a scripted tool call makes a file.
//!
//! `DOCE_OPENCODE` names the binary, else the one that `cargo xtask test` installs is taken. Without either these tests fail; none is skipped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use doce_testkit::scripted_model::{Outcome, Protocol};
use doce_testkit::{ScriptedModel, free_port, wait_for};
use serde_json::{Value, json};

const PASSWORD: &str = "the agent's own";
const KEY: &str = "sk-testkit-0123456789";
/// A cold start of a 185 MB binary on a busy machine, and a whole conversation after it.
const BOUND: Duration = Duration::from_mins(1);

/// A running OpenCode with one provider. Dropping it ends it.
struct OpenCode {
    process: Child,
    port: u16,
    root: tempfile::TempDir,
    provider: &'static str,
    model: &'static str,
    /// One real OpenCode at a time on this machine: it takes most of a gigabyte and of two cores.
    _alone: File,
}

impl OpenCode {
    async fn start(provider: &'static str, model: &'static str, block: Value) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../opencode");
        let binary = binary(&target);
        fs::create_dir_all(&target).expect("the build's directory is writable");
        let alone = File::create(target.join("alone.lock")).expect("writable");
        alone.lock().expect("files can be locked");
        let root = tempfile::tempdir().expect("a temporary directory");
        for directory in ["home", "data", "config", "state", "cache", "work"] {
            fs::create_dir(root.path().join(directory)).expect("writable");
        }
        let config = json!({
            "share": "disabled", "autoupdate": false, "enabled_providers": [provider], "provider": { provider: block },
            "permission": { "*": "allow", "question": "deny", "external_directory": "deny", "doom_loop": "deny" },
        });
        let port = free_port();
        let process = spawn(&binary, root.path(), port, &config);
        let opencode = Self { process, port, root, provider, model, _alone: alone };
        wait_for("a healthy OpenCode", BOUND, async || opencode.health().await).await;
        let entry = json!({ "type": "api", "key": KEY });
        let stored = opencode
            .request(reqwest::Method::PUT, &format!("/auth/{provider}"))
            .json(&entry)
            .send()
            .await
            .expect("an answer");
        assert_eq!(stored.status(), 200);
        opencode
    }

    fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new()
            .request(method, format!("http://127.0.0.1:{}{path}", self.port))
            .basic_auth("opencode", Some(PASSWORD))
    }

    /// A connection made right after the port opened is never answered, so each look is short.
    async fn health(&self) -> Option<()> {
        let look = self.request(reqwest::Method::GET, "/global/health").timeout(Duration::from_millis(400));
        look.send().await.is_ok_and(|answer| answer.status() == 200).then_some(())
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let sent = self.request(reqwest::Method::POST, path).timeout(BOUND).json(body).send().await;
        let answer = sent.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}: {}", self.log());
        answer.json().await.expect("JSON")
    }

    async fn session(&self) -> String {
        let session = self.post("/session", &json!({})).await;
        session["id"].as_str().expect("a session has an id").to_owned()
    }

    /// Sends a prompt and waits for the last message of its answer.
    async fn prompt(&self, session: &str, text: &str) -> Value {
        let body = json!({
            "model": { "providerID": self.provider, "modelID": self.model },
            "parts": [{ "type": "text", "text": text }],
        });
        self.post(&format!("/session/{session}/message"), &body).await
    }

    fn file(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.path().join("work").join(path)).ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.path().join("log")).unwrap_or_default()
    }
}

impl Drop for OpenCode {
    fn drop(&mut self) {
        // It may be gone already; either way it is waited for, so that nothing is left of it.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
fn binary(target: &Path) -> PathBuf {
    let binary =
        std::env::var_os("DOCE_OPENCODE").map_or_else(|| target.join("opencode-1.18.33/opencode"), PathBuf::from);
    assert!(
        binary.is_file(),
        "there is no OpenCode at {}: `cargo xtask test` installs the pinned one, or set DOCE_OPENCODE",
        binary.display()
    );
    binary
}

#[expect(clippy::disallowed_methods, reason = "the runtime crate isn't a part of this crate's tests")]
fn spawn(binary: &Path, root: &Path, port: u16, config: &Value) -> Child {
    let log = File::create(root.join("log")).expect("writable");
    Command::new(binary)
        .args(["serve", "--hostname", "127.0.0.1", "--port", &port.to_string()])
        .current_dir(root.join("work"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", root.join("home"))
        .env("XDG_DATA_HOME", root.join("data"))
        .env("XDG_CONFIG_HOME", root.join("config"))
        .env("XDG_STATE_HOME", root.join("state"))
        .env("XDG_CACHE_HOME", root.join("cache"))
        .env("OPENCODE_SERVER_PASSWORD", PASSWORD)
        .env("OPENCODE_CONFIG_CONTENT", config.to_string())
        .env("OPENCODE_DISABLE_MODELS_FETCH", "1")
        .env("OPENCODE_DISABLE_AUTOUPDATE", "1")
        .env("OPENCODE_DISABLE_PROJECT_CONFIG", "1")
        .env("OPENCODE_PURE", "1")
        // No registry: it would install its plugin kit into the home.
        .env("npm_config_registry", "http://127.0.0.1:9")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be opened twice"))
        .stderr(log)
        .spawn()
        .expect("OpenCode starts")
}

fn texts(message: &Value, kind: &str) -> Vec<String> {
    let parts = message["parts"].as_array().expect("a message has parts");
    parts
        .iter()
        .filter(|part| part["type"] == kind)
        .map(|part| part["text"].as_str().expect("a text part has text").to_owned())
        .collect()
}

/// Words, reasoning, then a file by a tool call, an abort's trace and a refusal: all through one protocol.
async fn holds_a_conversation(opencode: &OpenCode, model: &ScriptedModel, protocol: Protocol, key_header: &str) {
    let session = opencode.session().await;
    let answer = opencode.prompt(&session, "[[think: let me see]] [[say: one two three]]").await;
    assert_eq!(texts(&answer, "text"), ["one two three"], "{answer}");
    assert_eq!(texts(&answer, "reasoning"), ["let me see"], "{answer}");
    assert_eq!(answer["info"]["finish"], "stop", "{answer}");
    assert_eq!(answer["info"]["tokens"]["output"], 6, "{answer}");

    let prompt = r"Now a file. [[say: writing]] [[write: src/hello.txt | first\nsecond]] [[say: it is written]]";
    let answer = opencode.prompt(&session, prompt).await;
    assert_eq!(texts(&answer, "text"), ["it is written"], "{answer}");
    let file = opencode.file("src/hello.txt").expect("the tool call made the file");
    assert_eq!(file.trim_end(), "first\nsecond");

    let answer = opencode.prompt(&session, "[[status: 401]]").await;
    assert_eq!(answer["info"]["error"]["data"]["statusCode"], 401, "{answer}");

    let turns = model.agent_turns();
    assert_eq!(turns.len(), 4, "{turns:#?}");
    for turn in &turns {
        assert_eq!(turn.protocol, protocol);
        assert_eq!(turn.key_header.as_deref(), Some(key_header));
        assert_eq!(turn.key.as_deref(), Some(KEY));
        assert_eq!(turn.outcome, Outcome::Completed);
    }
    assert_eq!(turns[2].tool_results, 1);
}

/// An answer that is aborted in the middle keeps its words, and the model sees the connection close.
async fn is_aborted_in_the_middle(opencode: &OpenCode, model: &ScriptedModel) {
    let session = opencode.session().await;
    let path = format!("/session/{session}/message");
    let stop = async {
        wait_for("the words to arrive", BOUND, async || {
            let messages = opencode.request(reqwest::Method::GET, &path).send().await.ok()?;
            let messages: Value = messages.json().await.ok()?;
            messages.to_string().contains("step-start").then_some(())
        })
        .await;
        opencode.post(&format!("/session/{session}/abort"), &json!({})).await
    };
    let (answer, _) = tokio::join!(opencode.prompt(&session, "[[say: one two three]] [[hang-after: 2]]"), stop);
    assert_eq!(answer["info"]["error"]["name"], "MessageAbortedError", "{answer}");
    assert_eq!(texts(&answer, "text"), ["one two "], "{answer}");
    let is_left = |request: &doce_testkit::scripted_model::RecordedRequest| request.outcome == Outcome::ClosedByClient;
    model.wait_for_request(is_left, BOUND).await;
}

#[tokio::test]
async fn the_real_opencode_accepts_anthropic_messages() {
    let model = ScriptedModel::start().await;
    let block = json!({ "options": { "baseURL": model.anthropic_base_url() } });
    let opencode = OpenCode::start("anthropic", "claude-sonnet-4-6", block).await;
    holds_a_conversation(&opencode, &model, Protocol::Anthropic, "x-api-key").await;
    is_aborted_in_the_middle(&opencode, &model).await;
}

#[tokio::test]
async fn the_real_opencode_accepts_chat_completions() {
    let model = ScriptedModel::start().await;
    let block = json!({
        "npm": "@ai-sdk/openai-compatible", "name": "Custom", "options": { "baseURL": model.openai_base_url() },
        "models": { "scripted": { "name": "Scripted", "tool_call": true, "limit": { "context": 128_000, "output": 8192 } } },
    });
    let opencode = OpenCode::start("custom-scripted", "scripted", block).await;
    holds_a_conversation(&opencode, &model, Protocol::Chat, "authorization").await;
    is_aborted_in_the_middle(&opencode, &model).await;
}

#[tokio::test]
async fn the_real_opencode_accepts_responses() {
    let model = ScriptedModel::start().await;
    let block = json!({ "options": { "baseURL": model.openai_base_url() } });
    let opencode = OpenCode::start("openai", "gpt-5.1", block).await;
    holds_a_conversation(&opencode, &model, Protocol::Responses, "authorization").await;
    is_aborted_in_the_middle(&opencode, &model).await;
}
