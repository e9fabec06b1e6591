//! Restoring a backup: into an empty data directory, whole or not at all.
//!
//! Everything is written beside and compared with the manifest, links last, so that nothing is ever written through
//! one. The database is opened once: it is checked, brought to the present schema, told where its files are now, and
//! told that the Agents of the server that was backed up are not its own.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    sync::Arc,
};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use doce_model::{Actor, AuditAction, AuditEvent, Clock, Ctx};
use doce_store::{
    Database, FillError, OpenError as DatabaseError, PostgresUrl, Store, StoreError, delivery, instance, project,
    setting,
};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tar::EntryType;

use super::{
    DATABASE, FORMAT, LeftOut, MANIFEST, Manifest, PROJECTS, hex,
    scrap::{self, Scrap},
};
use crate::{OpenError, layout::Layout};

/// Most bytes of a manifest.
const MANIFEST_MAX: u64 = 1024 * 1024 * 1024;
/// Bytes that are copied at a time.
const CHUNK: usize = 128 * 1024;

/// Why a backup was not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is something where it should go.
    #[error("restore into `{path}`: it is not empty")]
    NotEmpty {
        /// The directory.
        path: Utf8PathBuf,
    },
    /// There is something in the database that should be filled.
    #[error("restore into the database `{database}`: it is not empty")]
    DatabaseNotEmpty {
        /// Which.
        database: String,
    },
    /// The archive can't be read.
    #[error("read the backup `{path}`")]
    Read {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The archive is not what it says it is.
    #[error("trust the backup: {what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// A newer program wrote it.
    #[error("read the backup: a newer doce ({doce}) wrote it")]
    Newer {
        /// Which.
        doce: String,
    },
    /// Something can't be written.
    #[error("write `{path}`")]
    Write {
        /// What.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database can't be told where it is now.
    #[error("write into the database")]
    Store(#[from] StoreError),
}

/// A backup that was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Where it is now.
    pub data_dir: Utf8PathBuf,
    /// When it was made.
    pub created_at: String,
    /// Files of it.
    pub files: usize,
    /// Projects of it.
    pub projects: usize,
    /// The id of the master key that opens what is sealed in it.
    pub master_key: Option<String>,
    /// What could not be read when it was made, and so is not in it.
    pub left_out: LeftOut,
}

/// Restores a backup into a directory that is empty or isn't there, and into an empty PostgreSQL database if one is
/// named: from which kind of database the backup was made doesn't matter. `tell` hears how many bytes of the archive were
/// read, and of how many.
pub async fn restore(
    archive: &Utf8Path,
    data_dir: &Utf8Path,
    database_url: Option<&PostgresUrl>,
    clock: Arc<dyn Clock>,
    tell: impl FnMut(u64, u64) + Send + 'static,
) -> Result<Restored, RestoreError> {
    let data_dir = camino::absolute_utf8(data_dir).map_err(|e| write(data_dir, e))?;
    // One that was killed on its way into here left what isn't anybody's.
    scrap::remove_left(&data_dir);
    match fs::read_dir(&data_dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(RestoreError::NotEmpty { path: data_dir });
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(write(&data_dir, error)),
    }
    let layout = Layout::new(&data_dir);
    if let Some(url) = database_url {
        require_unused(&layout.database(Some(url))).await?;
    }
    // One that is there may be the root of a file system of its own, and stays: then it is filled from within.
    let is_there = data_dir.exists();
    let around = if is_there { data_dir.as_path() } else { data_dir.parent().unwrap_or(&data_dir) };
    fs::create_dir_all(around).map_err(|e| write(around, e))?;
    let scrap = Scrap::make_in(around).map_err(|e| write(around, e))?;
    let beside = scrap.path.clone();
    let unpacking = Unpacking { archive: archive.to_owned(), root: beside.clone(), tell: Box::new(tell) };
    let unpacked = tokio::task::spawn_blocking(move || unpacking.unpack()).await;
    let manifest = unpacked.map_err(|e| write(&beside, io::Error::other(e)))??;
    let projects = settle(&beside, &data_dir, &manifest, clock).await?;
    if let Some(url) = database_url {
        move_into(&layout.database(Some(url)), &beside.join(DATABASE)).await?;
    }
    if is_there {
        fill(&beside, &data_dir)?;
    } else {
        fs::rename(&beside, &data_dir).map_err(|e| write(&data_dir, e))?;
    }
    let Manifest { created_at, files, master_key, left_out, .. } = manifest;
    Ok(Restored { data_dir, created_at, files: files.len(), projects, master_key, left_out })
}

/// Refuses a PostgreSQL database that has something in it, before anything else is done.
async fn require_unused(database: &Database) -> Result<(), RestoreError> {
    if !database.is_there().await.map_err(OpenError::from)? {
        return Ok(());
    }
    let not_empty = || RestoreError::DatabaseNotEmpty { database: database.to_string() };
    let store = match Store::open_to_read(database).await {
        Ok(store) => store,
        Err(DatabaseError::Older { .. } | DatabaseError::Newer { .. }) => return Err(not_empty()),
        Err(error) => return Err(OpenError::from(error).into()),
    };
    let is_unused = store.is_unused().await;
    store.close().await;
    if is_unused? { Ok(()) } else { Err(not_empty()) }
}

/// Moves the rows of the restored file into a PostgreSQL database, in which nothing is yet.
async fn move_into(database: &Database, file: &Utf8Path) -> Result<(), RestoreError> {
    let store = Store::open(database).await.map_err(OpenError::from)?;
    let filled = store.fill_from(file.as_str()).await;
    store.close().await;
    filled.map_err(|error| match error {
        FillError::NotEmpty => RestoreError::DatabaseNotEmpty { database: database.to_string() },
        FillError::Open(error) => OpenError::from(error).into(),
        FillError::Store(error) => error.into(),
    })?;
    for ending in ["", "-wal", "-shm"] {
        let path = Utf8PathBuf::from(format!("{file}{ending}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(&path, error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Moves what was restored one level up, the database last: before that a server finds nothing to work with.
fn fill(from: &Utf8Path, data_dir: &Utf8Path) -> Result<(), RestoreError> {
    let mut names = Vec::new();
    for entry in from.read_dir_utf8().map_err(|e| write(from, e))? {
        names.push(entry.map_err(|e| write(from, e))?.file_name().to_owned());
    }
    names.sort_by_key(|name| name == DATABASE);
    for name in names {
        let to = data_dir.join(&name);
        fs::rename(from.join(&name), &to).map_err(|e| write(&to, e))?;
    }
    Ok(())
}

fn write(path: &Utf8Path, source: io::Error) -> RestoreError {
    RestoreError::Write { path: path.to_owned(), source }
}

fn damaged(what: impl Into<String>) -> RestoreError {
    RestoreError::Damaged { what: what.into() }
}

/// Opens the restored database and tells it where it is; returns how many Projects it has.
async fn settle(
    beside: &Utf8Path,
    data_dir: &Utf8Path,
    manifest: &Manifest,
    clock: Arc<dyn Clock>,
) -> Result<usize, RestoreError> {
    let store = Store::open(&Layout::new(beside).database(None)).await.map_err(OpenError::from)?;
    let layout = Layout::new(data_dir);
    let ctx = Ctx::new(Actor::Cli, "restore", None, clock);
    let mut tx = store.write(&ctx).await?;
    let places = project::list_places(&mut tx).await?;
    for place in &places {
        let directory = layout.project(place.id);
        let (workspace, home) = (directory.join("workspace").to_string(), directory.join("home").to_string());
        project::put_at(&mut tx, &project::Place { id: place.id, workspace, home }).await?;
    }
    // The server that was backed up may still run on this machine: its Agents are neither adopted nor ended by this one.
    for live in instance::list_live(&mut tx).await? {
        instance::end(&mut tx, live.id, "restored from a backup").await?;
        delivery::end_all(&mut tx, live.id).await?;
    }
    setting::remove(&mut tx, "installation").await?;
    let detail = format!("restored, as it was at {}", manifest.created_at);
    tx.audit(AuditEvent::ok(AuditAction::Import, "backup").detail(detail)).await?;
    tx.commit().await?;
    store.close().await;
    Ok(places.len())
}

/// An archive to read.
struct Unpacking {
    archive: Utf8PathBuf,
    root: Utf8PathBuf,
    tell: Box<dyn FnMut(u64, u64) + Send>,
}

impl Unpacking {
    fn unpack(mut self) -> Result<Manifest, RestoreError> {
        let path = self.archive.clone();
        let unreadable = |source| RestoreError::Read { path: path.clone(), source };
        let file = File::open(&self.archive).map_err(unreadable)?;
        let total = file.metadata().map_err(unreadable)?.len();
        let read = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counted = Counted { file, read: Arc::clone(&read) };
        let decoder = zstd::Decoder::new(counted).map_err(unreadable)?;
        let mut tar = tar::Archive::new(decoder);
        let mut sums = BTreeMap::new();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(self.root.as_std_path(), flags, Mode::empty());
        // From here on each path is one below it: together they could be longer than a path may be.
        let root = root.map_err(|e| write(&self.root, e.into()))?;
        let mut links: Vec<(String, String)> = Vec::new();
        let mut manifest: Option<Manifest> = None;
        for entry in tar.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            if manifest.is_some() {
                return Err(damaged("something follows its manifest"));
            }
            let bytes = entry.path_bytes().into_owned();
            let name = String::from_utf8(bytes).map_err(|_| damaged("a name in it is not UTF-8"))?;
            let name = name.trim_end_matches('/').to_owned();
            if name == MANIFEST {
                let mut text = Vec::new();
                entry.by_ref().take(MANIFEST_MAX).read_to_end(&mut text).map_err(unreadable)?;
                manifest = Some(serde_json::from_slice(&text).map_err(|_| damaged("its manifest can't be read"))?);
                continue;
            }
            let at = checked(&name)?;
            let failed = |e| write(&self.root.join(at), e);
            let kind = entry.header().entry_type();
            if kind == EntryType::Directory {
                make_directory(&root, at).map_err(failed)?;
            } else if kind == EntryType::Regular {
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
                let sum = copy(&mut entry, &root, at, executable).map_err(|e| match e {
                    Copy::Read(e) => unreadable(e),
                    Copy::Write(e) => failed(e),
                })?;
                sums.insert(name, sum);
            } else if kind == EntryType::Symlink {
                let target = entry.link_name_bytes().and_then(|bytes| String::from_utf8(bytes.into_owned()).ok());
                let target = target.ok_or_else(|| damaged("a link in it leads nowhere"))?;
                sums.insert(name.clone(), hex(&Sha256::digest(format!("link to {target}"))));
                links.push((name, target));
            } else {
                return Err(damaged(format!("`{name}` is neither a file nor a directory nor a link")));
            }
            (self.tell)(read.load(std::sync::atomic::Ordering::Relaxed), total);
        }
        let manifest = manifest.ok_or_else(|| damaged("it has no manifest, so its end is missing"))?;
        if manifest.format > FORMAT {
            return Err(RestoreError::Newer { doce: manifest.doce });
        }
        if let Some(name) = first_difference(&manifest.files, &sums) {
            return Err(damaged(format!("`{name}` is missing in it, or not what was backed up")));
        }
        if !sums.contains_key(DATABASE) {
            return Err(damaged("it has no database"));
        }
        // Links last: no file is ever written through one.
        for (at, target) in links {
            rustix::fs::symlinkat(target, &root, &*at).map_err(|e| write(&self.root.join(at), e.into()))?;
        }
        Ok(manifest)
    }
}

fn first_difference(wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Option<String> {
    let missing = wanted.iter().find(|(name, sum)| found.get(*name) != Some(sum));
    missing.or_else(|| found.iter().find(|(name, _)| !wanted.contains_key(*name))).map(|(name, _)| name.clone())
}

/// Refuses a path that leads elsewhere than to the database or below the Projects.
fn checked(name: &str) -> Result<&Utf8Path, RestoreError> {
    let path = Utf8Path::new(name);
    let is_plain = path.components().all(|part| matches!(part, Utf8Component::Normal(_)));
    let is_ours = name == DATABASE || path.starts_with(PROJECTS);
    if is_plain && is_ours && !name.contains('\0') {
        return Ok(path);
    }
    Err(damaged(format!("`{name}` in it leads out of the data directory")))
}

/// Makes a directory, and those above it.
fn make_directory(root: &OwnedFd, path: &Utf8Path) -> io::Result<()> {
    let make = || rustix::fs::mkdirat(root, path.as_str(), Mode::RWXU);
    match (make(), path.parent().filter(|parent| *parent != "")) {
        (Ok(()) | Err(Errno::EXIST), _) => Ok(()),
        (Err(Errno::NOENT), Some(parent)) => {
            make_directory(root, parent)?;
            Ok(make()?)
        }
        (Err(errno), _) => Err(errno.into()),
    }
}

/// Which end of a copy failed.
enum Copy {
    Read(io::Error),
    Write(io::Error),
}

/// Writes an entry into a file that isn't there yet; returns its sum.
fn copy(from: &mut impl io::Read, root: &OwnedFd, at: &Utf8Path, executable: bool) -> Result<String, Copy> {
    if let Some(parent) = at.parent().filter(|parent| *parent != "") {
        make_directory(root, parent).map_err(Copy::Write)?;
    }
    let mode = if executable { Mode::RWXU } else { Mode::RUSR | Mode::WUSR };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root, at.as_str(), flags, mode);
    let mut file = File::from(file.map_err(|e| Copy::Write(e.into()))?);
    let (mut sum, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        let got = from.read(&mut buffer).map_err(Copy::Read)?;
        let Some(bytes) = buffer.get(..got).filter(|bytes| !bytes.is_empty()) else { break };
        sum.update(bytes);
        file.write_all(bytes).map_err(Copy::Write)?;
    }
    Ok(hex(&sum.finalize()))
}

/// Counts what is read of the archive.
struct Counted {
    file: File,
    read: Arc<std::sync::atomic::AtomicU64>,
}

impl io::Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        self.read.fetch_add(got as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leads_out_of_the_data_directory() {
        for name in ["doce.sqlite", "projects/prj_1/workspace/src/a.ts"] {
            assert!(checked(name).is_ok(), "{name}");
        }
        for name in
            ["../x", "/etc/passwd", "projects/../../x", "master.key", "opencode/bin/opencode", "doce.sqlite/x", ""]
        {
            assert!(checked(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_file_too_many_is_as_wrong_as_one_too_few() {
        let one = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let two = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let other = BTreeMap::from([("a".to_owned(), "3".to_owned())]);
        assert_eq!(first_difference(&one, &one), None);
        assert_eq!(first_difference(&one, &two).as_deref(), Some("b"));
        assert_eq!(first_difference(&two, &one).as_deref(), Some("b"));
        assert_eq!(first_difference(&one, &other).as_deref(), Some("a"));
    }
}
