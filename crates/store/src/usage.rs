//! Answers that Connections paid for, counted until an audit event tells of them.
//!
//! The count is in a row, so that none is forgotten when the program ends before it could tell. A replaced Credential
//! has a row of its own: what the one before paid for is told with its own fingerprint.

use std::time::Duration;

use doce_model::{ConnectionId, Ms, ProjectId, UserId};
use sqlx::any::AnyRow;

use crate::{Read, StoreError, Tx, get, parse};

/// What paid for answers, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Which Connection paid.
    pub connection_id: ConnectionId,
    /// With which version of its Credential.
    pub version: i64,
    /// In which Project.
    pub project_id: ProjectId,
    /// Whose.
    pub user_id: UserId,
    /// The Credential's fingerprint, if it is known.
    pub fingerprint: Option<String>,
}

/// Answers to tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What paid for them.
    pub used: Use,
    /// How many they are.
    pub answers: i64,
}

fn told(row: &AnyRow) -> Result<Told, StoreError> {
    Ok(Told {
        used: Use {
            connection_id: parse("connection_use", "connection_id", get(row, "connection_id")?)?,
            version: get(row, "version")?,
            project_id: parse("connection_use", "project_id", get(row, "project_id")?)?,
            user_id: parse("connection_use", "user_id", get(row, "user_id")?)?,
            fingerprint: get(row, "fingerprint")?,
        },
        answers: get(row, "waiting")?,
    })
}

/// Counts an answer. Returns what is to be told now: that one, or all since the last time if that is `every` ago.
pub async fn record(tx: &mut Tx, used: Use, every: Duration) -> Result<Option<Told>, StoreError> {
    let now = tx.now();
    let first = sqlx::query(
        "INSERT INTO connection_use (connection_id, version, project_id, user_id, fingerprint, told_at, waiting)
         VALUES ($1, $2, $3, $4, $5, $6, 0)
         ON CONFLICT (connection_id, version, project_id) DO NOTHING",
    )
    .bind(used.connection_id.to_string())
    .bind(used.version)
    .bind(used.project_id.to_string())
    .bind(used.user_id.to_string())
    .bind(used.fingerprint.as_deref())
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    if first.rows_affected() > 0 {
        return Ok(Some(Told { used, answers: 1 }));
    }
    let row = sqlx::query(
        "UPDATE connection_use SET waiting = waiting + 1
         WHERE connection_id = $1 AND version = $2 AND project_id = $3
         RETURNING connection_id, version, project_id, user_id, fingerprint, told_at, waiting",
    )
    .bind(used.connection_id.to_string())
    .bind(used.version)
    .bind(used.project_id.to_string())
    .fetch_one(tx.connection())
    .await?;
    if now.since(Ms(get(&row, "told_at")?)) < every {
        return Ok(None);
    }
    let told = told(&row)?;
    settle(tx, &told.used).await?;
    Ok(Some(told))
}

/// Takes what waits and was last told of at `until` or before: the caller tells of it in this transaction.
pub async fn take_due(tx: &mut Tx, until: Ms) -> Result<Vec<Told>, StoreError> {
    let rows = sqlx::query(
        "SELECT connection_id, version, project_id, user_id, fingerprint, waiting
         FROM connection_use
         WHERE waiting > 0 AND told_at <= $1
         ORDER BY told_at, connection_id, version, project_id",
    )
    .bind(until.0)
    .fetch_all(tx.connection())
    .await?;
    let due = rows.iter().map(told).collect::<Result<Vec<_>, _>>()?;
    for told in &due {
        settle(tx, &told.used).await?;
    }
    Ok(due)
}

async fn settle(tx: &mut Tx, used: &Use) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query(
        "UPDATE connection_use SET told_at = $4, waiting = 0
         WHERE connection_id = $1 AND version = $2 AND project_id = $3",
    )
    .bind(used.connection_id.to_string())
    .bind(used.version)
    .bind(used.project_id.to_string())
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Returns when what has waited the longest was last told of.
pub async fn oldest(read: &mut impl Read) -> Result<Option<Ms>, StoreError> {
    let oldest: Option<i64> = sqlx::query_scalar("SELECT MIN(told_at) FROM connection_use WHERE waiting > 0")
        .fetch_one(read.connection())
        .await?;
    Ok(oldest.map(Ms))
}
