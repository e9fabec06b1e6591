//! PostgreSQL, for the tests that run on every database.

#[path = "fresh.rs"]
mod fresh;

pub(crate) use fresh::Fresh;

/// Lists the columns of bytes: `place`, the table, and `name`.
pub(crate) const BYTES_COLUMNS: &str = "SELECT CAST(table_name AS TEXT) AS place, CAST(column_name AS TEXT) AS name
    FROM information_schema.columns
    WHERE table_schema = 'public' AND data_type = 'bytea'";
/// How many of four that open a database at the same moment may have it.
pub(crate) const OPEN_AT_ONCE: usize = 1;
/// Lets a connection write rows whose owners aren't there.
pub(crate) const NO_FOREIGN_KEYS: &str = "SET session_replication_role = replica";

impl Fresh {
    /// What the driver takes.
    pub(crate) fn url(&self) -> String {
        fresh::url_of(&self.name)
    }
}

/// Writes a migration's types as the database spells them.
pub(crate) fn types(migration: &str) -> String {
    migration.to_owned()
}

/// Writes bytes as SQL.
pub(crate) fn bytes(hex: &str) -> String {
    format!("'\\x{hex}'")
}
