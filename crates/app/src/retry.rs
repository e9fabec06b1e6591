//! Work that must be done in the end: what a database refuses now, because its disk is full or somebody holds it, it
//! takes later. Jobs have their own way; this is for what happens beside them.

use std::{error::Error, time::Duration};

use crate::{App, chain};

/// How long after a failure is tried again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Repeats `attempt` until it succeeds, and returns what it gave; `None` when the server ends first. `what` says in the
/// log what was not done.
pub(crate) async fn until_done<T, E: Error, F: Future<Output = Result<T, E>>>(
    app: &App,
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Option<T> {
    let mut pause = PAUSES.0;
    loop {
        match attempt().await {
            Ok(done) => return Some(done),
            Err(e) => tracing::error!(error = chain(&e), "{what}; it is tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = app.stopping.cancelled() => return None,
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}
