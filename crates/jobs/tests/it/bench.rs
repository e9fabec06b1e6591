//! A database, a clock, a queue, and toy steps that note when they are called.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use doce_jobs::{Definition, Enqueued, Jobs, New, Observer, Settings, Step, StepError};
use doce_model::{Actor, Clock, Ctx, Direction, Failure, Job, JobId, JobLine, Ms, NextMove, UserId};
use doce_store::Store;
use tokio::sync::Semaphore;

use crate::backend::Fresh;

/// How long a test waits for what should happen at once.
pub(crate) const BOUND: Duration = Duration::from_secs(20);
/// The moment at which every test begins.
pub(crate) const START: Ms = Ms(1_790_000_000_000);

/// A clock that goes only when it is told to.
#[derive(Debug)]
pub(crate) struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Ms {
        Ms(self.0.load(Ordering::SeqCst))
    }
}

impl SetClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).expect("a short time"), Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, by: Duration) {
        self.0.fetch_sub(i64::try_from(by.as_millis()).expect("a short time"), Ordering::SeqCst);
    }
}

/// A clock that goes by itself.
#[derive(Debug)]
pub(crate) struct GoingClock(std::time::Instant);

impl Clock for GoingClock {
    fn now(&self) -> Ms {
        START.plus(self.0.elapsed())
    }
}

impl GoingClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(std::time::Instant::now()))
    }
}

/// What the toy steps noted, in order.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lock().expect("nobody panics here").push(text.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics here").clone()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics here"))
    }

    /// A step that notes its name, and `undo <name>` when it is taken back.
    pub(crate) fn step(&self, name: &'static str) -> Step {
        let (run, undo) = (self.clone(), self.clone());
        Step::new(name, name, move |_| {
            run.note(name);
            async { Ok(()) }
        })
        .undo(move |_| {
            undo.note(format!("undo {name}"));
            async { Ok(()) }
        })
    }

    /// A step that notes its name and fails with the error that `error` makes of the try's number.
    pub(crate) fn failing(&self, name: &'static str, error: fn(u32) -> Option<StepError>) -> Step {
        let (run, undo) = (self.clone(), self.clone());
        Step::new(name, name, move |step| {
            run.note(name);
            async move { error(step.attempt).map_or(Ok(()), Err) }
        })
        .undo(move |_| {
            undo.note(format!("undo {name}"));
            async { Ok(()) }
        })
    }

    /// A step that waits until it is let through.
    pub(crate) fn gated(&self, name: &'static str, gate: &Gate) -> Step {
        let (calls, undo, gate) = (self.clone(), self.clone(), gate.clone());
        Step::new(name, name, move |_| {
            let (calls, gate) = (calls.clone(), gate.clone());
            async move {
                calls.note(name);
                let dropped = Dropped(Some((calls, name)));
                gate.pass().await;
                dropped.not();
                Ok(())
            }
        })
        .undo(move |_| {
            undo.note(format!("undo {name}"));
            async { Ok(()) }
        })
    }
}

/// Notes that a step was dropped in its middle.
struct Dropped(Option<(Calls, &'static str)>);

impl Dropped {
    fn not(mut self) {
        self.0 = None;
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some((calls, name)) = &self.0 {
            calls.note(format!("dropped {name}"));
        }
    }
}

/// A place where steps wait, and where the test sees them.
#[derive(Clone)]
pub(crate) struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { entered: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) async fn pass(&self) {
        self.entered.add_permits(1);
        self.open.acquire().await.expect("the gate stands").forget();
    }

    /// Waits until a step has come to the gate.
    pub(crate) async fn entered(&self) {
        bounded(self.entered.acquire()).await.expect("the gate stands").forget();
    }

    /// Lets one step through.
    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }
}

pub(crate) async fn bounded<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, what).await.expect("it happens in time")
}

/// A world of its own for one test.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) jobs: Jobs,
    pub(crate) seen: Arc<Mutex<Vec<JobId>>>,
    pub(crate) user: UserId,
    _fresh: Fresh,
}

impl Bench {
    pub(crate) async fn new(definitions: Vec<Definition>) -> Self {
        let fresh = Fresh::new().await;
        let store = Store::open(&fresh.database).await.expect("the database opens");
        let clock = Arc::new(SetClock(AtomicI64::new(START.0)));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let jobs = Jobs::new(store.clone(), Arc::clone(&clock) as Arc<dyn Clock>, Settings::default(), observer(&seen));
        jobs.define(definitions);
        Self { store, clock, jobs, seen, user: UserId::new(START), _fresh: fresh }
    }

    /// Makes another queue over the same database: another process, or the same after a restart.
    pub(crate) fn queue(&self, settings: Settings, definitions: Vec<Definition>) -> Jobs {
        self.queue_with_clock(settings, definitions, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    pub(crate) fn queue_with_clock(
        &self,
        settings: Settings,
        definitions: Vec<Definition>,
        clock: Arc<dyn Clock>,
    ) -> Jobs {
        let jobs = Jobs::new(self.store.clone(), clock, settings, observer(&self.seen));
        jobs.define(definitions);
        jobs
    }

    pub(crate) fn ctx(&self) -> Ctx {
        Ctx::new(Actor::User(self.user), "req_test", None, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    pub(crate) fn job(&self, kind: &str, subject: &str) -> New {
        New::new(kind, subject, self.user)
    }

    pub(crate) async fn enqueue(&self, new: New) -> Enqueued {
        let mut tx = self.store.write(&self.ctx()).await.expect("a transaction begins");
        let enqueued = self.jobs.enqueue(&mut tx, new).await.expect("the job is accepted");
        tx.commit().await.expect("the transaction commits");
        self.jobs.changed(enqueued.changed());
        enqueued
    }

    pub(crate) async fn cancel(&self, id: JobId) {
        let mut tx = self.store.write(&self.ctx()).await.expect("a transaction begins");
        self.jobs.cancel(&mut tx, id).await.expect("the database works");
        tx.commit().await.expect("the transaction commits");
        self.jobs.changed([id]);
    }

    pub(crate) async fn pause(&self) -> bool {
        let mut tx = self.store.write(&self.ctx()).await.expect("a transaction begins");
        let paused = self.jobs.pause(&mut tx).await.expect("the database works");
        tx.commit().await.expect("the transaction commits");
        paused
    }

    pub(crate) async fn end_pause(&self) -> bool {
        let mut tx = self.store.write(&self.ctx()).await.expect("a transaction begins");
        let ended = self.jobs.end_pause(&mut tx).await.expect("the database works");
        tx.commit().await.expect("the transaction commits");
        self.jobs.wake();
        ended
    }

    pub(crate) async fn drain(&self) {
        bounded(self.jobs.drain()).await.expect("the database works");
    }

    /// Does what is due, now and later, until nothing is left.
    pub(crate) async fn finish(&self) {
        for _ in 0..100 {
            self.drain().await;
            match self.jobs.next_due().await.expect("the database works") {
                Some(at) => self.clock.advance(at.since(self.clock.now())),
                None => return,
            }
        }
        panic!("the jobs do not end");
    }

    pub(crate) async fn get(&self, id: JobId) -> Job {
        let mut read = self.store.read().await.expect("the database works");
        doce_store::job::find(&mut read, id).await.expect("the row reads back").expect("the job exists")
    }

    pub(crate) async fn log(&self, id: JobId) -> Vec<JobLine> {
        let mut read = self.store.read().await.expect("the database works");
        doce_store::job::log(&mut read, id, 0, 10_000).await.expect("the log reads back")
    }

    /// Waits until the Job's row is as wanted.
    pub(crate) async fn until(&self, id: JobId, what: impl Fn(&Job) -> bool) -> Job {
        bounded(async {
            loop {
                let job = self.get(id).await;
                if what(&job) {
                    return job;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

fn observer(seen: &Arc<Mutex<Vec<JobId>>>) -> Observer {
    let seen = Arc::clone(seen);
    Arc::new(move |id| seen.lock().expect("nobody panics here").push(id))
}

pub(crate) fn failure(code: &str) -> Failure {
    Failure::new(code, format!("It was {code}."), NextMove::Retry)
}

/// The steps of a Job, each as `name state`.
pub(crate) fn steps(job: &Job) -> Vec<String> {
    job.steps.iter().map(|step| format!("{} {}", step.name, step.state)).collect()
}

/// The code of a Job's failure.
pub(crate) fn code(job: &Job) -> &str {
    job.failure.as_ref().map_or("", |failure| failure.code.as_str())
}

pub(crate) fn is_undo(way: Direction) -> bool {
    way == Direction::Undo
}
