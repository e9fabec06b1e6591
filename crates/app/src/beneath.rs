//! Opening paths inside a directory that an Agent can write to.
//!
//! An Agent may put a link where a file was, at any moment. The kernel is told to resolve a path beneath a directory
//! that is already open and to follow no link on the way (`openat2`), so nothing outside is ever opened or removed.

use std::{
    fs::File,
    io::{self, Read as _},
    os::fd::OwnedFd,
};

use camino::Utf8Path;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, openat2};

/// How paths are resolved: beneath, through no link, on no other file system's magic.
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Why something beneath a directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum BeneathError {
    /// It isn't there.
    #[error("find it: there is nothing at this path")]
    Absent,
    /// The path leads out of the directory, or through a link.
    #[error("follow this path: it leads through a link or out of the workspace")]
    Refused,
    /// It is something else than was asked for.
    #[error("read it: it is {what}")]
    OtherKind {
        /// What it is, in words.
        what: &'static str,
    },
    /// It is larger than is read.
    #[error("read it: it has {size} bytes; up to {limit} are shown")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The system refused.
    #[error("open it")]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for BeneathError {
    fn from(errno: rustix::io::Errno) -> Self {
        match errno {
            // Nothing is at a path that is too long to be one.
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::NAMETOOLONG => Self::Absent,
            rustix::io::Errno::LOOP | rustix::io::Errno::XDEV => Self::Refused,
            // An Agent took the permission away.
            rustix::io::Errno::ACCESS => Self::OtherKind { what: "closed to doce" },
            // A socket can't be opened at all.
            rustix::io::Errno::NXIO => Self::OtherKind { what: "a socket" },
            other => Self::Io(other.into()),
        }
    }
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) size: Option<u64>,
}

/// Opens the directory itself, which is ours.
fn root(directory: &Utf8Path) -> Result<OwnedFd, BeneathError> {
    Ok(rustix::fs::open(
        directory.as_std_path(),
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?)
}

/// Opens a directory beneath one that is open. The path is relative, and has no `.` or `..` in it.
pub(crate) fn open_directory(root: &OwnedFd, path: &Utf8Path) -> Result<OwnedFd, rustix::io::Errno> {
    let path = if path == "" { Utf8Path::new(".") } else { path };
    openat2(root, path.as_str(), OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), RESOLVE)
}

/// Brings a path into the form that is opened: relative, without empty, `.` and `..` parts.
pub(crate) fn relative(path: &str) -> Result<String, BeneathError> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(BeneathError::Refused),
            part if part.contains('\0') => return Err(BeneathError::Refused),
            part => parts.push(part),
        }
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

fn kind_of(stat: &Stat) -> &'static str {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => "file",
        FileType::Directory => "directory",
        FileType::Symlink => "link",
        FileType::Fifo | FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            "other"
        }
    }
}

/// Lists a directory beneath `directory`: directories first, then by name, and of those the first `limit`. Names that
/// are not text are left out.
pub(crate) fn list(directory: &Utf8Path, path: &str, limit: usize) -> Result<Vec<Entry>, BeneathError> {
    let opened = openat2(
        root(directory)?,
        relative(path)?,
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
        RESOLVE,
    )?;
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(&opened)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if name == "." || name == ".." {
            continue;
        }
        found.push((entry.file_type() != FileType::Directory, name.to_owned()));
    }
    // Of a directory of any size only those are looked at that are shown.
    found.sort_unstable();
    found.truncate(limit);
    let look = |(_, name): (bool, String)| {
        let stat = rustix::fs::statat(&opened, name.as_str(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let kind = kind_of(&stat);
        let size = (kind == "file").then(|| u64::try_from(stat.st_size).unwrap_or(0));
        Some(Entry { name, kind, size })
    };
    Ok(found.into_iter().filter_map(look).collect())
}

/// Reads a regular file beneath `directory`, of at most `limit` bytes.
pub(crate) fn read(directory: &Utf8Path, path: &str, limit: u64) -> Result<Vec<u8>, BeneathError> {
    // NONBLOCK: opening a pipe would wait for its writer for ever. A regular file doesn't care.
    let opened = openat2(
        root(directory)?,
        relative(path)?,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
        RESOLVE,
    )?;
    let stat = rustix::fs::fstat(&opened)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => {
            return Err(BeneathError::OtherKind { what: "a directory" });
        }
        FileType::Fifo => return Err(BeneathError::OtherKind { what: "a pipe" }),
        FileType::Socket => return Err(BeneathError::OtherKind { what: "a socket" }),
        FileType::Symlink | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            return Err(BeneathError::OtherKind { what: "not a file" });
        }
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    if size > limit {
        return Err(BeneathError::TooLarge { size, limit });
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // It may grow while it is read.
    File::from(opened).take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes a file beneath `directory`, if it is there. Whatever stands at its name is removed, never what it links to.
pub(crate) fn remove(directory: &Utf8Path, parent: &str, name: &str) -> Result<(), BeneathError> {
    let parent = match openat2(
        root(directory)?,
        relative(parent)?,
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
        RESOLVE,
    )
    .map_err(BeneathError::from)
    {
        Ok(parent) => parent,
        Err(BeneathError::Absent | BeneathError::Refused) => return Ok(()),
        Err(e) => return Err(e),
    };
    match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT | rustix::io::Errno::ISDIR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Removes a link at `name` in `directory`, if there is one.
pub(crate) fn remove_link(directory: &Utf8Path, name: &str) -> Result<(), BeneathError> {
    let opened = root(directory)?;
    match rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if kind_of(&stat) == "link" => Ok(rustix::fs::unlinkat(&opened, name, AtFlags::empty())?),
        Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Tells whether a regular file is at a path beneath `directory`.
pub(crate) fn is_file(directory: &Utf8Path, path: &str) -> bool {
    let opened = root(directory)
        .and_then(|root| Ok(openat2(root, relative(path)?, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), RESOLVE)?));
    opened.is_ok_and(|file| {
        rustix::fs::fstat(&file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    })
}

#[cfg(test)]
mod fuzz;
