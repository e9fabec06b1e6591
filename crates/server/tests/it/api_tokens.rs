//! API tokens: shown once, used by scripts, traced in the audit log, revoked at once.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    cli::{Serving, doce, first_account, run},
    terminal::{json_of, works},
    world::{Browser, World, id},
};

async fn make(browser: &Browser, name: &str, scope: &str) -> (Browser, Value) {
    let made = browser.post("/api/tokens", &json!({"name": name, "scope": scope})).await.expect(201);
    (browser.script(made["secret"].as_str().expect("it is shown")), made)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_acts_for_its_owner_and_leaves_its_own_trace() {
    let world = World::start().await;
    let admin = world.admin().await;
    let bob = world.member(&admin, "bob").await;
    let (script, made) = make(&bob, "laptop", "full").await;
    assert_eq!(script.get("/api/me").await.expect(200)["username"], "bob");
    let favourite = json!({"model": {"provider_id": "anthropic", "model_id": "a"}, "favourite": true});
    let done = script.patch("/api/models/preferences", &favourite).await;
    assert!(done.status.is_success(), "{}", done.text());
    let entries = world.audit_of(done.header("x-request-id")).await;
    assert_eq!(
        (entries[0].actor.clone(), entries[0].user_id.unwrap().to_string()),
        (id(&made["token"]), id(&bob.get("/api/me").await.json()))
    );

    let shown = bob.get("/api/audit?action=change_model_preference").await.expect(200);
    assert_eq!(
        (&shown["items"][0]["actor"]["kind"], &shown["items"][0]["actor"]["name"]),
        (&json!("api_token"), &json!("laptop"))
    );
    let listed = bob.get("/api/tokens").await.expect(200);
    let listed = &listed["items"][0];
    assert_eq!((&listed["scope"], &listed["last_address"]), (&json!("full"), &json!("127.0.0.1")));
    assert!(listed["last_used_at"].is_string() && listed["expires_at"].is_null());
    assert!(admin.get("/api/tokens").await.expect(200)["items"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_a_token_is_in_one_answer_only() {
    let world = World::start().await;
    let admin = world.admin().await;
    let (script, made) = make(&admin, "ci", "read").await;
    script.get("/api/me").await.expect(200);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("doce_") && secret.len() > 40, "known for what it is, and hard to guess");
    let secret = secret.strip_prefix("doce_").unwrap();
    for path in ["/api/tokens", "/api/audit", "/api/me"] {
        assert!(!admin.get(path).await.text().contains(secret), "{path}");
    }
    for file in std::fs::read_dir(world.data()).unwrap().filter_map(Result::ok).filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{:?}", file.path());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_when_it_is_revoked_expires_or_its_owner_is_disabled() {
    let world = World::start().await;
    let admin = world.admin().await;
    let bob = world.member(&admin, "bob").await;
    let (script, made) = make(&bob, "one", "read").await;
    let mut events = script.stream("").await;
    assert_eq!(events.next().await.unwrap().event, "hello");
    let at = format!("/api/tokens/{}", id(&made["token"]));
    bob.delete(&at).await;
    assert!(events.next().await.is_none(), "what hangs on it ends with it");
    script.get("/api/me").await.problem(401, "token_invalid");
    bob.delete(&at).await.problem(404, "token_not_found");
    // The name is free again.
    make(&bob, "one", "read").await;

    let short = json!({"name": "short", "scope": "read", "days": 1});
    let short = bob.post("/api/tokens", &short).await.expect(201);
    let short = bob.script(short["secret"].as_str().unwrap());
    short.get("/api/me").await.expect(200);
    world.clock.advance(Duration::from_hours(24));
    short.get("/api/me").await.problem(401, "token_invalid");
    assert_eq!(bob.get("/api/tokens").await.expect(200)["items"].as_array().unwrap().len(), 2, "it is still listed");

    let (script, _) = make(&bob, "three", "read").await;
    let mut events = script.stream("").await;
    assert_eq!(events.next().await.unwrap().event, "hello");
    let who = format!("/api/users/{}", id(&bob.get("/api/me").await.json()));
    admin.patch(&who, &json!({"disabled": true})).await.expect(200);
    script.get("/api/me").await.problem(401, "token_invalid");
    while events.next().await.is_some() {}
    admin.patch(&who, &json!({"disabled": false})).await.expect(200);
    script.get("/api/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_none_is_refused_even_beside_a_cookie() {
    let world = World::start().await;
    let admin = world.admin().await;
    for wrong in ["doce_", "doce_x", "x", "doce_\u{e9}"] {
        let request = admin.request(Method::GET, "/api/me").header("authorization", format!("Bearer {wrong}"));
        // A value that isn't ASCII is nothing that we gave out, and the cookie counts.
        if wrong.is_ascii() {
            admin.send(request).await.problem(401, "token_invalid");
        } else {
            admin.send(request).await.expect(200);
        }
    }
    // A password that a proxy in front asks for is not ours to look at.
    let request = admin.request(Method::GET, "/api/me").basic_auth("front", Some("door"));
    admin.send(request).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_makes_no_sense_is_not_made() {
    let world = World::start().await;
    let admin = world.admin().await;
    make(&admin, "taken", "read").await;
    for (name, days, field) in [
        ("", None, "name"),
        ("  ", None, "name"),
        ("a\nb", None, "name"),
        ("taken", None, "name"),
        ("fine", Some(0), "days"),
        ("fine", Some(100_000), "days"),
    ] {
        let answer = admin.post("/api/tokens", &json!({"name": name, "scope": "read", "days": days})).await;
        assert_eq!(answer.problem(422, "invalid")["field"], field, "{name:?} {days:?}");
    }
    let long = "n".repeat(61);
    admin.post("/api/tokens", &json!({"name": long, "scope": "read"})).await.problem(422, "invalid");
    admin.post("/api/tokens", &json!({"name": "fine", "scope": "everything"})).await.problem(422, "invalid");
    for number in 1..50 {
        make(&admin, &format!("token {number}"), "metrics").await;
    }
    admin.post("/api/tokens", &json!({"name": "one more", "scope": "read"})).await.problem(422, "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machines_command_line_works_with_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    let secret = works(at, &["token", "create", "laptop", "--scope", "read"]);
    let secret = secret.trim();
    let listed = json_of(at, &["token", "list", "--json"]);
    assert_eq!(listed["items"][0]["name"], "laptop");
    let away = tempfile::tempdir().unwrap();
    let from_away = |token: &str, arguments: &[&str]| {
        let mut command = doce(away.path());
        run(command.env("DOCE_URL", &serving.url).env("DOCE_TOKEN", token).args(arguments))
    };
    let (code, said, errors) = from_away(secret, &["project", "list"]);
    assert_eq!((code, said.starts_with("There is no project yet.")), (0, true), "{said}{errors}");
    let (code, _, said) = from_away(secret, &["user", "invite"]);
    assert_eq!(code, 2);
    assert!(said.contains("has the scope `read`; this needs `full`"), "{said}");
    let (code, _, said) = from_away(secret, &["token", "list"]);
    assert_eq!(code, 2);
    assert!(said.contains("No API token may do this."), "{said}");
    let (code, _, said) = from_away("doce_wrong", &["project", "list"]);
    assert_eq!(code, 2);
    assert!(said.contains("There is no such API token") && said.contains("doce token create"), "{said}");

    assert_eq!(works(at, &["token", "revoke", "lap"]).trim(), "laptop is revoked.");
    assert_eq!(from_away(secret, &["project", "list"]).0, 2);
    assert!(works(at, &["token", "list"]).starts_with("There is no token."));
    let link = works(at, &["user", "invite"]);
    assert!(link.starts_with(&format!("{}/invite#", serving.url)), "{link}");
}
