//! The master key: which file holds it, and what may be found when a change of it was interrupted.
//!
//! While the key changes ([`rotate`]) there are two files, `master.key` and `master.key.next`, and values wrapped by
//! either. The database names the key in force. Whichever moment the change was interrupted at, [`load`] finds keys
//! that open everything.

pub(crate) mod export;
pub(crate) mod live;
pub(crate) mod rotate;

use std::{path::PathBuf, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::{Actor, Clock, Ctx};
use doce_store::{PostgresUrl, Store, sealed, setting};
use doce_vault::{Identity, MasterKey, Vault};

use crate::{Config, OpenError, layout::Layout};

/// The setting that names the key in force.
pub(crate) const IN_FORCE: &str = "master_key_id";
/// The setting that says since when it is.
const SINCE: &str = "master_key_since";

/// Where the keys are.
#[derive(Debug, Clone)]
pub struct KeyPlace {
    /// Where everything is kept. Its lock is held by the caller.
    pub data_dir: Utf8PathBuf,
    /// The PostgreSQL database, if it isn't a file in the data directory.
    pub database_url: Option<PostgresUrl>,
    /// The master key's file, if it isn't in the data directory.
    pub master_key_file: Option<Utf8PathBuf>,
}

impl KeyPlace {
    /// Returns where the keys of a server are.
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            data_dir: config.data_dir.clone(),
            database_url: config.database_url.clone(),
            master_key_file: config.master_key_file.clone(),
        }
    }

    /// Returns the master key's file.
    pub(crate) fn key(&self) -> Utf8PathBuf {
        self.master_key_file.clone().unwrap_or_else(|| Layout::new(&self.data_dir).master_key())
    }

    /// Returns the file of the key that is to take its place.
    pub(crate) fn next(&self) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.next", self.key()))
    }

    /// Returns the file in which a key is kept whose place was taken.
    pub(crate) fn old(&self, id: &str) -> Utf8PathBuf {
        Utf8PathBuf::from(format!("{}.old-{id}", self.key()))
    }

    /// Opens the database that is there.
    pub(crate) async fn open_store(&self) -> Result<Store, OpenError> {
        let database = Layout::new(&self.data_dir).database(self.database_url.as_ref());
        // Opening would make a new one: a wrong directory is not a fresh installation here.
        if !database.is_there().await? {
            return Err(OpenError::Nothing { database: database.to_string() });
        }
        Ok(Store::open(&database).await?)
    }
}

/// The keys that were found.
pub(crate) struct Loaded {
    /// The key in force.
    pub(crate) key: MasterKey,
    /// The key that is to take its place, if a change was begun.
    pub(crate) next: Option<MasterKey>,
    /// Whether the key was just made.
    pub(crate) made: bool,
    /// Whether a change was interrupted at its very end, and is finished by this.
    pub(crate) finished: bool,
}

impl Loaded {
    pub(crate) fn vault(self) -> Vault {
        let vault = Vault::new(self.key);
        match self.next {
            Some(next) => vault.and_opens(next),
            None => vault,
        }
    }
}

/// Finds the master key, or makes it where nothing is sealed yet.
pub(crate) async fn load(place: &KeyPlace, store: &Store, clock: &Arc<dyn Clock>) -> Result<Loaded, OpenError> {
    let file = place.key();
    let Some(in_force) = setting::find(&mut store.read().await?, IN_FORCE).await? else {
        let (key, made) = MasterKey::read_or_create(file.as_std_path(), true)?;
        let ctx = Ctx::new(Actor::Cli, "start", None, Arc::clone(clock));
        let mut tx = store.write(&ctx).await?;
        setting::set(&mut tx, IN_FORCE, &key.id()).await?;
        if made {
            setting::set(&mut tx, SINCE, &ctx.now().0.to_string()).await?;
        }
        tx.commit().await?;
        return Ok(Loaded { key, next: None, made, finished: false });
    };
    let next = MasterKey::read(place.next().as_std_path())?;
    if let Some(key) = next.as_ref().filter(|next| next.id() == in_force) {
        // Crash: everything is wrapped by this key and the database says so; only its file had yet to be moved.
        doce_vault::replace(place.next().as_std_path(), file.as_std_path())?;
        return Ok(Loaded { key: key.clone(), next: None, made: false, finished: true });
    }
    let (key, _) = MasterKey::read_or_create(file.as_std_path(), false)?;
    if key.id() != in_force {
        return Err(OpenError::WrongMasterKey { loaded: key.id(), sealed_with: in_force });
    }
    Ok(Loaded { key, next, made: false, finished: false })
}

/// Finds the keys for a server, and says in `notes` what its owner should read.
pub(crate) async fn open_vault(
    place: &KeyPlace,
    store: &Store,
    clock: &Arc<dyn Clock>,
    notes: &mut Vec<String>,
) -> Result<Vault, OpenError> {
    let loaded = load(place, store, clock).await?;
    let (file, next) = (place.key(), place.next());
    if loaded.made {
        notes.push(format!(
            "The master key was made: {file}. Keep a copy somewhere else: without it, connected keys can't be opened."
        ));
    }
    if loaded.finished {
        notes.push(format!(
            "The change of the master key is finished: {file} is the new one. Keep a copy of it somewhere else."
        ));
    }
    if loaded.next.is_some() {
        notes.push(format!(
            "A change of the master key is not finished: both {file} and {next} are needed. `doce keys rotate` goes on."
        ));
    }
    Ok(loaded.vault())
}

/// Returns what a stored value was sealed for.
pub(crate) fn identity(value: &sealed::SealedValue) -> Identity<'_> {
    let noun = match value.column {
        sealed::Column::Credential => CREDENTIAL,
        sealed::Column::Metadata => METADATA,
        sealed::Column::AgentPassword => AGENT_PASSWORD,
    };
    Identity { noun, id: &value.noun, user: &value.user_id, version: value.version }
}

/// What a Credential is sealed as.
pub(crate) const CREDENTIAL: &str = "credential";
/// What the answers to the questions of a Connection's method are sealed as.
pub(crate) const METADATA: &str = "metadata";
/// What the password of an Agent is sealed as.
pub(crate) const AGENT_PASSWORD: &str = "agent password";

fn std_path(path: &Utf8Path) -> PathBuf {
    path.as_std_path().to_owned()
}
