//! The runtime against the real system: bubblewrap, `/proc`, signals.

mod common;
mod process;
mod sandbox;
mod survivors;
