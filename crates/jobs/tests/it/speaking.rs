//! What a Job says while it works, and who hears of it.

use doce_jobs::{Definition, MAX_WAITING_LINES, Step, StepError};
use doce_model::{LogLevel, NextMove, StepState};
use doce_store::job::MAX_LOG_LINES;

use crate::bench::{Bench, Calls, Gate, START, bounded, failure};

#[tokio::test]
async fn what_a_step_is_doing_is_stored_while_it_works() {
    let gate = Gate::new();
    let at = gate.clone();
    let says = Step::new("says", "says", move |step| {
        let at = at.clone();
        async move {
            step.detail("half way");
            at.pass().await;
            step.detail("nearly there");
            Ok(())
        }
    });
    let bench = Bench::new(vec![Definition::new("a", vec![says])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let test = async {
        gate.entered().await;
        bench.seen.lock().unwrap().clear();
        // Whoever is told may look: the row is there before the observer hears of it.
        bounded(async {
            while bench.seen.lock().expect("nobody panics here").is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(bench.seen.lock().unwrap().as_slice(), [id]);
        let job = bench.get(id).await;
        assert_eq!(job.steps[0].detail.as_deref(), Some("half way"));
        assert_eq!(job.steps[0].state, StepState::Running);
        gate.open();
    };
    tokio::join!(bench.drain(), test);
    assert_eq!(bench.get(id).await.steps[0].detail, None, "what it was doing is over");
}

#[tokio::test]
async fn the_observer_is_told_of_each_change() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("one"), calls.step("two")])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    // Enqueued, the first step's beginning, its end with the second's beginning, that one's end with the Job's.
    assert_eq!(bench.seen.lock().unwrap().as_slice(), [id; 4]);
}

#[tokio::test]
async fn a_steps_lines_are_kept_in_order_also_when_it_fails() {
    let says = Step::new("says", "says", |step| async move {
        step.log(LogLevel::Info, "first");
        step.log(LogLevel::Warn, "second");
        Err(StepError::fail(failure("broken")).source("the cause, which only the server's log tells"))
    });
    let bench = Bench::new(vec![Definition::new("a", vec![says])]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    let lines = bench.log(id).await;
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["first", "second", "“says”, try 1: It was broken. (broken)"]);
    assert_eq!(lines.iter().map(|line| line.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(lines.iter().all(|line| line.at == START));
}

#[tokio::test]
async fn a_log_keeps_the_last_lines() {
    let rounds = usize::try_from(MAX_LOG_LINES).unwrap() / MAX_WAITING_LINES + 1;
    let names: [&'static str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    assert!(rounds <= names.len());
    let chatty = names.into_iter().take(rounds).map(|name| {
        Step::new(name, name, move |step| async move {
            for n in 0..MAX_WAITING_LINES {
                step.log(LogLevel::Info, format!("{name} {n}"));
            }
            Ok(())
        })
    });
    let bench = Bench::new(vec![Definition::new("a", chatty.collect())]).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    let lines = bench.log(id).await;
    assert_eq!(lines.len(), usize::try_from(MAX_LOG_LINES).unwrap());
    assert_eq!(lines[0].text, "b 0");
    let all = i64::try_from(rounds * MAX_WAITING_LINES).unwrap();
    assert_eq!((lines[0].sequence, lines[lines.len() - 1].sequence), (all - MAX_LOG_LINES + 1, all));
}

#[tokio::test]
async fn a_step_reads_its_payload_and_a_strange_one_fails_the_job() {
    let calls = Calls::default();
    let noted = calls.clone();
    let reads = Step::new("reads", "reads", move |step| {
        let noted = noted.clone();
        async move {
            let (name, n): (String, u32) = step.payload()?;
            noted.note(format!(
                "{name} {n} as {}",
                step.ctx.actor == doce_model::Actor::Job(step.job.id, step.job.user_id)
            ));
            Ok(())
        }
    });
    let bench = Bench::new(vec![Definition::new("a", vec![reads])]).await;
    bench.enqueue(bench.job("a", "s").payload(&("x", 3))).await;
    let strange = bench.enqueue(bench.job("a", "t").payload(&"y")).await.id;
    bench.drain().await;
    assert_eq!(calls.all(), ["x 3 as true"]);
    let failure = bench.get(strange).await.failure.unwrap();
    assert_eq!((failure.code.as_str(), failure.next), ("internal", NextMove::Retry));
}
