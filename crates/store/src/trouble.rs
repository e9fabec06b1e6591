//! Troubles of a database or a disk that somebody can end without knowing anything of doce: told apart from all other
//! errors, so that what is said is what to do, in the same words everywhere.

use std::{error::Error, io};

use doce_model::{Failure, NextMove};

use crate::StoreError;

/// What is wrong with the database, from the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full, or can't be written.
    DiskFull,
    /// Another program holds it.
    Locked,
    /// It is damaged.
    Damaged,
    /// Its server can't be reached, or doesn't answer.
    Unreachable,
}

/// What a person is told of a trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Its stable name, documented in `docs/errors.md`.
    pub code: &'static str,
    /// What is wrong, and what to do.
    pub message: &'static str,
}

impl Trouble {
    /// Finds which trouble an error, or one of its causes, tells of.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |&error| error.source()).find_map(|error| {
            if let Some(error) = error.downcast_ref::<StoreError>() {
                return error.trouble();
            }
            let kind = error.downcast_ref::<io::Error>()?.kind();
            matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded).then_some(Self::DiskFull)
        })
    }

    /// Says what is wrong and what to do, in the same words wherever it is met.
    pub fn words(self) -> Words {
        match self {
            Self::DiskFull => Words {
                code: "disk_full",
                message: "The server's disk is full, or can't be written. Make room on it, then try again.",
            },
            Self::Locked => Words {
                code: "database_locked",
                message: "Another program holds the database. Close that program, then try again.",
            },
            Self::Damaged => Words {
                code: "database_damaged",
                message: "The database is damaged. Stop doce, and put a backup in its place with `doce restore`.",
            },
            Self::Unreachable => Words {
                code: "database_unreachable",
                message: "The PostgreSQL server can't be reached, or doesn't answer. See that it runs, then try again.",
            },
        }
    }

    /// Tells it to whoever waits for what couldn't be done.
    pub fn failure(self) -> Failure {
        let Words { code, message } = self.words();
        Failure::new(code, message, NextMove::Retry)
    }
}

/// Finds which trouble an error tells of.
pub(crate) fn of(error: &sqlx::Error) -> Option<Trouble> {
    match error {
        sqlx::Error::Database(error) => of_code(&error.code()?),
        // Of SQLite; `Store::failed` says what it is with PostgreSQL.
        sqlx::Error::PoolTimedOut => Some(Trouble::Locked),
        // A file of SQLite is written by a library that has codes of its own for this.
        sqlx::Error::Io(_) => Some(Trouble::Unreachable),
        _ => None,
    }
}

/// A code of PostgreSQL has five characters; SQLite's are numbers of fewer digits, whose low byte is the kind.
fn of_code(code: &str) -> Option<Trouble> {
    match code {
        "55P03" => return Some(Trouble::Locked),
        "XX001" | "XX002" => return Some(Trouble::Damaged),
        // The server ends, starts, or has no connection left.
        "53300" | "57P01" | "57P02" | "57P03" => return Some(Trouble::Unreachable),
        // SQLite's IOERR_WRITE, _FSYNC, _SHMSIZE: a quota, or a full disk where a hole of a file was to be filled.
        "53100" | "778" | "1034" | "4874" => return Some(Trouble::DiskFull),
        _ if code.len() == 5 && code.starts_with("08") => return Some(Trouble::Unreachable),
        _ if code.len() == 5 => return None,
        _ => {}
    }
    match code.parse::<u32>().ok()? & 0xff {
        13 => Some(Trouble::DiskFull),
        5 | 6 => Some(Trouble::Locked),
        11 | 26 => Some(Trouble::Damaged),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_found_below_whatever_stands_above_it() {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert_eq!(Trouble::find(&io::Error::from(kind)), Some(Trouble::DiskFull));
        }
        let below = sqlx::Error::Configuration(Box::new(io::Error::from(io::ErrorKind::StorageFull)));
        assert_eq!(Trouble::find(&below), Some(Trouble::DiskFull));
        assert_eq!(Trouble::find(&StoreError::Query(sqlx::Error::PoolTimedOut)), Some(Trouble::Locked));
        assert_eq!(Trouble::find(&io::Error::from(io::ErrorKind::PermissionDenied)), None);
    }

    #[test]
    fn each_databases_codes_are_its_own() {
        for (code, trouble) in [
            ("13", Some(Trouble::DiskFull)),
            ("4874", Some(Trouble::DiskFull)),
            ("53100", Some(Trouble::DiskFull)),
            ("5", Some(Trouble::Locked)),
            ("261", Some(Trouble::Locked)),
            ("57P01", Some(Trouble::Unreachable)),
            ("08006", Some(Trouble::Unreachable)),
            ("11", Some(Trouble::Damaged)),
            ("26", Some(Trouble::Damaged)),
            // Its low byte would be SQLite's BUSY: PostgreSQL's `insufficient_privilege`.
            ("42501", None),
            ("2067", None),
            ("23505", None),
            ("words", None),
        ] {
            assert_eq!(of_code(code), trouble, "{code}");
        }
    }
}
