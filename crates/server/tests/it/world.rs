//! A world for one test: a server with its own data, on its own port, and people who talk to it over HTTP.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_app::{AgentLimits, App, AuditEntry, AuditQuery, Config, LocalPlace, Outside, TokenEndpoints};
use doce_model::{Actor, Clock, Ctx, Ms};
use doce_server::{Limits, Server, Settings, SystemClock, preview::Origin};
use doce_testkit::{
    ScriptedModel,
    fake_agent::{Call, read_calls},
    wait_for,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// How long anything may take that happens beside a request.
pub(crate) const BOUND: Duration = Duration::from_mins(1);
/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// A model that the fake's catalogue has.
pub(crate) const MODEL: (&str, &str) = ("anthropic", "claude-sonnet-4-6");

/// The machine's clock, moved by a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shifted(Arc<AtomicI64>);

impl Shifted {
    pub(crate) fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).expect("a test's times are short");
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for Shifted {
    fn now(&self) -> Ms {
        Ms(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}

/// What a test's server is like.
pub(crate) struct Builder {
    settings: Settings,
    listen: &'static str,
    background: bool,
    opencode: Utf8PathBuf,
    token_endpoints: TokenEndpoints,
    local_places: Vec<LocalPlace>,
    agents: AgentLimits,
}

impl Builder {
    /// Serves under this address.
    pub(crate) fn public_url(mut self, url: &str) -> Self {
        self.settings.public_url = Some(Origin::parse(url).expect("it is an origin"));
        self
    }

    /// Listens on every address instead of the loopback one.
    pub(crate) fn on_all_addresses(self) -> Self {
        Self { listen: "0.0.0.0:0", ..self }
    }

    /// Has other limits.
    pub(crate) fn limits(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        change(&mut self.settings.limits);
        self
    }

    /// Runs workers, and the fake in place of OpenCode.
    pub(crate) fn running(self) -> Self {
        Self { background: true, ..self }
    }

    /// Looks for programs with models here, too.
    pub(crate) fn local_place(mut self, name: &str, base_url: String) -> Self {
        self.local_places.push(LocalPlace { name: name.to_owned(), base_url });
        self
    }

    /// Has room for this many agents.
    pub(crate) fn most_agents(mut self, most: usize) -> Self {
        self.agents.most = Some(most);
        self
    }

    /// Stops agents that rest for so long.
    pub(crate) fn idle_stop(mut self, after: Duration) -> Self {
        self.agents.idle_stop = Some(after);
        self
    }

    /// Asks anew for the events of an agent that was silent for so long, and ends one that answered nothing for so long.
    pub(crate) fn silence(mut self, silence: Duration, unanswered: Duration) -> Self {
        (self.agents.silence, self.agents.unanswered) = (silence, unanswered);
        self
    }

    /// Asks here about a provider's logins.
    pub(crate) fn asked_instead(mut self, provider_id: &str, base_url: &str) -> Self {
        self.token_endpoints = self.token_endpoints.asked_instead(provider_id, base_url);
        self
    }

    /// Looks for OpenCode here.
    pub(crate) fn opencode(self, path: impl Into<Utf8PathBuf>) -> Self {
        Self { opencode: path.into(), ..self }
    }

    /// Has the keys of an OpenCode in this file.
    pub(crate) fn opencode_auth_file(mut self, path: &Utf8Path) -> Self {
        self.settings.opencode_auth_file = Some(path.to_owned());
        self
    }

    /// Starts it.
    pub(crate) async fn start(self) -> World {
        // It fails only if a provider is there already, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let root =
            Utf8PathBuf::from_path_buf(directory.path().canonicalize().expect("it exists")).expect("its path is UTF-8");
        let tools = make_tools(&root);
        let clock = Shifted::default();
        let config = Config {
            data_dir: root.join("data"),
            database_url: None,
            master_key_file: None,
            opencode: Some(self.opencode),
            unsandboxed: false,
            npm_registry: None,
            outside: Outside { search_path: format!("{tools}:/usr/local/bin:/usr/bin:/bin"), variables: Vec::new() },
            token_endpoints: self.token_endpoints,
            local_places: self.local_places,
            agents: self.agents,
        };
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let app = App::open(config, Arc::clone(&shared)).await.expect("a fresh data directory can be opened");
        if self.background {
            app.run_background();
        }
        let listener = TcpListener::bind(self.listen).await.expect("a free port can be opened");
        let server = Server::start(app.clone(), shared, listener, self.settings).expect("it can be served");
        let port = server.address().port();
        World { app, server: Some(server), clock, directory, root, port }
    }
}

/// Where the fake lies that Cargo builds with the tests.
pub(crate) fn fake_opencode() -> Utf8PathBuf {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let target = test.parent().and_then(|deps| deps.parent()).map(PathBuf::from).expect("a test lies in deps/");
    let path = target
        .join("examples/fake-opencode")
        .canonicalize()
        .expect("the example fake-opencode is built: choose tests with `-E`, as `--test` leaves examples out");
    Utf8PathBuf::from_path_buf(path).expect("its path is UTF-8")
}

/// Makes an `npm` that installs a dev server of a few lines at once, instead of asking a registry.
pub(crate) fn make_tools(root: &Utf8Path) -> Utf8PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let tools = root.join("tools/bin");
    std::fs::create_dir_all(&tools).expect("a directory can be made");
    let npm = tools.join("npm");
    let script = r#"#!/bin/sh
set -e
mkdir -p node_modules/vite/bin
cat > node_modules/vite/bin/vite.js <<'JS'
const port = Number(process.argv[process.argv.indexOf("--port") + 1]);
require("node:http")
  .createServer((request, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<h1>the app at ${request.url}</h1><pre>${JSON.stringify(request.headers)}</pre>`);
  })
  .on("upgrade", (request, socket) => {
    const { createHash } = require("node:crypto");
    const key = request.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const accept = createHash("sha1").update(key).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    const words = Buffer.from("the app changed");
    socket.write(Buffer.concat([Buffer.from([0x81, words.length]), words]));
    socket.on("error", () => {});
  })
  .listen(port, "127.0.0.1");
JS
echo '{}' > node_modules/.package-lock.json
echo "added 1 package"
"#;
    std::fs::write(&npm, script).expect("a file can be written");
    std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    tools
}

/// A server and all that belongs to it. It ends with this value.
pub(crate) struct World {
    pub(crate) app: App,
    server: Option<Server>,
    pub(crate) clock: Shifted,
    #[expect(dead_code, reason = "it is removed with the world")]
    directory: TempDir,
    root: Utf8PathBuf,
    pub(crate) port: u16,
}

impl World {
    /// Begins to describe one.
    pub(crate) fn builder() -> Builder {
        Builder {
            settings: Settings::default(),
            listen: "127.0.0.1:0",
            background: false,
            opencode: fake_opencode(),
            local_places: Vec::new(),
            // Fakes weigh nothing: on a small machine, too, there is room for as many as a test wants. And they go on
            // when a test moves the clock.
            agents: AgentLimits { most: Some(100), idle_stop: None, ..AgentLimits::default() },
            token_endpoints: TokenEndpoints::default(),
        }
    }

    /// Starts one that has people and no agents.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// Starts one that has agents, and waits until it knows what they can do.
    pub(crate) async fn running() -> Self {
        Self::builder().running().start().await
    }

    /// Where its data lies.
    pub(crate) fn data(&self) -> Utf8PathBuf {
        self.root.join("data")
    }

    /// What the fake agents of a project were asked so far.
    pub(crate) fn calls(&self, project: &str) -> Vec<Call> {
        read_calls(self.data().join("projects").join(project).join("home").as_std_path())
    }

    /// A browser that is not signed in.
    pub(crate) fn nobody(&self) -> Browser {
        Browser::new(self.port)
    }

    /// The first account.
    pub(crate) async fn admin(&self) -> Browser {
        let browser = self.nobody();
        browser.post("/api/setup", &json!({"username": "ada", "password": PASSWORD})).await.expect(201);
        browser
    }

    /// Another account, made by the admin.
    pub(crate) async fn member(&self, admin: &Browser, name: &str) -> Browser {
        let new = json!({"username": name, "password": PASSWORD, "role": "member"});
        admin.post("/api/users", &new).await.expect(201);
        self.signed_in(name).await
    }

    /// A browser that signs in.
    pub(crate) async fn signed_in(&self, name: &str) -> Browser {
        let browser = self.nobody();
        browser.post("/api/sign-in", &json!({"username": name, "password": PASSWORD})).await.expect(200);
        browser
    }

    /// The code that the server prints.
    pub(crate) fn setup_code(&self) -> String {
        use secrecy::ExposeSecret as _;
        self.server.as_ref().expect("it runs").setup_code().expose_secret().to_owned()
    }

    /// The audit events of one request.
    pub(crate) async fn audit_of(&self, request_id: &str) -> Vec<AuditEntry> {
        let mut entries = self.audit().await;
        entries.retain(|entry| entry.request_id == request_id);
        entries
    }

    /// The newest audit events.
    pub(crate) async fn audit(&self) -> Vec<AuditEntry> {
        let ctx = Ctx::new(Actor::Cli, "test", None, Arc::new(self.clock.clone()));
        let found = self.app.authenticate("").await.expect("the store answers");
        assert!(found.is_none(), "an empty token is nobody's");
        let admin = doce_model::User {
            id: doce_model::UserId::new(ctx.now()),
            username: "test".to_owned(),
            role: doce_model::Role::Admin,
            created_at: ctx.now(),
            disabled_at: None,
        };
        let whole = AuditQuery::default();
        let (views, _) =
            self.app.list_audit(&ctx, &admin, &whole, None, Some(1000)).await.expect("the audit log can be read");
        views.into_iter().map(|view| view.entry).collect()
    }

    /// Stops the server in order, as a signal does, and leaves the use cases running.
    pub(crate) async fn stop_server(&mut self) {
        self.server.take().expect("it runs").stop().await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let (server, app) = (self.server.take(), self.app.clone());
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                if let Some(server) = server {
                    server.stop().await;
                }
                app.shutdown().await;
            });
        });
    }
}

/// A browser: it keeps its cookie, and sends what it is told.
#[derive(Debug)]
pub(crate) struct Browser {
    client: reqwest::Client,
    base: String,
    cookie: Mutex<Option<String>>,
    token: Option<String>,
}

impl Browser {
    /// One that is not signed in, for the server on this port.
    pub(crate) fn new(port: u16) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(BOUND)
            .build()
            .expect("a client without settings can be made");
        Self { client, base: format!("http://127.0.0.1:{port}"), cookie: Mutex::default(), token: None }
    }

    /// The same server, asked by a script with an API token.
    pub(crate) fn script(&self, token: &str) -> Self {
        let (client, base) = (self.client.clone(), self.base.clone());
        Self { client, base, cookie: Mutex::default(), token: Some(token.to_owned()) }
    }

    /// The cookie, as the browser would send it.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes another cookie.
    pub(crate) fn set_cookie(&self, cookie: Option<String>) {
        *self.cookie.lock().unwrap_or_else(PoisonError::into_inner) = cookie;
    }

    /// Begins a request.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.known(self.client.request(method, format!("{}{path}", self.base)))
    }

    /// Says in a request whose it is.
    fn known(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = self.cookie().into_iter().fold(request, |request, cookie| request.header("cookie", cookie));
        self.token.iter().fold(request, reqwest::RequestBuilder::bearer_auth)
    }

    /// Sends a request, and keeps the cookie that the answer brings.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        for line in headers.get_all("set-cookie") {
            let pair = line.to_str().expect("our cookies are ASCII").split(';').next().unwrap_or_default();
            let is_gone = pair.ends_with('=');
            self.set_cookie((!is_gone).then(|| pair.to_owned()));
        }
        let body = response.bytes().await.expect("the body arrives").to_vec();
        Answer { status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Connects a provider with the model's address, and waits until the catalogue is there.
    pub(crate) async fn connect(&self, model: &ScriptedModel, key: &str) -> Value {
        self.wait_for_catalogue().await;
        let connection = json!({
            "provider_id": MODEL.0, "auth_type": "api", "key": key, "base_url": model.anthropic_base_url(),
        });
        self.post("/api/connections", &connection).await.expect(201)
    }

    /// Waits until the providers are known.
    pub(crate) async fn wait_for_catalogue(&self) {
        wait_for("the catalogue", BOUND, async || {
            let answer = self.get("/api/providers").await;
            assert!(!answer.text().contains("could not be read"), "{}", answer.text());
            (answer.status == StatusCode::OK && !answer.json()["items"].as_array()?.is_empty()).then_some(())
        })
        .await;
    }

    /// Makes a project and returns the answer's body.
    pub(crate) async fn create_project(&self, prompt: &str) -> Value {
        let (provider_id, model_id) = MODEL;
        let new = json!({"prompt": prompt, "model": {"provider_id": provider_id, "model_id": model_id}});
        self.post("/api/projects", &new).await.expect(202)
    }

    /// Waits until a job has ended, and returns it.
    pub(crate) async fn wait_for_job(&self, id: &str) -> Value {
        wait_for(&format!("the end of {id}"), BOUND, async || {
            let job = self.get(&format!("/api/jobs/{id}")).await.expect(200);
            let is_live = matches!(job["state"].as_str(), Some("queued" | "running"));
            (!is_live).then_some(job)
        })
        .await
    }

    /// Waits until the last message of a project is an answer that is whole and nothing goes on any more, and returns the
    /// messages. An answer with tools is several messages: wait for its words.
    pub(crate) async fn wait_for_answer(&self, project: &str) -> Vec<Value> {
        wait_for("the answer", BOUND, async || {
            let page = self.get(&format!("/api/projects/{project}/messages")).await.expect(200);
            let messages = page["items"].as_array()?.clone();
            let last = messages.last()?;
            assert_ne!(last["state"], "failed", "{last}");
            if last["role"] != "assistant" || last["state"] != "complete" {
                return None;
            }
            // The agent says that it is idle a moment after its last word, and the job ends a moment after that.
            let project = self.get(&format!("/api/projects/{project}")).await.expect(200);
            let at_rest = project["session"]["kind"] == "idle" && project["job"].is_null();
            at_rest.then_some(messages)
        })
        .await
    }

    /// Sends a prompt as soon as it is taken: a stream that was opened late tells of an answer's beginning after its end.
    pub(crate) async fn prompt(&self, project: &str, prompt: &Value) -> Value {
        let path = format!("/api/projects/{project}/prompts");
        let taken = wait_for("the prompt to be taken", BOUND, async || {
            let answer = self.post(&path, prompt).await;
            (answer.status != 409).then_some(answer)
        });
        taken.await.expect(202)
    }

    /// Waits until an answer that is whole ends with these words.
    pub(crate) async fn wait_for_words(&self, project: &str, words: &str) {
        wait_for("the words of the answer", BOUND, async || {
            let messages = self.wait_for_answer(project).await;
            let parts = messages.last()?["parts"].as_array()?.clone();
            (parts.last()?["text"] == words).then_some(())
        })
        .await;
    }

    /// Opens the event stream.
    pub(crate) async fn stream(&self, query: &str) -> Events {
        let request = self.client.get(format!("{}/api/stream{query}", self.base)).timeout(BOUND * 5);
        Events::of(self.known(request).send().await.expect("the server answers"))
    }
}

/// Returns the id of a noun.
#[track_caller]
pub(crate) fn id(noun: &Value) -> String {
    noun["id"].as_str().unwrap_or_else(|| panic!("{noun} has no id")).to_owned()
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Returns the body if the status is this one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self.json()
    }

    /// Returns the problem if it has this status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        problem
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// An event of the stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Frame {
    /// The number in its id.
    pub(crate) fn number(&self) -> u64 {
        let number = self.id.as_deref().and_then(|id| id.rsplit_once('-')?.1.parse().ok());
        number.expect("an event has a number")
    }
}

/// An open event stream.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    response: reqwest::Response,
    rest: String,
    /// Comments that came so far.
    pub(crate) comments: usize,
}

impl Events {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, response, rest: String::new(), comments: 0 }
    }

    /// Waits for the next event; `None` is the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            while let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.rest = rest;
                match parse(&block) {
                    Some(frame) => return Some(frame),
                    None => self.comments += 1,
                }
            }
            let chunk = tokio::time::timeout(BOUND, self.response.chunk()).await;
            let chunk = chunk.expect("the stream says something within the bound");
            // A connection that breaks is an end, too.
            let chunk = chunk.ok().flatten()?;
            self.rest.push_str(str::from_utf8(&chunk).expect("the stream is UTF-8"));
        }
    }

    /// Waits for the next event that this says something about.
    pub(crate) async fn find<T>(&mut self, what: &str, mut look: impl FnMut(&Frame) -> Option<T>) -> T {
        let search = async {
            let mut seen = Vec::new();
            while let Some(frame) = self.next().await {
                if let Some(found) = look(&frame) {
                    return found;
                }
                seen.push(frame.event);
            }
            panic!("the stream ended before {what}; it had {seen:?}");
        };
        let Ok(found) = tokio::time::timeout(BOUND, search).await else {
            panic!("waited {BOUND:?} in vain for {what}");
        };
        found
    }

    /// Waits until a comment came.
    pub(crate) async fn wait_for_comment(&mut self) {
        let before = self.comments;
        while self.comments == before {
            let chunk = tokio::time::timeout(BOUND, self.response.chunk()).await;
            let chunk = chunk.expect("the stream says something within the bound");
            let chunk = chunk.expect("the stream is open").expect("the stream is open");
            self.rest.push_str(str::from_utf8(&chunk).expect("the stream is UTF-8"));
            while self.rest.starts_with(':')
                && let Some(end) = self.rest.find("\n\n")
            {
                self.rest.drain(..end + 2);
                self.comments += 1;
            }
        }
    }
}

fn parse(block: &str) -> Option<Frame> {
    let mut frame = Frame { id: None, event: String::new(), data: Value::Null };
    for line in block.lines() {
        match line.split_once(':') {
            Some(("id", value)) => frame.id = Some(value.trim().to_owned()),
            Some(("event", value)) => value.trim().clone_into(&mut frame.event),
            Some(("data", value)) => frame.data = serde_json::from_str(value.trim()).expect("data is JSON"),
            _ => {}
        }
    }
    (!frame.event.is_empty()).then_some(frame)
}
