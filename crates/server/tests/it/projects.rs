//! Projects: launched, talked to, stopped, started, deleted.

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

use crate::world::{BOUND, Browser, World, id};

fn text_of(message: &Value) -> String {
    let parts = message["parts"].as_array().expect("a message has parts");
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}

async fn launched(browser: &Browser, prompt: &str) -> String {
    let created = browser.create_project(prompt).await;
    let job = browser.wait_for_job(&id(&created["job"])).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    id(&created["project"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_launched_step_by_step_and_its_agent_answers() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let created = browser.create_project("A page for a bakery [[say: It is done.]]").await;
    let (project, job) = (&created["project"], &created["job"]);
    assert_eq!((&project["state"], &project["desired"]), (&json!("launching"), &json!("running")));
    assert_eq!(job["kind"], "launch_project");
    assert_eq!(job["project_id"], project["id"]);
    let job = browser.wait_for_job(&id(job)).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    let names: Vec<&str> = job["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    let expected =
        ["prepare_workspace", "start_instance", "wait_healthy", "deliver_credentials", "create_session", "send_prompt"];
    assert_eq!(names, expected);
    assert!(job["steps"].as_array().unwrap().iter().all(|step| step["state"] == "succeeded"));

    let project = id(project);
    let messages = browser.wait_for_answer(&project).await;
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["role"], "user");
    assert!(text_of(&messages[0]).starts_with("A page for a bakery"));
    assert_eq!(text_of(&messages[1]), "It is done.", "{}", messages[1]);
    let at = format!("/api/projects/{project}");
    let project = browser.get(&at).await.expect(200);
    assert_eq!((&project["state"], &project["instance"]["observed"]), (&json!("running"), &json!("healthy")));
    assert_eq!(project["job"], Value::Null);
    let held = browser.get(&format!("{at}/deliveries")).await.expect(200);
    assert_eq!(held["items"][0]["status"], "delivered");
    assert_eq!(held["items"][0]["provider_id"], "anthropic");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_answered_and_a_stopped_project_is_started_for_one() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let project = launched(&browser, "[[say: one]]").await;
    browser.wait_for_answer(&project).await;
    let at = format!("/api/projects/{project}");
    let accepted = browser.post(&format!("{at}/prompts"), &json!({"text": "[[say: two]]"})).await.expect(202);
    assert_eq!(accepted["message"]["role"], "user");
    browser.wait_for_job(&id(&accepted["job"])).await;
    let messages = browser.wait_for_answer(&project).await;
    assert_eq!(text_of(messages.last().unwrap()), "two");

    let stop = browser.post(&format!("{at}/stop"), &json!({})).await.expect(202);
    assert_eq!(browser.wait_for_job(&id(&stop)).await["state"], "succeeded");
    let stopped = browser.get(&at).await.expect(200);
    assert_eq!((&stopped["state"], &stopped["instance"]), (&json!("stopped"), &Value::Null));
    let read = browser.get(&format!("{at}/messages")).await.expect(200);
    assert_eq!(read["items"].as_array().unwrap().len(), 4, "the conversation is there without an agent");
    assert_eq!(browser.get(&at).await.expect(200)["state"], "stopped", "reading starts nothing");

    let accepted = browser.post(&format!("{at}/prompts"), &json!({"text": "[[say: three]]"})).await.expect(202);
    browser.wait_for_job(&id(&accepted["job"])).await;
    let messages = browser.wait_for_answer(&project).await;
    assert_eq!(text_of(messages.last().unwrap()), "three");
    assert_eq!(messages.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_while_an_answer_runs_is_refused_and_the_answer_can_be_stopped() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let project = launched(&browser, "[[hang]]").await;
    let at = format!("/api/projects/{project}");
    doce_testkit::wait_for("a busy agent", crate::world::BOUND, async || {
        (browser.get(&at).await.expect(200)["session"]["kind"] == "busy").then_some(())
    })
    .await;
    browser.post(&format!("{at}/prompts"), &json!({"text": "more"})).await.problem(409, "busy");
    browser.post(&format!("{at}/abort"), &json!({})).await.expect(202);
    doce_testkit::wait_for("an idle agent", crate::world::BOUND, async || {
        (browser.get(&at).await.expect(200)["session"]["kind"] == "idle").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_project_is_gone_with_its_files() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let project = launched(&browser, "[[say: one]]").await;
    let at = format!("/api/projects/{project}");
    let job = browser.delete(&at).await.expect(202);
    assert_eq!(job["kind"], "delete_project");
    doce_testkit::wait_for("the project to be gone", crate::world::BOUND, async || {
        (browser.get(&at).await.status == 404).then_some(())
    })
    .await;
    assert!(browser.get("/api/projects").await.expect(200)["items"].as_array().unwrap().is_empty());
    let left = std::fs::read_dir(world.data().join("projects")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "something of the project is left on the disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_built_is_said_before_anything_is_made() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let sonnet = json!({"provider_id": "anthropic", "model_id": "claude-sonnet-4-6"});
    let nowhere = json!({"prompt": "a page", "model": {"provider_id": "no-such", "model_id": "any"}});
    browser.post("/api/projects", &nowhere).await.problem(422, "provider_refused");
    browser.connect(&model, "sk-one-0123456789").await;
    for (body, field) in [
        (json!({"prompt": "  ", "model": sonnet}), "prompt"),
        (json!({"prompt": "a", "model": {"provider_id": "anthropic", "model_id": "no such\nmodel"}}), "model"),
        (json!({"prompt": "a", "model": sonnet, "name": "x".repeat(200)}), "name"),
        (json!({"prompt": "a", "model": sonnet, "connections": {"anthropic": "nonsense"}}), "connections"),
        (json!({"prompt": "a", "model": {"provider_id": "anthropic"}}), "model.model_id"),
    ] {
        let answer = browser.post("/api/projects", &body).await;
        assert_eq!(answer.problem(422, "invalid")["field"], field, "{body}");
    }
    assert!(browser.get("/api/projects").await.expect(200)["items"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_listed_in_pages() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(browser.create_project("[[say: one]]").await["project"]["id"].as_str().unwrap().to_owned());
    }
    let mut listed = Vec::new();
    let mut next = String::new();
    loop {
        let page = browser.get(&format!("/api/projects?limit=2{next}")).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        listed.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    listed.sort_unstable();
    listed.dedup();
    made.sort_unstable();
    assert_eq!(listed, made);
    let jobs = browser.get(&format!("/api/jobs?project_id={}", made[0])).await.expect(200);
    assert_eq!(jobs["items"].as_array().unwrap().len(), 1);
}

/// Waits until a job waits for somebody, and returns what it says.
async fn what_is_missing(browser: &Browser, job: &str) -> Value {
    wait_for("the job to wait", BOUND, async || {
        let job = browser.get(&format!("/api/jobs/{job}")).await.expect(200);
        assert!(matches!(job["state"].as_str(), Some("queued" | "running")), "{job}");
        (!job["waits_for"].is_null()).then_some(job)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_without_a_usable_key_waits_for_one_and_then_sends_its_prompt_once() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let connection = id(&browser.connect(&model, "sk-one-0123456789").await);
    model.accept_keys(["sk-two-0123456789"]);
    let verified = browser.post(&format!("/api/connections/{connection}/verify"), &json!({})).await.expect(200);
    assert_eq!(verified["status"], "error");
    let created = browser.create_project("A bakery [[say: It is done.]]").await;
    let (project, job) = (id(&created["project"]), id(&created["job"]));
    let waiting = what_is_missing(&browser, &job).await;
    let needed = &waiting["waits_for"];
    assert_eq!((&needed["code"], &needed["action"]["kind"]), (&json!("needs_key"), &json!("replace_key")));
    assert_eq!(needed["action"]["connection_id"], connection);
    assert_eq!((&waiting["error"], &waiting["next_attempt_at"]), (&Value::Null, &Value::Null));
    assert_eq!(waiting["steps"][3]["state"], "pending");
    let at = format!("/api/projects/{project}");
    assert_eq!(browser.get(&at).await.expect(200)["job"]["waits_for"], *needed);

    // Gone altogether, it is something else that is missing.
    browser.delete(&format!("/api/connections/{connection}")).await;
    browser.connect(&model, "sk-two-0123456789").await;
    assert_eq!(browser.wait_for_job(&job).await["state"], "succeeded");
    let messages = browser.wait_for_answer(&project).await;
    assert_eq!(messages.len(), 2);
    assert_eq!(text_of(&messages[1]), "It is done.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_waits_goes_on_with_the_key_that_takes_the_place_of_a_disconnected_one() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let rejected = id(&browser.connect(&model, "sk-one-0123456789").await);
    browser.connect(&model, "sk-two-0123456789").await;
    model.accept_keys(["sk-two-0123456789"]);
    browser.post(&format!("/api/connections/{rejected}/verify"), &json!({})).await.expect(200);
    let created = browser.create_project("A bakery [[say: It is done.]]").await;
    let job = id(&created["job"]);
    what_is_missing(&browser, &job).await;
    browser.delete(&format!("/api/connections/{rejected}")).await.expect(204);
    assert_eq!(browser.wait_for_job(&job).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_of_a_provider_that_nobody_connected_yet_waits_for_it() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let created = browser.create_project("A bakery [[say: It is done.]]").await;
    let (project, job) = (id(&created["project"]), id(&created["job"]));
    let waiting = what_is_missing(&browser, &job).await;
    let needed = &waiting["waits_for"];
    assert_eq!((&needed["code"], &needed["action"]["kind"]), (&json!("needs_key"), &json!("connect_provider")));
    let more = json!({"text": "And a menu"});
    let refused = browser.post(&format!("/api/projects/{project}/prompts"), &more).await;
    refused.problem(422, "provider_not_connected");

    browser.connect(&model, "sk-one-0123456789").await;
    assert_eq!(browser.wait_for_job(&job).await["state"], "succeeded");
    let messages = browser.wait_for_answer(&project).await;
    assert_eq!(messages.len(), 2, "the first prompt is sent once");
    assert_eq!(text_of(&messages[1]), "It is done.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_waits_for_a_key_can_be_stopped_and_started_again() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let connection = id(&browser.connect(&model, "sk-one-0123456789").await);
    model.accept_keys(["sk-two-0123456789"]);
    let at = format!("/api/connections/{connection}");
    browser.post(&format!("{at}/verify"), &json!({})).await.expect(200);
    let created = browser.create_project("A bakery [[say: It is done.]]").await;
    let (project, job) = (id(&created["project"]), id(&created["job"]));
    what_is_missing(&browser, &job).await;
    let stop = browser.post(&format!("/api/projects/{project}/stop"), &json!({})).await.expect(202);
    assert_eq!(browser.wait_for_job(&id(&stop)).await["state"], "succeeded");
    assert_eq!(browser.wait_for_job(&job).await["state"], "cancelled");

    let start = browser.post(&format!("/api/projects/{project}/start"), &json!({})).await.expect(202);
    what_is_missing(&browser, &id(&start)).await;
    browser.patch(&at, &json!({"key": "sk-two-0123456789"})).await.expect(200);
    assert_eq!(browser.wait_for_job(&id(&start)).await["state"], "succeeded");
    browser.post(&format!("/api/projects/{project}/continue"), &json!({})).await.expect(202);
    let messages = browser.wait_for_answer(&project).await;
    assert_eq!(text_of(&messages[1]), "It is done.", "the prompt that was never sent is sent");
    assert_eq!(messages.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_waits_for_a_key_takes_the_model_that_is_chosen_instead() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let connection = id(&browser.connect(&model, "sk-one-0123456789").await);
    let other = json!({
        "provider_id": "openai", "auth_type": "api", "key": "sk-other-0123456789", "base_url": model.openai_base_url(),
    });
    browser.post("/api/connections", &other).await.expect(201);
    model.accept_keys(["sk-other-0123456789"]);
    browser.post(&format!("/api/connections/{connection}/verify"), &json!({})).await.expect(200);
    let created = browser.create_project("A bakery [[say: It is done.]]").await;
    let (project, job) = (id(&created["project"]), id(&created["job"]));
    what_is_missing(&browser, &job).await;
    let models = browser.get("/api/providers/openai/models").await.expect(200);
    let chosen = json!({"provider_id": "openai", "model_id": models["items"][0]["id"]});
    browser.patch(&format!("/api/projects/{project}"), &json!({"model": chosen})).await.expect(200);
    assert_eq!(browser.wait_for_job(&job).await["state"], "succeeded");
    let messages = browser.wait_for_answer(&project).await;
    assert_eq!(messages[0]["model"], chosen);
    assert_eq!(text_of(&messages[1]), "It is done.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_kept_in_spite_of_a_rejection_is_tried() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    model.accept_keys(["sk-good-0123456789"]);
    let kept = json!({
        "provider_id": "anthropic", "auth_type": "api", "key": "sk-kept-0123456789",
        "base_url": model.anthropic_base_url(), "keep_unverified": true,
    });
    assert_eq!(browser.post("/api/connections", &kept).await.expect(201)["status"], "error");
    model.accept_everything();
    let created = browser.create_project("A bakery [[say: It is done.]]").await;
    assert_eq!(browser.wait_for_job(&id(&created["job"])).await["state"], "succeeded");
    browser.wait_for_answer(&id(&created["project"])).await;
}
