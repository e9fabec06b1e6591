//! Starts the real OpenCode, in a home of its own, and ends it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use doce_opencode::config::{self, AgentConfig, AgentPaths, CustomModel, CustomProvider, DeliveredProvider, Mask};
use doce_opencode::{Client, Session, install};
use doce_testkit::Providers;
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use super::BOUND;

const REGISTRY: &str = "https://registry.npmjs.org/";

/// A running Agent with its directories. Dropping it ends it.
pub(crate) struct Agent {
    pub(crate) client: Client,
    pub(crate) port: u16,
    process: Child,
    root: tempfile::TempDir,
    /// It is read when it is first needed.
    _certificate: Option<tempfile::NamedTempFile>,
    /// One real OpenCode at a time: it takes most of a gigabyte and of two cores.
    _alone: File,
}

impl Agent {
    /// Starts an Agent that may use the custom provider `acme` at `base_url`.
    pub(crate) async fn start(base_url: &str) -> Self {
        Self::start_with(|_root| acme(base_url)).await
    }

    /// Starts an Agent with this configuration; its directories are there by then.
    pub(crate) async fn start_with(configure: impl FnOnce(&Path) -> AgentConfig) -> Self {
        Self::start_in(&[], None, configure).await
    }

    /// Starts an Agent that finds these hosts in the place of the real ones, and no others.
    pub(crate) async fn start_among(providers: &Providers, configure: impl FnOnce(&Path) -> AgentConfig) -> Self {
        let certificate = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(certificate.path(), providers.certificate()).expect("writable");
        let proxy = providers.proxy_url();
        let path = certificate.path().to_str().expect("a plain path");
        let env = [("HTTPS_PROXY", &*proxy), ("NO_PROXY", "127.0.0.1,localhost"), ("NODE_EXTRA_CA_CERTS", path)];
        Self::start_in(&env.map(|(name, value)| (name, value.to_owned())), Some(certificate), configure).await
    }

    async fn start_in(
        env: &[(&str, String)],
        certificate: Option<tempfile::NamedTempFile>,
        configure: impl FnOnce(&Path) -> AgentConfig,
    ) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../opencode");
        fs::create_dir_all(&target).expect("the build's directory is writable");
        let alone = File::create(target.join("alone.lock")).expect("writable");
        alone.lock().expect("files can be locked");
        let binary = binary(&target).await;
        let root = tempfile::tempdir().expect("a temporary directory");
        for directory in ["home", "data", "config/opencode", "state", "cache", "work", "doce"] {
            fs::create_dir_all(root.path().join(directory)).expect("writable");
        }
        for (name, content) in config::pinned_files() {
            fs::write(root.path().join("doce").join(name), content).expect("writable");
        }
        for (name, content) in config::home_files() {
            fs::write(root.path().join("config/opencode").join(name), content).expect("writable");
        }
        fs::write(root.path().join("doce/opencode.json"), configure(root.path()).to_json()).expect("writable");
        let port = free_port();
        let password = SecretString::from("the agent's own");
        let process = spawn(&binary, root.path(), port, &password, env);
        let agent = Self {
            client: Client::new(port, &password),
            port,
            process,
            root,
            _certificate: certificate,
            _alone: alone,
        };
        if let Err(error) = agent.client.wait_healthy(BOUND).await {
            panic!("{error:?}; it said: {}", agent.read("log"));
        }
        agent
    }

    /// Where `path` of this Agent's is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("beneath the root")).expect("writable");
        fs::write(path, content).expect("writable");
    }

    /// Replaces its configuration as doce does: beside, then renamed.
    pub(crate) fn configure(&self, config: &AgentConfig) {
        self.write("doce/opencode.json.new", &config.to_json());
        fs::rename(self.path("doce/opencode.json.new"), self.path("doce/opencode.json")).expect("writable");
    }

    /// Shows the Agent what a sandbox would show it in place of some files of its Workspace.
    pub(crate) fn mask(&self) {
        for mask in config::workspace_masks() {
            match mask {
                Mask::EmptyDirectory(path) => {
                    let path = self.path("work").join(path);
                    fs::remove_dir_all(&path).expect("there to be masked");
                    fs::create_dir(path).expect("writable");
                }
                Mask::File(path, content) => self.write(&format!("work/{path}"), content),
            }
        }
    }

    pub(crate) async fn put(&self, provider: &str, key: &str) {
        self.client
            .put_auth(provider, &SecretString::from(key), &BTreeMap::new())
            .await
            .expect("the credential is taken");
    }

    pub(crate) async fn session(&self) -> Session {
        // A title keeps the Agent from asking the model for one.
        self.client.create_session(Some("test")).await.expect("a session")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may be gone already; either way it is waited for, so that nothing is left of it.
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The configuration with one custom provider, `acme`, and every model that the scripted one plays.
pub(crate) fn acme(base_url: &str) -> AgentConfig {
    let model =
        |id: &str| CustomModel { id: id.to_owned(), name: id.to_owned(), context: Some(100_000), output: Some(10_000) };
    AgentConfig {
        providers: vec![DeliveredProvider {
            id: "acme".to_owned(),
            npm: "@ai-sdk/openai-compatible".to_owned(),
            options: [("baseURL".to_owned(), json!(base_url))].into_iter().collect(),
            custom: Some(CustomProvider {
                name: "Acme {env:HOME}".to_owned(),
                models: ["echo", "hang", "reject", "bash", "question"].map(model).into(),
            }),
        }],
        small_model: Some("acme/echo".to_owned()),
        permission: config::default_permission(),
        instructions: Vec::new(),
    }
}

/// The binary: what a person named, or the pinned one, installed by this crate's own code.
#[expect(clippy::disallowed_methods, reason = "a test has no configuration but its environment")]
async fn binary(target: &Path) -> PathBuf {
    if let Some(path) = std::env::var_os("DOCE_OPENCODE") {
        return path.into();
    }
    let registry = Url::parse(REGISTRY).expect("a constant address is valid");
    install::fetch(&registry, target, |_, _| {}).await.expect("the npm registry is reachable, or DOCE_OPENCODE is set")
}

#[expect(clippy::disallowed_methods, reason = "the runtime crate isn't a part of this crate's tests")]
fn spawn(binary: &Path, root: &Path, port: u16, password: &SecretString, env: &[(&str, String)]) -> Child {
    let at = |path: &str| root.join(path);
    let (home, data, config) = (at("home"), at("data"), at("config"));
    let (state, cache, pinned) = (at("state"), at("cache"), at("doce"));
    let paths = AgentPaths { home: &home, data: &data, config: &config, state: &state, cache: &cache, pinned: &pinned };
    let log = File::create(at("log")).expect("writable");
    Command::new(binary)
        .args(["serve", "--hostname", "127.0.0.1", "--port", &port.to_string()])
        .current_dir(at("work"))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(config::environment(&paths, password))
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be opened twice"))
        .stderr(log)
        .spawn()
        .expect("OpenCode starts")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has free ports");
    listener.local_addr().expect("a bound socket has an address").port()
}
