//! `kill -9` at every point of a launch loses nothing and repeats nothing.

use std::time::Duration;

use doce_testkit::{ScriptedModel, wait_for};
use reqwest::Method;
use serde_json::Value;

use crate::{
    canary::kill_agents,
    doce::{BOUND, Doce, said, word},
};

/// Tells how often the model was asked this very prompt, as the first request of its turn.
fn asked(model: &ScriptedModel, prompt: &str) -> usize {
    model.agent_turns().iter().filter(|turn| turn.tool_results == 0 && turn.user_text.contains(prompt)).count()
}

/// Waits until a step of the launch has begun.
async fn begun(doce: &Doce, project: &str, step: &str) {
    wait_for(&format!("{step} begins"), BOUND, || async {
        let jobs = doce.get(&format!("/api/jobs?project_id={project}")).await;
        let steps = jobs["items"][0]["steps"].as_array().cloned().unwrap_or_default();
        let found = steps.into_iter().find(|found| found["name"] == step)?;
        (found["state"] != "pending").then_some(())
    })
    .await;
}

/// After a crash: the same project comes up, one user's message, asked once, answered, the text not doubled.
async fn exactly_one(doce: &Doce, model: &ScriptedModel, project: &str, unique: &str, when: &str) {
    let messages = doce.answered(project, "complete").await;
    let prompts: Vec<&Value> = messages.iter().filter(|m| m["role"] == "user").collect();
    assert_eq!(prompts.len(), 1, "{when}: one user's message");
    assert_eq!(asked(model, unique), 1, "{when}: the model was asked once");
    let turn = model.agent_turns().into_iter().find(|turn| turn.user_text.contains(unique)).expect("a turn");
    assert_eq!(turn.user_text.matches(unique).count(), 1, "{when}: the text was not doubled");
    assert!(said(&messages).contains("All done"), "{when}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_of_a_launch_sends_the_first_prompt_exactly_once() {
    let model = ScriptedModel::start().await;
    let mut doce = Doce::new().await;
    doce.connect("anthropic", &model.anthropic_base_url(), "sk-ant-crash-0123456789").await;
    let steps =
        ["prepare_workspace", "start_instance", "wait_healthy", "deliver_credentials", "create_session", "send_prompt"];
    for step in steps {
        let unique = word(step);
        let prompt = format!("{unique} [[delay: 40]] [[say: All done with what was asked of me here.]]");
        let project = doce.create(&prompt, "anthropic", "claude-sonnet-4-5").await;
        begun(&doce, &project, step).await;
        doce.kill();
        doce.start();
        exactly_one(&doce, &model, &project, &unique, step).await;
        doce.request(Method::DELETE, &format!("/api/projects/{project}"), None).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_prompts_bytes_left_sends_it_exactly_once() {
    let model = ScriptedModel::start().await;
    let mut doce = Doce::new().await;
    doce.connect("anthropic", &model.anthropic_base_url(), "sk-ant-crash-0123456789").await;
    // The session is up before, so that only the prompt's own way is cut.
    let project = doce.create("Warm up. [[say: All done]]", "anthropic", "claude-sonnet-4-5").await;
    doce.answered(&project, "complete").await;
    for after in [0, 5, 50, 200, 500] {
        let unique = word("after");
        doce.prompt(&project, &format!("{unique} [[delay: 40]] [[say: All done with {unique} as you asked.]]")).await;
        wait_for("the prompt is on its way", BOUND, || async {
            let last = doce.messages(&project).await.into_iter().rfind(|m| m["role"] == "user")?;
            // `sent` may come first on a fast machine; from `waiting` on the bytes may leave at any moment.
            (last["state"] != "failed").then_some(())
        })
        .await;
        // The delay is what is tested: how long after the request the process dies.
        tokio::time::sleep(Duration::from_millis(after)).await;
        doce.kill();
        doce.start();
        let answered = wait_for("the answer is whole", BOUND, || async {
            let messages = doce.messages(&project).await;
            let last = messages.last()?;
            (last["role"] == "assistant" && last["state"] == "complete" && last.to_string().contains(&unique))
                .then_some(messages)
        })
        .await;
        assert_eq!(asked(&model, &unique), 1, "{after} ms: the model was asked once");
        let prompts = answered.iter().filter(|m| m["role"] == "user" && m.to_string().contains(&unique)).count();
        assert_eq!(prompts, 1, "{after} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_survives_a_crash_of_doce_and_is_adopted_with_its_answer() {
    let model = ScriptedModel::start().await;
    let mut doce = Doce::new().await;
    doce.connect("anthropic", &model.anthropic_base_url(), "sk-ant-crash-0123456789").await;
    let words: Vec<String> = (0..40).map(|n| format!("w{n}")).collect();
    let prompt = format!("Go. [[delay: 100]] [[say: {}]]", words.join(" "));
    let project = doce.create(&prompt, "anthropic", "claude-sonnet-4-5").await;
    wait_for("words arrive", BOUND, || async { said(&doce.messages(&project).await).contains("w5").then_some(()) })
        .await;
    let before = doce.project(&project).await["instance"]["id"].clone();
    doce.kill();
    doce.start();
    let messages = doce.answered(&project, "complete").await;
    assert_eq!(doce.project(&project).await["instance"]["id"], before, "the same Instance");
    assert!(said(&messages).contains(&words.join(" ")), "no word is lost: {}", said(&messages));
    assert_eq!(asked(&model, "Go."), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_leaves_its_answer_interrupted_and_continue_takes_it_up() {
    let model = ScriptedModel::start().await;
    let doce = Doce::new().await;
    doce.connect("anthropic", &model.anthropic_base_url(), "sk-ant-crash-0123456789").await;
    let project = doce
        .create("Go. [[delay: 100]] [[say: one two three four five]] [[hang]]", "anthropic", "claude-sonnet-4-5")
        .await;
    wait_for("words arrive", BOUND, || async { said(&doce.messages(&project).await).contains("three").then_some(()) })
        .await;
    let before = doce.project(&project).await["instance"]["id"].clone();
    kill_agents(&doce.data);
    wait_for("another agent", BOUND, || async {
        let view = doce.project(&project).await;
        (view["state"] == "running" && view["instance"]["id"] != before).then_some(())
    })
    .await;
    let messages = doce.messages(&project).await;
    assert_eq!(messages.last().expect("a message")["state"], "interrupted", "{messages:#?}");
    assert!(said(&messages).contains("one two three"));
    assert_eq!(asked(&model, "Go."), 1, "nothing is sent again by itself");
    doce.post(&format!("/api/projects/{project}/continue"), serde_json::json!({})).await;
    let after = doce.answered(&project, "complete").await;
    assert_eq!(after.iter().filter(|m| m["role"] == "user").count(), 2);
}
