//! The main job with everything kept in PostgreSQL: the real binary, the real OpenCode, the real sandbox, and a kill.
//! Beside it a server that is away, and the drill of backups.
//!
//! `DOCE_TEST_PG` names a server whose database is empty and used by no other test; `cargo xtask test postgres` starts
//! one.
#![expect(clippy::disallowed_methods, reason = "this starts the real binary and reads where its parts are")]

#[path = "../real/doce.rs"]
#[expect(dead_code, reason = "other stories need more of it")]
mod doce;

mod away;
mod drill;
mod person;

use doce_testkit::ScriptedModel;

use doce::{Doce, word};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_built_with_everything_in_postgresql_and_goes_on_after_a_kill() {
    let url = std::env::var("DOCE_TEST_PG").expect("DOCE_TEST_PG names a server; `cargo xtask test postgres` does it");
    let model = ScriptedModel::start().await;
    let key = word("sk-postgres");
    model.accept_keys([key.clone()]);
    let mut doce = Doce::with_env(vec![("DOCE_DATABASE_URL", url.into())]).await;
    doce.connect("anthropic", &model.anthropic_base_url(), &key).await;
    let fruit = word("papaya");
    let prompt = format!("Build it. [[say: I will write the file.]] [[write: src/word.txt | {fruit}]]");
    let project = doce.create(&prompt, "anthropic", "claude-sonnet-4-5").await;
    let messages = doce.answered(&project, "complete").await;
    assert_eq!(messages.iter().filter(|message| message["role"] == "user").count(), 1);
    assert_eq!(doce.bytes(&project, "src/word.txt").await.as_deref().map(str::trim), Some(fruit.as_str()));

    doce.kill();
    doce.start();
    assert_eq!(doce.messages(&project).await.len(), messages.len());
    doce.prompt(&project, "And again. [[say: Still here.]]").await;
    let more = doce.answered(&project, "complete").await;
    assert!(more.last().expect("a message").to_string().contains("Still here."), "{more:#?}");
    let first = model.agent_turns().iter().filter(|turn| turn.user_text.contains("Build it.")).count();
    let after = model.agent_turns().iter().filter(|turn| turn.user_text.contains("And again.")).count();
    assert!(first >= 1 && after >= 1, "{first} and {after} requests");
    assert!(!doce.data.join("doce.sqlite").exists(), "something is kept beside PostgreSQL");
    doce.stop();
}
