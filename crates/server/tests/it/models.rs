//! Models: preferred, favourites, used last; and which connection pays for them.

use doce_model::model_preference::{FAVOURITES_MAX, RECENTS_MAX};
use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

use crate::world::{BOUND, Browser, MODEL, World, id};

const AT: &str = "/api/models/preferences";

fn model(name: &str) -> Value {
    json!({"provider_id": MODEL.0, "model_id": name})
}

async fn launched(browser: &Browser, body: &Value) -> String {
    let created = browser.post("/api/projects", body).await.expect(202);
    let job = browser.wait_for_job(&id(&created["job"])).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    format!("/api/projects/{}", id(&created["project"]))
}

/// Sends a prompt and waits for its answer.
async fn ask(browser: &Browser, project: &str, text: &str) {
    let sent = browser.post(&format!("{project}/prompts"), &json!({"text": text})).await.expect(202);
    assert_eq!(browser.wait_for_job(&id(&sent["job"])).await["state"], "succeeded");
    browser.wait_for_answer(project.rsplit('/').next().expect("an address has an end")).await;
}

/// Waits for the newest answer, and returns it.
async fn last(browser: &Browser, project: &str) -> Value {
    browser
        .wait_for_answer(project.rsplit('/').next().expect("an address has an end"))
        .await
        .pop()
        .expect("there is an answer")
}

/// Waits until the only connection that a project uses is this one and its agent has it.
async fn wait_until_delivered(browser: &Browser, project: &str, connection: &str) -> Value {
    wait_for("the delivery", BOUND, async || {
        let used = browser.get(&format!("{project}/connections")).await.expect(200)["items"][0].clone();
        let delivery = &used["delivery"];
        (delivery["status"] == "delivered" && delivery["connection_id"] == connection).then_some(used)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_model_is_preferred_and_favourites_are_their_users_own() {
    let world = World::start().await;
    let admin = world.admin().await;
    let bob = world.member(&admin, "bob").await;
    let nothing = json!({"preferred": null, "favourites": [], "recents": []});
    assert_eq!(bob.get(AT).await.expect(200), nothing);
    bob.patch(AT, &json!({"model": model("one"), "preferred": true, "favourite": true})).await.expect(200);
    bob.patch(AT, &json!({"model": model("two"), "preferred": true})).await.expect(200);
    let said = bob.patch(AT, &json!({"model": model("three"), "favourite": true})).await.expect(200);
    let expected = json!({"preferred": model("two"), "favourites": [model("one"), model("three")], "recents": []});
    assert_eq!(said, expected);
    assert_eq!(bob.get(AT).await.expect(200), expected);
    assert_eq!(admin.get(AT).await.expect(200), nothing);
    bob.patch(AT, &json!({"model": model("one"), "favourite": false})).await.expect(200);
    bob.patch(AT, &json!({"model": model("three"), "favourite": false})).await.expect(200);
    let said = bob.patch(AT, &json!({"model": model("two"), "preferred": false})).await.expect(200);
    assert_eq!(said, nothing);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_of_several_providers_are_one_answer() {
    let world = World::running().await;
    let browser = world.admin().await;
    let models = wait_for("the catalogue", BOUND, async || {
        let answer = browser.get("/api/models?providers=anthropic,nobody,openai").await;
        (answer.status == 200).then(|| answer.expect(200)["items"].clone())
    })
    .await;
    let of: Vec<&str> = models.as_array().unwrap().iter().filter_map(|item| item["provider_id"].as_str()).collect();
    assert_eq!(of, ["anthropic", "openai"], "what isn't there is left out");
    for (item, provider) in models.as_array().unwrap().iter().zip(of) {
        let alone = browser.get(&format!("/api/providers/{provider}/models")).await.expect(200)["items"].clone();
        assert_eq!(item["models"], alone);
        assert!(!alone.as_array().unwrap().is_empty());
    }
    browser.get("/api/models").await.problem(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_a_model_is_not_preferred_and_favourites_have_an_end() {
    let world = World::start().await;
    let browser = world.admin().await;
    let long = "x".repeat(300);
    for (provider_id, model_id) in [("", "one"), ("anthropic", ""), ("a b", "one"), ("anthropic", "a\nb"), ("a", &long)]
    {
        let body = json!({"model": {"provider_id": provider_id, "model_id": model_id}, "favourite": true});
        assert_eq!(browser.patch(AT, &body).await.problem(422, "invalid")["field"], "model", "{body}");
    }
    for n in 0..FAVOURITES_MAX {
        browser.patch(AT, &json!({"model": model(&format!("m{n}")), "favourite": true})).await.expect(200);
    }
    let more = json!({"model": model("more"), "favourite": true});
    assert_eq!(browser.patch(AT, &more).await.problem(422, "invalid")["field"], "favourite");
    browser.patch(AT, &json!({"model": model("m3"), "favourite": true, "preferred": true})).await.expect(200);
    browser.patch(AT, &json!({"model": model("m3"), "favourite": false})).await.expect(200);
    browser.patch(AT, &more).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_prompts_went_to_are_remembered_newest_first_and_told_as_it_happens() {
    let world = World::running().await;
    let scripted = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&scripted, "sk-one-0123456789").await;
    let mut events = browser.stream("").await;
    let project = launched(&browser, &json!({"prompt": "[[say: one]]", "model": model(MODEL.1)})).await;
    browser.wait_for_answer(project.rsplit('/').next().unwrap()).await;
    let told = events
        .find("the model used", |frame| {
            (frame.event == "model_preferences").then(|| frame.data["preferences"]["recents"].clone())
        })
        .await;
    assert_eq!(told, json!([model(MODEL.1)]));
    let prompt = json!({"text": "[[say: two]]", "model": model("claude-haiku-4-5")});
    browser.post(&format!("{project}/prompts"), &prompt).await.expect(202);
    let said = browser.get(AT).await.expect(200);
    assert_eq!(said["recents"], json!([model("claude-haiku-4-5"), model(MODEL.1)]));
    assert!(said["recents"].as_array().unwrap().len() <= RECENTS_MAX);
    assert_eq!(said["preferred"], Value::Null, "using a model is not preferring it");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_connection_pays_after_a_switch_and_the_audit_log_says_so() {
    let world = World::running().await;
    let scripted = ScriptedModel::start().await;
    let browser = world.admin().await;
    let first = id(&browser.connect(&scripted, "sk-one-0123456789").await);
    let second = id(&browser.connect(&scripted, "sk-two-0123456789").await);
    let new = json!({"prompt": "[[say: one]]", "model": model(MODEL.1), "connections": {"anthropic": second}});
    let project = launched(&browser, &new).await;
    let used = wait_until_delivered(&browser, &project, &second).await;
    assert_eq!((&used["connection_id"], &used["chosen"]), (&json!(second), &json!(true)));
    assert_eq!(last(&browser, &project).await["connection_id"], second);

    let switched = browser.patch(&project, &json!({"connections": {"anthropic": first}})).await;
    switched.expect(200);
    wait_until_delivered(&browser, &project, &first).await;
    ask(&browser, &project, "[[say: two]]").await;
    assert_eq!(last(&browser, &project).await["connection_id"], first);
    let events = world.audit_of(switched.header("x-request-id")).await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].action.as_str(), events[0].noun.as_str()), ("switch_connection", first.as_str()));
    let revoked = world.audit().await.into_iter().filter(|event| event.action.as_str() == "revoke");
    assert_eq!(revoked.map(|event| event.noun).collect::<Vec<_>>(), [second.as_str()]);

    // And the default pays again, whichever that is.
    browser.patch(&format!("/api/connections/{second}"), &json!({"is_default": true})).await.expect(200);
    let used = browser.get(&format!("{project}/connections")).await.expect(200)["items"][0].clone();
    assert_eq!((&used["connection_id"], &used["chosen"]), (&json!(first), &json!(true)));
    let followed = browser.patch(&project, &json!({"connections": {"anthropic": null}})).await;
    followed.expect(200);
    let used = wait_until_delivered(&browser, &project, &second).await;
    assert_eq!((&used["connection_id"], &used["chosen"]), (&json!(second), &json!(false)));
    let events = world.audit_of(followed.header("x-request-id")).await;
    assert_eq!((events.len(), events[0].noun.as_str()), (1, second.as_str()), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_waits_for_the_answer_that_is_being_written() {
    let world = World::running().await;
    let scripted = ScriptedModel::start().await;
    let browser = world.admin().await;
    let first = id(&browser.connect(&scripted, "sk-one-0123456789").await);
    let second = id(&browser.connect(&scripted, "sk-two-0123456789").await);
    let project = launched(&browser, &json!({"prompt": "[[hang]]", "model": model(MODEL.1)})).await;
    wait_for("a busy agent", BOUND, async || {
        (browser.get(&project).await.expect(200)["session"]["kind"] == "busy").then_some(())
    })
    .await;
    browser.patch(&project, &json!({"connections": {"anthropic": second}})).await.expect(200);
    let used = browser.get(&format!("{project}/connections")).await.expect(200)["items"][0].clone();
    assert_eq!((&used["connection_id"], &used["delivery"]["connection_id"]), (&json!(second), &json!(first)));
    assert_eq!(used["delivery"]["status"], "stale");
    assert!(used["delivery"]["reason"].as_str().unwrap().contains("another connection"), "{used}");
    browser.post(&format!("{project}/abort"), &json!({})).await.expect(202);
    wait_until_delivered(&browser, &project, &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_not_switched_to_a_connection_of_another_provider() {
    let world = World::running().await;
    let scripted = ScriptedModel::start().await;
    let browser = world.admin().await;
    let connection = id(&browser.connect(&scripted, "sk-one-0123456789").await);
    let project = launched(&browser, &json!({"prompt": "[[say: one]]", "model": model(MODEL.1)})).await;
    let wrong = json!({"connections": {"openai": connection}});
    assert_eq!(browser.patch(&project, &wrong).await.problem(422, "invalid")["field"], "connections");
    let gone = json!({"connections": {"anthropic": "con_0198f0000000700080000000000000aa"}});
    browser.patch(&project, &gone).await.problem(404, "connection_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_was_typed_is_made_known_to_an_agent_that_runs() {
    let world = World::running().await;
    let scripted = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&scripted, "sk-one-0123456789").await;
    let project = launched(&browser, &json!({"prompt": "[[say: one]]", "model": model(MODEL.1)})).await;
    browser.wait_for_answer(project.rsplit('/').next().unwrap()).await;
    browser.patch(&project, &json!({"model": model("my/own-model")})).await.expect(200);
    ask(&browser, &project, "[[say: two]]").await;
    assert_eq!(last(&browser, &project).await["model"]["model_id"], "my/own-model");
    ask(&browser, &project, "[[say: three]]").await;
}
