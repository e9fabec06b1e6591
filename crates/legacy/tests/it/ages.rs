//! Each age: recognised by its columns, with its people, keys, projects and models.

use doce_legacy::Era;
use doce_testkit::old_installation::{Age, OldInstallation};
use secrecy::ExposeSecret as _;

use crate::{ANA, BAKERY, BERTA, HASH, SHOP, api_key, findings, models, of, read};

async fn with_ana(age: Age) -> OldInstallation {
    let old = OldInstallation::make(age).await;
    old.user(ANA, "ana", HASH).await;
    old
}

#[tokio::test]
async fn every_age_is_recognised_by_its_columns_and_read() {
    let eras = [Era::L2, Era::L2b, Era::L3, Era::L5, Era::H0, Era::H6];
    for (age, era) in Age::ALL.into_iter().zip(eras) {
        let old = with_ana(age).await;
        old.project(BAKERY, ANA, "Bakery", &[]).await;
        let before = old.snapshot();
        for directory in [old.root().to_owned(), old.root().join("data")] {
            let read = read(&directory).await;
            assert_eq!(read.era, Some(era), "{age:?}");
            assert_eq!(read.directory, old.root().join("data"));
            assert_eq!(findings(&read), Vec::<String>::new(), "{age:?}");
            let [user] = read.users.as_slice() else { panic!("{:?}", read.users) };
            assert_eq!((user.id.as_str(), user.username.as_str()), (ANA, "ana"));
            assert_eq!(user.password_hash.expose_secret(), HASH);
            assert_eq!(user.created_at.map(|at| at.0), Some(1_767_520_000_000));
            let [project] = read.projects.as_slice() else { panic!("{:?}", read.projects) };
            assert_eq!((project.id.as_str(), project.name.as_str()), (BAKERY, "Bakery"));
            assert_eq!((project.slug.as_str(), project.prompt.as_str()), ("bakery-5d0b", "Build Bakery"));
            let place = old.root().join(old.source_of(BAKERY, "")).as_str().trim_end_matches('/').to_owned();
            assert_eq!(project.sources.place(), place);
        }
        assert_eq!(old.snapshot(), before, "{age:?}: nothing of it changed");
    }
}

#[tokio::test]
async fn an_installation_has_the_same_name_wherever_it_lies_and_another_than_others() {
    let (a, b) = (with_ana(Age::L2).await, with_ana(Age::H6).await);
    let other = OldInstallation::make(Age::L2).await;
    other.user(BERTA, "ana", HASH).await;
    let names = [read(a.root()).await.source, read(b.root()).await.source, read(other.root()).await.source];
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], names[2]);
}

#[tokio::test]
async fn what_is_in_the_write_ahead_log_is_read() {
    use sqlx::{Connection as _, Executor as _};
    let old = with_ana(Age::L2).await;
    let mut held = old.open().await;
    held.execute("INSERT INTO users VALUES ('43d75035f949d7bad66383b46374d2e2', 1767520001, 'berta', 'x')")
        .await
        .unwrap();
    assert!(old.root().join("data/db.sqlite-wal").exists());
    let before = old.snapshot();
    let names: Vec<_> = read(old.root()).await.users.into_iter().map(|user| user.username).collect();
    assert_eq!(names, ["ana", "berta"]);
    assert_eq!(old.snapshot(), before);
    held.close().await.unwrap();
}

#[tokio::test]
async fn keys_are_taken_from_settings_and_files_once_each() {
    let old = with_ana(Age::L2).await;
    old.user(BERTA, "berta", HASH).await;
    old.settings(ANA, Some("  sk-or-one \n"), None).await;
    old.settings(BERTA, Some("   "), None).await;
    for (id, owner) in [(BAKERY, ANA), (SHOP, ANA)] {
        old.project(id, owner, "Bakery", &[]).await;
    }
    old.project("aaaabbbbccccddddeeeeffff", BERTA, "Berta's", &[]).await;
    old.write(&format!("data/projects/{BAKERY}/.env"), "DEV_PORT=1\nOPENROUTER_API_KEY=sk-or-one\n");
    old.write(&format!("data/projects/{SHOP}/.env"), "OPENROUTER_API_KEY=\"sk-or-two\"\n");
    old.write("data/projects/aaaabbbbccccddddeeeeffff/.env", "OPENROUTER_API_KEY=sk-or-one\n");
    let read = read(old.root()).await;
    let keys: Vec<_> =
        read.keys.iter().map(|key| (key.owner.clone(), api_key(key), key.projects.clone(), key.id.as_str())).collect();
    let (bakery, shop) = (vec![BAKERY.to_owned()], vec![SHOP.to_owned()]);
    let third = "aaaabbbbccccddddeeeeffff";
    assert_eq!(
        keys,
        [
            (of(ANA), "sk-or-one", bakery, &*format!("settings/{ANA}")),
            (of(ANA), "sk-or-two", shop, &*format!("env/{SHOP}")),
            (of(BERTA), "sk-or-one", vec![third.to_owned()], &*format!("env/{third}")),
        ]
    );
}

#[tokio::test]
async fn a_deleted_project_gives_its_key_only_where_no_other_is_left() {
    let old = with_ana(Age::L2b).await;
    old.project(BAKERY, ANA, "Bakery", &[("deleted_at", "1767520500")]).await;
    old.project(SHOP, ANA, "Shop", &[("status", "deleting")]).await;
    old.write(&format!("data/projects/{BAKERY}/.env"), "OPENROUTER_API_KEY=sk-or-last\n");
    let first = read(old.root()).await;
    assert_eq!(first.keys.iter().map(api_key).collect::<Vec<_>>(), ["sk-or-last"]);
    assert!(first.projects.is_empty());
    let deleted = ["left project Bakery: it was deleted in doce.dev", "left project Shop: it was deleted in doce.dev"];
    assert_eq!(findings(&first), deleted);

    old.project("aaaabbbbccccddddeeeeffff", ANA, "Cafe", &[]).await;
    old.write("data/projects/aaaabbbbccccddddeeeeffff/.env", "OPENROUTER_API_KEY=sk-or-live\n");
    assert_eq!(read(old.root()).await.keys.iter().map(api_key).collect::<Vec<_>>(), ["sk-or-live"]);
}

/// The age, a project's columns, its `opencode.json`, and its model where `OpenRouter` is all there is, and where not.
type Case<'a> = (Age, &'a [(&'a str, &'a str)], &'a str, &'a str, &'a str);

#[tokio::test]
async fn the_model_is_the_first_that_any_place_names() {
    let only_openrouter =
        |old: &OldInstallation| old.write("data/opencode/auth.json", r#"{"openrouter": {"apiKey": "k"}}"#);
    let cases: [Case<'_>; 8] = [
        (
            Age::L2,
            &[("model", "openrouter/a/b"), ("current_model_provider_id", "openrouter"), ("current_model_id", "c/d")],
            "",
            "openrouter c/d",
            "openrouter c/d",
        ),
        (
            Age::L2,
            &[("model", "google/gemini-2.5-flash")],
            "",
            "openrouter google/gemini-2.5-flash",
            "google gemini-2.5-flash",
        ),
        (Age::L2, &[("model", "openrouter/google/gemini")], "", "openrouter google/gemini", "openrouter google/gemini"),
        (Age::L2b, &[("current_model", "haiku")], "x/y", "openrouter haiku", "openrouter haiku"),
        (Age::L3, &[], "anthropic/claude", "openrouter anthropic/claude", "anthropic claude"),
        (Age::L3, &[], "", "openrouter deepseek/v3", "deepseek v3"),
        (
            Age::H6,
            &[("preferred_model", "groq/llama")],
            "anthropic/claude",
            "openrouter anthropic/claude",
            "anthropic claude",
        ),
        (Age::H6, &[("preferred_model", "groq/llama")], "", "openrouter groq/llama", "groq llama"),
    ];
    for (age, columns, configured, with_openrouter, with_others) in cases {
        let old = with_ana(age).await;
        old.settings(ANA, None, Some("deepseek/v3")).await;
        old.project(BAKERY, ANA, "Bakery", columns).await;
        let config = if configured.is_empty() { "{}".to_owned() } else { format!("{{\"model\": \"{configured}\"}}") };
        old.write(&old.source_of(BAKERY, "opencode.json"), &config);
        only_openrouter(&old);
        assert_eq!(models(&read(old.root()).await), [with_openrouter], "{age:?} {columns:?} {configured}");
        old.write("data/opencode/auth.json", r#"{"openrouter": {"apiKey": "k"}, "groq": {"type": "api", "key": "g"}}"#);
        assert_eq!(models(&read(old.root()).await), [with_others], "{age:?} {columns:?} {configured}");
    }
    let old = with_ana(Age::H0).await;
    old.project(BAKERY, ANA, "Bakery", &[]).await;
    assert_eq!(models(&read(old.root()).await), ["none"]);
}

#[tokio::test]
async fn the_layout_is_judged_by_the_folder_and_not_by_the_age() {
    let old = with_ana(Age::L5).await;
    old.project(BAKERY, ANA, "Bakery", &[]).await;
    old.write(&format!("data/projects/{BAKERY}/preview/package.json"), "{}");
    let read = read(old.root()).await;
    assert!(read.projects[0].sources.place().ends_with(&format!("{BAKERY}/preview")));
}

#[tokio::test]
async fn sources_in_a_volume_are_read_there_or_the_project_is_named() {
    let old = with_ana(Age::L5).await;
    old.project(BAKERY, ANA, "Bakery", &[]).await;
    old.project(SHOP, ANA, "Shop", &[]).await;
    old.write(&format!("data/projects/{BAKERY}/.env"), &format!("PROJECT_DATA_VOLUME_NAME=doce_{BAKERY}_data\n"));
    old.write(&format!("data/projects/{SHOP}/docker-compose.preview.yml"), "volumes:\n  project_files:\n    name: x\n");
    old.write(&format!("volumes/doce_{BAKERY}_data/_data/package.json"), "{}");
    let read = read(old.root()).await;
    let volume = old.root().join(format!("volumes/doce_{BAKERY}_data/_data"));
    assert_eq!(read.projects.iter().map(|project| project.sources.place()).collect::<Vec<_>>(), [format!("{volume}/")]);
    let [finding] = findings(&read).try_into().expect("one");
    let finding: String = finding;
    assert!(finding.starts_with("unreadable project Shop: its files are in the Docker volume `doce_e211"), "{finding}");
    assert!(finding.contains("it is not there") && finding.contains("--volumes"), "{finding}");
}

#[tokio::test]
async fn an_absolute_path_of_the_container_or_of_the_directory_itself_is_rebased() {
    let old = with_ana(Age::L3).await;
    old.project(BAKERY, ANA, "Bakery", &[("path_on_disk", &format!("/app/data/projects/{BAKERY}/"))]).await;
    let own = old.root().join("data/projects").join(SHOP);
    old.project(SHOP, ANA, "Shop", &[("path_on_disk", own.as_str())]).await;
    let read = read(old.root()).await;
    assert_eq!(read.projects.len(), 2, "{:?}", read.findings);
}

#[tokio::test]
async fn auth_files_in_and_beside_the_data_are_both_read() {
    let old = with_ana(Age::H6).await;
    old.write(
        "data/opencode/auth.json",
        r#"{"groq": {"type": "api", "key": "old"}, "xai": {"type": "api", "key": "x"}}"#,
    );
    old.write("opencode/auth.json", r#"{"groq": {"type": "api", "key": "new"}}"#);
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let file = std::fs::File::options().write(true).open(old.root().join("data/opencode/auth.json")).unwrap();
    file.set_modified(at).unwrap();
    for directory in [old.root().to_owned(), old.root().join("data")] {
        let read = read(&directory).await;
        let mut keys: Vec<_> = read.keys.iter().map(|key| (key.provider_id.as_str(), api_key(key))).collect();
        keys.sort_unstable();
        assert_eq!(keys, [("groq", "new"), ("xai", "x")]);
    }
}

#[tokio::test]
async fn what_stays_behind_is_said() {
    let old = with_ana(Age::H6).await;
    old.project(BAKERY, ANA, "Bakery", &[("production_hash", "abcd1234")]).await;
    old.project(SHOP, ANA, "Shop", &[]).await;
    let link = old.root().join(format!("data/projects/{SHOP}/production/current"));
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(format!("/app/data/projects/{SHOP}/production/ffff0000"), link).unwrap();
    old.sql("INSERT INTO queue_jobs VALUES ('a', 'x', 'queued'), ('b', 'x', 'running'), ('c', 'x', 'done')").await;
    old.sql("INSERT INTO instance_settings VALUES (1, 'https://doce.example', 'tskey-planted')").await;
    old.settings(ANA, None, None).await;
    old.sql("UPDATE user_settings SET fast_model = 'openai/gpt-5-mini'").await;
    old.sql("INSERT INTO queue_settings VALUES (1, 0, 4)").await;
    let read = read(old.root()).await;
    let said = findings(&read).join("\n");
    for words in [
        "left release Bakery: release abcd1234",
        "left release Shop: release ffff0000",
        "left job 2 queued or running",
        "left setting base_url: it was https://doce.example",
        "left setting tailscale_auth_key",
        "left setting fast_model: 1",
        "left setting queue_settings: concurrency 4, paused 0",
    ] {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
    assert!(!said.contains("planted"), "{said}");
    assert!(read.findings.iter().all(|f| f.verdict == doce_legacy::Verdict::Left), "{said}");
}

#[tokio::test]
async fn what_people_think_of_models_is_read() {
    let old = with_ana(Age::H6).await;
    old.settings(ANA, None, Some("anthropic/claude-sonnet-4-5")).await;
    old.sql(&format!(
        "INSERT INTO model_favorites VALUES ('a', '{ANA}', 'anthropic', 'claude-haiku-4-5'),
             ('b', '{ANA}', 'anthropic', 'claude-haiku-4-5'), ('c', 'nobody', 'openai', 'gpt-5'),
             ('d', '{ANA}', 'open ai', 'gpt-5')"
    ))
    .await;
    let read = read(old.root()).await;
    let named = |model: &doce_model::ModelRef| format!("{}/{}", model.provider_id, model.model_id);
    let ana = &read.users[0];
    assert_eq!(ana.preferred.as_ref().map(named).as_deref(), Some("anthropic/claude-sonnet-4-5"));
    assert_eq!(ana.favourites.iter().map(named).collect::<Vec<_>>(), ["anthropic/claude-haiku-4-5"]);
    assert_eq!(findings(&read), ["unreadable setting favourite 4: it names no model"]);
}
