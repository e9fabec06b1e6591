//! The chain over the audit events: how two are linked, and whether all still are.
//!
//! The hash of an event is SHA-256 over the hash before it and every field of the event, each written with its length,
//! so that no two different events are the same bytes. `docs/audit.md` describes it for somebody who wants to check an
//! export without doce.

use std::{fmt, str::FromStr};

use doce_model::UnknownValue;
use sha2::{Digest as _, Sha256};

use super::{COLUMNS, Entry, entry};
use crate::{Read, StoreError, get};

/// What stands in for the hash before the first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// What the hashes begin with: another form of the chain would begin with another.
const FORM: &[u8] = b"doce audit 1";
/// Events read at a time.
const PAGE: i64 = 1_000;
/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;

/// Returns the hash of an event that follows one with the hash `previous`.
pub fn link(previous: &str, entry: &Entry) -> String {
    let mut hasher = Sha256::new_with_prefix(FORM);
    let mut field = |value: Option<&str>| match value {
        Some(value) => {
            hasher.update([1]);
            hasher.update((value.len() as u64).to_be_bytes());
            hasher.update(value.as_bytes());
        }
        None => hasher.update([0]),
    };
    field(Some(previous));
    field(Some(&entry.seq.to_string()));
    field(Some(&entry.id));
    field(Some(&entry.at.0.to_string()));
    field(Some(&entry.actor));
    field(entry.user_id.map(|id| id.to_string()).as_deref());
    field(Some(&entry.action));
    field(Some(&entry.noun));
    field(entry.project_id.map(|id| id.to_string()).as_deref());
    field(Some(&entry.outcome));
    field(entry.fingerprint.as_deref());
    field(entry.detail.as_deref());
    field(Some(&entry.request_id));
    field(entry.address.as_deref());
    hasher.finalize().iter().fold(String::with_capacity(DIGITS), |mut text, byte| {
        use std::fmt::Write as _;
        write!(text, "{byte:02x}").expect("writing to a String can't fail");
        text
    })
}

/// An event by its number and hash: a place in the chain that somebody can note down and compare later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Its number; 0 before the first event.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Anchor {
    type Err = UnknownValue;

    fn from_str(text: &str) -> Result<Self, UnknownValue> {
        let refused = || UnknownValue { noun: "Anchor", value: text.chars().take(100).collect() };
        let (seq, hash) = text.trim().split_once(':').ok_or_else(refused)?;
        let seq: i64 = seq.parse().map_err(|_| refused())?;
        let is_hash = hash.len() == DIGITS && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if seq < 0 || !is_hash {
            return Err(refused());
        }
        Ok(Self { seq, hash: hash.to_ascii_lowercase() })
    }
}

/// What a walk along the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every event is as it was written; the newest is this one.
    Whole(Anchor),
    /// The first event that is not, by its number.
    Broken {
        /// Its number.
        seq: i64,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It, or the one before it, says something else than when it was written.
    Changed,
    /// It was not written by doce: it stands outside the chain.
    Inserted,
    /// It is not the one that was noted down.
    NotTheAnchor,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it is missing",
            Self::Changed => "it is not what was written, or not where it was written",
            Self::Inserted => "it stands outside the chain",
            Self::NotTheAnchor => "it is not the event that was noted down: the log was written anew",
        })
    }
}

/// Walks along the whole chain, in pages, and says whether it is whole. `tell` hears how far it is, and of how many.
///
/// Events that are written meanwhile are walked, too.
pub async fn verify(
    read: &mut impl Read,
    anchor: Option<&Anchor>,
    mut tell: impl FnMut(i64, i64),
) -> Result<Verdict, StoreError> {
    let broken = |seq, fault| Ok(Verdict::Broken { seq, fault });
    let (mut last, mut after) = (Anchor { seq: 0, hash: GENESIS.to_owned() }, i64::MIN);
    loop {
        let sql = format!("SELECT {COLUMNS} FROM audit_event WHERE seq > $1 ORDER BY seq LIMIT $2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(after).bind(PAGE).fetch_all(read.connection()).await?;
        for row in &rows {
            let seq: i64 = get(row, "seq")?;
            if seq <= last.seq {
                return broken(seq, Fault::Inserted);
            }
            if seq > last.seq + 1 {
                return broken(last.seq + 1, Fault::Missing);
            }
            // A field that can't even be read was changed.
            let Ok(found) = entry(row) else {
                return broken(seq, Fault::Changed);
            };
            if link(&last.hash, &found) != found.hash {
                return broken(seq, Fault::Changed);
            }
            if anchor.is_some_and(|anchor| anchor.seq == seq && anchor.hash != found.hash) {
                return broken(seq, Fault::NotTheAnchor);
            }
            last = Anchor { seq, hash: found.hash };
            after = seq;
        }
        // One statement, so that the head and the last event are of the same moment.
        let ends = sqlx::query(
            "SELECT seq, hash, (SELECT COALESCE(MAX(seq), 0) FROM audit_event) AS newest FROM audit_head WHERE id = 1",
        )
        .fetch_optional(read.connection())
        .await?;
        let Some(ends) = ends else {
            return broken(last.seq, Fault::Changed);
        };
        let (head, newest) =
            (Anchor { seq: get(&ends, "seq")?, hash: get(&ends, "hash")? }, get::<i64>(&ends, "newest")?);
        tell(last.seq, head.seq.max(newest));
        if newest > last.seq {
            if newest > head.seq && last.seq >= head.seq {
                return broken(head.seq + 1, Fault::Inserted);
            }
            continue;
        }
        if head.seq > last.seq {
            return broken(last.seq + 1, Fault::Missing);
        }
        if head.seq < last.seq {
            return broken(head.seq + 1, Fault::Inserted);
        }
        if head != last {
            return broken(last.seq, Fault::Changed);
        }
        return match anchor {
            Some(anchor) if anchor.seq > last.seq => broken(last.seq + 1, Fault::Missing),
            Some(_) | None => Ok(Verdict::Whole(last)),
        };
    }
}
