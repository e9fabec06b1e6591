//! One claimed Job's way through its steps, until it ends, waits, or is taken away.
//!
//! Every move is recorded before and after it is made, in a transaction that is fenced by the lease. While a step is
//! at work a watch beside it renews the lease, writes what the step says, and listens for a cancel or a shutdown.

use std::{any::Any, future::poll_fn, panic::AssertUnwindSafe, pin::pin, sync::Arc, task::Poll};

use doce_model::{Actor, Ctx, Direction, Failure, Job, JobState, LogLevel, Ms, NextMove, StepState};
use doce_store::{
    Tx,
    job::{self, Lease, LeaseError},
};
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::{
    Step, StepCtx, StepError, StepResult,
    definition::StepFn,
    fault::Kind,
    live::Live,
    plan::{self, Next},
    queue::Inner,
    step,
    worker::chain,
};

/// How often in a row a worker may vanish in the middle of the same step. After that the Job is poison: the step
/// counts as failed and what was done is undone; if the undo does the same, the Job is stuck.
pub const MAX_CRASHES: i64 = 10;

/// How a worker's work on a Job came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The Job has ended.
    Over,
    /// It waits for its next try.
    Parked,
    /// It is somebody else's.
    Lost,
    /// The server stops; the Job is queued.
    Stopped,
    /// The database failed; the lease runs out and the Job is taken up again.
    Broken,
    /// A test made the worker vanish.
    Killed,
}

/// A worker's work on one Job.
pub(crate) struct Run<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) lease: Lease,
}

/// What [`Run::begin`] decided.
enum Begun {
    /// The Job has ended.
    Ended,
    /// It turned round, or a move needed no work.
    Moved,
    /// There would be work, but the server stops.
    Stopped,
    /// There is work.
    Work(Box<Work>),
}

/// One try of one step or undo.
pub(crate) struct Work {
    pub(crate) job: Job,
    pub(crate) index: usize,
    pub(crate) attempt: u32,
    pub(crate) step: Step,
    pub(crate) ctx: Ctx,
    pub(crate) live: Arc<Live>,
    call: StepFn,
}

/// How a try went.
pub(crate) enum Tried {
    Done(StepResult),
    Cancelled,
    Stopped,
    Lost,
    Killed,
}

impl Run<'_> {
    /// Makes one move after the other, the first of them in the transaction that claimed the Job.
    pub(crate) async fn go(&self, claimed: Tx) -> Ending {
        match self.moves(claimed).await {
            Ok(ending) => ending,
            Err(LeaseError::Lost(id)) => {
                tracing::warn!(job = %id, "the lease is lost; the step was dropped");
                Ending::Lost
            }
            Err(LeaseError::Store(error)) => {
                tracing::error!(job = %self.lease.job_id, error = %chain(&error), "a job can't be written");
                Ending::Broken
            }
        }
    }

    async fn moves(&self, claimed: Tx) -> Result<Ending, LeaseError> {
        let mut asked = self.inner.asked.subscribe();
        // The claim, or the end of a step, and the beginning of the next are one transaction.
        let mut open = Some((claimed, None));
        loop {
            // What is committed from here on is either seen by `begin` or heard by the watch.
            asked.mark_unchanged();
            let work = match self.begin(open.take()).await? {
                Begun::Ended => return Ok(Ending::Over),
                Begun::Moved => continue,
                Begun::Stopped => return Ok(Ending::Stopped),
                Begun::Work(work) => work,
            };
            let cancel = CancellationToken::new();
            let tried = tokio::select! {
                tried = self.attempt(&work, &cancel) => tried,
                tried = self.watch(&work, &cancel, &mut asked) => tried,
            };
            match tried {
                Tried::Killed => return Ok(Ending::Killed),
                Tried::Lost => return Err(LeaseError::Lost(self.lease.job_id)),
                Tried::Stopped => return self.stop(&work).await,
                Tried::Done(Err(_)) if cancel.is_cancelled() => self.cancelled(&work).await?,
                Tried::Cancelled => self.cancelled(&work).await?,
                Tried::Done(Ok(())) => {
                    let (tx, job) = self.done(*work).await?;
                    open = Some((tx, Some(job)));
                }
                Tried::Done(Err(error)) => {
                    if self.failed(&work, &error).await? {
                        return Ok(Ending::Parked);
                    }
                }
            }
        }
    }

    /// Decides the next move and records that it begins, in the transaction that is `open` if there is one, with the Job
    /// as its rows say there if that is known.
    async fn begin(&self, open: Option<(Tx, Option<Job>)>) -> Result<Begun, LeaseError> {
        let (mut tx, job) = match open {
            Some(open) => open,
            None => (self.inner.store.write(&self.inner.ctx()).await?, None),
        };
        let job = match job {
            Some(job) => job,
            // Read before it is fenced: whatever is written below is written under the lease, or not at all.
            None => self.read(&mut tx).await?,
        };
        let definition = self.inner.definition(&job.kind);
        let known = |name: &str| definition.and_then(|definition| definition.step(name));
        // An undo that nobody knows is not an undo that isn't needed.
        let undoable = |name: &str| known(name).is_none_or(|step| step.undo.is_some());
        let next = plan::next(&job, undoable);
        let mut begun = Begun::Moved;
        let turns = job.cancel_requested_at.is_some()
            && match next {
                Next::Do(_) => true,
                // What was finished in spite of the cancel is taken back, if any of it can be.
                Next::Succeed => job.steps.iter().any(|row| undoable(&row.name)),
                Next::Undo(_) | Next::Unwound => false,
            };
        match next {
            Next::Do(_) | Next::Succeed if turns => {
                job::turn(&mut tx, self.lease, None).await?;
                self.note(&mut tx, LogLevel::Info, "Cancelled.".to_owned()).await?;
            }
            Next::Do(index) => {
                let row = &job.steps[index];
                match known(&row.name) {
                    None => {
                        self.fail(&mut tx, &job, index, &step::unknown_step(&row.label)).await?;
                    }
                    Some(_) if job.crashes >= MAX_CRASHES => {
                        self.fail(&mut tx, &job, index, &step::poison(&row.label)).await?;
                    }
                    Some(step) => begun = self.begin_step(&mut tx, job, index, step).await?,
                }
            }
            Next::Undo(index) => {
                let row = &job.steps[index];
                match known(&row.name) {
                    None => {
                        self.stick(&mut tx, &job, index, &step::unknown_step(&row.label)).await?;
                        begun = Begun::Ended;
                    }
                    Some(_) if job.crashes >= MAX_CRASHES => {
                        self.stick(&mut tx, &job, index, &step::poison(&row.label)).await?;
                        begun = Begun::Ended;
                    }
                    Some(step) => begun = self.begin_step(&mut tx, job, index, step).await?,
                }
            }
            Next::Succeed => {
                job::finish(&mut tx, self.lease, JobState::Succeeded, None).await?;
                begun = Begun::Ended;
            }
            Next::Unwound => {
                let state = if job.failure.is_some() { JobState::Failed } else { JobState::Cancelled };
                job::finish(&mut tx, self.lease, state, job.failure.as_ref()).await?;
                begun = Begun::Ended;
            }
        }
        self.commit(tx).await?;
        Ok(begun)
    }

    async fn begin_step(&self, tx: &mut Tx, mut job: Job, index: usize, step: &Step) -> Result<Begun, LeaseError> {
        let Some(call) = step.way(job.direction) else {
            return Ok(Begun::Moved);
        };
        if self.inner.stopping.is_cancelled() {
            job::release(tx, self.lease).await?;
            return Ok(Begun::Stopped);
        }
        job::begin_step(tx, self.lease, self.lease_until(), job.steps[index].position, job.direction).await?;
        // As the row says now, without reading it again.
        let row = &mut job.steps[index];
        let attempt = match job.direction {
            Direction::Forward => {
                (row.state, row.started_at, row.ended_at) = (StepState::Running, Some(tx.now()), None);
                &mut row.attempts
            }
            Direction::Undo => &mut row.undo_attempts,
        };
        *attempt += 1;
        let attempt = *attempt;
        let ctx = Ctx::new(Actor::Job(job.id, job.user_id), job.id.to_string(), None, Arc::clone(&self.inner.clock));
        Ok(Begun::Work(Box::new(Work {
            index,
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
            step: step.clone(),
            call,
            ctx,
            live: Arc::default(),
            job,
        })))
    }

    /// Does the step once, with whatever fault a test put in.
    async fn attempt(&self, work: &Work, cancel: &CancellationToken) -> Tried {
        let (id, name, way) = (work.job.id, work.step.name, work.job.direction);
        let faults = &self.inner.faults;
        let fault = faults.find(id, name, way);
        let injected = || Err(StepError::fail(Failure::new("injected", "A test made it fail.", NextMove::Retry)));
        if fault == Some(Kind::FailBefore) {
            faults.strike(id, name, way);
            return Tried::Done(injected());
        }
        let Some(result) = self.once(work, cancel, fault).await else {
            faults.strike(id, name, way);
            return Tried::Killed;
        };
        match (fault, result) {
            (Some(Kind::Repeat), Ok(())) => {
                faults.strike(id, name, way);
                self.once(work, cancel, None).await.map_or(Tried::Killed, Tried::Done)
            }
            (Some(Kind::FailAfter), Ok(())) => {
                faults.strike(id, name, way);
                Tried::Done(injected())
            }
            (Some(Kind::KillAfter), Ok(())) => {
                faults.strike(id, name, way);
                Tried::Killed
            }
            (_, result) => Tried::Done(result),
        }
    }

    /// Calls the step, with its bound, and catches its panic. Returns `None` if a fault inside of it let the worker vanish.
    async fn once(&self, work: &Work, cancel: &CancellationToken, fault: Option<Kind>) -> Option<StepResult> {
        let ctx = StepCtx {
            ctx: work.ctx.clone(),
            job: work.job.clone(),
            attempt: work.attempt,
            way: work.job.direction,
            cancel: cancel.clone(),
            lease: self.lease,
            live: Arc::clone(&work.live),
        };
        let mut call = pin!(AssertUnwindSafe(async { (work.call)(ctx).await }).catch_unwind());
        let (kill_at, cancel_at) = match fault {
            Some(Kind::KillInside(wait)) => (Some(wait), None),
            Some(Kind::CancelInside(wait)) => (None, Some(wait)),
            None | Some(Kind::Repeat | Kind::FailBefore | Kind::FailAfter | Kind::KillAfter) => (None, None),
        };
        let mut heard = pin!(cancel.cancelled());
        let (mut waits, mut is_to_hear, mut done) = (0, false, None);
        let call = poll_fn(|cx| {
            if done.is_none() {
                match call.as_mut().poll(cx) {
                    Poll::Ready(result) => done = Some(result),
                    Poll::Pending => {
                        waits += 1;
                        if Some(waits) == kill_at {
                            return Poll::Ready(None);
                        }
                        if Some(waits) == cancel_at {
                            self.inner.faults.strike(work.job.id, work.step.name, work.job.direction);
                            is_to_hear = true;
                        }
                    }
                }
            }
            if done.is_none() || is_to_hear && heard.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(done.take())
        });
        match tokio::time::timeout(work.step.timeout, call).await {
            Ok(Some(Ok(result))) => Some(result),
            Ok(Some(Err(panic))) => Some(Err(StepError::fail(step::internal()).source(panic_text(panic.as_ref())))),
            Ok(None) => None,
            Err(_) => Some(Err(StepError::retry(step::timed_out(work.step.label, work.step.timeout)))),
        }
    }

    pub(crate) async fn read(&self, tx: &mut Tx) -> Result<Job, LeaseError> {
        job::find(tx, self.lease.job_id).await?.ok_or(LeaseError::Lost(self.lease.job_id))
    }

    pub(crate) async fn commit(&self, tx: Tx) -> Result<(), LeaseError> {
        tx.commit().await?;
        self.inner.observe(self.lease.job_id);
        Ok(())
    }

    pub(crate) fn lease_until(&self) -> Ms {
        self.inner.now().plus(self.inner.settings.lease)
    }
}

impl Work {
    pub(crate) fn position(&self) -> i64 {
        self.job.steps[self.index].position
    }
}

/// Returns what a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let said = panic
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "something that is not text".to_owned());
    format!("the step panicked: {said}")
}
