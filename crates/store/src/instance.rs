//! Instances: incarnations of Projects, and how to find their processes again.

use std::collections::BTreeSet;

use doce_model::{Instance, InstanceId, Ms, Observed, ProjectId, UserId};
use sqlx::{any::AnyRow, query::Query};

use crate::{Read, StoreError, Tx, chunks, get, parse, places};

const COLUMNS: &str =
    "id, project_id, observed, pid, pid_started, boot_id, port, password_sealed, created_at, ended_at,
    ending";

fn instance(row: &AnyRow) -> Result<Instance, StoreError> {
    let port: Option<i64> = get(row, "port")?;
    Ok(Instance {
        id: parse("instance", "id", get(row, "id")?)?,
        project_id: parse("instance", "project_id", get(row, "project_id")?)?,
        observed: parse("instance", "observed", get(row, "observed")?)?,
        pid: get(row, "pid")?,
        pid_started: get(row, "pid_started")?,
        boot_id: get(row, "boot_id")?,
        port: port
            .map(|port| {
                u16::try_from(port).map_err(|_| StoreError::Inconsistent {
                    table: "instance",
                    column: "port",
                    value: port.to_string(),
                })
            })
            .transpose()?,
        password_sealed: get(row, "password_sealed")?,
        created_at: Ms(get(row, "created_at")?),
        ended_at: get::<Option<i64>>(row, "ended_at")?.map(Ms),
        ending: get(row, "ending")?,
    })
}

/// Adds an Instance. A Project with one that has not ended is [`StoreError::is_taken`].
pub async fn insert(tx: &mut Tx, instance: &Instance, user_id: UserId) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO instance (id, project_id, user_id, observed, created_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(instance.id.to_string())
        .bind(instance.project_id.to_string())
        .bind(user_id.to_string())
        .bind(instance.observed.as_str())
        .bind(instance.created_at.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Records the process of an Instance, before it does anything that matters.
pub async fn set_process(tx: &mut Tx, instance: &Instance) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE instance SET pid = $2, pid_started = $3, boot_id = $4, port = $5, password_sealed = $6 WHERE id = $1",
    )
    .bind(instance.id.to_string())
    .bind(instance.pid)
    .bind(instance.pid_started)
    .bind(instance.boot_id.as_deref())
    .bind(instance.port.map(i64::from))
    .bind(instance.password_sealed.clone())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Records what was seen of an Instance that has not ended.
pub async fn observe(tx: &mut Tx, id: InstanceId, observed: Observed) -> Result<(), StoreError> {
    sqlx::query("UPDATE instance SET observed = $2 WHERE id = $1 AND observed <> 'exited'")
        .bind(id.to_string())
        .bind(observed.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Ends an Instance. Its password is of no more use and is erased. Returns whether it had not ended before.
pub async fn end(tx: &mut Tx, id: InstanceId, ending: &str) -> Result<bool, StoreError> {
    let now = tx.now();
    let done = sqlx::query(
        "UPDATE instance SET observed = 'exited', ended_at = $2, ending = $3, password_sealed = NULL
         WHERE id = $1 AND observed <> 'exited'",
    )
    .bind(id.to_string())
    .bind(now.0)
    .bind(ending)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Finds an Instance by id.
pub async fn find(read: &mut impl Read, id: InstanceId) -> Result<Option<Instance>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM instance WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(read.connection()).await?;
    row.as_ref().map(instance).transpose()
}

/// Finds the Instance of a Project that has not ended.
pub async fn find_live(read: &mut impl Read, project_id: ProjectId) -> Result<Option<Instance>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM instance WHERE project_id = $1 AND observed <> 'exited'");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(project_id.to_string()).fetch_optional(read.connection()).await?;
    row.as_ref().map(instance).transpose()
}

/// Lists the Instances of these Projects that have not ended.
pub async fn live_of(read: &mut impl Read, projects: &BTreeSet<ProjectId>) -> Result<Vec<Instance>, StoreError> {
    let mut found = Vec::new();
    for ids in chunks(projects) {
        let sql = format!(
            "SELECT {COLUMNS} FROM instance WHERE observed <> 'exited' AND project_id IN ({})",
            places(1, ids.len())
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        let rows = ids.into_iter().fold(query, Query::bind).fetch_all(read.connection()).await?;
        found.extend(rows.iter().map(instance).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(found)
}

/// Finds the newest Instance of a Project, ended or not.
pub async fn find_last(read: &mut impl Read, project_id: ProjectId) -> Result<Option<Instance>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM instance WHERE project_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(project_id.to_string()).fetch_optional(read.connection()).await?;
    row.as_ref().map(instance).transpose()
}

/// Lists every Instance that has not ended.
pub async fn list_live(read: &mut impl Read) -> Result<Vec<Instance>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM instance WHERE observed <> 'exited' ORDER BY created_at, id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(read.connection()).await?;
    rows.iter().map(instance).collect()
}
