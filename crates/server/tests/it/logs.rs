//! The log: whoever collects it reads one kind of line, and no secret, however much is asked for.

use std::{fs::File, path::Path, process::Command};

use doce_testkit::{
    AuthorizationServer, ScriptedModel,
    canary::{forms, holds},
    old_installation::change,
    wait_for,
};
use rustix::process::Pid;
use serde_json::{Value, json};

use crate::{
    cli::{Serving, doce, first_account, run},
    logins::{begin_redirect, ended, landing},
    preview::{ticket, visit},
    restarts::agents_of,
    world::{BOUND, Browser, PASSWORD, id, make_tools},
};

const KEY: &str = "sk-planted-in-a-log-0123456789";

/// A doce that writes everything it knows, as JSON, into a file.
pub(crate) fn talkative(directory: &Path) -> Command {
    let file = File::options().create(true).append(true).open(directory.join("log")).expect("a file can be made");
    let mut command = doce(directory);
    command.env("DOCE_LOG", "trace").args(["--log-format", "json"]).stderr(file);
    command
}

pub(crate) fn lines(directory: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join("log")).expect("the log can be read");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("`{line}`: {e}"))).collect()
}

/// A string that this process was started with.
fn variable_of(pid: Pid, name: &str) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let mut pairs = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// The value of a cookie.
fn value(cookie: Option<String>) -> String {
    let cookie = cookie.expect("it has a cookie");
    cookie.split_once('=').expect("a cookie has a name").1.to_owned()
}

/// What nobody may read in the log, with what it is.
type Secrets = Vec<(&'static str, String)>;

/// Builds a project and looks at its preview. Returns the secrets of that.
async fn build(admin: &Browser, port: u16, data: &str) -> Secrets {
    let project =
        admin.create_project("A wish that is planted [[say: An answer that is planted]]").await["project"].take();
    admin.wait_for_answer(&id(&project)).await;
    let agents = agents_of(data);
    let agent = agents.first().expect("an agent runs");
    let password = variable_of(*agent, "OPENCODE_SERVER_PASSWORD").expect("it has a password");

    wait_for("the preview", BOUND, async || {
        let now = admin.get(&format!("/api/projects/{}", id(&project))).await.expect(200);
        (now["preview"]["state"] == "ready").then_some(())
    })
    .await;
    let url = ticket(admin, &project, &format!("localhost:{port}")).await.expect(200)["url"].take();
    let url = url.as_str().expect("an address");
    let inside = Browser::new(port);
    assert_eq!(visit(&inside, url, port).await.status, 303);
    vec![
        ("the prompt", "A wish that is planted".to_owned()),
        ("the answer", "An answer that is planted".to_owned()),
        ("an agent's password", password),
        ("a ticket to a preview", url.split_once("ticket=").expect("it has a ticket").1.to_owned()),
        ("a pass to a preview", value(inside.cookie())),
    ]
}

/// Connects an endpoint of one's own, and signs in at a provider: once in vain, once well.
async fn connect_more(admin: &Browser, model: &ScriptedModel) -> Secrets {
    let own = json!({"name": "Own", "base_url": model.openai_base_url(), "models": [{"id": "one"}], "key": "sk-own-planted-0123456789"});
    admin.post("/api/custom-providers", &own).await.expect(201);
    let server = AuthorizationServer::start().await;
    let mut secrets = vec![("the key of an endpoint of one's own", "sk-own-planted-0123456789".to_owned())];
    for (code, state) in [("planted-code-0123456789", "failed"), ("good-code", "succeeded")] {
        let mut events = admin.stream("").await;
        let attempt = begin_redirect(admin, &server).await;
        let pasted = landing(&attempt, code);
        let at = format!("/api/oauth-attempts/{}/code", id(&attempt));
        admin.post(&at, &json!({"code": pasted})).await.expect(202);
        assert_eq!(ended(&mut events, &id(&attempt)).await["state"], state);
        let state = pasted.split_once("state=").expect("it has a state").1.to_owned();
        secrets.extend([("a pasted address", pasted), ("the state of a login", state)]);
    }
    let code = "planted-code-0123456789".to_owned();
    let [access, refresh] = ["access-1-1-0123456789abcdef", "refresh-1-1-0123456789abcdef"].map(str::to_owned);
    secrets.extend([("a login's code", code), ("a login's token", access), ("a login's refresh token", refresh)]);
    secrets
}

/// Invites somebody who makes an account, makes an API token, and exports the keys.
async fn administer(admin: &Browser, port: u16) -> Secrets {
    let invite = admin.post("/api/invites", &json!({"role": "member"})).await.expect(201);
    let invite = invite["path"].as_str().and_then(|path| path.strip_prefix("/invite#")).expect("a link").to_owned();
    let guest = Browser::new(port);
    let password = "the planted one of a guest".to_owned();
    let account = json!({"token": invite, "username": "eve", "password": password});
    guest.post("/api/invited/account", &account).await.expect(201);

    let token = admin.post("/api/tokens", &json!({"name": "script", "scope": "full"})).await.expect(201);
    let token = token["secret"].as_str().expect("a token is shown once").to_owned();
    let export = json!({"password": PASSWORD, "passphrase": "a planted passphrase for an export"});
    assert_eq!(admin.post("/api/keys/export", &export).await.status, 200);
    vec![
        ("an invite", invite),
        ("a guest's password", password),
        ("a guest's cookie", value(guest.cookie())),
        ("an API token", token),
        ("the passphrase of an export", "a planted passphrase for an export".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn at_its_most_talkative_the_log_is_lines_of_json_without_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let root = camino::Utf8Path::from_path(directory.path()).expect("its path is UTF-8");
    let model = ScriptedModel::start().await;
    let mut command = talkative(directory.path());
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", make_tools(root)));
    let serving = Serving::start(command);
    let port = serving.port();
    let (_, cookie) = first_account(&serving).await;
    let admin = Browser::new(port);
    admin.set_cookie(Some(cookie));
    admin.connect(&model, KEY).await;

    let mut secrets = build(&admin, port, root.join("data").as_str()).await;
    secrets.extend(connect_more(&admin, &model).await);
    secrets.extend(administer(&admin, port).await);
    let token = &secrets.iter().find(|(what, _)| *what == "an API token").expect("it was made").1;
    // By a token, with secrets where none belongs, and wrongly.
    let by_token = admin.script(token).get(&format!("/api/projects?key={KEY}&token={token}")).await;
    let request = by_token.header("x-request-id").to_owned();
    let wrong = json!({"username": "ada", "password": "a wrong planted one"});
    Browser::new(port).post("/api/sign-in", &wrong).await.problem(401, "sign_in_failed");
    assert!(admin.post("/api/connections", &json!({"provider_id": 5, "key": KEY})).await.status.is_client_error());
    secrets.extend([
        ("a key", KEY.to_owned()),
        ("a password", PASSWORD.to_owned()),
        ("a wrong password", "a wrong planted one".to_owned()),
        ("a cookie", value(admin.cookie())),
    ]);
    // Once: another signal would end it at once, and leave its agent behind.
    drop(serving);

    let lines = lines(directory.path());
    for line in &lines {
        let is_whole = ["timestamp", "level", "target"].iter().all(|name| line[name].is_string());
        assert!(is_whole, "{line}");
    }
    let said = |words: &str| lines.iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains(words)));
    assert!(said("sandbox") && said("Ending: agents are stopped"), "what is said to people is there, too");
    assert!(lines.iter().any(|line| line["level"] == "TRACE"), "it was asked for everything");
    assert!(
        lines.iter().any(|line| line["span"]["id"] == json!(request) && line["message"] == "answered"),
        "{request}"
    );
    let log = std::fs::read(directory.path().join("log")).expect("the log can be read");
    for (what, secret) in &secrets {
        assert!(secret.len() >= 10, "{what} is long enough to be looked for");
        // What finds nothing proves something only if it finds what is there.
        for form in forms(secret) {
            let planted = [&log[log.len() - 100..], json!({"message": form}).to_string().as_bytes()].concat();
            assert!(holds(&planted, secret), "{what} would not be found as {form}");
        }
        if holds(&log, secret) {
            let line = lines.iter().find(|line| holds(line.to_string().as_bytes(), secret));
            panic!("{what} is in the log: {}", line.unwrap_or(&Value::Null));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_needs_to_begin_is_a_line_of_json_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = talkative(directory.path());
    command.env("DOCE_LISTEN", "0.0.0.0:0").env("DOCE_LOG", "warn");
    let serving = Serving::start(command);
    drop(serving);
    let messages: Vec<String> =
        lines(directory.path()).iter().filter_map(|line| Some(line["message"].as_str()?.to_owned())).collect();
    let code = messages.iter().find_map(|text| text.strip_prefix("setup ")).expect("the code is printed");
    assert_eq!(code.split_whitespace().next().map(str::len), Some(19), "{code}");

    // An error as well.
    let (code, _, said) =
        run(doce(directory.path()).args(["serve", "--log-format", "json", "--listen", "192.0.2.1:1"]));
    assert_eq!(code, 1, "{said}");
    let last: Value = serde_json::from_str(said.lines().last().expect("it says why")).expect("it is JSON");
    assert_eq!(last["level"], "ERROR", "{last}");
    assert!(last["message"].as_str().is_some_and(|text| text.contains("192.0.2.1:1")), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_a_failure_that_somebody_reads_leads_to_its_cause_without_more_being_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut command = doce(directory.path());
    command.stderr(File::create(&log).expect("a file can be made"));
    let serving = Serving::start(command);
    let (client, cookie) = first_account(&serving).await;
    let database = directory.path().join("data/doce.sqlite");
    let database = camino::Utf8Path::from_path(&database).expect("its path is UTF-8");
    for table in ["api_token", "project"] {
        change(database, &format!("ALTER TABLE {table} RENAME TO {table}_that_was")).await;
    }
    let failed = client.get(format!("{}/api/tokens", serving.url)).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(failed.status(), 500);
    let problem: Value = failed.json().await.unwrap();
    let of_the_api = problem["request_id"].as_str().expect("it has a number").to_owned();

    let preview = client.get(&serving.url).header("host", format!("bakery.preview.localhost:{}", serving.port()));
    let failed = preview.header("accept", "text/html").send().await.unwrap();
    assert_eq!(failed.status(), 500);
    let page = failed.text().await.unwrap();
    let of_the_preview = page.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>")).expect(&page).0;
    assert!(of_the_preview.starts_with("req_") && of_the_preview != of_the_api, "{page}");
    drop(serving);

    let text = std::fs::read_to_string(&log).expect("the log can be read");
    for (id, table) in [(of_the_api.as_str(), "api_token"), (of_the_preview, "project")] {
        let told: Vec<&str> = text.lines().filter(|line| line.contains(id)).collect();
        assert!(told.iter().any(|line| line.contains(&format!("no such table: {table}"))), "{id}: {text}");
    }
}
