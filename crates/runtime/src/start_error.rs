//! Why a program could not be started.

use std::{io, time::Duration};

use camino::Utf8PathBuf;

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The [`crate::Spec`] asks for what can't be.
    #[error("start {name}: {what}")]
    Spec {
        /// Its name.
        name: String,
        /// What is wrong with it, as a sentence without its first word's capital.
        what: String,
    },
    /// A sandbox is wanted and there is none.
    #[error("start {name} without a sandbox")]
    NoSandbox {
        /// The name of what was to be started.
        name: String,
    },
    /// Something that should be shown to the program isn't there.
    #[error("show `{host}` to a program")]
    Bind {
        /// What isn't there.
        host: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such program, or the sandbox doesn't show it.
    #[error("find the program `{program}`{}", if *.hidden { ": the sandbox doesn't show it" } else { "" })]
    NotFound {
        /// Its inside path.
        program: Utf8PathBuf,
        /// It may be on the host, but nothing shows it to the sandbox.
        hidden: bool,
    },
    /// The file is there and isn't a program.
    #[error("execute `{program}`: it is not an executable file")]
    NotExecutable {
        /// Its inside path.
        program: Utf8PathBuf,
    },
    /// A file or pipe of our own could not be made.
    #[error("prepare to start {name}")]
    Prepare {
        /// The name of what was to be started.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refused.
    #[error("start `{program}`")]
    Spawn {
        /// The program, which is bubblewrap for anything sandboxed.
        program: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The sandbox could not be built, or the program not be executed in it.
    #[error("set up the sandbox of {name}: {detail}")]
    Setup {
        /// The name of what was to be started.
        name: String,
        /// What bubblewrap said.
        detail: String,
    },
    /// The program wasn't running in time; nothing is left of it.
    #[error("start {name} within {} seconds", .bound.as_secs())]
    TooLong {
        /// The name of what was to be started.
        name: String,
        /// How long was waited.
        bound: Duration,
    },
}
