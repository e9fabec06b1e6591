//! The fake Agent over HTTP: what doce relies on, and the traps it has to survive.

mod answers;
mod client;
#[path = "../support/mod.rs"]
mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use doce_testkit::fake_agent::{self, FakeAgent, read_calls};
use doce_testkit::{free_port, wait_for};
use reqwest::Method;
use serde_json::{Value, json};

use client::{CONFIG, Client, agent, builder, started};
use support::BOUND;

#[tokio::test]
async fn every_route_wants_the_password() {
    let agent = FakeAgent::start().await;
    for path in ["/global/health", "/event", "/global/event", "/session", "/nothing"] {
        let answer = reqwest::get(format!("{}{path}", agent.url())).await.expect("an answer");
        assert_eq!(answer.status(), 401, "{path}");
        assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"Secure Area\"");
        assert_eq!(answer.text().await.expect("a body"), "");
    }
    assert_eq!(agent.calls(), [], "nobody without the password is recorded");
    let health = Client::new(agent.url()).get("/global/health").await;
    assert_eq!(health, json!({ "healthy": true, "version": fake_agent::VERSION }));
}

#[tokio::test]
async fn a_connection_made_too_early_is_never_answered() {
    let delay = Duration::from_millis(700);
    let agent = builder().health_after(delay).start().await.expect("the fake starts");
    let client = Client::new(agent.url());
    let early = client.call(Method::GET, "/global/health", None);
    let late = async {
        wait_for("health", BOUND, async || {
            let look = tokio::time::timeout(Duration::from_millis(100), client.get("/global/health"));
            look.await.ok()
        })
        .await
    };
    tokio::select! {
        biased;
        _ = early => panic!("the early connection was answered"),
        health = late => assert_eq!(health["healthy"], true),
    }
}

#[tokio::test]
async fn a_key_lies_in_a_private_file_and_is_listed_in_clear() {
    let (agent, client) = agent().await;
    let path = agent.data_home().join("opencode/auth.json");
    let mode = std::fs::metadata(&path).expect("the file is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let providers = client.get("/config/providers").await;
    let custom = &providers["providers"][1];
    assert_eq!((&custom["id"], &custom["key"]), (&json!("custom"), &json!("sk-custom")), "{providers}");
    let anthropic = &providers["providers"][0];
    assert_eq!(anthropic["options"]["baseURL"], "http://127.0.0.1:9/v1");
    assert_eq!(providers["default"]["custom"], "m");
    assert_eq!(agent.auth_writes(), 1);
}

#[tokio::test]
async fn a_loaded_instance_keeps_its_keys_until_it_is_disposed_of() {
    let (_agent, client) = agent().await;
    let key = async || client.get("/config/providers").await["providers"][1]["key"].clone();
    assert_eq!(key().await, "sk-custom");
    client.put_key("custom", "sk-replaced").await;
    assert_eq!(key().await, "sk-custom");
    client.post("/instance/dispose", json!({})).await;
    assert_eq!(key().await, "sk-replaced");
    client.call(Method::DELETE, "/auth/custom", None).await;
    client.post("/instance/dispose", json!({})).await;
    assert_eq!(key().await, Value::Null);
}

#[tokio::test]
async fn providers_are_called_connected_before_the_instance_knows_their_keys() {
    let (_agent, client) = agent().await;
    client.get("/config").await;
    client.put_key("groq", "sk-groq").await;
    let providers = client.get("/provider").await;
    let connected = providers["connected"].as_array().expect("a list");
    assert!(connected.contains(&json!("groq")), "{connected:?}");
    let usable = client.get("/config/providers").await.to_string();
    assert!(!usable.contains("sk-groq"));
}

#[tokio::test]
async fn concurrent_writes_of_keys_lose_some() {
    let (agent, client) = agent().await;
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let writes = names.iter().map(|name| client.put_key(name, "k"));
    for answer in futures::future::join_all(writes).await {
        assert_eq!(answer, (200, json!(true)));
    }
    assert!(agent.credentials().len() < 21, "all survived: {:?}", agent.credentials());
}

#[tokio::test]
async fn an_unreadable_file_of_keys_counts_as_empty() {
    let (agent, client) = agent().await;
    std::fs::write(agent.data_home().join("opencode/auth.json"), "{ not json").expect("writable");
    client.put_key("other", "k").await;
    let left: Vec<_> = agent.credentials().keys().cloned().collect();
    assert_eq!(left, ["other"]);
}

#[tokio::test]
async fn bad_credentials_are_refused_as_opencode_refuses_them() {
    let (_agent, client) = agent().await;
    let put = |body: Value| client.call(Method::PUT, "/auth/x", Some(body));
    let (status, body) = put(json!({ "type": "nope", "key": "sk-secret" })).await;
    assert_eq!(status, 400);
    assert!(
        body["data"]["message"].as_str().expect("a message").contains("sk-secret"),
        "the body isn't echoed: {body}"
    );
    assert_eq!(put(json!({ "type": "api" })).await.1["data"]["message"], "Missing key\n  at [\"key\"]");
    assert_eq!(put(json!({ "type": "oauth", "refresh": "r", "access": "a", "expires": -1 })).await.0, 400);
    assert_eq!(put(json!({ "type": "api", "key": "" })).await.0, 200);
    assert_eq!(put(json!({ "type": "oauth", "refresh": "r", "access": "a", "expires": 5 })).await.0, 200);
    let raw = client.http.put(format!("{}/auth/x", client.url)).basic_auth("opencode", Some("secret"));
    assert_eq!(raw.body("{\"type\":").send().await.expect("an answer").status(), 500);
}

#[tokio::test]
async fn hostile_frames_and_ended_streams_reach_the_client() {
    let (agent, client) = agent().await;
    let mut events = client.events("/global/event").await;
    agent.emit("message.part.delta", &json!({ "sessionID": "ses_none", "delta": "<script>" }));
    events.until("message.part.delta", 1).await;
    agent.emit_raw("data: {\"type\":\"raw\"}\n\n");
    events.until("raw", 1).await;
    agent.disconnect_streams();
    assert_eq!(events.next().await, None);
    client.events("/global/event").await;
}

#[tokio::test]
async fn errors_of_sessions_and_messages_are_opencodes() {
    let (_agent, client) = agent().await;
    let session = client.session().await;
    for (method, path, status) in [
        (Method::GET, "/session/ses_none".to_owned(), 404),
        (Method::GET, "/session/bad".to_owned(), 500),
        (Method::GET, "/session/ses_none/message".to_owned(), 404),
        (Method::GET, format!("/session/{session}/message/msg_none"), 404),
        (Method::DELETE, format!("/session/{session}"), 200),
        (Method::DELETE, format!("/session/{session}"), 404),
        (Method::POST, "/session/ses_none/abort".to_owned(), 200),
    ] {
        assert_eq!(client.call(method, &path, None).await.0, status, "{path}");
    }
    let session = client.session().await;
    let path = format!("/session/{session}/prompt_async");
    for body in [json!({ "model": "a/b", "parts": [] }), json!({ "messageID": "x", "parts": [] }), json!({})] {
        assert_eq!(client.call(Method::POST, &path, Some(body.clone())).await.0, 400, "{body}");
    }
    let page = client.http.get(format!("{}/nothing", client.url)).basic_auth("opencode", Some("secret"));
    let page = page.send().await.expect("an answer").text().await.expect("a body");
    assert!(page.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn a_killed_agent_leaves_its_answer_unfinished_and_starts_again_on_its_data() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let build = || builder().data_home(home.path().join("data")).workspace(home.path().join("work"));
    let (agent, client) = started(build()).await;
    let session = client.session().await;
    client.prompt_async(&session, Some("msg_1"), "[[bash: sleep 300 & echo $! > sleeper; wait]]").await;
    let is_running =
        || agent.messages(&session).iter().any(|message| message["parts"][1]["state"]["status"] == "running");
    agent.wait_for("the running tool", BOUND, is_running).await;
    let sleeper = home.path().join("work/sleeper");
    let sleeper = wait_for("the child of its shell", BOUND, async || {
        std::fs::read_to_string(&sleeper).ok()?.trim().parse::<u32>().ok()
    })
    .await;
    agent.stop().await;
    // One that has ended has no command line, until its parent takes notice and it is no more.
    let line = format!("/proc/{sleeper}/cmdline");
    wait_for("the end of that child", BOUND, async || {
        std::fs::read(&line).unwrap_or_default().is_empty().then_some(())
    })
    .await;
    // On another port: a tool that is just being started may hold the old one for a moment more.
    let (_agent, client) = started(build()).await;
    let messages = client.messages(&session).await;
    assert_eq!(messages[0]["info"]["id"], "msg_1");
    assert_eq!(messages[1]["parts"][1]["state"]["status"], "running");
    assert!(messages[1]["info"]["time"]["completed"].is_null());
    assert_eq!(client.get("/session/status").await, json!({}));
    let answer = client.prompt(&session, "[[say: alive]]").await;
    assert_eq!(answer["parts"][1]["text"], "alive");
    let prompts = read_calls(&home.path().join("data")).into_iter().filter_map(|call| call.prompt);
    assert_eq!(prompts.count(), 2);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the program under test is started as doce would start it")]
async fn the_program_takes_opencodes_command_line_and_environment() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let work = home.path().join("work");
    std::fs::create_dir(&work).expect("writable");
    let port = free_port();
    let command = || {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_fake-opencode"));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("XDG_DATA_HOME", home.path().join("data"))
            .env("OPENCODE_SERVER_PASSWORD", "secret")
            .env("OPENCODE_CONFIG_CONTENT", CONFIG)
            .current_dir(&work)
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true);
        command
    };
    let version = command().arg("--version").stdout(std::process::Stdio::piped()).output().await.expect("it runs");
    assert_eq!(String::from_utf8_lossy(&version.stdout), format!("{}\n", fake_agent::VERSION));
    let serve = async || {
        let process = command()
            .args(["serve", "--hostname", "127.0.0.1", "--port", &port.to_string()])
            .spawn()
            .expect("it starts");
        let client = Client::new(format!("http://127.0.0.1:{port}"));
        wait_for("the program", BOUND, async || {
            let look = client.http.get(format!("{}/global/health", client.url)).basic_auth("opencode", Some("secret"));
            look.send().await.is_ok_and(|answer| answer.status() == 200).then_some(())
        })
        .await;
        (process, client)
    };
    let (mut process, client) = serve().await;
    client.put_key("custom", "sk-custom").await;
    let session = client.session().await;
    client.prompt(&session, "[[write: made.txt | here]]").await;
    assert_eq!(std::fs::read_to_string(work.join("made.txt")).expect("the file was written"), "here");
    process.kill().await.expect("it is killed");
    let (_process, client) = serve().await;
    assert_eq!(client.messages(&session).await.len(), 3);
    let prompts: Vec<_> = read_calls(&home.path().join("data")).into_iter().filter_map(|call| call.prompt).collect();
    assert_eq!(prompts.len(), 1);
    assert_eq!(prompts[0].text, "[[write: made.txt | here]]");
}
