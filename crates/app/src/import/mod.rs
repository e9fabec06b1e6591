//! Bringing over: from a data directory of doce.dev, or from an `auth.json` of OpenCode.
//!
//! First a plan is made, which changes nothing and can be shown: [`ImportPlan::lines`] says of everything that was
//! found what becomes of it. Carrying it out ([`App::carry_out`]) makes what the plan says, one noun at a time, each in
//! a transaction of its own with its audit event and a row in `imported`; what is in that table is never brought over
//! again, so a second run changes nothing. A noun that fails is named and costs no other.
//!
//! Providers are not asked whether the keys are good: an import works without a network.

mod carry_out;
mod keys;
mod line;
mod people;
mod plan;
mod projects;
mod run;
mod workspace;

use std::collections::{HashMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use doce_legacy::{AuthFileError, Installation};
use doce_model::{Connection, ImportedKind, User, UserId};
use doce_store::{connection, imported, project, user};
use doce_vault::{ExposeSecret as _, SecretString, Vault};

use crate::{App, Error};

pub use doce_legacy::{EnvFile, Finding, ReadError, VOLUMES, env_files};
pub use line::{ImportLine, ImportOutcome, ImportProgress};
pub use plan::ImportPlan;
pub(crate) use run::Imports;
pub use run::{ImportRun, ImportSource, Noticed};

/// What somebody wants of an import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Where Docker keeps volumes.
    pub volumes: Utf8PathBuf,
    /// Accounts here that are given what belonged to a user there: their name there, the account's name here.
    pub into: Vec<(String, String)>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { volumes: VOLUMES.into(), into: Vec::new() }
    }
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The directory can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file can't be read.
    #[error(transparent)]
    AuthFile(#[from] AuthFileError),
    /// There is no such account here.
    #[error("find the account `{name}` on this server")]
    NoAccount {
        /// Whose name it would be.
        name: String,
    },
    /// It isn't said which account is meant.
    #[error("choose an account: this server has {count}")]
    WhichAccount {
        /// How many there are.
        count: usize,
    },
    /// There is nobody there of this name.
    #[error("find the user `{name}` in the old installation")]
    NobodyThere {
        /// Whose name it would be.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    App(#[from] Error),
}

/// What a plan has to know of this server.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) users: Vec<User>,
    /// What was brought over from this source, and which noun it became.
    pub(crate) imported: HashMap<(ImportedKind, String), String>,
    pub(crate) connections: HashMap<UserId, Vec<Connection>>,
    /// Those of the names wanted for addresses that Projects here have.
    pub(crate) slugs: HashSet<String>,
}

impl Known {
    async fn gather(app: &App, source: &str, slugs: impl Iterator<Item = &str>) -> Result<Self, Error> {
        let mut read = app.store.read().await?;
        let mut known = Self { users: user::list(&mut read).await?, ..Self::default() };
        for row in imported::of_source(&mut read, source).await? {
            known.imported.insert((row.kind, row.old_id), row.noun_id);
        }
        for user in &known.users {
            known.connections.insert(user.id, connection::list(&mut read, user.id).await?);
        }
        for slug in slugs {
            if project::find_by_slug(&mut read, slug).await?.is_some() {
                known.slugs.insert(slug.to_owned());
            }
        }
        Ok(known)
    }

    fn account(&self, name: &str) -> Result<&User, ImportError> {
        let found = self.users.iter().find(|user| user.username.eq_ignore_ascii_case(name));
        found.ok_or_else(|| ImportError::NoAccount { name: name.to_owned() })
    }
}

/// Tells whether doce keeps its data inside an old installation, which must not change.
pub fn is_inside(data_dir: &Utf8Path, old: &Utf8Path) -> bool {
    let Ok(old) = old.canonicalize_utf8() else { return false };
    // What isn't there yet lies in what is.
    let mut there = data_dir.to_owned();
    let real = loop {
        match there.canonicalize_utf8() {
            Ok(real) => break real,
            Err(_) => match there.parent() {
                Some(parent) if parent.as_str().is_empty() => there = ".".into(),
                Some(parent) => there = parent.to_owned(),
                None => return false,
            },
        }
    };
    let within = |folder: &Utf8Path| real.starts_with(folder);
    (real == old && there == data_dir) || within(&old.join("data")) || (old.join("db.sqlite").exists() && within(&old))
}

/// Recognises keys that are the same, without keeping any.
pub(crate) type Fingerprints<'a> = &'a dyn Fn(&SecretString) -> String;

/// Plans an import into a server that has nobody and nothing yet, and needs no data directory for it.
pub async fn plan_into_nothing(
    clock: &dyn doce_model::Clock,
    directory: &Utf8Path,
    options: &ImportOptions,
) -> Result<ImportPlan, ImportError> {
    let old = doce_legacy::read(directory, &options.volumes).await?;
    // No master key is made for a mere look; within one plan any hash tells keys apart.
    let fingerprint = |key: &SecretString| doce_vault::token_hash(key.expose_secret());
    Ok(plan::of_installation(old, &Known::default(), &options.into, &fingerprint, clock.now())?.looked().await?)
}

impl App {
    /// Plans to bring over a data directory of doce.dev. Nothing changes.
    pub async fn plan_import(&self, directory: &Utf8Path, options: &ImportOptions) -> Result<ImportPlan, ImportError> {
        let old: Installation = doce_legacy::read(directory, &options.volumes).await?;
        let slugs = old.projects.iter().map(|project| project.slug.as_str());
        let known = Known::gather(self, &old.source, slugs).await?;
        let fingerprint = fingerprints(&self.vault);
        Ok(plan::of_installation(old, &known, &options.into, &fingerprint, self.clock.now())?.looked().await?)
    }

    /// Plans to bring the keys of an `auth.json` of OpenCode to an account: the named one, or the only one.
    pub async fn plan_import_opencode(&self, file: &Utf8Path, user: Option<&str>) -> Result<ImportPlan, ImportError> {
        let (keys, findings) = tokio::task::spawn_blocking({
            let file = file.to_owned();
            move || doce_legacy::read_auth_file(&file)
        })
        .await
        .map_err(Error::internal)??;
        let source = format!("OpenCode at {}", file.canonicalize_utf8().unwrap_or_else(|_| file.to_owned()));
        let known = Known::gather(self, &source, std::iter::empty()).await?;
        let user = match (user, known.users.as_slice()) {
            (Some(name), _) => known.account(name)?,
            (None, [only]) => only,
            (None, users) => return Err(ImportError::WhichAccount { count: users.len() }),
        };
        let fingerprint = fingerprints(&self.vault);
        Ok(plan::of_auth_file(source, keys, findings, user, &known, &fingerprint, self.clock.now()))
    }
}

fn fingerprints(vault: &Vault) -> impl Fn(&SecretString) -> String {
    |key| vault.fingerprint(key)
}
