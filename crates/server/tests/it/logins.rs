//! Logins at providers: begun, answered, cancelled, renewed. The fake OpenCode runs them, against an authorization server
//! that revokes a login when one of its refresh tokens is used twice.

use std::time::Duration;

use doce_model::Clock as _;
use doce_testkit::{AuthorizationServer, ScriptedModel, USER_CODE, wait_for};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{BOUND, Browser, Events, PASSWORD, World, id};

/// Begins GitLab's login at this server, where the browser is sent to an address of doce's own machine.
pub(crate) async fn begin_redirect(browser: &Browser, server: &AuthorizationServer) -> Value {
    let new = json!({"provider_id": "gitlab", "method": 0, "inputs": {"instanceUrl": server.url()}});
    browser.post("/api/oauth-attempts", &new).await.expect(201)
}

/// Returns the address that the person's browser could not open.
pub(crate) fn landing(attempt: &Value, code: &str) -> String {
    let url = url::Url::parse(attempt["url"].as_str().expect("a page to open")).expect("an address");
    let state = url.query_pairs().find(|(key, _)| key == "state").expect("a state").1.into_owned();
    format!("{}?code={code}&state={state}", attempt["address"].as_str().expect("an address to paste"))
}

/// Waits for the end of an attempt.
pub(crate) async fn ended(events: &mut Events, id: &str) -> Value {
    events
        .find("the end of the sign-in", |frame| {
            let attempt = &frame.data["attempt"];
            (attempt["id"] == id).then(|| attempt.clone())
        })
        .await
}

/// Signs in at GitLab and returns the connection.
async fn signed_in(browser: &Browser, server: &AuthorizationServer) -> Value {
    let mut events = browser.stream("").await;
    let attempt = begin_redirect(browser, server).await;
    let at = format!("/api/oauth-attempts/{}", id(&attempt));
    browser.post(&format!("{at}/code"), &json!({"code": landing(&attempt, "good-code")})).await.expect(202);
    let attempt = ended(&mut events, &id(&attempt)).await;
    assert_eq!(attempt["state"], "succeeded", "{attempt}");
    let connection = attempt["connection_id"].as_str().expect("a connection").to_owned();
    browser.get(&format!("/api/connections/{connection}")).await.expect(200)
}

/// Signs in at GitLab again, for a connection that there is.
async fn sign_in_again(browser: &Browser, server: &AuthorizationServer, connection: &Value) {
    let mut events = browser.stream("").await;
    let new = json!({
        "provider_id": "gitlab", "method": 0, "inputs": {"instanceUrl": server.url()}, "connection_id": id(connection),
    });
    let attempt = browser.post("/api/oauth-attempts", &new).await.expect(201);
    let code = json!({"code": landing(&attempt, "good-code")});
    browser.post(&format!("/api/oauth-attempts/{}/code", id(&attempt)), &code).await.expect(202);
    assert_eq!(ended(&mut events, &id(&attempt)).await["state"], "succeeded");
}

/// Lists the homes of a login.
fn homes(world: &World, attempt: &Value) -> Vec<String> {
    let attempt = id(attempt);
    let places = [camino::Utf8PathBuf::from("/dev/shm"), world.data().join("instances")];
    let names = places.into_iter().filter_map(|place| place.read_dir_utf8().ok()).flatten().filter_map(Result::ok);
    names.map(|entry| entry.file_name().to_owned()).filter(|name| name.ends_with(&attempt)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_address_ends_a_redirect_login_and_its_home_is_gone() {
    let world = World::running().await;
    let server = AuthorizationServer::start().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let attempt = begin_redirect(&browser, &server).await;
    assert_eq!((&attempt["kind"], &attempt["state"]), (&json!("redirect"), &json!("waiting")));
    assert_eq!(homes(&world, &attempt).len(), 1, "it is there while the login goes on");
    assert!(attempt["url"].as_str().is_some_and(|url| url.starts_with(&server.url())), "{attempt}");
    let at = format!("/api/oauth-attempts/{}", id(&attempt));
    assert_eq!(browser.get(&at).await.expect(200)["state"], "waiting");

    for wrong in ["", "hello", "http://localhost:1/callback?code=good-code", &format!("{}&x", attempt["address"])] {
        let problem = browser.post(&format!("{at}/code"), &json!({"code": wrong})).await.problem(422, "invalid");
        assert_eq!(problem["field"], "code", "{problem}");
    }
    let other = landing(&attempt, "good-code").replace("state=", "state=x");
    browser.post(&format!("{at}/code"), &json!({"code": other})).await.problem(422, "invalid");

    let mut events = browser.stream("").await;
    let pasted = landing(&attempt, "good-code").replace("localhost", "127.0.0.1");
    browser.post(&format!("{at}/code"), &json!({"code": pasted})).await.expect(202);
    let attempt = ended(&mut events, &id(&attempt)).await;
    assert_eq!(attempt["state"], "succeeded", "{attempt}");
    let connection = browser.get(&format!("/api/connections/{}", attempt["connection_id"].as_str().unwrap())).await;
    let connection = connection.expect(200);
    assert_eq!((&connection["auth_type"], &connection["status"]), (&json!("oauth"), &json!("connected")));
    assert_eq!((&connection["renews"], &connection["provider_id"]), (&json!(true), &json!("gitlab")));
    assert!(connection["expires_at"].is_string());
    assert_eq!(homes(&world, &attempt), Vec::<String>::new(), "the login's home is gone");
    let database = std::fs::read(world.data().join("doce.sqlite")).expect("it is a file");
    assert!(!database.windows(9).any(|window| window == b"refresh-1"), "tokens are sealed");
    let again = browser.post(&format!("{at}/code"), &json!({"code": pasted})).await;
    again.problem(409, "login_ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_login_shows_its_code_and_ends_when_it_is_approved() {
    let world = World::running().await;
    let server = AuthorizationServer::start().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let mut events = browser.stream("").await;
    let inputs = json!({"deploymentType": "enterprise", "enterpriseUrl": server.url()});
    let new = json!({"provider_id": "github-copilot", "method": 0, "inputs": inputs, "label": "Work"});
    let attempt = browser.post("/api/oauth-attempts", &new).await.expect(201);
    assert_eq!((&attempt["kind"], &attempt["code"]), (&json!("device"), &json!(USER_CODE)));
    let at = format!("/api/oauth-attempts/{}", id(&attempt));
    browser.post(&format!("{at}/code"), &json!({"code": USER_CODE})).await.problem(422, "invalid");
    server.approve();
    let attempt = ended(&mut events, &id(&attempt)).await;
    assert_eq!(attempt["state"], "succeeded", "{attempt}");
    let page = browser.get("/api/connections").await.expect(200);
    let connection = &page["items"][0];
    assert_eq!((&connection["label"], &connection["expires_at"]), (&json!("Work"), &Value::Null));
    assert_eq!(connection["renews"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_nobody_renews_is_asked_about_and_says_when_it_is_over() {
    let server = AuthorizationServer::start().await;
    let world = World::builder().running().asked_instead("github-copilot", &server.url()).start().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let mut events = browser.stream("").await;
    let inputs = json!({"deploymentType": "enterprise", "enterpriseUrl": server.url()});
    let new = json!({"provider_id": "github-copilot", "method": 0, "inputs": inputs});
    let attempt = browser.post("/api/oauth-attempts", &new).await.expect(201);
    server.approve();
    let attempt = ended(&mut events, &id(&attempt)).await;
    let at = format!("/api/connections/{}", attempt["connection_id"].as_str().expect("a connection"));

    let connection = browser.post(&format!("{at}/verify"), &json!({})).await.expect(200);
    assert_eq!((&connection["status"], &connection["verification"]["outcome"]), (&json!("connected"), &json!("valid")));
    let detail = connection["verification"]["detail"].as_str().expect("a sentence");
    assert!(detail.ends_with("accepts this sign-in."), "{detail}");

    server.revoke_all();
    let connection = browser.post(&format!("{at}/verify"), &json!({})).await.expect(200);
    assert_eq!((&connection["status"], &connection["verification"]["outcome"]), (&json!("error"), &json!("invalid")));
    assert!(connection["error_message"].as_str().is_some_and(|text| text.contains("Sign in again")), "{connection}");
    let told = world.audit().await.into_iter().filter(|event| event.action.as_str() == "verify");
    let told: Vec<_> = told.map(|event| event.detail.unwrap_or_default()).collect();
    assert!(told.contains(&"valid".to_owned()) && told.contains(&"invalid".to_owned()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_refused_cancelled_or_too_many_says_so() {
    let world = World::running().await;
    let server = AuthorizationServer::start().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let mut events = browser.stream("").await;
    let attempt = begin_redirect(&browser, &server).await;
    browser.delete(&format!("/api/oauth-attempts/{}", id(&attempt))).await.expect(204);
    assert_eq!(ended(&mut events, &id(&attempt)).await["state"], "cancelled");
    wait_for("the home of the cancelled one to be gone", BOUND, async || {
        homes(&world, &attempt).is_empty().then_some(())
    })
    .await;

    let inputs = json!({"deploymentType": "enterprise", "enterpriseUrl": server.url()});
    let device = json!({"provider_id": "github-copilot", "method": 0, "inputs": inputs});
    let attempt = browser.post("/api/oauth-attempts", &device).await.expect(201);
    server.deny();
    let refused = ended(&mut events, &id(&attempt)).await;
    assert_eq!(refused["state"], "failed", "{refused}");
    assert!(refused["reason"].as_str().is_some_and(|reason| reason.contains("GitHub Copilot")), "{refused}");
    assert_eq!(browser.get("/api/connections").await.expect(200)["items"], json!([]));

    // A second one at the same provider takes the first one's place.
    let first = begin_redirect(&browser, &server).await;
    let second = begin_redirect(&browser, &server).await;
    assert_eq!(ended(&mut events, &id(&first)).await["state"], "cancelled");
    let member = world.member(&browser, "bob").await;
    let at = format!("/api/oauth-attempts/{}", id(&second));
    assert_eq!(member.get(&at).await.status, StatusCode::NOT_FOUND);
    // GitLab's login has one port: somebody else has to wait.
    let new = json!({"provider_id": "gitlab", "method": 0, "inputs": {"instanceUrl": server.url()}});
    member.post("/api/oauth-attempts", &new).await.problem(409, "login_busy");

    for (provider, method) in [("anthropic", 0), ("gitlab", 1), ("gitlab", 9)] {
        let new = json!({"provider_id": provider, "method": method});
        let problem = browser.post("/api/oauth-attempts", &new).await.problem(422, "invalid");
        assert_eq!(problem["field"], "method", "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_two_logins_at_a_time_and_the_server_four() {
    let world = World::running().await;
    let server = AuthorizationServer::start().await;
    let admin = world.admin().await;
    admin.wait_for_catalogue().await;
    let inputs = json!({"deploymentType": "enterprise", "enterpriseUrl": server.url()});
    let device = json!({"provider_id": "github-copilot", "method": 0, "inputs": inputs});
    let third = json!({"provider_id": "openai", "method": 0});
    begin_redirect(&admin, &server).await;
    // Two at one instant, and one place left: which one gets it doesn't matter.
    let (one, other) =
        tokio::join!(admin.post("/api/oauth-attempts", &device), admin.post("/api/oauth-attempts", &third));
    let refused = if one.status == StatusCode::CREATED { other } else { one };
    refused.problem(409, "login_busy");

    // Only admins may have the server call its own network.
    let mut others = Vec::new();
    for name in ["bob", "cem"] {
        let new = json!({"username": name, "password": PASSWORD, "role": "admin"});
        admin.post("/api/users", &new).await.expect(201);
        others.push(world.signed_in(name).await);
    }
    admin.post("/api/oauth-attempts", &device).await.expect(201);
    for other in &others {
        other.post("/api/oauth-attempts", &device).await.expect(201);
    }
    let problem = world.member(&admin, "dan").await.post("/api/oauth-attempts", &device).await;
    let problem = problem.problem(409, "login_busy");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("Too many people")), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_before_they_run_out_and_agents_never_renew() {
    let server = AuthorizationServer::start().await;
    let model = ScriptedModel::start().await;
    let world = World::builder().running().start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let connection = signed_in(&browser, &server).await;
    let project = id(&browser.create_project("[[say: ready]]").await["project"]);
    browser.wait_for_answer(&project).await;
    let auth_file = async || {
        let home = world.data().join("projects").join(&project).join("home/opencode/auth.json");
        serde_json::from_slice::<Value>(&std::fs::read(home).unwrap_or_default()).unwrap_or_default()["gitlab"].clone()
    };
    let held = auth_file().await;
    assert_eq!((&held["type"], &held["refresh"]), (&json!("oauth"), &json!("renewed-by-doce")), "{held}");
    assert!(held["expires"].as_i64().is_some_and(|expires| expires > 4_000_000_000_000), "{held}");

    let at = format!("/api/connections/{}", id(&connection));
    for version in 2..=4 {
        let before = auth_file().await["access"].clone();
        world.clock.advance(Duration::from_mins(55));
        browser.post(&format!("{at}/verify"), &json!({})).await.expect(200);
        wait_for("the renewed tokens in the agent", BOUND, async || {
            let connection = browser.get(&at).await.expect(200);
            let held = auth_file().await;
            (connection["version"] == version && held["access"] != before && held["access"].is_string()).then_some(())
        })
        .await;
    }
    let renewals = server.renewals();
    assert_eq!(renewals.len(), 3, "{renewals:?}");
    assert!(renewals.iter().all(|renewal| renewal.accepted), "{renewals:?}");
    let told: Vec<_> = world.audit().await.into_iter().filter(|event| event.action.as_str() == "refresh").collect();
    assert!(told.len() == 3 && told.iter().all(|event| event.noun == id(&connection)), "{told:?}");
    assert_eq!(browser.get(&at).await.expect(200)["verification"]["outcome"], "valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_accounts_login_is_renewed_once_it_is_enabled_again() {
    let server = AuthorizationServer::start().await;
    let world = World::builder().running().start().await;
    let admin = world.admin().await;
    let new = json!({"username": "bob", "password": PASSWORD, "role": "admin"});
    let who = format!("/api/users/{}", id(&admin.post("/api/users", &new).await.expect(201)));
    let browser = world.signed_in("bob").await;
    let connection = signed_in(&browser, &server).await;
    let at = format!("/api/connections/{}", id(&connection));
    // The renewal is asked for by hand, and its job begins after the account was disabled.
    admin.put("/api/queue", &json!({"paused": true})).await.expect(200);
    world.clock.advance(Duration::from_mins(55));
    browser.post(&format!("{at}/verify"), &json!({})).await.expect(200);
    admin.patch(&who, &json!({"disabled": true})).await.expect(200);
    admin.put("/api/queue", &json!({"paused": false})).await.expect(200);
    wait_for("nothing to be left to do", BOUND, async || {
        let queue = admin.get("/api/system/status").await.expect(200)["queue"].clone();
        ["due", "later", "running"].iter().all(|word| queue[word] == 0).then_some(())
    })
    .await;
    assert!(server.renewals().is_empty(), "{:?}", server.renewals());

    admin.patch(&who, &json!({"disabled": false})).await.expect(200);
    let back = world.signed_in("bob").await;
    wait_for("the renewed tokens", BOUND, async || (back.get(&at).await.expect(200)["version"] == 2).then_some(()))
        .await;
    assert_eq!(server.renewals().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_agents_on_one_login_get_the_renewed_tokens_of_one_renewal() {
    const AGENTS: usize = 12;
    let server = AuthorizationServer::start().await;
    let model = ScriptedModel::start().await;
    let world = World::running().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-twelve-0123456789").await;
    let connection = signed_in(&browser, &server).await;
    let mut projects = Vec::new();
    for _ in 0..AGENTS {
        projects.push(id(&browser.create_project("[[say: ready]]").await["project"]));
    }
    for project in &projects {
        browser.wait_for_answer(project).await;
    }
    let held = |project: &str| {
        let file = world.data().join("projects").join(project).join("home/opencode/auth.json");
        serde_json::from_slice::<Value>(&std::fs::read(file).unwrap_or_default()).unwrap_or_default()["gitlab"].clone()
    };
    let first = held(&projects[0])["access"].clone();
    assert!(projects.iter().all(|project| held(project)["access"] == first), "all hold the one login");

    world.clock.advance(Duration::from_mins(55));
    let at = format!("/api/connections/{}", id(&connection));
    // Many ask at once; there is one renewal.
    let path = format!("{at}/verify");
    let nothing = json!({});
    let asked = futures::future::join_all((0..4).map(|_| browser.post(&path, &nothing))).await;
    assert!(asked.iter().all(|answer| answer.status.is_success()));
    for project in &projects {
        wait_for("the renewed tokens in every agent", BOUND, async || {
            let now = held(project);
            (now["access"].is_string() && now["access"] != first).then_some(now)
        })
        .await;
    }
    let renewed = held(&projects[0])["access"].clone();
    for project in &projects {
        let held = held(project);
        assert_eq!((&held["access"], &held["refresh"]), (&renewed, &json!("renewed-by-doce")));
        let more = json!({"text": "[[say: still here]]"});
        browser.post(&format!("/api/projects/{project}/prompts"), &more).await.expect(202);
        browser.wait_for_words(project, "still here").await;
    }
    let renewals = server.renewals();
    assert!(renewals.len() == 1 && renewals[0].accepted, "{renewals:?}");
    assert_eq!(browser.get(&at).await.expect(200)["status"], "connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_over_is_said_to_be_and_is_mended_by_signing_in_again() {
    let server = AuthorizationServer::start().await;
    let world = World::running().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let connection = signed_in(&browser, &server).await;
    let at = format!("/api/connections/{}", id(&connection));

    // A server that is down for a moment ends nothing.
    server.fail_next(1);
    world.clock.advance(Duration::from_mins(55));
    browser.post(&format!("{at}/verify"), &json!({})).await.expect(200);
    wait_for("the second try", BOUND, async || (browser.get(&at).await.expect(200)["version"] == 2).then_some(()))
        .await;

    server.revoke_all();
    world.clock.advance(Duration::from_mins(55));
    browser.post(&format!("{at}/verify"), &json!({})).await.expect(200);
    let connection = wait_for("the end of the login", BOUND, async || {
        let connection = browser.get(&at).await.expect(200);
        (connection["status"] == "expired").then_some(connection)
    })
    .await;
    assert!(connection["error_message"].as_str().is_some_and(|text| text.contains("Sign in again")), "{connection}");
    let refused =
        world.audit().await.into_iter().filter(|event| event.action.as_str() == "refresh").map(|event| event.outcome);
    assert!(refused.collect::<Vec<_>>().contains(&"invalid_grant".to_owned()), "the refusal is on record");

    sign_in_again(&browser, &server, &connection).await;
    let connection = browser.get(&at).await.expect(200);
    assert_eq!(connection["status"], "connected");
    assert!(connection["version"].as_i64() > Some(2), "{connection}");
    assert_eq!(browser.get("/api/connections").await.expect(200)["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gives_way_to_a_key_and_a_key_to_a_login_and_agents_get_what_it_is() {
    let server = AuthorizationServer::start().await;
    let model = ScriptedModel::start().await;
    let world = World::running().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let connection = signed_in(&browser, &server).await;
    let project = id(&browser.create_project("[[say: ready]]").await["project"]);
    browser.wait_for_answer(&project).await;
    let held = || {
        let file = world.data().join("projects").join(&project).join("home/opencode/auth.json");
        serde_json::from_slice::<Value>(&std::fs::read(file).unwrap_or_default()).unwrap_or_default()["gitlab"].clone()
    };
    assert_eq!(held()["type"], "oauth");

    let at = format!("/api/connections/{}", id(&connection));
    let key = json!({"key": "glpat-0123456789abcdef", "base_url": model.openai_base_url(), "keep_unverified": true});
    let keyed = browser.patch(&at, &key).await.expect(200);
    assert_eq!((&keyed["auth_type"], &keyed["version"]), (&json!("api"), &json!(2)));
    let entry =
        wait_for("the key in the agent", BOUND, async || Some(held()).filter(|held| held["type"] == "api")).await;
    assert_eq!(entry["key"], "glpat-0123456789abcdef");

    sign_in_again(&browser, &server, &connection).await;
    let signed = browser.get(&at).await.expect(200);
    assert_eq!((&signed["auth_type"], &signed["base_url"]), (&json!("oauth"), &Value::Null));
    let entry =
        wait_for("tokens in the agent", BOUND, async || Some(held()).filter(|held| held["type"] == "oauth")).await;
    assert_eq!(entry["refresh"], "renewed-by-doce");

    // Another project starts with what there is by then.
    let other = id(&browser.create_project("[[say: ready]]").await["project"]);
    browser.wait_for_answer(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_ends_before_opencode_gives_it_up_and_only_admins_reach_the_servers_own_network() {
    let world = World::running().await;
    let server = AuthorizationServer::start().await;
    let admin = world.admin().await;
    admin.wait_for_catalogue().await;
    let left = |attempt: &Value| {
        let at: jiff::Timestamp = attempt["expires_at"].as_str().expect("a time").parse().expect("a time");
        at.as_millisecond() - world.clock.now().0
    };
    // OpenCode waits two minutes for GitLab's redirect.
    let attempt = begin_redirect(&admin, &server).await;
    assert!((60_000..=115_000).contains(&left(&attempt)), "{attempt}");
    let inputs = json!({"deploymentType": "enterprise", "enterpriseUrl": server.url()});
    let device = json!({"provider_id": "github-copilot", "method": 0, "inputs": inputs});
    let attempt = admin.post("/api/oauth-attempts", &device).await.expect(201);
    assert!((540_000..=600_000).contains(&left(&attempt)), "{attempt}");

    let member = world.member(&admin, "bob").await;
    let problem = member.post("/api/oauth-attempts", &device).await.problem(422, "invalid");
    assert_eq!(problem["field"], "inputs", "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("Only an admin")), "{problem}");
    for broken in ["", "not an address"] {
        let inputs = json!({"deploymentType": "enterprise", "enterpriseUrl": broken});
        let new = json!({"provider_id": "github-copilot", "method": 0, "inputs": inputs});
        assert_eq!(member.post("/api/oauth-attempts", &new).await.problem(422, "invalid")["field"], "inputs");
    }
}
