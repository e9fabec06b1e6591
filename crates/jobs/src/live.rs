//! What a step says while it works, on its way to the database.
//!
//! A step speaks without waiting; the worker that watches over it writes, at most every [`DETAIL_EVERY`]. Its lines
//! are written with the step's end; what it was doing is over then. Crash: what was said in the last [`DETAIL_EVERY`]
//! is lost.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use doce_model::{LogLevel, Ms};
use tokio::sync::Notify;

/// How often what a step says is written, at most.
pub const DETAIL_EVERY: Duration = Duration::from_millis(250);
/// How long a step has to be at work before what it says is written for the first time: a short one ends sooner, and
/// its lines are written with its end.
pub(crate) const DETAIL_FIRST: Duration = Duration::from_millis(100);
/// Characters that a detail keeps.
pub const MAX_DETAIL: usize = 400;
/// Characters that a log line keeps.
pub const MAX_LINE: usize = 4000;
/// Lines that may wait to be written; more are dropped, and a line says so.
pub const MAX_WAITING_LINES: usize = 200;

pub(crate) type Line = (Ms, LogLevel, String);

/// A part of what a step said, on its way.
#[derive(Debug)]
pub(crate) struct Unwritten {
    pub(crate) detail: Option<String>,
    pub(crate) lines: Vec<Line>,
    count: usize,
    dropped: usize,
}

/// What a step says.
#[derive(Debug, Default)]
pub(crate) struct Live {
    said: Mutex<Said>,
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct Said {
    detail: Option<String>,
    /// The detail is not yet in the database.
    fresh: bool,
    lines: Vec<Line>,
    dropped: usize,
}

impl Live {
    pub(crate) fn set_detail(&self, text: String) {
        let text = cut(text, MAX_DETAIL);
        {
            let mut said = self.lock();
            if said.detail.as_deref() == Some(text.as_str()) {
                return;
            }
            said.detail = Some(text);
            said.fresh = true;
        }
        self.changed.notify_one();
    }

    pub(crate) fn push(&self, at: Ms, level: LogLevel, text: String) {
        {
            let mut said = self.lock();
            if said.lines.len() >= MAX_WAITING_LINES {
                said.dropped += 1;
                return;
            }
            said.lines.push((at, level, cut(text, MAX_LINE)));
        }
        self.changed.notify_one();
    }

    /// Returns what is not yet written. [`Live::written`] forgets it.
    pub(crate) fn unwritten(&self) -> Unwritten {
        let said = self.lock();
        let mut lines = said.lines.clone();
        if let (true, Some((at, ..))) = (said.dropped > 0, said.lines.last()) {
            lines.push((
                *at,
                LogLevel::Warn,
                format!("Lines dropped, for there were too many at once: {}.", said.dropped),
            ));
        }
        Unwritten {
            detail: if said.fresh { said.detail.clone() } else { None },
            count: said.lines.len(),
            dropped: said.dropped,
            lines,
        }
    }

    /// Notes that this was written. Crash: between the commit and this a line may be written twice, never lost.
    pub(crate) fn written(&self, unwritten: &Unwritten) {
        let mut said = self.lock();
        said.lines.drain(..unwritten.count);
        said.dropped -= unwritten.dropped;
        if said.detail == unwritten.detail {
            said.fresh = false;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        // A panic between two fields can't be: nothing that panics runs under the lock.
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(text: String, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text,
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let live = Live::default();
        live.set_detail("é".repeat(MAX_DETAIL + 5));
        assert_eq!(live.unwritten().detail.map(|text| text.chars().count()), Some(MAX_DETAIL + 1));
        live.push(Ms(1), LogLevel::Info, "é".repeat(MAX_LINE + 5));
        assert_eq!(live.unwritten().lines[0].2.chars().count(), MAX_LINE + 1);
    }

    #[test]
    fn a_flood_of_lines_is_dropped_and_says_so() {
        let live = Live::default();
        for n in 0..MAX_WAITING_LINES + 7 {
            live.push(Ms(1), LogLevel::Info, n.to_string());
        }
        let said = live.unwritten();
        assert_eq!(said.lines.len(), MAX_WAITING_LINES + 1);
        assert!(said.lines[MAX_WAITING_LINES].2.ends_with("too many at once: 7."));
        live.push(Ms(2), LogLevel::Info, "dropped, too".to_owned());
        live.written(&said);
        assert!(live.unwritten().lines.is_empty());
        live.push(Ms(3), LogLevel::Info, "heard again".to_owned());
        assert!(live.unwritten().lines[1].2.ends_with("too many at once: 1."));
    }

    #[test]
    fn a_detail_is_written_once_and_one_said_meanwhile_is_not_lost() {
        let live = Live::default();
        live.set_detail("a".to_owned());
        let first = live.unwritten();
        live.set_detail("b".to_owned());
        live.written(&first);
        let second = live.unwritten();
        assert_eq!(second.detail.as_deref(), Some("b"));
        live.written(&second);
        live.set_detail("b".to_owned());
        assert_eq!(live.unwritten().detail, None);
    }
}
