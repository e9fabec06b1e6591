//! A step that can't be done before a person has done something: its Job waits, without a worker, until it is resumed.

use std::time::Duration;

use doce_jobs::{Definition, Step, StepError};
use doce_model::{JobState, StepState};

use crate::bench::{Bench, Calls, failure};

/// A step that waits the first `times` tries.
fn waiting(calls: &Calls, times: usize) -> Step {
    let (run, undo) = (calls.clone(), calls.clone());
    Step::new("two", "two", move |_| {
        run.note("two");
        let tries = run.all().iter().filter(|call| *call == "two").count();
        async move { if tries <= times { Err(StepError::wait(failure("keyless"))) } else { Ok(()) } }
    })
    .undo(move |_| {
        undo.note("undo two");
        async { Ok(()) }
    })
}

async fn resume(bench: &Bench, id: doce_model::JobId) -> bool {
    let mut tx = bench.store.write(&bench.ctx()).await.expect("a transaction begins");
    let resumed = bench.jobs.resume(&mut tx, id).await.expect("the database works");
    tx.commit().await.expect("the transaction commits");
    resumed
}

#[tokio::test]
async fn a_job_that_waits_is_not_due_at_any_time_and_goes_on_when_it_is_resumed() {
    let calls = Calls::default();
    let steps = vec![calls.step("one"), waiting(&calls, 5), calls.step("three")];
    let bench = Bench::new(vec![Definition::new("a", steps)]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    // More waits than a step has tries: none of them counts.
    for _ in 0..5 {
        bench.drain().await;
        let job = bench.get(id).await;
        assert_eq!(job.waits_for().map(|failure| failure.code.as_str()), Some("keyless"));
        assert_eq!((job.state, job.steps[1].state, job.steps[1].attempts), (JobState::Queued, StepState::Pending, 0));
        assert_eq!(bench.jobs.next_due().await.unwrap(), None);
        bench.clock.advance(Duration::from_hours(24 * 365));
        bench.drain().await;
        assert_eq!(bench.get(id).await.claims, job.claims, "nobody claims it");
        assert!(resume(&bench, id).await);
        assert_eq!(bench.get(id).await.waits_for(), None);
    }
    bench.drain().await;
    let job = bench.get(id).await;
    assert_eq!((job.state, job.failure), (JobState::Succeeded, None));
    assert_eq!(calls.all().iter().filter(|call| *call == "one").count(), 1, "what was done is not done again");
    assert!(!resume(&bench, id).await, "one that has ended can't be resumed");
}

#[tokio::test]
async fn a_job_that_waits_still_waits_after_a_crash_of_the_program() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![waiting(&calls, 1)])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    bench.jobs.recover().await.unwrap();
    bench.drain().await;
    assert!(bench.get(id).await.waits_for().is_some());
    assert_eq!(calls.all(), ["two"]);
}

#[tokio::test]
async fn a_job_that_waits_is_cancelled_at_once_and_takes_back_what_it_did() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), waiting(&calls, 9)])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    bench.cancel(id).await;
    bench.drain().await;
    let job = bench.get(id).await;
    assert_eq!((job.state, job.failure), (JobState::Cancelled, None), "it did not fail");
    assert_eq!(calls.all(), ["one", "two", "undo one"], "a step that only waited has nothing to take back");
}

#[tokio::test]
async fn a_job_that_waits_keeps_its_subject_from_others() {
    let calls = Calls::default();
    let kinds = vec![Definition::new("a", vec![waiting(&calls, 1)]), Definition::new("b", vec![calls.step("b")])];
    let bench = Bench::new(kinds).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    bench.enqueue(bench.job("b", "s").policy(doce_jobs::Policy::Coalesce)).await;
    bench.drain().await;
    assert_eq!(calls.all(), ["two"]);
    resume(&bench, id).await;
    bench.drain().await;
    assert_eq!(calls.all(), ["two", "two", "b"]);
}
