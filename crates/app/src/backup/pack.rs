//! Writing an archive: walking along directories that Agents write to, without following a link.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek as _},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_store::{Trouble, project::Place};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags},
    io::Errno,
};
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};

use super::{BackupError, DATABASE, LEVEL, LeftOut, MANIFEST, Manifest, PROJECTS, hex, new_file, settle, sqlite};
use crate::beneath;

/// How often a file that changes while it is read is read again.
const TRIES: usize = 5;
/// Up to this size files are read whole first, so that one that changes meanwhile is read again.
const WHOLE_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a path in the archive. A longer one is none that any program could name.
const PATH_MAX: usize = 4095;

/// An archive to write.
pub(super) struct Packing {
    pub(super) archive: File,
    /// What the archive will be.
    pub(super) file: Utf8PathBuf,
    /// Where the copy of the database is, and others may be made.
    pub(super) scrap: Utf8PathBuf,
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
    left_out: LeftOut,
    read: u64,
    tell: Box<dyn FnMut(u64) + Send>,
    file: Utf8PathBuf,
    scrap: Utf8PathBuf,
}

impl Packing {
    /// Writes everything; returns how many files there are, and which are not in it.
    pub(super) fn pack(
        self,
        manifest: impl FnOnce(BTreeMap<String, String>, LeftOut) -> Manifest,
    ) -> Result<(usize, LeftOut), BackupError> {
        let Self { archive, file, scrap, places, tell } = self;
        let write = |source| BackupError::Write { path: file.clone(), source };
        let encoder = zstd::Encoder::new(archive, LEVEL).map_err(write)?;
        let mut packer = Packer {
            tar: Builder::new(encoder),
            sums: BTreeMap::new(),
            left_out: LeftOut::default(),
            read: 0,
            tell,
            file: file.clone(),
            scrap,
        };
        let database = packer.scrap.join(DATABASE);
        let unread = |source| BackupError::Read { path: database.to_string(), source };
        packer.file(DATABASE, &mut File::open(&database).map_err(unread)?, 0o600)?.map_err(unread)?;
        for place in &places {
            for (part, name, path) in [(WORKSPACE, "workspace", &place.workspace), (HOME, "home", &place.home)] {
                packer.tree(part, &format!("{PROJECTS}/{}/{name}", place.id), Utf8Path::new(path))?;
            }
        }
        let (sums, left_out) = (std::mem::take(&mut packer.sums), packer.left_out.clone());
        let files = sums.len();
        let text = serde_json::to_vec(&manifest(sums, left_out.clone())).map_err(|e| write(e.into()))?;
        packer.append(MANIFEST, &mut header(EntryType::Regular, text.len() as u64, 0o600), &*text)?;
        let encoder = packer.tar.into_inner().map_err(write)?;
        encoder.finish().and_then(settle).map_err(write)?;
        Ok((files, left_out))
    }
}

impl Packer {
    fn append(&mut self, name: &str, header: &mut Header, content: impl Read) -> Result<(), BackupError> {
        let path = self.file.clone();
        self.tar.append_data(header, name, content).map_err(|source| BackupError::Write { path, source })
    }

    /// Writes a directory that is ours, with what an Agent put below it. Nothing that is there can end the backup: what
    /// can't be read is left out.
    fn tree(&mut self, part: Part, name: &str, path: &Utf8Path) -> Result<(), BackupError> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let root = match rustix::fs::open(path.as_std_path(), flags, Mode::empty()) {
            Ok(root) => root,
            // A Project whose files are just being made, or gone.
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => {
                self.left_out.add(name, errno.to_string());
                return Ok(());
            }
        };
        // Directories that are still to be written. None is held open for those below it, and each is opened from the
        // first: so it doesn't matter how deep they are.
        let mut ahead = vec![Utf8PathBuf::new()];
        while let Some(inner) = ahead.pop() {
            let at = if inner == "" { name.to_owned() } else { format!("{name}/{inner}") };
            match beneath::open_directory(&root, &inner) {
                Ok(directory) => self.directory(part, &at, &inner, &directory, &mut ahead)?,
                // Gone by now, or a link.
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {}
                Err(errno) => self.left_out.add(&at, errno.to_string()),
            }
        }
        Ok(())
    }

    /// Writes the files of a directory, and adds the directories in it to those that are ahead.
    fn directory(
        &mut self,
        part: Part,
        name: &str,
        inner: &Utf8Path,
        directory: &OwnedFd,
        ahead: &mut Vec<Utf8PathBuf>,
    ) -> Result<(), BackupError> {
        self.append(&format!("{name}/"), &mut header(EntryType::Directory, 0, 0o700), io::empty())?;
        let names = self.names(part, name, directory);
        // Logs that are in the archive already, each with its database.
        let mut logs: BTreeSet<String> = BTreeSet::new();
        for entry in names {
            if logs.remove(&entry) {
                continue;
            }
            let at = format!("{name}/{entry}");
            let stat = match rustix::fs::statat(directory, &*entry, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // What is gone by now was on its way out.
                Err(Errno::NOENT) => continue,
                Err(errno) => {
                    self.left_out.add(&at, errno.to_string());
                    continue;
                }
            };
            if at.len() > PATH_MAX {
                self.left_out.add(&at, "its path is too long".to_owned());
                continue;
            }
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => ahead.push(inner.join(&entry)),
                FileType::RegularFile => {
                    let mode = if stat.st_mode & 0o100 != 0 { 0o700 } else { 0o600 };
                    let is_written = match open(directory.as_fd(), &entry) {
                        Ok(None) => continue,
                        Ok(Some(mut file)) => match sqlite::is_database(&mut file) {
                            Ok(true) => {
                                logs.insert(format!("{entry}-wal"));
                                self.database(directory.as_fd(), &entry, &at, &mut file, mode)?
                            }
                            Ok(false) => self.file(&at, &mut file, mode)?,
                            Err(error) => Err(error),
                        },
                        Err(error) => Err(error),
                    };
                    if let Err(error) = is_written {
                        self.left_out.add(&at, error.to_string());
                    }
                }
                FileType::Symlink => match rustix::fs::readlinkat(directory, &*entry, Vec::new()) {
                    Ok(target) => match target.into_string() {
                        Ok(target) => self.link(&at, &target)?,
                        Err(_) => self.left_out.add(&at, "it leads to a name that is not UTF-8".to_owned()),
                    },
                    // Gone, or no link any more.
                    Err(Errno::NOENT | Errno::INVAL) => {}
                    Err(errno) => self.left_out.add(&at, errno.to_string()),
                },
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

    /// Lists what of a directory is to be written, sorted.
    fn names(&mut self, part: Part, name: &str, directory: &OwnedFd) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let entries = Dir::read_from(directory).map_err(|errno| self.left_out.add(name, errno.to_string()));
        for entry in entries.into_iter().flatten() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(errno) => {
                    self.left_out.add(name, errno.to_string());
                    break;
                }
            };
            // A name that isn't UTF-8 could not be written into the manifest; no program of ours makes one.
            let Ok(entry) = entry.file_name().to_str() else {
                let lossy = entry.file_name().to_string_lossy();
                self.left_out.add(&format!("{name}/{lossy}"), "its name is not UTF-8".to_owned());
                continue;
            };
            if !matches!(entry, "." | "..") && !part.without.contains(&entry) && !entry.ends_with("-shm") {
                names.push(entry.to_owned());
            }
        }
        names.sort_unstable();
        names
    }

    fn link(&mut self, name: &str, target: &str) -> Result<(), BackupError> {
        let path = self.file.clone();
        let mut header = header(EntryType::Symlink, 0, 0o777);
        self.tar.append_link(&mut header, name, target).map_err(|source| BackupError::Write { path, source })?;
        self.sums.insert(name.to_owned(), hex(&Sha256::digest(format!("link to {target}"))));
        Ok(())
    }

    /// Writes a database of SQLite as it is at one moment, with its log. The inner error is about reading it.
    fn database(
        &mut self,
        directory: BorrowedFd<'_>,
        entry: &str,
        name: &str,
        file: &mut File,
        mode: u32,
    ) -> Result<io::Result<()>, BackupError> {
        let path = self.scrap.join("copy");
        let write = |source| BackupError::Write { path: path.clone(), source };
        // Removed at once: it is nobody's who doesn't hold it already.
        let scrap = new_file(&path).map_err(write)?;
        std::fs::remove_file(&path).map_err(write)?;
        let mut copied = match sqlite::copy(directory, entry, file, scrap) {
            Ok(copied) => copied,
            Err(source) if Trouble::find(&source).is_some() => return Err(write(source)),
            Err(error) => return Ok(Err(error)),
        };
        copied.file.rewind().map_err(write)?;
        self.exactly(name, &mut copied.file, copied.database, mode)?.map_err(write)?;
        if let Some(size) = copied.log {
            self.exactly(&format!("{name}-wal"), &mut copied.file, size, mode)?.map_err(write)?;
        }
        (self.tell)(self.read);
        Ok(Ok(()))
    }

    /// Writes the next `size` bytes of a file. The inner error is about reading them: zeros stand for them then.
    fn exactly(&mut self, name: &str, file: &mut File, size: u64, mode: u32) -> Result<io::Result<()>, BackupError> {
        let mut exact = Exact { file, left: size, sum: Sha256::new(), fault: None };
        self.append(name, &mut header(EntryType::Regular, size, mode), &mut exact)?;
        self.read += size;
        let Exact { sum, fault, .. } = exact;
        self.sums.insert(name.to_owned(), hex(&sum.finalize()));
        Ok(fault.map_or(Ok(()), Err))
    }

    /// Writes a file. The inner error is about reading it.
    fn file(&mut self, name: &str, file: &mut File, mode: u32) -> Result<io::Result<()>, BackupError> {
        let size = match file.metadata() {
            Ok(found) => found.len(),
            Err(error) => return Ok(Err(error)),
        };
        let is_read = if size <= WHOLE_MAX {
            let bytes = match whole(file) {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(error)),
            };
            self.append(name, &mut header(EntryType::Regular, bytes.len() as u64, mode), &*bytes)?;
            self.read += bytes.len() as u64;
            self.sums.insert(name.to_owned(), hex(&Sha256::digest(&bytes)));
            Ok(())
        } else {
            self.exactly(name, file, size, mode)?
        };
        (self.tell)(self.read);
        Ok(is_read)
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

/// Opens a file without following a link; nothing if it is gone by now, or became a link.
fn open(directory: BorrowedFd<'_>, name: &str) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(found) => Ok(Some(File::from(found))),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
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
    /// Why the rest couldn't be read.
    fault: Option<io::Error>,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let mut got = match &self.fault {
            None => match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                read => read.unwrap_or_else(|error| {
                    self.fault = Some(error);
                    0
                }),
            },
            Some(_) => 0,
        };
        if got == 0 {
            buffer.fill(0);
            got = buffer.len();
        }
        self.sum.update(buffer.get(..got).unwrap_or_default());
        self.left -= got as u64;
        Ok(got)
    }
}
