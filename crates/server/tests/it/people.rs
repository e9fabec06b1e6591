//! The first account, signing in and out, roles, passwords.

use doce_app::{FAILURE_WINDOW, FAILURES_PER_NAME, SIGN_IN_IDLE};
use doce_testkit::{ScriptedModel, wait_for};
use reqwest::Method;
use serde_json::json;

use crate::world::{BOUND, Browser, PASSWORD, World, id};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_account_is_made_once_and_is_an_admins() {
    let world = World::start().await;
    let browser = world.nobody();
    let health = browser.get("/api/health").await.expect(200);
    assert_eq!((&health["status"], &health["setup_required"]), (&json!("ok"), &json!(true)));
    let user = browser.post("/api/setup", &json!({"username": "ada", "password": PASSWORD})).await.expect(201);
    assert_eq!(user["role"], "admin");
    assert_eq!(browser.get("/api/me").await.expect(200), user);
    assert_eq!(browser.get("/api/health").await.expect(200)["setup_required"], false);
    let second = world.nobody().post("/api/setup", &json!({"username": "eve", "password": PASSWORD})).await;
    second.problem(409, "setup_done");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_set_up_at_once_make_one_account() {
    let world = World::start().await;
    let (one, two) = (world.nobody(), world.nobody());
    let (one, two) = tokio::join!(
        async { one.post("/api/setup", &json!({"username": "one", "password": PASSWORD})).await.status.as_u16() },
        async { two.post("/api/setup", &json!({"username": "two", "password": PASSWORD})).await.status.as_u16() },
    );
    let mut statuses = [one, two];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_name_or_password_is_named_by_its_field() {
    let world = World::start().await;
    let nobody = world.nobody();
    for (username, password, field) in
        [("", PASSWORD, "username"), ("a b", PASSWORD, "username"), ("ada", "short", "password")]
    {
        let answer = nobody.post("/api/setup", &json!({"username": username, "password": password})).await;
        assert_eq!(answer.problem(422, "invalid")["field"], field);
    }
    assert_eq!(nobody.get("/api/health").await.expect(200)["setup_required"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_elsewhere_the_first_account_takes_the_printed_code() {
    let world = World::builder().public_url("https://doce.example").start().await;
    let browser = world.nobody();
    let from_elsewhere = |method: Method, path: &str| browser.request(method, path).header("host", "doce.example");
    let health = browser.send(from_elsewhere(Method::GET, "/api/health")).await.expect(200);
    assert_eq!(health["setup_code_required"], true);
    for code in [json!(null), json!(""), json!("aaaa-aaaa-aaaa-aaaa")] {
        let new = json!({"username": "eve", "password": PASSWORD, "setup_code": code});
        let refused = browser.send(from_elsewhere(Method::POST, "/api/setup").json(&new)).await;
        refused.problem(403, "setup_code_wrong");
    }
    let code = world.setup_code();
    let new = json!({"username": "ada", "password": PASSWORD, "setup_code": code});
    let made = browser.send(from_elsewhere(Method::POST, "/api/setup").json(&new)).await;
    made.expect(201);
    assert!(!made.text().contains(&code));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_this_machine_the_first_account_takes_no_code_unless_somebody_forwarded_the_request() {
    let world = World::start().await;
    let nobody = world.nobody();
    assert_eq!(nobody.get("/api/health").await.expect(200)["setup_code_required"], false);
    for header in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"] {
        let request = nobody.request(Method::GET, "/api/health").header(header, "x");
        assert_eq!(nobody.send(request).await.expect(200)["setup_code_required"], true, "{header}");
        let new = json!({"username": "eve", "password": PASSWORD});
        let request = nobody.request(Method::POST, "/api/setup").header(header, "x").json(&new);
        nobody.send(request).await.problem(403, "setup_code_wrong");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_listener_for_every_address_the_first_account_takes_the_code_even_here() {
    let world = World::builder().on_all_addresses().start().await;
    assert_eq!(world.nobody().get("/api/health").await.expect(200)["setup_code_required"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_and_a_wrong_password_look_the_same() {
    let world = World::start().await;
    world.admin().await;
    let nobody = world.nobody();
    let mut details = Vec::new();
    for (username, password) in [("ada", "not the password"), ("nobody", PASSWORD)] {
        let answer = nobody.post("/api/sign-in", &json!({"username": username, "password": password})).await;
        details.push(answer.problem(401, "sign_in_failed")["detail"].clone());
    }
    assert_eq!(details[0], details[1]);
    assert_eq!(nobody.cookie(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_too_many_failures_a_name_waits_even_with_the_right_password() {
    let world = World::start().await;
    let admin = world.admin().await;
    world.member(&admin, "bob").await;
    let nobody = world.nobody();
    for _ in 0..FAILURES_PER_NAME {
        let answer = nobody.post("/api/sign-in", &json!({"username": "Bob", "password": "wrong wrong"})).await;
        answer.problem(401, "sign_in_failed");
    }
    let right = json!({"username": "bob", "password": PASSWORD});
    let throttled = nobody.post("/api/sign-in", &right).await;
    throttled.problem(429, "throttled");
    let wait: u64 = throttled.header("retry-after").parse().expect("it says when to try again");
    assert!((1..=FAILURE_WINDOW.as_secs()).contains(&wait));
    world.clock.advance(FAILURE_WINDOW);
    nobody.post("/api/sign-in", &right).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_again_ends_the_sign_in_that_the_browser_had() {
    let world = World::start().await;
    let browser = world.admin().await;
    let before = browser.cookie();
    browser.post("/api/sign-in", &json!({"username": "ada", "password": PASSWORD})).await.expect(200);
    assert_ne!(browser.cookie(), before);
    let old = world.nobody();
    old.set_cookie(before);
    old.get("/api/me").await.problem(401, "sign_in_required");
    assert_eq!(browser.get("/api/sign-ins").await.expect(200)["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_sign_in_and_takes_the_cookie() {
    let world = World::start().await;
    let browser = world.admin().await;
    let before = browser.cookie();
    let out = browser.post("/api/sign-out", &json!({})).await;
    out.expect(204);
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{}", out.header("set-cookie"));
    assert_eq!(browser.cookie(), None);
    browser.set_cookie(before);
    browser.get("/api/me").await.problem(401, "sign_in_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_not_used_ends_by_itself() {
    let world = World::start().await;
    let browser = world.admin().await;
    world.clock.advance(SIGN_IN_IDLE / 2);
    browser.get("/api/me").await.expect(200);
    world.clock.advance(SIGN_IN_IDLE / 2 + SIGN_IN_IDLE / 4);
    browser.get("/api/me").await.expect(200);
    world.clock.advance(SIGN_IN_IDLE);
    browser.get("/api/me").await.problem(401, "sign_in_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_signs_the_other_browsers_out() {
    let world = World::start().await;
    let browser = world.admin().await;
    let other = world.signed_in("ada").await;
    let wrong = json!({"current_password": "not this one", "new_password": "another good password"});
    assert_eq!(browser.patch("/api/me", &wrong).await.problem(422, "invalid")["field"], "current_password");
    other.get("/api/me").await.expect(200);
    let change = json!({"current_password": PASSWORD, "new_password": "another good password"});
    browser.patch("/api/me", &change).await.expect(200);
    browser.get("/api/me").await.expect(200);
    other.get("/api/me").await.problem(401, "sign_in_required");
    let nobody = world.nobody();
    nobody.post("/api/sign-in", &json!({"username": "ada", "password": PASSWORD})).await.problem(401, "sign_in_failed");
    let right = json!({"username": "ada", "password": "another good password"});
    nobody.post("/api/sign-in", &right).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_and_ends_their_own_sign_ins() {
    let world = World::start().await;
    let browser = world.admin().await;
    let request = world.nobody();
    let sign_in = request
        .request(Method::POST, "/api/sign-in")
        .header("user-agent", "A Browser/1.0")
        .json(&json!({"username": "ada", "password": PASSWORD}));
    request.send(sign_in).await.expect(200);
    let list = browser.get("/api/sign-ins").await.expect(200);
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let other = items.iter().find(|item| item["current"] == false).unwrap();
    assert_eq!((&other["user_agent"], &other["address"]), (&json!("A Browser/1.0"), &json!("127.0.0.1")));
    browser.delete(&format!("/api/sign-ins/{}", other["id"].as_str().unwrap())).await.expect(204);
    request.get("/api/me").await.problem(401, "sign_in_required");
    let own = items.iter().find(|item| item["current"] == true).unwrap();
    browser.delete(&format!("/api/sign-ins/{}", own["id"].as_str().unwrap())).await.expect(204);
    assert_eq!(browser.cookie(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_makes_accounts_and_a_taken_name_is_said() {
    let world = World::start().await;
    let admin = world.admin().await;
    let new = json!({"username": "bob", "password": PASSWORD, "role": "member"});
    let bob = admin.post("/api/users", &new).await.expect(201);
    assert_eq!((&bob["username"], &bob["role"]), (&json!("bob"), &json!("member")));
    let again = admin.post("/api/users", &json!({"username": "BOB", "password": PASSWORD, "role": "member"})).await;
    assert_eq!(again.problem(422, "invalid")["field"], "username");
    let role = admin.post("/api/users", &json!({"username": "eve", "password": PASSWORD, "role": "owner"})).await;
    assert_eq!(role.problem(422, "invalid")["field"], "role");
    let list = admin.get("/api/users").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert!(!list.to_string().contains("argon2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_account_is_signed_out_its_projects_stop_and_it_can_come_back() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let other = json!({"username": "bob", "password": PASSWORD, "role": "admin"});
    let bob = id(&admin.post("/api/users", &other).await.expect(201));
    let browser = world.signed_in("bob").await;
    browser.connect(&model, "sk-one-0123456789").await;
    let made = browser.create_project("[[say: one]]").await;
    browser.wait_for_job(&id(&made["job"])).await;
    let mut events = browser.stream("").await;
    events.next().await.expect("it says hello");

    let at = format!("/api/users/{bob}");
    let disabled = admin.patch(&at, &json!({"disabled": true})).await.expect(200);
    assert!(disabled["disabled_at"].is_string());
    browser.get("/api/me").await.problem(401, "sign_in_required");
    wait_for("the stream to end", crate::world::BOUND, async || events.next().await.is_none().then_some(())).await;
    let again = world.nobody();
    let credentials = json!({"username": "bob", "password": PASSWORD});
    again.post("/api/sign-in", &credentials).await.problem(401, "sign_in_failed");
    let project = made["project"]["id"].as_str().expect("it has an id").to_owned();
    wait_for("the project to stop", crate::world::BOUND, async || {
        let left = world.audit().await;
        left.iter().any(|entry| entry.action == "stop_project" && entry.noun == project).then_some(())
    })
    .await;
    let actions: Vec<String> = world.audit().await.into_iter().map(|entry| entry.action).collect();
    assert!(actions.iter().any(|action| action == "disable_user"), "{actions:?}");

    let enabled = admin.patch(&at, &json!({"disabled": false})).await.expect(200);
    assert!(enabled["disabled_at"].is_null());
    let back = world.signed_in("bob").await;
    wait_for("the project to be stopped", crate::world::BOUND, async || {
        let view = back.get(&format!("/api/projects/{project}")).await.expect(200);
        (view["state"] == "stopped").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_disabling_an_account_takes_along_is_counted_before_and_gone_after() {
    let world = World::builder().running().most_agents(1).start().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let new = json!({"username": "bob", "password": PASSWORD, "role": "admin"});
    let bob = id(&admin.post("/api/users", &new).await.expect(201));
    let browser = world.signed_in("bob").await;
    world.signed_in("bob").await;
    browser.connect(&model, "sk-one-0123456789").await;
    browser.post("/api/tokens", &json!({"name": "script", "scope": "build"})).await.expect(201);
    let invite = browser.post("/api/invites", &json!({"role": "member"})).await.expect(201);
    // One writes an answer that doesn't end, one waits for its place.
    let answering = browser.create_project("[[hang-after: 1]]").await;
    let answering = id(&answering["project"]);
    let last_message = async |browser: &Browser| {
        let page = browser.get(&format!("/api/projects/{answering}/messages")).await.expect(200);
        page["items"].as_array().and_then(|items| items.last()).cloned().unwrap_or_default()
    };
    wait_for("the answer to begin", BOUND, async || {
        (last_message(&browser).await["state"] == "streaming").then_some(())
    })
    .await;
    let waiting = browser.create_project("[[say: two]]").await;
    let launch = id(&waiting["job"]);
    wait_for("the launch to wait", BOUND, async || {
        let job = browser.get(&format!("/api/jobs/{launch}")).await.expect(200);
        (!job["waits_for"].is_null()).then_some(())
    })
    .await;
    let at = format!("/api/users/{bob}/in-use");
    let counted = json!({"projects": 2, "sign_ins": 2, "api_tokens": 1, "invites": 1});
    assert_eq!(admin.get(&at).await.expect(200), counted);

    admin.patch(&format!("/api/users/{bob}"), &json!({"disabled": true})).await.expect(200);
    wait_for("the agent to end", BOUND, async || {
        let agents = admin.get("/api/system/status").await.expect(200)["agents"].clone();
        (agents["running"] == 0 && agents["waiting"] == 0).then_some(())
    })
    .await;
    let left = admin.get(&at).await.expect(200);
    assert_eq!((&left["projects"], &left["sign_ins"]), (&json!(0), &json!(0)), "{left}");
    let link = invite["path"].as_str().and_then(|path| path.strip_prefix("/invite#")).expect("a link");
    let account = json!({"token": link, "username": "eve", "password": PASSWORD});
    world.nobody().post("/api/invited/account", &account).await.problem(409, "invite_gone");

    admin.patch(&format!("/api/users/{bob}"), &json!({"disabled": false})).await.expect(200);
    let back = world.signed_in("bob").await;
    assert_eq!(back.get(&format!("/api/jobs/{launch}")).await.expect(200)["state"], "cancelled");
    let last = last_message(&back).await;
    assert!(["aborted", "interrupted"].iter().any(|state| last["state"] == *state), "{last}");
    // What stopped stays so until somebody starts it.
    assert_eq!(admin.get(&at).await.expect(200)["projects"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_gives_others_a_role_and_a_password_and_never_locks_everybody_out() {
    let world = World::start().await;
    let admin = world.admin().await;
    let bob = world.member(&admin, "bob").await;
    let other = id(&bob.get("/api/me").await.expect(200));
    let at = format!("/api/users/{other}");
    bob.patch(&at, &json!({"role": "admin"})).await.problem(403, "admins_only");
    admin.patch(&at, &json!({"password": "short"})).await.problem(422, "invalid");
    admin.patch(&at, &json!({"password": "another long one"})).await.expect(200);
    bob.get("/api/me").await.problem(401, "sign_in_required");
    let old = json!({"username": "bob", "password": PASSWORD});
    world.nobody().post("/api/sign-in", &old).await.problem(401, "sign_in_failed");
    let new = json!({"username": "bob", "password": "another long one"});
    world.nobody().post("/api/sign-in", &new).await.expect(200);

    let ada = id(&admin.get("/api/me").await.expect(200));
    for change in [json!({"role": "member"}), json!({"disabled": true})] {
        admin.patch(&format!("/api/users/{ada}"), &change).await.problem(409, "own_account");
    }
    admin
        .patch("/api/users/usr_00000000000000000000000000", &json!({"role": "admin"}))
        .await
        .problem(404, "user_not_found");
    // Somebody whose request was let through just before they were made a member.
    let app = &world.app;
    let ctx = doce_model::Ctx::new(doce_model::Actor::Cli, "test", None, std::sync::Arc::new(world.clock.clone()));
    let by = doce_model::User {
        id: other.parse().expect("it is an id"),
        username: "bob".to_owned(),
        role: doce_model::Role::Admin,
        created_at: doce_model::Ms(1),
        disabled_at: None,
    };
    let change = doce_app::UserChange { disabled: Some(true), ..doce_app::UserChange::default() };
    let refused = app.change_user(&ctx, &by, ada.parse().expect("it is an id"), change).await;
    let refused = refused.expect_err("the last admin stays").to_string();
    assert!(refused.contains("only admin"), "{refused}");
    admin.get("/api/me").await.expect(200);
}
