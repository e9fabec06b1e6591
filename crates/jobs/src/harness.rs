//! The tests that every kind of Job goes through: each step repeated, failed, undone twice, killed, cancelled.
//!
//! A kind's author writes a [`World`] for it and one test per function here. Each function builds a fresh world for
//! each step, breaks that step, drives the Job to its end, checks that the step which broke is the one it broke, and
//! lets the world check itself. Steps wait for nothing real: due moments are reached by [`World::advance`].

use std::{iter, time::Duration};

use doce_model::{Direction, Job, JobId, JobState, StepState};

use crate::Jobs;
pub use crate::fault::{Fault, Kind};

/// Claims that one Job may need before a test gives up on it.
const MAX_TURNS: usize = 200;
/// The last of its waits at which a step is killed.
const MAX_WAIT: u32 = 1000;

/// All that a Job touches, and how to tell what became of it.
pub trait World: Sized {
    /// Whether a step is killed at each of its waits. Otherwise it is at some that are ever further apart: a step that
    /// asks a database waits dozens of times.
    const KILLED_AT_EVERY_WAIT: bool = false;

    /// Builds a world in which the Job would succeed.
    fn fresh() -> impl Future<Output = Self>;

    /// Returns the queue, with the Job's kind defined and nobody at work.
    fn jobs(&self) -> Jobs;

    /// Enqueues the Job, as its use case does.
    fn enqueue(&self) -> impl Future<Output = JobId>;

    /// Does what is due, as workers would. A world that kills more than its queue does it inside of what it kills.
    fn drain(&self) -> impl Future<Output = ()> {
        async {
            self.jobs().drain().await.expect("the database works");
        }
    }

    /// Cancels the Job, as its use case does.
    fn cancel(&self, id: JobId) -> impl Future<Output = ()> {
        async move {
            let jobs = self.jobs();
            let mut tx = jobs.inner.store.write(&jobs.inner.ctx()).await.expect("the database works");
            jobs.cancel(&mut tx, id).await.expect("the database works");
            tx.commit().await.expect("the database works");
            jobs.changed([id]);
        }
    }

    /// Sets the clock forward.
    fn advance(&self, by: Duration);

    /// Forgets what was only in the memory of the process that died.
    fn restart(&mut self) -> impl Future<Output = ()> {
        async {}
    }

    /// Asserts that the world is as the Job, once done, leaves it: each effect there, and there once.
    fn assert_done(&self) -> impl Future<Output = ()>;

    /// Asserts that the world is as before the Job.
    fn assert_unwound(&self) -> impl Future<Output = ()>;

    /// Asserts that the world is as before the Job, which somebody cancelled.
    fn assert_cancelled(&self) -> impl Future<Output = ()> {
        self.assert_unwound()
    }
}

impl Jobs {
    /// Makes something go wrong, once.
    pub fn inject(&self, fault: Fault) {
        self.inner.faults.arm(fault);
    }

    /// Returns the faults that struck.
    pub fn struck(&self) -> Vec<Fault> {
        self.inner.faults.struck()
    }
}

/// Does each step twice in a row: the Job succeeds, as if it had been done once.
///
/// # Panics
/// If a repeat is not harmless.
pub async fn every_step_repeated_succeeds<W: World>() {
    for step in steps::<W>().await {
        let trial = Trial::<W>::run(&[fault(&step.name, Direction::Forward, Kind::Repeat)]).await;
        trial.assert_succeeded();
        trial.world.assert_done().await;
    }
}

/// Makes each step fail, before and after its work: what was done is undone.
///
/// # Panics
/// If something is left behind.
pub async fn every_step_failed_unwinds<W: World>() {
    for step in steps::<W>().await {
        for kind in [Kind::FailBefore, Kind::FailAfter] {
            let trial = Trial::<W>::run(&[fault(&step.name, Direction::Forward, kind)]).await;
            trial.assert_failed_in(&step.name);
            trial.world.assert_unwound().await;
        }
    }
}

/// Makes the last step fail after its work, and takes each step back twice in a row.
///
/// # Panics
/// If undoing what is undone is not harmless.
pub async fn every_undo_repeated_unwinds<W: World>() {
    let steps = steps::<W>().await;
    let last = &steps.last().expect("a Job has steps").name;
    for step in steps.iter().filter(|step| step.undoable) {
        let trial = Trial::<W>::run(&[
            fault(last, Direction::Forward, Kind::FailAfter),
            fault(&step.name, Direction::Undo, Kind::Repeat),
        ])
        .await;
        trial.assert_failed_in(last);
        trial.world.assert_unwound().await;
    }
}

/// Lets the process die inside and after each step: the Job goes on where it was, and succeeds.
///
/// # Panics
/// If a Job is lost or doubled.
pub async fn killed_after_every_step_resumes<W: World>() {
    for step in steps::<W>().await {
        for kind in kills::<W>() {
            let Some(trial) = Trial::<W>::killed(&[fault(&step.name, Direction::Forward, kind)]).await else {
                break;
            };
            trial.assert_succeeded();
            trial.assert_resumed(&step.name, Direction::Forward);
            trial.world.assert_done().await;
        }
    }
}

/// Makes the last step fail after its work, and lets the process die inside and after each undo: what was done is
/// undone.
///
/// # Panics
/// If a Job is left half undone.
pub async fn killed_after_every_undo_unwinds<W: World>() {
    let steps = steps::<W>().await;
    let last = &steps.last().expect("a Job has steps").name;
    for step in steps.iter().filter(|step| step.undoable) {
        for kind in kills::<W>() {
            let faults = [fault(last, Direction::Forward, Kind::FailAfter), fault(&step.name, Direction::Undo, kind)];
            let Some(trial) = Trial::<W>::killed(&faults).await else {
                break;
            };
            trial.assert_failed_in(last);
            trial.assert_resumed(&step.name, Direction::Undo);
            trial.world.assert_unwound().await;
        }
    }
}

/// Cancels the Job while each step is at work: what was done is undone.
///
/// # Panics
/// If something is left behind.
pub async fn every_step_cancelled_unwinds<W: World>() {
    for step in steps::<W>().await {
        let mut held = false;
        for wait in waits::<W>() {
            let faults = [fault(&step.name, Direction::Forward, Kind::CancelInside(wait))];
            let Some(trial) = Trial::<W>::run_if_it_strikes(&faults).await else {
                break;
            };
            held = true;
            trial.assert_cancelled_in(&step.name);
            trial.world.assert_cancelled().await;
        }
        assert!(held, "`{}` waits for nothing, so it can't be cancelled while it is at work", step.name);
    }
}

/// A step of the kind under test.
struct Known {
    name: String,
    undoable: bool,
}

/// A Job that was driven to its end with faults.
struct Trial<W> {
    world: W,
    job: Job,
    what: String,
}

fn fault(step: &str, way: Direction, kind: Kind) -> Fault {
    Fault { job: None, step: step.to_owned(), way, kind }
}

/// Returns how a step is killed: after its work, then at its waits as long as it has some.
fn kills<W: World>() -> impl Iterator<Item = Kind> {
    iter::once(Kind::KillAfter).chain(waits::<W>().map(Kind::KillInside))
}

/// Returns at which of its waits a step is disturbed, as long as it has so many.
fn waits<W: World>() -> impl Iterator<Item = u32> {
    let next = |wait: &u32| Some(if W::KILLED_AT_EVERY_WAIT { wait + 1 } else { wait * 3 });
    iter::successors(Some(1), next).take_while(|wait| *wait <= MAX_WAIT)
}

/// Runs the Job without any fault, and returns its steps.
async fn steps<W: World>() -> Vec<Known> {
    let trial = Trial::<W>::run(&[]).await;
    trial.assert_succeeded();
    trial.world.assert_done().await;
    let jobs = trial.world.jobs();
    let definition = jobs.definition(&trial.job.kind).expect("the kind is defined");
    assert!(!definition.steps.is_empty(), "`{}` has no steps", trial.job.kind);
    definition.steps.iter().map(|step| Known { name: step.name.to_owned(), undoable: step.undo.is_some() }).collect()
}

impl<W: World> Trial<W> {
    async fn run(faults: &[Fault]) -> Self {
        Self::run_if_it_strikes(faults)
            .await
            .unwrap_or_else(|| panic!("{faults:?} did not strike: the step was not reached, or was not done"))
    }

    /// Returns `None` if the step had ended before the wait at which the last of the faults kills it.
    async fn killed(faults: &[Fault]) -> Option<Self> {
        match faults.last().map(|fault| fault.kind) {
            Some(Kind::KillInside(_)) => Self::run_if_it_strikes(faults).await,
            _ => Some(Self::run(faults).await),
        }
    }

    /// Returns `None` if not every fault found its moment.
    async fn run_if_it_strikes(faults: &[Fault]) -> Option<Self> {
        let mut world = W::fresh().await;
        let first = world.jobs();
        let id = world.enqueue().await;
        // A Job like this one may follow it, and is not the one to break.
        let faults: Vec<Fault> = faults.iter().map(|fault| Fault { job: Some(id), ..fault.clone() }).collect();
        for fault in &faults {
            first.inject(fault.clone());
        }
        let mut turns = 0;
        let job = loop {
            turns += 1;
            assert!(turns <= MAX_TURNS, "{faults:?}: the Job does not end");
            let cancel = Box::pin(async {
                let cancels = faults.iter().find(|fault| matches!(fault.kind, Kind::CancelInside(_)));
                if let Some(fault) = cancels.filter(|fault| !first.struck().contains(fault)) {
                    first.inner.faults.until_struck(fault).await;
                    world.cancel(id).await;
                }
                std::future::pending::<()>().await;
            });
            tokio::select! {
                () = Box::pin(world.drain()) => {}
                () = cancel => {}
            }
            let jobs = world.jobs();
            let job = read(&jobs, id).await;
            match job.state {
                JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Stuck => {
                    break job;
                }
                // Its worker vanished: the process died.
                JobState::Running => {
                    world.restart().await;
                    let jobs = world.jobs();
                    // A world may have built its queue anew; what is still armed goes over.
                    for fault in faults.iter().filter(|fault| !first.struck().contains(fault)) {
                        if jobs.inner.faults.find(id, &fault.step, fault.way).is_none() {
                            jobs.inject(fault.clone());
                        }
                    }
                    jobs.recover().await.expect("the database works");
                }
                JobState::Queued => {
                    let due = jobs.next_due().await.expect("the database works");
                    let due = due.unwrap_or_else(|| panic!("{faults:?}: the Job waits for nothing: {job:?}"));
                    world.advance(due.since(jobs.inner.now()));
                }
            }
        };
        let struck = [first.struck(), world.jobs().struck()].concat();
        let all = faults.iter().all(|fault| struck.contains(fault));
        all.then(|| Self { world, job, what: format!("{faults:?}") })
    }

    fn assert_succeeded(&self) {
        assert_eq!(self.job.state, JobState::Succeeded, "{}: {:#?}", self.what, self.job);
    }

    fn assert_failed_in(&self, step: &str) {
        assert_eq!(self.job.state, JobState::Failed, "{}: {:#?}", self.what, self.job);
        let failed: Vec<&str> =
            self.job.steps.iter().filter(|row| row.state == StepState::Failed).map(|row| row.name.as_str()).collect();
        assert_eq!(failed, [step], "{}: another step failed", self.what);
        let code = self.job.failure.as_ref().map(|failure| failure.code.as_str());
        assert_eq!(code, Some("injected"), "{}: it failed for another reason: {:?}", self.what, self.job.failure);
    }

    fn assert_cancelled_in(&self, step: &str) {
        assert_eq!(self.job.state, JobState::Cancelled, "{}: {:#?}", self.what, self.job);
        let begun = self.job.steps.iter().rev().find(|row| row.attempts > 0).map(|row| row.name.as_str());
        assert_eq!(begun, Some(step), "{}: the Job went on after it was cancelled", self.what);
    }

    fn assert_resumed(&self, step: &str, way: Direction) {
        let row = self.job.steps.iter().find(|row| row.name == step).expect("the step is in the Job");
        let attempts = match way {
            Direction::Forward => row.attempts,
            Direction::Undo => row.undo_attempts,
        };
        assert!(attempts >= 2, "{}: the step that was cut off was not repeated: {row:?}", self.what);
    }
}

async fn read(jobs: &Jobs, id: JobId) -> Job {
    let mut reader = jobs.inner.store.read().await.expect("the database works");
    doce_store::job::find(&mut reader, id).await.expect("the row reads back").expect("the Job exists")
}
