//! Faults that tests put into a Job. Without the feature `harness` there is no way to arm one.
#![cfg_attr(
    not(feature = "harness"),
    expect(dead_code, unreachable_pub, reason = "only the harness makes and arms faults")
)]

use std::sync::{Mutex, MutexGuard, PoisonError};

use doce_model::{Direction, JobId};
use tokio::sync::Notify;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The step is done twice in a row.
    Repeat,
    /// The step fails for good before it does anything.
    FailBefore,
    /// The step does its work and then fails for good.
    FailAfter,
    /// The worker vanishes while the step waits for this many-th time, from 1.
    KillInside(u32),
    /// The worker vanishes after the step's work, before it is recorded.
    KillAfter,
    /// Somebody cancels the Job when the step waits for this many-th time, from 1. The step isn't over before it could
    /// hear of that.
    CancelInside(u32),
}

/// One thing that goes wrong, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In which Job; in the first one that has such a step if it is none.
    pub job: Option<JobId>,
    /// In which step.
    pub step: String,
    /// In the step or in its undo.
    pub way: Direction,
    /// What.
    pub kind: Kind,
}

impl Fault {
    fn is_for(&self, job: JobId, step: &str, way: Direction) -> bool {
        self.job.is_none_or(|id| id == job) && self.step == step && self.way == way
    }
}

/// The faults that are armed, and those that struck.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    lists: Mutex<Lists>,
    /// Rung when one struck.
    striking: Notify,
}

#[derive(Debug, Default)]
struct Lists {
    armed: Vec<Fault>,
    struck: Vec<Fault>,
}

impl Faults {
    /// Returns the fault that waits for this step, and goes on waiting.
    pub(crate) fn find(&self, job: JobId, step: &str, way: Direction) -> Option<Kind> {
        self.lock().armed.iter().find(|fault| fault.is_for(job, step, way)).map(|fault| fault.kind)
    }

    /// Notes that the fault of this step struck. It won't again.
    pub(crate) fn strike(&self, job: JobId, step: &str, way: Direction) {
        let mut lists = self.lock();
        if let Some(index) = lists.armed.iter().position(|fault| fault.is_for(job, step, way)) {
            let fault = lists.armed.remove(index);
            lists.struck.push(fault);
            self.striking.notify_one();
        }
    }

    #[cfg(feature = "harness")]
    pub(crate) fn arm(&self, fault: Fault) {
        self.lock().armed.push(fault);
    }

    /// Waits until this one has struck.
    #[cfg(feature = "harness")]
    pub(crate) async fn until_struck(&self, fault: &Fault) {
        while !self.lock().struck.contains(fault) {
            self.striking.notified().await;
        }
    }

    #[cfg(feature = "harness")]
    pub(crate) fn struck(&self) -> Vec<Fault> {
        self.lock().struck.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
