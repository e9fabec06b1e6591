//! A key is where it may be, and nowhere else.
//!
//! The main job runs with a planted key. Then every place is searched for it: in clear, in base64, URL-encoded. A search
//! that finds nothing proves nothing, so it must also find a decoy that was planted in each of those places.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use doce_testkit::{
    AuthorizationServer, ScriptedModel,
    canary::{forms, holds},
    wait_for,
};
use reqwest::Method;
use serde_json::json;

use crate::{
    doce::{BOUND, Doce, word},
    logins::sign_in_at_gitlab,
};

/// What the search must find wherever it is planted.
const DECOY: &str = "sk-decoy-0123456789abcdef";

/// Lists the files beneath a directory that hold a secret.
fn files_with(directory: &Path, secret: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                // What npm unpacked came from the registry.
                if entry.file_name() != "node_modules" {
                    pending.push(entry.path());
                }
            } else if kind.is_file() && std::fs::read(entry.path()).is_ok_and(|bytes| holds(&bytes, secret)) {
                found.insert(entry.path());
            }
        }
    }
    found
}

/// The homes of logins that lie in memory; other tests may have theirs beside them, and their own files.
fn homes_of_logins() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let homes = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("doce-login-"));
    homes.map(|entry| entry.path()).collect()
}

/// Lists the processes of this machine whose environment or command line holds a secret.
fn processes_with(secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // This test's own process holds the secret as a variable of its own, not in either of these.
        for place in ["environ", "cmdline"] {
            if std::fs::read(entry.path().join(place)).is_ok_and(|bytes| holds(&bytes, secret)) {
                found.push(format!("{place} of {pid}"));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_in_the_running_agents_auth_json_and_nowhere_else() {
    let model = ScriptedModel::start().await;
    let key = word("sk-canary-Q");
    model.accept_keys([key.clone()]);
    let mut doce = Doce::new().await;

    // Everything the API says from here on is searched, the stream included.
    let mut events = doce.request(Method::GET, "/api/stream", None).await;
    let connection = doce.connect("anthropic", &model.anthropic_base_url(), &key).await;
    let project = doce
        .create("Say it. [[say: Done.]] [[bash: env; cat /proc/self/cmdline]]", "anthropic", "claude-sonnet-4-5")
        .await;
    doce.answered(&project, "complete").await;
    assert!(model.agent_turns()[0].key.as_deref() == Some(key.as_str()), "the job did run with the key");

    // While the agent runs, the key is in its own auth.json (direct delivery) and nowhere else.
    let auth = doce.auth_file(&project);
    assert_eq!(files_with(doce.data.parent().expect("a parent"), &key), BTreeSet::from([auth.clone()]));
    assert_eq!(processes_with(&key), Vec::<String>::new());
    let mut bodies = String::new();
    for path in [
        "/api/connections".to_owned(),
        format!("/api/connections/{connection}"),
        format!("/api/connections/{connection}/deliveries"),
        format!("/api/connections/{connection}/projects"),
        "/api/start".to_owned(),
        "/api/providers".to_owned(),
        "/api/projects".to_owned(),
        format!("/api/projects/{project}"),
        format!("/api/projects/{project}/messages"),
        format!("/api/projects/{project}/deliveries"),
        format!("/api/projects/{project}/logs?source=agent"),
        "/api/jobs".to_owned(),
        "/api/audit?limit=1000".to_owned(),
        "/api/audit/export".to_owned(),
        "/api/system".to_owned(),
        "/api/me".to_owned(),
        "/api/openapi.json".to_owned(),
    ] {
        let response = doce.request(Method::GET, &path, None).await;
        assert!(response.status().is_success(), "{path}: {}", response.status());
        bodies.push_str(&response.text().await.expect("a body"));
    }
    let rejected = doce
        .request(
            Method::POST,
            "/api/connections",
            Some(json!({ "provider_id": "nope", "auth_type": "api", "key": key, "extra": key })),
        )
        .await;
    bodies.push_str(&rejected.text().await.expect("a body"));
    assert!(!holds(bodies.as_bytes(), &key), "an answer of the API holds the key");

    // Nor is it in a backup that is made meanwhile, in which a decoy of the workspace is found.
    let note = doce.data.join("projects").join(&project).join("workspace/decoy.txt");
    std::fs::write(&note, DECOY).expect("a decoy");
    let restored = backed_up(&doce);
    assert_eq!(files_with(restored.path(), &key), BTreeSet::new(), "the backup holds the key");
    assert_eq!(files_with(restored.path(), DECOY).len(), 1, "the search finds what is in a backup");
    std::fs::remove_file(note).expect("the decoy goes");

    // The decoys: the same search finds them in each of those places, in each form.
    let around = doce.data.parent().expect("a parent").to_owned();
    for (index, text) in forms(DECOY).into_iter().enumerate() {
        let places = ["data/doce.sqlite-wal.decoy", "data.log.decoy", "data/projects/decoy", "data/instances/decoy"]
            .map(|place| around.join(place));
        for place in &places {
            std::fs::write(place, format!("…{text}…")).expect("a decoy");
        }
        let found = files_with(&around, DECOY);
        for place in places {
            assert!(found.contains(&place), "form {index} was not found in {}", place.display());
            std::fs::remove_file(&place).expect("the decoy goes");
        }
        let mut decoy = Command::new("sleep")
            .arg("60")
            .env("DECOY", &text)
            .stdin(Stdio::null())
            .spawn()
            .expect("a process with a decoy");
        let seen = wait_for("the decoy's environment is found", BOUND, || async {
            let found = processes_with(DECOY);
            (!found.is_empty()).then_some(found)
        })
        .await;
        decoy.kill().expect("the decoy ends");
        decoy.wait().expect("the decoy ends");
        assert!(seen.contains(&format!("environ of {}", decoy.id())), "{seen:?}");
        assert!(holds(format!("{bodies}{text}").as_bytes(), DECOY));
    }

    // The database holds the key sealed: a dump of every table shows none of it.
    let dump = Command::new("strings").args(["-n", "6"]).arg(doce.data.join("doce.sqlite")).output();
    if let Ok(dump) = dump {
        assert!(!holds(&dump.stdout, &key));
    }

    // A new key and a revoked one leave nothing of the old one behind.
    let second = word("sk-canary-R");
    model.accept_keys([key.clone(), second.clone()]);
    doce.patch(&format!("/api/connections/{connection}"), json!({ "key": second })).await;
    wait_for("the agent holds the new key", BOUND, || async {
        std::fs::read_to_string(&auth).is_ok_and(|text| text.contains(&second)).then_some(())
    })
    .await;
    wait_for("the new key is delivered", BOUND, || async {
        let held = doce.get(&format!("/api/projects/{project}/deliveries")).await;
        (held["items"][0]["status"] == "delivered" && held["items"][0]["version"] == 2).then_some(())
    })
    .await;
    assert_eq!(files_with(&doce.data, &key), BTreeSet::new(), "the old key is gone");
    doce.prompt(&project, "Again. [[say: Second.]]").await;
    doce.answered(&project, "complete").await;
    assert_eq!(model.agent_turns().pop().expect("a request").key.as_deref(), Some(second.as_str()));

    // After kill -9 of doce and a restart, the agent is adopted and the key is in its auth.json only.
    doce.kill();
    doce.start();
    doce.settled(&project, "running").await;
    assert_eq!(files_with(&doce.data, &second), BTreeSet::from([auth.clone()]));

    // After kill -9 of doce and of the agent, and a restart, the agent is started again and handed the key; once the
    // project is stopped, it is nowhere at all.
    kill_both(&mut doce, &project).await;
    doce.post(&format!("/api/projects/{project}/stop"), json!({})).await;
    doce.settled(&project, "stopped").await;
    assert_eq!(files_with(&doce.data, &second), BTreeSet::new());
    assert!(!auth.exists());

    // After a clean stop, nowhere either.
    doce.prompt(&project, "Once more. [[say: Third.]]").await;
    doce.answered(&project, "complete").await;
    assert_eq!(files_with(&doce.data, &second), BTreeSet::from([auth.clone()]));
    doce.stop();
    assert_eq!(files_with(doce.data.parent().expect("a parent"), &second), BTreeSet::new());

    let seen = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        let mut seen = Vec::new();
        while let Ok(Some(chunk)) = events.chunk().await {
            seen.extend_from_slice(&chunk);
        }
        seen
    })
    .await
    .unwrap_or_default();
    assert!(seen.windows(10).any(|w| w == b"connection"), "the stream was read");
    assert!(!holds(&seen, &key) && !holds(&seen, &second), "the stream held a key");
}

/// Kills doce and the agent, starts doce again, and waits until it has started another agent.
async fn kill_both(doce: &mut Doce, project: &str) {
    let before = doce.project(project).await["instance"]["id"].clone();
    doce.kill();
    kill_agents(&doce.data);
    doce.start();
    let doce = &*doce;
    wait_for("another agent", BOUND, || async {
        let view = doce.project(project).await;
        (view["state"] == "running" && view["instance"]["id"] != before).then_some(())
    })
    .await;
}

/// Makes a backup while doce runs, and restores it elsewhere.
fn backed_up(doce: &Doce) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (file, data) = (directory.path().join("backup"), directory.path().join("data"));
    for (command, data) in [("backup", &doce.data), ("restore", &data)] {
        let run = Command::new(env!("CARGO_BIN_EXE_doce")).arg(command).arg(&file).arg("--data-dir").arg(data).output();
        let run = run.expect("doce runs");
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
    }
    std::fs::remove_file(&file).expect("the backup goes");
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_a_login_are_in_the_running_agents_auth_json_at_most() {
    let model = ScriptedModel::start().await;
    let server = AuthorizationServer::start().await;
    let mut doce = Doce::new().await;
    let mut events = doce.request(Method::GET, "/api/stream", None).await;
    doce.connect("anthropic", &model.anthropic_base_url(), "sk-beside-0123456789").await;
    // Due within the test: the renewed pair is searched for, too.
    server.set_lifetime(45);
    let connection = sign_in_at_gitlab(&doce, &server).await;
    server.set_lifetime(3600);
    let project = doce
        .create("Say it. [[say: Done.]] [[bash: env; cat /proc/self/cmdline]]", "anthropic", "claude-sonnet-4-5")
        .await;
    doce.answered(&project, "complete").await;

    // What the authorization server gave out first: an access token, and the refresh token that no agent ever gets.
    let first = ["access-1-1-0123456789abcdef", "refresh-1-1-0123456789abcdef"];
    let auth = doce.auth_file(&project);
    let around = doce.data.parent().expect("a parent").to_owned();
    let at_most_there = |[access, refresh]: [&str; 2]| {
        assert_eq!(files_with(&around, access), BTreeSet::from([auth.clone()]));
        assert_eq!(files_with(&around, refresh), BTreeSet::new());
        for token in [access, refresh] {
            for home in homes_of_logins() {
                assert_eq!(files_with(&home, token), BTreeSet::new(), "the login's home is gone");
            }
            assert_eq!(processes_with(token), Vec::<String>::new());
        }
    };
    at_most_there(first);
    let at = format!("/api/connections/{}", connection["id"].as_str().expect("an id"));
    wait_for("the renewal", BOUND, || async { (doce.get(&at).await["version"] == 2).then_some(()) }).await;
    let renewed = ["access-1-2-0123456789abcdef", "refresh-1-2-0123456789abcdef"];
    let arrived = async || {
        wait_for("the renewed tokens in the agent", BOUND, || async {
            std::fs::read_to_string(&auth).is_ok_and(|text| text.contains(renewed[0])).then_some(())
        })
        .await;
    };
    arrived().await;
    doce.answered(&project, "complete").await;
    at_most_there(renewed);
    let all = [first, renewed].concat();
    let restored = backed_up(&doce);
    for token in &all {
        assert_eq!(files_with(restored.path(), token), BTreeSet::new(), "the backup holds a token");
    }
    // After kill -9 of both, and a restart, it is in the next agent's file only.
    kill_both(&mut doce, &project).await;
    arrived().await;
    at_most_there(renewed);
    let mut bodies = String::new();
    for path in [
        "/api/connections".to_owned(),
        format!("/api/connections/{}", connection["id"].as_str().expect("an id")),
        format!("/api/projects/{project}/deliveries"),
        format!("/api/projects/{project}/messages"),
        format!("/api/projects/{project}/logs?source=agent"),
        "/api/jobs".to_owned(),
        "/api/audit/export".to_owned(),
    ] {
        let response = doce.request(Method::GET, &path, None).await;
        assert!(response.status().is_success(), "{path}: {}", response.status());
        bodies.push_str(&response.text().await.expect("a body"));
    }
    doce.stop();
    while let Ok(Some(chunk)) = events.chunk().await {
        bodies.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(bodies.contains("oauth_attempt"), "the stream was read");
    for token in all {
        assert!(!holds(bodies.as_bytes(), token), "an answer of the API holds a token");
        assert_eq!(files_with(&around, token), BTreeSet::new(), "stopped, it is nowhere");
    }
}

/// Ends every process of the agents of one data directory, at once.
pub(crate) fn kill_agents(data: &Path) {
    let data = data.to_str().expect("a path").as_bytes();
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // The process that builds the sandbox names the data directory in its arguments; the one inside is its child.
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let names_it = arguments.windows(data.len()).any(|window| window == data);
        let serves = arguments.windows(5).any(|window| window == b"serve");
        if !(names_it && serves && arguments.windows(5).any(|window| window == b"bwrap")) {
            continue;
        }
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            drop(Command::new("kill").args(["-9", child]).status());
            killed += 1;
        }
    }
    assert!(killed > 0, "an agent was found to kill");
}
