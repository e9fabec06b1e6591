//! The machine's clock, the only one that reads the real time.

use std::time::{SystemTime, UNIX_EPOCH};

use doce_model::{Clock, Ms};

/// Tells the machine's time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that the others are given")]
    fn now(&self) -> Ms {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
