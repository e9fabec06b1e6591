//! The durable queue: claims a Job that is due, does its steps, tries again, takes back.
//!
//! A [`Definition`] names a kind of Job and its [`Step`]s. [`Jobs::enqueue`] writes one into the caller's transaction;
//! workers started by [`Jobs::start`] claim it under a lease, and every later write is fenced by that lease.
//! A step may be run again after a crash at any instant, so a step must be harmless to repeat; the feature `harness`
//! has the tests that show it. A step that fails for good turns the Job round: what was done is undone, last first.
//! Who is due first is claimed first, but Jobs that nobody waits for give way to the others for a while: a head start
//! and no ranks, so that nothing is put off for ever ([`HEAD_START`]). A pause lets none begin ([`Jobs::pause`]).
//! This crate knows no noun but its own: `kind` and `subject` are words to it. It does not poll: it waits for a wake
//! and for the next due moment. Rows live in `doce_store::job`, the choice of the next move in `plan`, one Job's way
//! through its steps in `run` (with `watch` and `record`), the workers in `worker`.
#![warn(clippy::wildcard_enum_match_arm)]

mod definition;
mod fault;
mod held;
mod live;
mod plan;
mod queue;
mod record;
mod run;
mod step;
mod watch;
mod worker;

#[cfg(feature = "harness")]
pub mod harness;

pub use definition::{
    Backoff, DEFAULT_ATTEMPTS, DEFAULT_TIMEOUT, Definition, HEAD_START, MAX_RETRY_AFTER, Step, StepResult,
};
pub use doce_store::job::{CancelRequest, LeaseError};
pub use live::{DETAIL_EVERY, MAX_DETAIL, MAX_LINE, MAX_WAITING_LINES};
pub use queue::{
    EnqueueError, Enqueued, Jobs, MAX_LIVE_PER_USER, MAX_PAYLOAD, New, Observer, Policy, RETENTION, RetryError,
    Settings,
};
pub use run::MAX_CRASHES;
pub use step::{StepCtx, StepError};
