//! Bounded waiting, and ports. A test never sleeps: it waits for a state, and says how long that may take.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long between two looks at a condition, at first and at most: what takes long is looked at less often, because a
/// look costs the processor that what is waited for needs.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// How many times longer than a pause the wait has been by then.
const PATIENCE: u32 = 10;

/// Waits until the condition gives a value: `wait_for("the port", bound, async || port_is_open().await.then_some(()))`.
///
/// # Panics
/// When the bound passes first; the message names what was waited for.
pub async fn wait_for<T>(what: &str, bound: Duration, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let deadline = started + bound;
    loop {
        // The bound holds for a condition that never answers, too.
        match tokio::time::timeout_at(deadline, condition()).await {
            Ok(Some(value)) => return value,
            Ok(None) if Instant::now() < deadline => {
                sleep((started.elapsed() / PATIENCE).clamp(PAUSES.0, PAUSES.1)).await;
            }
            Ok(None) | Err(_) => panic!("waited {bound:?} in vain for {what}"),
        }
    }
}

/// Finds a port of 127.0.0.1 that is free at this moment. Prefer to bind port 0 where that is possible: another process may take this one.
///
/// # Panics
/// When the system has no free port.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("the system has a free port")
        .port()
}
