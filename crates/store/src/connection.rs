//! Connections and the sealed versions of their Credentials.

use std::collections::{BTreeMap, BTreeSet};

use doce_model::{Connection, ConnectionId, ConnectionStatus, CredentialId, Ms, ProjectId, UserId, Verification};
use sqlx::{any::AnyRow, query::Query};

use crate::{Read, StoreError, Tx, chunks, get, parse, parse_opt, places};

const COLUMNS: &str = "id, user_id, provider_id, label, auth_type, status, error_message, verification_outcome,
    verification_detail, verified_at, base_url, is_default, fingerprint, last_four, version, created_at, updated_at,
    expires_at, last_used_at, key_since, max_age_days, kept_version";

fn connection(row: &AnyRow) -> Result<Connection, StoreError> {
    let outcome = parse_opt("connection", "verification_outcome", get(row, "verification_outcome")?)?;
    let at: Option<i64> = get(row, "verified_at")?;
    let detail: Option<String> = get(row, "verification_detail")?;
    Ok(Connection {
        id: parse("connection", "id", get(row, "id")?)?,
        user_id: parse("connection", "user_id", get(row, "user_id")?)?,
        provider_id: get(row, "provider_id")?,
        label: get(row, "label")?,
        auth_type: parse("connection", "auth_type", get(row, "auth_type")?)?,
        status: parse("connection", "status", get(row, "status")?)?,
        error_message: get(row, "error_message")?,
        verification: outcome.zip(at).map(|(outcome, at)| Verification {
            outcome,
            at: Ms(at),
            detail: detail.unwrap_or_default(),
        }),
        base_url: get(row, "base_url")?,
        is_default: get::<i64>(row, "is_default")? == 1,
        fingerprint: get(row, "fingerprint")?,
        last_four: get(row, "last_four")?,
        version: get(row, "version")?,
        created_at: Ms(get(row, "created_at")?),
        updated_at: Ms(get(row, "updated_at")?),
        expires_at: get::<Option<i64>>(row, "expires_at")?.map(Ms),
        last_used_at: get::<Option<i64>>(row, "last_used_at")?.map(Ms),
        key_since: Ms(get(row, "key_since")?),
        max_age_days: get(row, "max_age_days")?,
        kept_version: get(row, "kept_version")?,
    })
}

/// Lists a user's Connections that are not revoked, by Provider, the default first.
pub async fn list(read: &mut impl Read, user_id: UserId) -> Result<Vec<Connection>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM connection
         WHERE user_id = $1 AND status <> 'revoked'
         ORDER BY provider_id, is_default DESC, created_at, id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user_id.to_string()).fetch_all(read.connection()).await?;
    rows.iter().map(connection).collect()
}

/// Tokens that run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiring {
    /// Of which Connection.
    pub connection_id: ConnectionId,
    /// Whose.
    pub user_id: UserId,
    /// Which version of its Credential.
    pub version: i64,
    /// When they were made.
    pub issued_at: Ms,
    /// When they run out.
    pub expires_at: Ms,
}

/// Lists the tokens of every login that runs out, the soonest first.
///
/// A disabled account's are not among them: nothing is done in the name of somebody who may not sign in. What runs out
/// meanwhile is renewed when the account is enabled again, or its owner signs in at the provider anew.
pub async fn expiring(read: &mut impl Read) -> Result<Vec<Expiring>, StoreError> {
    let rows = sqlx::query(
        "SELECT connection.id, connection.user_id, connection.version, credential.created_at, connection.expires_at
         FROM connection
         JOIN credential ON credential.connection_id = connection.id AND credential.version = connection.version
         WHERE connection.auth_type = 'oauth' AND connection.status = 'connected'
             AND connection.expires_at IS NOT NULL
             AND connection.user_id NOT IN (SELECT id FROM app_user WHERE disabled_at IS NOT NULL)
         ORDER BY connection.expires_at, connection.id",
    )
    .fetch_all(read.connection())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Expiring {
                connection_id: parse("connection", "id", get(row, "id")?)?,
                user_id: parse("connection", "user_id", get(row, "user_id")?)?,
                version: get(row, "version")?,
                issued_at: Ms(get(row, "created_at")?),
                expires_at: Ms(get(row, "expires_at")?),
            })
        })
        .collect()
}

/// Lists everybody's keys and logins that a Provider may be asked about: those that work, and those that it rejected. A
/// disabled account's stay at rest.
pub async fn verifiable(read: &mut impl Read) -> Result<Vec<Connection>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM connection
         WHERE status IN ('connected', 'error')
             AND user_id NOT IN (SELECT id FROM app_user WHERE disabled_at IS NOT NULL)
         ORDER BY created_at, id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(read.connection()).await?;
    rows.iter().map(connection).collect()
}

/// Lists everybody's Connections that have a Credential in force.
pub async fn list_all(read: &mut impl Read) -> Result<Vec<Connection>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM connection
         WHERE EXISTS (SELECT 1 FROM credential WHERE connection_id = connection.id AND retired_at IS NULL)
         ORDER BY user_id, provider_id, created_at, id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(read.connection()).await?;
    rows.iter().map(connection).collect()
}

/// Finds a Connection by id, revoked ones too.
pub async fn find(read: &mut impl Read, id: ConnectionId) -> Result<Option<Connection>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM connection WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(read.connection()).await?;
    row.as_ref().map(connection).transpose()
}

/// A Connection by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Which.
    pub id: ConnectionId,
    /// The Provider.
    pub provider_id: String,
    /// What its owner calls it.
    pub label: String,
    /// Whether it can be used.
    pub status: ConnectionStatus,
}

/// Returns the names of those of these Connections that belong to a user, revoked ones too.
pub async fn named(
    read: &mut impl Read,
    ids: &BTreeSet<ConnectionId>,
    user_id: UserId,
) -> Result<Vec<Named>, StoreError> {
    let mut found = Vec::new();
    for ids in chunks(ids) {
        let sql = format!(
            "SELECT id, provider_id, label, status FROM connection WHERE user_id = $1 AND id IN ({})",
            places(2, ids.len())
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user_id.to_string());
        for row in ids.into_iter().fold(query, Query::bind).fetch_all(read.connection()).await? {
            found.push(Named {
                id: parse("connection", "id", get(&row, "id")?)?,
                provider_id: get(&row, "provider_id")?,
                label: get(&row, "label")?,
                status: parse("connection", "status", get(&row, "status")?)?,
            });
        }
    }
    Ok(found)
}

/// Adds a Connection. A taken label is [`StoreError::is_taken`].
pub async fn insert(tx: &mut Tx, connection: &Connection, metadata_sealed: Option<&[u8]>) -> Result<(), StoreError> {
    let verification = connection.verification.as_ref();
    sqlx::query(
        "INSERT INTO connection (id, user_id, provider_id, label, auth_type, status, error_message,
             verification_outcome, verification_detail, verified_at, base_url, metadata_sealed, is_default,
             fingerprint, last_four, version, created_at, updated_at, expires_at, last_used_at, key_since,
             max_age_days, kept_version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
             $23)",
    )
    .bind(connection.id.to_string())
    .bind(connection.user_id.to_string())
    .bind(connection.provider_id.as_str())
    .bind(connection.label.as_str())
    .bind(connection.auth_type.as_str())
    .bind(connection.status.as_str())
    .bind(connection.error_message.as_deref())
    .bind(verification.map(|v| v.outcome.as_str()))
    .bind(verification.map(|v| v.detail.as_str()))
    .bind(verification.map(|v| v.at.0))
    .bind(connection.base_url.as_deref())
    .bind(metadata_sealed.map(<[u8]>::to_vec))
    .bind(i64::from(connection.is_default))
    .bind(connection.fingerprint.as_str())
    .bind(connection.last_four.as_str())
    .bind(connection.version)
    .bind(connection.created_at.0)
    .bind(connection.updated_at.0)
    .bind(connection.expires_at.map(|at| at.0))
    .bind(connection.last_used_at.map(|at| at.0))
    .bind(connection.key_since.0)
    .bind(connection.max_age_days)
    .bind(connection.kept_version)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes everything of a Connection that may change. A taken label is [`StoreError::is_taken`].
pub async fn update(tx: &mut Tx, connection: &Connection) -> Result<(), StoreError> {
    let now = tx.now();
    let verification = connection.verification.as_ref();
    sqlx::query(
        "UPDATE connection
         SET label = $2, status = $3, error_message = $4, verification_outcome = $5, verification_detail = $6,
             verified_at = $7, base_url = $8, is_default = $9, fingerprint = $10, last_four = $11, version = $12,
             updated_at = $13, expires_at = $14, last_used_at = $15, key_since = $16, max_age_days = $17,
             kept_version = $18, auth_type = $19
         WHERE id = $1",
    )
    .bind(connection.id.to_string())
    .bind(connection.label.as_str())
    .bind(connection.status.as_str())
    .bind(connection.error_message.as_deref())
    .bind(verification.map(|v| v.outcome.as_str()))
    .bind(verification.map(|v| v.detail.as_str()))
    .bind(verification.map(|v| v.at.0))
    .bind(connection.base_url.as_deref())
    .bind(i64::from(connection.is_default))
    .bind(connection.fingerprint.as_str())
    .bind(connection.last_four.as_str())
    .bind(connection.version)
    .bind(now.0)
    .bind(connection.expires_at.map(|at| at.0))
    .bind(connection.last_used_at.map(|at| at.0))
    .bind(connection.key_since.0)
    .bind(connection.max_age_days)
    .bind(connection.kept_version)
    .bind(connection.auth_type.as_str())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes other answers to the questions of a Connection's method; none takes them away.
pub async fn set_metadata(tx: &mut Tx, id: ConnectionId, sealed: Option<&[u8]>) -> Result<(), StoreError> {
    sqlx::query("UPDATE connection SET metadata_sealed = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(sealed.map(<[u8]>::to_vec))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Makes no Connection of this user and Provider the default.
pub async fn clear_default(tx: &mut Tx, user_id: UserId, provider_id: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE connection SET is_default = 0 WHERE user_id = $1 AND provider_id = $2 AND is_default = 1")
        .bind(user_id.to_string())
        .bind(provider_id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Notes that an Agent got an answer with a Connection.
pub async fn touch(tx: &mut Tx, id: ConnectionId) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("UPDATE connection SET last_used_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// A sealed Credential.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedCredential {
    /// Which.
    pub id: CredentialId,
    /// Of which Connection.
    pub connection_id: ConnectionId,
    /// Whose.
    pub user_id: UserId,
    /// Which version.
    pub version: i64,
    /// The vault's envelope.
    pub sealed: Vec<u8>,
    /// The master key that wraps it.
    pub key_id: String,
}

/// Adds a version of a Connection's Credential and retires the ones before; those are erased.
pub async fn insert_credential(tx: &mut Tx, credential: &SealedCredential) -> Result<(), StoreError> {
    let now = tx.now();
    // A retired key is of no use to anybody but a thief: its sealed bytes go, the row stays for the count.
    retire_credentials(tx, credential.connection_id).await?;
    sqlx::query(
        "INSERT INTO credential (id, connection_id, user_id, version, sealed, key_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(credential.id.to_string())
    .bind(credential.connection_id.to_string())
    .bind(credential.user_id.to_string())
    .bind(credential.version)
    .bind(credential.sealed.clone())
    .bind(credential.key_id.as_str())
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Retires every version of a Connection's Credential and erases its sealed bytes.
pub async fn retire_credentials(tx: &mut Tx, connection_id: ConnectionId) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("UPDATE credential SET retired_at = $2, sealed = $3 WHERE connection_id = $1 AND retired_at IS NULL")
        .bind(connection_id.to_string())
        .bind(now.0)
        .bind(Vec::<u8>::new())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Finds the Credential of a Connection that is in force, and the Connection's sealed metadata.
pub async fn find_credential(
    read: &mut impl Read,
    connection_id: ConnectionId,
) -> Result<Option<(SealedCredential, Option<Vec<u8>>)>, StoreError> {
    let row = sqlx::query(
        "SELECT k.id, k.connection_id, k.user_id, k.version, k.sealed, k.key_id, c.metadata_sealed
         FROM credential k
         JOIN connection c ON c.id = k.connection_id
         WHERE k.connection_id = $1 AND k.retired_at IS NULL",
    )
    .bind(connection_id.to_string())
    .fetch_optional(read.connection())
    .await?;
    row.as_ref()
        .map(|row| {
            let credential = SealedCredential {
                id: parse("credential", "id", get(row, "id")?)?,
                connection_id: parse("credential", "connection_id", get(row, "connection_id")?)?,
                user_id: parse("credential", "user_id", get(row, "user_id")?)?,
                version: get(row, "version")?,
                sealed: get(row, "sealed")?,
                key_id: get(row, "key_id")?,
            };
            Ok((credential, get(row, "metadata_sealed")?))
        })
        .transpose()
}

/// Counts the Credentials in force.
pub async fn count_credentials(read: &mut impl Read) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM credential WHERE retired_at IS NULL")
        .fetch_one(read.connection())
        .await?)
}

/// Chooses the Connection that a Project uses for a Provider.
pub async fn choose(
    tx: &mut Tx,
    project_id: ProjectId,
    user_id: UserId,
    provider_id: &str,
    connection_id: ConnectionId,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO project_connection (project_id, provider_id, connection_id, user_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (project_id, provider_id) DO UPDATE SET connection_id = excluded.connection_id",
    )
    .bind(project_id.to_string())
    .bind(provider_id)
    .bind(connection_id.to_string())
    .bind(user_id.to_string())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Lets a Project use its owner's default for a Provider again.
pub async fn unchoose(tx: &mut Tx, project_id: ProjectId, provider_id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM project_connection WHERE project_id = $1 AND provider_id = $2")
        .bind(project_id.to_string())
        .bind(provider_id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Lists the Connections that were chosen for a Project, each with its Provider.
pub async fn chosen(read: &mut impl Read, project_id: ProjectId) -> Result<Vec<(String, ConnectionId)>, StoreError> {
    let rows = sqlx::query(
        "SELECT provider_id, connection_id FROM project_connection WHERE project_id = $1 ORDER BY provider_id",
    )
    .bind(project_id.to_string())
    .fetch_all(read.connection())
    .await?;
    rows.iter()
        .map(|row| {
            let id = parse("project_connection", "connection_id", get(row, "connection_id")?)?;
            Ok((get(row, "provider_id")?, id))
        })
        .collect()
}

/// Counts the Projects whose model each of a user's Connections pays for. Those that pay for none are left out.
pub async fn count_paid(read: &mut impl Read, user_id: UserId) -> Result<BTreeMap<ConnectionId, u64>, StoreError> {
    // Both are answered from indexes: one row is read for each Provider, not for each Project.
    let by_model = sqlx::query(
        "SELECT c.id, m.projects
         FROM (SELECT model_provider_id, COUNT(*) AS projects FROM project WHERE user_id = $1 GROUP BY model_provider_id) m
         JOIN connection c ON c.provider_id = m.model_provider_id
         WHERE c.user_id = $1 AND c.is_default = 1 AND c.status <> 'revoked'",
    )
    .bind(user_id.to_string())
    .fetch_all(read.connection())
    .await?;
    let mut paid: BTreeMap<ConnectionId, u64> = BTreeMap::new();
    for row in &by_model {
        paid.insert(parse("connection", "id", get(row, "id")?)?, count(row)?);
    }
    // What was chosen in a Project is not left to the default.
    let by_choice = sqlx::query(
        "SELECT c.id, d.id AS default_id, COUNT(*) AS projects
         FROM project_connection pc
         JOIN project p ON p.id = pc.project_id AND p.model_provider_id = pc.provider_id
         JOIN connection c ON c.id = pc.connection_id AND c.status <> 'revoked'
         LEFT JOIN connection d ON d.user_id = c.user_id AND d.provider_id = c.provider_id AND d.is_default = 1
             AND d.status <> 'revoked'
         WHERE pc.user_id = $1
         GROUP BY c.id, d.id",
    )
    .bind(user_id.to_string())
    .fetch_all(read.connection())
    .await?;
    for row in &by_choice {
        let projects = count(row)?;
        if let Some(default) = get::<Option<String>>(row, "default_id")?
            && let Some(of_default) = paid.get_mut(&parse("connection", "id", default.as_str())?)
        {
            *of_default = of_default.saturating_sub(projects);
        }
        *paid.entry(parse("connection", "id", get(row, "id")?)?).or_default() += projects;
    }
    paid.retain(|_, projects| *projects > 0);
    Ok(paid)
}

fn count(row: &AnyRow) -> Result<u64, StoreError> {
    Ok(u64::try_from(get::<i64>(row, "projects")?).unwrap_or(0))
}

/// Lists the Projects whose model a Connection pays for, with their names; the last active first.
pub async fn paid_by(read: &mut impl Read, connection: &Connection) -> Result<Vec<(ProjectId, String)>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.id, p.name
         FROM project p
         LEFT JOIN project_connection pc ON pc.project_id = p.id AND pc.provider_id = p.model_provider_id
         LEFT JOIN connection chosen ON chosen.id = pc.connection_id AND chosen.status <> 'revoked'
         WHERE p.user_id = $1 AND p.model_provider_id = $2 AND (chosen.id = $3 OR chosen.id IS NULL AND $4 = 1)
         ORDER BY p.last_active_at DESC, p.id DESC",
    )
    .bind(connection.user_id.to_string())
    .bind(connection.provider_id.as_str())
    .bind(connection.id.to_string())
    .bind(i64::from(connection.is_default))
    .fetch_all(read.connection())
    .await?;
    rows.iter().map(|row| Ok((parse("project", "id", get(row, "id")?)?, get(row, "name")?))).collect()
}

/// Lists the Connections that a Project uses: one per Provider, the chosen one or else the owner's default.
pub async fn of_project(
    read: &mut impl Read,
    project_id: ProjectId,
    user_id: UserId,
) -> Result<Vec<Connection>, StoreError> {
    let chosen = chosen(read, project_id).await?;
    Ok(used(&list(read, user_id).await?, &chosen).into_iter().cloned().collect())
}

/// Picks from all Connections of a user those that are used, one per Provider: the chosen one or else the default.
pub fn used<'c>(all: &'c [Connection], chosen: &[(String, ConnectionId)]) -> Vec<&'c Connection> {
    // A chosen Connection that was disconnected no longer counts: the default takes its place.
    let is_chosen = |c: &Connection| chosen.iter().any(|(_, id)| *id == c.id);
    let settled: BTreeSet<&str> = all.iter().filter(|c| is_chosen(c)).map(|c| c.provider_id.as_str()).collect();
    all.iter().filter(|c| if settled.contains(c.provider_id.as_str()) { is_chosen(c) } else { c.is_default }).collect()
}
