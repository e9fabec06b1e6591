//! Audit events: written once, never changed.

use doce_model::{AuditEvent, AuditEventId, Ctx, Ms};

use crate::{Read, StoreError, Tx, get};

/// A stored audit event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Ms,
    /// Who, as printed.
    pub actor: String,
    /// What, as the action's word.
    pub action: String,
    /// To which noun.
    pub noun: String,
    /// How it ended.
    pub outcome: String,
    /// Of which Credential, by fingerprint.
    pub fingerprint: Option<String>,
    /// A sentence more.
    pub detail: Option<String>,
    /// In which request or Job.
    pub request_id: String,
    /// From which address.
    pub address: Option<String>,
}

pub(crate) async fn insert(tx: &mut Tx, id: AuditEventId, ctx: &Ctx, event: &AuditEvent) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_event (id, at, actor, action, noun, outcome, fingerprint, detail, request_id, address)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id.to_string())
    .bind(ctx.now().0)
    .bind(ctx.actor.to_string())
    .bind(event.action.as_str())
    .bind(event.noun.as_str())
    .bind(event.outcome.as_str())
    .bind(event.fingerprint.as_deref())
    .bind(event.detail.as_deref())
    .bind(ctx.request_id.as_str())
    .bind(ctx.address.as_deref())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists the newest `limit` events, newest first.
pub async fn list(read: &mut impl Read, limit: i64) -> Result<Vec<Entry>, StoreError> {
    let rows = sqlx::query(
        "SELECT at, actor, action, noun, outcome, fingerprint, detail, request_id, address
         FROM audit_event
         ORDER BY at DESC, id DESC
         LIMIT $1",
    )
    .bind(limit)
    .fetch_all(read.connection())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Entry {
                at: Ms(get(row, "at")?),
                actor: get(row, "actor")?,
                action: get(row, "action")?,
                noun: get(row, "noun")?,
                outcome: get(row, "outcome")?,
                fingerprint: get(row, "fingerprint")?,
                detail: get(row, "detail")?,
                request_id: get(row, "request_id")?,
                address: get(row, "address")?,
            })
        })
        .collect()
}

/// Counts all events.
pub async fn count(read: &mut impl Read) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM audit_event").fetch_one(read.connection()).await?)
}
