//! The promises of `SECURITY.md` and `ARCHITECTURE.md`, with the real binary, the real OpenCode and the real sandbox.
//!
//! `DOCE_OPENCODE` names the pinned OpenCode; `cargo xtask test` installs it.
#![expect(clippy::disallowed_methods, reason = "these tests start the real binary and read where OpenCode is")]

mod canary;
mod crash;
mod doce;
mod failures;
mod hostile;
mod logins;
mod story;
