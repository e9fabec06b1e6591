//! Answers are counted, and told of at most once in a while.

use std::time::Duration;

use doce_model::{Actor, Connection, ConnectionId, ConnectionStatus, Ms, ProjectId, Role, User, UserId};
use doce_store::{connection, usage, usage::Use, user};

use crate::bench::{Bench, START};

const EVERY: Duration = Duration::from_mins(1);

async fn used(bench: &Bench) -> Use {
    let user_id = UserId::new(START);
    let id = ConnectionId::new(START);
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.expect("the database does what it is told");
    let owner =
        User { id: user_id, username: "ada".to_owned(), role: Role::Admin, created_at: START, disabled_at: None };
    user::insert(&mut tx, &owner, "hash").await.expect("the database does what it is told");
    let record = Connection {
        id,
        user_id,
        provider_id: "anthropic".to_owned(),
        label: "main".to_owned(),
        auth_type: doce_model::AuthType::Api,
        status: ConnectionStatus::Connected,
        error_message: None,
        verification: None,
        base_url: None,
        is_default: true,
        fingerprint: "f0".to_owned(),
        last_four: String::new(),
        version: 1,
        created_at: START,
        updated_at: START,
        expires_at: None,
        last_used_at: None,
        key_since: START,
        max_age_days: None,
        kept_version: None,
    };
    connection::insert(&mut tx, &record, None).await.expect("the database does what it is told");
    tx.commit().await.expect("the database does what it is told");
    Use {
        connection_id: id,
        version: 1,
        project_id: ProjectId::new(START),
        user_id,
        fingerprint: Some("f0".to_owned()),
    }
}

async fn record(bench: &Bench, used: &Use) -> Option<i64> {
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.expect("the database does what it is told");
    let told = usage::record(&mut tx, used.clone(), EVERY).await.expect("the database does what it is told");
    tx.commit().await.expect("the database does what it is told");
    told.map(|told| told.answers)
}

async fn take_due(bench: &Bench, until: Ms) -> Vec<(String, i64)> {
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.expect("the database does what it is told");
    let due = usage::take_due(&mut tx, until).await.expect("the database does what it is told");
    tx.commit().await.expect("the database does what it is told");
    due.into_iter().map(|told| (told.used.fingerprint.unwrap_or_default(), told.answers)).collect()
}

#[tokio::test]
async fn the_first_answer_is_told_at_once_and_the_others_together() {
    let bench = Bench::new().await;
    let used = used(&bench).await;
    assert_eq!(record(&bench, &used).await, Some(1));
    for _ in 0..3 {
        bench.advance(Duration::from_secs(15));
        assert_eq!(record(&bench, &used).await, None);
    }
    bench.advance(Duration::from_secs(15));
    assert_eq!(record(&bench, &used).await, Some(4));
    // Another project is counted apart.
    let elsewhere = Use { project_id: ProjectId::new(START.plus(EVERY)), ..used.clone() };
    assert_eq!(record(&bench, &elsewhere).await, Some(1));
}

#[tokio::test]
async fn what_waits_is_taken_once_when_it_is_due_with_its_own_fingerprint() {
    let bench = Bench::new().await;
    let first = used(&bench).await;
    let replaced = Use { version: 2, fingerprint: Some("f1".to_owned()), ..first.clone() };
    record(&bench, &first).await;
    record(&bench, &first).await;
    bench.advance(Duration::from_secs(1));
    assert_eq!(record(&bench, &replaced).await, Some(1), "a replaced key is told of apart");
    record(&bench, &replaced).await;
    record(&bench, &replaced).await;
    assert_eq!(usage::oldest(&mut bench.reader().await).await.unwrap(), Some(START));
    assert_eq!(take_due(&bench, Ms(START.0 - 1)).await, []);
    assert_eq!(take_due(&bench, START).await, [("f0".to_owned(), 1)]);
    assert_eq!(take_due(&bench, Ms(START.0 + 1_000)).await, [("f1".to_owned(), 2)]);
    assert_eq!(take_due(&bench, Ms(i64::MAX)).await, []);
    assert_eq!(usage::oldest(&mut bench.reader().await).await.unwrap(), None);
}
