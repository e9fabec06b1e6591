//! The workers: that none does another's work, when they wake, and how they stop.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use doce_jobs::{Backoff, Definition, Jobs, Settings, Step, StepError};
use doce_model::{Clock as _, Job, JobId, JobState};
use futures::future::join_all;

use crate::bench::{Bench, Calls, Gate, GoingClock, bounded, failure, steps};

async fn ended(jobs: &Jobs, id: JobId) -> Job {
    bounded(jobs.ended(id)).await.expect("the database works").expect("the job exists")
}

async fn enqueue(bench: &Bench, jobs: &Jobs, kind: &str, subject: &str) -> JobId {
    let mut tx = bench.store.write(&bench.ctx()).await.expect("a transaction begins");
    let enqueued = jobs.enqueue(&mut tx, bench.job(kind, subject)).await.expect("the job is accepted");
    tx.commit().await.expect("the transaction commits");
    jobs.changed(enqueued.changed());
    enqueued.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_eight_workers_no_two_do_the_same_job() {
    const JOBS: usize = 500;
    let calls = Calls::default();
    let kinds = |calls: &Calls| {
        let noted = calls.clone();
        vec![Definition::new(
            "a",
            vec![Step::new("one", "one", move |step| {
                noted.note(step.job.subject);
                async { Ok(()) }
            })],
        )]
    };
    let bench = Bench::new(kinds(&calls)).await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    for n in 0..JOBS {
        bench.jobs.enqueue(&mut tx, bench.job("a", &format!("s{n}"))).await.unwrap();
    }
    tx.commit().await.unwrap();
    let workers: Vec<Jobs> = (0..8).map(|_| bench.queue(Settings::default(), kinds(&calls))).collect();
    let claims = tokio::time::timeout(
        // Some thousand commits, each of which waits for the disk.
        Duration::from_secs(100),
        join_all(workers.iter().map(Jobs::drain)),
    )
    .await
    .expect("it happens in time");
    let claims: Vec<usize> = claims.into_iter().map(|claims| claims.expect("the database works")).collect();
    let called = calls.all();
    assert_eq!(called.len(), JOBS, "a job was done twice, or not at all");
    assert_eq!(called.iter().collect::<HashSet<_>>().len(), JOBS);
    assert_eq!(claims.iter().sum::<usize>(), JOBS);
    assert!(claims.iter().filter(|claims| **claims > 0).count() > 1, "only one worker worked: no race was run");
}

#[tokio::test]
async fn workers_are_woken_by_a_job() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one")])]).await;
    bench.jobs.start().await.unwrap();
    for n in 0..20 {
        let id = bench.enqueue(bench.job("a", &format!("s{n}"))).await.id;
        assert_eq!(ended(&bench.jobs, id).await.state, JobState::Succeeded);
    }
    bench.jobs.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn workers_forget_what_ended_a_month_ago() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one")])]).await;
    bench.jobs.start().await.unwrap();
    let old = bench.enqueue(bench.job("a", "old")).await.id;
    assert_eq!(ended(&bench.jobs, old).await.state, JobState::Succeeded);
    bench.clock.advance(Duration::from_hours(31 * 24));
    // Somebody does something again.
    let young = bench.enqueue(bench.job("a", "young")).await.id;
    let is_there = async |id| {
        let found = doce_store::job::find(&mut bench.store.read().await.unwrap(), id).await;
        found.expect("the row reads back").is_some()
    };
    bounded(async {
        while is_there(old).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(ended(&bench.jobs, young).await.state, JobState::Succeeded);
    assert!(is_there(young).await, "it has just ended");
    bench.jobs.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn workers_wake_by_themselves_when_a_try_is_due() {
    let calls = Calls::default();
    let bench = Bench::new(Vec::new()).await;
    let wait = Duration::from_millis(40);
    let flaky = calls
        .failing("flaky", |attempt| {
            (attempt < 3).then(|| StepError::retry(failure("flaky")).after(Duration::from_millis(40)))
        })
        .backoff(Backoff { first: wait, max: wait });
    let clock = GoingClock::new();
    let kinds = vec![Definition::new("a", vec![flaky])];
    let jobs = bench.queue_with_clock(Settings::default(), kinds, Arc::clone(&clock) as Arc<_>);
    jobs.start().await.unwrap();
    let id = enqueue(&bench, &jobs, "a", "s").await;
    let job = ended(&jobs, id).await;
    assert_eq!(job.state, JobState::Succeeded);
    let took = job.finished_at.unwrap().since(job.started_at.unwrap());
    assert!(took >= wait * 2, "a try came {took:?} after the first, before its time");
    jobs.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn no_more_jobs_run_at_a_time_than_there_are_workers() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let kinds = vec![Definition::new("a", vec![calls.gated("one", &gate)])];
    let bench = Bench::new(Vec::new()).await;
    let settings = Settings { workers: 2, ..Settings::default() };
    let jobs = bench.queue(settings, kinds);
    jobs.start().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(enqueue(&bench, &jobs, "a", &format!("s{n}")).await);
    }
    gate.entered().await;
    gate.entered().await;
    assert_eq!(calls.all().len(), 2);
    gate.open();
    gate.entered().await;
    assert_eq!(calls.all().len(), 3, "one ended, one began");
    for _ in 0..3 {
        gate.open();
    }
    for id in ids {
        assert_eq!(ended(&jobs, id).await.state, JobState::Succeeded);
    }
    jobs.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_lease_is_renewed_while_a_step_works() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let bench = Bench::new(Vec::new()).await;
    let settings =
        Settings { lease: Duration::from_secs(1), renew_every: Duration::from_millis(20), ..Settings::default() };
    let clock = GoingClock::new();
    let jobs = bench.queue_with_clock(
        settings,
        vec![Definition::new("a", vec![calls.gated("one", &gate)])],
        Arc::clone(&clock) as Arc<_>,
    );
    jobs.start().await.unwrap();
    let id = enqueue(&bench, &jobs, "a", "s").await;
    gate.entered().await;
    let first = jobs.next_due().await.unwrap().unwrap();
    // The only thing that is due is the end of the lease.
    bounded(async {
        while clock.now() <= first {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(jobs.next_due().await.unwrap().unwrap() > first);
    gate.open();
    let job = ended(&jobs, id).await;
    assert_eq!((job.state, job.claims), (JobState::Succeeded, 1));
    assert_eq!(calls.all(), ["one"]);
    jobs.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_shutdown_lets_a_step_finish_and_begins_no_other() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let kinds = |calls: &Calls| vec![Definition::new("a", vec![calls.gated("one", &gate), calls.step("two")])];
    let bench = Bench::new(kinds(&calls)).await;
    bench.jobs.start().await.unwrap();
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    gate.entered().await;
    let test = async {
        // The waiting job is claimed by nobody once the shutdown has begun.
        tokio::task::yield_now().await;
        bench.enqueue(bench.job("a", "t")).await;
        gate.open();
    };
    tokio::join!(bounded(bench.jobs.shutdown(Duration::from_secs(10))), test);
    assert_eq!(calls.take(), ["one"]);
    let job = bench.get(id).await;
    assert_eq!((job.state, job.crashes, steps(&job)[0].as_str()), (JobState::Queued, 0, "one succeeded"));
    let next = bench.queue(Settings::default(), kinds(&calls));
    gate.open();
    next.recover().await.unwrap();
    bounded(next.drain()).await.unwrap();
    assert_eq!(calls.all(), ["two", "one", "two"]);
}

#[tokio::test]
async fn a_shutdown_drops_a_step_that_does_not_finish_and_the_next_start_repeats_it() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let kinds = |calls: &Calls| vec![Definition::new("a", vec![calls.step("one"), calls.gated("two", &gate)])];
    let bench = Bench::new(kinds(&calls)).await;
    bench.jobs.start().await.unwrap();
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    gate.entered().await;
    bounded(bench.jobs.shutdown(Duration::from_millis(10))).await;
    assert_eq!(calls.take(), ["one", "two", "dropped two"]);
    let job = bench.get(id).await;
    assert_eq!((job.state, job.crashes, job.steps[1].attempts), (JobState::Queued, 0, 1));
    let next = bench.queue(Settings::default(), kinds(&calls));
    next.start().await.unwrap();
    gate.entered().await;
    gate.open();
    let job = ended(&next, id).await;
    assert_eq!((job.state, job.steps[1].attempts), (JobState::Succeeded, 2));
    assert_eq!(calls.all(), ["two"]);
    next.shutdown(Duration::from_secs(5)).await;
}

/// A clock that counts how often it is read: whoever looks at the rows reads it first.
#[derive(Debug)]
pub(crate) struct Counting(pub(crate) Arc<AtomicUsize>, pub(crate) Arc<crate::bench::SetClock>);

impl doce_model::Clock for Counting {
    fn now(&self) -> doce_model::Ms {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.now()
    }
}

/// Tells whether nobody looks any more: a second passes without a look, sooner or later. On a busy machine, the answer
/// of a database to the look before may take long.
pub(crate) async fn settles(reads: &AtomicUsize) -> bool {
    let (begun, quiet) = (std::time::Instant::now(), Duration::from_secs(1));
    let mut last = (reads.load(Ordering::SeqCst), begun);
    while begun.elapsed() < Duration::from_secs(20) {
        tokio::task::yield_now().await;
        let seen = reads.load(Ordering::SeqCst);
        if seen != last.0 {
            last = (seen, std::time::Instant::now());
        } else if last.1.elapsed() >= quiet {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn an_idle_queue_asks_the_database_nothing() {
    let calls = Calls::default();
    let reads = Arc::new(AtomicUsize::new(0));
    let bench = Bench::new(Vec::new()).await;
    let clock = Arc::new(Counting(Arc::clone(&reads), Arc::clone(&bench.clock)));
    let jobs = bench.queue_with_clock(Settings::default(), vec![Definition::new("a", vec![calls.step("one")])], clock);
    jobs.start().await.unwrap();
    let id = enqueue(&bench, &jobs, "a", "s").await;
    ended(&jobs, id).await;
    assert!(settles(&reads).await, "an idle queue polls");
    jobs.shutdown(Duration::from_secs(5)).await;
}
