//! Bringing over from the settings page: shown first, told as it goes, twice the same as once, and no secret in any of it.

use camino::Utf8PathBuf;
use doce_testkit::{
    old_installation::{Age, OldInstallation, dump, snapshot},
    wait_for,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    import::{ANA, KEY, OLD_PASSWORD, ana, holds, items},
    world::{BOUND, Browser, World},
};

const GROQ: &str = "gsk_planted0000000000000000000000000000000000000001";

fn of(old: &OldInstallation) -> Value {
    json!({"from": "doce_dev", "directory": old.root()})
}

/// Begins an import and waits for its end.
async fn bring(browser: &Browser, import: &Value) -> Value {
    let begun = browser.post("/api/imports", import).await.expect(202);
    assert_eq!(begun["lines"], json!([]));
    wait_for("the end of the import", BOUND, async || {
        let run = browser.get("/api/imports").await.expect(200)["run"].clone();
        (!run["ended_at"].is_null()).then_some(run)
    })
    .await
}

fn outcomes(lines: &Value) -> Vec<String> {
    let word = |line: &Value, field: &str| line[field].as_str().expect("it is text").to_owned();
    let lines = lines.as_array().expect("it is a list");
    lines
        .iter()
        .map(|line| format!("{} {} {}", word(line, "outcome"), word(line, "kind"), word(line, "name")))
        .collect()
}

/// A file with what an OpenCode is connected with.
fn opencode() -> (TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = Utf8PathBuf::from_path_buf(directory.path().join("auth.json")).expect("its path is UTF-8");
    let text = json!({
        "groq": {"type": "api", "key": GROQ},
        "anthropic": {"type": "oauth", "refresh": "planted-refresh", "access": "planted-access", "expires": 1},
    });
    std::fs::write(&file, text.to_string()).expect("the directory is ours");
    (directory, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_preview_shows_comes_over_once_and_the_old_directory_stays() {
    let (world, old) = (World::start().await, ana(Age::H6).await);
    old.settings(ANA, None, Some("anthropic/claude-sonnet-4-5")).await;
    old.sql(&format!("INSERT INTO model_favorites VALUES ('f', '{ANA}', 'openai', 'gpt-5')")).await;
    let admin = world.admin().await;
    let before = (old.snapshot(), snapshot(&world.data().join("projects").parent().unwrap().join("instances")));
    let preview = admin.post("/api/imports/preview", &of(&old)).await;
    let shown = preview.expect(200);
    assert_eq!((&shown["changes"], &shown["people"]), (&json!(true), &json!(["ana"])));
    assert!(shown["title"].as_str().unwrap().contains(old.root().as_str()));
    let planned = outcomes(&shown["lines"]);
    assert!(planned.contains(&"new user ana".to_owned()) && planned.contains(&"new key openrouter".to_owned()));
    assert!(world.signs_in("ana", OLD_PASSWORD).await.is_none(), "a preview makes nobody");
    let [told] = world.audit_of(preview.header("x-request-id")).await.try_into().expect("one event");
    assert_eq!((told.action.as_str(), told.outcome.as_str()), ("preview_import", "ok"));
    assert!(!preview.text().contains(KEY) && !format!("{told:?}").contains(KEY));

    let mut events = admin.stream("").await;
    let run = bring(&admin, &of(&old)).await;
    assert_eq!(outcomes(&run["lines"]), planned, "it does what it showed");
    assert_eq!((&run["done"], &run["doing"]), (&run["total"], &Value::Null));
    let over = events
        .find("the end of the import", |frame| {
            assert!(!frame.data.to_string().contains(KEY));
            let import = &frame.data["import"];
            (frame.event == "import" && !import["ended_at"].is_null()).then(|| import.clone())
        })
        .await;
    assert_eq!((&over["title"], &over["lines"]), (&run["title"], &json!([])));
    assert_eq!(old.snapshot(), before.0, "nothing of the old directory changed");
    let browser = world.signs_in("ana", OLD_PASSWORD).await.expect("the old password is good");
    assert_eq!(items(&browser, "/api/projects").await.len(), 2);
    assert_eq!(items(&browser, "/api/connections").await.len(), 1);
    let models = browser.get("/api/models/preferences").await.expect(200);
    let through_openrouter = json!({"provider_id": "openrouter", "model_id": "anthropic/claude-sonnet-4-5"});
    assert_eq!(models["preferred"], through_openrouter, "there was a key of no other provider");
    assert_eq!(models["favourites"], json!([{"provider_id": "openai", "model_id": "gpt-5"}]));
    assert_eq!(holds(&world.data(), KEY), Vec::<String>::new(), "the key is nowhere in clear");

    let again = admin.post("/api/imports/preview", &of(&old)).await.expect(200);
    assert_eq!(again["changes"], false);
    let rows = dump(&world.data().join("doce.sqlite")).await;
    let second = bring(&admin, &of(&old)).await;
    assert!(outcomes(&second["lines"]).iter().all(|line| !line.starts_with("new")), "{second}");
    let after = dump(&world.data().join("doce.sqlite")).await;
    for table in ["app_user", "connection", "credential", "project", "imported"] {
        assert_eq!(rows[table], after[table], "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_somebodys_goes_to_the_account_that_is_named_and_its_pages_are_told() {
    let (world, old) = (World::start().await, ana(Age::L5).await);
    let admin = world.admin().await;
    let mut import = of(&old);
    import["into"] = json!({"ana": "ada"});
    let mut events = admin.stream("").await;
    let run = bring(&admin, &import).await;
    let lines = run["lines"].to_string();
    assert!(lines.contains("what is theirs goes to the account `ada`"), "{lines}");
    assert!(world.signs_in("ana", OLD_PASSWORD).await.is_none());
    assert_eq!(items(&admin, "/api/connections").await[0]["label"], "imported");
    assert_eq!(items(&admin, "/api/projects").await.len(), 2);
    let project = events
        .find("a project that came over", |frame| {
            (frame.event == "project").then(|| frame.data["project"]["state"].clone())
        })
        .await;
    assert_eq!(project, "stopped");
    events.find("the connection", |frame| (frame.event == "connection").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_seen_by_who_began_it_only() {
    let (world, old) = (World::start().await, ana(Age::L3).await);
    let admin = world.admin().await;
    let new = json!({"username": "eve", "password": crate::world::PASSWORD, "role": "admin"});
    admin.post("/api/users", &new).await.expect(201);
    let other = world.signed_in("eve").await;
    bring(&admin, &of(&old)).await;
    assert_eq!(other.get("/api/imports").await.expect(200)["run"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_an_opencode_become_the_callers_and_logins_stay_where_they_are_used() {
    let (directory, file) = opencode();
    let world = World::builder().opencode_auth_file(&file).start().await;
    let admin = world.admin().await;
    let before = std::fs::read(&file).unwrap();
    assert_eq!(admin.get("/api/imports").await.expect(200)["opencode_file"], json!(file));
    let preview = admin.post("/api/imports/preview", &json!({"from": "opencode"})).await;
    let shown = preview.expect(200);
    assert_eq!(outcomes(&shown["lines"]), ["new key groq", "left key anthropic"]);
    assert_eq!(shown["people"], json!([]));
    assert!(!preview.text().contains(GROQ) && !preview.text().contains("planted-"));
    let run = bring(&admin, &json!({"from": "opencode"})).await;
    assert_eq!(outcomes(&run["lines"]), ["new key groq", "left key anthropic"]);
    let [connection] = items(&admin, "/api/connections").await.try_into().expect("there is one");
    assert_eq!((&connection["provider_id"], &connection["label"]), (&json!("groq"), &json!("imported")));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(holds(&world.data(), GROQ), Vec::<String>::new());
    drop(directory);
    assert_eq!(admin.get("/api/imports").await.expect(200)["opencode_file"], Value::Null);
    admin.post("/api/imports", &json!({"from": "opencode"})).await.problem(409, "no_opencode_keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_none_is_refused_without_saying_what_was_typed() {
    let world = World::start().await;
    let admin = world.admin().await;
    let empty = tempfile::tempdir().unwrap();
    let absent = empty.path().join("sk-planted-in-the-wrong-field");
    let file = empty.path().join("file");
    std::fs::write(&file, "planted contents").unwrap();
    for directory in [json!("relative/planted"), json!(absent), json!(empty.path()), json!(file), json!(world.data())] {
        for path in ["/api/imports/preview", "/api/imports"] {
            let answer = admin.post(path, &json!({"from": "doce_dev", "directory": directory})).await;
            let problem = answer.problem(422, "invalid");
            assert_eq!(problem["field"], "directory", "{directory}");
            assert!(!answer.text().contains("planted"), "{}", answer.text());
        }
    }
    for wrong in [
        json!({"from": "doce_dev"}),
        json!({"from": "doce_dev", "directory": " "}),
        json!({"from": "opencode", "directory": "/srv"}),
        json!({"from": "opencode"}),
    ] {
        admin.post("/api/imports/preview", &wrong).await.problem(422, "invalid");
    }
    let old = ana(Age::L2).await;
    let into = |there: &str, here: &str| json!({"from": "doce_dev", "directory": old.root(), "into": {there: here}});
    for wrong in [into("ana", "nobody"), into("nobody", "ada")] {
        assert_eq!(admin.post("/api/imports", &wrong).await.problem(422, "invalid")["field"], "into");
    }
    assert_eq!(admin.get("/api/imports").await.expect(200)["run"], Value::Null, "none of it was begun");
    // What was refused holds nothing up.
    bring(&admin, &of(&old)).await;
}
