//! A real OpenCode and a small scripted model for it to talk to.

mod agent;
mod model;

pub(crate) use agent::{Agent, acme};
pub(crate) use model::Model;

use std::time::Duration;

use tokio::time::Instant;

/// Nothing that a test waits for takes longer.
pub(crate) const BOUND: Duration = Duration::from_mins(1);

/// Asks until the answer is something.
pub(crate) async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + BOUND;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {BOUND:?} for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
