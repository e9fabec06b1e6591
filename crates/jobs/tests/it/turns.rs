//! Whose turn it is: first come, first served; but what nobody waits for gives way, for a while.

use std::time::Duration;

use doce_jobs::{Definition, HEAD_START, StepError};

use crate::bench::{Bench, Calls, failure};

async fn bench(calls: &Calls) -> Bench {
    let noting = |kind: &'static str, calls: &Calls| {
        let noted = calls.clone();
        let note = doce_jobs::Step::new("one", "one", move |step| {
            noted.note(step.job.subject);
            async { Ok(()) }
        });
        Definition::new(kind, vec![note])
    };
    Bench::new(vec![noting("awaited", calls), noting("quiet", calls).background()]).await
}

#[tokio::test]
async fn what_a_person_waits_for_goes_before_what_nobody_waits_for() {
    let calls = Calls::default();
    let bench = bench(&calls).await;
    for (kind, subject) in [("quiet", "q1"), ("quiet", "q2"), ("awaited", "a1"), ("awaited", "a2"), ("quiet", "q3")] {
        bench.enqueue(bench.job(kind, subject)).await;
        bench.clock.advance(Duration::from_secs(1));
    }
    bench.drain().await;
    assert_eq!(calls.all(), ["a1", "a2", "q1", "q2", "q3"]);
}

#[tokio::test]
async fn jobs_of_one_kind_made_in_one_millisecond_go_in_their_order() {
    let calls = Calls::default();
    let bench = bench(&calls).await;
    let subjects: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
    for subject in &subjects {
        bench.enqueue(bench.job("quiet", subject)).await;
    }
    bench.drain().await;
    assert_eq!(calls.all(), subjects);
}

#[tokio::test]
async fn what_nobody_waits_for_has_its_turn_however_much_is_asked_for() {
    let calls = Calls::default();
    let bench = bench(&calls).await;
    bench.enqueue(bench.job("quiet", "quiet")).await;
    bench.clock.advance(HEAD_START.saturating_sub(Duration::from_millis(1)));
    bench.enqueue(bench.job("awaited", "in time")).await;
    bench.clock.advance(Duration::from_millis(2));
    for n in 0..3 {
        bench.enqueue(bench.job("awaited", &format!("late {n}"))).await;
    }
    bench.drain().await;
    assert_eq!(calls.all(), ["in time", "quiet", "late 0", "late 1", "late 2"]);
}

#[tokio::test]
async fn a_job_that_was_put_off_has_its_turn_by_its_time() {
    let calls = Calls::default();
    let flaky = calls.failing("flaky", |attempt| {
        (attempt == 1).then(|| StepError::retry(failure("flaky")).after(Duration::from_secs(3)))
    });
    let kinds = vec![Definition::new("a", vec![flaky]), Definition::new("b", vec![calls.step("b")])];
    let bench = Bench::new(kinds).await;
    bench.enqueue(bench.job("a", "s")).await;
    bench.drain().await;
    bench.clock.advance(Duration::from_secs(2));
    bench.enqueue(bench.job("b", "t")).await;
    bench.clock.advance(Duration::from_secs(2));
    bench.enqueue(bench.job("b", "u")).await;
    bench.drain().await;
    assert_eq!(calls.all(), ["flaky", "b", "flaky", "b"]);
}
