//! The real binary on a PostgreSQL database with the fake in place of OpenCode, and a person's hands on both.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

/// How long anything may take that happens beside a request.
pub(crate) const BOUND: Duration = Duration::from_mins(1);
/// The key that is connected.
pub(crate) const KEY: &str = "sk-planted-in-the-test";
const MODEL: (&str, &str) = ("anthropic", "claude-sonnet-4-6");
const PASSWORD: &str = "correct horse battery";

/// The server whose databases are made.
pub(crate) fn server() -> String {
    std::env::var("DOCE_TEST_PG").expect("DOCE_TEST_PG names a server; `cargo xtask test postgres` does it")
}

/// A `doce` that keeps its files in a directory and everything else in a database, if one is named.
pub(crate) fn doce(data: &Path, database: Option<&str>) -> Command {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let target: PathBuf = test.parent().and_then(Path::parent).expect("a test lies in deps/").to_owned();
    let mut command = Command::new(env!("CARGO_BIN_EXE_doce"));
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("DOCE_DATA_DIR", data)
        .env("DOCE_LISTEN", "127.0.0.1:0")
        .env("DOCE_OPENCODE", target.join("examples/fake-opencode"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(url) = database {
        command.env("DOCE_DATABASE_URL", url);
    }
    command
}

/// Runs a command; returns its code, and all that it said.
pub(crate) fn run(command: &mut Command) -> (i32, String) {
    let output = command.output().expect("doce can be started");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it ended by itself"), String::from_utf8(said).expect("what doce says is UTF-8"))
}

/// A doce that runs, and who is signed in. It ends with this value.
pub(crate) struct Person {
    child: Child,
    url: String,
    cookie: String,
    client: reqwest::Client,
}

impl Person {
    /// Starts a doce.
    pub(crate) fn start(data: &Path, database: Option<&str>) -> Self {
        let log = std::fs::File::create(data.with_extension("log")).expect("a log file");
        let mut child = doce(data, database).arg("serve").stderr(log).spawn().expect("doce can be started");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("what doce says is UTF-8");
        let Some(url) = line.trim().strip_prefix("Open ").map(str::to_owned) else {
            let mut said = String::new();
            let mut log = std::fs::File::open(data.with_extension("log")).expect("it is there");
            log.read_to_string(&mut said).expect("what doce says is UTF-8");
            panic!("`{line}` is no address: {said}");
        };
        let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
        Self { child, url, cookie: String::new(), client }
    }

    /// Asks; returns the status and the body.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().expect("it is a method");
        let mut request = self.client.request(method, format!("{}{path}", self.url)).header("cookie", &self.cookie);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.timeout(BOUND).send().await.expect("it answers");
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Makes the first account, or signs in as who has it.
    pub(crate) async fn come_in(&mut self, path: &str) {
        let body = json!({"username": "ada", "password": PASSWORD});
        let answer = self.client.post(format!("{}{path}", self.url)).json(&body).send().await.expect("it answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let cookie = answer.headers()["set-cookie"].to_str().expect("it is ASCII");
        cookie.split(';').next().expect("a pair").clone_into(&mut self.cookie);
    }

    /// Connects a model; returns the connection's id.
    pub(crate) async fn connect(&self, model: &ScriptedModel) -> String {
        let new = json!({
            "provider_id": MODEL.0, "auth_type": "api", "key": KEY, "base_url": model.anthropic_base_url(),
        });
        let made = wait_for("the catalogue", BOUND, async || {
            let (status, made) = self.ask("POST", "/api/connections", Some(new.clone())).await;
            (status == 201).then_some(made)
        });
        made.await["id"].as_str().expect("an id").to_owned()
    }

    /// Makes a project, and waits for the first answer.
    pub(crate) async fn build(&self, prompt: &str) -> String {
        let new = json!({"prompt": prompt, "model": {"provider_id": MODEL.0, "model_id": MODEL.1}});
        let (status, made) = self.ask("POST", "/api/projects", Some(new)).await;
        assert_eq!(status, 202, "{made}");
        let id = made["project"]["id"].as_str().expect("an id").to_owned();
        wait_for("the answer", BOUND, async || {
            let last = self.messages(&id).await.pop()?;
            let is_there =
                last["state"] == "complete" && last["parts"].as_array().is_some_and(|parts| !parts.is_empty());
            (last["role"] == "assistant" && is_there).then_some(())
        })
        .await;
        id
    }

    pub(crate) async fn messages(&self, project: &str) -> Vec<Value> {
        let (status, page) = self.ask("GET", &format!("/api/projects/{project}/messages"), None).await;
        assert_eq!(status, 200, "{page}");
        page["items"].as_array().expect("a list").clone()
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // In order: what doce started ends with it.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}
