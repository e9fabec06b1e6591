//! The master key's file: made once, 0600, never made anew where sealed values already depend on it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{KEY_LEN, NoRandom, random};

const PREFIX: &str = "doce-master-key-1:";

/// Why there is no master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// The file is not there, and sealed values exist that need it.
    #[error(
        "find the master key `{path}`: it is gone, and what is stored was sealed with it; put the file back from a \
         backup, doce makes no new one"
    )]
    Lost {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others than its owner can read the file.
    #[error("use the master key `{path}`: others can read it (mode {mode:o}); run `chmod 600 {path}`")]
    Exposed {
        /// Where it is.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds something else.
    #[error("read the master key `{path}`: it does not hold one")]
    Malformed {
        /// Where it is.
        path: PathBuf,
    },
    /// The file can't be read or written.
    #[error("open the master key `{path}`")]
    Io {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// Reads the master key at `path`; makes one there if `may_create` says that nothing is sealed yet.
///
/// Returns the key and whether it was just made.
pub fn read_or_create(path: &Path, may_create: bool) -> Result<(Zeroizing<[u8; KEY_LEN]>, bool), MasterKeyError> {
    let io = |source| MasterKeyError::Io { path: path.to_owned(), source };
    let mut file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound && may_create => {
            return Ok((create(path)?, true));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(MasterKeyError::Lost { path: path.to_owned() });
        }
        Err(e) => return Err(io(e)),
    };
    let mode = file.metadata().map_err(io)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    std::io::Read::take(&mut file, 1024).read_to_string(&mut text).map_err(io)?;
    let mut bytes = text
        .trim()
        .strip_prefix(PREFIX)
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .ok_or_else(|| MasterKeyError::Malformed { path: path.to_owned() })?;
    let key = <[u8; KEY_LEN]>::try_from(bytes.as_slice());
    bytes.zeroize();
    key.map(|key| (Zeroizing::new(key), false)).map_err(|_| MasterKeyError::Malformed { path: path.to_owned() })
}

fn create(path: &Path) -> Result<Zeroizing<[u8; KEY_LEN]>, MasterKeyError> {
    let io = |source| MasterKeyError::Io { path: path.to_owned(), source };
    let key = random::<KEY_LEN>()?;
    let text = Zeroizing::new(format!("{PREFIX}{}\n", STANDARD.encode(key.as_slice())));
    // Crash: the file appears whole or not at all; half a key would be taken for a damaged one.
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(io)?;
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(io)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    fs::rename(&beside, path).map_err(io)?;
    if let Some(directory) = path.parent() {
        fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_only_its_owners_and_is_the_same_the_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let (made, new) = read_or_create(&path, true).unwrap();
        assert!(new);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (read, new) = read_or_create(&path, false).unwrap();
        assert!(!new && made == read);
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        assert!(matches!(read_or_create(&path, false), Err(MasterKeyError::Lost { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        read_or_create(&path, true).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read_or_create(&path, true).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_a_key_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        for text in ["", "hello", "doce-master-key-1:AAAA"] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(read_or_create(&path, true), Err(MasterKeyError::Malformed { .. })), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
