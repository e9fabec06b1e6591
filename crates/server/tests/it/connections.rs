//! Connections: connect, rename, replace, verify, disconnect.

use std::time::Duration;

use doce_model::Ms;
use doce_testkit::{ScriptedModel, canary::holds, fake_agent::HOLDS_AUTH, scripted_model::RecordedRequest, wait_for};
use serde_json::{Value, json};

use crate::world::{BOUND, World, id};

fn new(model: &ScriptedModel, key: &str) -> Value {
    json!({"provider_id": "anthropic", "auth_type": "api", "key": key, "base_url": model.anthropic_base_url()})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_key_is_connected_and_never_shown_again() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    model.accept_keys(["sk-good-1234567890"]);
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let made = browser.post("/api/connections", &new(&model, "  \"sk-good-1234567890\"\n")).await;
    let connection = made.expect(201);
    assert_eq!(connection["status"], "connected");
    assert_eq!(connection["verification"]["outcome"], "valid");
    assert_eq!(connection["last_four"], "7890");
    assert_eq!((&connection["version"], &connection["is_default"]), (&json!(1), &json!(true)));
    assert_eq!(connection["delivery"]["mode"], "direct");
    assert!(connection["delivery"]["reason"].as_str().unwrap().contains("agent"));
    let asked: Vec<RecordedRequest> = model.requests();
    assert!(!asked.is_empty(), "the provider was asked");
    let id = connection["id"].as_str().unwrap();
    for path in [
        "/api/start".to_owned(),
        "/api/connections".to_owned(),
        format!("/api/connections/{id}"),
        format!("/api/connections/{id}/deliveries"),
        format!("/api/connections/{id}/projects"),
    ] {
        let answer = browser.get(&path).await;
        answer.expect(200);
        assert!(!answer.text().contains("sk-good"), "{path}");
    }
    assert!(!made.text().contains("sk-good"));
    let provider = browser.get("/api/providers?q=anthropic").await.expect(200);
    assert_eq!(provider["items"][0]["connected"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_key_is_not_kept_unless_asked() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    model.accept_keys(["sk-good"]);
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let problem = browser.post("/api/connections", &new(&model, "sk-bad-0123")).await.problem(422, "key_rejected");
    assert!(problem["detail"].as_str().unwrap().contains("Anthropic"), "{problem}");
    assert!(problem["hint"].is_string(), "{problem}");
    assert!(browser.get("/api/connections").await.expect(200)["items"].as_array().unwrap().is_empty());
    let mut anyway = new(&model, "sk-bad-0123");
    anyway["keep_unverified"] = json!(true);
    let kept = browser.post("/api/connections", &anyway).await.expect(201);
    assert_eq!(kept["verification"]["outcome"], "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_answer_is_connected_and_said_to_be_unreachable() {
    let world = World::running().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let nowhere = format!("http://127.0.0.1:{}/v1", doce_testkit::free_port());
    let new = json!({"provider_id": "anthropic", "auth_type": "api", "key": "sk-x-0123456789", "base_url": nowhere});
    let made = browser.post("/api/connections", &new).await.expect(201);
    assert_eq!(made["verification"]["outcome"], "unreachable");
    assert_eq!(made["base_url"], nowhere);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_connected_is_named_by_its_field() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let with = |field: &str, value: Value| {
        let mut body = new(&model, "sk-good-1234567890");
        body[field] = value;
        body
    };
    for (body, field) in [
        (with("key", json!("")), "key"),
        (with("key", json!("  \u{200b}\n ")), "key"),
        (with("key", json!("sk-a\u{200b}b")), "key"),
        (with("key", json!("sk-a\nb")), "key"),
        (with("base_url", json!("ftp://example")), "base_url"),
        (with("label", json!("x".repeat(200))), "label"),
    ] {
        let answer = browser.post("/api/connections", &body).await;
        assert_eq!(answer.problem(422, "invalid")["field"], field, "{body}");
    }
    let unknown = with("provider_id", json!("no-such-provider"));
    browser.post("/api/connections", &unknown).await.problem(404, "provider_not_found");
    assert!(browser.get("/api/connections").await.expect(200)["items"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_has_its_own_label_and_may_become_the_default() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let first = browser.connect(&model, "sk-one-0123456789").await;
    let mut taken = new(&model, "sk-two-0123456789");
    taken["label"] = first["label"].clone();
    browser.post("/api/connections", &taken).await.problem(409, "label_taken");
    let second = browser.connect(&model, "sk-two-0123456789").await;
    assert_ne!(second["label"], first["label"]);
    assert_eq!((&first["is_default"], &second["is_default"]), (&json!(true), &json!(false)));
    let at = |connection: &Value| format!("/api/connections/{}", connection["id"].as_str().unwrap());
    let changed = browser.patch(&at(&second), &json!({"label": "Work", "is_default": true})).await.expect(200);
    assert_eq!((&changed["label"], &changed["is_default"]), (&json!("Work"), &json!(true)));
    assert_eq!(browser.get(&at(&first)).await.expect(200)["is_default"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_key_is_another_version_and_a_rejected_one_changes_nothing() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    model.accept_keys(["sk-one-0123456789", "sk-two-9876543210"]);
    let browser = world.admin().await;
    let first = browser.connect(&model, "sk-one-0123456789").await;
    let at = format!("/api/connections/{}", first["id"].as_str().unwrap());
    browser.patch(&at, &json!({"key": "sk-bad-0000000000"})).await.problem(422, "key_rejected");
    let unchanged = browser.get(&at).await.expect(200);
    assert_eq!((&unchanged["version"], &unchanged["fingerprint"]), (&json!(1), &first["fingerprint"]));
    let replaced = browser.patch(&at, &json!({"key": "sk-two-9876543210"})).await.expect(200);
    assert_eq!((&replaced["version"], &replaced["last_four"]), (&json!(2), &json!("3210")));
    assert_ne!(replaced["fingerprint"], first["fingerprint"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_answer_is_checked_with_the_key_there_is_and_is_another_version() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    model.accept_keys(["sk-one-0123456789"]);
    let browser = world.admin().await;
    let first = browser.connect(&model, "sk-one-0123456789").await;
    let at = format!("/api/connections/{}", first["id"].as_str().unwrap());
    let asked = model.count();
    let changed = browser.patch(&at, &json!({"metadata": {"account": "acme-eu2"}})).await.expect(200);
    assert_eq!((&changed["version"], &changed["fingerprint"]), (&json!(2), &first["fingerprint"]));
    assert_eq!(changed["verification"]["outcome"], "valid");
    assert_eq!(model.count(), asked + 1, "the provider is asked");
    assert!(!changed.to_string().contains("acme-eu2"), "an answer is not told again");
    let long = browser.patch(&at, &json!({"metadata": {"account": "x".repeat(10_000)}})).await;
    assert_eq!(long.problem(422, "invalid")["field"], "metadata");
    assert_eq!(browser.get(&at).await.expect(200)["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn verifying_again_says_what_the_provider_says_now() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let connection = browser.connect(&model, "sk-one-0123456789").await;
    let at = format!("/api/connections/{}", connection["id"].as_str().unwrap());
    model.accept_keys(["another"]);
    let verified = browser.post(&format!("{at}/verify"), &json!({})).await.expect(200);
    assert_eq!(verified["verification"]["outcome"], "invalid");
    assert_eq!(browser.get(&at).await.expect(200)["verification"]["outcome"], "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnected_connection_is_gone() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let connection = browser.connect(&model, "sk-one-0123456789").await;
    let at = format!("/api/connections/{}", connection["id"].as_str().unwrap());
    browser.delete(&at).await.expect(204);
    browser.get(&at).await.problem(404, "connection_not_found");
    browser.delete(&at).await.problem(404, "connection_not_found");
    assert!(browser.get("/api/connections").await.expect(200)["items"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_a_key_is_good_is_said_by_its_owner_and_forgotten_with_the_key() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let made = browser.connect(&model, "sk-one-0123456789").await;
    assert_eq!(
        (&made["expires_at"], &made["max_age_days"], &made["replace_by"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let at = format!("/api/connections/{}", made["id"].as_str().unwrap());
    let aged = browser.patch(&at, &json!({"max_age_days": 90})).await.expect(200);
    assert_eq!(aged["version"], 1, "the key is the same");
    let since = Ms::from_rfc3339(aged["key_since"].as_str().unwrap()).unwrap();
    let by = Ms::from_rfc3339(aged["replace_by"].as_str().unwrap()).unwrap();
    assert_eq!(by.since(since), Duration::from_hours(90 * 24));
    let sooner = since.plus(Duration::from_hours(48)).rfc3339();
    let dated = browser.patch(&at, &json!({"expires_at": sooner})).await.expect(200);
    assert_eq!((&dated["expires_at"], &dated["replace_by"]), (&json!(sooner), &json!(sooner)));
    for (wrong, field) in [
        (json!({"max_age_days": 0}), "max_age_days"),
        (json!({"max_age_days": 100_000}), "max_age_days"),
        (json!({"expires_at": "tomorrow"}), "expires_at"),
    ] {
        assert_eq!(browser.patch(&at, &wrong).await.problem(422, "invalid")["field"], field);
    }
    world.clock.advance(Duration::from_hours(24));
    let replaced = browser.patch(&at, &json!({"key": "sk-two-0123456789"})).await.expect(200);
    assert_eq!(replaced["expires_at"], Value::Null, "another key has another date");
    let since = Ms::from_rfc3339(replaced["key_since"].as_str().unwrap()).unwrap();
    let by = Ms::from_rfc3339(replaced["replace_by"].as_str().unwrap()).unwrap();
    assert_eq!(by.since(since), Duration::from_hours(90 * 24), "and the owner's wish goes on from there");
    let free = browser.patch(&at, &json!({"max_age_days": null})).await.expect(200);
    assert_eq!((&free["max_age_days"], &free["replace_by"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_tells_how_many_projects_use_it_and_what_the_agents_that_run_hold() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let of_model = browser.connect(&model, "sk-one-0123456789").await;
    let other = json!({
        "provider_id": "openai", "auth_type": "api", "key": "sk-two-0123456789", "base_url": model.openai_base_url(),
    });
    let other = browser.post("/api/connections", &other).await.expect(201);
    let made = browser.create_project("[[say: one]]").await;
    let project = id(&made["project"]);
    browser.wait_for_job(&id(&made["job"])).await;

    // How many use it, which agents hold it, and which projects use it: once by each way to ask.
    let told = async |connection: &Value| {
        let at = format!("/api/connections/{}", id(connection));
        let list = browser.get("/api/connections").await.expect(200);
        let start = browser.get("/api/start").await.expect(200);
        let found = browser.get(&at).await.expect(200);
        for all in [&list["items"], &start["connections"]] {
            let listed = all.as_array().unwrap().iter().find(|each| each["id"] == connection["id"]).unwrap();
            assert_eq!(
                (&listed["project_count"], &listed["deliveries"]),
                (&found["project_count"], &found["deliveries"])
            );
        }
        let held = browser.get(&format!("{at}/deliveries")).await.expect(200);
        assert_eq!(held["items"], found["deliveries"]);
        let ids =
            |items: &Value| items.as_array().unwrap().iter().map(|item| item["project_id"].clone()).collect::<Vec<_>>();
        let projects = browser.get(&format!("{at}/projects")).await.expect(200);
        (found["project_count"].clone(), ids(&held["items"]), ids(&projects["items"]))
    };
    let ours = vec![json!(project)];
    assert_eq!(told(&of_model).await, (json!(1), ours.clone(), ours.clone()));
    assert_eq!(told(&other).await, (json!(1), ours.clone(), ours.clone()), "its agent holds it, too");
    let stop = browser.post(&format!("/api/projects/{project}/stop"), &json!({})).await.expect(202);
    browser.wait_for_job(&id(&stop)).await;
    assert_eq!(told(&of_model).await, (json!(1), vec![], ours), "it pays when the project runs again");
    assert_eq!(told(&other).await, (json!(0), vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_disconnected_while_it_is_handed_over_is_taken_back() {
    const KEY: &str = "sk-planted-0123456789";
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let connection = browser.connect(&model, KEY).await;
    let made = browser.create_project("[[say: one]]").await;
    let project = id(&made["project"]);
    browser.wait_for_job(&id(&made["job"])).await;
    browser.wait_for_answer(&project).await;
    let stop = browser.post(&format!("/api/projects/{project}/stop"), &json!({})).await.expect(202);
    browser.wait_for_job(&id(&stop)).await;

    // The next agent has it, and whoever handed it over doesn't know that yet.
    let home = world.data().join("projects").join(&project).join("home/opencode");
    let (holds_auth, auth) = (home.join(HOLDS_AUTH), home.join("auth.json"));
    let has_key = || std::fs::read(&auth).is_ok_and(|file| holds(&file, KEY));
    assert!(!has_key(), "a stopped project has none");
    std::fs::write(&holds_auth, "").expect("a file can be written");
    let start = browser.post(&format!("/api/projects/{project}/start"), &json!({})).await.expect(202);
    wait_for("the key in the agent", BOUND, async || has_key().then_some(())).await;
    assert_eq!(browser.delete(&format!("/api/connections/{}", id(&connection))).await.status, 204);
    assert!(has_key(), "nobody has taken it back yet");
    std::fs::remove_file(&holds_auth).expect("it is there");

    wait_for("the key to be gone", BOUND, async || (!has_key()).then_some(())).await;
    browser.wait_for_job(&id(&start)).await;
    assert!(!has_key(), "nothing brings it back");
    let held = browser.get(&format!("/api/projects/{project}/deliveries")).await.expect(200);
    assert!(!held.to_string().contains(r#""status":"delivered""#), "{held}");
}
