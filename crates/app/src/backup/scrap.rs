//! What a backup needs beside itself while it is written, and a restore: a directory of its own, which goes with the run
//! that made it, or becomes what is restored.
//!
//! A run that is killed can't remove it. So the next one that writes to the same place does, and a lock tells which of
//! them still have a run.

use std::{
    fs::{DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
};

use crate::removal::remove_directory;

/// How its name begins.
const PREFIX: &str = ".doce-backup-";

/// The directory. It is removed with this value, unless it has another name by then.
pub(super) struct Scrap {
    pub(super) path: Utf8PathBuf,
    _lock: File,
}

impl Scrap {
    /// Makes one in a directory, and removes those that were left there.
    pub(super) fn make_in(directory: &Utf8Path) -> io::Result<Self> {
        remove_left(directory);
        let mut number = 0_u32;
        loop {
            let path = directory.join(format!("{PREFIX}{}-{number}", std::process::id()));
            number += 1;
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                // Another run may have taken it for one that was left.
                Ok(()) => match lock(&path) {
                    Ok(Some(lock)) => return Ok(Self { path, _lock: lock }),
                    Ok(None) => {}
                    // Nobody can tell there that it was left.
                    Err(_) => return Ok(Self { _lock: File::open(&path)?, path }),
                },
            }
        }
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        drop(remove_directory(&self.path));
    }
}

/// Removes those in a directory that were left there.
pub(super) fn remove_left(directory: &Utf8Path) {
    let Ok(entries) = directory.read_dir_utf8() else { return };
    for path in
        entries.flatten().filter(|entry| entry.file_name().starts_with(PREFIX)).map(camino::Utf8DirEntry::into_path)
    {
        if let Ok(Some(_lock)) = lock(&path) {
            match remove_directory(&path) {
                Ok(()) => tracing::info!(%path, "what was cut off is removed"),
                Err(error) => tracing::warn!(%path, %error, "what was cut off was not removed"),
            }
        }
    }
}

/// Takes the lock of a directory, if nobody has it and the directory is still there. An error says that this file system
/// has no such locks.
fn lock(path: &Utf8Path) -> io::Result<Option<File>> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(opened) = rustix::fs::open(path.as_std_path(), flags, Mode::empty()) else { return Ok(None) };
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    let opened = File::from(opened);
    let own = opened.metadata()?;
    let is_still = path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino()));
    Ok(is_still.then_some(opened))
}
