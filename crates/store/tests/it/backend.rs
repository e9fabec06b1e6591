//! SQLite, for the tests that run on every database. `tests/postgres` has the same for PostgreSQL.

use std::future::{Ready, ready};

use doce_store::Database;
use tempfile::TempDir;

/// Lists the columns of bytes: `place`, the table, and `name`.
pub(crate) const BYTES_COLUMNS: &str = "SELECT m.name AS place, c.name AS name
    FROM sqlite_master m JOIN pragma_table_info(m.name) c
    WHERE m.type = 'table' AND UPPER(c.type) = 'BLOB'";
/// How many of four that open a database at the same moment may have it.
pub(crate) const OPEN_AT_ONCE: usize = 4;
/// Lets a connection write rows whose owners aren't there.
pub(crate) const NO_FOREIGN_KEYS: &str = "PRAGMA foreign_keys = OFF";

/// A file that isn't there yet, in a directory that goes with it.
pub(crate) struct Fresh {
    pub(crate) database: Database,
    path: String,
    _directory: TempDir,
}

impl Fresh {
    pub(crate) fn new() -> Ready<Self> {
        ready(Self::nowhere())
    }

    /// A database that isn't there.
    pub(crate) fn nowhere() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let path = directory.path().join("doce.sqlite").to_str().expect("the path is text").to_owned();
        Self { database: Database::Sqlite(path.clone()), path, _directory: directory }
    }

    /// What the driver takes.
    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.path)
    }
}

/// Writes a migration's types as the database spells them.
pub(crate) fn types(migration: &str) -> String {
    migration.replace("BYTEA", "BLOB")
}

/// Writes bytes as SQL.
pub(crate) fn bytes(hex: &str) -> String {
    format!("x'{hex}'")
}
