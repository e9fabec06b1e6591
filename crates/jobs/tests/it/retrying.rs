//! Tries that fail: when the next one comes, and what happens when none is left.

use std::time::Duration;

use doce_jobs::{Backoff, Definition, MAX_RETRY_AFTER, Step, StepError};
use doce_model::{Clock as _, Direction, JobState, LogLevel};

use crate::bench::{Bench, Calls, START, code, failure, is_undo, steps};

#[tokio::test]
async fn the_steps_of_a_job_are_done_in_order() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), calls.step("two")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    let job = bench.get(id).await;
    assert_eq!(calls.all(), ["one", "two"]);
    assert_eq!(steps(&job), ["one succeeded", "two succeeded"]);
    assert_eq!((job.state, job.claims, job.finished_at), (JobState::Succeeded, 1, Some(START)));
    assert!(job.steps.iter().all(|step| step.attempts == 1 && step.ended_at.is_some()));
}

#[tokio::test]
async fn a_try_that_may_go_better_comes_again_after_a_stored_wait() {
    let calls = Calls::default();
    let flaky = calls.failing("flaky", |attempt| (attempt < 3).then(|| StepError::retry(failure("flaky"))));
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), flaky, calls.step("three")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    for attempt in 1..=2 {
        bench.drain().await;
        let job = bench.get(id).await;
        let now = bench.clock.now();
        let wait = job.run_at.since(now);
        assert!(wait <= Backoff::default().ceiling(attempt), "{wait:?}");
        assert_eq!((job.state, job.steps[1].attempts), (JobState::Queued, i64::from(attempt)));
        assert_eq!(job.steps[1].detail.as_deref(), Some("It was flaky."));
        assert_eq!(bench.jobs.next_due().await.unwrap(), Some(job.run_at));
        bench.clock.advance(wait);
    }
    bench.drain().await;
    let job = bench.get(id).await;
    assert_eq!(job.state, JobState::Succeeded);
    assert_eq!(calls.all(), ["one", "flaky", "flaky", "flaky", "three"], "what was done is not done again");
    assert_eq!(job.steps[1].detail, None, "a step that is done does not say why it once failed");
}

#[tokio::test]
async fn a_try_does_not_come_before_its_time() {
    let calls = Calls::default();
    let flaky = calls.failing("flaky", |attempt| {
        (attempt == 1).then(|| StepError::retry(failure("flaky")).after(Duration::from_secs(40)))
    });
    let bench = Bench::new(vec![Definition::new("a", vec![flaky])]).await;
    bench.enqueue(bench.job("a", "s")).await;
    bench.drain().await;
    bench.clock.advance(Duration::from_millis(39_999));
    bench.drain().await;
    assert_eq!(calls.all().len(), 1);
    bench.clock.advance(Duration::from_millis(1));
    bench.drain().await;
    assert_eq!(calls.all().len(), 2);
}

#[tokio::test]
async fn the_other_side_can_not_ask_for_any_wait() {
    let calls = Calls::default();
    let flaky =
        calls.failing("flaky", |_| Some(StepError::retry(failure("flaky")).after(Duration::from_secs(1_000_000))));
    let bench = Bench::new(vec![Definition::new("a", vec![flaky])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    assert_eq!(bench.get(id).await.run_at, START.plus(MAX_RETRY_AFTER));
}

#[tokio::test]
async fn a_step_whose_tries_are_used_up_is_undone_with_all_before_it() {
    let calls = Calls::default();
    let fails = calls.failing("two", |_| Some(StepError::retry(failure("broken"))));
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), fails, calls.step("three")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.finish().await;
    let job = bench.get(id).await;
    assert_eq!(calls.all(), ["one", "two", "two", "two", "undo two", "undo one"]);
    assert_eq!((job.state, job.direction, code(&job)), (JobState::Failed, Direction::Undo, "broken"));
    assert_eq!(steps(&job), ["one undone", "two failed", "three skipped"]);
    assert!(job.steps[0].undone_at.is_some() && job.steps[1].undone_at.is_some());
    assert_eq!(job.steps[1].detail.as_deref(), Some("It was broken."));
    let last = bench.log(id).await.pop().unwrap();
    assert_eq!((last.level, last.text.as_str()), (LogLevel::Error, "“two”, try 3: It was broken. (broken)"));
}

#[tokio::test]
async fn a_try_that_can_not_go_better_is_the_last() {
    let calls = Calls::default();
    let fails = calls.failing("one", |_| Some(StepError::fail(failure("rejected"))));
    let bench = Bench::new(vec![Definition::new("a", vec![fails])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    assert_eq!(calls.all(), ["one", "undo one"]);
    assert_eq!(code(&bench.get(id).await), "rejected");
}

#[tokio::test]
async fn a_step_decides_how_often_it_is_tried() {
    let calls = Calls::default();
    let fails = calls.failing("one", |_| Some(StepError::retry(failure("broken")))).attempts(5);
    let bench = Bench::new(vec![Definition::new("a", vec![fails])]).await;
    bench.enqueue(bench.job("a", "s")).await;
    bench.finish().await;
    assert_eq!(calls.all().iter().filter(|call| *call == "one").count(), 5);
}

#[tokio::test]
async fn a_step_without_an_undo_stays_as_it_is() {
    let calls = Calls::default();
    let noted = calls.clone();
    let reads = Step::new("reads", "reads", move |_| {
        noted.note("reads");
        async { Ok(()) }
    });
    let fails = calls.failing("fails", |_| Some(StepError::fail(failure("broken"))));
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), reads, fails])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    assert_eq!(calls.all(), ["one", "reads", "fails", "undo fails", "undo one"]);
    assert_eq!(steps(&bench.get(id).await), ["one undone", "reads succeeded", "fails failed"]);
}

#[tokio::test]
async fn a_panic_fails_the_step_for_good() {
    let calls = Calls::default();
    for early in [true, false] {
        let panics = Step::new("panics", "panics", move |_| {
            assert!(!early, "a toy panics before its first wait");
            async move {
                tokio::task::yield_now().await;
                assert!(early, "a toy panics after a wait");
                Ok(())
            }
        });
        let bench = Bench::new(vec![
            Definition::new("a", vec![calls.step("one"), panics]),
            Definition::new("b", vec![calls.step("b")]),
        ])
        .await;
        let id = bench.enqueue(bench.job("a", "s")).await.id;
        bench.enqueue(bench.job("b", "t")).await;
        bench.drain().await;
        let job = bench.get(id).await;
        assert_eq!((job.state, code(&job)), (JobState::Failed, "internal"));
        assert_eq!(job.steps[1].attempts, 1);
        let called = calls.take();
        assert!(called.contains(&"undo one".to_owned()) && called.contains(&"b".to_owned()), "{called:?}");
    }
}

#[tokio::test]
async fn a_step_that_hangs_is_dropped_tried_again_and_named() {
    let calls = Calls::default();
    let gate = crate::bench::Gate::new();
    let hangs = calls.gated("hangs", &gate).timeout(Duration::from_millis(15)).attempts(2);
    let bench = Bench::new(vec![Definition::new("a", vec![hangs])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.finish().await;
    let job = bench.get(id).await;
    assert_eq!(calls.all(), ["hangs", "dropped hangs", "hangs", "dropped hangs", "undo hangs"]);
    assert_eq!((job.state, code(&job)), (JobState::Failed, "step_timeout"));
    assert!(job.failure.unwrap().message.contains("“hangs”"));
}

#[tokio::test]
async fn an_undo_is_tried_again() {
    let calls = Calls::default();
    let noted = calls.clone();
    let stubborn = calls.step("one").undo(move |step| {
        noted.note(format!("undo one {}", step.attempt));
        assert!(is_undo(step.way));
        async move { if step.attempt < 3 { Err(StepError::retry(failure("sticky"))) } else { Ok(()) } }
    });
    let fails = calls.failing("two", |_| Some(StepError::fail(failure("broken"))));
    let bench = Bench::new(vec![Definition::new("a", vec![stubborn, fails])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.finish().await;
    let job = bench.get(id).await;
    assert_eq!(calls.all(), ["one", "two", "undo two", "undo one 1", "undo one 2", "undo one 3"]);
    assert_eq!((job.state, code(&job)), (JobState::Failed, "broken"));
    assert_eq!((job.steps[0].undo_attempts, job.steps[0].attempts), (3, 1));
}

#[tokio::test]
async fn a_job_whose_undo_fails_for_good_is_stuck_and_says_both_reasons() {
    let calls = Calls::default();
    let sticky = calls.step("two").undo(|_| async { Err(StepError::retry(failure("sticky"))) });
    let fails = calls.failing("three", |_| Some(StepError::fail(failure("broken"))));
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), sticky, fails])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.finish().await;
    let job = bench.get(id).await;
    assert_eq!((job.state, code(&job)), (JobState::Stuck, "undo_failed"));
    let message = job.failure.clone().unwrap().message;
    assert_eq!(message, "It was broken. Taking back “two” did not work either: It was sticky.");
    assert_eq!(job.steps[1].undo_attempts, 3);
    assert!(!calls.all().contains(&"undo one".to_owned()), "what lies below the stuck step is left to a person");
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    bench.jobs.retry(&mut tx, id).await.unwrap();
}
