//! Takes the keys out of old `.env` files: the one thing of this crate that changes the old directory.
//!
//! It is a command of its own, because the file may hold the only copy of a key.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{
    Finding, ReadError, Subject,
    beneath::{Directory, Unusable},
    env,
};

/// What the new file is called until it takes the old one's place.
const BESIDE: &str = ".env.doce-scrub";

/// A `.env` file that holds a key in clear.
#[derive(Debug)]
pub struct EnvFile {
    root: Arc<Directory>,
    path: PathBuf,
}

/// Lists the `.env` files of an installation's Projects that hold a key, and those that can't be looked into.
///
/// It goes by folders, not by the database: deleted Projects have such files, too.
pub fn env_files(directory: &Utf8Path) -> Result<(Vec<EnvFile>, Vec<Finding>), ReadError> {
    let open =
        |path: &Utf8Path| Directory::open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source });
    let given = open(directory)?;
    let data = if given.is_directory("projects") { given } else { open(&given.path().join("data"))? };
    let root = Arc::new(data);
    let (mut files, mut findings) = (Vec::new(), Vec::new());
    let unreadable = |path: &Path, e: &Unusable| {
        Finding::unreadable(Subject::File, root.path().as_std_path().join(path).to_string_lossy(), e.to_string())
    };
    let names = match root.list("projects") {
        Ok(names) => names,
        Err(Unusable::Absent) => return Err(ReadError::NotOne { path: directory.to_owned() }),
        Err(e) => {
            findings.push(unreadable(Path::new("projects"), &e));
            Vec::new()
        }
    };
    for name in names {
        for file in [".env", "preview/.env"] {
            let path = Path::new("projects").join(&name).join(file);
            match root.read(&path, env::ENV_MAX) {
                Ok(Some(bytes)) if env::without_key(&bytes).is_some() => {
                    files.push(EnvFile { root: Arc::clone(&root), path });
                }
                // A folder that is a link is not looked into; once is enough to say so.
                Ok(_) | Err(Unusable::Leaves) if file != ".env" => {}
                Ok(_) => {}
                Err(e) => findings.push(unreadable(&path, &e)),
            }
        }
    }
    Ok((files, findings))
}

impl EnvFile {
    /// Returns where it is.
    pub fn path(&self) -> Utf8PathBuf {
        Utf8PathBuf::from(self.root.path().as_std_path().join(&self.path).to_string_lossy().into_owned())
    }

    /// Takes the key out of its line. Every other byte, the mode and the owner stay; the file is replaced at once.
    pub fn scrub(&self) -> io::Result<()> {
        let other = |e: Unusable| io::Error::other(e.to_string());
        let old = self.root.file(&self.path).map_err(other)?;
        let metadata = old.metadata()?;
        let bytes = self.root.read(&self.path, env::ENV_MAX).map_err(other)?.unwrap_or_default();
        let Some(rest) = env::without_key(&bytes) else { return Ok(()) };
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let folder = self.root.directory(folder).map_err(other)?;
        // The folder stays the one that was opened, whatever happens to its name.
        let folder = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder)));
        let beside = folder.join(BESIDE);
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Ok(()) | Err(_) => {}
        }
        let written = (|| {
            let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            new.write_all(&rest)?;
            // Only root may give a file away; others own what they may replace, or lose nothing by it.
            match std::os::unix::fs::fchown(&new, Some(metadata.uid()), Some(metadata.gid())) {
                Err(e) if e.kind() != io::ErrorKind::PermissionDenied => return Err(e),
                Ok(()) | Err(_) => {}
            }
            new.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
            new.sync_all()?;
            fs::rename(&beside, folder.join(".env"))?;
            File::open(&folder)?.sync_all()
        })();
        if written.is_err() {
            drop(fs::remove_file(&beside));
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn installation() -> (tempfile::TempDir, Utf8PathBuf) {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(temporary.path().canonicalize().unwrap()).unwrap();
        for folder in ["a", "b/preview", "c"] {
            fs::create_dir_all(root.join("data/projects").join(folder)).unwrap();
        }
        let put = |path: &str, text: &str| fs::write(root.join("data/projects").join(path), text).unwrap();
        put("a/.env", "DEV_PORT=1\r\nOPENROUTER_API_KEY=sk-planted\r\nB=2");
        put("b/.env", "DEV_PORT=1\n");
        put("b/preview/.env", "OPENROUTER_API_KEY='sk-planted'\n");
        put("c/.env", "OPENROUTER_API_KEY=\n");
        (temporary, root)
    }

    #[test]
    fn only_the_line_of_the_key_changes_and_the_mode_stays() {
        let (_temporary, root) = installation();
        let file = root.join("data/projects/a/.env");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        for directory in [root.clone(), root.join("data")] {
            let (files, findings) = env_files(&directory).unwrap();
            assert_eq!(findings, []);
            let paths: Vec<_> = files.iter().map(EnvFile::path).collect();
            assert_eq!(paths, [file.clone(), root.join("data/projects/b/preview/.env")]);
        }
        for file in env_files(&root).unwrap().0 {
            file.scrub().unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "DEV_PORT=1\r\nOPENROUTER_API_KEY=\r\nB=2");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_to_string(root.join("data/projects/b/preview/.env")).unwrap(), "OPENROUTER_API_KEY=\n");
        assert!(env_files(&root).unwrap().0.is_empty());
        assert!(!root.join("data/projects/a").join(BESIDE).exists());
    }

    #[test]
    fn what_a_link_leads_to_is_never_written() {
        let (_temporary, root) = installation();
        let outside = root.join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join(".env"), "OPENROUTER_API_KEY=sk-planted\n").unwrap();
        symlink(&outside, root.join("data/projects/linked")).unwrap();
        symlink(outside.join(".env"), root.join("data/projects/linked.env")).unwrap();
        fs::remove_file(root.join("data/projects/a/.env")).unwrap();
        symlink(outside.join(".env"), root.join("data/projects/a/.env")).unwrap();
        // What waits at the new file's name is removed, and not written through.
        symlink(outside.join(".env"), root.join("data/projects/b/preview").join(BESIDE)).unwrap();
        let (files, findings) = env_files(&root).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(findings.len(), 3, "{findings:?}");
        files[0].scrub().unwrap();
        assert_eq!(fs::read_to_string(outside.join(".env")).unwrap(), "OPENROUTER_API_KEY=sk-planted\n");
    }

    #[test]
    fn a_directory_of_something_else_is_not_touched() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        assert!(env_files(root).is_err());
        assert!(env_files(&root.join("absent")).is_err());
    }
}
