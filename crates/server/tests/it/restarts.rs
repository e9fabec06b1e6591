//! Agents that end by themselves: started again a few times, and never prompted thereby.

use std::time::Duration;

use doce_testkit::{LockedDatabase, ScriptedModel, fake_agent::REFUSES_EVENTS, wait_for};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use serde_json::{Value, json};

use crate::world::{BOUND, Browser, PASSWORD, World, id};

/// Longer than any wait between two starts, and far shorter than an agent lives that counts as well.
const WAIT: Duration = Duration::from_mins(1);

/// The agents that run for a data directory.
pub(crate) fn agents_of(data: &str) -> Vec<Pid> {
    let mut agents = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // The process that builds the sandbox names the data directory in its arguments; the one inside is its child.
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let has = |word: &[u8]| arguments.windows(word.len()).any(|window| window == word);
        if !(has(data.as_bytes()) && has(b"\0serve\0") && has(b"bwrap")) {
            continue;
        }
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        agents.extend(children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    }
    agents
}

/// Kills the agents of this world, as the kernel does where memory runs out.
fn kill_agents(world: &World) {
    let agents = agents_of(world.data().as_str());
    assert!(!agents.is_empty(), "an agent was found to kill");
    for agent in agents {
        match kill_process(agent, Signal::KILL) {
            // The first process of a sandbox takes the others along, which may be gone by now.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(e) => panic!("it is ours: {e}"),
        }
    }
}

/// A project whose agent has answered once.
async fn a_project(browser: &Browser, model: &ScriptedModel) -> (String, String) {
    let connection = browser.connect(model, "sk-one-0123456789").await;
    let made = browser.create_project("[[say: one]]").await;
    let project = id(&made["project"]);
    browser.wait_for_job(&id(&made["job"])).await;
    browser.wait_for_answer(&project).await;
    (project, id(&connection))
}

async fn view(browser: &Browser, project: &str) -> Value {
    browser.get(&format!("/api/projects/{project}")).await.expect(200)
}

/// Waits until another agent than this one answers, and returns its instance.
async fn another(world: &World, browser: &Browser, project: &str, connection: &str, before: &str) -> String {
    wait_for("the next start to be enqueued", BOUND, async || {
        let view = view(browser, project).await;
        (view["job"]["kind"] == "start_project" || instance_of(&view).is_some_and(|id| id != before)).then_some(())
    })
    .await;
    world.clock.advance(WAIT);
    wait_for("another agent", BOUND, async || {
        let view = view(browser, project).await;
        if view["job"]["state"] == "queued" {
            // The workers look at the clock when something changes.
            let choice = json!({"connections": {"anthropic": connection}});
            browser.patch(&format!("/api/projects/{project}"), &choice).await.expect(200);
        }
        instance_of(&view).filter(|id| view["state"] == "running" && view["job"].is_null() && id != before)
    })
    .await
}

fn instance_of(view: &Value) -> Option<String> {
    view["instance"]["id"].as_str().map(str::to_owned)
}

async fn messages(browser: &Browser, project: &str) -> usize {
    let page = browser.get(&format!("/api/projects/{project}/messages")).await.expect(200);
    page["items"].as_array().expect("messages").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_killed_is_started_again_and_nothing_is_prompted() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let (project, connection) = a_project(&browser, &model).await;
    let before = instance_of(&view(&browser, &project).await).expect("it runs");
    kill_agents(&world);
    another(&world, &browser, &project, &connection, &before).await;
    assert_eq!(messages(&browser, &project).await, 2, "one prompt and its answer");
    let jobs = browser.get(&format!("/api/jobs?project_id={project}")).await.expect(200);
    let log = browser.get(&format!("/api/jobs/{}/log", id(&jobs["items"][0]))).await.expect(200);
    assert!(log.to_string().contains("Start 1 of 5 in a row. The agent was killed by signal 9"), "{log}");
    let audit = world.audit().await;
    let event = audit.iter().find(|entry| entry.actor == "reconciler:restarts").expect("it is on record");
    assert_eq!((event.action.as_str(), event.noun.as_str()), ("start_project", project.as_str()));
    let detail = event.detail.as_deref().expect("it says why");
    assert!(detail.contains("start 1 of 5") && detail.contains("signal 9, perhaps"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_starts_in_a_row_doce_gives_up_and_a_person_can_start_it_again() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let (project, connection) = a_project(&browser, &model).await;
    let mut instance = instance_of(&view(&browser, &project).await).expect("it runs");
    for _ in 0..5 {
        kill_agents(&world);
        instance = another(&world, &browser, &project, &connection, &instance).await;
    }
    kill_agents(&world);
    let failed = wait_for("doce to give up", BOUND, async || {
        let view = view(&browser, &project).await;
        (view["state"] == "failed").then_some(view)
    })
    .await;
    let error = &failed["job"]["error"];
    assert_eq!(error["code"], "agent_gave_up", "{failed}");
    assert_eq!(error["action"], json!({"kind": "start", "label": "Start again", "connection_id": null}));
    let message = error["message"].as_str().expect("a sentence");
    assert!(message.starts_with("Gave up after 5 starts.") && message.contains("killed by signal 9"), "{message}");

    // A person's start is one of its own, and what ends after it is counted from one.
    browser.post(&format!("/api/projects/{project}/start"), &json!({})).await.expect(202);
    instance = another(&world, &browser, &project, &connection, &instance).await;
    kill_agents(&world);
    another(&world, &browser, &project, &connection, &instance).await;
    assert_eq!(messages(&browser, &project).await, 2, "nothing was prompted by any of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_was_stopped_is_not_started_again() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let (project, _) = a_project(&browser, &model).await;
    let stop = browser.post(&format!("/api/projects/{project}/stop"), &json!({})).await.expect(202);
    assert_eq!(browser.wait_for_job(&id(&stop)).await["state"], "succeeded");
    let jobs = browser.get(&format!("/api/jobs?project_id={project}")).await.expect(200);
    let kinds: Vec<&str> =
        jobs["items"].as_array().expect("jobs").iter().filter_map(|job| job["kind"].as_str()).collect();
    assert_eq!(kinds, ["stop_project", "launch_project"]);
    assert_eq!(view(&browser, &project).await["state"], "stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_tells_no_events_is_shown_ended_and_started_again() {
    let patience = (Duration::from_millis(200), Duration::from_secs(1));
    let world = World::builder().running().silence(patience.0, patience.1).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let (project, connection) = a_project(&browser, &model).await;
    let stop = browser.post(&format!("/api/projects/{project}/stop"), &json!({})).await.expect(202);
    browser.wait_for_job(&id(&stop)).await;
    let refuses = world.data().join("projects").join(&project).join("home/opencode").join(REFUSES_EVENTS);
    std::fs::write(&refuses, "").expect("a file can be written");
    // It answers everything else.
    browser.post(&format!("/api/projects/{project}/start"), &json!({})).await.expect(202);
    let deaf = wait_for("an agent that is shown not to respond", BOUND, async || {
        let view = view(&browser, &project).await;
        (view["instance"]["observed"] == "unhealthy").then(|| instance_of(&view))?
    })
    .await;
    wait_for("its end", BOUND, async || {
        (view(&browser, &project).await["job"]["kind"] == "start_project").then_some(())
    })
    .await;
    std::fs::remove_file(&refuses).expect("it is there");
    another(&world, &browser, &project, &connection, &deaf).await;
    let jobs = browser.get(&format!("/api/jobs?project_id={project}")).await.expect(200);
    let log = browser.get(&format!("/api/jobs/{}/log", id(&jobs["items"][0]))).await.expect(200);
    assert!(log.to_string().contains("The agent gave no usable answer any more and was ended"), "{log}");
    assert_eq!(messages(&browser, &project).await, 2, "nothing was prompted by any of it");
}

/// Waits until what was to be written before this was refused by a database that somebody holds.
async fn wait_for_refusal(browser: &Browser) {
    let bob = json!({"username": "bob", "password": PASSWORD, "role": "member"});
    browser.post("/api/users", &bob).await.problem(503, "database_locked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_the_database_does_not_take_is_recorded_later_and_the_agent_started_again() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    let (project, connection) = a_project(&browser, &model).await;
    let before = instance_of(&view(&browser, &project).await).expect("it runs");
    let held = LockedDatabase::hold(&world.data().join("doce.sqlite")).await;
    kill_agents(&world);
    wait_for("the agent's end", BOUND, async || agents_of(world.data().as_str()).is_empty().then_some(())).await;
    wait_for_refusal(&browser).await;
    assert_eq!(instance_of(&view(&browser, &project).await), Some(before.clone()), "its row is as it was");
    drop(held);
    another(&world, &browser, &project, &connection, &before).await;
    assert_eq!(messages(&browser, &project).await, 2, "one prompt and its answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_takes_nothing_at_first_works_when_it_does() {
    let world = World::start().await;
    let browser = world.admin().await;
    let held = LockedDatabase::hold(&world.data().join("doce.sqlite")).await;
    world.app.run_background();
    wait_for_refusal(&browser).await;
    drop(held);
    let model = ScriptedModel::start().await;
    a_project(&browser, &model).await;
}
