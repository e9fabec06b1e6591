//! What was brought over from an older installation, and which noun here it became.

use doce_model::{ImportedKind, Ms};
use sqlx::any::AnyRow;

use crate::{Read, StoreError, Tx, get, parse};

/// Something that was brought over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The installation that it comes from.
    pub source: String,
    /// What it was there.
    pub kind: ImportedKind,
    /// Its id there.
    pub old_id: String,
    /// The noun that it became, by id. The noun may be gone by now.
    pub noun_id: String,
    /// When.
    pub at: Ms,
}

fn imported(row: &AnyRow) -> Result<Imported, StoreError> {
    Ok(Imported {
        source: get(row, "source")?,
        kind: parse("imported", "kind", get(row, "kind")?)?,
        old_id: get(row, "old_id")?,
        noun_id: get(row, "noun_id")?,
        at: Ms(get(row, "at")?),
    })
}

/// Lists what was brought over from an installation.
pub async fn of_source(read: &mut impl Read, source: &str) -> Result<Vec<Imported>, StoreError> {
    let rows = sqlx::query(
        "SELECT source, kind, old_id, noun_id, at FROM imported WHERE source = $1 ORDER BY at, kind, old_id",
    )
    .bind(source)
    .fetch_all(read.connection())
    .await?;
    rows.iter().map(imported).collect()
}

/// Records that something was brought over. A second time is [`StoreError::is_taken`].
pub async fn insert(
    tx: &mut Tx,
    source: &str,
    kind: ImportedKind,
    old_id: &str,
    noun_id: &str,
) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("INSERT INTO imported (source, kind, old_id, noun_id, at) VALUES ($1, $2, $3, $4, $5)")
        .bind(source)
        .bind(kind.as_str())
        .bind(old_id)
        .bind(noun_id)
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}
