//! Writing an archive: walking along directories that Agents write to, without following a link.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_store::project::Place;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::{BackupError, DATABASE, LEVEL, MANIFEST, Manifest, PROJECTS, hex, new_file, settle, sqlite};

/// How often a file that changes while it is read is read again.
const TRIES: usize = 5;
/// Up to this size files are read whole first, so that one that changes meanwhile is read again.
const WHOLE_MAX: u64 = 64 * 1024 * 1024;
/// How deep directories are.
const DEPTH_MAX: usize = 128;

/// An archive to write.
pub(super) struct Packing {
    pub(super) archive: File,
    pub(super) partial: Utf8PathBuf,
    pub(super) database: Utf8PathBuf,
    pub(super) places: Vec<Place>,
    pub(super) tell: Box<dyn FnMut(u64) + Send>,
}

/// Where a walk is, and what it leaves out.
#[derive(Clone, Copy)]
struct Part {
    /// Names that are left out wherever they are.
    without: &'static [&'static str],
}

const WORKSPACE: Part = Part { without: &["node_modules"] };
/// Secret: `auth.json` holds credentials in clear while an Agent runs.
const HOME: Part = Part { without: &["node_modules", "auth.json", "auth.json.tmp"] };

struct Packer {
    tar: Builder<zstd::Encoder<'static, File>>,
    sums: BTreeMap<String, String>,
    read: u64,
    tell: Box<dyn FnMut(u64) + Send>,
    partial: Utf8PathBuf,
}

impl Packing {
    /// Writes everything; returns how many files there are.
    pub(super) fn pack(
        self,
        manifest: impl FnOnce(BTreeMap<String, String>) -> Manifest,
    ) -> Result<usize, BackupError> {
        let Self { archive, partial, database, places, tell } = self;
        let write = |source| BackupError::Write { path: partial.clone(), source };
        let encoder = zstd::Encoder::new(archive, LEVEL).map_err(write)?;
        let mut packer =
            Packer { tar: Builder::new(encoder), sums: BTreeMap::new(), read: 0, tell, partial: partial.clone() };
        let mut database = File::open(&database).map_err(|e| read(database.as_str(), e))?;
        packer.file(DATABASE, &mut database, 0o600)?;
        for place in &places {
            for (part, name, path) in [(WORKSPACE, "workspace", &place.workspace), (HOME, "home", &place.home)] {
                packer.tree(part, &format!("{PROJECTS}/{}/{name}", place.id), Utf8Path::new(path))?;
            }
        }
        let files = packer.sums.len();
        let text = serde_json::to_vec(&manifest(std::mem::take(&mut packer.sums))).map_err(|e| write(e.into()))?;
        packer.append(MANIFEST, &mut header(EntryType::Regular, text.len() as u64, 0o600), &*text)?;
        let encoder = packer.tar.into_inner().map_err(write)?;
        encoder.finish().and_then(settle).map_err(write)?;
        Ok(files)
    }
}

impl Packer {
    fn append(&mut self, name: &str, header: &mut Header, content: impl Read) -> Result<(), BackupError> {
        let path = self.partial.clone();
        self.tar.append_data(header, name, content).map_err(|source| BackupError::Write { path, source })
    }

    /// Writes a directory that is ours, with what an Agent put below it.
    fn tree(&mut self, part: Part, name: &str, path: &Utf8Path) -> Result<(), BackupError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::open(path.as_std_path(), flags, Mode::empty()) {
            Ok(directory) => self.directory(part, name, &directory, 0),
            // A Project whose files are just being made, or gone.
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(read(name, errno)),
        }
    }

    fn directory(&mut self, part: Part, name: &str, directory: &OwnedFd, depth: usize) -> Result<(), BackupError> {
        if depth > DEPTH_MAX {
            return Err(read(name, io::Error::other("there are too many directories in each other")));
        }
        self.append(&format!("{name}/"), &mut header(EntryType::Directory, 0, 0o700), io::empty())?;
        let mut names: Vec<String> = Vec::new();
        for entry in Dir::read_from(directory).map_err(|e| read(name, e))? {
            let entry = entry.map_err(|e| read(name, e))?;
            // A name that isn't UTF-8 could not be written into the manifest; no program of ours makes one.
            let Ok(entry) = entry.file_name().to_str() else { continue };
            if !matches!(entry, "." | "..") && !part.without.contains(&entry) && !entry.ends_with("-shm") {
                names.push(entry.to_owned());
            }
        }
        names.sort_unstable();
        // Logs that are in the archive already, each with its database.
        let mut logs: BTreeSet<String> = BTreeSet::new();
        for entry in names {
            if logs.remove(&entry) {
                continue;
            }
            let at = format!("{name}/{entry}");
            // What is gone by now was on its way out.
            let Ok(stat) = rustix::fs::statat(directory, &*entry, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    if let Some(inner) = open(directory.as_fd(), &entry, OFlags::DIRECTORY, &at)? {
                        self.directory(part, &at, &inner, depth + 1)?;
                    }
                }
                FileType::RegularFile => {
                    if let Some(file) = open(directory.as_fd(), &entry, OFlags::NONBLOCK, &at)? {
                        let mode = if stat.st_mode & 0o100 != 0 { 0o700 } else { 0o600 };
                        let mut file = File::from(file);
                        if sqlite::is_database(&mut file).map_err(|e| read(&at, e))? {
                            self.database(directory.as_fd(), &entry, &at, &mut file, mode)?;
                            logs.insert(format!("{entry}-wal"));
                        } else {
                            self.file(&at, &mut file, mode)?;
                        }
                    }
                }
                FileType::Symlink => {
                    let Ok(target) = rustix::fs::readlinkat(directory, &*entry, Vec::new()) else { continue };
                    let Ok(target) = target.into_string() else { continue };
                    self.link(&at, &target)?;
                }
                // They belong to what runs, or nobody can say what they are.
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {}
            }
        }
        Ok(())
    }

    fn link(&mut self, name: &str, target: &str) -> Result<(), BackupError> {
        let path = self.partial.clone();
        let mut header = header(EntryType::Symlink, 0, 0o777);
        self.tar.append_link(&mut header, name, target).map_err(|source| BackupError::Write { path, source })?;
        self.sums.insert(name.to_owned(), hex(&Sha256::digest(format!("link to {target}"))));
        Ok(())
    }

    /// Writes a database of SQLite as it is at one moment, with its log.
    fn database(
        &mut self,
        directory: BorrowedFd<'_>,
        entry: &str,
        name: &str,
        file: &mut File,
        mode: u32,
    ) -> Result<(), BackupError> {
        let scrap = || {
            // Removed at once: it is nobody's who doesn't hold it already.
            let path = Utf8PathBuf::from(format!("{}.copy", self.partial));
            let file = new_file(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        };
        let copied = sqlite::copy(directory, entry, file, scrap).map_err(|source| {
            let is_full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&source.kind());
            if is_full { BackupError::Write { path: self.partial.clone(), source } } else { read(name, source) }
        });
        let mut copied = copied?;
        copied.file.rewind().map_err(|e| read(name, e))?;
        self.exactly(name, &mut copied.file, copied.database, mode)?;
        if let Some(size) = copied.log {
            self.exactly(&format!("{name}-wal"), &mut copied.file, size, mode)?;
        }
        (self.tell)(self.read);
        Ok(())
    }

    /// Writes the next `size` bytes of a file.
    fn exactly(&mut self, name: &str, file: &mut File, size: u64, mode: u32) -> Result<(), BackupError> {
        let mut exact = Exact { file, left: size, sum: Sha256::new() };
        self.append(name, &mut header(EntryType::Regular, size, mode), &mut exact)?;
        self.read += size;
        let sum = exact.sum.finalize();
        self.sums.insert(name.to_owned(), hex(&sum));
        Ok(())
    }

    fn file(&mut self, name: &str, file: &mut File, mode: u32) -> Result<(), BackupError> {
        let failed = |source: io::Error| read(name, source);
        let size = file.metadata().map_err(failed)?.len();
        if size <= WHOLE_MAX {
            let bytes = whole(file).map_err(failed)?;
            self.append(name, &mut header(EntryType::Regular, bytes.len() as u64, mode), &*bytes)?;
            self.read += bytes.len() as u64;
            self.sums.insert(name.to_owned(), hex(&Sha256::digest(&bytes)));
        } else {
            self.exactly(name, file, size, mode)?;
        }
        (self.tell)(self.read);
        Ok(())
    }
}

/// Reads a file whole, and again if it changed meanwhile.
fn whole(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for _ in 0..TRIES {
        let before = file.metadata()?;
        bytes.clear();
        file.rewind()?;
        file.take(WHOLE_MAX * 2).read_to_end(&mut bytes)?;
        let after = file.metadata()?;
        if before.len() == after.len() && before.modified()? == after.modified()? {
            break;
        }
    }
    Ok(bytes)
}

/// Opens an entry without following a link; nothing if it is gone by now, or became a link.
fn open(directory: BorrowedFd<'_>, name: &str, flags: OFlags, at: &str) -> Result<Option<OwnedFd>, BackupError> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(found) => Ok(Some(found)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(read(at, errno)),
    }
}

fn read(path: &str, source: impl Into<io::Error>) -> BackupError {
    BackupError::Read { path: path.to_owned(), source: source.into() }
}

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

/// Gives exactly as many bytes as were announced, whatever becomes of the file meanwhile.
struct Exact<'f> {
    file: &'f mut File,
    left: u64,
    sum: Sha256,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let mut got = self.file.read(buffer)?;
        if got == 0 {
            buffer.fill(0);
            got = buffer.len();
        }
        self.sum.update(buffer.get(..got).unwrap_or_default());
        self.left -= got as u64;
        Ok(got)
    }
}
