//! What a step is given, and what it answers when it could not do its work.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use doce_model::{Ctx, Direction, Failure, Job, LogLevel, NextMove};
use doce_store::{
    Trouble, Tx,
    job::{Lease, LeaseError},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::live::Live;

/// What one try of a step is given.
#[derive(Clone)]
pub struct StepCtx {
    /// The Job as the Actor, its id as the request, and the clock.
    pub ctx: Ctx,
    /// The Job as it stood when this try began.
    pub job: Job,
    /// Which try this is, from 1; of the undo when [`StepCtx::way`] says so. A try that a crash cut off counts.
    pub attempt: u32,
    /// Whether this is the step or its undo.
    pub way: Direction,
    /// Fires when somebody cancels the Job. A step that can stop early listens; it is dropped some seconds later.
    pub cancel: CancellationToken,
    pub(crate) lease: Lease,
    pub(crate) live: Arc<Live>,
}

impl StepCtx {
    /// Reads the Job's payload.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        serde_json::from_str(&self.job.payload).map_err(|e| StepError::fail(internal()).source(e))
    }

    /// Says in a few words what the step is doing. It is stored and published within moments.
    pub fn detail(&self, text: impl Into<String>) {
        self.live.set_detail(text.into());
    }

    /// Writes a line into the Job's log, which its owner can read: no secrets.
    pub fn log(&self, level: LogLevel, text: impl Into<String>) {
        self.live.push(self.ctx.now(), level, text.into());
    }

    /// Makes the caller's transaction fail unless this worker still has the Job.
    pub async fn fence(&self, tx: &mut Tx) -> Result<(), LeaseError> {
        doce_store::job::hold(tx, self.lease).await
    }
}

impl fmt::Debug for StepCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepCtx")
            .field("job", &self.job.id)
            .field("attempt", &self.attempt)
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

/// Why a try of a step failed, and what the queue should do about it.
#[derive(Debug)]
pub struct StepError {
    pub(crate) verdict: Verdict,
    pub(crate) failure: Box<Failure>,
    pub(crate) after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What the queue should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Retry,
    Fail,
    Wait,
}

impl StepError {
    /// It may go better the next time.
    pub fn retry(failure: Failure) -> Self {
        Self { verdict: Verdict::Retry, failure: Box::new(failure), after: None, source: None }
    }

    /// It won't go better: take back what was done.
    pub fn fail(failure: Failure) -> Self {
        Self { verdict: Verdict::Fail, failure: Box::new(failure), after: None, source: None }
    }

    /// It can't be done before a person has done something: the Job waits, without a worker, for [`crate::Jobs::resume`].
    ///
    /// Only for a step that has done nothing yet in this try, and not for an undo, which fails with it.
    pub fn wait(failure: Failure) -> Self {
        Self { verdict: Verdict::Wait, failure: Box::new(failure), after: None, source: None }
    }

    /// Something of our own broke, which a person can't help: worth another try. A trouble of the disk or the database,
    /// which somebody can end, is named.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        Self::retry(Trouble::find(&*source).map_or_else(internal, Trouble::failure)).source(source)
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Sets how long to wait before the next try, up to [`crate::MAX_RETRY_AFTER`]; a limit of the other side.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = Some(wait.min(crate::MAX_RETRY_AFTER));
        self
    }

    /// Returns what a person is told.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Tells whether another try may help.
    pub fn is_retry(&self) -> bool {
        self.verdict == Verdict::Retry
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "do the step: `{}`", self.failure.code)
    }
}

impl Error for StepError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Says that something of our own broke.
pub(crate) fn internal() -> Failure {
    Failure::new("internal", "Something inside doce went wrong. Its log says more.", NextMove::Retry)
}

/// Says that a try took too long.
pub(crate) fn timed_out(label: &str, bound: Duration) -> Failure {
    Failure::new(
        "step_timeout",
        format!("“{label}” did not finish within {} seconds.", bound.as_secs_f64()),
        NextMove::Retry,
    )
}

/// Says that a step takes the whole server down with it.
pub(crate) fn poison(label: &str) -> Failure {
    Failure::new(
        "poison",
        format!("doce was cut off in the middle of “{label}” again and again, and does not try it any more."),
        NextMove::Retry,
    )
}

/// Says that this program doesn't know the step.
pub(crate) fn unknown_step(label: &str) -> Failure {
    Failure::new("unknown_step", format!("This version of doce does not know how to do “{label}”."), NextMove::Retry)
}

/// Says that taking back failed, on top of what went wrong before.
pub(crate) fn undo_failed(label: &str, first: Option<&Failure>, undo: &Failure) -> Failure {
    let before = first.map_or(String::new(), |first| format!("{} ", first.message));
    Failure {
        code: "undo_failed".to_owned(),
        message: format!("{before}Taking back “{label}” did not work either: {}", undo.message),
        next: undo.next,
        connection_id: undo.connection_id,
        until: undo.until,
    }
}
