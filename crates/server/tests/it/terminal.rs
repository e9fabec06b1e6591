//! The commands that ask a server: over its control socket, for whom, and what a person sees.

use std::{
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    path::Path,
    process::{Child, ChildStderr, Command, Output, Stdio},
    time::Duration,
};

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

use crate::{
    bad_days::agents::{agent, signal},
    cli::{Serving, doce, first_account, run},
    world::{BOUND, MODEL, PASSWORD, World},
};

/// Runs a command with something on its standard input.
pub(crate) fn run_with(directory: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = doce(directory).args(arguments).stdin(Stdio::piped()).spawn().expect("doce can be started");
    // It may end before it reads.
    drop(child.stdin.take().expect("it is piped").write_all(input.as_bytes()));
    let Output { status, stdout, stderr } = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what doce says is UTF-8");
    (status.code().expect("it ended by itself"), text(stdout), text(stderr))
}

/// Runs a command that works, and returns what it printed.
pub(crate) fn works(directory: &Path, arguments: &[&str]) -> String {
    let (code, said, errors) = run(doce(directory).args(arguments));
    assert_eq!(code, 0, "{arguments:?}: {said}{errors}");
    said
}

pub(crate) fn json_of(directory: &Path, arguments: &[&str]) -> Value {
    let said = works(directory, arguments);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
}

/// Connects the scripted model with the command.
pub(crate) async fn connect(directory: &Path, model: &ScriptedModel) -> String {
    let base = model.anthropic_base_url();
    let add = ["connection", "add", MODEL.0, "--label", "Mine", "--base-url", &base, "--key-stdin"];
    wait_for("the catalogue", BOUND, async || {
        let (code, said, errors) = run_with(directory, &add, "sk-planted-in-the-test\n");
        assert!(!errors.contains("sk-planted") && !said.contains("sk-planted"));
        (code == 0).then_some(said)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_over_the_control_socket_acts_as_the_only_admin_or_as_whom_it_names() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let (code, _, said) = run(doce(at).args(["user", "list"]));
    assert_eq!(code, 1);
    assert!(said.contains("none is running") && said.contains("doce serve"), "{said}");

    let serving = Serving::start(doce(at));
    let socket = at.join("data/control.sock");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, said) = run(doce(at).args(["user", "list"]));
    assert_eq!(code, 1);
    assert!(said.contains("no account yet"), "{said}");

    let (client, cookie) = first_account(&serving).await;
    let add = ["user", "add", "bob", "--role", "admin", "--password-stdin"];
    let (code, said, _) = run_with(at, &add, &format!("{PASSWORD}\n"));
    assert_eq!((code, said.trim()), (0, "bob is an admin and can sign in."));
    let (code, _, said) = run(doce(at).args(["project", "list"]));
    assert_eq!(code, 2);
    assert!(said.contains("several admins") && said.contains("--user"), "{said}");
    assert!(works(at, &["project", "list", "--user", "bob"]).starts_with("There is no project yet."));
    let (code, _, said) = run(doce(at).args(["project", "list", "--user", "eve"]));
    assert_eq!(code, 2);
    assert!(said.contains("There is no such user.") && said.contains("doce user list"), "{said}");
    let users = json_of(at, &["user", "list", "--json", "--user", "ada"]);
    assert_eq!(users["items"][1]["username"], "bob");

    // Over the network the header counts for nothing.
    let forged = client.get(format!("{}/api/me", serving.url)).header("doce-user", "bob").send().await.unwrap();
    assert_eq!(forged.status(), 401);
    let own = client.get(format!("{}/api/me", serving.url)).header("doce-user", "bob").header("cookie", &cookie);
    assert_eq!(own.send().await.unwrap().json::<Value>().await.unwrap()["username"], "ada");

    let audit = client.get(format!("{}/api/audit", serving.url)).header("cookie", &cookie).send().await.unwrap();
    let audit: Value = audit.json().await.unwrap();
    let made = audit["items"].as_array().unwrap().iter().find(|event| event["action"] == "create_user").unwrap();
    assert_eq!((&made["actor"]["id"], &made["address"]), (&json!("cli"), &Value::Null), "{made}");

    serving.signal("KILL");
    drop(serving);
    assert!(socket.exists(), "a server that was killed leaves it");
    let (code, _, said) = run(doce(at).args(["user", "list"]));
    assert_eq!((code, said.contains("none is running")), (1, true), "{said}");
    let serving = Serving::start(doce(at));
    works(at, &["user", "list", "--user", "bob"]);
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    assert!(!socket.exists(), "one that ended in order does not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_made_watched_prompted_stopped_and_deleted_from_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    let said = connect(at, &model).await;
    assert!(said.starts_with("Connected: Anthropic (Mine).") && said.contains("…test"), "{said}");

    let name = format!("{}/{}", MODEL.0, MODEL.1);
    let create =
        ["project", "create", "[[say: hello from the agent]]", "--name", "Bakery", "--watch", "--model", &name];
    let (code, said, steps) = run(doce(at).args(create));
    assert_eq!(code, 0, "{said}{steps}");
    assert_eq!(said.trim(), "hello from the agent");
    for step in ["begun", "done", "Made Bakery (prj_"] {
        assert!(steps.contains(step), "{step}: {steps}");
    }
    let list = works(at, &["project", "list"]);
    assert!(list.starts_with("ID ") && list.contains("bakery") && list.contains(&name), "{list}");

    let prompt = ["project", "prompt", "bak", "[[say: a second answer]]", "--watch"];
    let (code, said, steps) = run(doce(at).args(prompt));
    assert_eq!((code, said.trim()), (0, "a second answer"), "{steps}");
    let several = "[[say: before the file]][[write: bread.txt | rye]][[say: after the file]]";
    let (code, said, steps) = run(doce(at).args(["project", "prompt", "bakery", several, "--watch"]));
    assert_eq!((code, said.as_str()), (0, "before the file\nafter the file\n"), "{steps}");
    assert!(steps.contains("tool      write"), "{steps}");
    let (code, _, said) = run(doce(at).args(["project", "prompt", "bakery", "[[status: 401]]", "--watch"]));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("error: finish the answer: ") && said.contains("try: "), "{said}");
    let events = works(at, &["project", "prompt", "bakery", "[[say: third]]", "--watch", "--json"]);
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().any(|event| event["event"] == "part"));

    let url = works(at, &["project", "open", "bakery"]);
    assert!(url.starts_with(&format!("{}/projects/prj_", serving.url)), "{url}");
    let opened = at.join("opened");
    let script = format!("#!/bin/sh\necho \"$1\" > '{}'\n", opened.display());
    std::fs::write(at.join("xdg-open"), script).unwrap();
    std::fs::set_permissions(at.join("xdg-open"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", at.display());
    let (code, said, _) = run(doce(at).env("PATH", path).env("DISPLAY", ":0").args(["project", "open", "bakery"]));
    assert_eq!((code, said.as_str()), (0, url.as_str()));
    let written = async || std::fs::read_to_string(&opened).ok().filter(|text| text.ends_with('\n'));
    assert_eq!(wait_for("the browser", BOUND, written).await, url);
    works(at, &["project", "logs", "bakery", "--source", "agent"]);
    let connections = works(at, &["connection", "list"]);
    assert!(connections.contains("anthropic") && connections.contains("…test"), "{connections}");
    assert!(works(at, &["connection", "verify", "mine"]).starts_with("Verified: Anthropic (Mine)."));
    let (code, said, errors) = run_with(at, &["connection", "replace", "mine", "--key-stdin"], "sk-another-key\n");
    assert_eq!(code, 0, "{errors}");
    assert!(said.contains("version 2"), "{said}");

    let (code, said, steps) = run(doce(at).args(["project", "stop", "bakery"]));
    assert_eq!((code, said.as_str()), (0, "Stopped Bakery.\n"), "{steps}");
    let (code, said, steps) = run(doce(at).args(["project", "start", "bakery"]));
    assert_eq!((code, said.as_str()), (0, "Started Bakery.\n"), "{steps}");
    let jobs = works(at, &["job", "list", "--project", "bakery"]);
    assert!(jobs.contains("launch_project") && jobs.contains("start_project"), "{jobs}");
    let newest = jobs.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(works(at, &["job", "show", &newest]).contains("succeeded"));
    let shown = json_of(at, &["job", "show", &newest, "--json"]);
    assert!(shown["log"].is_array() && shown["steps"][0]["attempts"] == 1, "{shown}");
    assert!(works(at, &["job", "pause"]).starts_with("The queue is paused since "));
    assert!(works(at, &["job", "pause", "--json"]).contains("\"paused_at\":\""));
    assert_eq!(works(at, &["job", "resume"]), "The queue is not paused: jobs begin.\n");

    let (code, _, said) = run(doce(at).args(["project", "delete", "bakery"]));
    assert_eq!(code, 2);
    assert!(said.contains("nobody said yes") && said.contains("--yes"), "{said}");
    let (code, said, steps) = run(doce(at).args(["project", "delete", "bakery", "--yes"]));
    assert_eq!((code, said.as_str()), (0, "Deleted Bakery.\n"), "{steps}");
    assert_eq!(works(at, &["connection", "remove", "mine", "--yes"]), "Disconnected Anthropic (Mine).\n");
    assert!(works(at, &["connection", "list"]).starts_with("Nothing is connected."));
}

/// A command that goes on while somebody reads what it says.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Watching {
    fn start(command: &mut Command, arguments: &[&str]) -> Self {
        let mut child = command.args(arguments).spawn().expect("doce can be started");
        let lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    /// Reads until a line has these words, and returns it.
    fn says(&mut self, words: &str) -> String {
        let mut before = Vec::new();
        for line in &mut self.lines {
            let line = line.expect("what doce says is UTF-8");
            if line.contains(words) {
                return line;
            }
            before.push(line);
        }
        panic!("it ended without `{words}`: {before:#?}");
    }

    /// Waits for its end; returns its code, its result, and what was not read yet.
    async fn end(mut self) -> (i32, String, Vec<String>) {
        let status = wait_for("its end", BOUND, async || self.child.try_wait().expect("it is our child")).await;
        let mut said = String::new();
        self.child.stdout.take().expect("it is piped").read_to_string(&mut said).expect("what doce says is UTF-8");
        (status.code().expect("it ended by itself"), said, self.lines.by_ref().map(Result::unwrap).collect())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        // It has ended, unless the test broke off.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until the only project's answer is so.
async fn wait_for_session(at: &Path, kind: &str) {
    wait_for(&format!("a session that is {kind}"), BOUND, async || {
        let project = &json_of(at, &["project", "list", "--json"])["items"][0];
        (project["session"]["kind"] == kind && project["job"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_what_holds_the_work_up_and_can_leave_and_stop_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    connect(at, &model).await;
    let name = format!("{}/{}", MODEL.0, MODEL.1);

    // A paused queue, before anything has begun; and Ctrl+C, which ends the watching alone.
    works(at, &["job", "pause"]);
    let create = ["project", "create", "[[hang]]", "--name", "Bakery", "--model", &name, "--watch"];
    let mut watching = Watching::start(&mut doce(at), &create);
    watching.says("  waits     The queue is paused: `doce job resume` lets it go on.");
    works(at, &["job", "resume"]);
    watching.says("  done      Send the first prompt");
    signal(watching.child.id(), "INT");
    let (code, said, rest) = watching.end().await;
    assert_eq!((code, said.as_str()), (0, ""), "{rest:?}");
    assert_eq!(rest.last().unwrap(), "No longer watched. The work goes on: `doce project list` shows how far it is.");
    wait_for_session(at, "busy").await;
    let said = works(at, &["project", "abort", "bakery"]);
    assert_eq!(said, "The answer of Bakery is stopped; its agent runs on.\n");
    wait_for_session(at, "idle").await;

    // A provider that wants to be left alone.
    let prompt = ["project", "prompt", "bakery", "[[status: 429, retry-after: 600]]", "--watch"];
    let mut watching = Watching::start(&mut doce(at), &prompt);
    let told = watching.says("The provider is asked again at ");
    assert!(told.contains(" (attempt 1): ") && told.contains("`doce project abort bakery-"), "{told}");
    let slug = told.split("project abort ").nth(1).unwrap().split('`').next().unwrap();
    works(at, &["project", "abort", slug]);
    let (code, _, rest) = watching.end().await;
    assert!(code == 1 && rest.iter().any(|line| line.starts_with("error: finish the answer: ")), "{rest:?}");

    // A command that waits for a job alone, and is left.
    works(at, &["job", "pause"]);
    let mut watching = Watching::start(&mut doce(at), &["project", "stop", "bakery"]);
    watching.says("The queue is paused");
    signal(watching.child.id(), "INT");
    let (code, said, rest) = watching.end().await;
    assert_eq!((code, said.as_str()), (0, ""), "it isn't stopped: {rest:?}");
    let watching = Watching::start(&mut doce(at), &["project", "stop", "bakery", "--json"]);
    works(at, &["job", "resume"]);
    let (code, said, rest) = watching.end().await;
    assert_eq!((code, rest.len()), (0, 0), "{rest:?}");
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&last["kind"], &last["state"]), (&json!("stop_project"), &json!("succeeded")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_of_an_agent_that_does_not_respond() {
    let world = World::builder().running().silence(Duration::from_secs(2), BOUND * 5).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let token = browser.post("/api/tokens", &json!({"name": "laptop", "scope": "build"})).await.expect(201);
    let directory = tempfile::tempdir().unwrap();
    let from_elsewhere = || {
        let mut doce = doce(directory.path());
        doce.env("DOCE_URL", format!("http://127.0.0.1:{}", world.port))
            .env("DOCE_TOKEN", token["secret"].as_str().unwrap());
        doce
    };
    let name = format!("{}/{}", MODEL.0, MODEL.1);
    let create = ["project", "create", "[[hang]]", "--name", "Bakery", "--model", &name, "--watch"];
    let mut watching = Watching::start(&mut from_elsewhere(), &create);
    watching.says("  done      Send the first prompt");
    let agent = agent();
    signal(agent, "STOP");
    watching.says("  waits     The agent doesn't respond. If that lasts, it is ended and started again.");
    signal(agent, "CONT");
    wait_for("an agent that stops its answer", BOUND, async || {
        (run(from_elsewhere().args(["project", "abort", "bakery"])).0 == 0).then_some(())
    })
    .await;
    let (code, _, rest) = watching.end().await;
    assert!(code == 1 && rest.iter().any(|line| line.starts_with("error: finish the answer: ")), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_reset_without_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let serving = Serving::start(doce(at));
    let (client, cookie) = first_account(&serving).await;
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    let reset =
        |name: &str, password: &str| run_with(at, &["user", "reset-password", name, "--password-stdin"], password);
    let (code, _, said) = reset("eve", "a long password\n");
    assert_eq!(code, 2);
    assert!(said.contains("find the account `eve`: there is none") && said.contains("ada"), "{said}");
    let (code, _, said) = reset("ada", "short\n");
    assert_eq!(code, 2, "{said}");
    let (code, said, errors) = reset("A", "another long password\n");
    assert_eq!((code, said.as_str()), (0, "ada has the new password and is signed out everywhere.\n"), "{errors}");
    let serving = Serving::start(doce(at));
    let me = client.get(format!("{}/api/me", serving.url)).header("cookie", cookie).send().await.unwrap();
    assert_eq!(me.status(), 401);
    let sign_in = client.post(format!("{}/api/sign-in", serving.url));
    let body = json!({"username": "ada", "password": "another long password"});
    assert_eq!(sign_in.json(&body).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_cancelled_and_done_again_from_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    connect(at, &model).await;
    works(at, &["job", "pause"]);
    let name = format!("{}/{}", MODEL.0, MODEL.1);
    let made = json_of(at, &["project", "create", "[[say: hello]]", "--model", &name, "--json"]);
    let launch = made["job"]["id"].as_str().unwrap();
    let said = works(at, &["job", "cancel", launch]);
    assert!(said.starts_with(&format!("launch_project ({launch}): ")), "{said}");
    works(at, &["job", "resume"]);
    let ended = async |job: &str, state: &str| {
        wait_for(&format!("{job} to be {state}"), BOUND, async || {
            (json_of(at, &["job", "show", job, "--json"])["state"] == state).then_some(())
        })
        .await;
    };
    ended(launch, "cancelled").await;
    let (code, said, errors) = run(doce(at).args(["job", "cancel", launch, "--json"]));
    let error: Value = serde_json::from_str(&errors).unwrap();
    assert_eq!((code, said.as_str()), (1, ""));
    assert_eq!(error["code"], "job_ended", "{error}");
    assert!(error["reference"].as_str().is_some_and(|id| id.starts_with("req_")), "{error}");

    let again = json_of(at, &["job", "retry", launch, "--json"]);
    assert_ne!(again["id"], launch, "it is a job of its own");
    ended(again["id"].as_str().unwrap(), "succeeded").await;
    let (code, _, said) = run(doce(at).args(["job", "retry", again["id"].as_str().unwrap()]));
    assert_eq!(code, 1);
    assert!(said.contains("Only a job that failed or was cancelled can be run again"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_disabled_enabled_and_gets_another_password_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let serving = Serving::start(doce(at));
    let (client, _) = first_account(&serving).await;
    run_with(at, &["user", "add", "bob", "--password-stdin"], &format!("{PASSWORD}\n"));
    let sign_in = async |password: &str| {
        let body = json!({"username": "bob", "password": password});
        client.post(format!("{}/api/sign-in", serving.url)).json(&body).send().await.unwrap()
    };
    let me = async |cookie: &str| {
        client.get(format!("{}/api/me", serving.url)).header("cookie", cookie).send().await.unwrap().status().as_u16()
    };
    let answer = sign_in(PASSWORD).await;
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(me(&cookie).await, 200);

    let said = works(at, &["user", "disable", "bob"]);
    for words in ["signed out everywhere", "stop", "nothing is deleted", "doce user enable bob"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!((me(&cookie).await, sign_in(PASSWORD).await.status().as_u16()), (401, 401));
    assert!(works(at, &["user", "list"]).contains("member, disabled"));
    let (code, _, said) = run(doce(at).args(["user", "disable", "ada"]));
    assert_eq!(code, 1);
    assert!(said.contains("can't change your own role or disable your own account"), "{said}");

    assert!(works(at, &["user", "enable", "bob"]).starts_with("bob can sign in again."));
    assert_eq!(json_of(at, &["user", "enable", "bob", "--json"])["disabled_at"], Value::Null);
    assert_eq!(sign_in(PASSWORD).await.status(), 200);
    let reset = ["user", "reset-password", "bob", "--password-stdin"];
    let (code, said, errors) = run_with(at, &reset, "another long password\n");
    assert_eq!((code, said.as_str()), (0, "bob has the new password and is signed out everywhere.\n"), "{errors}");
    assert_eq!(sign_in("another long password").await.status(), 200);
    assert_eq!(sign_in(PASSWORD).await.status(), 401);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the shells say whether they understand it")]
fn every_shell_gets_its_completions_and_understands_them() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = works(directory.path(), &["completions", shell]);
        // A command, and the values of an option that takes only some.
        for word in ["reset-password", "succeeded", "launch_project"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        let file = directory.path().join(shell);
        std::fs::write(&file, script).unwrap();
        let only_read = if shell == "fish" { "--no-execute" } else { "-n" };
        // Not every machine has all three.
        if let Ok(Output { status, stderr, .. }) = Command::new(shell).arg(only_read).arg(&file).output() {
            assert!(status.success(), "{shell}: {}", String::from_utf8_lossy(&stderr));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_listed_and_written_to_a_file_from_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    for name in ["bob", "eve"] {
        run_with(at, &["user", "add", name, "--password-stdin"], &format!("{PASSWORD}\n"));
    }
    works(at, &["user", "role", "bob", "admin", "--user", "ada"]);
    let list = |more: &[&str]| json_of(at, &[&["audit", "list", "--json", "--user", "ada"][..], more].concat());
    let actions = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    };
    let all = list(&[]);
    assert_eq!(actions(&all), ["change_role", "create_user", "create_user", "set_up"]);
    assert_eq!(all["next"], Value::Null);
    assert_eq!(actions(&list(&["--action", "create_user"])), ["create_user", "create_user"]);
    assert_eq!(actions(&list(&["--actor", "bob"])), [""; 0]);
    let first = list(&["--limit", "1"]);
    let next = first["next"].as_str().expect("there are more");
    assert_eq!(actions(&list(&["--limit", "2", "--before", next])), ["create_user", "create_user"]);
    let told = works(at, &["audit", "list", "--user", "ada", "--limit", "1"]);
    assert!(told.starts_with("NUMBER ") && told.contains("change_role") && told.contains("bob"), "{told}");

    let file = at.join("audit.jsonl");
    let export = ["audit", "export", "--user", "ada", file.to_str().unwrap()];
    assert_eq!(works(at, &export), format!("Events written to {}: 5.\n", file.display()));
    let written = std::fs::read_to_string(&file).unwrap();
    let export_line: Value = serde_json::from_str(written.lines().last().unwrap()).unwrap();
    assert_eq!((&export_line["action"], written.lines().count()), (&json!("export"), 5), "the export is in it, too");
    let printed = works(at, &["audit", "export", "--user", "ada"]);
    assert_eq!((printed.starts_with(&written), printed.lines().count()), (true, 6));
    let (code, _, said) = run(doce(at).args(export));
    assert_eq!((code, said.contains("try: name a file that isn't there yet")), (1, true), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written, "nothing is written over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_does_not_show_all_says_so_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    connect(at, &model).await;
    let name = format!("{}/{}", MODEL.0, MODEL.1);
    works(at, &["project", "create", "[[say: hello]]", "--name", "Bakery", "--model", &name, "--watch"]);
    works(at, &["project", "stop", "bakery"]);
    let whole = json_of(at, &["job", "list", "--project", "bakery", "--json"]);
    let page = json_of(at, &["job", "list", "--project", "bakery", "--limit", "1", "--json"]);
    let next = page["next"].as_str().expect("there are more");
    let rest = json_of(at, &["job", "list", "--project", "bakery", "--cursor", next, "--json"]);
    let items = |page: &Value| page["items"].as_array().unwrap().clone();
    assert_eq!([items(&page), items(&rest)].concat(), items(&whole));
    assert_eq!((&whole["next"], &rest["next"]), (&Value::Null, &Value::Null));
    let (_, _, said) = run(doce(at).args(["job", "list", "--limit", "1"]));
    assert!(said.starts_with("There are more: `--cursor "), "{said}");
    let launched = json_of(at, &["job", "list", "--kind", "launch_project", "--json"]);
    assert_eq!((items(&launched).len(), &launched["items"][0]["kind"]), (1, &json!("launch_project")));
    let (code, _, said) = run(doce(at).args(["job", "list", "--kind", "launch"]));
    assert_eq!((code, said.contains("possible values: launch_project, ")), (2, true), "{said}");
}

#[test]
fn another_machines_server_gets_the_token_as_a_header_and_nobody_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 26\r\n\r\n{\"items\":[],\"next\":null}  ",
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n<html",
    ];
    let server = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let reader = BufReader::new(stream.try_clone().unwrap());
            let head: Vec<String> = reader.lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            heads.push(head.join("\n"));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        heads
    });
    let ask =
        || run(doce(directory.path()).env("DOCE_URL", &url).env("DOCE_TOKEN", "planted").args(["project", "list"]));
    let (code, said, errors) = ask();
    assert_eq!((code, said.starts_with("There is no project yet.")), (0, true), "{errors}");
    let (code, _, redirected) = ask();
    assert_eq!(code, 1);
    assert!(redirected.contains("the server answered with 302"), "{redirected}");
    let (code, _, other) = ask();
    assert_eq!(code, 1);
    assert!(other.contains("the answer isn't JSON") && other.contains("try: "), "{other}");
    let heads = server.join().unwrap();
    assert!(heads.iter().all(|head| head.to_lowercase().contains("authorization: bearer planted")), "{heads:?}");
    assert!(!format!("{redirected}{other}").contains("planted"));
}
