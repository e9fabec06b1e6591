//! What a kind of Job does: its steps, and how patient each is.

use std::{
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use doce_model::{Direction, JobId};
use futures::future::BoxFuture;

use crate::{StepCtx, StepError};

/// Tries of a step, and of its undo, unless it says otherwise.
pub const DEFAULT_ATTEMPTS: u32 = 3;
/// How long one try may take, unless the step says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(2);
/// The longest wait before a next try that an outside system can ask for.
pub const MAX_RETRY_AFTER: Duration = doce_store::job::FARTHEST;

/// How much earlier than its time the turn of a Job comes that a person waits for.
///
/// What nobody waits for gives way to it, but not for ever: it is overtaken only by what becomes due less than this
/// after it, so however much a person asks for, it has its turn.
pub const HEAD_START: Duration = Duration::from_mins(5);

/// What a try of a step returns.
pub type StepResult = Result<(), StepError>;

pub(crate) type StepFn = Arc<dyn Fn(StepCtx) -> BoxFuture<'static, StepResult> + Send + Sync>;

/// A kind of Job.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name, as stored.
    pub kind: &'static str,
    /// Its steps, in order. Their names differ.
    pub steps: Vec<Step>,
    pub(crate) head_start: Duration,
}

/// A part of a Job, how to do it and how to take it back.
#[derive(Clone)]
pub struct Step {
    /// Its name, as stored.
    pub name: &'static str,
    /// What a person reads.
    pub label: &'static str,
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    pub(crate) timeout: Duration,
    pub(crate) run: StepFn,
    pub(crate) undo: Option<StepFn>,
}

/// How long to wait before the next try: a random part ("full jitter") of a time that doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first try.
    pub first: Duration,
    /// The longest wait after any.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_secs(1), max: Duration::from_mins(1) }
    }
}

impl Backoff {
    /// Returns the longest wait after try number `attempt`, counted from 1.
    pub fn ceiling(self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// Returns the wait after try number `attempt` of a step.
    ///
    /// Its chance comes from the Job's id, of which 74 bits are random: Jobs that failed together come back apart,
    /// and nobody has to carry a generator.
    pub(crate) fn wait(self, job_id: JobId, step: &str, attempt: u32) -> Duration {
        let mut hasher = DefaultHasher::new();
        (job_id, step, attempt).hash(&mut hasher);
        let ceiling = u64::try_from(self.ceiling(attempt).as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(hasher.finish() % ceiling.saturating_add(1))
    }
}

impl Definition {
    /// Makes a kind of Job that a person waits for.
    pub fn new(kind: &'static str, steps: Vec<Step>) -> Self {
        Self { kind, steps, head_start: HEAD_START }
    }

    /// Says that nobody waits for it: it gives way to Jobs that somebody waits for, see [`HEAD_START`].
    #[must_use]
    pub fn background(mut self) -> Self {
        self.head_start = Duration::ZERO;
        self
    }

    pub(crate) fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }
}

impl Step {
    /// Makes a step. `run` must be harmless to repeat, whole or from any point in its middle.
    pub fn new<F, R>(name: &'static str, label: &'static str, run: F) -> Self
    where
        F: Fn(StepCtx) -> R + Send + Sync + 'static,
        R: Future<Output = StepResult> + Send + 'static,
    {
        Self {
            name,
            label,
            attempts: DEFAULT_ATTEMPTS,
            backoff: Backoff::default(),
            timeout: DEFAULT_TIMEOUT,
            run: boxed(run),
            undo: None,
        }
    }

    /// Says how to take back what the step did, or half did. It must be harmless to repeat, too.
    #[must_use]
    pub fn undo<F, R>(mut self, undo: F) -> Self
    where
        F: Fn(StepCtx) -> R + Send + Sync + 'static,
        R: Future<Output = StepResult> + Send + 'static,
    {
        self.undo = Some(boxed(undo));
        self
    }

    /// Sets how many times the step, and its undo, is tried in all; at least once.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// Sets how long to wait between tries.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets how long one try may take. It is dropped at its next `await` after that.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn way(&self, way: Direction) -> Option<StepFn> {
        match way {
            Direction::Forward => Some(Arc::clone(&self.run)),
            Direction::Undo => self.undo.clone(),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("name", &self.name)
            .field("attempts", &self.attempts)
            .field("backoff", &self.backoff)
            .field("timeout", &self.timeout)
            .field("undo", &self.undo.is_some())
            .finish_non_exhaustive()
    }
}

fn boxed<F, R>(run: F) -> StepFn
where
    F: Fn(StepCtx) -> R + Send + Sync + 'static,
    R: Future<Output = StepResult> + Send + 'static,
{
    Arc::new(move |ctx| Box::pin(run(ctx)))
}

#[cfg(test)]
mod tests {
    use doce_model::Ms;

    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_limit() {
        let backoff = Backoff::default();
        let seconds: Vec<u64> = (1..=8).map(|n| backoff.ceiling(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.ceiling(400), backoff.max);
    }

    #[test]
    fn waits_of_different_jobs_fill_the_whole_range() {
        let backoff = Backoff::default();
        let waits: Vec<Duration> = (0..1000).map(|_| backoff.wait(JobId::new(Ms(1)), "step", 2)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(2)));
        let quarter = |n: u32| {
            let from = Duration::from_millis(500) * n;
            waits.iter().filter(|wait| **wait >= from && **wait < from + Duration::from_millis(500)).count()
        };
        for n in 0..4 {
            assert!(quarter(n) > 150, "only {} of 1000 waits are in quarter {n}", quarter(n));
        }
    }
}
