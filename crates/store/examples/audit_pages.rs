//! Fills an audit log with a million events, through its chain, and prints what a page of it costs beside the first page
//! of a log of a thousand. For `cargo xtask bench`.
#![expect(clippy::print_stdout, reason = "this is a command-line tool")]

use std::{sync::Arc, time::Instant};

use doce_model::{Actor, AuditAction, AuditEvent, Clock, ConnectionId, Ctx, Ms, ProjectId, UserId};
use doce_store::{
    Database, Store,
    audit::{self, Filter},
};

const EVENTS: usize = 1_000_000;
const FEW: usize = 1_000;
/// Events of one transaction.
const TOGETHER: usize = 2_000;
const PAGE: usize = 100;
const ROUNDS: usize = 15;

/// When everything happened: it doesn't matter here.
#[derive(Debug)]
struct Once;

impl Clock for Once {
    fn now(&self) -> Ms {
        Ms(1_790_000_000_000)
    }
}

struct People {
    user: UserId,
    key: ConnectionId,
    project: ProjectId,
}

async fn filled(path: &std::path::Path, people: &People, events: usize) -> Store {
    let store = Store::open(&Database::Sqlite(path.to_str().expect("a temporary path is UTF-8").to_owned()))
        .await
        .expect("it can be made");
    let ctx = Ctx::new(Actor::Reconciler("uses"), "bench", None, Arc::new(Once));
    for from in (0..events).step_by(TOGETHER) {
        let mut tx = store.write(&ctx).await.expect("it can be written");
        for n in from..events.min(from + TOGETHER) {
            let action = if n % 500 == 7 { AuditAction::Verify } else { AuditAction::Use };
            let event = AuditEvent::ok(action, &people.key).of(people.user).project(people.project).fingerprint("f0");
            tx.audit(event).await.expect("it can be written");
        }
        tx.commit().await.expect("it can be written");
    }
    store
}

async fn cost(store: &Store, filter: &Filter, before: Option<i64>) -> f64 {
    let started = Instant::now();
    let mut read = store.read().await.expect("it can be read");
    drop(audit::list(&mut read, filter, before, PAGE).await.expect("a page can be read"));
    started.elapsed().as_secs_f64() * 1000.0
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let people = People { user: UserId::new(Ms(1)), key: ConnectionId::new(Ms(1)), project: ProjectId::new(Ms(1)) };
    let small = filled(&directory.path().join("small.sqlite"), &people, FEW).await;
    let large = filled(&directory.path().join("large.sqlite"), &people, EVENTS).await;
    let filters = [
        Filter::default(),
        Filter { user_id: Some(people.user), ..Filter::default() },
        Filter { connection_id: Some(people.key), ..Filter::default() },
        Filter { project_id: Some(people.project), ..Filter::default() },
        Filter { action: Some(AuditAction::Verify), ..Filter::default() },
        Filter { connection_id: Some(people.key), action: Some(AuditAction::Verify), ..Filter::default() },
    ];
    let half = i64::try_from(EVENTS / 2).expect("a million is small");
    let (mut first, mut slowest, mut pages) = (Vec::new(), 0.0_f64, Vec::new());
    for filter in &filters {
        for before in [None, Some(half), Some(1_100)] {
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                // In turn: whatever else the machine does, it does to both.
                first.push(cost(&small, &Filter::default(), None).await);
                times.push(cost(&large, filter, before).await);
            }
            let page = median(times);
            slowest = slowest.max(page);
            pages.push(page);
        }
    }
    let printed =
        serde_json::json!({ "first_ms": median(first), "slowest_ms": slowest, "pages": pages.len(), "each_ms": pages });
    println!("{printed}");
}
