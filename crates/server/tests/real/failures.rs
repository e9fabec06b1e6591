//! What a provider can do to an answer, and what a person then sees: a name, a reason, one button.

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

use crate::doce::{BOUND, Doce, said, word};

/// Waits until the last message ended in this state, and returns it.
async fn last(doce: &Doce, project: &str, state: &str) -> Value {
    wait_for(&format!("the last message is {state}"), BOUND, || async {
        // The agent says that it is idle a moment after it has said how the answer ended.
        if doce.project(project).await["session"]["kind"] != "idle" {
            return None;
        }
        doce.messages(project).await.into_iter().next_back().filter(|last| last["state"] == state)
    })
    .await
}

async fn abort(doce: &Doce, project: &str) {
    doce.post(&format!("/api/projects/{project}/abort"), json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_provider_has_a_name_a_reason_and_one_move() {
    let model = ScriptedModel::start().await;
    let key = word("sk-fail");
    model.accept_keys([key.clone()]);
    let doce = Doce::new().await;
    let connection = doce.connect("anthropic", &model.anthropic_base_url(), &key).await;
    let project = doce.create("Begin. [[say: Ready.]]", "anthropic", "claude-sonnet-4-5").await;
    doce.answered(&project, "complete").await;

    // No credit.
    doce.prompt(&project, "Pay. [[status: 402]]").await;
    let failed = last(&doce, &project, "failed").await;
    assert_eq!((&failed["error"]["code"], &failed["error"]["action"]["kind"]), (&json!("no_credit"), &json!("top_up")));

    // A limit with a wait of ten minutes: shown, with the time, and it can be stopped.
    doce.prompt(&project, "Wait. [[status: 429, retry-after: 600]]").await;
    let session = wait_for("the wait is shown", BOUND, || async {
        let session = doce.project(&project).await["session"].clone();
        (session["kind"] == "retry").then_some(session)
    })
    .await;
    assert!(session["next_at"].is_string() && session["message"].is_string(), "{session}");
    let busy = doce
        .request(reqwest::Method::POST, &format!("/api/projects/{project}/prompts"), Some(json!({ "text": "Now?" })))
        .await;
    assert_eq!(busy.status(), 409);
    abort(&doce, &project).await;
    wait_for("the agent is idle", BOUND, || async {
        (doce.project(&project).await["session"]["kind"] == "idle").then_some(())
    })
    .await;

    // A hang in the middle of an answer: what was said stays, and it can be stopped.
    doce.prompt(&project, "Hang. [[say: some words first]] [[hang]]").await;
    wait_for("words arrive", BOUND, || async { said(&doce.messages(&project).await).contains("words").then_some(()) })
        .await;
    abort(&doce, &project).await;
    let stopped = last(&doce, &project, "aborted").await;
    assert!(stopped.to_string().contains("some words"), "{stopped}");

    // An endless loop of empty answers is ended.
    doce.prompt(&project, "Nothing. [[empty]]").await;
    let failed = last(&doce, &project, "failed").await;
    assert_eq!(failed["error"]["code"], "empty_answers", "{failed}");
    let asked = model.agent_turns().iter().filter(|turn| turn.user_text.contains("Nothing.")).count();
    assert!((8..60).contains(&asked), "{asked} requests before it was stopped");

    // A rejected key: the connection says so, a new key repairs it, and the turn is taken up again.
    model.accept_keys(["sk-another-key-altogether"]);
    doce.prompt(&project, "Rejected. [[say: Unreachable words.]]").await;
    let failed = last(&doce, &project, "failed").await;
    assert_eq!(failed["error"]["code"], "key_rejected_in_use");
    assert_eq!(
        failed["error"]["action"],
        json!({ "kind": "replace_key", "label": failed["error"]["action"]["label"], "connection_id": connection })
    );
    let view = wait_for("the connection says so", BOUND, || async {
        let view = doce.get(&format!("/api/connections/{connection}")).await;
        (view["status"] == "error").then_some(view)
    })
    .await;
    assert_eq!(view["verification"]["outcome"], "invalid");
    doce.patch(&format!("/api/connections/{connection}"), json!({ "key": "sk-another-key-altogether" })).await;
    wait_for("the new key is delivered", BOUND, || async {
        let held = doce.get(&format!("/api/projects/{project}/deliveries")).await;
        (held["items"][0]["version"] == 2 && held["items"][0]["status"] == "delivered").then_some(())
    })
    .await;
    doce.post(&format!("/api/projects/{project}/continue"), json!({})).await;
    doce.answered(&project, "complete").await;
    assert_eq!(doce.get(&format!("/api/connections/{connection}")).await["status"], "connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_replaced_while_an_answer_streams_does_not_cut_it() {
    let model = ScriptedModel::start().await;
    let doce = Doce::new().await;
    let connection = doce.connect("anthropic", &model.anthropic_base_url(), "sk-first-0123456789").await;
    let words: Vec<String> = (0..30).map(|n| format!("w{n}")).collect();
    let prompt = format!("Go. [[delay: 100]] [[say: {}]]", words.join(" "));
    let project = doce.create(&prompt, "anthropic", "claude-sonnet-4-5").await;
    wait_for("words arrive", BOUND, || async { said(&doce.messages(&project).await).contains("w3").then_some(()) })
        .await;
    doce.patch(&format!("/api/connections/{connection}"), json!({ "key": "sk-second-0123456789" })).await;
    wait_for("it is shown as waiting", BOUND, || async {
        let held = doce.get(&format!("/api/projects/{project}/deliveries")).await;
        (held["items"][0]["status"] == "stale").then_some(())
    })
    .await;
    let messages = doce.answered(&project, "complete").await;
    assert!(said(&messages).contains(&words.join(" ")), "the answer is whole");
    wait_for("the new key is delivered", BOUND, || async {
        let held = doce.get(&format!("/api/projects/{project}/deliveries")).await;
        (held["items"][0]["version"] == 2 && held["items"][0]["status"] == "delivered").then_some(())
    })
    .await;
    doce.prompt(&project, "More. [[say: more]]").await;
    doce.answered(&project, "complete").await;
    assert_eq!(model.agent_turns().pop().expect("a request").key.as_deref(), Some("sk-second-0123456789"));
    // Disconnected, it is gone from the agent at once, and the next prompt says what is missing.
    doce.request(reqwest::Method::DELETE, &format!("/api/connections/{connection}"), None).await;
    wait_for("the key is gone from the agent", BOUND, || async {
        let text = std::fs::read_to_string(doce.auth_file(&project)).unwrap_or_default();
        (!text.contains("sk-second")).then_some(())
    })
    .await;
    let refused = doce
        .request(reqwest::Method::POST, &format!("/api/projects/{project}/prompts"), Some(json!({ "text": "More?" })))
        .await;
    assert_eq!(refused.status(), 422);
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["code"], "provider_not_connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_disconnected_while_an_answer_streams_is_gone_at_once() {
    let model = ScriptedModel::start().await;
    let doce = Doce::new().await;
    let connection = doce.connect("anthropic", &model.anthropic_base_url(), "sk-while-0123456789").await;
    let words: Vec<String> = (0..150).map(|n| format!("w{n}")).collect();
    let prompt = format!("Go. [[delay: 100]] [[say: {}]]", words.join(" "));
    let project = doce.create(&prompt, "anthropic", "claude-sonnet-4-5").await;
    wait_for("words arrive", BOUND, || async { said(&doce.messages(&project).await).contains("w3").then_some(()) })
        .await;
    let asked = doce.request(reqwest::Method::DELETE, &format!("/api/connections/{connection}"), None).await;
    assert!(asked.status().is_success(), "{}", asked.status());
    wait_for("the key is gone from the agent's file", BOUND, || async {
        let text = std::fs::read_to_string(doce.auth_file(&project)).unwrap_or_default();
        (!text.contains("sk-while")).then_some(())
    })
    .await;
    // The answer is cut after a minute at most, and says so; what was said stays.
    let ended = wait_for("the answer ends", BOUND, || async {
        let last = doce.messages(&project).await.into_iter().next_back()?;
        (last["state"] != "streaming").then_some(last)
    })
    .await;
    assert!(said(&doce.messages(&project).await).contains("w3"), "{ended}");
    let refused = doce
        .request(reqwest::Method::POST, &format!("/api/projects/{project}/prompts"), Some(json!({ "text": "More?" })))
        .await;
    assert_eq!(refused.json::<Value>().await.expect("a problem")["code"], "provider_not_connected");
}
