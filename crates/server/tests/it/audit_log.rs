//! The audit log as people read it: whose events, by which questions, as a page and as a file.

use std::{collections::BTreeSet, time::Duration};

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::world::{BOUND, Browser, PASSWORD, World, id};

async fn events(browser: &Browser, query: &str) -> Vec<Value> {
    let page = browser.get(&format!("/api/audit{query}")).await.expect(200);
    page["items"].as_array().expect("a page has items").clone()
}

/// Sends a prompt as soon as the agent takes another one: an answer is whole a moment before it does.
async fn prompt(browser: &Browser, project: &str, text: &str) {
    wait_for("an agent that takes a prompt", BOUND, async || {
        let answer = browser.post(&format!("/api/projects/{project}/prompts"), &json!({"text": text})).await;
        (answer.json()["code"] != "busy").then(|| answer.expect(202))
    })
    .await;
}

fn actions(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["action"].as_str().expect("an event has an action")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_every_event_and_others_those_of_what_is_theirs() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let alice = world.member(&admin, "alice").await;
    let bob = world.member(&admin, "bob").await;
    let connection = id(&alice.connect(&model, "sk-of-alice").await);
    bob.connect(&model, "sk-of-bob").await;

    let all = events(&admin, "").await;
    assert_eq!(
        actions(&all),
        ["connect", "connect", "sign_in", "create_user", "sign_in", "create_user", "set_up"],
        "newest first"
    );
    let numbers: Vec<_> = all.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=7).rev().collect::<Vec<_>>());
    let own = events(&alice, "").await;
    assert_eq!(actions(&own), ["connect", "sign_in", "create_user"]);
    let connected = &own[0];
    assert_eq!(connected["actor"]["name"], "alice");
    assert_eq!(
        connected["noun"],
        json!({"kind": "connection", "id": connection, "name": "Anthropic (main)", "open": true})
    );
    assert_eq!((&connected["outcome"], &connected["address"]), (&json!("ok"), &json!("127.0.0.1")));
    assert_eq!(connected["fingerprint"].as_str().map(str::len), Some(16));
    assert!(connected["request_id"].as_str().is_some_and(|id| !id.is_empty()));
    // Who made her account is no secret; what somebody else called a key is, for an admin, too.
    assert_eq!((&own[2]["actor"]["name"], &own[2]["noun"]["name"]), (&json!("ada"), &json!("alice")));
    let seen_by_admin = all.iter().find(|event| event["noun"]["id"] == connection.as_str()).unwrap();
    assert_eq!((&seen_by_admin["noun"]["name"], &seen_by_admin["noun"]["open"]), (&Value::Null, &json!(false)));
    assert_eq!(seen_by_admin["owner"]["name"], "alice");
    for asked in [format!("?connection={connection}"), format!("?noun={connection}"), "?actor=cli".to_owned()] {
        let page = bob.get(&format!("/api/audit{asked}")).await.expect(200);
        assert_eq!(page, json!({"items": [], "next": null}), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_found_by_action_actor_noun_and_connection_and_read_page_by_page() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let ada = id(&admin.get("/api/me").await.expect(200));
    let connection = id(&admin.connect(&model, "sk-of-ada").await);
    let created = admin.create_project("[[say: hello]]").await;
    let project = id(&created["project"]);
    assert_eq!(admin.wait_for_job(&id(&created["job"])).await["state"], "succeeded");
    admin.wait_for_answer(&project).await;
    let at = format!("/api/connections/{connection}");
    admin.patch(&at, &json!({"label": "Mine"})).await.expect(200);

    let is_used = async || {
        let uses = events(&admin, &format!("?connection={connection}&action=use")).await;
        (!uses.is_empty()).then_some(())
    };
    wait_for("the use of the key", BOUND, is_used).await;
    let of_key = events(&admin, &format!("?connection={connection}")).await;
    let what: BTreeSet<&str> = actions(&of_key).into_iter().collect();
    assert_eq!(what, BTreeSet::from(["connect", "deliver", "use", "change_connection"]));
    let delivered = of_key.iter().find(|event| event["action"] == "deliver").unwrap();
    let place = json!({"kind": "project", "id": project, "name": created["project"]["name"], "open": true});
    assert_eq!(delivered["project"], place);
    assert_eq!((&delivered["actor"]["kind"], &delivered["owner"]["name"]), (&json!("job"), &json!("ada")));
    let in_project = events(&admin, &format!("?noun={project}")).await;
    let what: BTreeSet<&str> = actions(&in_project).into_iter().collect();
    assert_eq!(what, BTreeSet::from(["create_project", "deliver", "use"]));
    assert_eq!(actions(&events(&admin, "?action=connect").await), ["connect"]);
    assert_eq!(
        actions(&events(&admin, &format!("?actor={ada}")).await),
        ["change_connection", "create_project", "connect", "set_up"]
    );
    assert_eq!(actions(&events(&admin, &format!("?actor={ada}&noun={project}")).await), ["create_project"]);

    let (mut paged, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let page = admin.get(&format!("/api/audit{query}")).await.expect(200);
        paged.extend(page["items"].as_array().unwrap().iter().map(|event| event["seq"].as_i64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&before={next}");
    }
    let newest = paged[0];
    assert_eq!(paged, (1..=newest).rev().collect::<Vec<_>>());

    admin.delete(&at).await;
    let gone = events(&admin, &format!("?connection={connection}&action=disconnect")).await;
    let noun = json!({"kind": "connection", "id": connection, "name": "Anthropic (Mine)", "open": false});
    assert_eq!(gone[0]["noun"], noun, "what was disconnected keeps its name");
    admin.get("/api/audit?connection=nonsense").await.problem(404, "connection_not_found");
    admin.get("/api/audit?action=nonsense").await.problem(422, "invalid");
    admin.get("/api/audit?page=2").await.problem(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_of_a_key_is_told_at_once_and_then_once_a_minute() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let connection = id(&admin.connect(&model, "sk-of-ada").await);
    let at = format!("/api/connections/{connection}");
    assert_eq!(admin.get(&at).await.expect(200)["last_used_at"], Value::Null);
    let created = admin.create_project("[[say: one]]").await;
    let project = id(&created["project"]);
    admin.wait_for_words(&project, "one").await;
    let uses = async || events(&admin, &format!("?connection={connection}&action=use")).await;
    let told = wait_for("the first use", BOUND, async || Some(uses().await).filter(|uses| uses.len() == 1)).await;
    assert_eq!(told[0]["detail"], "1 answer");
    assert_eq!(told[0]["project"]["id"], project.as_str());
    let known = admin.get(&at).await.expect(200);
    assert_eq!(told[0]["fingerprint"], known["fingerprint"]);
    assert!(known["last_used_at"].is_string());

    for words in ["two", "three"] {
        let before = admin.get(&at).await.expect(200)["last_used_at"].clone();
        prompt(&admin, &project, &format!("[[say: {words}]]")).await;
        let is_used = async || (admin.get(&at).await.expect(200)["last_used_at"] != before).then_some(());
        wait_for("the next use", BOUND, is_used).await;
        admin.wait_for_words(&project, words).await;
    }
    assert_eq!(uses().await.len(), 1, "within a minute nothing more is told");
    world.clock.advance(doce_app::USE_TOLD_EVERY + Duration::from_secs(1));
    prompt(&admin, &project, "[[say: four]]").await;
    let told = wait_for("the second use", BOUND, async || Some(uses().await).filter(|uses| uses.len() == 2)).await;
    assert_eq!(told[0]["detail"], "3 answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_wait_are_told_when_their_minute_is_over_without_another_one() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let connection = id(&admin.connect(&model, "sk-of-ada").await);
    let first = id(&admin.create_project("[[say: one]]").await["project"]);
    admin.wait_for_words(&first, "one").await;
    let uses = async |project: &str| {
        let uses = events(&admin, &format!("?noun={project}&connection={connection}&action=use")).await;
        uses.iter().map(|event| event["detail"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    wait_for("the first use", BOUND, async || (uses(&first).await == ["1 answer"]).then_some(())).await;
    let at = format!("/api/connections/{connection}");
    let before = admin.get(&at).await.expect(200)["last_used_at"].clone();
    prompt(&admin, &first, "[[say: two]]").await;
    let is_used = async || (admin.get(&at).await.expect(200)["last_used_at"] != before).then_some(());
    wait_for("the second use", BOUND, is_used).await;
    assert_eq!(uses(&first).await, ["1 answer"]);
    world.clock.advance(doce_app::USE_TOLD_EVERY);
    // Real time has not passed; that something else is used wakes whoever tells.
    let second = id(&admin.create_project("[[say: three]]").await["project"]);
    wait_for("both", BOUND, async || {
        let told = (uses(&first).await, uses(&second).await);
        (told == (vec!["1 answer".to_owned(), "1 answer".to_owned()], vec!["1 answer".to_owned()])).then_some(())
    })
    .await;
}

/// The hash of a line of the file, computed as `docs/audit.md` says.
fn link(previous: &str, line: &Value) -> String {
    let mut hasher = Sha256::new_with_prefix(b"doce audit 1");
    let mut field = |value: &Value| match value {
        Value::Null => hasher.update([0]),
        value => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            hasher.update([1]);
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text);
        }
    };
    field(&json!(previous));
    field(&line["seq"]);
    field(&line["id"]);
    let at = line["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("it is a moment");
    field(&json!(at.as_millisecond()));
    for name in [
        "actor",
        "user_id",
        "action",
        "noun",
        "project_id",
        "outcome",
        "fingerprint",
        "detail",
        "request_id",
        "address",
    ] {
        field(&line[name]);
    }
    hasher.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

async fn export(browser: &Browser, query: &str) -> Vec<Value> {
    let answer = browser.get(&format!("/api/audit/export{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert!(answer.header("content-disposition").contains("doce-audit.jsonl"));
    assert_eq!(answer.header("content-length"), "", "its length is not known before it is all read");
    answer.text().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_log_is_downloaded_as_a_chain_that_can_be_checked_without_doce() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let connection = id(&admin.connect(&model, "sk-planted-in-the-audit-log").await);
    // More than is read at a time.
    for n in 0..420 {
        admin.patch(&format!("/api/connections/{connection}"), &json!({"label": format!("L{n}")})).await.expect(200);
    }
    let lines = export(&admin, "").await;
    assert_eq!(lines.len(), 2 + 420 + 1);
    let mut previous = "0".repeat(64);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["seq"], json!(index + 1));
        assert_eq!(line["hash"], json!(link(&previous, line)), "{line}");
        line["hash"].as_str().unwrap().clone_into(&mut previous);
    }
    let last = lines.last().unwrap();
    assert_eq!((&last["action"], &last["noun"]), (&json!("export"), &json!("audit_log")));
    assert!(!json!(lines).to_string().contains("planted"));
    let again = export(&admin, "?action=export").await;
    assert_eq!(again.len(), 2, "the second download tells of the first and of itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_downloads_only_what_is_theirs() {
    let world = World::start().await;
    let admin = world.admin().await;
    let bob = world.member(&admin, "bob").await;
    let me = id(&bob.get("/api/me").await.expect(200));
    let lines = export(&bob, "").await;
    assert_eq!(actions(&lines), ["create_user", "sign_in", "export"]);
    assert!(lines.iter().all(|line| line["user_id"] == me.as_str()));
    let nobody = world.nobody();
    nobody
        .post("/api/sign-in", &json!({"username": "BOB", "password": "wrong wrong"}))
        .await
        .problem(401, "sign_in_failed");
    nobody.post("/api/sign-in", &json!({"username": "eve", "password": PASSWORD})).await.problem(401, "sign_in_failed");
    let refused = events(&bob, "?action=sign_in_refused").await;
    assert_eq!(refused.len(), 1, "an attempt on his account is his to know of, one on another name isn't");
    assert_eq!((&refused[0]["actor"]["kind"], &refused[0]["outcome"]), (&json!("nobody"), &json!("sign_in_failed")));
    assert_eq!(events(&admin, "?action=sign_in_refused").await.len(), 2);
}
