//! `doce user reset-password` where no server runs: on the data directory, under its lock.

use std::sync::Arc;

use anyhow::anyhow;
use doce_app::{KeyPlace, RecoverError};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    SystemClock,
    api::people::User,
    config::Stop,
    lock::{DataLock, LockError},
    serve::cannot_open,
};

/// Gives an account another password; `ask` reads it.
pub(crate) async fn reset_password(
    place: &KeyPlace,
    name: &str,
    ask: impl FnOnce() -> Result<SecretString, Stop>,
) -> Result<Value, Stop> {
    let hint = |error: LockError| {
        let hint = match &error {
            LockError::Held { .. } => "wait until that one answers, then run this again",
            LockError::Io { .. } => "name the data directory with --data-dir or DOCE_DATA_DIR",
        };
        Stop::failed(error).hint(hint)
    };
    if !place.data_dir.is_dir() {
        return Err(Stop::failed(anyhow!("find doce's data: there is no `{}`", place.data_dir))
            .hint("name the data directory with --data-dir or DOCE_DATA_DIR"));
    }
    let _lock = DataLock::take(&place.data_dir).map_err(hint)?;
    let password = ask()?;
    let user = doce_app::reset_password(place, Arc::new(SystemClock), name, password).await.map_err(|error| {
        let hint = match &error {
            RecoverError::SeveralUsers { names, .. } => format!("say which: {}", names.join(", ")),
            RecoverError::NoSuchUser { names, .. } => format!("the accounts are: {}", names.join(", ")),
            RecoverError::Password => "give a longer one".to_owned(),
            RecoverError::Open(_) | RecoverError::Failed(_) => "see the reason above".to_owned(),
        };
        match error {
            RecoverError::Open(error) => cannot_open(error),
            error @ RecoverError::Failed(_) => Stop::failed(error),
            error @ (RecoverError::NoSuchUser { .. } | RecoverError::SeveralUsers { .. } | RecoverError::Password) => {
                Stop::wrong(error).hint(hint)
            }
        }
    })?;
    Ok(json!(User::from(&user)))
}
