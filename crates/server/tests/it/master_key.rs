//! The settings page of the master key: what it tells, changing the key while the server runs, and taking one's own keys
//! away.

use std::{ops::ControlFlow, sync::Arc};

use camino::Utf8PathBuf;
use doce_app::{App, Config, KeyPlace, Outside, Readers, RotationStage, TokenEndpoints, rotate_keys};
use doce_model::{Actor, Clock, Ctx, User};
use doce_server::SystemClock;
use doce_testkit::{ScriptedModel, old_installation::change, wait_for};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    import::{holds, items},
    world::{BOUND, Browser, MODEL, PASSWORD, World, fake_opencode, id},
};

/// More than are wrapped at a time.
const KEYS: usize = 25;

async fn connect(browser: &Browser, model: &ScriptedModel, key: &str) -> Value {
    let new = json!({
        "provider_id": MODEL.0, "auth_type": "api", "key": key, "base_url": model.anthropic_base_url(), "label": key,
        "metadata": {"account": key}, "keep_unverified": true,
    });
    browser.post("/api/connections", &new).await.expect(201)
}

async fn rotated(browser: &Browser) -> Value {
    wait_for("the end of the change", BOUND, async || {
        let key = browser.get("/api/keys").await.expect(200);
        (key["rotation"]["state"] != "running").then_some(key)
    })
    .await
}

/// Opens everything of a user with what is on the disk alone, as the next start does.
async fn opened_anew(world: &World, browser: &Browser) -> Vec<Value> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = Config {
        data_dir: world.data(),
        database_url: None,
        master_key_file: None,
        opencode: Some(fake_opencode()),
        unsandboxed: false,
        npm_registry: None,
        outside: Outside::default(),
        token_endpoints: TokenEndpoints::default(),
        local_places: Vec::new(),
        agents: doce_app::AgentLimits::default(),
    };
    let app = App::open(config, Arc::clone(&clock)).await.expect("it opens");
    let me = browser.get("/api/me").await.expect(200);
    let user = User {
        id: id(&me).parse().expect("it is one"),
        username: me["username"].as_str().expect("it is text").to_owned(),
        role: doce_model::Role::Admin,
        created_at: clock.now(),
        disabled_at: None,
    };
    let ctx = Ctx::new(Actor::User(user.id), "test", None, clock);
    let holder = age::x25519::Identity::generate();
    let readers = Readers::keys(&[holder.to_public().to_string()]).expect("it is a key");
    let file = app.export_own_keys(&ctx, &user, SecretString::from(PASSWORD), readers).await;
    app.close().await;
    lines(&holder, &file.expect("every value opens"))
}

fn lines(holder: &age::x25519::Identity, file: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(age::decrypt(holder, file).expect("it is theirs")).expect("it is text");
    text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_told_by_its_id_and_somebody_says_that_they_keep_a_copy_of_this_one() {
    let world = World::start().await;
    let admin = world.admin().await;
    let key = admin.get("/api/keys").await.expect(200);
    assert_eq!(key["id"].as_str().unwrap().len(), 16);
    assert_eq!(key["files"], json!([world.data().join("master.key")]));
    assert!(key["since"].is_string());
    assert_eq!((&key["copied_at"], &key["old_files"]), (&Value::Null, &json!([])));
    assert_eq!(key["rotation"], json!({"state": "idle", "done": 0, "total": 0, "reason": null}));
    let text = std::fs::read_to_string(world.data().join("master.key")).unwrap();
    let secret = text.trim().rsplit_once(':').unwrap().1;
    assert!(!key.to_string().contains(secret));

    admin.post("/api/keys/copy", &json!({"id": "0123456789abcdef"})).await.problem(409, "other_key");
    assert_eq!(admin.get("/api/keys").await.expect(200)["copied_at"], Value::Null);
    let copied = admin.post("/api/keys/copy", &json!({"id": key["id"]})).await.expect(200);
    assert!(copied["copied_at"].is_string());

    // The copy is one of that key and of no other.
    admin.post("/api/keys/rotate", &json!({})).await.expect(202);
    assert_eq!(rotated(&admin).await["copied_at"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_changed_while_keys_are_connected_and_every_one_opens_with_the_new_one_alone() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    admin.wait_for_catalogue().await;
    for n in 0..KEYS {
        connect(&admin, &model, &format!("sk-planted-{n:02}")).await;
    }
    let first = admin.get("/api/keys").await.expect(200);
    assert_eq!(first["values"], 2 * KEYS);
    let mut events = admin.stream("").await;
    let meanwhile = async {
        for n in KEYS..KEYS + 10 {
            connect(&admin, &model, &format!("sk-planted-{n:02}")).await;
        }
    };
    let nothing = json!({});
    let (begun, ()) = tokio::join!(admin.post("/api/keys/rotate", &nothing), meanwhile);
    begun.expect(202);
    let second = rotated(&admin).await;
    assert_eq!(second["rotation"]["state"], "idle", "{second}");
    assert_ne!(second["id"], first["id"]);
    assert_eq!(second["files"], first["files"]);
    let old = world.data().join(format!("master.key.old-{}", first["id"].as_str().unwrap()));
    assert_eq!(second["old_files"], json!([old]));
    events
        .find("the end of the change", |frame| {
            let state = &frame.data["rotation"]["state"];
            (frame.event == "key_rotation" && state == "idle").then_some(())
        })
        .await;

    // Also after a restart, without the old key.
    std::fs::remove_file(&old).unwrap();
    let keys: Vec<Value> = opened_anew(&world, &admin).await.into_iter().map(|line| line["key"].clone()).collect();
    let all: Vec<Value> = (0..KEYS + 10).map(|n| json!(format!("sk-planted-{n:02}"))).collect();
    assert_eq!(keys, all);
    // And in this server, which has both.
    for connection in items(&admin, "/api/connections").await {
        admin.post(&format!("/api/connections/{}/verify", id(&connection)), &json!({})).await.expect(200);
    }
    let events: Vec<_> = world.audit().await.into_iter().filter(|entry| entry.action == "rotate_keys").collect();
    let details: Vec<_> = events.iter().rev().map(|entry| entry.detail.clone().unwrap_or_default()).collect();
    assert_eq!(details[0], "begun");
    assert!(details[1].contains(first["id"].as_str().unwrap()) && details[1].contains("sealed values"), "{details:?}");
    assert!(events.iter().all(|entry| entry.actor.starts_with("usr_")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_interrupted_is_shown_with_both_files_and_gone_on_with() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    admin.connect(&model, "sk-planted-00").await;
    let place = KeyPlace { data_dir: world.data(), database_url: None, master_key_file: None };
    let stop = |stage| match stage {
        RotationStage::Wrapped { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    rotate_keys(&place, Arc::new(SystemClock), stop).await.unwrap_err();
    let key = admin.get("/api/keys").await.expect(200);
    assert_eq!(key["rotation"]["state"], "unfinished");
    assert_eq!(key["files"], json!([world.data().join("master.key"), world.data().join("master.key.next")]));
    let next = std::fs::read_to_string(world.data().join("master.key.next")).unwrap();
    admin.post("/api/keys/rotate", &json!({})).await.expect(202);
    let done = rotated(&admin).await;
    assert_eq!(done["rotation"]["state"], "idle", "{done}");
    assert_eq!(std::fs::read_to_string(world.data().join("master.key")).unwrap(), next, "no third key was made");
    assert_eq!(opened_anew(&world, &admin).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_open_keeps_both_keys_in_use_and_the_page_says_why() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    admin.connect(&model, "sk-planted-00").await;
    let before = admin.get("/api/keys").await.expect(200);
    // A row is damaged: its envelope names the key and doesn't open.
    let damage = "UPDATE credential SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || x'00' AS BLOB)";
    change(&world.data().join("doce.sqlite"), damage).await;
    admin.post("/api/keys/rotate", &json!({})).await.expect(202);
    let stopped = rotated(&admin).await;
    assert_eq!((&stopped["rotation"]["state"], &stopped["id"]), (&json!("unfinished"), &before["id"]));
    let reason = stopped["rotation"]["reason"].as_str().unwrap();
    assert!(reason.contains("0 of 1") && reason.contains("both keys stay in use"), "{reason}");
    assert!(world.data().join("master.key.next").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_takes_their_own_keys_away_after_their_password_was_given_again() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let bob = world.member(&admin, "bob").await;
    admin.connect(&model, "sk-planted-of-ada").await;
    let holder = age::x25519::Identity::generate();
    let request = json!({"password": PASSWORD, "recipients": [holder.to_public().to_string()]});
    bob.post("/api/keys/export", &request).await.problem(409, "nothing_connected");
    bob.connect(&model, "sk-planted-of-bob").await;

    for who in [(&bob, "sk-planted-of-bob"), (&admin, "sk-planted-of-ada")] {
        let answer = who.0.post("/api/keys/export", &request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-disposition"), "attachment; filename=\"doce-keys.age\"");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(memchr::memmem::find(&answer.body, b"planted"), None);
        let [line] = lines(&holder, &answer.body).try_into().expect("their own, and nobody else's");
        assert_eq!(line["key"], who.1);
        let [told] = world.audit_of(answer.header("x-request-id")).await.try_into().expect("one for the one key");
        assert_eq!((told.action.as_str(), told.detail), ("export", Some(format!("for {}", holder.to_public()))));
    }
    let kept: Vec<Utf8PathBuf> =
        holds(&world.data(), "age-encryption.org").into_iter().map(Utf8PathBuf::from).collect();
    assert_eq!(kept, Vec::<Utf8PathBuf>::new(), "the file is kept nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_without_the_password_or_for_nobody_is_refused_and_told_of() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    admin.connect(&model, "sk-planted-of-ada").await;
    let key = age::x25519::Identity::generate();
    let public = key.to_public().to_string();
    let wrong = admin.post("/api/keys/export", &json!({"password": "planted wrong", "recipients": [public]})).await;
    assert_eq!(wrong.problem(422, "invalid")["field"], "password");
    let [told] = world.audit_of(wrong.header("x-request-id")).await.try_into().expect("one event");
    assert_eq!((told.action.as_str(), told.outcome.as_str()), ("export", "wrong_password"));
    assert!(!format!("{told:?}{}", wrong.text()).contains("planted"));
    for (request, field) in [
        (json!({"password": PASSWORD}), "recipients"),
        (json!({"password": PASSWORD, "passphrase": "planted"}), "passphrase"),
        (json!({"password": PASSWORD, "recipients": ["age1planted"]}), "recipients"),
        (json!({"password": PASSWORD, "recipients": ["AGE-SECRET-KEY-1PLANTED"]}), "recipients"),
        (json!({"password": PASSWORD, "passphrase": "planted long words", "recipients": [public]}), "recipients"),
    ] {
        let answer = admin.post("/api/keys/export", &request).await;
        assert_eq!(answer.problem(422, "invalid")["field"], field);
        assert!(!answer.text().to_lowercase().contains("planted"), "{}", answer.text());
    }
    // Guessing is throttled as at the sign-in.
    for _ in 1..doce_app::FAILURES_PER_NAME {
        admin
            .post("/api/keys/export", &json!({"password": "guess", "recipients": [public]}))
            .await
            .problem(422, "invalid");
    }
    admin
        .post("/api/keys/export", &json!({"password": PASSWORD, "recipients": [public]}))
        .await
        .problem(429, "throttled");
}
