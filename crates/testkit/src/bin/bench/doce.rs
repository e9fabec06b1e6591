//! The doce that is measured, as its own process, and a person's hands on its API.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take before a measurement is given up.
pub(crate) const BOUND: Duration = Duration::from_mins(2);
const PASSWORD: &str = "correct horse battery";

/// How a doce is started.
pub(crate) struct Start<'a> {
    pub(crate) doce: &'a Path,
    pub(crate) opencode: &'a Path,
    /// Whether previews install their packages. Where many agents are measured, that would be the measurement.
    pub(crate) npm: bool,
}

/// A doce and its data.
pub(crate) struct Doce {
    directory: TempDir,
    program: PathBuf,
    opencode: PathBuf,
    npm: bool,
    child: Option<Child>,
    pub(crate) url: String,
    cookie: String,
    client: reqwest::Client,
}

impl Doce {
    /// Starts one on an empty data directory, makes the first account and waits for the catalogue.
    pub(crate) async fn start(how: Start<'_>) -> Self {
        let Start { doce, opencode, npm } = how;
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let tools = directory.path().join("tools");
        fs::create_dir(&tools).expect("a directory can be made");
        write_refusing_npm(&tools);
        let mut doce = Self {
            directory,
            program: doce.to_path_buf(),
            opencode: opencode.to_path_buf(),
            npm,
            child: None,
            url: String::new(),
            cookie: String::new(),
            client: client(),
        };
        doce.run();
        let me = json!({ "username": "ana", "password": PASSWORD });
        let answer = doce.request(Method::POST, "/api/setup", Some(&me)).await;
        let cookie = answer.headers()["set-cookie"].to_str().expect("a cookie is text");
        doce.cookie = cookie.split(';').next().expect("a cookie has a pair").to_owned();
        doce.get("/api/providers?q=anthropic").await;
        doce
    }

    /// Starts the program on the data that is there, and returns when it says where it listens.
    pub(crate) fn run(&mut self) {
        let log = fs::File::create(self.directory.path().join("doce.log")).expect("a file can be written");
        let mut command = Command::new(&self.program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(self.data());
        command.env("DOCE_OPENCODE", &self.opencode).env("DOCE_LOG", "warn");
        // The fakes weigh nothing, and the real one runs alone.
        command.env("DOCE_MAX_AGENTS", "100");
        if !self.npm {
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{path}", self.directory.path().join("tools").display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("doce starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is ours")).lines();
        let url = lines.find_map(|line| line.ok()?.strip_prefix("Open ").map(str::to_owned));
        self.url = url.unwrap_or_else(|| panic!("doce ended: {}", self.log()));
        self.child = Some(child);
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("doce.log")).unwrap_or_default()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("doce runs").id()
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(Command::new("kill").arg(child.id().to_string()).status());
            drop(child.wait());
        }
    }

    pub(crate) async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Response {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).header("cookie", &self.cookie);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("doce answers");
        if !answer.status().is_success() {
            let status = answer.status();
            panic!("{path}: {status} {}", answer.text().await.unwrap_or_default());
        }
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.request(Method::GET, path, None).await.json().await.expect("an answer is JSON")
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        self.request(Method::POST, path, Some(body)).await.json().await.expect("an answer is JSON")
    }

    /// Connects Anthropic at this address.
    pub(crate) async fn connect(&self, base_url: &str, key: &str) -> String {
        let body = json!({ "provider_id": "anthropic", "auth_type": "api", "key": key, "base_url": base_url });
        id_of(&self.post("/api/connections", &body).await)
    }

    /// Creates a project, and returns its id and its job's.
    pub(crate) async fn create(&self, prompt: &str) -> (String, String) {
        let model = json!({ "provider_id": "anthropic", "model_id": "claude-sonnet-4-6" });
        let made = self.post("/api/projects", &json!({ "prompt": prompt, "model": model })).await;
        (id_of(&made["project"]), id_of(&made["job"]))
    }

    /// Creates a project that says which it is.
    pub(crate) async fn create_named(&self, n: usize) -> (String, String) {
        self.create(&format!("[[say: number {n}]]")).await
    }

    /// Counts the prompts that a project's agent noted, if it is the fake one.
    pub(crate) fn prompts_of(&self, project: &str) -> usize {
        let home = self.data().join("projects").join(project).join("home");
        doce_testkit::fake_agent::read_calls(&home).iter().filter(|call| call.prompt.is_some()).count()
    }

    /// Deletes a project and waits until it is gone.
    pub(crate) async fn delete(&self, project: &str) {
        let job = self.request(Method::DELETE, &format!("/api/projects/{project}"), None).await;
        let job: Value = job.json().await.expect("an answer is JSON");
        self.wait_for_job(&id_of(&job)).await;
    }

    pub(crate) async fn wait_for_job(&self, job: &str) -> Value {
        doce_testkit::wait_for("a job to end", BOUND, async || {
            let found = self.get(&format!("/api/jobs/{job}")).await;
            match found["state"].as_str() {
                Some("succeeded") => Some(found),
                Some("queued" | "running") => None,
                _ => panic!("{found:#}\n{}", self.log()),
            }
        })
        .await
    }

    /// Opens the stream of events.
    pub(crate) async fn stream(&self, query: &str) -> Events {
        Events::of(self.request(Method::GET, &format!("/api/stream{query}"), None).await)
    }
}

impl Drop for Doce {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A client that keeps its connections and asks no proxy.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client without settings can be made")
}

pub(crate) fn id_of(noun: &Value) -> String {
    noun["id"].as_str().expect("a noun has an id").to_owned()
}

fn write_refusing_npm(tools: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let npm = tools.join("npm");
    fs::write(&npm, "#!/bin/sh\nexit 1\n").expect("a file can be written");
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

/// A stream of server-sent events, of whichever server.
pub(crate) struct Events {
    bytes: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: String,
}

impl Events {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        Self { bytes: response.bytes_stream().boxed(), buffer: String::new() }
    }

    /// Waits for the next event and returns its data.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let event: String = self.buffer.drain(..end + 2).collect();
                let data = event.lines().find_map(|line| line.strip_prefix("data:"));
                if let Some(data) = data {
                    return serde_json::from_str(data.trim()).expect("an event's data is JSON");
                }
                continue;
            }
            let bytes = tokio::time::timeout(BOUND, self.bytes.next()).await.expect("an event in time");
            let bytes = bytes.expect("the stream goes on").expect("the stream is whole");
            self.buffer.push_str(std::str::from_utf8(&bytes).expect("small ASCII events come whole"));
        }
    }
}
