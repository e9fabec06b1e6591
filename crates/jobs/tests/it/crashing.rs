//! Workers that vanish, fall silent, or come back too late.

use std::{sync::Arc, time::Duration};

use doce_jobs::{
    Definition, LeaseError, MAX_CRASHES, Settings, Step, StepError,
    harness::{Fault, Kind},
};
use doce_model::{Direction, JobState};
use tokio::sync::Mutex;

use crate::bench::{Bench, Calls, Gate, bounded, code, failure, steps};

fn kill(step: &str, way: Direction) -> Fault {
    Fault { job: None, step: step.to_owned(), way, kind: Kind::KillAfter }
}

#[tokio::test]
async fn a_job_goes_on_at_the_step_in_which_the_process_died() {
    let calls = Calls::default();
    let kinds =
        |calls: &Calls| vec![Definition::new("a", vec![calls.step("one"), calls.step("two"), calls.step("three")])];
    let bench = Bench::new(kinds(&calls)).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.jobs.inject(kill("two", Direction::Forward));
    bench.drain().await;
    assert_eq!(bench.get(id).await.state, JobState::Running, "nobody was left to write anything");
    let next = bench.queue(Settings::default(), kinds(&calls));
    assert_eq!(bounded(next.drain()).await.unwrap(), 0, "the lease has not run out");
    next.recover().await.unwrap();
    bounded(next.drain()).await.unwrap();
    let job = bench.get(id).await;
    assert_eq!(calls.all(), ["one", "two", "two", "three"]);
    assert_eq!(job.state, JobState::Succeeded);
    let attempts: Vec<i64> = job.steps.iter().map(|step| step.attempts).collect();
    assert_eq!((attempts, job.claims, job.crashes), (vec![1, 2, 1], 2, 0));
}

#[tokio::test]
async fn the_job_of_a_worker_that_fell_silent_is_taken_up_when_its_lease_runs_out() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.jobs.inject(kill("one", Direction::Forward));
    bench.drain().await;
    let lease = Settings::default().lease;
    assert_eq!(bench.jobs.next_due().await.unwrap(), Some(bench.get(id).await.run_at.plus(lease)));
    bench.clock.advance(lease.saturating_sub(Duration::from_millis(1)));
    bench.drain().await;
    assert_eq!(calls.all(), ["one"]);
    bench.clock.advance(Duration::from_millis(1));
    bench.jobs.inject(kill("one", Direction::Forward));
    bench.drain().await;
    assert_eq!(calls.all(), ["one", "one"]);
    assert_eq!(bench.get(id).await.crashes, 1, "a silent worker counts like a dead one");
    bench.clock.advance(lease);
    bench.drain().await;
    assert_eq!(bench.get(id).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_crash_counts_as_a_try() {
    let calls = Calls::default();
    let fails = calls.failing("one", |attempt| (attempt == 2).then(|| StepError::retry(failure("broken"))));
    let bench = Bench::new(vec![Definition::new("a", vec![fails.attempts(2)])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.jobs.inject(kill("one", Direction::Forward));
    bench.drain().await;
    bench.jobs.recover().await.unwrap();
    bench.finish().await;
    assert_eq!(calls.all(), ["one", "one", "undo one"], "the crash was the first of two tries");
    assert_eq!(bench.get(id).await.state, JobState::Failed);
}

#[tokio::test]
async fn a_worker_whose_lease_is_lost_is_stopped_and_writes_nothing() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let late = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![late.gated("one", &gate)])]).await;
    let other = bench.queue(Settings::default(), vec![Definition::new("a", vec![calls.step("one")])]);
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.clock.advance(Settings::default().lease);
        assert_eq!(bounded(other.drain()).await.unwrap(), 1);
        let ended = bench.get(id).await;
        assert_eq!((ended.state, ended.claims), (JobState::Succeeded, 2));
        bench.jobs.wake();
        ended
    };
    let ((), ended) = tokio::join!(bench.drain(), test);
    assert_eq!(late.all(), ["one", "dropped one"]);
    assert_eq!(bench.get(id).await, ended, "the late worker changed the row");
}

#[tokio::test]
async fn a_step_that_ends_after_its_lease_was_lost_is_not_recorded() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let late = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![late.gated("one", &gate), late.step("two")])]).await;
    let other = bench.queue(
        Settings::default(),
        vec![Definition::new("a", vec![calls.failing("one", |_| Some(StepError::fail(failure("broken"))))])],
    );
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.clock.advance(Settings::default().lease);
        bounded(other.drain()).await.unwrap();
        let ended = bench.get(id).await;
        assert_eq!(ended.state, JobState::Failed);
        gate.open();
        ended
    };
    let ((), ended) = tokio::join!(bench.drain(), test);
    assert_eq!(late.all(), ["one"]);
    assert_eq!(bench.get(id).await, ended);
}

#[tokio::test]
async fn a_steps_own_writes_are_refused_when_its_lease_is_lost() {
    let gate = Gate::new();
    let outcome = Arc::new(Mutex::new(Vec::new()));
    let bench = Bench::new(Vec::new()).await;
    let (store, at, fenced) = (bench.store.clone(), gate.clone(), Arc::clone(&outcome));
    let writes = Step::new("writes", "writes", move |step| {
        let (store, at, fenced) = (store.clone(), at.clone(), Arc::clone(&fenced));
        async move {
            let mut tx = store.write(&step.ctx).await.map_err(StepError::internal)?;
            fenced.lock().await.push(step.fence(&mut tx).await);
            drop(tx);
            at.pass().await;
            let mut tx = store.write(&step.ctx).await.map_err(StepError::internal)?;
            fenced.lock().await.push(step.fence(&mut tx).await);
            Ok(())
        }
    });
    let first = bench.queue(Settings::default(), vec![Definition::new("a", vec![writes])]);
    let calls = Calls::default();
    let other = bench.queue(Settings::default(), vec![Definition::new("a", vec![calls.step("writes")])]);
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    let id = first.enqueue(&mut tx, bench.job("a", "s")).await.unwrap().id;
    tx.commit().await.unwrap();
    let test = async {
        gate.entered().await;
        bench.clock.advance(Settings::default().lease);
        bounded(other.drain()).await.unwrap();
        gate.open();
    };
    let (drained, ()) = tokio::join!(bounded(first.drain()), test);
    drained.unwrap();
    let outcome = outcome.lock().await;
    assert!(outcome[0].is_ok(), "{outcome:?}");
    assert!(matches!(outcome[1], Err(LeaseError::Lost(lost)) if lost == id), "{outcome:?}");
}

/// Lets the process die in this step, again and again, and starts it again each time.
async fn die(bench: &Bench, step: &str, way: Direction, times: i64) {
    for _ in 0..times {
        bench.jobs.inject(kill(step, way));
        bench.drain().await;
        bench.jobs.recover().await.expect("the database works");
    }
}

#[tokio::test]
async fn a_job_that_takes_the_process_down_each_time_ends_as_poison() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), calls.step("two")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    die(&bench, "two", Direction::Forward, MAX_CRASHES).await;
    assert_eq!(bench.get(id).await.crashes, MAX_CRASHES);
    bench.drain().await;
    let job = bench.get(id).await;
    assert_eq!((job.state, code(&job)), (JobState::Failed, "poison"));
    assert_eq!(steps(&job), ["one undone", "two failed"]);
    let called = calls.all();
    assert_eq!(called.iter().filter(|call| *call == "two").count(), usize::try_from(MAX_CRASHES).unwrap());
    assert_eq!(called[called.len() - 2..], ["undo two", "undo one"]);
}

#[tokio::test]
async fn a_job_below_the_limit_of_crashes_still_succeeds() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), calls.step("two")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    die(&bench, "one", Direction::Forward, MAX_CRASHES - 1).await;
    die(&bench, "two", Direction::Forward, MAX_CRASHES - 1).await;
    bench.drain().await;
    assert_eq!(bench.get(id).await.state, JobState::Succeeded, "a step that was done starts the count again");
}

#[tokio::test]
async fn an_undo_that_takes_the_process_down_each_time_leaves_the_job_stuck() {
    let calls = Calls::default();
    let fails = calls.failing("two", |_| Some(StepError::fail(failure("broken"))));
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), fails])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    die(&bench, "one", Direction::Undo, MAX_CRASHES).await;
    bench.drain().await;
    let job = bench.get(id).await;
    assert_eq!((job.state, code(&job)), (JobState::Stuck, "undo_failed"));
    assert!(job.failure.unwrap().message.starts_with("It was broken. Taking back “one”"));
}

#[tokio::test]
async fn a_job_that_was_cancelled_before_the_process_died_is_undone_after() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), calls.step("two")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.jobs.inject(kill("one", Direction::Forward));
    bench.drain().await;
    bench.cancel(id).await;
    bench.jobs.recover().await.unwrap();
    bench.drain().await;
    assert_eq!(calls.all(), ["one", "undo one"]);
    assert_eq!(bench.get(id).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_job_that_this_program_does_not_know_fails_and_undoes_nothing_blindly() {
    let calls = Calls::default();
    let old = vec![
        Definition::new("gone", vec![calls.step("one"), calls.step("two")]),
        Definition::new("renamed", vec![calls.step("one"), calls.step("two")]),
    ];
    let bench = Bench::new(old).await;
    let gone = bench.enqueue(bench.job("gone", "s")).await.id;
    let renamed = bench.enqueue(bench.job("renamed", "t")).await.id;
    let newer = bench.queue(Settings::default(), vec![Definition::new("renamed", vec![calls.step("uno")])]);
    bench.jobs.inject(kill("one", Direction::Forward));
    bench.jobs.inject(kill("one", Direction::Forward));
    bench.drain().await;
    bench.drain().await;
    newer.recover().await.unwrap();
    bounded(newer.drain()).await.unwrap();
    for id in [gone, renamed] {
        let job = bench.get(id).await;
        assert_eq!(
            (job.state, code(&job)),
            (JobState::Stuck, "undo_failed"),
            "{id}: a step was begun and can't be undone"
        );
    }
    assert!(!calls.all().iter().any(|call| call.starts_with("undo")));
    let late = bench.enqueue(bench.job("gone", "u")).await.id;
    bounded(newer.drain()).await.unwrap();
    let job = bench.get(late).await;
    assert_eq!((job.state, code(&job)), (JobState::Failed, "unknown_step"));
}
