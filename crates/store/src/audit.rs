//! Audit events: written once, never changed, each linked to the one before it.
//!
//! Writing is here, linking and checking in [`chain`], reading in [`mod@list`]. The chain has no key: it shows that
//! something was changed, removed or put in by whoever did not also write the whole rest of it anew. Who keeps the
//! newest hash somewhere else ([`chain::Anchor`]) finds that out, too.

pub mod chain;
pub mod list;

use doce_model::{AuditEvent, AuditEventId, Ctx, Ms, ProjectId, UserId};
use sqlx::{AnyConnection, any::AnyRow};

pub use list::{Filter, Page, list, walk};

use crate::{Read, StoreError, get, parse_opt, storable};

const COLUMNS: &str = "seq, id, at, actor, user_id, action, noun, project_id, outcome, fingerprint, detail, request_id,
    address, hash";

/// A stored audit event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: 1, 2, 3, without gaps.
    pub seq: i64,
    /// Which.
    pub id: String,
    /// When.
    pub at: Ms,
    /// Who, as printed.
    pub actor: String,
    /// Whose noun it is, or else who acted.
    pub user_id: Option<UserId>,
    /// What, as the action's word.
    pub action: String,
    /// To which noun.
    pub noun: String,
    /// In which Project.
    pub project_id: Option<ProjectId>,
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
    /// The hash over the event before and this one, in hexadecimal digits.
    pub hash: String,
}

impl Entry {
    /// Makes an event that has no place in the chain yet.
    pub(crate) fn of(ctx: &Ctx, event: AuditEvent) -> Self {
        let now = ctx.now();
        Self {
            seq: 0,
            id: AuditEventId::new(now).to_string(),
            at: now,
            actor: ctx.actor.to_string(),
            user_id: event.user_id.or_else(|| ctx.actor.user_id()),
            action: event.action.as_str().to_owned(),
            noun: storable(&event.noun),
            project_id: event.project_id,
            outcome: event.outcome,
            fingerprint: event.fingerprint,
            detail: event.detail.as_deref().map(storable),
            request_id: ctx.request_id.clone(),
            address: ctx.address.clone(),
            hash: String::new(),
        }
    }
}

fn entry(row: &AnyRow) -> Result<Entry, StoreError> {
    Ok(Entry {
        seq: get(row, "seq")?,
        id: get(row, "id")?,
        at: Ms(get(row, "at")?),
        actor: get(row, "actor")?,
        user_id: parse_opt("audit_event", "user_id", get(row, "user_id")?)?,
        action: get(row, "action")?,
        noun: get(row, "noun")?,
        project_id: parse_opt("audit_event", "project_id", get(row, "project_id")?)?,
        outcome: get(row, "outcome")?,
        fingerprint: get(row, "fingerprint")?,
        detail: get(row, "detail")?,
        request_id: get(row, "request_id")?,
        address: get(row, "address")?,
        hash: get(row, "hash")?,
    })
}

/// Puts an event at the end of the chain.
pub(crate) async fn append(connection: &mut AnyConnection, mut entry: Entry) -> Result<(), StoreError> {
    // Invariant: the head row is changed first, so that transactions that write events come one after the other, and
    // numbers have no gaps: one that is rolled back gives its number back.
    let head = sqlx::query("UPDATE audit_head SET seq = seq + 1 WHERE id = 1 RETURNING seq, hash")
        .fetch_one(&mut *connection)
        .await?;
    entry.seq = get(&head, "seq")?;
    entry.hash = chain::link(&get::<String>(&head, "hash")?, &entry);
    sqlx::query(
        "INSERT INTO audit_event (seq, id, at, actor, user_id, action, noun, project_id, outcome, fingerprint, detail,
             request_id, address, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(entry.seq)
    .bind(entry.id.as_str())
    .bind(entry.at.0)
    .bind(entry.actor.as_str())
    .bind(entry.user_id.map(|id| id.to_string()))
    .bind(entry.action.as_str())
    .bind(entry.noun.as_str())
    .bind(entry.project_id.map(|id| id.to_string()))
    .bind(entry.outcome.as_str())
    .bind(entry.fingerprint.as_deref())
    .bind(entry.detail.as_deref())
    .bind(entry.request_id.as_str())
    .bind(entry.address.as_deref())
    .bind(entry.hash.as_str())
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE audit_head SET hash = $1 WHERE id = 1").bind(entry.hash).execute(&mut *connection).await?;
    Ok(())
}

/// Links the events that were written before there was a chain, oldest first, and says whose they are where that can
/// still be told.
pub(crate) async fn chain_older(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "SELECT 0 AS seq, e.id, e.at, e.actor, e.action, e.noun, e.outcome, e.fingerprint, e.detail, e.request_id,
                e.address, '' AS hash,
                COALESCE(a.id, c.user_id, p.user_id, j.user_id, n.id, s.user_id) AS user_id,
                COALESCE(CASE WHEN e.noun LIKE 'prj_%' THEN e.noun END, j.project_id) AS project_id
         FROM audit_event_unchained e
         LEFT JOIN app_user a ON a.id = e.actor
         LEFT JOIN connection c ON c.id = e.noun
         LEFT JOIN project p ON p.id = e.noun
         LEFT JOIN job j ON j.id = e.noun
         LEFT JOIN app_user n ON n.id = e.noun
         LEFT JOIN sign_in s ON s.id = e.noun
         ORDER BY e.at, e.id",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in &rows {
        append(connection, entry(row)?).await?;
    }
    sqlx::query("DROP TABLE audit_event_unchained").execute(&mut *connection).await?;
    Ok(())
}

/// Returns the number and the hash of the newest event.
pub async fn head(read: &mut impl Read) -> Result<chain::Anchor, StoreError> {
    let row = sqlx::query("SELECT seq, hash FROM audit_head WHERE id = 1").fetch_one(read.connection()).await?;
    Ok(chain::Anchor { seq: get(&row, "seq")?, hash: get(&row, "hash")? })
}
