//! The command itself: what it says, how it ends, and what it does when something is in its way.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpStream,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use doce_testkit::{ScriptedModel, wait_for};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    restarts::agents_of,
    world::{BOUND, MODEL, PASSWORD, fake_opencode},
};

#[expect(clippy::disallowed_methods, reason = "this is about the command, so it is started")]
pub(crate) fn doce(directory: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doce"));
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("DOCE_DATA_DIR", directory.join("data"))
        .env("DOCE_LISTEN", "127.0.0.1:0")
        .env("DOCE_OPENCODE", fake_opencode())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same command, started by another program.
#[expect(clippy::disallowed_methods, reason = "this is about the command, so it is started")]
pub(crate) fn through(program: &str, arguments: &[&str], original: &Command) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for (name, value) in original.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.args(arguments).arg(original.get_program()).args(original.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A command that is bound by modes, as everybody's is but root's: root's is started without the right to pass them.
pub(crate) fn bound_by_modes(original: Command) -> Command {
    if rustix::process::geteuid().is_root() {
        through("setpriv", &["--bounding-set", "-dac_override,-dac_read_search,-net_bind_service", "--"], &original)
    } else {
        original
    }
}

pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("doce can be started");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what doce says is UTF-8");
    (status.code().expect("it ended by itself"), text(stdout), text(stderr))
}

/// A `doce serve` that runs; it is ended with this value.
pub(crate) struct Serving {
    child: Child,
    pub(crate) url: String,
}

impl Serving {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.arg("serve").spawn().expect("doce can be started");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("what doce says is UTF-8");
        let Some(url) = line.trim().strip_prefix("Open ") else {
            let mut said = String::new();
            let stderr = child.stderr.as_mut().expect("it is piped");
            stderr.read_to_string(&mut said).expect("what doce says is UTF-8");
            panic!("`{line}` is no address: {said}");
        };
        Self { url: url.to_owned(), child }
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("the address has a port")
    }

    #[expect(clippy::disallowed_methods, reason = "this is what a person in a terminal does")]
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("there is a kill").success());
    }

    /// Waits for the end; returns its code and what was said on standard error, if that goes nowhere else.
    pub(crate) async fn end(mut self) -> (i32, String) {
        let status = wait_for("the end of doce", BOUND, async || self.child.try_wait().expect("it is our child")).await;
        let mut said = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut said).expect("what doce says is UTF-8");
        }
        (status.code().expect("it ended by itself"), said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Killed outright it would leave the programs running that it has started, for its next start to find.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("TERM");
        }
        drop(self.child.wait());
    }
}

#[test]
fn help_names_every_setting_and_no_arguments_are_a_question_for_help() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said, _) = run(doce(directory.path()).args(["serve", "--help"]));
    assert_eq!(code, 0);
    for setting in [
        "DOCE_DATA_DIR",
        "DOCE_LISTEN",
        "DOCE_OPENCODE",
        "DOCE_MASTER_KEY_FILE",
        "DOCE_UNSANDBOXED",
        "DOCE_PUBLIC_URL",
        "DOCE_PREVIEW_DOMAIN",
        "DOCE_NPM_REGISTRY",
        "DOCE_LOG",
    ] {
        assert!(said.contains(setting), "{setting}");
    }
    let (code, _, said) = run(&mut doce(directory.path()));
    assert_eq!(code, 2);
    assert!(said.contains("serve"), "{said}");
    let (code, said, _) = run(doce(directory.path()).arg("--version"));
    assert_eq!((code, said.trim()), (0, concat!("doce ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_description_is_printed_without_a_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said, errors) = run(doce(directory.path()).env_remove("DOCE_DATA_DIR").arg("openapi"));
    assert_eq!((code, errors.as_str()), (0, ""));
    let printed: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(printed["openapi"], "3.1.0");
    assert_eq!(printed, serde_json::to_value(doce_server::api::description()).unwrap());
    assert!(!directory.path().join("data").exists());
}

#[test]
fn what_is_asked_for_wrongly_is_a_name_a_reason_and_a_way_out() {
    let directory = tempfile::tempdir().unwrap();
    for (variable, value, words) in [
        ("DOCE_DATABASE_URL", "mysql://ada:planted@x/y", ["DOCE_DATABASE_URL", "unset"]),
        ("DOCE_UNSANDBOXED", "yes", ["i-trust-every-prompt", "--help"]),
        ("DOCE_LISTEN", "4321", ["--listen", "--help"]),
        ("DOCE_PUBLIC_URL", "doce.example", ["--public-url", "--help"]),
        ("DOCE_LOG", "a=b=c", ["log filter", "try:"]),
        ("DOCE_LOG_FORMAT", "xml", ["--log-format", "json"]),
    ] {
        let (code, _, said) = run(doce(directory.path()).env(variable, value).arg("serve"));
        assert_eq!(code, 2, "{variable}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{variable}: {said}");
        assert!(said.starts_with("error: ") && !said.contains("planted"), "{variable}: {said}");
    }
    let (code, _, said) = run(doce(directory.path()).env_remove("DOCE_DATA_DIR").arg("serve"));
    assert_eq!(code, 2);
    assert!(said.contains("HOME") && said.contains("--data-dir"), "{said}");
    assert!(!directory.path().join("data").exists(), "nothing is made before the settings are good");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_data_is_told_who_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = Serving::start(doce(directory.path()));
    let (code, _, said) = run(doce(directory.path()).arg("serve"));
    assert_eq!(code, 1);
    assert!(said.contains(&format!("pid {}", first.child.id())) && said.contains(&first.url), "{said}");
    assert!(said.contains("try: "), "{said}");
    first.signal("TERM");
    assert_eq!(first.end().await.0, 0);
    let again = Serving::start(doce(directory.path()));
    again.signal("INT");
    assert_eq!(again.end().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let (code, _, said) = run(doce(directory.path()).env("DOCE_LISTEN", &address).arg("serve"));
    assert_eq!(code, 1);
    assert!(said.contains(&format!("listen on {address}: the port is taken")), "{said}");
    assert!(said.contains("DOCE_LISTEN") && said.contains("ss -ltnp"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_account_of_a_server_in_a_network_takes_the_code_that_was_printed() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = doce(directory.path());
    command.env("DOCE_LISTEN", "0.0.0.0:0");
    let serving = Serving::start(command);
    serving.signal("TERM");
    let (code, said) = serving.end().await;
    assert_eq!(code, 0);
    let printed = said.lines().find_map(|line| line.trim().strip_prefix("setup")).expect("the code is printed");
    assert_eq!(printed.split_whitespace().next().map(str::len), Some(19), "{printed}");

    let serving = Serving::start(doce(directory.path()));
    serving.signal("TERM");
    let (_, said) = serving.end().await;
    assert!(
        !said.lines().any(|line| line.trim().starts_with("setup")),
        "on this machine alone nobody needs it: {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_server_at_once() {
    use tokio::io::AsyncWriteExt as _;
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(doce(directory.path()));
    // A request that never arrives whole holds an orderly end back.
    let stream = TcpStream::connect(("127.0.0.1", serving.port())).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let head =
        "POST /api/sign-in HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // An answered request after it shows that the first has been taken in.
    let health = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{}/api/health", serving.url));
    assert_eq!(health.send().await.unwrap().status(), 200);
    serving.signal("TERM");
    let closed =
        || async { tokio::net::TcpStream::connect(("127.0.0.1", serving.port())).await.is_err().then_some(()) };
    wait_for("a closed listener", BOUND, closed).await;
    serving.signal("TERM");
    let ended = tokio::time::timeout(Duration::from_secs(5), serving.end()).await;
    let (code, said) = ended.expect("it ends at once");
    assert_eq!(code, 1);
    assert!(said.contains("Ended at once"), "{said}");
    // What it left running is found and ended by the next one.
    let next = Serving::start(doce(directory.path()));
    next.signal("TERM");
    assert_eq!(next.end().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_accepted_is_lost_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(doce(directory.path()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let setup = client.post(format!("{}/api/setup", serving.url));
    let made = setup.json(&json!({"username": "ada", "password": PASSWORD})).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let cookie = made.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    let serving = Serving::start(doce(directory.path()));
    let me = client.get(format!("{}/api/me", serving.url)).header("cookie", cookie).send().await.unwrap();
    assert_eq!(me.status(), 200, "the browser is still signed in");
}

#[test]
fn the_data_directory_is_nobody_elses() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(doce(directory.path()));
    for (path, mode) in [("data", 0o700), ("data/lock", 0o600), ("data/master.key", 0o600)] {
        let found = directory.path().join(path).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
    drop(serving);
}

/// A browser of the first account of a server.
pub(crate) async fn first_account(serving: &Serving) -> (reqwest::Client, String) {
    // It fails only if a provider is there already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
    let setup = client.post(format!("{}/api/setup", serving.url));
    let made = setup.json(&json!({"username": "ada", "password": PASSWORD})).send().await.expect("it answers");
    let cookie = made.headers()["set-cookie"].to_str().expect("it is ASCII");
    let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
    (client, cookie)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_survived_is_taken_up_again_after_the_master_key_changed() {
    let directory = tempfile::tempdir().unwrap();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(directory.path()));
    let project = ProjectThere::made(&serving, &model).await;
    let before = project.agent(&serving).await;

    let held = run(doce(directory.path()).args(["keys", "rotate"]));
    assert_eq!(held.0, 1, "{held:?}");
    assert!(held.2.contains("another doce does already") && held.2.contains("end that server first"), "{held:?}");
    let written = directory.path().join("keys.age");
    let held = run(doce(directory.path())
        .args(["keys", "export", "--to"])
        .arg(age::x25519::Identity::generate().to_public().to_string())
        .arg(&written));
    assert_eq!(held.0, 1, "{held:?}");
    serving.signal("KILL");
    drop(serving);

    let (code, said, _) = run(doce(directory.path()).args(["keys", "rotate", "--json"]));
    assert_eq!(code, 0);
    let rotated: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&rotated["values"], &rotated["resumed"]), (&json!(2), &json!(false)), "a key and a password");
    let (code, said, _) = run(doce(directory.path()).args(["keys", "rotate"]));
    assert_eq!(code, 0);
    assert!(said.contains("2 sealed values") && said.contains("master.key.old-"), "{said}");

    let serving = Serving::start(doce(directory.path()));
    let after = project.agent(&serving).await;
    assert_eq!(after, before, "it is the same agent");
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_survived_and_was_not_taken_up_yet_ends_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data").display().to_string();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(directory.path()));
    let project = ProjectThere::made(&serving, &model).await;
    project.agent(&serving).await;
    serving.signal("KILL");
    drop(serving);
    // It answers nothing, so it is never taken up.
    let survivors = agents_of(&data);
    assert!(!survivors.is_empty(), "it survived");
    for survivor in survivors {
        kill_process(survivor, Signal::STOP).expect("it is ours");
    }
    let serving = Serving::start(doce(directory.path()));
    serving.signal("TERM");
    let (code, said) = serving.end().await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(agents_of(&data), [], "{said}");
}

/// A project of the first account.
struct ProjectThere {
    client: reqwest::Client,
    cookie: String,
    id: String,
}

impl ProjectThere {
    /// Makes the account, connects the model and asks for a project.
    async fn made(serving: &Serving, model: &ScriptedModel) -> Self {
        let (client, cookie) = first_account(serving).await;
        let connection = json!({
            "provider_id": MODEL.0, "auth_type": "api", "key": "sk-planted", "base_url": model.anthropic_base_url(),
        });
        wait_for("the catalogue", BOUND, async || {
            let connect = client.post(format!("{}/api/connections", serving.url)).header("cookie", &cookie);
            (connect.json(&connection).send().await.ok()?.status() == 201).then_some(())
        })
        .await;
        let new = json!({"prompt": "[[say: one]]", "model": {"provider_id": MODEL.0, "model_id": MODEL.1}});
        let create = client.post(format!("{}/api/projects", serving.url)).header("cookie", &cookie);
        let created: Value = create.json(&new).send().await.expect("it answers").json().await.expect("JSON");
        let id = created["project"]["id"].as_str().expect("it has an id").to_owned();
        Self { client, cookie, id }
    }

    /// Waits until its agent answers and nothing is being done; returns the agent's id.
    async fn agent(&self, serving: &Serving) -> Value {
        wait_for("the agent", BOUND, async || {
            let get = self.client.get(format!("{}/api/projects/{}", serving.url, self.id));
            let project: Value = get.header("cookie", &self.cookie).send().await.ok()?.json().await.ok()?;
            let healthy = project["instance"]["observed"] == "healthy" && project["job"].is_null();
            healthy.then(|| project["instance"]["id"].clone())
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_comes_from_standard_input_and_never_from_an_argument() {
    use std::io::Write as _;
    let directory = tempfile::tempdir().unwrap();
    let serving = Serving::start(doce(directory.path()));
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    let file = directory.path().join("keys.age");
    let export = |arguments: &[&str], input: &str| {
        let mut command = doce(directory.path());
        command.args(["keys", "export"]).arg(&file).args(arguments).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    };
    let (code, _, said) = export(&["--passphrase-stdin"], "short\n");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("fewer than 12") && said.contains("try: "), "{said}");
    let (code, said, _) = export(&["--passphrase-stdin"], "correct horse battery\n");
    assert_eq!((code, said.trim()), (0, "Nothing is connected, so nothing was written."));
    assert!(!file.exists());
    let secret = age::x25519::Identity::generate().to_string();
    let secret = age::secrecy::ExposeSecret::expose_secret(&secret).to_owned();
    let (code, _, said) = export(&["--to", &secret], "");
    assert_eq!(code, 2);
    assert!(said.contains("it is a secret key") && !said.contains(&secret), "{said}");
    let (code, _, _) = export(&["--to", "age1x", "--passphrase-stdin"], "");
    assert_eq!(code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_verified_beside_a_running_server_and_a_broken_event_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let verify = |arguments: &[&str]| {
        let mut command = doce(directory.path());
        command.env_remove("DOCE_LISTEN").env_remove("DOCE_OPENCODE").args(["audit", "verify"]).args(arguments);
        run(&mut command)
    };
    let (code, _, said) = verify(&[]);
    assert_eq!(code, 1);
    assert!(said.contains("--data-dir"), "{said}");
    assert!(!directory.path().join("data").exists(), "looking makes nothing");

    let serving = Serving::start(doce(directory.path()));
    let (client, _) = first_account(&serving).await;
    for _ in 0..2 {
        let refused = client.post(format!("{}/api/sign-in", serving.url));
        refused.json(&json!({"username": "ada", "password": "wrong wrong"})).send().await.unwrap();
    }
    let (code, said, _) = verify(&[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with("The audit log is whole: 3 events."), "{said}");
    let anchor = said.split_whitespace().last().unwrap().to_owned();
    let (code, said, _) = verify(&["--anchor", &anchor, "--json"]);
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), json!({"whole": true, "events": 3, "anchor": anchor}));
    let (code, said, _) = verify(&["--anchor", &format!("2:{}", "0".repeat(64)), "--json"]);
    assert_eq!(code, 1);
    assert_eq!(
        serde_json::from_str::<Value>(&said).unwrap(),
        json!({"whole": false, "event": 2, "fault": "not_the_anchor"})
    );
    let (code, _, said) = verify(&["--anchor", "nonsense"]);
    assert_eq!(code, 2, "{said}");

    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    let database = directory.path().join("data/doce.sqlite");
    let bytes = std::fs::read(&database).unwrap();
    // Another word of the same length, in the one event that has it, and in the indexes over it.
    let mut changed = bytes.clone();
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, b"set_up").collect();
    assert!(!places.is_empty());
    for at in places {
        changed[at..at + 6].copy_from_slice(b"revoke");
    }
    std::fs::write(&database, changed).unwrap();
    let (code, _, said) = verify(&[]);
    assert_eq!(code, 1);
    assert!(said.starts_with("error: check the audit log: event 1 is broken"), "{said}");
    std::fs::write(&database, bytes).unwrap();
    assert_eq!(verify(&[]).0, 0);
}
