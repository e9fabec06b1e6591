//! What may be enqueued, what it waits for, and what is kept.

use std::time::Duration;

use doce_jobs::{Definition, EnqueueError, MAX_LIVE_PER_USER, MAX_PAYLOAD, New, Policy, RETENTION, RetryError};
use doce_model::{JobState, Ms, ProjectId, UserId};
use doce_store::job::{self, Filter};

use crate::bench::{Bench, Calls, Gate, START, bounded, code, failure, steps};

/// Two kinds with one step each, named after them.
fn two(calls: &Calls) -> Vec<Definition> {
    vec![Definition::new("a", vec![calls.step("a")]), Definition::new("b", vec![calls.step("b")])]
}

#[tokio::test]
async fn a_rolled_back_transaction_leaves_no_job() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    doce_store::setting::set(&mut tx, "colour", "green").await.unwrap();
    let enqueued = bench.jobs.enqueue(&mut tx, bench.job("a", "s")).await.unwrap();
    drop(tx);
    bench.drain().await;
    let mut read = bench.store.read().await.unwrap();
    assert_eq!(job::find(&mut read, enqueued.id).await.unwrap(), None);
    assert_eq!(doce_store::setting::find(&mut read, "colour").await.unwrap(), None);
    assert!(calls.all().is_empty());
}

#[tokio::test]
async fn a_job_and_its_enqueuers_writes_come_together() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    doce_store::setting::set(&mut tx, "colour", "green").await.unwrap();
    let enqueued = bench.jobs.enqueue(&mut tx, bench.job("a", "s")).await.unwrap();
    tx.commit().await.unwrap();
    bench.drain().await;
    assert_eq!(bench.get(enqueued.id).await.state, JobState::Succeeded);
    let mut read = bench.store.read().await.unwrap();
    assert_eq!(doce_store::setting::find(&mut read, "colour").await.unwrap().as_deref(), Some("green"));
}

#[tokio::test]
async fn a_job_reads_back_as_it_was_enqueued() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    let project = ProjectId::new(START);
    let new = bench.job("a", "s").project(project).payload(&serde_json::json!({"n": 1})).run_at(Ms(START.0 + 5));
    let id = bench.enqueue(new).await.id;
    let job = bench.get(id).await;
    assert_eq!(
        (job.kind.as_str(), job.subject.as_str(), job.user_id, job.project_id, job.payload.as_str(), job.run_at),
        ("a", "s", bench.user, Some(project), r#"{"n":1}"#, Ms(START.0 + 5))
    );
    assert_eq!(steps(&job), ["a pending"]);
    assert_eq!((job.state, job.claims, job.started_at), (JobState::Queued, 0, None));
}

#[tokio::test]
async fn a_job_waits_for_its_time() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    bench.enqueue(bench.job("a", "s").run_at(START.plus(Duration::from_mins(1)))).await;
    bench.drain().await;
    assert!(calls.all().is_empty());
    assert_eq!(bench.jobs.next_due().await.unwrap(), Some(START.plus(Duration::from_mins(1))));
    bench.clock.advance(Duration::from_mins(1));
    bench.drain().await;
    assert_eq!(calls.all(), ["a"]);
    assert_eq!(bench.jobs.next_due().await.unwrap(), None);
}

#[tokio::test]
async fn jobs_that_are_due_at_the_same_moment_begin_in_the_order_they_were_made() {
    let calls = Calls::default();
    let noted = calls.clone();
    let says = doce_jobs::Step::new("says", "says", move |step| {
        noted.note(step.job.subject);
        async { Ok(()) }
    });
    let bench = Bench::new(vec![Definition::new("a", vec![says])]).await;
    let subjects: Vec<String> = (0..30).map(|n| format!("s{n}")).collect();
    for subject in &subjects {
        bench.enqueue(bench.job("a", subject)).await;
    }
    bench.drain().await;
    assert_eq!(calls.all(), subjects);
}

#[tokio::test]
async fn a_busy_subject_refuses_a_second_job() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    let first = bench.enqueue(bench.job("a", "s")).await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    let refused = bench.jobs.enqueue(&mut tx, bench.job("b", "s")).await;
    assert!(matches!(refused, Err(EnqueueError::Busy(id)) if id == first.id), "{refused:?}");
    drop(tx);
    bench.enqueue(bench.job("b", "another")).await;
    bench.drain().await;
    bench.enqueue(bench.job("b", "s")).await;
}

#[tokio::test]
async fn jobs_that_coalesce_run_once_with_the_last_payload() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    let want = |n: u32| bench.job("a", "s").payload(&n).policy(Policy::Coalesce);
    let first = bench.enqueue(want(1).run_at(START.plus(Duration::from_secs(9)))).await;
    let second = bench.enqueue(want(2)).await;
    assert_eq!((second.id, second.joined, first.joined), (first.id, true, false));
    let job = bench.get(first.id).await;
    assert_eq!((job.payload.as_str(), job.run_at), ("2", START));
    bench.drain().await;
    assert_eq!(calls.all(), ["a"]);
}

#[tokio::test]
async fn a_job_that_coalesces_queues_behind_one_that_has_begun() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let bench = Bench::new(vec![Definition::new("a", vec![calls.gated("a", &gate)])]).await;
    let want = || bench.job("a", "s").policy(Policy::Coalesce);
    let first = bench.enqueue(want()).await;
    let test = async {
        gate.entered().await;
        let second = bench.enqueue(want()).await;
        assert!(!second.joined && second.id != first.id);
        let third = bench.enqueue(want()).await;
        assert_eq!((third.id, third.joined), (second.id, true));
        gate.open();
        gate.open();
    };
    tokio::join!(bench.drain(), test);
    assert_eq!(calls.all(), ["a", "a"]);
}

#[tokio::test]
async fn a_job_of_another_kind_is_not_joined() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    let a = bench.enqueue(bench.job("a", "s")).await;
    let b = bench.enqueue(bench.job("b", "s").policy(Policy::Coalesce)).await;
    assert!(!b.joined && a.id != b.id);
    bench.drain().await;
    assert_eq!(calls.all().len(), 2);
}

#[tokio::test]
async fn a_superseding_job_begins_after_the_other_is_undone() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let bench = Bench::new(vec![
        Definition::new("a", vec![calls.step("one"), calls.gated("two", &gate), calls.step("three")]),
        Definition::new("b", vec![calls.step("b")]),
    ])
    .await;
    let first = bench.enqueue(bench.job("a", "s")).await;
    let test = async {
        gate.entered().await;
        let second = bench.enqueue(bench.job("b", "s").policy(Policy::Supersede)).await;
        assert_eq!(second.superseded, [first.id]);
        gate.open();
        second.id
    };
    let ((), second) = tokio::join!(bench.drain(), test);
    assert_eq!(calls.all(), ["one", "two", "undo two", "undo one", "b"]);
    assert_eq!(bench.get(first.id).await.state, JobState::Cancelled);
    assert_eq!(bench.get(second).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn a_superseded_job_that_has_not_begun_never_does() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    let first = bench.enqueue(bench.job("a", "s")).await;
    bench.enqueue(bench.job("b", "s").policy(Policy::Supersede)).await;
    let job = bench.get(first.id).await;
    assert_eq!((job.state, steps(&job)), (JobState::Cancelled, vec!["a skipped".to_owned()]));
    bench.drain().await;
    assert_eq!(calls.all(), ["b"]);
}

#[tokio::test]
async fn a_job_waits_for_the_one_it_comes_after_even_if_that_fails() {
    let calls = Calls::default();
    let fails = calls.failing("fails", |attempt| {
        let error = failure("broken");
        Some(if attempt == 1 { doce_jobs::StepError::retry(error) } else { doce_jobs::StepError::fail(error) })
    });
    let bench = Bench::new(vec![Definition::new("a", vec![fails]), Definition::new("b", vec![calls.step("b")])]).await;
    let first = bench.enqueue(bench.job("a", "one")).await;
    bench.enqueue(bench.job("b", "two").after(first.id)).await;
    bench.drain().await;
    assert_eq!(calls.take(), ["fails"], "the second waits while the first waits for its next try");
    bench.finish().await;
    assert_eq!(calls.all(), ["fails", "undo fails", "b"]);
    assert_eq!(code(&bench.get(first.id).await), "broken");
}

#[tokio::test]
async fn no_job_of_a_subject_begins_between_two_tries_of_another() {
    let calls = Calls::default();
    let flaky = calls.failing("flaky", |attempt| {
        (attempt == 1).then(|| doce_jobs::StepError::retry(failure("flaky")).after(Duration::from_secs(30)))
    });
    let bench = Bench::new(vec![Definition::new("a", vec![flaky]), Definition::new("b", vec![calls.step("b")])]).await;
    bench.enqueue(bench.job("a", "s")).await;
    bench.drain().await;
    bench.enqueue(bench.job("b", "s").policy(Policy::Coalesce)).await;
    bench.enqueue(bench.job("b", "another")).await;
    bench.drain().await;
    assert_eq!(calls.take(), ["flaky", "b"], "only the other subject's job runs");
    bench.finish().await;
    assert_eq!(calls.all(), ["flaky", "b"]);
}

#[tokio::test]
async fn only_one_job_of_a_subject_runs_at_a_time() {
    let (calls, gate) = (Calls::default(), Gate::new());
    let kinds = |calls: &Calls| vec![Definition::new("a", vec![calls.gated("a", &gate)])];
    let bench = Bench::new(kinds(&calls)).await;
    let other = bench.queue(doce_jobs::Settings::default(), kinds(&calls));
    bench.enqueue(bench.job("a", "s")).await;
    let test = async {
        gate.entered().await;
        bench.enqueue(bench.job("a", "s").policy(Policy::Coalesce)).await;
        assert_eq!(bounded(other.drain()).await.unwrap(), 0, "the subject's second job was claimed");
        gate.open();
        gate.open();
    };
    tokio::join!(bench.drain(), test);
    assert_eq!(calls.all().len(), 2);
}

#[tokio::test]
async fn what_nobody_defined_is_refused() {
    let bench = Bench::new(two(&Calls::default())).await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    let refused = bench.jobs.enqueue(&mut tx, bench.job("c", "s")).await;
    assert!(matches!(refused, Err(EnqueueError::UnknownKind(kind)) if kind == "c"));
}

#[tokio::test]
async fn a_payload_has_a_limit() {
    let bench = Bench::new(two(&Calls::default())).await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    // As JSON, a text has two quotes.
    let fits = "x".repeat(MAX_PAYLOAD - 2);
    bench.jobs.enqueue(&mut tx, bench.job("a", "s").payload(&fits)).await.unwrap();
    let refused = bench.jobs.enqueue(&mut tx, bench.job("a", "t").payload(&format!("{fits}x"))).await;
    assert!(matches!(refused, Err(EnqueueError::PayloadTooLong(n)) if n == MAX_PAYLOAD + 1));
}

#[tokio::test]
async fn a_user_can_not_fill_the_queue_for_ever() {
    let bench = Bench::new(two(&Calls::default())).await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    for n in 0..MAX_LIVE_PER_USER {
        bench.jobs.enqueue(&mut tx, bench.job("a", &format!("s{n}"))).await.unwrap();
    }
    let refused = bench.jobs.enqueue(&mut tx, bench.job("a", "one more")).await;
    assert!(matches!(refused, Err(EnqueueError::TooMany)));
    let another = New::new("a", "theirs", UserId::new(START));
    bench.jobs.enqueue(&mut tx, another).await.unwrap();
}

#[tokio::test]
async fn many_jobs_are_enqueued_together_in_their_order() {
    let calls = Calls::default();
    let bench = Bench::new(vec![Definition::new("a", vec![calls.step("first"), calls.step("then")])]).await;
    let waiting = bench.enqueue(bench.job("a", "s7").policy(Policy::Coalesce)).await.id;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    let all = (0..100).map(|n| bench.job("a", &format!("s{n}")).payload(&n).policy(Policy::Coalesce));
    let enqueued = bench.jobs.enqueue_all(&mut tx, all.collect()).await.unwrap();
    tx.commit().await.unwrap();
    let joined: Vec<_> = enqueued.iter().filter(|enqueued| enqueued.joined).map(|enqueued| enqueued.id).collect();
    assert_eq!((enqueued.len(), joined), (100, vec![waiting]));
    for (n, enqueued) in enqueued.iter().enumerate() {
        let job = bench.get(enqueued.id).await;
        assert_eq!((&job.subject, &job.payload), (&format!("s{n}"), &n.to_string()));
        assert_eq!(steps(&job), ["first pending", "then pending"]);
    }
    let subjects = (0..100).map(|n| format!("s{n}")).collect();
    let present = job::present(&mut bench.store.read().await.unwrap(), &subjects).await.unwrap();
    let mut expected: Vec<_> = enqueued.iter().map(|enqueued| enqueued.id).filter(|id| *id != waiting).collect();
    expected.insert(0, waiting);
    assert_eq!(present.iter().map(|job| job.id).collect::<Vec<_>>(), expected, "oldest first");
}

#[tokio::test]
async fn of_many_jobs_that_are_too_many_none_is_enqueued() {
    let bench = Bench::new(two(&Calls::default())).await;
    let jobs = |from: i64, to: i64| (from..to).map(|n| bench.job("a", &format!("s{n}"))).collect::<Vec<_>>();
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    bench.jobs.enqueue_all(&mut tx, jobs(0, MAX_LIVE_PER_USER - 1)).await.unwrap();
    let refused = bench.jobs.enqueue_all(&mut tx, jobs(MAX_LIVE_PER_USER, MAX_LIVE_PER_USER + 2)).await;
    assert!(matches!(refused, Err(EnqueueError::TooMany)));
    bench.jobs.enqueue(&mut tx, bench.job("a", "one more")).await.unwrap();
}

#[tokio::test]
async fn a_retry_is_a_job_of_its_own() {
    let calls = Calls::default();
    let fails = calls.failing("fails", |_| Some(doce_jobs::StepError::fail(failure("broken"))));
    let bench = Bench::new(vec![Definition::new("a", vec![fails])]).await;
    let first = bench.enqueue(bench.job("a", "s").payload(&7).project(ProjectId::new(START))).await.id;
    bench.drain().await;
    let before = bench.get(first).await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    let second = bench.jobs.retry(&mut tx, first).await.unwrap();
    let busy = bench.jobs.retry(&mut tx, first).await;
    assert!(matches!(busy, Err(RetryError::Enqueue(EnqueueError::Busy(id))) if id == second), "{busy:?}");
    tx.commit().await.unwrap();
    let job = bench.get(second).await;
    assert_eq!((job.retry_of, job.payload.as_str(), job.project_id), (Some(first), "7", before.project_id));
    assert_eq!((job.state, steps(&job)), (JobState::Queued, vec!["fails pending".to_owned()]));
    assert_eq!(bench.get(first).await, before, "what happened stays told");
}

#[tokio::test]
async fn a_job_that_lives_or_succeeded_is_not_retried() {
    let bench = Bench::new(two(&Calls::default())).await;
    let id = bench.enqueue(bench.job("a", "s")).await.id;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    let refused = bench.jobs.retry(&mut tx, id).await;
    assert!(matches!(refused, Err(RetryError::NotFailed(JobState::Queued))));
    drop(tx);
    bench.drain().await;
    let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
    let refused = bench.jobs.retry(&mut tx, id).await;
    assert!(matches!(refused, Err(RetryError::NotFailed(JobState::Succeeded))));
    let unknown = doce_model::JobId::new(START);
    assert!(matches!(bench.jobs.retry(&mut tx, unknown).await, Err(RetryError::NotFound(id)) if id == unknown));
}

#[tokio::test]
async fn jobs_that_ended_long_ago_are_deleted_with_their_logs() {
    let calls = Calls::default();
    let says = doce_jobs::Step::new("says", "says", |step| async move {
        step.log(doce_model::LogLevel::Info, "hello");
        Ok(())
    });
    let bench = Bench::new(vec![Definition::new("a", vec![says, calls.step("b")])]).await;
    let old = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    assert_eq!(bench.log(old).await.len(), 1);
    bench.clock.advance(Duration::from_millis(1));
    let newer = bench.enqueue(bench.job("a", "s")).await.id;
    bench.drain().await;
    let live = bench.enqueue(bench.job("a", "s").run_at(Ms(i64::MAX))).await.id;
    bench.clock.advance(RETENTION);
    assert_eq!(bench.jobs.prune(RETENTION).await.unwrap(), 1);
    let mut read = bench.store.read().await.unwrap();
    assert_eq!(job::find(&mut read, old).await.unwrap(), None);
    assert!(bench.log(old).await.is_empty());
    assert!(job::find(&mut read, newer).await.unwrap().is_some());
    assert!(job::find(&mut read, live).await.unwrap().is_some());
}

#[tokio::test]
async fn a_list_is_filtered_and_paged_newest_first() {
    let bench = Bench::new(two(&Calls::default())).await;
    let project = ProjectId::new(START);
    let mut ids = Vec::new();
    for n in 0..5 {
        bench.clock.advance(Duration::from_millis(1));
        let kind = if n % 2 == 0 { "a" } else { "b" };
        ids.push(bench.enqueue(bench.job(kind, &format!("s{n}")).project(project)).await.id);
    }
    bench.enqueue(New::new("a", "theirs", UserId::new(START))).await;
    ids.reverse();
    let mine = Filter { user_id: Some(bench.user), ..Filter::default() };
    let mut read = bench.store.read().await.unwrap();
    let first = job::list(&mut read, &mine, None, 3).await.unwrap();
    let last = first.last().unwrap();
    let second = job::list(&mut read, &mine, Some((last.created_at, last.id)), 3).await.unwrap();
    let listed: Vec<_> = first.iter().chain(&second).map(|job| job.id).collect();
    assert_eq!(listed, ids);
    assert!(first.iter().all(|job| job.steps.len() == 1));
    drop(read);
    bench.drain().await;
    let mut read = bench.store.read().await.unwrap();
    let count =
        async |filter: Filter, read: &mut doce_store::Reader| job::list(read, &filter, None, 100).await.unwrap().len();
    assert_eq!(count(Filter::default(), &mut read).await, 6);
    assert_eq!(count(Filter { kind: Some("b".to_owned()), ..Filter::default() }, &mut read).await, 2);
    assert_eq!(count(Filter { project_id: Some(project), ..Filter::default() }, &mut read).await, 5);
    assert_eq!(count(Filter { state: Some(JobState::Queued), ..Filter::default() }, &mut read).await, 0);
    assert_eq!(count(Filter { state: Some(JobState::Succeeded), ..mine }, &mut read).await, 5);
}

#[tokio::test]
async fn of_a_subject_the_newest_job_is_known_and_all_that_live() {
    let calls = Calls::default();
    let bench = Bench::new(two(&calls)).await;
    bench.enqueue(bench.job("a", "over")).await;
    bench.drain().await;
    let newest = bench.enqueue(bench.job("b", "over")).await.id;
    bench.enqueue(bench.job("a", "busy")).await;
    bench.drain().await;
    let first = bench.enqueue(bench.job("a", "busy").run_at(Ms(START.0 + 3_600_000))).await.id;
    let mut read = bench.store.read().await.unwrap();
    let subjects = ["over", "busy", "never"].map(str::to_owned).into();
    let present: Vec<_> = job::present(&mut read, &subjects).await.unwrap().into_iter().map(|job| job.id).collect();
    assert_eq!(present, [newest, first]);
    assert!(job::present(&mut read, &[].into()).await.unwrap().is_empty());
}
