//! Everything that may happen to Jobs, in random order, beside a model of the state machine: after each thing the rows
//! say what the model says.

#![expect(clippy::unwrap_used, reason = "a test that can not go on ends there")]

use std::time::Duration;

use doce_jobs::{CancelRequest, Definition, EnqueueError, HEAD_START, New, Policy, RETENTION, RetryError, Settings};
use doce_model::{Clock as _, Direction, JobId, JobState, Ms, StepState, job::UNTIL_RESUMED};
use doce_store::{
    Tx,
    job::{self, FARTHEST, Lease, LeaseError},
};
use proptest::{
    collection::vec,
    prelude::{Just, Strategy, any, prop_oneof},
    test_runner::{Config, TestRunner},
};

use crate::bench::{Bench, Calls, failure};

/// Sequences that a run tries. Each has a database of its own.
const CASES: u32 = 32;
/// Things that happen in one.
const LENGTH: usize = 60;
/// What Jobs work on.
const SUBJECTS: [&str; 3] = ["s", "t", "u"];

/// Something that happens. Numbers choose among what there is, modulo how many there are.
#[derive(Debug, Clone)]
enum Op {
    Enqueue { background: bool, subject: usize, policy: Policy, seconds: u64, after: Option<usize> },
    Retry(usize),
    Claim,
    Renew(usize),
    BeginStep(usize),
    EndStep(usize),
    Park(usize, u64),
    Wait(usize),
    Turn(usize, bool),
    Undone(usize),
    Finish(usize),
    Release(usize),
    Vanish(usize),
    Cancel(usize),
    Resume(usize),
    Restart,
    Pass(u64),
    SetBack(u64),
    Pause,
    EndPause,
    Prune,
}

fn op() -> impl Strategy<Value = Op> {
    let n = || any::<usize>();
    // A moment, a lease, the longest wait, hours.
    let span = || prop_oneof![0..3_u64, Just(31), Just(1000), Just(40_000)];
    let policy = prop_oneof![Just(Policy::Reject), Just(Policy::Coalesce), Just(Policy::Supersede)];
    prop_oneof![
        6 => (any::<bool>(), n(), policy, span(), proptest::option::weighted(0.2, n())).prop_map(
            |(background, subject, policy, seconds, after)| Op::Enqueue { background, subject, policy, seconds, after }
        ),
        1 => n().prop_map(Op::Retry),
        8 => Just(Op::Claim),
        1 => n().prop_map(Op::Renew),
        3 => n().prop_map(Op::BeginStep),
        2 => n().prop_map(Op::EndStep),
        2 => (n(), span()).prop_map(|(n, seconds)| Op::Park(n, seconds)),
        1 => n().prop_map(Op::Wait),
        2 => (n(), any::<bool>()).prop_map(|(n, failed)| Op::Turn(n, failed)),
        1 => n().prop_map(Op::Undone),
        4 => n().prop_map(Op::Finish),
        1 => n().prop_map(Op::Release),
        2 => n().prop_map(Op::Vanish),
        2 => n().prop_map(Op::Cancel),
        2 => n().prop_map(Op::Resume),
        1 => Just(Op::Restart),
        4 => span().prop_map(Op::Pass),
        2 => span().prop_map(Op::SetBack),
        1 => Just(Op::Pause),
        2 => Just(Op::EndPause),
        1 => Just(Op::Prune),
    ]
}

/// A Job as the model knows it, with its one step.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "as the row has them")]
struct Known {
    id: JobId,
    background: bool,
    subject: &'static str,
    after: Option<JobId>,
    state: JobState,
    undo: bool,
    run_at: Ms,
    created_at: Ms,
    begun: bool,
    claims: i64,
    crashes: i64,
    cancelled: bool,
    failure: Option<&'static str>,
    finished_at: Option<Ms>,
    step: StepState,
    attempts: i64,
    undone: bool,
}

/// A lease that was given at some time.
struct Given {
    lease: Lease,
    id: JobId,
    /// Which claim of its Job it came from: the last one's alone is good.
    claim: i64,
    until: Ms,
    lives: bool,
}

struct World {
    bench: Bench,
    /// By age. What was deleted isn't there.
    known: Vec<Known>,
    given: Vec<Given>,
    paused: bool,
}

#[test]
fn whatever_happens_the_rows_say_what_the_model_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let sequences = vec(op(), 1..LENGTH);
    let outcome = TestRunner::new(config).run(&sequences, |ops| {
        runtime.block_on(async {
            let mut world = World::new().await;
            for op in &ops {
                world.happen(op).await;
                world.compare(op).await;
            }
        });
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

impl World {
    async fn new() -> Self {
        let calls = Calls::default();
        let kinds = vec![
            Definition::new("awaited", vec![calls.step("one")]),
            Definition::new("quiet", vec![calls.step("one")]).background(),
        ];
        Self { bench: Bench::new(kinds).await, known: Vec::new(), given: Vec::new(), paused: false }
    }

    fn now(&self) -> Ms {
        self.bench.clock.now()
    }

    async fn tx(&self) -> Tx {
        self.bench.store.write(&self.bench.ctx()).await.unwrap()
    }

    fn get(&mut self, id: JobId) -> &mut Known {
        self.known.iter_mut().find(|known| known.id == id).expect("the model knows it")
    }

    fn is_live(&self, id: JobId) -> bool {
        self.known.iter().any(|known| known.id == id && known.state.is_live())
    }

    fn live(&self) -> Vec<Lease> {
        self.given.iter().filter(|given| given.lives).map(|given| given.lease).collect()
    }

    fn lives(&self, id: JobId) -> bool {
        self.given.iter().any(|given| given.lives && given.id == id)
    }

    fn pick(&self, n: usize) -> Option<JobId> {
        (!self.known.is_empty()).then(|| self.known[n % self.known.len()].id)
    }

    async fn happen(&mut self, op: &Op) {
        let now = self.now();
        match *op {
            Op::Enqueue { background, subject, policy, seconds, after } => {
                let after = after.and_then(|n| self.pick(n));
                self.enqueue(background, SUBJECTS[subject % SUBJECTS.len()], policy, seconds, after).await;
            }
            Op::Retry(n) => {
                if let Some(id) = self.pick(n) {
                    self.retry(id).await;
                }
            }
            Op::Claim => self.claim().await,
            Op::Renew(n) => {
                let until = now.plus(Settings::default().lease);
                let cancelled = self.under(n, async |tx, lease| job::renew(tx, lease, until).await).await;
                if let Some((index, id, cancelled)) = cancelled {
                    self.given[index].until = until;
                    assert_eq!(cancelled.is_some(), self.get(id).cancelled);
                }
            }
            Op::BeginStep(n) => {
                let way = match self.given.get(n % self.given.len().max(1)).map(|given| given.id) {
                    Some(id) if self.known.iter().any(|known| known.id == id && known.undo) => Direction::Undo,
                    _ => Direction::Forward,
                };
                let until = now.plus(Settings::default().lease);
                let done = self.under(n, async |tx, lease| job::begin_step(tx, lease, until, 0, way).await).await;
                if let Some((index, id, ())) = done {
                    self.given[index].until = until;
                    if way == Direction::Forward {
                        let known = self.get(id);
                        (known.step, known.attempts) = (StepState::Running, known.attempts + 1);
                    }
                }
            }
            Op::EndStep(n) => {
                let done = self
                    .under(n, async |tx, lease| job::end_step(tx, lease, 0, StepState::Succeeded, None).await)
                    .await;
                if let Some((_, id, _)) = done {
                    let known = self.get(id);
                    (known.step, known.crashes) = (StepState::Succeeded, 0);
                }
            }
            Op::Park(n, seconds) => {
                let run_at = now.plus(Duration::from_secs(seconds).min(FARTHEST));
                if let Some((index, id, ())) = self.under(n, async |tx, lease| job::park(tx, lease, run_at).await).await
                {
                    self.given[index].lives = false;
                    let known = self.get(id);
                    (known.state, known.crashes, known.run_at) = (JobState::Queued, 0, run_at);
                }
            }
            Op::Wait(n) => {
                let keyless = failure("keyless");
                if let Some((index, id, ())) =
                    self.under(n, async |tx, lease| job::wait(tx, lease, 0, &keyless).await).await
                {
                    self.given[index].lives = false;
                    let known = self.get(id);
                    (known.state, known.crashes, known.run_at) = (JobState::Queued, 0, UNTIL_RESUMED);
                    (known.failure, known.step, known.attempts) =
                        (Some("keyless"), StepState::Pending, known.attempts - 1);
                }
            }
            Op::Turn(n, failed) => {
                let why = failed.then(|| failure("broken"));
                if let Some((_, id, ())) =
                    self.under(n, async |tx, lease| job::turn(tx, lease, why.as_ref()).await).await
                {
                    let known = self.get(id);
                    (known.undo, known.crashes, known.failure) = (true, 0, failed.then_some("broken"));
                }
            }
            Op::Undone(n) => {
                if let Some((_, id, ())) = self.under(n, async |tx, lease| job::undone_step(tx, lease, 0).await).await {
                    let known = self.get(id);
                    (known.step, known.undone, known.crashes) = (StepState::Undone, true, 0);
                }
            }
            Op::Finish(n) => self.finish(n).await,
            Op::Release(n) => {
                if let Some((index, id, ())) = self.under(n, async |tx, lease| job::release(tx, lease).await).await {
                    self.given[index].lives = false;
                    self.get(id).state = JobState::Queued;
                }
            }
            Op::Vanish(n) => {
                if !self.given.is_empty() {
                    let index = n % self.given.len();
                    self.given[index].lives = false;
                }
            }
            Op::Cancel(n) => {
                if let Some(id) = self.pick(n) {
                    let mut tx = self.tx().await;
                    let found = self.bench.jobs.cancel(&mut tx, id).await.unwrap();
                    tx.commit().await.unwrap();
                    assert_eq!(found, self.cancel(id));
                }
            }
            Op::Resume(n) => {
                if let Some(id) = self.pick(n) {
                    let mut tx = self.tx().await;
                    let resumed = self.bench.jobs.resume(&mut tx, id).await.unwrap();
                    tx.commit().await.unwrap();
                    let known = self.get(id);
                    let waits = known.state == JobState::Queued && known.run_at == UNTIL_RESUMED;
                    if waits {
                        (known.run_at, known.failure) = (now, None);
                    }
                    assert_eq!(resumed, waits);
                }
            }
            Op::Restart => {
                self.bench.jobs.recover().await.unwrap();
                self.given.iter_mut().for_each(|given| given.lives = false);
                for known in self.known.iter_mut().filter(|known| known.state == JobState::Running) {
                    (known.state, known.crashes) = (JobState::Queued, known.crashes + 1);
                }
            }
            Op::Pass(seconds) => self.bench.clock.advance(Duration::from_secs(seconds)),
            Op::SetBack(seconds) => self.bench.clock.set_back(Duration::from_secs(seconds)),
            Op::Pause => {
                assert_eq!(self.bench.pause().await, !self.paused);
                self.paused = true;
            }
            Op::EndPause => {
                assert_eq!(self.bench.end_pause().await, self.paused);
                self.paused = false;
            }
            Op::Prune => {
                self.bench.clock.advance(RETENTION);
                let before = self.known.len();
                self.known.retain(|known| known.finished_at.is_none_or(|at| at >= now));
                let deleted = self.bench.jobs.prune(RETENTION).await.unwrap();
                assert_eq!(deleted, u64::try_from(before - self.known.len()).unwrap());
            }
        }
    }

    /// Does something under a lease, good or bad. Says under which, if the model says that it is good.
    async fn under<T>(
        &self,
        n: usize,
        act: impl AsyncFnOnce(&mut Tx, Lease) -> Result<T, LeaseError>,
    ) -> Option<(usize, JobId, T)> {
        if self.given.is_empty() {
            return None;
        }
        let index = n % self.given.len();
        let given = &self.given[index];
        let good = self
            .known
            .iter()
            .any(|known| known.id == given.id && known.state == JobState::Running && known.claims == given.claim);
        let mut tx = self.tx().await;
        match act(&mut tx, given.lease).await {
            Ok(done) => {
                assert!(good, "a lease that is lost still writes");
                tx.commit().await.unwrap();
                Some((index, given.id, done))
            }
            Err(LeaseError::Lost(id)) => {
                assert!(!good, "the lease of `{id}` is good");
                None
            }
            Err(LeaseError::Store(error)) => panic!("{error:?}"),
        }
    }

    async fn enqueue(
        &mut self,
        background: bool,
        subject: &'static str,
        policy: Policy,
        seconds: u64,
        after: Option<JobId>,
    ) {
        let now = self.now();
        let run_at = now.plus(Duration::from_secs(seconds).min(FARTHEST));
        let kind = if background { "quiet" } else { "awaited" };
        let mut new =
            New::new(kind, subject, self.bench.user).policy(policy).run_at(now.plus(Duration::from_secs(seconds)));
        if let Some(after) = after {
            new = new.after(after);
        }
        let mut tx = self.tx().await;
        let outcome = self.bench.jobs.enqueue(&mut tx, new).await;
        tx.commit().await.unwrap();
        let busy: Vec<JobId> = self
            .known
            .iter()
            .filter(|known| known.subject == subject && known.state.is_live())
            .map(|known| known.id)
            .collect();
        let enqueued = match outcome {
            Err(EnqueueError::Busy(id)) => {
                assert_eq!((policy, Some(&id)), (Policy::Reject, busy.first()));
                return;
            }
            outcome => outcome.unwrap(),
        };
        assert!(policy != Policy::Reject || busy.is_empty());
        let joins = self.known.iter_mut().find(|known| {
            policy == Policy::Coalesce
                && known.subject == subject
                && known.background == background
                && known.state == JobState::Queued
                && !known.begun
                && (after.is_none() || known.after == after)
        });
        if let Some(joined) = joins {
            assert!(enqueued.joined && enqueued.id == joined.id, "one that waits can do it");
            joined.run_at = joined.run_at.min(run_at);
            return;
        }
        if policy == Policy::Supersede {
            assert_eq!(enqueued.superseded, busy);
            for id in busy {
                self.cancel(id);
            }
        }
        self.add(enqueued.id, background, subject, after, run_at);
    }

    fn add(&mut self, id: JobId, background: bool, subject: &'static str, after: Option<JobId>, run_at: Ms) {
        let created_at = self.now();
        self.known.push(Known {
            id,
            background,
            subject,
            after,
            state: JobState::Queued,
            undo: false,
            run_at,
            created_at,
            begun: false,
            claims: 0,
            crashes: 0,
            cancelled: false,
            failure: None,
            finished_at: None,
            step: StepState::Pending,
            attempts: 0,
            undone: false,
        });
    }

    async fn retry(&mut self, id: JobId) {
        let old = self.get(id).clone();
        let busy = self.known.iter().any(|known| known.subject == old.subject && known.state.is_live());
        let mut tx = self.tx().await;
        let outcome = self.bench.jobs.retry(&mut tx, id).await;
        tx.commit().await.unwrap();
        match (old.state, outcome) {
            (JobState::Queued | JobState::Running | JobState::Succeeded, Err(RetryError::NotFailed(state))) => {
                assert_eq!(state, old.state);
            }
            (_, Err(RetryError::Enqueue(EnqueueError::Busy(_)))) => assert!(busy),
            (JobState::Failed | JobState::Cancelled | JobState::Stuck, Ok(again)) => {
                assert!(!busy);
                self.add(again, old.background, old.subject, None, self.now());
            }
            (state, outcome) => panic!("{state}: {outcome:?}"),
        }
    }

    fn cancel(&mut self, id: JobId) -> CancelRequest {
        let now = self.now();
        let known = self.get(id);
        if !known.state.is_live() {
            return CancelRequest::Ended;
        }
        known.cancelled = true;
        if known.state == JobState::Queued && !known.begun {
            (known.state, known.finished_at, known.step) = (JobState::Cancelled, Some(now), StepState::Skipped);
            return CancelRequest::Cancelled;
        }
        if known.state == JobState::Queued && !known.undo {
            known.run_at = known.run_at.min(now);
        }
        CancelRequest::Requested
    }

    /// Whether nothing but its time keeps a Job from being claimed.
    fn is_free(&self, job: &Known) -> bool {
        let under_way = |other: &Known| {
            other.id != job.id
                && other.subject == job.subject
                && (other.state == JobState::Running || (other.state == JobState::Queued && other.begun))
        };
        job.state == JobState::Queued
            && (job.begun || !self.paused)
            && !job.after.is_some_and(|after| self.is_live(after))
            && !self.known.iter().any(under_way)
    }

    async fn claim(&mut self) {
        let (now, longest) = (self.now(), Settings::default().lease);
        let until = now.plus(longest);
        let live = self.live();
        let mut tx = self.tx().await;
        let mut released = job::release_expired(&mut tx, &live, longest).await.unwrap();
        let claimed = job::claim(&mut tx, until).await.unwrap();
        tx.commit().await.unwrap();

        let mut silent = Vec::new();
        for known in &self.known {
            let given = self.given.iter().find(|given| given.id == known.id && given.claim == known.claims);
            let over = given.is_some_and(|given| given.until <= now || given.until > until);
            if known.state == JobState::Running && over && !self.lives(known.id) {
                silent.push(known.id);
            }
        }
        for id in &silent {
            let known = self.get(*id);
            (known.state, known.crashes) = (JobState::Queued, known.crashes + 1);
        }
        released.sort_unstable();
        silent.sort_unstable();
        assert_eq!(released, silent, "whose worker is dead");

        let is_due = |known: &&Known| {
            known.run_at != UNTIL_RESUMED
                && (known.run_at <= now
                    || known.run_at > now.plus(FARTHEST)
                    || (known.claims == 0 && known.created_at > now))
        };
        let turn = |known: &&Known| {
            let head_start = if known.background { Duration::ZERO } else { HEAD_START };
            known.run_at.0 - i64::try_from(head_start.as_millis()).unwrap()
        };
        // `min_by_key` takes the first of equals: the oldest.
        let next = self.known.iter().filter(|known| self.is_free(known)).filter(is_due).min_by_key(turn);
        assert_eq!(claimed.map(|lease| lease.job_id), next.map(|known| known.id), "whose turn it is");
        if let Some(lease) = claimed {
            let known = self.get(lease.job_id);
            (known.state, known.begun, known.claims) = (JobState::Running, true, known.claims + 1);
            let claim = known.claims;
            self.given.push(Given { lease, id: lease.job_id, claim, until, lives: true });
        }
    }

    async fn finish(&mut self, n: usize) {
        let now = self.now();
        let Some(given) = self.given.get(n % self.given.len().max(1)) else { return };
        let known = self.known.iter().find(|known| known.id == given.id);
        let (state, why) = match known {
            Some(known) if known.undo && known.failure.is_some() => (JobState::Failed, Some("broken")),
            Some(known) if known.undo => (JobState::Cancelled, None),
            Some(_) | None => (JobState::Succeeded, None),
        };
        let reason = why.map(failure);
        let done = self.under(n, async |tx, lease| job::finish(tx, lease, state, reason.as_ref()).await).await;
        if let Some((index, id, ())) = done {
            self.given[index].lives = false;
            let known = self.get(id);
            (known.state, known.failure, known.finished_at) = (state, why, Some(now));
            known.step = match known.step {
                // A Job succeeds when its steps have, so they are left alone.
                step if state == JobState::Succeeded => step,
                StepState::Pending | StepState::Running if known.attempts > 0 => StepState::Failed,
                StepState::Pending => StepState::Skipped,
                step @ (StepState::Running
                | StepState::Succeeded
                | StepState::Failed
                | StepState::Undone
                | StepState::Skipped) => step,
            };
        }
    }

    async fn compare(&self, op: &Op) {
        let mut read = self.bench.store.read().await.unwrap();
        for known in &self.known {
            let job = job::find(&mut read, known.id).await.unwrap().expect("a job is lost");
            let row = Known {
                id: job.id,
                background: job.kind == "quiet",
                subject: SUBJECTS.into_iter().find(|subject| *subject == job.subject).unwrap(),
                after: job.after,
                state: job.state,
                undo: job.direction == Direction::Undo,
                run_at: job.run_at,
                created_at: job.created_at,
                begun: job.started_at.is_some(),
                claims: job.claims,
                crashes: job.crashes,
                cancelled: job.cancel_requested_at.is_some(),
                failure: job.failure.map(|failure| if failure.code == "broken" { "broken" } else { "keyless" }),
                finished_at: job.finished_at,
                step: job.steps[0].state,
                attempts: job.steps[0].attempts,
                undone: job.steps[0].undone_at.is_some(),
            };
            assert_eq!(&row, known, "after {op:?}");
        }
        let rows = job::list(&mut read, &job::Filter::default(), None, 1000).await.unwrap();
        assert_eq!(rows.len(), self.known.len(), "after {op:?}: a job is there that nobody made");
        for subject in SUBJECTS {
            let running =
                self.known.iter().filter(|known| known.subject == subject && known.state == JobState::Running);
            assert!(running.count() <= 1, "after {op:?}: two jobs of one subject run");
        }
        assert_eq!(job::pause::find(&mut read).await.unwrap().is_some(), self.paused);
        let due = self
            .known
            .iter()
            .filter(|known| known.run_at != UNTIL_RESUMED && self.is_free(known))
            .map(|known| known.run_at);
        let silent = self.given.iter().filter(|given| {
            !self.lives(given.id)
                && self.known.iter().any(|known| {
                    known.id == given.id && known.state == JobState::Running && known.claims == given.claim
                })
        });
        let next = due.chain(silent.map(|given| given.until)).min();
        assert_eq!(job::next_due(&mut read, &self.live()).await.unwrap(), next, "after {op:?}");
    }
}
