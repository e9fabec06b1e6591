//! The lock of a data directory: one server at a time.
//!
//! It is an advisory lock of the file system, so it ends with the process that holds it, however that ends.
//! The file says who holds it, for whoever comes second.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
};

use camino::{Utf8Path, Utf8PathBuf};

/// The file's name in the data directory.
const NAME: &str = "lock";
/// Most bytes that are read of what the holder wrote.
const HOLDER_MAX: u64 = 400;

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process has it.
    #[error("use the data directory `{directory}`: another doce does already ({holder})")]
    Held {
        /// Which directory.
        directory: Utf8PathBuf,
        /// What the holder says of itself.
        holder: String,
    },
    /// The file system refused.
    #[error("lock `{path}`")]
    Io {
        /// Which file.
        path: Utf8PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

/// The right to use a data directory, for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataLock {
    file: File,
    path: Utf8PathBuf,
}

impl DataLock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(directory: &Utf8Path) -> Result<Self, LockError> {
        let path = directory.join(NAME);
        let io = |source| LockError::Io { path: path.clone(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {
                let mut lock = Self { file, path };
                lock.say(&format!("pid {}", std::process::id()))?;
                Ok(lock)
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // What can't be read is only missing from the message.
                drop((&file).take(HOLDER_MAX).read_to_string(&mut holder));
                let holder = holder.trim();
                Err(LockError::Held {
                    directory: directory.to_owned(),
                    holder: if holder.is_empty() { "it is just starting" } else { holder }.to_owned(),
                })
            }
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Tells whoever comes second where this server listens.
    pub(crate) fn tell_address(&mut self, address: &str) -> Result<(), LockError> {
        self.say(&format!("pid {}, {address}", std::process::id()))
    }

    /// Returns where the server listens that holds the lock of a directory, if it said so.
    pub(crate) fn address_of(directory: &Utf8Path) -> Option<String> {
        let said = std::fs::read_to_string(directory.join(NAME)).ok()?;
        said.trim().split_once(", ").map(|(_, address)| address.to_owned())
    }

    fn say(&mut self, text: &str) -> Result<(), LockError> {
        let mut write = || {
            self.file.set_len(0)?;
            self.file.rewind()?;
            writeln!(self.file, "{text}")
        };
        write().map_err(|source| LockError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        (directory, path)
    }

    #[test]
    fn the_second_is_told_who_holds_the_lock() {
        let (_directory, path) = directory();
        let mut first = DataLock::take(&path).unwrap();
        first.tell_address("http://127.0.0.1:4321").unwrap();
        let error = DataLock::take(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        assert!(error.contains("http://127.0.0.1:4321"), "{error}");
    }

    #[test]
    fn a_lock_that_was_let_go_can_be_taken() {
        let (_directory, path) = directory();
        drop(DataLock::take(&path).unwrap());
        DataLock::take(&path).unwrap();
    }
}
