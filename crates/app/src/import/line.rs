//! What is said of each thing that an import found.

use doce_legacy::{Finding, Subject, Verdict};

/// What becomes of a thing, or became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It comes over.
    New,
    /// It came over before, or is here anyway.
    Already,
    /// It stays behind, by a rule.
    Left,
    /// It must not come over.
    Refused,
    /// It can't be read.
    Unreadable,
    /// It was to come over, and that failed.
    Failed,
}

impl ImportOutcome {
    /// Returns its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Already => "already",
            Self::Left => "left",
            Self::Refused => "refused",
            Self::Unreadable => "unreadable",
            Self::Failed => "failed",
        }
    }

    /// Tells whether somebody should look at it.
    pub const fn is_trouble(self) -> bool {
        match self {
            Self::New | Self::Already | Self::Left => false,
            Self::Refused | Self::Unreadable | Self::Failed => true,
        }
    }
}

/// A thing that an import found. No secret is in it, and nothing that steers a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportLine {
    /// What becomes of it.
    pub outcome: ImportOutcome,
    /// What kind of thing it is, in one word.
    pub subject: &'static str,
    /// Which.
    pub name: String,
    /// What to know about it.
    pub detail: String,
}

/// What an import is doing.
#[derive(Debug, Clone, Copy)]
pub enum ImportProgress<'a> {
    /// This is being brought over. Files may take a while.
    Begins(&'a ImportLine),
    /// This is settled, one way or another.
    Settled(&'a ImportLine),
}

impl ImportLine {
    pub(crate) fn new(outcome: ImportOutcome, subject: Subject, name: &str, detail: impl Into<String>) -> Self {
        Self { outcome, subject: subject.as_str(), name: doce_legacy::plain(name), detail: detail.into() }
    }
}

impl From<Finding> for ImportLine {
    fn from(finding: Finding) -> Self {
        let outcome = match finding.verdict {
            Verdict::Left => ImportOutcome::Left,
            Verdict::Refused => ImportOutcome::Refused,
            Verdict::Unreadable => ImportOutcome::Unreadable,
        };
        Self { outcome, subject: finding.subject.as_str(), name: finding.name, detail: finding.reason }
    }
}
