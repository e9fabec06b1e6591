//! A Project's sources, handed out piece by piece.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::beneath::{Directory, Kind, Unusable};

/// Installed packages: they are installed again, and are most of the bytes.
const INSTALLED: &str = "node_modules";
/// Files that doce.dev put beside the sources for itself.
const ITS_OWN: [&str; 3] = [".doce-internal-token", ".doce-images.json", "docker-compose.tailscale.yml"];

/// Where a Project's sources lie.
#[derive(Debug, Clone)]
pub struct Sources {
    root: Arc<Directory>,
    base: PathBuf,
}

/// A piece of the sources. Paths are relative to them.
#[derive(Debug)]
pub enum Item<'a> {
    /// A directory. It comes before what is in it.
    Directory(&'a Path),
    /// A regular file, open to be read.
    File {
        /// Where it is.
        path: &'a Path,
        /// Its bytes.
        file: File,
        /// How many.
        size: u64,
        /// Whether it may be run.
        executable: bool,
    },
    /// Something that isn't handed out.
    Left {
        /// Where it is.
        path: &'a Path,
        /// What it is, or why it can't be read.
        what: String,
        /// Whether it could not be read, rather than isn't meant to be.
        unreadable: bool,
    },
}

impl Sources {
    pub(crate) fn new(root: Arc<Directory>, base: impl Into<PathBuf>) -> Self {
        Self { root, base: base.into() }
    }

    /// Returns where they lie, for people.
    pub fn place(&self) -> String {
        self.root.path().as_std_path().join(&self.base).display().to_string()
    }

    /// Reads one file of them; `None` if it isn't there.
    pub(crate) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Unusable> {
        self.root.read(self.base.join(path), limit)
    }

    /// Hands out everything, in the order of names, until `take` fails. Packages and doce.dev's own files are left out.
    pub fn walk(&self, take: &mut dyn FnMut(Item<'_>) -> io::Result<()>) -> io::Result<()> {
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            let names = match self.root.list(self.base.join(&folder)) {
                Ok(names) => names,
                Err(e) => {
                    take(Item::Left { path: &folder, what: e.to_string(), unreadable: true })?;
                    continue;
                }
            };
            if folder != Path::new("") {
                take(Item::Directory(&folder))?;
            }
            let mut below = Vec::new();
            for name in names {
                if name == OsStr::new(INSTALLED) || ITS_OWN.iter().any(|own| name.as_bytes() == own.as_bytes()) {
                    continue;
                }
                let path = folder.join(&name);
                match self.piece(&path) {
                    Piece::Directory => below.push(path),
                    Piece::File { file, size, executable } => {
                        take(Item::File { path: &path, file, size, executable })?;
                    }
                    Piece::Left { what, unreadable } => take(Item::Left { path: &path, what, unreadable })?,
                }
            }
            waiting.extend(below.into_iter().rev());
        }
        Ok(())
    }

    fn piece(&self, path: &Path) -> Piece {
        let full = self.base.join(path);
        let unreadable = |what: String| Piece::Left { what, unreadable: true };
        match self.root.kind(&full) {
            Ok(Kind::Directory) => return Piece::Directory,
            Ok(Kind::File) if path == Path::new(".git") => {
                return Piece::Left { what: "a pointer to a repository elsewhere".to_owned(), unreadable: false };
            }
            Ok(Kind::File) => {}
            Ok(other) => return Piece::Left { what: other.words().to_owned(), unreadable: false },
            Err(e) => return unreadable(e.to_string()),
        }
        let opened = self.root.file(&full).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) => {
                Piece::File { file, size: metadata.len(), executable: metadata.permissions().mode() & 0o111 != 0 }
            }
            Err(e) => unreadable(e.to_string()),
        }
    }
}

/// What stands at one path of the sources.
enum Piece {
    Directory,
    File { file: File, size: u64, executable: bool },
    Left { what: String, unreadable: bool },
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _, os::unix::fs::symlink};

    use camino::Utf8Path;
    use rustix::fs::{FileType, Mode};

    use super::*;

    fn listing(sources: &Sources) -> Vec<String> {
        let mut list = Vec::new();
        sources
            .walk(&mut |item| {
                list.push(match item {
                    Item::Directory(path) => format!("{}/", path.display()),
                    Item::File { path, mut file, size, executable } => {
                        let mut bytes = Vec::new();
                        file.read_to_end(&mut bytes)?;
                        assert_eq!(bytes.len() as u64, size);
                        format!("{}{}", path.display(), if executable { "*" } else { "" })
                    }
                    Item::Left { path, what, unreadable } => format!("{}: {what} {unreadable}", path.display()),
                });
                Ok(())
            })
            .unwrap();
        list
    }

    #[test]
    fn only_regular_files_are_handed_out() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        fs::write(root.join("secret"), "outside").unwrap();
        let base = root.join("app");
        for folder in ["src", ".git/objects", "node_modules/a", "src/node_modules/b"] {
            fs::create_dir_all(base.join(folder)).unwrap();
        }
        for file in ["src/a.ts", ".git/HEAD", "node_modules/a/x", ".doce-internal-token", "run.sh"] {
            fs::write(base.join(file), file).unwrap();
        }
        fs::set_permissions(base.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../secret", base.join("link")).unwrap();
        symlink("/etc", base.join("src/etc")).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, base.join("pipe").as_std_path(), FileType::Fifo, mode, 0).unwrap();
        let sources = Sources::new(Arc::new(Directory::open(root).unwrap()), "app");
        assert_eq!(
            listing(&sources),
            [
                "link: a link false",
                "pipe: a pipe false",
                "run.sh*",
                ".git/",
                ".git/HEAD",
                ".git/objects/",
                "src/",
                "src/a.ts",
                "src/etc: a link false",
            ]
        );
    }

    #[test]
    fn a_pointer_to_a_repository_elsewhere_is_not_handed_out() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        fs::write(root.join(".git"), "gitdir: /srv/other").unwrap();
        let sources = Sources::new(Arc::new(Directory::open(root).unwrap()), "");
        assert_eq!(listing(&sources), [".git: a pointer to a repository elsewhere false"]);
    }

    #[test]
    fn a_walk_ends_where_its_taker_fails() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        fs::write(root.join("a"), "").unwrap();
        fs::write(root.join("b"), "").unwrap();
        let sources = Sources::new(Arc::new(Directory::open(root).unwrap()), "");
        let mut taken = 0;
        let ended = sources.walk(&mut |_| {
            taken += 1;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert_eq!((taken, ended.unwrap_err().kind()), (1, io::ErrorKind::StorageFull));
    }
}
