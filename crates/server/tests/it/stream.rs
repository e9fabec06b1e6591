//! The event stream: what it says, to whom, in which order, and when it ends.

use std::time::Duration;

use doce_app::{SIGN_IN_IDLE, events};
use doce_model::{Ms, ProjectId, UserId};
use doce_testkit::ScriptedModel;
use serde_json::json;

use crate::world::{Browser, Frame, World, id};

async fn user_id(browser: &Browser) -> UserId {
    let me = browser.get("/api/me").await.expect(200);
    id(&me).parse().expect("it is a user's")
}

/// Something that browsers are told, and that can be told apart.
fn change() -> (ProjectId, events::Change) {
    let id = ProjectId::new(Ms(1));
    (id, events::Change::ProjectDeleted(id))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_word_comes_at_once_and_nothing_packs_it() {
    let world = World::start().await;
    let browser = world.admin().await;
    let mut events = browser.stream("").await;
    assert_eq!(events.status, 200);
    assert_eq!(events.headers["content-type"], "text/event-stream");
    assert_eq!(events.headers["x-accel-buffering"], "no");
    assert!(!events.headers.contains_key("content-encoding"));
    let hello = events.next().await.unwrap();
    assert_eq!(hello.event, "hello");
    assert_eq!(hello.data["event_id"].as_str(), hello.id.as_deref());
    assert_eq!(hello.data["projects"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_begins_with_one_answer_and_the_stream_goes_on_after_it() {
    let world = World::start().await;
    let admin = world.admin().await;
    let member = world.member(&admin, "bob").await;
    let start = member.get("/api/start").await.expect(200);
    assert_eq!(start["user"], member.get("/api/me").await.expect(200));
    assert_eq!(start["system"], member.get("/api/system").await.expect(200));
    assert_eq!(start["model_preferences"], member.get("/api/models/preferences").await.expect(200));
    // What happens before the stream is open comes with it, and nothing has to be read again.
    let (id, change) = change();
    world.app.bus().publish(user_id(&member).await, change);
    let mut events = member.stream(&format!("?last_event_id={}", start["event_id"].as_str().unwrap())).await;
    assert_eq!(events.next().await.unwrap().event, "hello");
    let frame = events.next().await.unwrap();
    assert_eq!((frame.event.as_str(), &frame.data["project_id"]), ("project_deleted", &json!(id.to_string())));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_arrives_in_order_and_only_at_its_owner() {
    let world = World::start().await;
    let admin = world.admin().await;
    let member = world.member(&admin, "bob").await;
    let (ada, bob) = (user_id(&admin).await, user_id(&member).await);
    let mut events = admin.stream("").await;
    let hello = events.next().await.unwrap();
    let mut own = Vec::new();
    for _ in 0..20 {
        world.app.bus().publish(bob, change().1);
        let (id, change) = change();
        world.app.bus().publish(ada, change);
        own.push(id.to_string());
    }
    let mut last = hello.number();
    for id in own {
        let frame = events.next().await.unwrap();
        assert_eq!((frame.event.as_str(), &frame.data["project_id"]), ("project_deleted", &json!(id)));
        assert!(frame.number() > last);
        last = frame.number();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_back_gets_what_it_missed_once() {
    let world = World::start().await;
    let browser = world.admin().await;
    let ada = user_id(&browser).await;
    let mut events = browser.stream("").await;
    let hello = events.next().await.unwrap();
    drop(events);
    let mut missed = Vec::new();
    for _ in 0..3 {
        let (id, change) = change();
        world.app.bus().publish(ada, change);
        missed.push(id.to_string());
    }
    let mut events = browser.stream(&format!("?last_event_id={}", hello.id.unwrap())).await;
    let again = events.next().await.unwrap();
    assert_eq!((again.event.as_str(), again.id), ("hello", None), "the old id stays the one to come back with");
    let (id, change) = change();
    world.app.bus().publish(ada, change);
    missed.push(id.to_string());
    for id in missed {
        assert_eq!(events.next().await.unwrap().data["project_id"], id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_of_a_reconnecting_browser_goes_before_its_address() {
    let world = World::start().await;
    let browser = world.admin().await;
    let ada = user_id(&browser).await;
    let first = browser.stream("").await.next().await.unwrap();
    world.app.bus().publish(ada, change().1);
    let second = browser.stream("").await.next().await.unwrap();
    let (id, change) = change();
    world.app.bus().publish(ada, change);
    let request = browser
        .request(reqwest::Method::GET, &format!("/api/stream?last_event_id={}", first.id.unwrap()))
        .header("last-event-id", second.id.unwrap());
    let mut events = crate::world::Events::of(request.send().await.unwrap());
    assert_eq!(events.next().await.unwrap().event, "hello");
    assert_eq!(events.next().await.unwrap().data["project_id"], id.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_no_longer_known_resets() {
    let world = World::start().await;
    let browser = world.admin().await;
    for id in ["another-boot-7", "nonsense", "-", "x-99999999999999999999"] {
        let mut events = browser.stream(&format!("?last_event_id={id}")).await;
        let hello = events.next().await.unwrap();
        let reset = events.next().await.unwrap();
        assert_eq!((hello.event.as_str(), reset.event.as_str()), ("hello", "reset"), "{id}");
        assert_eq!(reset.id.as_deref(), hello.data["event_id"].as_str(), "{id}");
        assert_eq!(reset.data, json!({}));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_missed_more_than_is_kept_is_reset() {
    let world = World::start().await;
    let browser = world.admin().await;
    let ada = user_id(&browser).await;
    let hello = browser.stream("").await.next().await.unwrap();
    for _ in 0..=events::RING {
        world.app.bus().publish(ada, change().1);
    }
    let mut events = browser.stream(&format!("?last_event_id={}", hello.id.unwrap())).await;
    assert_eq!(events.next().await.unwrap().event, "hello");
    assert_eq!(events.next().await.unwrap().event, "reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_does_not_keep_up_is_reset_and_goes_on() {
    let world = World::start().await;
    let browser = world.admin().await;
    let ada = user_id(&browser).await;
    let mut events = browser.stream("").await;
    assert_eq!(events.next().await.unwrap().event, "hello");
    // Long words fill the connection's buffers, so that the stream stands still while more happens than is kept.
    let long = |words: String| events::Change::Connection(Box::new(connection(ada, words)));
    for _ in 0..events::RING + 5000 {
        world.app.bus().publish(ada, long("x".repeat(4096)));
    }
    let reset = events.find("the reset", |frame: &Frame| (frame.event == "reset").then(|| frame.clone())).await;
    assert!(reset.id.is_some());
    let (id, change) = change();
    world.app.bus().publish(ada, change);
    events.find("what happens then", |frame: &Frame| (frame.data["project_id"] == id.to_string()).then_some(())).await;
}

fn connection(user_id: UserId, label: String) -> doce_app::views::ConnectionView {
    doce_app::views::ConnectionView {
        renews: false,
        connection: doce_model::Connection {
            id: doce_model::ConnectionId::new(Ms(1)),
            user_id,
            provider_id: "anthropic".to_owned(),
            label,
            auth_type: doce_model::AuthType::Api,
            status: doce_model::ConnectionStatus::Connected,
            error_message: None,
            verification: None,
            base_url: None,
            is_default: true,
            fingerprint: "f".to_owned(),
            last_four: "1234".to_owned(),
            version: 1,
            created_at: Ms(1),
            updated_at: Ms(1),
            expires_at: None,
            last_used_at: None,
            key_since: Ms(1),
            max_age_days: None,
            kept_version: None,
        },
        replace_by: None,
        provider_name: "Anthropic".to_owned(),
        delivery: doce_app::views::DeliveryPlan {
            mode: doce_model::DeliveryMode::Direct,
            reason: "The agent can read it.".to_owned(),
        },
        project_count: 1,
        deliveries: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_streamed_to_who_watches_it_and_to_nobody_else() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let owner = world.member(&admin, "alice").await;
    owner.connect(&model, "sk-one-0123456789").await;
    let created = owner.create_project("[[say: one]]").await;
    let project = id(&created["project"]);
    owner.wait_for_answer(&project).await;

    let mut watching = owner.stream(&format!("?project_id={project}")).await;
    assert_eq!(watching.next().await.unwrap().data["projects"], json!([project]));
    let mut not_watching = owner.stream("").await;
    assert_eq!(not_watching.next().await.unwrap().data["projects"], json!([]));
    let mut stranger = admin.stream(&format!("?project_id={project}")).await;
    assert_eq!(stranger.next().await.unwrap().data["projects"], json!([]), "somebody else's project is not carried");

    let prompt = json!({"text": "[[delay: 5]][[say: these are the words of the answer]]"});
    owner.prompt(&project, &prompt).await;
    let mut text = String::new();
    watching
        .find("the whole answer", |frame| {
            match frame.event.as_str() {
                "delta" => {
                    assert_eq!(frame.data["offset"].as_u64(), Some(text.encode_utf16().count() as u64));
                    text.push_str(frame.data["delta"].as_str().unwrap());
                }
                "part" if frame.data["part"]["kind"] == "text" => {
                    frame.data["part"]["text"].as_str().unwrap_or_default().clone_into(&mut text);
                }
                "message" => {
                    assert_eq!(frame.data["message"]["parts"], json!([]));
                    let message = &frame.data["message"];
                    let is_whole = message["role"] == "assistant" && message["state"] == "complete";
                    return (is_whole && text.contains("words of the answer")).then_some(());
                }
                _ => {}
            }
            None
        })
        .await;
    assert_eq!(text, "these are the words of the answer");

    // A mark at the end of the others shows that nothing of the conversation came before it.
    let conversation = ["message", "part", "delta", "message_deleted", "files"];
    for (browser, events) in [(&owner, &mut not_watching), (&admin, &mut stranger)] {
        let (mark, change) = change();
        world.app.bus().publish(user_id(browser).await, change);
        events
            .find("the mark", |frame| {
                assert!(!conversation.contains(&frame.event.as_str()), "{frame:?}");
                (frame.event == "project_deleted" && frame.data["project_id"] == mark.to_string()).then_some(())
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_streams_of_one_project_cost_one_stream_of_its_agent() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let project = id(&browser.create_project("[[say: one]]").await["project"]);
    browser.wait_for_answer(&project).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = browser.stream(&format!("?project_id={project}")).await;
        assert_eq!(stream.next().await.unwrap().data["projects"], json!([project]));
        streams.push(stream);
    }
    browser.prompt(&project, &json!({"text": "[[say: to everybody]]"})).await;
    for stream in &mut streams {
        let mut text = String::new();
        stream
            .find("the words", |frame| {
                match frame.event.as_str() {
                    "delta" => text.push_str(frame.data["delta"].as_str().unwrap()),
                    "part" => frame.data["part"]["text"].as_str().unwrap_or_default().clone_into(&mut text),
                    _ => {}
                }
                (text == "to everybody").then_some(())
            })
            .await;
    }
    let followed = world.calls(&project).into_iter().filter(|call| call.path == "/global/event").count();
    assert_eq!(followed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_the_stream_fit_together() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let created = browser.create_project("[[say: one]]").await;
    let project = id(&created["project"]);
    browser.wait_for_answer(&project).await;
    let page = browser.get(&format!("/api/projects/{project}/messages")).await.expect(200);
    let mut events =
        browser.stream(&format!("?project_id={project}&last_event_id={}", page["event_id"].as_str().unwrap())).await;
    assert_eq!(events.next().await.unwrap().event, "hello");
    let text = "[[say: two]]";
    browser.post(&format!("/api/projects/{project}/prompts"), &json!({"text": text})).await.expect(202);
    // From the snapshot's id on nothing is missing: the next message is the prompt.
    let message =
        events.find("the prompt", |frame| (frame.event == "message").then(|| frame.data["message"].clone())).await;
    assert_eq!(message["role"], "user");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_says_that_it_lives() {
    let world = World::builder().limits(|limits| limits.keep_alive = Duration::from_millis(50)).start().await;
    let browser = world.admin().await;
    let mut events = browser.stream("").await;
    events.next().await.unwrap();
    events.wait_for_comment().await;
    events.wait_for_comment().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_browser_is_signed_out_here_or_elsewhere() {
    let world = World::start().await;
    let first = world.admin().await;
    let second = world.signed_in("ada").await;
    let mut of_first = first.stream("").await;
    let mut of_second = second.stream("").await;
    of_first.next().await.unwrap();
    of_second.next().await.unwrap();
    let list = first.get("/api/sign-ins").await.expect(200);
    let other = list["items"].as_array().unwrap().iter().find(|item| item["current"] == false).unwrap();
    first.delete(&format!("/api/sign-ins/{}", id(other))).await.expect(204);
    assert_eq!(of_second.next().await, None);
    let ada = user_id(&first).await;
    world.app.bus().publish(ada, change().1);
    assert_eq!(of_first.next().await.unwrap().event, "project_deleted", "the other one goes on");
    first.post("/api/sign-out", &json!({})).await.expect(204);
    assert_eq!(of_first.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_streams_of_the_other_browsers() {
    let world = World::start().await;
    let first = world.admin().await;
    let mut of_second = world.signed_in("ada").await.stream("").await;
    of_second.next().await.unwrap();
    let change = json!({"current_password": crate::world::PASSWORD, "new_password": "another good password"});
    first.patch("/api/me", &change).await.expect(200);
    assert_eq!(of_second.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_sign_in() {
    let world = World::builder().limits(|limits| limits.recheck_sign_in = Duration::from_millis(50)).start().await;
    let browser = world.admin().await;
    let mut events = browser.stream("").await;
    events.next().await.unwrap();
    world.clock.advance(SIGN_IN_IDLE + Duration::from_secs(1));
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_does_not_hold_back_the_end_of_the_server() {
    let mut world = World::start().await;
    let browser = world.admin().await;
    let mut events = browser.stream("").await;
    events.next().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), world.stop_server()).await;
    ended.expect("the server ends while a stream is open");
    assert_eq!(events.next().await, None);
}
