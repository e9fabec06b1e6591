//! Time for tests: a clock that stands still until it is told to move, and the machine's own for the fakes.
//!
//! The fakes stamp what they say with the real time, as the programs they play do. Everything else in a test takes a `MockClock`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use doce_model::{Clock, Ms};

/// A clock that a test sets. Clones show the same time.
#[derive(Debug, Clone)]
pub struct MockClock(Arc<AtomicI64>);

impl MockClock {
    /// Makes a clock that shows this moment.
    pub fn at(now: Ms) -> Self {
        Self(Arc::new(AtomicI64::new(now.0)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now: Ms) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Default for MockClock {
    /// Shows 2026-11-22T12:00:00Z.
    fn default() -> Self {
        Self::at(Ms(1_795_348_800_000))
    }
}

impl Clock for MockClock {
    fn now(&self) -> Ms {
        Ms(self.0.load(Ordering::SeqCst))
    }
}

/// Milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a fake of an outside program, which has a clock of its own")]
pub(crate) fn epoch_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_clock_shows_the_moment_it_promises() {
        assert_eq!(MockClock::default().now().rfc3339(), "2026-11-22T12:00:00.000Z");
    }

    #[test]
    fn clones_of_a_clock_move_together() {
        let clock = MockClock::at(Ms(1_000));
        let clone = clock.clone();
        clock.advance(Duration::from_secs(2));
        assert_eq!(clone.now(), Ms(3_000));
        clone.set(Ms(5));
        assert_eq!(clock.now(), Ms(5));
    }
}
