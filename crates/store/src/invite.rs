//! Invites that were not used yet. Of what proves one, only a hash is kept.

use doce_model::{Invite, InviteId, Ms};
use sqlx::any::AnyRow;

use crate::{Read, StoreError, Tx, get, parse};

fn invite(row: &AnyRow) -> Result<Invite, StoreError> {
    Ok(Invite {
        id: parse("invite", "id", get(row, "id")?)?,
        user_id: parse("invite", "user_id", get(row, "user_id")?)?,
        role: parse("invite", "role", get(row, "role")?)?,
        created_at: Ms(get(row, "created_at")?),
        expires_at: Ms(get(row, "expires_at")?),
    })
}

/// Adds an invite.
pub async fn insert(tx: &mut Tx, invite: &Invite, token_hash: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO invite (id, user_id, role, token_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(invite.id.to_string())
    .bind(invite.user_id.to_string())
    .bind(invite.role.as_str())
    .bind(token_hash)
    .bind(invite.created_at.0)
    .bind(invite.expires_at.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the invites that can still be used, newest first.
pub async fn list(read: &mut impl Read, now: Ms) -> Result<Vec<Invite>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, user_id, role, created_at, expires_at FROM invite WHERE expires_at > $1
         ORDER BY created_at DESC, id DESC",
    )
    .bind(now.0)
    .fetch_all(read.connection())
    .await?;
    rows.iter().map(invite).collect()
}

/// Finds the invite with this hash that can still be used: whoever made it is an admin yet.
pub async fn find(read: &mut impl Read, token_hash: &str, now: Ms) -> Result<Option<Invite>, StoreError> {
    let row = sqlx::query(
        "SELECT i.id, i.user_id, i.role, i.created_at, i.expires_at
         FROM invite i
         JOIN app_user u ON u.id = i.user_id
         WHERE i.token_hash = $1 AND i.expires_at > $2 AND u.disabled_at IS NULL AND u.role = 'admin'",
    )
    .bind(token_hash)
    .bind(now.0)
    .fetch_optional(read.connection())
    .await?;
    row.as_ref().map(invite).transpose()
}

/// Removes an invite, because it was used or taken back. Returns whether it was there.
pub async fn delete(tx: &mut Tx, id: InviteId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM invite WHERE id = $1").bind(id.to_string()).execute(tx.connection()).await?;
    Ok(done.rows_affected() > 0)
}

/// Removes the invites that have expired.
pub async fn delete_expired(tx: &mut Tx) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("DELETE FROM invite WHERE expires_at <= $1").bind(now.0).execute(tx.connection()).await?;
    Ok(())
}
