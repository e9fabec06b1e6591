//! A queue that is paused: no Job begins, and those that have begun go on to their end.

use std::time::Duration;

use doce_jobs::{Definition, Settings, StepError};
use doce_model::JobState;

use crate::bench::{Bench, Calls, Gate, bounded, failure};

#[tokio::test]
async fn of_a_paused_queue_no_job_begins_and_the_end_of_the_pause_wakes_the_workers() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one")])]).await;
    assert!(bench.pause().await);
    assert!(!bench.pause().await, "it was paused already");
    bench.jobs.start().await.unwrap();
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    assert!(calls.all().is_empty());
    assert_eq!(bench.get(id).await.claims, 0);
    assert_eq!(bench.jobs.next_due().await.unwrap(), None, "what is held is not due: nobody would stop looking");
    assert!(bench.end_pause().await);
    let job = bounded(bench.jobs.ended(id)).await.unwrap().unwrap();
    assert_eq!((job.state, calls.all()), (JobState::Succeeded, vec!["one".to_owned()]));
    assert!(!bench.end_pause().await, "it is over already");
    bench.jobs.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_job_that_has_begun_goes_on_through_a_pause_and_its_tries_too() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let flaky = calls.failing("flaky", |attempt| {
        (attempt == 1).then(|| StepError::retry(failure("flaky")).after(Duration::from_secs(9)))
    });
    let steps = vec![calls.gated("one", &gate), flaky, calls.step("three")];
    let bench = Bench::new(vec![Definition::new("a", steps)]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.pause().await;
        gate.open();
    };
    tokio::join!(bench.drain(), test);
    assert_eq!(bench.get(id).await.state, JobState::Queued, "it waits for its second try");
    bench.finish().await;
    assert_eq!(bench.get(id).await.state, JobState::Succeeded);
    assert_eq!(calls.all(), ["one", "flaky", "flaky", "three"]);
}

#[tokio::test]
async fn a_job_that_is_cancelled_in_a_pause_is_taken_back() {
    let calls = Calls::default();
    let flaky = calls.failing("flaky", |_| Some(StepError::retry(failure("flaky")).after(Duration::from_mins(9))));
    let bench = Bench::new(vec![Definition::new("a", vec![flaky])]).await;
    let begun = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    bench.pause().await;
    let held = bench.enqueue(bench.job("a", "t")).await.id;
    bench.cancel(begun).await;
    bench.cancel(held).await;
    bench.drain().await;
    assert_eq!(calls.all(), ["flaky", "undo flaky"]);
    for id in [begun, held] {
        assert_eq!(bench.get(id).await.state, JobState::Cancelled);
    }
}

#[tokio::test]
async fn a_pause_holds_over_a_restart() {
    let calls = Calls::default();
    let kinds = |calls: &Calls| vec![Definition::new("a", vec![calls.step("one")])];
    let bench = Bench::new(kinds(&calls)).await;
    bench.enqueue(bench.job("a", "s")).await;
    bench.pause().await;
    let next = bench.queue(Settings::default(), kinds(&calls));
    next.recover().await.unwrap();
    assert_eq!(bounded(next.drain()).await.unwrap(), 0);
    bench.end_pause().await;
    assert_eq!(bounded(next.drain()).await.unwrap(), 1);
}
