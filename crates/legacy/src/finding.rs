//! What is said about a thing that was found and is not simply taken.

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It stays behind, by a rule: nothing is wrong with it.
    Left,
    /// It could be read and must not be taken.
    Refused,
    /// It could not be read.
    Unreadable,
}

/// What kind of thing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A person's account.
    User,
    /// A provider's key.
    Key,
    /// A Project.
    Project,
    /// A file.
    File,
    /// A table of the database.
    Table,
    /// A setting of the installation.
    Setting,
    /// Work that was queued.
    Job,
    /// A published release of a Project.
    Release,
}

impl Subject {
    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Key => "key",
            Self::Project => "project",
            Self::File => "file",
            Self::Table => "table",
            Self::Setting => "setting",
            Self::Job => "job",
            Self::Release => "release",
        }
    }
}

/// A thing that was found, and why it is not simply taken. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What became of it.
    pub verdict: Verdict,
    /// What kind of thing it is.
    pub subject: Subject,
    /// Which one, in words that a terminal can show.
    pub name: String,
    /// Why, and what to do about it. A sentence without its period.
    pub reason: String,
}

impl Finding {
    pub(crate) fn left(subject: Subject, name: impl AsRef<str>, reason: impl Into<String>) -> Self {
        Self::new(Verdict::Left, subject, name, reason)
    }

    pub(crate) fn refused(subject: Subject, name: impl AsRef<str>, reason: impl Into<String>) -> Self {
        Self::new(Verdict::Refused, subject, name, reason)
    }

    pub(crate) fn unreadable(subject: Subject, name: impl AsRef<str>, reason: impl Into<String>) -> Self {
        Self::new(Verdict::Unreadable, subject, name, reason)
    }

    fn new(verdict: Verdict, subject: Subject, name: impl AsRef<str>, reason: impl Into<String>) -> Self {
        Self { verdict, subject, name: plain(name.as_ref()), reason: reason.into() }
    }
}

/// Most characters of a foreign text that are shown.
const SHOWN_MAX: usize = 80;

/// Returns a foreign text as a terminal may show it: one line, no control or direction characters, not too long.
pub fn plain(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    let mut shown: String = text.chars().take(SHOWN_MAX).map(|c| if is_odd(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_can_not_steer_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(plain("Café 日本"), "Café 日本");
        let long = plain(&"x".repeat(SHOWN_MAX + 1));
        assert_eq!(long.chars().count(), SHOWN_MAX + 1);
        assert!(long.ends_with('…'));
        assert_eq!(plain(&"x".repeat(SHOWN_MAX)).chars().count(), SHOWN_MAX);
    }
}
