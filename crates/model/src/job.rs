//! Jobs: durable work in steps.

use crate::{Failure, JobId, Ms, ProjectId, UserId, text_enum::text_enum};

text_enum! {
    /// How far a Job is.
    JobState {
        /// Waits for its time or its turn.
        Queued = "queued",
        /// A worker holds its lease.
        Running = "running",
        /// Every step is done.
        Succeeded = "succeeded",
        /// A step failed, and what was done is undone.
        Failed = "failed",
        /// Somebody cancelled it, and what was done is undone.
        Cancelled = "cancelled",
        /// An undo failed: a person must look.
        Stuck = "stuck",
    }
}

impl JobState {
    /// Tells whether the Job may still do something by itself.
    pub const fn is_live(self) -> bool {
        match self {
            Self::Queued | Self::Running => true,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Stuck => false,
        }
    }
}

text_enum! {
    /// Which way a Job goes through its steps.
    Direction {
        /// Does them.
        Forward = "forward",
        /// Takes back what was done, last first.
        Undo = "undo",
    }
}

text_enum! {
    /// How far a step is.
    StepState {
        /// Not begun.
        Pending = "pending",
        /// At work.
        Running = "running",
        /// Done.
        Succeeded = "succeeded",
        /// Failed for good.
        Failed = "failed",
        /// Taken back.
        Undone = "undone",
        /// Never begun, because the Job ended before its turn.
        Skipped = "skipped",
    }
}

text_enum! {
    /// How much a line of a Job's log matters.
    LogLevel {
        /// Something a reader may want to know.
        Info = "info",
        /// Something went wrong, and the Job goes on.
        Warn = "warn",
        /// Something went wrong for good.
        Error = "error",
    }
}

/// Durable work, as it is stored. What its steps do is known to who defined it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// What it does, by name.
    pub kind: String,
    /// What it works on; at most one running Job per subject.
    pub subject: String,
    /// For whom.
    pub user_id: UserId,
    /// The Project it belongs to, if it does.
    pub project_id: Option<ProjectId>,
    /// Its input, as JSON text without secrets.
    pub payload: String,
    /// How far.
    pub state: JobState,
    /// Which way.
    pub direction: Direction,
    /// The Job that must have ended before this one may start.
    pub after: Option<JobId>,
    /// The ended Job that this one does again.
    pub retry_of: Option<JobId>,
    /// When it may be claimed.
    pub run_at: Ms,
    /// Times a worker has claimed it.
    pub claims: i64,
    /// Times in a row that its worker vanished in the middle of the present step.
    pub crashes: i64,
    /// When somebody asked to cancel it.
    pub cancel_requested_at: Option<Ms>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When it was made.
    pub created_at: Ms,
    /// When it was first claimed.
    pub started_at: Option<Ms>,
    /// When it ended.
    pub finished_at: Option<Ms>,
    /// Its steps, in order.
    pub steps: Vec<JobStep>,
}

/// When a Job is due that waits for something a person does: not by itself.
pub const UNTIL_RESUMED: Ms = Ms(i64::MAX);

impl Job {
    /// Returns what a person has to do before the Job goes on, if it waits for that.
    pub fn waits_for(&self) -> Option<&Failure> {
        let waits = self.state == JobState::Queued && self.run_at == UNTIL_RESUMED;
        self.failure.as_ref().filter(|_| waits)
    }
}

/// A part of a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStep {
    /// Its place, from 0.
    pub position: i64,
    /// Its name.
    pub name: String,
    /// What a person reads.
    pub label: String,
    /// How far.
    pub state: StepState,
    /// Times it was begun.
    pub attempts: i64,
    /// Times its undo was begun.
    pub undo_attempts: i64,
    /// When the last try began.
    pub started_at: Option<Ms>,
    /// When it ended.
    pub ended_at: Option<Ms>,
    /// When what it did was taken back.
    pub undone_at: Option<Ms>,
    /// What it is doing, or why the last try failed.
    pub detail: Option<String>,
}

/// A line of a Job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobLine {
    /// Its place, from 1. Lines beyond the limit are dropped from the front, so the first may be later.
    pub sequence: i64,
    /// When it was written.
    pub at: Ms,
    /// How much it matters.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}
