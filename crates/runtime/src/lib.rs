//! Starts, adopts, watches and stops processes: the one door through which doce runs anything.
//!
//! A [`Runtime`] is sandboxed or not *by name* ([`Isolation`]); a [`Spec`] says what to run and is the same for both.
//! [`Runtime::start`] is for what goes on (an Agent, a dev server): it survives us, and [`Runtime::adopt`] finds it again.
//! [`Runtime::run`] is for what ends (git, npm): it is killed whole at its bound, or when nobody waits any more.
//!
//! This crate knows nothing of Credentials, Projects, OpenCode, HTTP or SQL.
//! What a program in the sandbox can see is in `profile`, and nowhere else.

mod cgroup;
mod ending;
mod kill;
mod launch;
mod log;
mod port;
mod proc;
mod profile;
mod run;
mod running;
mod runtime;
mod sandbox;
mod spec;
mod start_error;
mod tool;

pub use cgroup::{Enforced, Limits};
pub use ending::{Cause, Ending};
pub use log::{LOG_CHECK_EVERY, LOG_KEEP, LOG_MAX_BYTES, Log};
pub use port::free_port;
pub use profile::{SANDBOX_GID, SANDBOX_HOME, SANDBOX_UID, TMPFS_MAX_BYTES, is_shown};
pub use run::{LINE_MAX_BYTES, OUTPUT_MAX_BYTES, OnLine, Output, RunError, Stream};
pub use running::{Running, StopError};
pub use runtime::{Identity, Isolation, Runtime, Stray, Sweep};
pub use sandbox::{Sandbox, SandboxError};
pub use spec::{Bind, MARKER_VARIABLE, Mode, Spec};
pub use start_error::StartError;
pub use tool::{Tool, find_tool};
