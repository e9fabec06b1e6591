//! Agents and providers that don't do what they should.

use std::time::Duration;

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

use super::{Day, day};
use crate::world::{BOUND, Browser, Frame, World, id};

/// Somebody with a key, and a project whose first prompt this is.
async fn prompted(world: &World, prompt: &str) -> (Browser, String) {
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let created = browser.create_project(prompt).await;
    browser.wait_for_job(&id(&created["job"])).await;
    // The provider answers as long as the test goes on.
    std::mem::forget(model);
    (browser, id(&created["project"]))
}

/// The same with two prompts that are answered, *before* and *again*. The first answer may have been read, while an agent
/// that hangs would hold that up, and be told once more by its events; the second one is told by them alone.
async fn followed(world: &World) -> (Browser, String) {
    let (browser, project) = prompted(world, "[[say: before]]").await;
    browser.wait_for_words(&project, "before").await;
    browser.prompt(&project, &json!({"text": "[[say: again]]"})).await;
    browser.wait_for_words(&project, "again").await;
    wait_for_session(&browser, &project, "idle").await;
    (browser, project)
}

async fn wait_for_session(browser: &Browser, project: &str, kind: &str) -> Value {
    wait_for(&format!("a session that is {kind}"), BOUND, async || {
        let found = browser.get(&format!("/api/projects/{project}")).await.expect(200);
        (found["session"]["kind"] == kind).then(|| found["session"].clone())
    })
    .await
}

/// Presses *Stop*, which helps, and asserts that the next prompt is answered.
async fn assert_stopped_and_of_use(day: &Day, browser: &Browser, project: &str) {
    assert!(day.next.contains("*Stop*"), "{}", day.next);
    assert_of_use_after_stop(browser, project).await;
}

async fn assert_of_use_after_stop(browser: &Browser, project: &str) {
    let at = format!("/api/projects/{project}");
    browser.post(&format!("{at}/abort"), &json!({})).await.expect(202);
    wait_for_session(browser, project, "idle").await;
    browser.prompt(project, &json!({"text": "[[say: here again]]"})).await;
    browser.wait_for_words(project, "here again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_says_nothing_for_ten_minutes_can_be_stopped() {
    let day = day("a_provider_that_says_nothing_for_ten_minutes_can_be_stopped");
    let world = World::running().await;
    let (browser, project) = prompted(&world, "[[hang]]").await;
    wait_for_session(&browser, &project, &day.shown).await;
    let prompts = || world.calls(&project).iter().filter(|call| call.prompt.is_some()).count();
    assert_eq!(prompts(), 1);
    world.clock.advance(Duration::from_mins(10));
    // Somebody looks: it is still told as what it is, and nobody has asked anew.
    drop(browser.stream(&format!("?project_id={project}")).await);
    wait_for_session(&browser, &project, &day.shown).await;
    assert_stopped_and_of_use(&day, &browser, &project).await;
    assert_eq!(prompts(), 2, "the one that was stopped, and the one after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_wants_ten_minutes_of_rest_is_told_with_the_time() {
    let day = day("a_provider_that_wants_ten_minutes_of_rest_is_told_with_the_time");
    let world = World::running().await;
    #[expect(clippy::disallowed_methods, reason = "the agent's time is the machine's")]
    let begun = jiff::Timestamp::now();
    let (browser, project) = prompted(&world, "[[status: 429, retry-after: 600]]").await;
    let session = wait_for_session(&browser, &project, &day.shown).await;
    let next: jiff::Timestamp = session["next_at"].as_str().expect("the time is told").parse().unwrap();
    let wait = next.duration_since(begun).as_secs();
    assert!((540..=660).contains(&wait), "{session}");
    assert_stopped_and_of_use(&day, &browser, &project).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_will_not_die_ends_with_its_project() {
    let day = day("a_child_that_will_not_die_ends_with_its_project");
    let world = World::running().await;
    let marker = "doce-will-not-die";
    let stubborn = format!(
        "sh -c 'trap \"\" TERM INT HUP; exec 2>/dev/null; while :; do sleep 1; done' {marker} >/dev/null 2>&1 & echo begun"
    );
    let (browser, project) = prompted(&world, &format!("[[bash: {stubborn}]][[say: done]]")).await;
    browser.wait_for_words(&project, "done").await;
    let runs = || running(|_, program| program.contains(marker) && program.starts_with("sh"));
    wait_for("the child", BOUND, async || (!runs().is_empty()).then_some(())).await;
    assert_eq!(day.advice(), "*Stop* the project");
    let stop = browser.post(&format!("/api/projects/{project}/stop"), &json!({})).await.expect(202);
    let job = browser.wait_for_job(&id(&stop)).await;
    assert_eq!(job["state"], json!(day.shown), "{job}");
    assert!(runs().is_empty(), "it runs on: {:?}", runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_is_told_and_can_be_stopped() {
    let day = day("an_agent_that_hangs_is_told_and_can_be_stopped");
    let world = World::running().await;
    let (browser, project) = followed(&world).await;
    let agent = agent();
    // Its port is open, and it answers nothing.
    signal(agent, "STOP");
    let prompt = json!({"text": "[[say: never]]"});
    let accepted = browser.post(&format!("/api/projects/{project}/prompts"), &prompt).await.expect(202);
    let job = wait_for("a step that tries again", Duration::from_mins(2), async || {
        let job = browser.get(&format!("/api/jobs/{}", id(&accepted["job"]))).await.expect(200);
        let told = job["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| step["detail"].as_str().is_some_and(|detail| detail.contains(&day.shown)));
        (told || job["state"] == "failed").then_some(job)
    })
    .await;
    assert!(job.to_string().contains(&day.shown), "{job}");
    // *Stop* ends it all the same, without waiting for its answer.
    assert_eq!(day.next, "*Stop* the project, then prompt again");
    let stop = browser.post(&format!("/api/projects/{project}/stop"), &json!({})).await.expect(202);
    assert_eq!(browser.wait_for_job(&id(&stop)).await["state"], "succeeded");
    assert!(running(|pid, _| pid == agent).is_empty(), "it is still there");
    browser.prompt(&project, &json!({"text": "[[say: here again]]"})).await;
    browser.wait_for_words(&project, "here again").await;
}

/// Waits until a project's agent is seen to be like this, and returns its instance.
async fn wait_for_instance(browser: &Browser, project: &str, observed: &str, is: impl Fn(&str) -> bool) -> String {
    wait_for(&format!("an agent that is {observed}"), BOUND, async || {
        let found = browser.get(&format!("/api/projects/{project}")).await.expect(200);
        let instance = &found["instance"];
        (instance["observed"] == observed && is(instance["id"].as_str()?)).then(|| id(instance))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_while_it_answers_is_shown_ended_and_started_again() {
    let day = day("an_agent_that_hangs_while_it_answers_is_shown_ended_and_started_again");
    // Between being shown as unhealthy, after two silences, and being ended there is time to see it, on a busy machine too.
    let patience = (Duration::from_secs(1), Duration::from_secs(12));
    let world = World::builder().running().silence(patience.0, patience.1).start().await;
    let (browser, project) = followed(&world).await;
    browser.prompt(&project, &json!({"text": "[[hang]]"})).await;
    wait_for_session(&browser, &project, "busy").await;
    let before = wait_for_instance(&browser, &project, "healthy", |_| true).await;
    let mut events = browser.stream(&format!("?project_id={project}")).await;
    signal(agent(), "STOP");
    wait_for_instance(&browser, &project, "unhealthy", |id| id == before).await;
    // *Stop* of the answer says what helps, whether the agent is ended meanwhile or not.
    let refused = browser.post(&format!("/api/projects/{project}/abort"), &json!({})).await;
    let problem = refused.problem(503, &day.shown);
    assert!(problem["detail"].as_str().unwrap().contains(&day.advice().replace('*', "")), "{problem}");
    let after = wait_for_instance(&browser, &project, "healthy", |id| id != before).await;
    assert_ne!(before, after);
    wait_for_session(&browser, &project, "idle").await;
    // Its prompt is not sent again by any of it.
    let told = browser.get(&format!("/api/projects/{project}/messages")).await.expect(200);
    assert_eq!(told["items"].as_array().unwrap().len(), 5, "{told}");
    let prompt = &told["items"][4];
    assert_eq!(prompt["state"], "interrupted", "{told}");
    assert_eq!(world.calls(&project).iter().filter(|call| call.prompt.is_some()).count(), 3);
    let jobs = browser.get(&format!("/api/jobs?project_id={project}")).await.expect(200);
    let log = browser.get(&format!("/api/jobs/{}/log", id(&jobs["items"][0]))).await.expect(200);
    assert!(log.to_string().contains("The agent gave no usable answer any more and was ended"), "{log}");
    browser.prompt(&project, &json!({"text": "[[say: here again]]"})).await;
    browser.wait_for_words(&project, "here again").await;
    // The empty answer that the agent has left in its files takes nothing of that back, not even for a moment.
    let mut states = Vec::new();
    let next = |frame: &Frame| {
        let message = &frame.data["message"];
        if frame.event == "message" && message["id"] == prompt["id"] {
            states.push(message["state"].clone());
        }
        (frame.event == "message" && message["role"] == "assistant").then_some(())
    };
    events.find("the next answer", next).await;
    assert_eq!(states, [json!("interrupted")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_for_a_while_is_shown_and_goes_on() {
    let day = day("an_agent_that_hangs_for_a_while_is_shown_and_goes_on");
    let world = World::builder().running().silence(Duration::from_secs(2), BOUND * 5).start().await;
    let (browser, project) = followed(&world).await;
    browser.prompt(&project, &json!({"text": "[[hang]]"})).await;
    wait_for_session(&browser, &project, "busy").await;
    let (instance, agent) = (wait_for_instance(&browser, &project, "healthy", |_| true).await, agent());
    signal(agent, "STOP");
    wait_for_instance(&browser, &project, &day.shown, |id| id == instance).await;
    signal(agent, "CONT");
    assert_eq!(day.advice(), "Nothing");
    wait_for_instance(&browser, &project, "healthy", |id| id == instance).await;
    assert_of_use_after_stop(&browser, &project).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tools_five_megabytes_are_cut_where_they_are_kept() {
    let day = day("a_tools_five_megabytes_are_cut_where_they_are_kept");
    let world = World::running().await;
    let (browser, project) = prompted(&world, "[[bash: head -c 5000000 /dev/zero | tr '\\\\0' x]][[say: done]]").await;
    browser.wait_for_words(&project, "done").await;
    let answer = browser.get(&format!("/api/projects/{project}/messages")).await;
    assert!(answer.body.len() < 1_000_000, "{} bytes", answer.body.len());
    assert!(answer.text().contains("xxxx") && answer.text().contains(&day.shown), "it isn't said to be cut");
    assert_eq!(day.next, "The whole is in the agent's own files");
    let own = world.data().join("projects").join(&project).join("home/opencode/fake-sessions.json");
    assert!(own.metadata().unwrap().len() > 5_000_000, "the agent has not kept it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_read_from_the_conversation_and_cut() {
    let day = day("an_event_that_is_too_large_is_read_from_the_conversation_and_cut");
    let world = World::running().await;
    let (browser, project) = prompted(&world, "[[say: before]]").await;
    browser.wait_for_words(&project, "before").await;
    let streams = || world.calls(&project).iter().filter(|call| call.path == "/global/event").count();
    let before = streams();
    browser.prompt(&project, &json!({"text": "[[huge: 17000000]]"})).await;
    let at = format!("/api/projects/{project}/messages");
    wait_for("what is said of the event", BOUND, async || {
        let page = browser.get(&at).await;
        let last = page.expect(200)["items"].as_array()?.last()?.clone();
        let told = last["parts"]
            .as_array()?
            .iter()
            .any(|part| part["text"].as_str().is_some_and(|text| text.contains(&day.shown)));
        told.then_some(())
    })
    .await;
    assert!(streams() > before, "the events are asked for anew");
    assert_eq!(day.advice(), "Nothing");
    browser.prompt(&project, &json!({"text": "[[say: here again]]"})).await;
    browser.wait_for_words(&project, "here again").await;
    let page = browser.get(&at).await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 6, "three prompts, each with its answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_an_agent_does_not_take_is_said_to_have_failed_and_handed_over_later() {
    let day = day("a_key_that_an_agent_does_not_take_is_said_to_have_failed_and_handed_over_later");
    let world = World::running().await;
    let (browser, _) = followed(&world).await;
    let connections = browser.get("/api/connections").await.expect(200);
    let at = format!("/api/connections/{}", id(&connections["items"][0]));
    let delivery = async |status: &str| {
        wait_for(&format!("a delivery that is {status}"), BOUND, async || {
            let connection = browser.get(&at).await.expect(200);
            let delivery = &connection["deliveries"][0];
            (delivery["status"] == status).then(|| delivery.clone())
        })
        .await
    };
    delivery("delivered").await;
    let agent = agent();
    signal(agent, "STOP");
    browser.patch(&at, &json!({"key": "sk-two-9876543210"})).await.expect(200);
    let failed = delivery(&day.shown).await;
    assert!(failed["reason"].as_str().unwrap().contains("could not be handed to the agent"), "{failed}");
    signal(agent, "CONT");
    // Nobody does anything, and the agent begins no answer.
    assert_eq!(day.advice(), "Nothing");
    delivery("delivered").await;
}

/// The processes that somebody may see: pid and command line.
fn running(is: impl Fn(u32, &str) -> bool) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    processes
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let program = std::fs::read(process.path().join("cmdline")).ok()?;
            let state = std::fs::read_to_string(process.path().join("stat")).ok()?;
            let is_dead = state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
            (!is_dead && is(pid, &String::from_utf8_lossy(&program))).then_some(pid)
        })
        .collect()
}

/// Returns who started a process, if it runs.
fn parent_of(pid: u32) -> Option<u32> {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    state.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
}

/// The agent's own process: the one in the workspace that this test's server started.
pub(crate) fn agent() -> u32 {
    let is_ours =
        |pid: u32| std::iter::successors(Some(pid), |pid| parent_of(*pid)).any(|pid| pid == std::process::id());
    let is_in_workspace = |pid: u32| {
        std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|set| memchr::memmem::find(&set, b"PWD=/workspace\0").is_some())
    };
    let found =
        running(|pid, program| program.starts_with("/opt/opencode\0serve\0") && is_in_workspace(pid) && is_ours(pid));
    *found.first().expect("the agent runs")
}

#[expect(clippy::disallowed_methods, reason = "this is what happens to it on a bad day")]
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    assert!(sent.expect("there is a kill").success());
}
