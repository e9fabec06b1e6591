//! Clocks that jump: a laptop that slept, and one whose clock was wrong.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use doce_jobs::{
    Definition, Settings, StepError,
    harness::{Fault, Kind},
};
use doce_model::{Direction, JobState};

use crate::{
    bench::{Bench, Calls, Gate, bounded, failure},
    workers::{Counting, settles},
};

const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_machine_that_slept_takes_none_of_its_own_workers_for_dead() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let bench = Bench::new(vec![Definition::new("a", vec![calls.gated("one", &gate), calls.step("two")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.clock.advance(DAY);
        assert_eq!(bounded(bench.jobs.drain()).await.unwrap(), 0, "a job was given to two workers at once");
        gate.open();
    };
    tokio::join!(bench.drain(), test);
    let job = bench.get(id).await;
    assert_eq!((job.state, job.claims, job.crashes), (JobState::Succeeded, 1, 0));
    assert_eq!(calls.all(), ["one", "two"]);
}

#[tokio::test]
async fn a_lease_that_ran_out_while_its_worker_lives_keeps_nobody_awake() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let reads = Arc::new(AtomicUsize::new(0));
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one")])]).await;
    let clock = Arc::new(Counting(Arc::clone(&reads), Arc::clone(&bench.clock)));
    let kinds = vec![Definition::new("a", vec![calls.gated("one", &gate)])];
    let jobs = bench.queue_with_clock(Settings::default(), kinds, clock);
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    jobs.start().await.unwrap();
    gate.entered().await;
    bench.clock.advance(DAY);
    jobs.wake();
    assert!(settles(&reads).await, "the dispatcher looks again and again");
    gate.open();
    assert_eq!(bounded(jobs.ended(id)).await.unwrap().unwrap().claims, 1);
    jobs.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_job_of_a_dead_worker_is_taken_up_though_the_clock_was_set_back_since() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.jobs.inject(Fault { job: None, step: "one".to_owned(), way: Direction::Forward, kind: Kind::KillAfter });
    bench.drain().await;
    bench.clock.set_back(DAY);
    bench.drain().await;
    let job = bench.get(id).await;
    assert_eq!((job.state, job.claims), (JobState::Succeeded, 2));
}

#[tokio::test]
async fn a_job_that_was_made_before_the_clock_was_set_back_begins() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one")])]).await;
    for (n, back) in [Duration::from_millis(1), Duration::from_mins(5), DAY * 400].into_iter().enumerate() {
        let id = bench.enqueue(bench.job("a", &format!("s{n}"))).await.id;
        bench.clock.set_back(back);
        bench.drain().await;
        assert_eq!(bench.get(id).await.state, JobState::Succeeded, "set back by {back:?}");
    }
}

#[tokio::test]
async fn a_try_that_was_put_off_before_the_clock_was_set_back_is_made() {
    let calls = Calls::default();
    let flaky = calls.failing("flaky", |attempt| (attempt == 1).then(|| StepError::retry(failure("flaky"))));
    let bench = Bench::new(vec![Definition::new("a", vec![flaky])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    bench.clock.set_back(DAY);
    bench.drain().await;
    assert_eq!(bench.get(id).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_try_that_is_put_off_after_the_clock_was_set_back_waits_its_time() {
    let calls = Calls::default();
    let flaky = calls.failing("flaky", |attempt| {
        (attempt < 3).then(|| StepError::retry(failure("flaky")).after(Duration::from_secs(5)))
    });
    let bench = Bench::new(vec![Definition::new("a", vec![flaky])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.clock.set_back(DAY);
    bench.drain().await;
    bench.drain().await;
    assert_eq!(calls.all(), ["flaky"], "made in what is the future, it is not due at every moment");
    bench.finish().await;
    assert_eq!(bench.get(id).await.state, JobState::Succeeded);
}
