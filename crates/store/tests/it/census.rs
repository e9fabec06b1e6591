//! Counting what is kept, on either database.

use std::time::Duration;

use doce_model::{Actor, Direction, Job, JobId, JobState, Ms, UserId, job::UNTIL_RESUMED};
use doce_store::{
    census::{self, Queue},
    job,
};

use crate::bench::{Bench, START};

#[tokio::test]
async fn an_empty_store_counts_nothing_and_knows_its_database() {
    let bench = Bench::new().await;
    let mut read = bench.reader().await;
    assert_eq!(census::jobs(&mut read).await.expect("it counts"), []);
    assert_eq!(census::queue(&mut read, START).await.expect("it counts"), Queue::default());
    assert_eq!(census::deliveries(&mut read).await.expect("it counts"), []);
    assert_eq!(census::verifications(&mut read).await.expect("it counts"), []);
    drop(read);
    let facts = bench.store.facts().await.expect("it answers");
    assert!(facts.version.chars().next().is_some_and(|digit| digit.is_ascii_digit()), "{facts:?}");
    assert!(facts.bytes > 10_000 && facts.connections >= 1 && facts.busy <= facts.connections, "{facts:?}");
}

fn queued(kind: &str, run_at: Ms) -> Job {
    let id = JobId::new(START);
    Job {
        id,
        kind: kind.to_owned(),
        subject: format!("thing:{id}"),
        user_id: UserId::new(START),
        project_id: None,
        payload: "{}".to_owned(),
        state: JobState::Queued,
        direction: Direction::Forward,
        after: None,
        retry_of: None,
        run_at,
        claims: 0,
        crashes: 0,
        cancel_requested_at: None,
        failure: None,
        created_at: START,
        started_at: None,
        finished_at: None,
        steps: Vec::new(),
    }
}

#[tokio::test]
async fn jobs_are_counted_by_what_they_wait_for() {
    let bench = Bench::new().await;
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.expect("a transaction begins");
    let waiting = queued("launch", START);
    let jobs = [
        queued("launch", START),
        queued("launch", START.plus(Duration::from_secs(5))),
        queued("stop", START.plus(Duration::from_mins(5))),
        waiting.clone(),
    ];
    job::insert(&mut tx, &jobs.map(|job| (job, Duration::ZERO))).await.expect("they are new");
    tx.commit().await.expect("it is kept");
    let sql = format!("UPDATE job SET run_at = {} WHERE id = '{}'", UNTIL_RESUMED.0, waiting.id);
    assert_eq!(bench.tamper(&sql).await, 1);
    let mut read = bench.reader().await;
    let now = START.plus(Duration::from_mins(1));
    let expected = Queue { due: 2, later: 1, waiting: 1, running: 0, oldest_due: Some(START) };
    assert_eq!(census::queue(&mut read, now).await.expect("it counts"), expected);
    let jobs = census::jobs(&mut read).await.expect("it counts");
    assert_eq!(jobs, [("launch".to_owned(), JobState::Queued, 3), ("stop".to_owned(), JobState::Queued, 1)]);
}
