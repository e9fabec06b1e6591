//! Every sealed value that is stored, whatever it belongs to: what a change of the master key has to go through.
//!
//! They are opaque here. A test compares [`Column::ALL`] with the schema, so that a new column of sealed values can't
//! be forgotten.

use crate::{Read, StoreError, Tx, get};

/// A column of sealed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Credentials.
    Credential,
    /// The answers to the questions of a Connection's method.
    Metadata,
    /// The passwords of running Agents.
    AgentPassword,
}

impl Column {
    /// Every one.
    pub const ALL: &'static [Self] = &[Self::Credential, Self::Metadata, Self::AgentPassword];

    /// Returns its table and its name.
    pub const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Credential => ("credential", "sealed"),
            Self::Metadata => ("connection", "metadata_sealed"),
            Self::AgentPassword => ("instance", "password_sealed"),
        }
    }

    /// Returns what the value belongs to, and its version, as SQL.
    const fn identity(self) -> (&'static str, &'static str) {
        match self {
            Self::Credential => ("connection_id", "version"),
            Self::Metadata | Self::AgentPassword => ("id", "1"),
        }
    }
}

/// A sealed value, where it is and what it belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// In which column.
    pub column: Column,
    /// In which row.
    pub row: String,
    /// To which noun it belongs, by id.
    pub noun: String,
    /// Whose.
    pub user_id: String,
    /// Which version of it.
    pub version: i64,
    /// The vault's envelope.
    pub bytes: Vec<u8>,
}

/// Counts the sealed values of every column. Erased ones don't count.
pub async fn count(read: &mut impl Read) -> Result<i64, StoreError> {
    let mut all = 0;
    for column in Column::ALL {
        let (table, name) = column.place();
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE LENGTH({name}) > 0");
        all += sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql)).fetch_one(read.connection()).await?;
    }
    Ok(all)
}

/// Lists a page of a column's sealed values, by row, after the row `after`.
pub async fn list(
    read: &mut impl Read,
    column: Column,
    after: &str,
    limit: i64,
) -> Result<Vec<SealedValue>, StoreError> {
    let ((table, name), (noun, version)) = (column.place(), column.identity());
    let sql = format!(
        "SELECT id AS row_id, {noun} AS noun, user_id, CAST({version} AS BIGINT) AS version, {name} AS bytes
         FROM {table}
         WHERE LENGTH({name}) > 0 AND id > $1
         ORDER BY id
         LIMIT $2"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(after).bind(limit).fetch_all(read.connection()).await?;
    rows.iter()
        .map(|row| {
            Ok(SealedValue {
                column,
                row: get(row, "row_id")?,
                noun: get(row, "noun")?,
                user_id: get(row, "user_id")?,
                version: get(row, "version")?,
                bytes: get(row, "bytes")?,
            })
        })
        .collect()
}

/// Puts another envelope of the same value in its place. Returns whether the row still held what was read.
pub async fn replace(tx: &mut Tx, value: &SealedValue, bytes: &[u8], key_id: &str) -> Result<bool, StoreError> {
    let (table, name) = value.column.place();
    let key = match value.column {
        Column::Credential => ", key_id = $4",
        // These name their key in the envelope alone.
        Column::Metadata | Column::AgentPassword => "",
    };
    let sql = format!("UPDATE {table} SET {name} = $3{key} WHERE id = $1 AND {name} = $2");
    let query =
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(value.row.as_str()).bind(value.bytes.clone()).bind(bytes.to_vec());
    let query = match value.column {
        Column::Credential => query.bind(key_id),
        Column::Metadata | Column::AgentPassword => query,
    };
    Ok(query.execute(tx.connection()).await?.rows_affected() == 1)
}
