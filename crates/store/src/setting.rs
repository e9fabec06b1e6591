//! Settings: single values by name, none of them secret.

use crate::{Read, StoreError, Tx};

/// Finds a value.
pub async fn find(read: &mut impl Read, name: &str) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT value FROM setting WHERE name = $1")
        .bind(name)
        .fetch_optional(read.connection())
        .await?)
}

/// Sets a value.
pub async fn set(tx: &mut Tx, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO setting (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets a value.
pub async fn remove(tx: &mut Tx, name: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM setting WHERE name = $1").bind(name).execute(tx.connection()).await?;
    Ok(())
}
