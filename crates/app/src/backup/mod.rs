//! Backups: everything that can't be made again, in one file, while a server runs or not.
//!
//! A backup is a compressed archive of the database, each Project's Workspace and its Agent's home, and a manifest with
//! the sum of each file. The database is copied as it is at one moment, into a file of SQLite also where it is one of
//! PostgreSQL; files are read after it, one by one, and databases of SQLite among them with their logs.
//! The master key is not in it, nor is what Agents hold of credentials in clear (`auth.json`), nor what can be installed
//! again (`node_modules`). What an Agent left lying is a stranger's: no link is followed on the way to a file, and what
//! can't be read is left out and named, because no Project may keep the others from being backed up.

mod pack;
pub mod restore;
mod scrap;
mod sqlite;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::{Clock, Ms};
use doce_store::{PostgresUrl, Store, StoreError, project, setting};
use serde::{Deserialize, Serialize};

use self::scrap::Scrap;
use crate::{OpenError, keys::IN_FORCE, layout::Layout};

/// The form of archive that this program writes and reads.
const FORMAT: u32 = 1;
/// The last entry of an archive.
const MANIFEST: &str = "manifest.json";
/// The entry of the database.
const DATABASE: &str = "doce.sqlite";
/// Where the entries of Projects are.
const PROJECTS: &str = "projects";
/// How hard it is compressed: 3 is the library's own choice, fast and small enough.
const LEVEL: i32 = 3;

/// How many of the files that can't be read are named.
const NAMED_MAX: usize = 100;

/// What an archive says of itself.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    /// See [`FORMAT`].
    format: u32,
    /// The version of doce that wrote it.
    doce: String,
    /// The schema's version.
    schema: i64,
    /// When it was begun.
    created_at: String,
    /// The id of the master key that opens what is sealed in it.
    master_key: Option<String>,
    /// Its files, and the SHA-256 sum of each, in hexadecimal digits.
    files: BTreeMap<String, String>,
    /// What could not be read. Nothing in archives of before it was told.
    #[serde(default)]
    left_out: LeftOut,
}

/// What of Projects is not in a backup, because it can't be read: an Agent may have closed it to everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How much there is of it: files, and directories with all that is below them.
    pub count: usize,
    /// The first of it.
    pub named: Vec<Unread>,
}

/// Something that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// Its path below the data directory.
    pub path: String,
    /// Why, in words.
    pub reason: String,
}

impl LeftOut {
    fn add(&mut self, path: &str, reason: String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push(Unread { path: path.to_owned(), reason });
        }
    }
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file is in the way.
    #[error("write `{path}`: there is a file already")]
    Exists {
        /// Which.
        path: Utf8PathBuf,
    },
    /// The file can't be written.
    #[error("write `{path}`")]
    Write {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The copy of the database can't be read.
    #[error("read `{path}`")]
    Read {
        /// Where it is.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The database can't be copied.
    #[error("copy the database")]
    Store(#[from] StoreError),
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// Where it is.
    pub file: Utf8PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// Files in it.
    pub files: usize,
    /// Projects in it.
    pub projects: usize,
    /// The id of the master key that opens what is sealed in it.
    pub master_key: Option<String>,
    /// What is not in it.
    pub left_out: LeftOut,
}

/// Writes a backup of a data directory to a file that isn't there yet. A server may be running. `tell` hears how many
/// bytes were read.
pub async fn back_up(
    data_dir: &Utf8Path,
    database_url: Option<&PostgresUrl>,
    file: &Utf8Path,
    clock: Arc<dyn Clock>,
    tell: impl FnMut(u64) + Send + 'static,
) -> Result<Backup, BackupError> {
    let layout = Layout::new(data_dir);
    let database = layout.database(database_url);
    if !database.is_there().await.map_err(OpenError::from)? {
        return Err(OpenError::Nothing { database: database.to_string() }.into());
    }
    if file.symlink_metadata().is_ok() {
        return Err(BackupError::Exists { path: file.to_owned() });
    }
    let write = |source| BackupError::Write { path: file.to_owned(), source };
    let directory = file.parent().filter(|parent| *parent != "").unwrap_or(Utf8Path::new("."));
    let scrap = Scrap::make_in(directory).map_err(write)?;
    let (partial, copy) = (scrap.path.join("archive"), scrap.path.join(DATABASE));
    let archive = new_file(&partial).map_err(write)?;
    let store = Store::open_to_read(&database).await.map_err(OpenError::from)?;
    let copied = copy_database(&store, &copy).await;
    store.close().await;
    let (places, master_key) = copied?;
    let projects = places.len();
    let packing =
        pack::Packing { archive, file: file.to_owned(), scrap: scrap.path.clone(), places, tell: Box::new(tell) };
    let created_at = clock.now();
    let key = master_key.clone();
    let packed =
        tokio::task::spawn_blocking(move || packing.pack(|files, left_out| manifest(created_at, key, files, left_out)));
    let (files, left_out) = packed.await.map_err(|e| write(io::Error::other(e)))??;
    rustix::fs::renameat_with(
        rustix::fs::CWD,
        partial.as_std_path(),
        rustix::fs::CWD,
        file.as_std_path(),
        rustix::fs::RenameFlags::NOREPLACE,
    )
    .map_err(|errno| match errno {
        rustix::io::Errno::EXIST => BackupError::Exists { path: file.to_owned() },
        other => write(other.into()),
    })?;
    let bytes = fs::metadata(file).map_err(write)?.len();
    Ok(Backup { file: file.to_owned(), bytes, files, projects, master_key, left_out })
}

fn manifest(
    created_at: Ms,
    master_key: Option<String>,
    files: BTreeMap<String, String>,
    left_out: LeftOut,
) -> Manifest {
    Manifest {
        format: FORMAT,
        doce: env!("CARGO_PKG_VERSION").to_owned(),
        schema: doce_store::known_version(),
        created_at: created_at.rfc3339(),
        master_key,
        files,
        left_out,
    }
}

/// Copies the database, and reads from it whose files belong to it.
async fn copy_database(store: &Store, copy: &Utf8Path) -> Result<(Vec<project::Place>, Option<String>), BackupError> {
    store.copy_to(copy.as_str()).await?;
    let mut read = store.read().await?;
    let places = project::list_places(&mut read).await?;
    let master_key = setting::find(&mut read, IN_FORCE).await?;
    Ok((places, master_key))
}

/// Makes a file that nobody else may read.
fn new_file(path: &Utf8Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a sum in hexadecimal digits.
fn hex(sum: &[u8]) -> String {
    use std::fmt::Write as _;
    sum.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string doesn't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Flushes what was written down to the disk.
fn settle(mut file: File) -> io::Result<()> {
    file.flush()?;
    file.sync_all()
}
