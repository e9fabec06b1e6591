//! The queue as an admin rules it: paused, nothing begins, and everybody may know why.

use doce_testkit::ScriptedModel;
use serde_json::{Value, json};

use crate::world::{Browser, World, id};

async fn pause(admin: &Browser, paused: bool) -> Value {
    admin.put("/api/queue", &json!({"paused": paused})).await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_made_in_a_pause_is_launched_when_it_ends() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    admin.connect(&model, "sk-one-0123456789").await;
    let first = admin.create_project("[[say: one]]").await;
    admin.wait_for_job(&id(&first["job"])).await;
    assert!(pause(&admin, true).await["paused_at"].is_string());

    let second = admin.create_project("[[say: two]]").await;
    let job = format!("/api/jobs/{}", id(&second["job"]));
    // One after the other comes into the queue, wakes the workers, and finds none that begins.
    let cancelled = admin.post(&format!("/api/projects/{}/stop", id(&first["project"])), &json!({})).await.expect(202);
    admin.post(&format!("/api/jobs/{}/cancel", id(&cancelled)), &json!({})).await.expect(200);
    assert_eq!(admin.wait_for_job(&id(&cancelled)).await["started_at"], Value::Null);
    let held = admin.get(&job).await.expect(200);
    assert_eq!((&held["state"], &held["started_at"]), (&json!("queued"), &Value::Null));
    // A page begins with the jobs of whoever reads it that have not ended, and with nobody else's.
    let live = json!([{"id": second["job"]["id"], "state": "queued"}]);
    assert_eq!(admin.get("/api/start").await.expect(200)["live_jobs"], live);
    let member = world.member(&admin, "bob").await;
    assert_eq!(member.get("/api/start").await.expect(200)["live_jobs"], json!([]));

    assert_eq!(pause(&admin, false).await, json!({"paused_at": null}));
    assert_eq!(admin.wait_for_job(&id(&second["job"])).await["state"], "succeeded");
    assert_eq!(admin.wait_for_answer(&id(&second["project"])).await.len(), 2, "its prompt is sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_of_a_pause_and_only_an_admin_makes_one() {
    let world = World::start().await;
    let admin = world.admin().await;
    let member = world.member(&admin, "bob").await;
    assert_eq!(member.get("/api/queue").await.expect(200), json!({"paused_at": null}));
    member.put("/api/queue", &json!({"paused": true})).await.problem(403, "admins_only");
    let mut events = member.stream("").await;
    let paused = pause(&admin, true).await;
    let told = events.find("the pause", |frame| (frame.event == "queue").then(|| frame.data["queue"].clone())).await;
    assert_eq!(told, paused);
    assert_eq!(member.get("/api/queue").await.expect(200), paused);
    pause(&admin, false).await;
    let told = events.find("its end", |frame| (frame.event == "queue").then(|| frame.data["queue"].clone())).await;
    assert_eq!(told, json!({"paused_at": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_is_neither_audited_nor_told() {
    let world = World::start().await;
    let admin = world.admin().await;
    let first = pause(&admin, true).await;
    world.clock.advance(std::time::Duration::from_mins(1));
    assert_eq!(pause(&admin, true).await, first, "it is paused since then");
    pause(&admin, false).await;
    pause(&admin, false).await;
    let told: Vec<String> = world.audit().await.into_iter().map(|entry| entry.action).collect();
    let told: Vec<&str> = told.iter().map(String::as_str).filter(|action| action.ends_with("_queue")).collect();
    assert_eq!(told, ["resume_queue", "pause_queue"], "newest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_must_say_whether_to_pause() {
    let world = World::start().await;
    let admin = world.admin().await;
    for body in [json!({}), json!({"paused": "yes"}), json!({"paused": true, "until": "noon"})] {
        assert!(admin.put("/api/queue", &body).await.status.is_client_error(), "{body}");
    }
    assert_eq!(admin.get("/api/queue").await.expect(200), json!({"paused_at": null}));
}
