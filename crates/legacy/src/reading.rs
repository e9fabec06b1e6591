//! Reads an installation, whole.

use std::{collections::HashSet, path::Path, sync::Arc};

use camino::{Utf8Path, Utf8PathBuf};
use sha2::{Digest as _, Sha256};

use crate::{
    Era, Finding, Installation, Owner, Subject, auth_file,
    beneath::Directory,
    database::{self, CopyError, Tables},
    people,
    projects::{self, Reader},
};

/// Where Docker keeps volumes, unless it was told otherwise.
pub const VOLUMES: &str = "/var/lib/docker/volumes";
/// `OpenCode`'s file, as it lay in the data directory and, later, beside it.
const AUTH: &str = "opencode/auth.json";

/// Why a directory can't be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It can't be opened.
    #[error("open the directory `{path}`")]
    Open {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It holds nothing of doce.dev's.
    #[error("find a doce.dev installation in `{path}`: there is neither `data/db.sqlite` nor `db.sqlite` in it")]
    NotOne {
        /// Which.
        path: Utf8PathBuf,
    },
    /// doce.dev runs.
    #[error("copy the database of `{path}`: somebody writes to it at this moment")]
    InUse {
        /// Which.
        path: Utf8PathBuf,
    },
    /// A thread of the program died.
    #[error("read `{path}` to its end")]
    Interrupted {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// Where the parts of an installation are.
struct Place {
    /// Holds the database and the Projects.
    data: Arc<Directory>,
    /// Holds the data directory, where that is known.
    above: Option<Directory>,
}

impl Place {
    /// Finds the parts from what a person named: the installation's directory, or its data directory.
    fn find(path: &Utf8Path) -> Result<Self, ReadError> {
        let open =
            |path: &Utf8Path| Directory::open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source });
        let named = open(path)?;
        let holds = |folder: &str| {
            let under = Path::new(folder);
            named.kind(&under.join(database::FILE)).is_ok() || named.is_directory(under.join("projects"))
        };
        if holds("") {
            let is_data = named.path().file_name() == Some("data");
            let above = named.path().parent().filter(|_| is_data).map(open).transpose()?;
            return Ok(Self { data: Arc::new(named), above });
        }
        if named.is_directory("data") && (holds("data") || named.is_file(AUTH)) {
            let data = Arc::new(open(&named.path().join("data"))?);
            return Ok(Self { data, above: Some(named) });
        }
        Err(ReadError::NotOne { path: path.to_owned() })
    }
}

/// Reads the installation in a directory. `volumes` is where Docker keeps volumes.
///
/// Only what makes all of it unreadable is an error; everything else is a [`Finding`] of the answer.
pub async fn read(directory: &Utf8Path, volumes: &Utf8Path) -> Result<Installation, ReadError> {
    let (path, volumes) = (directory.to_owned(), volumes.to_owned());
    let interrupted = |source| ReadError::Interrupted { path: directory.to_owned(), source };
    let copying = tokio::task::spawn_blocking(move || {
        let place = Place::find(&path)?;
        let copied = database::copy(&place.data, Path::new(""));
        Ok((place, copied))
    });
    let (place, copied) = copying.await.map_err(interrupted)??;
    let mut findings = Vec::new();
    let unreadable = |reason: String| Finding::unreadable(Subject::File, database::FILE, reason);
    let tables = match copied {
        Ok(Some(copied)) => {
            let read = database::read(&copied).await;
            tokio::task::spawn_blocking(move || drop(copied)).await.map_err(interrupted)?;
            read.unwrap_or_else(|reason| {
                findings.push(unreadable(format!("{reason}: no people and no projects can be brought over")));
                Tables::default()
            })
        }
        Ok(None) => {
            findings.push(unreadable("it is not there: no people and no projects can be brought over".to_owned()));
            Tables::default()
        }
        Err(CopyError::InUse) => return Err(ReadError::InUse { path: directory.to_owned() }),
        Err(e) => {
            findings.push(unreadable(e.to_string()));
            Tables::default()
        }
    };
    tokio::task::spawn_blocking(move || assemble(&place, &volumes, &tables, findings)).await.map_err(interrupted)
}

fn assemble(place: &Place, volumes: &Utf8Path, tables: &Tables, mut findings: Vec<Finding>) -> Installation {
    for needed in ["users", "projects"] {
        if tables.has("users") != tables.has("projects") && !tables.has(needed) {
            findings.push(Finding::unreadable(Subject::Table, needed, "the database has no such table"));
        }
    }
    for (name, reason, rows) in tables.broken() {
        let reason = format!("it breaks off: {reason}. {rows} of its rows could be read");
        findings.push(Finding::unreadable(Subject::Table, name, reason));
    }
    let mut users = people::users(tables, &mut findings);
    let mut keys = people::keys(tables, &mut findings);
    let mut read = Reader { data: &place.data, volumes, tables, findings: &mut findings }.read();
    projects::merge_keys(&mut keys, std::mem::take(&mut read.keys));
    // What a deleted Project holds counts only where nothing else is left.
    let have: HashSet<String> = keys.iter().filter_map(|key| user_of(&key.owner)).collect();
    read.deleted_keys.retain(|key| user_of(&key.owner).is_none_or(|owner| !have.contains(&owner)));
    projects::merge_keys(&mut keys, std::mem::take(&mut read.deleted_keys));

    let mut files = vec![(&*place.data, AUTH, format!("{}/{AUTH}", place.data.path()))];
    if let Some(above) = &place.above {
        files.push((above, AUTH, format!("{}/{AUTH}", above.path())));
    }
    let found = auth_file::read_all(&files);
    keys.extend(found.keys);
    findings.extend(found.findings);

    projects::settle_models(&mut read, tables, &people::default_models(tables), &keys);
    people::settle_models(&mut users, tables, &keys, &mut findings);
    people::others(tables, &mut findings);
    let source = source(&users, &place.data);
    Installation {
        source,
        directory: place.data.path().to_owned(),
        era: Era::of(tables),
        users,
        keys,
        projects: read.projects,
        findings,
    }
}

fn user_of(owner: &Owner) -> Option<String> {
    match owner {
        Owner::User(id) => Some(id.clone()),
        Owner::Installation => None,
    }
}

/// Names an installation by its first user, whose id is random: it stays the same wherever the directory is moved.
fn source(users: &[crate::User], data: &Directory) -> String {
    match users.first() {
        Some(first) => {
            let digest = Sha256::digest(first.id.as_bytes());
            let name = digest.iter().take(6).fold(0_u64, |name, byte| name << 8 | u64::from(*byte));
            format!("doce.dev/{name:012x}")
        }
        None => format!("doce.dev at {}", data.path()),
    }
}
