//! People and their sign-ins.

use std::collections::{BTreeSet, HashMap};

use doce_model::{Ms, Role, SignIn, SignInId, User, UserId};
use sqlx::{any::AnyRow, query::Query};

use crate::{Read, StoreError, Tx, chunks, get, parse, places, storable};

fn user(row: &AnyRow) -> Result<User, StoreError> {
    Ok(User {
        id: parse("app_user", "id", get(row, "id")?)?,
        username: get(row, "username")?,
        role: parse("app_user", "role", get(row, "role")?)?,
        created_at: Ms(get(row, "created_at")?),
        disabled_at: get::<Option<i64>>(row, "disabled_at")?.map(Ms),
    })
}

/// The form in which two usernames are compared.
fn key_of(username: &str) -> String {
    storable(username).to_ascii_lowercase()
}

/// Counts the accounts.
pub async fn count(read: &mut impl Read) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM app_user").fetch_one(read.connection()).await?)
}

/// Lists the accounts, oldest first.
pub async fn list(read: &mut impl Read) -> Result<Vec<User>, StoreError> {
    let rows = sqlx::query("SELECT id, username, role, created_at, disabled_at FROM app_user ORDER BY created_at, id")
        .fetch_all(read.connection())
        .await?;
    rows.iter().map(user).collect()
}

/// Finds an account by id.
pub async fn find(read: &mut impl Read, id: UserId) -> Result<Option<User>, StoreError> {
    let row = sqlx::query("SELECT id, username, role, created_at, disabled_at FROM app_user WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(read.connection())
        .await?;
    row.as_ref().map(user).transpose()
}

/// Finds an account and its password's hash by name, without regard to case.
pub async fn find_by_name(read: &mut impl Read, username: &str) -> Result<Option<(User, String)>, StoreError> {
    let row = sqlx::query(
        "SELECT id, username, role, created_at, disabled_at, password_hash FROM app_user WHERE username_key = $1",
    )
    .bind(key_of(username))
    .fetch_optional(read.connection())
    .await?;
    row.as_ref().map(|row| Ok((user(row)?, get(row, "password_hash")?))).transpose()
}

/// Returns the usernames of those of these accounts that are there.
pub async fn names(read: &mut impl Read, ids: &BTreeSet<UserId>) -> Result<HashMap<UserId, String>, StoreError> {
    let mut names = HashMap::new();
    for ids in chunks(ids) {
        let sql = format!("SELECT id, username FROM app_user WHERE id IN ({})", places(1, ids.len()));
        let query = ids.into_iter().fold(sqlx::query(sqlx::AssertSqlSafe(sql)), Query::bind);
        for row in query.fetch_all(read.connection()).await? {
            names.insert(parse("app_user", "id", get(&row, "id")?)?, get(&row, "username")?);
        }
    }
    Ok(names)
}

/// Adds an account. A taken name is [`StoreError::is_taken`].
pub async fn insert(tx: &mut Tx, user: &User, password_hash: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO app_user (id, username, username_key, role, password_hash, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(user.id.to_string())
    .bind(user.username.as_str())
    .bind(key_of(&user.username))
    .bind(user.role.as_str())
    .bind(password_hash)
    .bind(user.created_at.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Changes what an account may do.
pub async fn set_role(tx: &mut Tx, id: UserId, role: Role) -> Result<(), StoreError> {
    sqlx::query("UPDATE app_user SET role = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(role.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Lets nobody sign in with an account any more, or lets somebody again.
pub async fn set_disabled(tx: &mut Tx, id: UserId, disabled_at: Option<Ms>) -> Result<(), StoreError> {
    sqlx::query("UPDATE app_user SET disabled_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(disabled_at.map(|at| at.0))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Gives an account another password.
pub async fn set_password(tx: &mut Tx, id: UserId, password_hash: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE app_user SET password_hash = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(password_hash)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Puts another hash of the same password in the place of `hash`, unless the password was changed meanwhile.
pub async fn renew_hash(tx: &mut Tx, id: UserId, hash: &str, renewed: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE app_user SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
        .bind(id.to_string())
        .bind(hash)
        .bind(renewed)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// What of an account is of use to somebody at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InUse {
    /// Projects that run or are to run.
    pub projects: i64,
    /// Browsers that are signed in.
    pub sign_ins: i64,
    /// Tokens of scripts that are in force.
    pub api_tokens: i64,
    /// Invites that it made and that can still be used.
    pub invites: i64,
}

/// Counts what of an account is of use to somebody at `now`.
pub async fn in_use(read: &mut impl Read, id: UserId, now: Ms) -> Result<InUse, StoreError> {
    let row = sqlx::query(
        "SELECT (SELECT COUNT(*) FROM project WHERE user_id = $1 AND desired = 'running') AS projects,
                (SELECT COUNT(*) FROM sign_in WHERE user_id = $1 AND expires_at > $2) AS sign_ins,
                (SELECT COUNT(*) FROM api_token
                 WHERE user_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)) AS api_tokens,
                (SELECT COUNT(*) FROM invite
                 JOIN app_user ON app_user.id = invite.user_id AND app_user.role = 'admin'
                 WHERE invite.user_id = $1 AND invite.expires_at > $2) AS invites",
    )
    .bind(id.to_string())
    .bind(now.0)
    .fetch_one(read.connection())
    .await?;
    Ok(InUse {
        projects: get(&row, "projects")?,
        sign_ins: get(&row, "sign_ins")?,
        api_tokens: get(&row, "api_tokens")?,
        invites: get(&row, "invites")?,
    })
}

fn sign_in(row: &AnyRow) -> Result<SignIn, StoreError> {
    Ok(SignIn {
        id: parse("sign_in", "id", get(row, "id")?)?,
        user_id: parse("sign_in", "user_id", get(row, "user_id")?)?,
        created_at: Ms(get(row, "created_at")?),
        last_seen_at: Ms(get(row, "last_seen_at")?),
        expires_at: Ms(get(row, "expires_at")?),
        address: get(row, "address")?,
        user_agent: get(row, "user_agent")?,
    })
}

/// Adds a sign-in. Of its token, only the hash is kept.
pub async fn insert_sign_in(tx: &mut Tx, sign_in: &SignIn, token_hash: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sign_in (id, user_id, token_hash, created_at, last_seen_at, expires_at, address, user_agent)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(sign_in.id.to_string())
    .bind(sign_in.user_id.to_string())
    .bind(token_hash)
    .bind(sign_in.created_at.0)
    .bind(sign_in.last_seen_at.0)
    .bind(sign_in.expires_at.0)
    .bind(sign_in.address.as_deref())
    .bind(sign_in.user_agent.as_deref())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Finds the sign-in with this token that has not expired, and whose it is; that account is not disabled.
pub async fn find_sign_in(
    read: &mut impl Read,
    token_hash: &str,
    now: Ms,
) -> Result<Option<(SignIn, User)>, StoreError> {
    let row = sqlx::query(
        "SELECT s.id, s.user_id, s.created_at, s.last_seen_at, s.expires_at, s.address, s.user_agent,
                u.username, u.role, u.created_at AS user_created_at
         FROM sign_in s
         JOIN app_user u ON u.id = s.user_id
         WHERE s.token_hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL",
    )
    .bind(token_hash)
    .bind(now.0)
    .fetch_optional(read.connection())
    .await?;
    row.as_ref()
        .map(|row| {
            let sign_in = sign_in(row)?;
            let user = User {
                id: sign_in.user_id,
                username: get(row, "username")?,
                role: parse("app_user", "role", get(row, "role")?)?,
                created_at: Ms(get(row, "user_created_at")?),
                disabled_at: None,
            };
            Ok((sign_in, user))
        })
        .transpose()
}

/// Notes that a sign-in was used, and puts off its end.
pub async fn touch_sign_in(tx: &mut Tx, id: SignInId, expires_at: Ms) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("UPDATE sign_in SET last_seen_at = $2, expires_at = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .bind(expires_at.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Lists a user's sign-ins that have not expired, last used first.
pub async fn list_sign_ins(read: &mut impl Read, user_id: UserId, now: Ms) -> Result<Vec<SignIn>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, user_id, created_at, last_seen_at, expires_at, address, user_agent
         FROM sign_in
         WHERE user_id = $1 AND expires_at > $2
         ORDER BY last_seen_at DESC, id DESC",
    )
    .bind(user_id.to_string())
    .bind(now.0)
    .fetch_all(read.connection())
    .await?;
    rows.iter().map(sign_in).collect()
}

/// Ends one of a user's sign-ins. Returns whether it was there.
pub async fn delete_sign_in(tx: &mut Tx, user_id: UserId, id: SignInId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM sign_in WHERE id = $1 AND user_id = $2")
        .bind(id.to_string())
        .bind(user_id.to_string())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends a user's sign-ins but `kept`.
pub async fn delete_other_sign_ins(tx: &mut Tx, user_id: UserId, kept: Option<SignInId>) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sign_in WHERE user_id = $1 AND id <> $2")
        .bind(user_id.to_string())
        .bind(kept.map(|id| id.to_string()).unwrap_or_default())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Removes the sign-ins that have expired.
pub async fn delete_expired_sign_ins(tx: &mut Tx) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("DELETE FROM sign_in WHERE expires_at <= $1").bind(now.0).execute(tx.connection()).await?;
    Ok(())
}
