//! What a new user does, over each protocol.

use doce_testkit::ScriptedModel;

use crate::doce::{Doce, word};

/// Tells the whole story with one provider: the key in its header, the word in the file, stop, and start again.
async fn tell(
    provider: &str,
    model_id: &str,
    header: &str,
    value: fn(&str) -> String,
    base_url: fn(&ScriptedModel) -> String,
) {
    let model = ScriptedModel::start().await;
    let key = word("sk-story");
    model.accept_keys([key.clone()]);
    let mut doce = Doce::new().await;
    doce.connect(provider, &base_url(&model), &key).await;
    let fruit = word("papaya");
    let prompt = format!("Build it. [[say: I will write the file.]] [[write: src/word.txt | {fruit}]]");
    let project = doce.create(&prompt, provider, model_id).await;

    let messages = doce.answered(&project, "complete").await;
    assert_eq!(messages.iter().filter(|m| m["role"] == "user").count(), 1);
    assert_eq!(doce.bytes(&project, "src/word.txt").await.as_deref().map(str::trim), Some(fruit.as_str()));
    let turn = model.agent_turns().into_iter().next().expect("a request of the agent");
    assert_eq!(turn.headers.get(header), Some(&value(&key)), "{:?}", turn.headers.keys());
    assert!(turn.mentions("The preview beside the conversation is already running and reloads by itself"));

    // Stopped, the conversation is there without any agent; a prompt starts it again, and it remembers.
    doce.post(&format!("/api/projects/{project}/stop"), serde_json::json!({})).await;
    doce.settled(&project, "stopped").await;
    assert!(!doce.auth_file(&project).exists());
    assert_eq!(doce.messages(&project).await.len(), messages.len());
    doce.prompt(&project, "And again. [[say: Still here.]]").await;
    let more = doce.answered(&project, "complete").await;
    assert!(more.len() > messages.len());
    assert!(more.last().expect("a message").to_string().contains("Still here."), "{more:#?}");
    let last = model.agent_turns().pop().expect("a request");
    assert!(last.mentions(&fruit), "the earlier turn is part of the request");
    let asked: std::collections::BTreeSet<_> =
        model.requests().into_iter().filter_map(|request| request.model).collect();
    assert_eq!(asked, [model_id.to_owned()].into(), "no other model is asked, for titles neither");
    doce.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_travels_over_anthropic_messages_into_a_file() {
    tell("anthropic", "claude-sonnet-4-5", "x-api-key", str::to_owned, ScriptedModel::anthropic_base_url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_travels_over_openai_chat_completions_into_a_file() {
    let bearer = |key: &str| format!("Bearer {key}");
    tell("deepseek", "deepseek-chat", "authorization", bearer, ScriptedModel::openai_base_url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_to_a_providers_questions_reach_the_agent_with_the_key_and_are_changed() {
    let model = ScriptedModel::start().await;
    let key = word("sk-asked");
    model.accept_keys([key.clone()]);
    let doce = Doce::new().await;
    // Without an account OpenCode asks nothing of this provider, wherever its address is pinned.
    let new = |metadata: serde_json::Value| {
        serde_json::json!({
            "provider_id": "snowflake-cortex", "auth_type": "api", "key": key, "metadata": metadata,
            "base_url": model.openai_base_url(),
        })
    };
    let made = doce.post("/api/connections", new(serde_json::json!({"account": "acme-eu1"}))).await;
    let models = doce.get("/api/providers/snowflake-cortex/models").await;
    let id = models["items"][0]["id"].as_str().expect("a model");
    let project = doce.create("Begin. [[say: It reached me.]]", "snowflake-cortex", id).await;
    let messages = doce.answered(&project, "complete").await;
    assert!(messages.last().expect("a message").to_string().contains("It reached me."), "{messages:#?}");
    let turn = model.agent_turns().pop().expect("a request");
    assert_eq!(turn.headers.get("authorization"), Some(&format!("Bearer {key}")));
    let held = || std::fs::read_to_string(doce.auth_file(&project)).expect("the agent's own file");
    assert!(held().contains("acme-eu1"), "the answer is part of what was delivered");

    let at = format!("/api/connections/{}", made["id"].as_str().expect("an id"));
    doce.patch(&at, serde_json::json!({"metadata": {"account": "acme-eu2"}})).await;
    doce_testkit::wait_for("the agent has the other answer", crate::doce::BOUND, async || {
        let held = doce.get(&format!("/api/projects/{project}/deliveries")).await;
        (held["items"][0]["version"] == 2 && held["items"][0]["status"] == "delivered").then_some(())
    })
    .await;
    let now = held();
    assert!(
        now.contains("acme-eu2") && !now.contains("acme-eu1") && now.contains(&key),
        "the same key, the other answer"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_ones_own_builds_and_its_models_change_while_the_agent_runs() {
    let model = ScriptedModel::start().await;
    let key = word("sk-own");
    model.accept_keys([key.clone()]);
    let doce = Doce::new().await;
    let new = serde_json::json!({
        "name": "Acme AI", "base_url": model.openai_base_url(), "key": key,
        "models": [{"id": "acme-1", "context": 64_000, "output": 8_000}],
    });
    let made = doce.post("/api/custom-providers", new).await;
    assert_eq!((&made["provider_id"], &made["status"]), (&"custom-acme-ai".into(), &"connected".into()));
    let fruit = word("guava");
    let prompt = format!("Build it. [[write: src/word.txt | {fruit}]]");
    let project = doce.create(&prompt, "custom-acme-ai", "acme-1").await;
    doce.answered(&project, "complete").await;
    assert_eq!(doce.bytes(&project, "src/word.txt").await.as_deref().map(str::trim), Some(fruit.as_str()));
    let turn = model.agent_turns().into_iter().next().expect("a request of the agent");
    assert_eq!(turn.headers.get("authorization"), Some(&format!("Bearer {key}")));
    assert_eq!(turn.model.as_deref(), Some("acme-1"));

    let change = serde_json::json!({"models": [{"id": "acme-1"}, {"id": "acme-2"}]});
    doce.patch("/api/custom-providers/custom-acme-ai", change).await;
    doce_testkit::wait_for("the agent has the change", crate::doce::BOUND, async || {
        let held = doce.get(&format!("/api/projects/{project}/deliveries")).await;
        (held["items"][0]["version"] == 2 && held["items"][0]["status"] == "delivered").then_some(())
    })
    .await;
    let more = serde_json::json!({
        "text": "More. [[say: With the other one.]]",
        "model": {"provider_id": "custom-acme-ai", "model_id": "acme-2"},
    });
    doce.post(&format!("/api/projects/{project}/prompts"), more).await;
    let messages = doce.answered(&project, "complete").await;
    assert!(messages.last().expect("a message").to_string().contains("With the other one."), "{messages:#?}");
    assert_eq!(model.agent_turns().pop().expect("a request").model.as_deref(), Some("acme-2"));
}
