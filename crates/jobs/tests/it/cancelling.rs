//! Jobs that somebody cancels.

use std::time::Duration;

use doce_jobs::{CancelRequest, Definition, Settings, Step, StepError};
use doce_model::{JobState, LogLevel};

use crate::bench::{Bench, Calls, Gate, bounded, failure, steps};

#[tokio::test]
async fn a_job_that_has_not_begun_is_cancelled_at_once() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    assert_eq!(bench.jobs.cancel(&mut tx, id).await.unwrap(), CancelRequest::Cancelled);
    assert_eq!(bench.jobs.cancel(&mut tx, id).await.unwrap(), CancelRequest::Ended);
    tx.commit().await.unwrap();
    bench.drain().await;
    let job = bench.get(id).await;
    assert_eq!((job.state, steps(&job)), (JobState::Cancelled, vec!["one skipped".to_owned()]));
    assert!(calls.all().is_empty());
}

#[tokio::test]
async fn a_running_step_hears_of_the_cancel_and_is_undone() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let (noted, undo, at) = (calls.clone(), calls.clone(), gate.clone());
    let listens = Step::new("listens", "Listening", move |step| {
        let (noted, at) = (noted.clone(), at.clone());
        async move {
            tokio::select! {
                () = at.pass() => Ok(()),
                () = step.cancel.cancelled() => {
                    noted.note("heard");
                    Err(StepError::fail(failure("whatever")))
                }
            }
        }
    })
    .undo(move |_| {
        undo.note("undo listens");
        async { Ok(()) }
    });
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), listens, calls.step("three")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.cancel(id).await;
    };
    tokio::join!(bench.drain(), test);
    let job = bench.get(id).await;
    assert_eq!(calls.all(), ["one", "heard", "undo listens", "undo one"]);
    assert_eq!((job.state, job.failure.as_ref()), (JobState::Cancelled, None));
    assert_eq!(steps(&job), ["one undone", "listens undone", "three skipped"]);
    let last = bench.log(id).await.pop().unwrap();
    assert_eq!((last.level, last.text.as_str()), (LogLevel::Info, "Cancelled during “Listening”."));
}

#[tokio::test]
async fn a_step_that_is_deaf_to_the_cancel_is_dropped() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let kinds = vec![Definition::new("a", vec![calls.gated("deaf", &gate)])];
    let bench = Bench::new(vec![Definition::new("a", vec![calls.gated("deaf", &gate)])]).await;
    let settings = Settings { cancel_grace: Duration::from_millis(10), ..Settings::default() };
    let jobs = bench.queue(settings, kinds);
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.cancel(id).await;
        jobs.wake();
    };
    let (drained, ()) = tokio::join!(bounded(jobs.drain()), test);
    drained.unwrap();
    assert_eq!(calls.all(), ["deaf", "dropped deaf", "undo deaf"]);
    assert_eq!(bench.get(id).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_step_that_finishes_in_spite_of_the_cancel_is_undone() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let bench = Bench::new(vec![Definition::new("a", vec![calls.gated("one", &gate), calls.step("two")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.cancel(id).await;
        gate.open();
    };
    tokio::join!(bench.drain(), test);
    assert_eq!(calls.all(), ["one", "undo one"]);
    assert_eq!(bench.get(id).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_last_step_that_finishes_in_spite_of_the_cancel_is_undone_if_it_can_be() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let (noted, at) = (calls.clone(), gate.clone());
    let for_good = Step::new("for good", "for good", move |_| {
        let (noted, at) = (noted.clone(), at.clone());
        async move {
            noted.note("for good");
            at.pass().await;
            Ok(())
        }
    });
    let kinds = [("a", vec![calls.step("one"), calls.gated("two", &gate)]), ("b", vec![for_good])]
        .map(|(kind, steps)| Definition::new(kind, steps));
    let bench = Bench::new(kinds.into()).await;
    for (kind, called, state) in [
        ("a", &["one", "two", "undo two", "undo one"][..], JobState::Cancelled),
        ("b", &["for good"], JobState::Succeeded),
    ] {
        let id = bench.enqueue(bench.job(kind, "s")).await.id;
        let test = async {
            gate.entered().await;
            bench.cancel(id).await;
            gate.open();
        };
        tokio::join!(bench.drain(), test);
        assert_eq!(calls.take(), called);
        assert_eq!(bench.get(id).await.state, state);
    }
}

#[tokio::test]
async fn a_job_that_waits_for_its_next_try_is_cancelled_without_waiting() {
    let calls = Calls::default();
    let flaky = calls.failing("flaky", |_| Some(StepError::retry(failure("flaky")).after(Duration::from_mins(10))));
    let bench = Bench::new(vec![Definition::new("a", vec![flaky])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    bench.cancel(id).await;
    bench.drain().await;
    assert_eq!(calls.all(), ["flaky", "undo flaky"]);
    assert_eq!(bench.get(id).await.state, JobState::Cancelled);
}

#[tokio::test]
async fn a_cancel_does_not_disturb_an_undo() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let (noted, at) = (calls.clone(), gate.clone());
    let slow = calls.step("one").undo(move |step| {
        let (noted, at) = (noted.clone(), at.clone());
        async move {
            at.pass().await;
            // Heard within a moment, or not at all.
            let heard = tokio::time::timeout(Duration::from_millis(300), step.cancel.cancelled()).await.is_ok();
            noted.note(format!("undo one, cancelled: {heard}"));
            Ok(())
        }
    });
    let fails = calls.failing("two", |_| Some(StepError::fail(failure("broken"))));
    let bench = Bench::new(vec![Definition::new("a", vec![slow, fails])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.cancel(id).await;
        bench.until(id, |job| job.cancel_requested_at.is_some()).await;
        gate.open();
    };
    tokio::join!(bench.drain(), test);
    assert_eq!(calls.all(), ["one", "two", "undo two", "undo one, cancelled: false"]);
    assert_eq!(bench.get(id).await.state, JobState::Failed, "it failed before it was cancelled");
}
