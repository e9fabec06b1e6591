//! Opens what lies beneath a directory, through no link and never outside.
//!
//! What doce.dev's agents wrote may hold links to anywhere, and a row may name any path. The kernel is told to resolve
//! beneath a directory that is already open (`openat2`), so a path that leaves it is refused and not only found out.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStringExt as _,
    },
    path::{Component, Path},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Why something beneath a directory can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it is not there")]
    Absent,
    #[error("its path leads through a link or out of the directory")]
    Leaves,
    #[error("it is {0}, not {1}")]
    OtherKind(&'static str, &'static str),
    #[error("it has {size} bytes, and at most {limit} are read")]
    TooLarge { size: u64, limit: u64 },
    #[error("{}", reason(.0))]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for Unusable {
    fn from(errno: rustix::io::Errno) -> Self {
        match errno {
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => Self::Absent,
            rustix::io::Errno::LOOP | rustix::io::Errno::XDEV => Self::Leaves,
            other => Self::Io(other.into()),
        }
    }
}

/// Says what the system answered, without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        _ => error.to_string(),
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Other(&'static str),
}

impl Kind {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Link => "a link",
            Self::Other(what) => what,
        }
    }
}

fn kind_of(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::Fifo => Kind::Other("a pipe"),
        FileType::Socket => Kind::Other("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Other("a device"),
        FileType::Unknown => Kind::Other("something else"),
    }
}

/// A directory that is open.
#[derive(Debug)]
pub(crate) struct Directory {
    path: Utf8PathBuf,
    opened: OwnedFd,
}

impl Directory {
    /// Opens a directory that a person named: it may be a link.
    pub(crate) fn open(path: &Utf8Path) -> io::Result<Self> {
        let path = path.canonicalize_utf8()?;
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path.as_std_path(), flags, Mode::empty())?;
        Ok(Self { path, opened })
    }

    /// Returns where it is, without links.
    pub(crate) fn path(&self) -> &Utf8Path {
        &self.path
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Unusable> {
        let relative = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let is_plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if !relative.components().all(is_plain) {
            return Err(Unusable::Leaves);
        }
        Ok(openat2(self.opened.as_fd(), relative, flags | OFlags::CLOEXEC, Mode::empty(), RESOLVE)?)
    }

    /// Opens a directory beneath.
    pub(crate) fn directory(&self, path: &Path) -> Result<OwnedFd, Unusable> {
        match self.kind(path)? {
            Kind::Directory => self.resolve(path, OFlags::DIRECTORY | OFlags::RDONLY),
            other => Err(Unusable::OtherKind(other.words(), "a directory")),
        }
    }

    /// Opens a regular file beneath, to read it.
    pub(crate) fn file(&self, path: &Path) -> Result<File, Unusable> {
        match self.kind(path)? {
            Kind::File => {}
            other => return Err(Unusable::OtherKind(other.words(), "a file")),
        }
        // NONBLOCK: had a pipe taken its place meanwhile, opening it would wait for its writer for ever.
        let opened = self.resolve(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        match kind_of(FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode)) {
            Kind::File => Ok(File::from(opened)),
            other => Err(Unusable::OtherKind(other.words(), "a file")),
        }
    }

    /// Reads a regular file beneath, of at most `limit` bytes; `None` if there is nothing at its path.
    pub(crate) fn read(&self, path: impl AsRef<Path>, limit: u64) -> Result<Option<Vec<u8>>, Unusable> {
        let file = match self.file(path.as_ref()) {
            Ok(file) => file,
            Err(Unusable::Absent) => return Ok(None),
            Err(e) => return Err(e),
        };
        let size = file.metadata()?.len();
        if size > limit {
            return Err(Unusable::TooLarge { size, limit });
        }
        let mut bytes = Vec::new();
        // It may grow while it is read.
        file.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Says what stands at a path. A link is one, whatever it leads to; one on the way there leaves the directory.
    pub(crate) fn kind(&self, path: &Path) -> Result<Kind, Unusable> {
        let opened = self.resolve(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(kind_of(FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode)))
    }

    /// Tells whether a regular file stands at a path.
    pub(crate) fn is_file(&self, path: impl AsRef<Path>) -> bool {
        matches!(self.kind(path.as_ref()), Ok(Kind::File))
    }

    /// Tells whether a directory stands at a path.
    pub(crate) fn is_directory(&self, path: impl AsRef<Path>) -> bool {
        matches!(self.kind(path.as_ref()), Ok(Kind::Directory))
    }

    /// Lists the names in a directory beneath, in order.
    pub(crate) fn list(&self, path: impl AsRef<Path>) -> Result<Vec<OsString>, Unusable> {
        let opened = self.directory(path.as_ref())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&opened)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Returns the last part of what a link beneath leads to, if there is a link. It is not followed.
    pub(crate) fn last_of_link(&self, path: &Path) -> Option<String> {
        let parent = self.resolve(path.parent()?, OFlags::DIRECTORY | OFlags::PATH).ok()?;
        let target = rustix::fs::readlinkat(&parent, path.file_name()?, Vec::new()).ok()?;
        let target = target.into_string().ok()?;
        target.trim_end_matches('/').rsplit('/').next().filter(|last| !last.is_empty()).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_is_opened() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        std::fs::create_dir_all(root.join("in/deep")).unwrap();
        std::fs::write(root.join("secret"), "outside").unwrap();
        std::fs::write(root.join("in/deep/a"), "inside").unwrap();
        symlink("../secret", root.join("in/link")).unwrap();
        symlink("deep", root.join("in/shallow")).unwrap();
        let directory = Directory::open(&root.join("in")).unwrap();
        assert_eq!(directory.read("deep/a", 10).unwrap().unwrap(), b"inside");
        for path in ["../secret", "/etc/passwd", "deep/../../secret", "shallow/a"] {
            let refused = directory.read(path, 10);
            assert!(matches!(refused, Err(Unusable::Leaves)), "{path}: {refused:?}");
        }
        assert!(matches!(directory.read("link", 10), Err(Unusable::OtherKind("a link", _))));
        assert!(matches!(directory.read("deep", 10), Err(Unusable::OtherKind("a directory", _))));
        assert!(directory.read("absent/a", 10).unwrap().is_none());
        assert!(matches!(directory.read("deep/a", 5), Err(Unusable::TooLarge { size: 6, limit: 5 })));
        assert_eq!(directory.last_of_link(Path::new("link")).as_deref(), Some("secret"));
        assert_eq!(directory.list("").unwrap(), ["deep", "link", "shallow"]);
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe").as_std_path(), FileType::Fifo, mode, 0).unwrap();
        let directory = Directory::open(root).unwrap();
        assert!(matches!(directory.read("pipe", 10), Err(Unusable::OtherKind("a pipe", "a file"))));
    }
}
