//! What Jobs do, one noun per file. Each step says its effect, why a repeat is harmless, and what undoes it.

pub(crate) mod delivery;
pub(crate) mod instance;
pub(crate) mod preview;
pub(crate) mod prompt;
pub(crate) mod session;
pub(crate) mod workspace;
