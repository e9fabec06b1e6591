//! How a process ended.

use std::{fmt, os::unix::process::ExitStatusExt, process::ExitStatus};

/// bwrap tells "killed by signal N" as this plus N, as shells do.
const SIGNAL_BASE: i32 = 128;

/// The highest signal number there is.
const SIGNAL_MAX: i32 = 64;

/// What the kernel kills with when memory runs out.
const SIGKILL: i32 = 9;

/// What a process ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It exited by itself with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It was adopted without a sandbox, so its status went to somebody else.
    Unknown,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What it ended with.
    pub cause: Cause,
    /// Whether the kernel killed something in its tree for passing [`crate::Limits::memory`].
    pub out_of_memory: bool,
}

impl Ending {
    /// Whether it exited with code 0.
    pub fn success(self) -> bool {
        self.cause == Cause::Code(0)
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Code(code) => write!(f, "exited with code {code}")?,
            Cause::Signal(signal) => write!(f, "was killed by signal {signal}")?,
            Cause::Unknown => f.write_str("ended")?,
        }
        match self.cause {
            _ if self.out_of_memory => f.write_str(", out of memory"),
            // Nobody else kills an agent or a dev server so: where doce does, it says that it stopped it.
            Cause::Signal(SIGKILL) => f.write_str(", perhaps because the machine ran out of memory"),
            Cause::Signal(_) | Cause::Code(_) | Cause::Unknown => Ok(()),
        }
    }
}

impl Cause {
    /// Reads a status of our own child; in a sandbox it is the one that bwrap passes on.
    pub(crate) fn from_status(status: ExitStatus, sandboxed: bool) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) if sandboxed => Self::from_shell_code(code),
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }

    pub(crate) fn from_shell_code(code: i32) -> Self {
        match code - SIGNAL_BASE {
            signal @ 1..=SIGNAL_MAX => Self::Signal(signal),
            _ => Self::Code(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_above_128_is_a_signal() {
        assert_eq!(Cause::from_shell_code(137), Cause::Signal(9));
        assert_eq!(Cause::from_shell_code(128), Cause::Code(128));
        assert_eq!(Cause::from_shell_code(255), Cause::Code(255));
    }

    #[test]
    fn an_ending_reads_as_the_end_of_a_sentence() {
        let ending = Ending { cause: Cause::Signal(9), out_of_memory: true };
        assert_eq!(ending.to_string(), "was killed by signal 9, out of memory");
        let ending = Ending { cause: Cause::Signal(9), out_of_memory: false };
        assert_eq!(ending.to_string(), "was killed by signal 9, perhaps because the machine ran out of memory");
        let ending = Ending { cause: Cause::Code(1), out_of_memory: false };
        assert_eq!(ending.to_string(), "exited with code 1");
    }
}
