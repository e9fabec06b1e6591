//! Prompts and what comes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use doce_testkit::script::Script;
use doce_testkit::wait_for;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{agent, builder, kind, kinds, prompt, started};
use crate::support::BOUND;

#[tokio::test]
async fn a_prompt_is_accepted_before_its_message_exists() {
    let (agent, client) = started(builder().message_delay(Duration::from_millis(150))).await;
    let session = client.session().await;
    client.prompt_async(&session, Some("msg_1"), "[[say: hi]]").await;
    assert_eq!(client.message_status(&session, "msg_1").await, 404);
    wait_for("the message", BOUND, async || (client.message_status(&session, "msg_1").await == 200).then_some(()))
        .await;
    assert_eq!(agent.prompts_with_id("msg_1"), 1);
}

#[tokio::test]
async fn a_prompt_sent_twice_has_its_text_twice() {
    let (agent, client) = started(builder().message_delay(Duration::from_millis(60))).await;
    let session = client.session().await;
    client.prompt_async(&session, Some("msg_1"), "[[say: hi]]").await;
    client.prompt_async(&session, Some("msg_1"), "[[say: hi]]").await;
    let parts = wait_for("both texts", BOUND, async || {
        let messages = client.messages(&session).await;
        let prompt = messages.iter().find(|message| message["info"]["id"] == "msg_1")?;
        let parts = prompt["parts"].as_array().expect("a list").clone();
        (parts.len() == 2).then_some(parts)
    })
    .await;
    assert_eq!(parts[0]["text"], parts[1]["text"]);
    assert_eq!(agent.prompts_with_id("msg_1"), 2);
}

#[tokio::test]
async fn an_answer_has_opencodes_events_in_order() {
    let (agent, client) = agent().await;
    let session = client.session().await;
    let mut events = client.events("/global/event").await;
    client.prompt_async(&session, None, "A file. [[say: one two]] [[write: src/a.txt | x]] [[say: done]]").await;
    let seen = events.until("session.idle", 1).await;
    let wanted = [
        "session.updated",
        "message.updated",
        "message.part.updated",
        "session.updated",
        "session.status:busy",
        "message.updated",
        "session.updated",
        "session.diff",
        "message.updated",
        "session.status:busy",
        "message.part.updated",
        "message.part.updated",
        "message.part.delta",
        "message.part.delta",
        "message.part.updated",
        "message.part.updated",
        "message.part.updated",
        "file.edited",
        "file.watcher.updated",
        "message.part.updated",
        "message.part.updated",
        "message.updated",
        "message.updated",
        "session.status:busy",
        "message.updated",
        "session.diff",
        "message.updated",
        "session.status:busy",
        "message.part.updated",
        "message.part.updated",
        "message.part.delta",
        "message.part.updated",
        "message.part.updated",
        "message.updated",
        "message.updated",
        "session.status:busy",
        "session.status:idle",
        "session.idle",
    ];
    assert_eq!(kinds(&seen), wanted);
    let durable = seen.iter().filter(|event| kind(event).contains(".updated") && kind(event) != "file.watcher.updated");
    let doubles = seen.iter().filter(|event| kind(event) == "sync");
    assert_eq!(durable.count(), doubles.count());
    let directory = agent.workspace().display().to_string();
    assert!(seen.iter().all(|event| event["directory"] == directory));
    let session = client.get(&format!("/session/{session}")).await;
    assert_eq!(session["title"], "A file.");
    assert_eq!(std::fs::read_to_string(agent.workspace().join("src/a.txt")).expect("the file was written"), "x");
}

#[tokio::test]
async fn a_text_part_begins_empty_grows_by_deltas_and_ends_whole() {
    let (_agent, client) = agent().await;
    let session = client.session().await;
    let mut events = client.events("/event").await;
    client.prompt_async(&session, None, "[[say: one two three]]").await;
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events.until("session.idle", 1).await {
        let properties = &event["properties"];
        let part = &properties["part"];
        if kind(&event) == "message.part.delta" {
            let id = properties["partID"].as_str().expect("an id").to_owned();
            let delta = properties["delta"].as_str().expect("a delta").to_owned();
            texts.get_mut(&id).expect("a delta follows its part").push(delta);
        } else if part["type"] == "text" && part["time"]["end"].is_null() && part["time"].is_object() {
            texts.insert(part["id"].as_str().expect("an id").to_owned(), Vec::new());
            assert_eq!(part["text"], "");
        } else if part["type"] == "text" && part["time"].is_object() {
            let id = part["id"].as_str().expect("an id");
            assert_eq!(part["text"], texts[id].concat());
            assert_eq!(texts[id].len(), 3);
        }
    }
    assert_eq!(texts.len(), 1);
}

#[tokio::test]
async fn a_refused_key_is_an_error_that_says_idle_twice() {
    let (agent, client) = agent().await;
    agent.reject_keys(["sk-custom"]);
    let session = client.session().await;
    let mut events = client.events("/global/event").await;
    client.prompt_async(&session, None, "hi").await;
    let seen = events.until("session.idle", 2).await;
    let end: Vec<String> = kinds(&seen).into_iter().skip_while(|kind| kind != "session.error").collect();
    let wanted = [
        "session.error",
        "session.status:idle",
        "session.idle",
        "message.updated",
        "session.status:idle",
        "session.idle",
    ];
    assert_eq!(end, wanted);
    let answer = &agent.messages(&session)[1]["info"]["error"];
    assert_eq!((&answer["name"], &answer["data"]["statusCode"]), (&json!("APIError"), &json!(401)));
}

#[tokio::test]
async fn failures_of_the_provider_come_as_opencode_tells_them() {
    let (_agent, client) = agent().await;
    let session = client.session().await;
    for status in [400, 401, 402, 403, 404] {
        let answer = client.prompt(&session, &format!("[[status: {status}]]")).await;
        let error = &answer["info"]["error"];
        assert_eq!((&error["data"]["statusCode"], &error["data"]["isRetryable"]), (&json!(status), &json!(false)));
    }
    let answer = client.prompt(&session, "[[status: 503]]").await;
    assert_eq!(answer["info"]["error"]["data"]["isRetryable"], true, "{answer}");
}

#[tokio::test]
async fn a_failing_provider_is_asked_again_with_a_retry_status() {
    let (_agent, client) = agent().await;
    let session = client.session().await;
    let mut events = client.events("/event").await;
    client.prompt_async(&session, None, "[[status: 429, times: 2]] [[say: fine]]").await;
    let seen = events.until("session.idle", 1).await;
    let attempts: Vec<_> = seen
        .iter()
        .map(|event| &event["properties"]["status"])
        .filter(|status| status["type"] == "retry")
        .map(|status| status["attempt"].clone())
        .collect();
    assert_eq!(attempts, [1, 2]);
    assert!(client.messages(&session).await[1].to_string().contains("fine"));
}

#[tokio::test]
async fn a_long_retry_shows_when_it_is_due_and_an_abort_leaves_no_error() {
    let (agent, client) = agent().await;
    let session = client.session().await;
    client.prompt_async(&session, None, "[[status: 429, retry-after: 600]]").await;
    let status = wait_for("the retry", BOUND, async || {
        let status = client.get("/session/status").await[&session].clone();
        (status["type"] == "retry").then_some(status)
    })
    .await;
    let prompted_at = agent.calls().last().expect("a call").at_ms;
    assert!(status["next"].as_u64().expect("a time") > prompted_at + 590_000, "{status}");
    client.post(&format!("/session/{session}/abort"), json!({})).await;
    assert_eq!(client.get("/session/status").await, json!({}));
    let answer = &client.messages(&session).await[1]["info"];
    assert!(answer["error"].is_null() && answer["time"]["completed"].is_u64(), "{answer}");
}

#[tokio::test]
async fn a_cut_answer_leaves_an_empty_part_and_begins_another() {
    let (_agent, client) = agent().await;
    let session = client.session().await;
    let answer = client.prompt(&session, "[[say: one two]] [[cut-after: 1]]").await;
    assert_eq!(answer["info"]["error"]["data"]["isRetryable"], true, "{answer}");
    let texts: Vec<_> = answer["parts"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|part| part["type"] == "text")
        .map(|part| part["text"].clone())
        .collect();
    assert_eq!(texts, ["", "", "", "", "", ""]);
}

#[tokio::test]
async fn an_abort_keeps_the_words_and_the_next_prompt_is_answered() {
    let (_agent, client) = agent().await;
    let session = client.session().await;
    let mut events = client.events("/event").await;
    client.prompt_async(&session, None, "[[say: one two three]] [[hang-after: 2]]").await;
    events.until("message.part.delta", 2).await;
    assert_eq!(client.get("/session/status").await[&session], json!({ "type": "busy" }));
    client.post(&format!("/session/{session}/abort"), json!({})).await;
    let seen = kinds(&events.until("session.idle", 2).await);
    let wanted = [
        "session.error",
        "session.status:idle",
        "session.idle",
        "message.part.updated",
        "message.updated",
        "session.status:idle",
        "session.idle",
    ];
    assert_eq!(seen, wanted);
    let answer = &client.messages(&session).await[1];
    assert_eq!(answer["info"]["error"]["name"], "MessageAbortedError");
    assert_eq!(answer["parts"][1]["text"], "one two ");
    let next = client.prompt(&session, "[[say: again]]").await;
    assert_eq!(next["parts"][1]["text"], "again");
}

#[tokio::test]
async fn a_prompt_behind_a_busy_one_is_answered_after_it_but_not_after_an_abort() {
    let (agent, client) = agent().await;
    let session = client.session().await;
    client.prompt_async(&session, Some("msg_1"), "[[delay: 30]] [[say: one two three four five]]").await;
    agent.wait_for("the first answer", BOUND, || agent.messages(&session).len() == 2).await;
    let second = client.prompt(&session, "[[say: second]]").await;
    assert_eq!(second["parts"][1]["text"], "second");
    client.prompt_async(&session, None, "[[hang]]").await;
    agent.wait_for("the hanging answer", BOUND, || agent.messages(&session).len() == 6).await;
    client.prompt_async(&session, Some("msg_4"), "[[say: never]]").await;
    agent.wait_for("the waiting prompt", BOUND, || agent.messages(&session).len() == 7).await;
    client.post(&format!("/session/{session}/abort"), json!({})).await;
    let last = client.prompt(&session, "[[say: last]]").await;
    assert_eq!(last["parts"][1]["text"], "last");
    let answered: Vec<Value> =
        agent.messages(&session).iter().map(|message| message["info"]["parentID"].clone()).collect();
    assert!(!answered.contains(&json!("msg_4")), "{answered:?}");
}

#[tokio::test]
async fn disposing_aborts_and_ends_the_directorys_stream_but_not_the_global_one() {
    let (_agent, client) = agent().await;
    let session = client.session().await;
    let mut global = client.events("/global/event").await;
    let mut local = client.events("/event").await;
    client.prompt_async(&session, None, "[[say: one two]] [[hang-after: 1]]").await;
    local.until("message.part.delta", 1).await;
    client.post("/instance/dispose", json!({})).await;
    let seen = local.until("server.instance.disposed", 1).await;
    assert!(kinds(&seen).contains(&"session.error".to_owned()));
    assert_eq!(local.next().await, None);
    global.until("server.instance.disposed", 1).await;
    client.session().await;
    global.until("session.created", 1).await;
}

#[tokio::test]
async fn an_unknown_model_is_told_twice_and_has_no_answer() {
    let (agent, client) = agent().await;
    let session = client.session().await;
    let mut events = client.events("/event").await;
    let mut body = prompt(None, "hi");
    body["model"]["providerID"] = json!("nope");
    let path = format!("/session/{session}/prompt_async");
    assert_eq!(client.call(Method::POST, &path, Some(body.clone())).await.0, 204);
    let seen = kinds(&events.until("session.idle", 2).await);
    assert_eq!(seen.iter().filter(|kind| *kind == "session.error").count(), 2);
    assert_eq!(agent.messages(&session).len(), 1);
    let path = format!("/session/{session}/message");
    assert_eq!(client.call(Method::POST, &path, Some(body)).await.0, 500);
}

#[tokio::test]
async fn a_missing_key_is_noticed_by_anthropics_sdk() {
    let (_agent, client) = agent().await;
    let session = client.session().await;
    let mut body = prompt(None, "hi");
    body["model"] = json!({ "providerID": "anthropic", "modelID": "claude-sonnet-4-6" });
    let answer = client.post(&format!("/session/{session}/message"), body).await;
    assert_eq!(answer["info"]["error"]["name"], "ProviderAuthError", "{answer}");
}

#[tokio::test]
async fn a_permission_is_asked_for_and_the_answer_decides() {
    let (agent, client) = agent().await;
    let outside = agent.data_home().join("outside.txt");
    std::fs::write(&outside, "found").expect("writable");
    let text = format!("[[ask: external_directory | {}]] [[say: went on]]", outside.display());
    for (reply, finish, state) in [("once", "stop", "completed"), ("reject", "tool-calls", "error")] {
        let session = client.session().await;
        let answer = async {
            let request = wait_for("the request", BOUND, async || {
                let requests = client.get("/permission").await;
                requests.as_array().expect("a list").iter().find(|request| request["sessionID"] == *session).cloned()
            })
            .await;
            assert_eq!(request["permission"], "external_directory");
            let path = format!("/permission/{}/reply", request["id"].as_str().expect("an id"));
            client.post(&path, json!({ "reply": reply })).await;
            assert_eq!(client.call(Method::POST, &path, Some(json!({ "reply": reply }))).await.0, 404);
        };
        let (last, ()) = tokio::join!(client.prompt(&session, &text), answer);
        assert_eq!(last["info"]["finish"], finish, "{reply}");
        let tool = &client.messages(&session).await[1]["parts"][1]["state"];
        assert_eq!(tool["status"], state, "{tool}");
    }
}

#[tokio::test]
async fn a_denied_permission_is_an_error_of_the_tool_and_the_answer_goes_on() {
    let (agent, client) = agent().await;
    let session = client.session().await;
    let outside = agent.data_home().join("outside.txt");
    let answer = client.prompt(&session, &format!("[[write: {} | x]] [[say: on]]", outside.display())).await;
    assert_eq!(answer["parts"][1]["text"], "on");
    assert_eq!(client.messages(&session).await[1]["parts"][1]["state"]["status"], "error");
    assert!(!outside.exists());
}

#[tokio::test]
async fn tools_do_what_they_say() {
    let (agent, client) = agent().await;
    let session = client.session().await;
    client.prompt(&session, r"[[write: a.txt | one\ntwo]] [[read: a.txt]] [[bash: cat a.txt; exit 3]]").await;
    let outputs: Vec<Value> = agent
        .messages(&session)
        .iter()
        .flat_map(|message| message["parts"].as_array().expect("a list").clone())
        .filter(|part| part["type"] == "tool")
        .map(|part| part["state"].clone())
        .collect();
    assert_eq!(outputs.len(), 3);
    assert!(outputs[1]["output"].as_str().expect("text").contains("2: two"));
    assert_eq!((&outputs[2]["output"], &outputs[2]["metadata"]["exit"]), (&json!("one\ntwo"), &json!(3)));
}

#[tokio::test]
async fn a_stream_that_holds_nothing_makes_the_agent_ask_again_and_again() {
    let (agent, client) = agent().await;
    let session = client.session().await;
    client.prompt_async(&session, None, "[[empty]]").await;
    agent.wait_for("a row of empty messages", BOUND, || agent.messages(&session).len() > 8).await;
    client.post(&format!("/session/{session}/abort"), json!({})).await;
    assert_eq!(client.get("/session/status").await, json!({}));
}

#[tokio::test]
async fn what_it_was_told_to_say_comes_before_the_directives() {
    let (agent, client) = started(builder().answer(Script::say("told before"))).await;
    agent.push(Script::say("told later"));
    let session = client.session().await;
    for wanted in ["told before", "told later", "You said: hello"] {
        assert_eq!(client.prompt(&session, "hello").await["parts"][1]["text"], wanted);
    }
}
