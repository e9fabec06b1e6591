//! SQLite, for the tests that run on every database.

use std::future::{Ready, ready};

use doce_store::Database;
use tempfile::TempDir;

/// A file that isn't there yet, in a directory that goes with it.
pub(crate) struct Fresh {
    pub(crate) database: Database,
    _directory: TempDir,
}

impl Fresh {
    pub(crate) fn new() -> Ready<Self> {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("doce.sqlite").to_str().expect("the path is text").to_owned();
        ready(Self { database: Database::Sqlite(path), _directory: directory })
    }
}
