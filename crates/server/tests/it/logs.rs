//! The log: whoever collects it reads one kind of line, and no secret, however much is asked for.

use std::{fs::File, path::Path, process::Command};

use doce_testkit::{ScriptedModel, old_installation::change, wait_for};
use serde_json::{Value, json};

use crate::{
    cli::{Serving, doce, first_account, run},
    world::{BOUND, MODEL, PASSWORD},
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

#[tokio::test(flavor = "multi_thread")]
async fn at_its_most_talkative_the_log_is_lines_of_json_without_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(talkative(directory.path()));
    let (client, cookie) = first_account(&serving).await;
    let url = serving.url.clone();
    let asks =
        |method: reqwest::Method, path: &str| client.request(method, format!("{url}{path}")).header("cookie", &cookie);
    let connection = json!({
        "provider_id": MODEL.0, "auth_type": "api", "key": KEY, "base_url": model.anthropic_base_url(),
    });
    wait_for("the catalogue", BOUND, async || {
        let made = asks(reqwest::Method::POST, "/api/connections").json(&connection).send().await.ok()?;
        (made.status() == 201).then_some(())
    })
    .await;
    let token = asks(reqwest::Method::POST, "/api/tokens").json(&json!({"name": "script", "scope": "full"}));
    let token: Value = token.send().await.unwrap().json().await.unwrap();
    let token = token["secret"].as_str().expect("a token is shown once").to_owned();
    let new = json!({"prompt": "A wish that is planted [[say: An answer that is planted]]", "model": {"provider_id": MODEL.0, "model_id": MODEL.1}});
    let created: Value =
        asks(reqwest::Method::POST, "/api/projects").json(&new).send().await.unwrap().json().await.unwrap();
    let project = created["project"]["id"].as_str().unwrap().to_owned();
    wait_for("the answer", BOUND, async || {
        let path = format!("/api/projects/{project}/messages");
        let page: Value = asks(reqwest::Method::GET, &path).send().await.ok()?.json().await.ok()?;
        (page["items"].as_array()?.last()?["state"] == "complete").then_some(())
    })
    .await;
    // By a token, with secrets where none belongs, and wrongly.
    let by_token = client.get(format!("{url}/api/projects?key={KEY}&token={token}")).bearer_auth(&token).send();
    let id = by_token.await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned();
    let wrong = json!({"username": "ada", "password": "a wrong planted one"});
    assert_eq!(client.post(format!("{url}/api/sign-in")).json(&wrong).send().await.unwrap().status(), 401);
    let odd = asks(reqwest::Method::POST, "/api/connections").json(&json!({"provider_id": 5, "key": KEY}));
    assert!(odd.send().await.unwrap().status().is_client_error());
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
    assert!(lines.iter().any(|line| line["span"]["id"] == json!(id) && line["message"] == "answered"), "{id}");
    let cookie = cookie.split_once('=').expect("a cookie has a name").1;
    let said = ["A wish that is planted", "An answer that is planted"];
    for secret in [KEY, PASSWORD, token.as_str(), cookie, "a wrong planted one"].into_iter().chain(said) {
        let found = lines.iter().find(|line| line.to_string().contains(secret));
        assert!(found.is_none(), "{secret}: {}", found.unwrap_or(&Value::Null));
        // The last thing that a part of the program could write: its bytes, one number after the other.
        let bytes: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
        let found = lines.iter().find(|line| line.to_string().contains(&bytes.join(", ")));
        assert!(found.is_none(), "{secret} as bytes: {}", found.unwrap_or(&Value::Null));
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
