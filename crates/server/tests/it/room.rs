//! Room for agents: the queue for a place, and the stop of agents that nobody uses.

use std::time::Duration;

use doce_app::AgentLimits;
use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

use crate::{
    preview::{enter, ticket, visit},
    world::{BOUND, Browser, World, id},
};

/// Waits until a job waits for a place, and returns what it says.
async fn place(browser: &Browser, job: &str, number: usize) -> Value {
    wait_for("the job to have its place in the queue", BOUND, async || {
        let job = browser.get(&format!("/api/jobs/{job}")).await.expect(200);
        let message = job["waits_for"]["message"].as_str()?;
        message.starts_with(&format!("Number {number} in the queue")).then(|| job["waits_for"].clone())
    })
    .await
}

async fn state_of(browser: &Browser, project: &str) -> String {
    browser.get(&format!("/api/projects/{project}")).await.expect(200)["state"]
        .as_str()
        .expect("a state is a word")
        .to_owned()
}

async fn wait_for_state(browser: &Browser, project: &str, state: &str) {
    wait_for(&format!("the project to be {state}"), BOUND, async || {
        (state_of(browser, project).await == state).then_some(())
    })
    .await;
}

/// Has the server look which agents rest, as it does when a page is closed.
async fn look(browser: &Browser) {
    drop(browser.stream("").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_room_waits_in_a_queue_and_is_told_the_place() {
    let world = World::builder().running().most_agents(1).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let first = browser.create_project("[[say: one]]").await;
    browser.wait_for_job(&id(&first["job"])).await;
    browser.wait_for_answer(&id(&first["project"])).await;
    let second = browser.create_project("[[say: two]]").await;
    let needed = place(&browser, &id(&second["job"]), 1).await;
    assert_eq!(needed["code"], "no_room");
    let third = browser.create_project("[[say: three]]").await;
    place(&browser, &id(&third["job"]), 2).await;
    assert_eq!(state_of(&browser, &id(&third["project"])).await, "launching");

    // Other work goes on meanwhile: nobody who waits holds a worker.
    let stop = format!("/api/projects/{}/stop", id(&first["project"]));
    browser.post(&stop, &json!({})).await.expect(202);
    assert_eq!(browser.wait_for_job(&id(&second["job"])).await["state"], "succeeded");
    place(&browser, &id(&third["job"]), 1).await;
    browser.delete(&format!("/api/projects/{}", id(&second["project"]))).await;
    assert_eq!(browser.wait_for_job(&id(&third["job"])).await["state"], "succeeded");
    let messages = browser.wait_for_answer(&id(&third["project"])).await;
    assert_eq!(messages.len(), 2, "its prompt is sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_place_goes_to_whoever_has_the_fewest_agents() {
    let world = World::builder().running().most_agents(2).start().await;
    let model = ScriptedModel::start().await;
    let ada = world.admin().await;
    let bob = world.member(&ada, "bob").await;
    // Where the model listens is this machine, which is for admins; what bob waits for is a place first.
    ada.connect(&model, "sk-one-0123456789").await;
    let mut projects = Vec::new();
    for _ in 0..2 {
        let made = ada.create_project("[[say: one]]").await;
        ada.wait_for_job(&id(&made["job"])).await;
        ada.wait_for_answer(&id(&made["project"])).await;
        projects.push(id(&made["project"]));
    }
    let third = ada.create_project("[[say: three]]").await;
    place(&ada, &id(&third["job"]), 1).await;
    bob.wait_for_catalogue().await;
    let other = bob.create_project("[[say: bob]]").await;
    place(&bob, &id(&other["job"]), 1).await;
    place(&ada, &id(&third["job"]), 2).await;
    ada.post(&format!("/api/projects/{}/stop", projects[0]), &json!({})).await.expect(202);
    wait_for("bob's agent to be started", BOUND, async || {
        let job = bob.get(&format!("/api/jobs/{}", id(&other["job"]))).await.expect(200);
        (job["waits_for"]["code"] == "needs_key").then_some(())
    })
    .await;
    place(&ada, &id(&third["job"]), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_waiting_leaves_the_place_to_the_next() {
    let world = World::builder().running().most_agents(1).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let first = browser.create_project("[[say: one]]").await;
    browser.wait_for_job(&id(&first["job"])).await;
    let second = browser.create_project("[[say: two]]").await;
    place(&browser, &id(&second["job"]), 1).await;
    let third = browser.create_project("[[say: three]]").await;
    place(&browser, &id(&third["job"]), 2).await;
    browser.post(&format!("/api/jobs/{}/cancel", id(&second["job"])), &json!({})).await.expect(200);
    place(&browser, &id(&third["job"]), 1).await;
    browser.post(&format!("/api/projects/{}/stop", id(&first["project"])), &json!({})).await.expect(202);
    assert_eq!(browser.wait_for_job(&id(&third["job"])).await["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_nobody_uses_is_stopped_and_one_that_somebody_looks_at_is_not() {
    let world = World::builder().running().idle_stop(Duration::from_mins(15)).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let mut projects = Vec::new();
    for _ in 0..2 {
        let made = browser.create_project("[[say: one]]").await;
        browser.wait_for_job(&id(&made["job"])).await;
        projects.push(id(&made["project"]));
        browser.wait_for_answer(&id(&made["project"])).await;
    }
    let (project, other) = (projects[0].clone(), projects[1].clone());
    let open = browser.stream(&format!("?project_id={project}")).await;
    // What an agent still does in the first moments after its answer counts as a use.
    let rests = async |project: &str| {
        wait_for("the project to be stopped", BOUND, async || {
            world.clock.advance(Duration::from_mins(16));
            look(&browser).await;
            (state_of(&browser, project).await == "stopped").then_some(())
        })
        .await;
    };
    rests(&other).await;
    assert_eq!(state_of(&browser, &project).await, "running", "a page shows it");

    drop(open);
    rests(&project).await;
    let event = wait_for("the audit event", BOUND, async || {
        world.audit().await.into_iter().find(|entry| entry.action == "stop_project" && entry.noun == project)
    })
    .await;
    assert_eq!(event.actor, "reconciler:room", "{event:?}");
    // The next prompt starts it again, and nothing was lost.
    browser.post(&format!("/api/projects/{project}/prompts"), &json!({"text": "[[say: two]]"})).await.expect(202);
    wait_for("two answers", BOUND, async || {
        let page = browser.get(&format!("/api/projects/{project}/messages")).await.expect(200);
        (page["items"].as_array()?.len() == 4 && page["items"][3]["state"] == "complete").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_rests_for_fifteen_minutes_and_who_visits_its_preview_has_them_begin_anew() {
    let by_default = AgentLimits::default().idle_stop.expect("agents that rest are stopped");
    assert_eq!(by_default, Duration::from_mins(15));
    let world = World::builder().running().idle_stop(by_default).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let mut projects = Vec::new();
    for _ in 0..2 {
        let made = browser.create_project("[[say: one]]").await;
        let project = id(&made["project"]);
        browser.wait_for_answer(&project).await;
        // An agent that rests has done so for a while when its preview is there.
        let ready = wait_for("the preview", BOUND, async || {
            let project = browser.get(&format!("/api/projects/{project}")).await.expect(200);
            (project["preview"]["state"] == "ready").then_some(project)
        });
        projects.push(ready.await);
    }
    let [visited, other] = &projects[..] else { panic!("there are two") };
    let issued = ticket(&browser, visited, &format!("localhost:{}", world.port)).await.expect(200);
    let (inside, base) = enter(&world, issued["url"].as_str().unwrap(), world.port).await;

    world.clock.advance(Duration::from_mins(1));
    assert_eq!(visit(&inside, &base, world.port).await.status, 200);
    // Fourteen minutes and a half after the visit: the other one has rested a minute longer, and both are looked at.
    world.clock.advance(Duration::from_secs(14 * 60 + 30));
    look(&browser).await;
    wait_for_state(&browser, &id(other), "stopped").await;
    assert_eq!(state_of(&browser, &id(visited)).await, "running", "it has not rested for long enough");
    world.clock.advance(Duration::from_secs(30));
    look(&browser).await;
    wait_for_state(&browser, &id(visited), "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_works_or_waits_for_its_provider_is_not_stopped_though_nobody_looks() {
    let world = World::builder().running().idle_stop(Duration::from_mins(15)).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let mut projects = Vec::new();
    for (prompt, kind) in
        [("[[hang]]", "busy"), ("[[status: 429, retry-after: 600]]", "retry"), ("[[say: one]]", "idle")]
    {
        let made = browser.create_project(prompt).await;
        browser.wait_for_job(&id(&made["job"])).await;
        let project = id(&made["project"]);
        wait_for(&format!("a session that is {kind}"), BOUND, async || {
            let found = browser.get(&format!("/api/projects/{project}")).await.expect(200);
            (found["session"]["kind"] == kind).then_some(())
        })
        .await;
        projects.push(project);
    }
    browser.wait_for_answer(&projects[2]).await;
    // Whoever rests is looked at together with the others, and tells thereby that they were.
    wait_for("the agent that rests to be stopped", BOUND, async || {
        world.clock.advance(Duration::from_mins(61));
        look(&browser).await;
        (state_of(&browser, &projects[2]).await == "stopped").then_some(())
    })
    .await;
    for project in &projects[..2] {
        assert_eq!(state_of(&browser, project).await, "running", "it has work");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_rests_makes_room_for_somebody_who_waits() {
    let world = World::builder().running().most_agents(1).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let first = browser.create_project("[[say: one]]").await;
    browser.wait_for_job(&id(&first["job"])).await;
    browser.wait_for_answer(&id(&first["project"])).await;
    let second = browser.create_project("[[say: two]]").await;
    place(&browser, &id(&second["job"]), 1).await;
    assert_eq!(state_of(&browser, &id(&first["project"])).await, "running", "not before it has rested a minute");
    world.clock.advance(Duration::from_mins(2));
    look(&browser).await;
    assert_eq!(browser.wait_for_job(&id(&second["job"])).await["state"], "succeeded");
    wait_for_state(&browser, &id(&first["project"]), "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_five_projects_made_at_once_are_launched_in_their_order_each_once() {
    const MOST: usize = 3;
    const WORKERS: usize = 8;
    let world = World::builder().running().most_agents(MOST).idle_stop(Duration::from_secs(1)).start().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let mut made = futures::future::join_all((0..25).map(|_| browser.create_project("[[say: done]]"))).await;
    // Each is numbered by the server when it takes it.
    made.sort_by_key(|made| id(&made["job"]));
    for made in &made {
        // Whoever is answered and rests makes room for the next.
        let ended = browser.wait_for_job(&id(&made["job"])).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        wait_for("the answer", BOUND, async || {
            let messages = format!("/api/projects/{}/messages", id(&made["project"]));
            let page = browser.get(&messages).await.expect(200);
            (page["items"].as_array()?.last()?["state"] == "complete").then_some(())
        })
        .await;
    }
    let sent: Vec<u64> = made
        .iter()
        .map(|made| {
            let calls = world.calls(&id(&made["project"]));
            let prompts: Vec<_> = calls.iter().filter(|call| call.prompt.is_some()).collect();
            assert_eq!(prompts.len(), 1, "{prompts:#?}");
            calls[0].at_ms
        })
        .collect();
    // Whoever asks first is served first, and those that are prepared at the same time may overtake each other: as many as
    // there are workers.
    for (place, begun) in sent.iter().enumerate().skip(WORKERS) {
        let before = &sent[..=place - WORKERS];
        assert!(before.iter().all(|earlier| earlier < begun), "number {place} was too early: {sent:?}");
    }
}
