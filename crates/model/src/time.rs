//! Time as an input: milliseconds, and where they come from.

use std::{fmt, sync::Arc, time::Duration};

/// A moment: milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ms(pub i64);

impl Ms {
    /// Returns the moment `by` later.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns how long after `earlier` this moment is; zero if it is not later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads a moment in RFC 3339, with any offset.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }

    /// Reads a moment as it stands in a header of HTTP.
    pub fn from_http(text: &str) -> Option<Self> {
        let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(Self(at.as_millisecond()))
    }

    /// Returns the moment in RFC 3339, UTC, with milliseconds.
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| self.0.to_string(), |at| format!("{at:.3}"))
    }
}

impl fmt::Debug for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Tells the time. The server reads the machine's clock, a test sets its own.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the present moment.
    fn now(&self) -> Ms;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Ms {
        (**self).now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_milliseconds_in_utc() {
        assert_eq!(Ms(1_790_000_000_120).rfc3339(), "2026-09-21T14:13:20.120Z");
    }

    #[test]
    fn a_moment_is_read_from_a_header() {
        assert_eq!(Ms::from_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Ms(784_111_777_000)));
        assert_eq!(Ms::from_http("yesterday"), None);
    }

    #[test]
    fn a_moment_is_read_at_any_offset_and_nothing_else_is() {
        let noon = Some(Ms(1_790_000_000_000));
        assert_eq!(Ms::from_rfc3339("2026-09-21T14:13:20Z"), noon);
        assert_eq!(Ms::from_rfc3339("2026-09-21T16:13:20+02:00"), noon);
        assert_eq!(Ms::from_rfc3339("2026-09-21"), None);
    }

    #[test]
    fn since_never_goes_below_zero() {
        assert_eq!(Ms(5).since(Ms(9)), Duration::ZERO);
        assert_eq!(Ms(9).since(Ms(5)), Duration::from_millis(4));
    }
}
