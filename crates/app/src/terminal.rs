//! The command line: for whom it acts, and a way back in for somebody who forgot a password.
//!
//! Whoever may open the data directory, or the control socket in it, may act for every account: they could read the
//! database and the master key just as well. What they do is in the audit log as the command line's.

use std::sync::Arc;

use doce_model::{
    Actor, AuditAction, AuditEvent, Clock, Ctx, Failure, NextMove, Role, User,
    user::{PASSWORD_MAX, PASSWORD_MIN},
};
use doce_runtime::{Isolation, Runtime, Spec, find_tool};
use doce_store::{Store, StoreError, user};
use doce_vault::{ExposeSecret as _, SecretString, password};

use crate::{App, Error, KeyPlace, OpenError};

impl App {
    /// Returns the account that the command line acts for: the one it names, or the only admin.
    pub async fn terminal_user(&self, name: Option<&str>) -> Result<User, Error> {
        let mut read = self.store.read().await?;
        if let Some(name) = name {
            let found = user::find_by_name(&mut read, name).await?;
            let user = found.map(|(user, _)| user).ok_or_else(|| Error::not_found("user", name))?;
            if user.disabled_at.is_some() {
                return Err(Error::Conflict(Failure::new(
                    "user_disabled",
                    format!("The account {} is disabled.", user.username),
                    NextMove::None,
                )));
            }
            return Ok(user);
        }
        let mut admins = user::list(&mut read).await?;
        admins.retain(|user| user.role == Role::Admin && user.disabled_at.is_none());
        match (admins.pop(), admins.pop()) {
            (Some(admin), None) => Ok(admin),
            (None, _) => Err(Error::Conflict(Failure::new(
                "setup_needed",
                "This server has no account yet. Open its address in a browser and make the first one.",
                NextMove::None,
            ))),
            (Some(_), Some(_)) => Err(Error::Invalid {
                field: "user",
                message: "This server has several admins. Say with --user for which account this is done.".to_owned(),
            }),
        }
    }
}

/// Why a password was not reset.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The data can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nobody has that name.
    #[error("find the account `{name}`: there is none")]
    NoSuchUser {
        /// The name.
        name: String,
        /// The names that there are.
        names: Vec<String>,
    },
    /// Several names begin with what was given.
    #[error("find the account `{name}`: it names {} of them", names.len())]
    SeveralUsers {
        /// What was given.
        name: String,
        /// The names.
        names: Vec<String>,
    },
    /// The password can't be accepted.
    #[error("use the password: it has fewer than {PASSWORD_MIN} characters or more than {PASSWORD_MAX} bytes")]
    Password,
    /// The database failed, or the password could not be hashed.
    #[error("store the password")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Gives an account another password and signs it out everywhere. The caller holds the lock: no server runs.
pub async fn reset_password(
    place: &KeyPlace,
    clock: Arc<dyn Clock>,
    name: &str,
    password: SecretString,
) -> Result<User, RecoverError> {
    let store = place.open_store().await?;
    let reset = reset(&store, clock, name, password).await;
    store.close().await;
    reset
}

async fn reset(store: &Store, clock: Arc<dyn Clock>, name: &str, password: SecretString) -> Result<User, RecoverError> {
    let failed = |error: StoreError| RecoverError::Failed(error.into());
    let text = password.expose_secret();
    if text.chars().count() < PASSWORD_MIN || text.len() > PASSWORD_MAX {
        return Err(RecoverError::Password);
    }
    let mut tx = store.write(&Ctx::new(Actor::Cli, "user reset-password", None, clock)).await.map_err(failed)?;
    let user = match user::find_by_name(&mut tx, name).await.map_err(failed)? {
        Some((user, _)) => user,
        None => beginning_with(name, user::list(&mut tx).await.map_err(failed)?)?,
    };
    let hash = password::hash(&password).map_err(|e| RecoverError::Failed(e.into()))?;
    user::set_password(&mut tx, user.id, &hash).await.map_err(failed)?;
    user::delete_other_sign_ins(&mut tx, user.id, None).await.map_err(failed)?;
    tx.audit(AuditEvent::ok(AuditAction::ChangePassword, &user.id).of(user.id)).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(user)
}

/// Finds the one account whose name begins like this.
fn beginning_with(beginning: &str, users: Vec<User>) -> Result<User, RecoverError> {
    let (name, beginning) = (beginning.to_owned(), beginning.to_lowercase());
    let names = |users: &[User]| users.iter().map(|user| user.username.clone()).collect();
    let (mut found, others): (Vec<User>, Vec<User>) =
        users.into_iter().partition(|user| user.username.to_lowercase().starts_with(&beginning));
    match found.len() {
        0 => Err(RecoverError::NoSuchUser { name, names: names(&others) }),
        1 => Ok(found.remove(0)),
        _ => Err(RecoverError::SeveralUsers { name, names: names(&found) }),
    }
}

/// Opens a page in the browser of whoever sits before this machine. Says whether something was started for it.
///
/// It goes on after this program has ended. The address has no secret: other programs can read it.
pub async fn open_page(url: &str, search_path: &str, environment: Vec<(String, String)>) -> bool {
    const NOWHERE: &str = "/dev/null";
    let Some(tool) = find_tool("xdg-open", search_path) else { return false };
    let mut spec = Spec::new("the browser", "terminal-open", tool.program);
    spec.args = vec![url.to_owned()];
    spec.env = environment;
    Runtime::new(Isolation::Unsandboxed, NOWHERE).start(&spec, NOWHERE).await.is_ok()
}
