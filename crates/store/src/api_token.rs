//! API tokens. Of what proves one, only a hash is kept; of a revoked one, nothing that anybody could match.

use std::collections::{BTreeSet, HashMap};

use doce_model::{ApiToken, ApiTokenId, Ms, User, UserId};
use sqlx::{any::AnyRow, query::Query};

use crate::{Read, StoreError, Tx, chunks, get, parse, places, storable};

fn api_token(row: &AnyRow) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        id: parse("api_token", "id", get(row, "id")?)?,
        user_id: parse("api_token", "user_id", get(row, "user_id")?)?,
        name: get(row, "name")?,
        scope: parse("api_token", "scope", get(row, "scope")?)?,
        created_at: Ms(get(row, "created_at")?),
        expires_at: get::<Option<i64>>(row, "expires_at")?.map(Ms),
        last_used_at: get::<Option<i64>>(row, "last_used_at")?.map(Ms),
        last_address: get(row, "last_address")?,
    })
}

/// Adds a token.
pub async fn insert(tx: &mut Tx, token: &ApiToken, token_hash: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO api_token (id, user_id, name, scope, token_hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(token.id.to_string())
    .bind(token.user_id.to_string())
    .bind(storable(&token.name))
    .bind(token.scope.as_str())
    .bind(token_hash)
    .bind(token.created_at.0)
    .bind(token.expires_at.map(|at| at.0))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the token with this hash that is in force, and whose it is; that account is not disabled.
pub async fn find(read: &mut impl Read, token_hash: &str, now: Ms) -> Result<Option<(ApiToken, User)>, StoreError> {
    let row = sqlx::query(
        "SELECT t.id, t.user_id, t.name, t.scope, t.created_at, t.expires_at, t.last_used_at, t.last_address,
                u.username, u.role, u.created_at AS user_created_at
         FROM api_token t
         JOIN app_user u ON u.id = t.user_id
         WHERE t.token_hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > $2)
           AND u.disabled_at IS NULL",
    )
    .bind(token_hash)
    .bind(now.0)
    .fetch_optional(read.connection())
    .await?;
    row.as_ref()
        .map(|row| {
            let token = api_token(row)?;
            let user = User {
                id: token.user_id,
                username: get(row, "username")?,
                role: parse("app_user", "role", get(row, "role")?)?,
                created_at: Ms(get(row, "user_created_at")?),
                disabled_at: None,
            };
            Ok((token, user))
        })
        .transpose()
}

/// Lists a user's tokens that are not revoked, newest first. Those that have expired are among them.
pub async fn list(read: &mut impl Read, user_id: UserId) -> Result<Vec<ApiToken>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, user_id, name, scope, created_at, expires_at, last_used_at, last_address
         FROM api_token
         WHERE user_id = $1 AND revoked_at IS NULL
         ORDER BY created_at DESC, id DESC",
    )
    .bind(user_id.to_string())
    .fetch_all(read.connection())
    .await?;
    rows.iter().map(api_token).collect()
}

/// Returns what a user calls those of these tokens that are theirs, revoked ones included.
pub async fn names(
    read: &mut impl Read,
    ids: &BTreeSet<ApiTokenId>,
    user_id: UserId,
) -> Result<HashMap<ApiTokenId, String>, StoreError> {
    let mut names = HashMap::new();
    for ids in chunks(ids) {
        let sql = format!("SELECT id, name FROM api_token WHERE user_id = $1 AND id IN ({})", places(2, ids.len()));
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user_id.to_string());
        for row in ids.into_iter().fold(query, Query::bind).fetch_all(read.connection()).await? {
            names.insert(parse("api_token", "id", get(&row, "id")?)?, get(&row, "name")?);
        }
    }
    Ok(names)
}

/// Notes that a token was used, and from where.
pub async fn touch(tx: &mut Tx, id: ApiTokenId, address: Option<&str>) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("UPDATE api_token SET last_used_at = $2, last_address = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .bind(address)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Revokes one of a user's tokens. Returns whether there was one to revoke.
pub async fn revoke(tx: &mut Tx, user_id: UserId, id: ApiTokenId) -> Result<bool, StoreError> {
    let now = tx.now();
    // Its id takes the hash's place: unique, and no token's hash.
    let done = sqlx::query(
        "UPDATE api_token SET revoked_at = $3, token_hash = id WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL",
    )
    .bind(id.to_string())
    .bind(user_id.to_string())
    .bind(now.0)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() > 0)
}
