//! The real binary as its own process, and a person's hands on its API.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use doce_testkit::wait_for;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// How long one step of a story may take on a slow machine.
pub(crate) const BOUND: Duration = Duration::from_mins(2);
/// The password of the first account.
const PASSWORD: &str = "correct horse battery";

/// Where the pinned OpenCode is.
pub(crate) fn opencode() -> PathBuf {
    let path = std::env::var_os("DOCE_OPENCODE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/opencode/opencode-1.18.33/opencode"),
        PathBuf::from,
    );
    assert!(path.is_file(), "there is no OpenCode at {}: `cargo xtask test` installs it", path.display());
    path
}

/// A data directory and the doce that runs on it, if one does.
pub(crate) struct Doce {
    pub(crate) data: PathBuf,
    opencode: PathBuf,
    env: Vec<(&'static str, PathBuf)>,
    child: Option<Child>,
    pub(crate) url: String,
    cookie: String,
    client: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Doce {
    /// Starts a doce on an empty data directory and makes the first account.
    pub(crate) async fn new() -> Self {
        Self::with_env(Vec::new()).await
    }

    /// Starts one with more variables.
    pub(crate) async fn with_env(env: Vec<(&'static str, PathBuf)>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let data = directory.path().join("data");
        std::fs::create_dir_all(&data).expect("a data directory");
        let kept = kept_catalogue();
        if kept.is_file() {
            std::fs::copy(&kept, data.join("catalogue.json")).expect("a copy of the catalogue");
        }
        let mut doce = Self {
            data,
            opencode: opencode(),
            env,
            child: None,
            url: String::new(),
            cookie: String::new(),
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            _directory: directory,
        };
        doce.start();
        let response =
            doce.request(Method::POST, "/api/setup", Some(json!({ "username": "ana", "password": PASSWORD }))).await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let cookie = response.headers()["set-cookie"].to_str().expect("a cookie").to_owned();
        cookie.split(';').next().expect("a pair").clone_into(&mut doce.cookie);
        doce.get("/api/providers?q=anthropic").await;
        if !kept.is_file() {
            let made = doce.data.join("catalogue.json");
            let read = wait_for("the catalogue is kept", BOUND, || async { made.is_file().then_some(()) });
            read.await;
            std::fs::copy(&made, &kept).expect("a copy of the catalogue");
        }
        doce
    }

    /// Starts the binary and waits for the line that says where it listens.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "one doce at a time");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_doce"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(&self.data)
            .env("DOCE_OPENCODE", &self.opencode)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("DOCE_LOG", "debug,hyper=info,reqwest=info,h2=info,sqlx=info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("doce starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        self.url = lines
            .find_map(|line| line.expect("a line").strip_prefix("Open ").map(str::to_owned))
            .unwrap_or_else(|| panic!("doce ended: {}", std::fs::read_to_string(self.log()).unwrap_or_default()));
        self.child = Some(child);
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("doce runs").id()
    }

    /// Ends the process at once, as a power cut does to it alone.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("doce runs");
        child.kill().expect("a signal");
        child.wait().expect("an end");
    }

    /// Ends the process in order.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("doce runs");
        let ended = Command::new("kill").arg(child.id().to_string()).status().expect("kill runs");
        assert!(ended.success());
        assert!(child.wait().expect("an end").success(), "{}", std::fs::read_to_string(self.log()).unwrap_or_default());
    }

    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Response {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).header("cookie", &self.cookie);
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.expect("an answer")
    }

    pub(crate) async fn json(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let response = self.request(method, path, body).await;
        let status = response.status();
        let text = response.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {text}");
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.json(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        self.json(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Value {
        self.json(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn connect(&self, provider: &str, base_url: &str, key: &str) -> String {
        let made = self
            .post(
                "/api/connections",
                json!({ "provider_id": provider, "auth_type": "api", "key": key, "base_url": base_url }),
            )
            .await;
        made["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn create(&self, prompt: &str, provider: &str, model: &str) -> String {
        let made = self
            .post("/api/projects", json!({ "prompt": prompt, "model": { "provider_id": provider, "model_id": model } }))
            .await;
        made["project"]["id"].as_str().expect("an id").to_owned()
    }

    pub(crate) async fn prompt(&self, project: &str, text: &str) {
        self.post(&format!("/api/projects/{project}/prompts"), json!({ "text": text })).await;
    }

    pub(crate) async fn project(&self, project: &str) -> Value {
        self.get(&format!("/api/projects/{project}")).await
    }

    pub(crate) async fn messages(&self, project: &str) -> Vec<Value> {
        let page = self.get(&format!("/api/projects/{project}/messages")).await;
        page["items"].as_array().expect("a list").clone()
    }

    /// Waits until the last message is an answer in this state, and the agent does nothing more.
    pub(crate) async fn answered(&self, project: &str, state: &str) -> Vec<Value> {
        wait_for(&format!("an answer is {state}"), BOUND, || async {
            let view = self.project(project).await;
            assert_ne!(view["state"], "failed", "{view:#}");
            let messages = self.messages(project).await;
            let last = messages.last()?;
            let done = last["role"] == "assistant" && last["state"] == state && view["session"]["kind"] != "busy";
            done.then_some(messages)
        })
        .await
    }

    /// Waits until a project is in this state, with no job under way.
    pub(crate) async fn settled(&self, project: &str, state: &str) -> Value {
        wait_for(&format!("the project is {state}"), BOUND, || async {
            let view = self.project(project).await;
            (view["state"] == state).then_some(view)
        })
        .await
    }

    pub(crate) async fn bytes(&self, project: &str, path: &str) -> Option<String> {
        let response = self.request(Method::GET, &format!("/api/projects/{project}/file?path={path}"), None).await;
        if response.status() == StatusCode::NOT_FOUND {
            return None;
        }
        assert_eq!(response.status(), StatusCode::OK);
        Some(response.text().await.expect("text"))
    }

    /// The agent's own credential file.
    pub(crate) fn auth_file(&self, project: &str) -> PathBuf {
        self.data.join("projects").join(project).join("home/opencode/auth.json")
    }
}

impl Drop for Doce {
    fn drop(&mut self) {
        // In order where possible: what doce started ends with it.
        if let Some(mut child) = self.child.take() {
            drop(Command::new("kill").arg(child.id().to_string()).status());
            drop(child.wait());
        }
    }
}

/// The catalogue is the same for every data directory, and reading it takes an OpenCode of its own.
fn kept_catalogue() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("catalogue-1.18.33.json")
}

/// All that the agent said in these messages, for searching.
pub(crate) fn said(messages: &[Value]) -> String {
    messages.iter().filter(|m| m["role"] == "assistant").map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A word that no other run uses.
pub(crate) fn word(prefix: &str) -> String {
    let mut bytes = [0_u8; 8];
    getrandom_fill(&mut bytes);
    bytes.iter().fold(format!("{prefix}-"), |mut word, byte| {
        use std::fmt::Write as _;
        write!(word, "{byte:02x}").expect("a String takes everything");
        word
    })
}

fn getrandom_fill(bytes: &mut [u8]) {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes)).expect("random bytes");
}
