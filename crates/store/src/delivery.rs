//! Deliveries: which Instance holds which version of which Connection.

use doce_model::{ConnectionId, Delivery, DeliveryStatus, InstanceId, Ms, ProjectId, UserId};
use sqlx::any::AnyRow;

use crate::{Read, StoreError, Tx, get, parse};

const COLUMNS: &str = "d.id, d.instance_id, d.connection_id, d.provider_id, d.version, d.mode, d.status, d.reason,
    d.updated_at";

fn delivery(row: &AnyRow) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: parse("delivery", "id", get(row, "id")?)?,
        instance_id: parse("delivery", "instance_id", get(row, "instance_id")?)?,
        connection_id: parse("delivery", "connection_id", get(row, "connection_id")?)?,
        provider_id: get(row, "provider_id")?,
        version: get(row, "version")?,
        mode: parse("delivery", "mode", get(row, "mode")?)?,
        status: parse("delivery", "status", get(row, "status")?)?,
        reason: get(row, "reason")?,
        updated_at: Ms(get(row, "updated_at")?),
    })
}

/// Writes a Delivery: the one for its Instance and Provider, new or changed.
pub async fn upsert(tx: &mut Tx, delivery: &Delivery, user_id: UserId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO delivery (id, instance_id, connection_id, user_id, provider_id, version, mode, status, reason,
             updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (instance_id, provider_id) DO UPDATE
         SET connection_id = excluded.connection_id, version = excluded.version, mode = excluded.mode,
             status = excluded.status, reason = excluded.reason, updated_at = excluded.updated_at",
    )
    .bind(delivery.id.to_string())
    .bind(delivery.instance_id.to_string())
    .bind(delivery.connection_id.to_string())
    .bind(user_id.to_string())
    .bind(delivery.provider_id.as_str())
    .bind(delivery.version)
    .bind(delivery.mode.as_str())
    .bind(delivery.status.as_str())
    .bind(delivery.reason.as_deref())
    .bind(delivery.updated_at.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lists what an Instance was handed.
pub async fn of_instance(read: &mut impl Read, instance_id: InstanceId) -> Result<Vec<Delivery>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM delivery d WHERE d.instance_id = $1 ORDER BY d.provider_id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(instance_id.to_string()).fetch_all(read.connection()).await?;
    rows.iter().map(delivery).collect()
}

/// Lists the Deliveries of a Connection to Instances that have not ended, each with its Project.
pub async fn of_connection(
    read: &mut impl Read,
    connection_id: ConnectionId,
) -> Result<Vec<(ProjectId, Delivery)>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, i.project_id
         FROM delivery d
         JOIN instance i ON i.id = d.instance_id
         WHERE d.connection_id = $1 AND i.observed <> 'exited'
         ORDER BY d.updated_at DESC"
    );
    let rows =
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(connection_id.to_string()).fetch_all(read.connection()).await?;
    rows.iter().map(|row| Ok((parse("instance", "project_id", get(row, "project_id")?)?, delivery(row)?))).collect()
}

/// A Delivery, and what is told of its Project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// The Delivery.
    pub delivery: Delivery,
    /// To which Project's Instance.
    pub project_id: ProjectId,
    /// The Project's name.
    pub project_name: String,
    /// Whether the Project's model is one of the Provider's.
    pub is_of_model: bool,
}

/// Lists the Deliveries to a user's Instances that have not ended: those of the Project that was last active come first.
pub async fn of_user(read: &mut impl Read, user_id: UserId) -> Result<Vec<Delivered>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, p.id AS project_id, p.name AS project_name, p.model_provider_id
         FROM instance i
         JOIN delivery d ON d.instance_id = i.id
         JOIN project p ON p.id = i.project_id
         WHERE i.user_id = $1 AND i.observed <> 'exited'
         ORDER BY p.last_active_at DESC, p.id DESC"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user_id.to_string()).fetch_all(read.connection()).await?;
    let delivered = |row| {
        let delivery = delivery(row)?;
        let of: String = get(row, "model_provider_id")?;
        Ok(Delivered {
            project_id: parse("project", "id", get(row, "project_id")?)?,
            project_name: get(row, "project_name")?,
            is_of_model: of == delivery.provider_id,
            delivery,
        })
    };
    rows.iter().map(delivered).collect()
}

/// Gives every Delivery of an Instance that ended its last status: it died with the Instance.
pub async fn end_all(tx: &mut Tx, instance_id: InstanceId) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("UPDATE delivery SET status = $2, reason = $3, updated_at = $4 WHERE instance_id = $1")
        .bind(instance_id.to_string())
        .bind(DeliveryStatus::Revoked.as_str())
        .bind("the agent ended")
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Marks the Deliveries of a Connection that hold another version than `version` as stale.
pub async fn mark_stale(tx: &mut Tx, connection_id: ConnectionId, version: i64) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query(
        "UPDATE delivery SET status = 'stale', reason = $3, updated_at = $4
         WHERE connection_id = $1 AND version <> $2 AND status = 'delivered'",
    )
    .bind(connection_id.to_string())
    .bind(version)
    .bind("a newer key waits until the agent is idle")
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}
