//! The master key and its file: made once, 0600, never made anew where sealed values already depend on it.
//!
//! A key that took the place of another one carries the key of the fingerprints along, so that what a log says of a
//! Credential is still the same after a rotation.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{KEY_ID_LEN, KEY_LEN, NoRandom, hex, random};

const PREFIX: &str = "doce-master-key-1:";
const FINGERPRINTS_PREFIX: &str = "doce-fingerprint-key-1:";

/// A master key.
#[derive(Clone)]
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_LEN]>,
    /// The key of the fingerprints, if it isn't made from this one.
    fingerprints: Option<Zeroizing<[u8; KEY_LEN]>>,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({})", self.id())
    }
}

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

impl MasterKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, NoRandom> {
        Ok(Self { bytes: random::<KEY_LEN>()?, fingerprints: None })
    }

    /// Makes a key to take this one's place. Fingerprints stay what they are.
    pub fn successor(&self) -> Result<Self, NoRandom> {
        Ok(Self { bytes: random::<KEY_LEN>()?, fingerprints: Some(self.fingerprint_key()) })
    }

    /// Reads the key at `path`; makes one there if `may_create` says that nothing is sealed yet.
    ///
    /// Returns the key and whether it was just made.
    pub fn read_or_create(path: &Path, may_create: bool) -> Result<(Self, bool), MasterKeyError> {
        match Self::read(path)? {
            Some(key) => Ok((key, false)),
            None if may_create => {
                let key = Self::generate()?;
                key.write(path)?;
                Ok((key, true))
            }
            None => Err(MasterKeyError::Lost { path: path.to_owned() }),
        }
    }

    /// Reads the key at `path`, if there is a file.
    pub fn read(path: &Path) -> Result<Option<Self>, MasterKeyError> {
        let io = |source| MasterKeyError::Io { path: path.to_owned(), source };
        let mut file = match OpenOptions::new().read(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(e)),
        };
        let mode = file.metadata().map_err(io)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        std::io::Read::take(&mut file, 1024).read_to_string(&mut text).map_err(io)?;
        Self::parse(&text).map(Some).ok_or_else(|| MasterKeyError::Malformed { path: path.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.trim().lines();
        let bytes = decode(lines.next()?, PREFIX)?;
        let fingerprints = match lines.next() {
            Some(line) => Some(decode(line, FINGERPRINTS_PREFIX)?),
            None => None,
        };
        lines.next().is_none().then_some(Self { bytes, fingerprints })
    }

    /// Writes the key to a file that only its owner can read, in place of one that may be there.
    pub fn write(&self, path: &Path) -> Result<(), MasterKeyError> {
        let io = |source| MasterKeyError::Io { path: path.to_owned(), source };
        let mut text = Zeroizing::new(format!("{PREFIX}{}\n", STANDARD.encode(self.bytes.as_slice())));
        if let Some(key) = &self.fingerprints {
            text.push_str(&Zeroizing::new(format!("{FINGERPRINTS_PREFIX}{}\n", STANDARD.encode(key.as_slice()))));
        }
        // Crash: the file appears whole or not at all; half a key would be taken for a damaged one.
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(io)?;
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        replace(&beside, path)
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: [u8; KEY_LEN]) -> Self {
        Self { bytes: Zeroizing::new(bytes), fingerprints: None }
    }

    /// Returns the key's id, which tells nothing of the key.
    pub fn id(&self) -> String {
        hex(&self.id_bytes())
    }

    pub(crate) fn id_bytes(&self) -> [u8; KEY_ID_LEN] {
        let digest = Sha256::new_with_prefix(b"doce master key id").chain_update(self.bytes.as_slice()).finalize();
        let mut id = [0; KEY_ID_LEN];
        id.copy_from_slice(&digest[..KEY_ID_LEN]);
        id
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_LEN] {
        &self.bytes
    }

    pub(crate) fn fingerprint_key(&self) -> Zeroizing<[u8; KEY_LEN]> {
        if let Some(key) = &self.fingerprints {
            return key.clone();
        }
        let mut key = Zeroizing::new([0; KEY_LEN]);
        Hkdf::<Sha256>::new(None, self.bytes.as_slice())
            .expand(b"doce fingerprint", key.as_mut_slice())
            .expect("32 bytes are within the limit of HKDF");
        key
    }
}

/// Puts a key's file in the place of another, at once and for good.
pub fn replace(from: &Path, to: &Path) -> Result<(), MasterKeyError> {
    let io = |source| MasterKeyError::Io { path: to.to_owned(), source };
    fs::rename(from, to).map_err(io)?;
    if let Some(directory) = to.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
    }
    Ok(())
}

fn decode(line: &str, prefix: &str) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let mut bytes = STANDARD.decode(line.trim().strip_prefix(prefix)?).ok()?;
    let key = <[u8; KEY_LEN]>::try_from(bytes.as_slice());
    bytes.zeroize();
    key.ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_only_its_owners_and_is_the_same_the_next_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let (made, new) = MasterKey::read_or_create(&path, true).unwrap();
        assert!(new);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (read, new) = MasterKey::read_or_create(&path, false).unwrap();
        assert!(!new && made.bytes == read.bytes);
    }

    #[test]
    fn a_lost_key_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        assert!(matches!(MasterKey::read_or_create(&path, false), Err(MasterKeyError::Lost { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        MasterKey::read_or_create(&path, true).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = MasterKey::read_or_create(&path, true).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_a_key_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let whole = format!("{PREFIX}{}", STANDARD.encode([1; KEY_LEN]));
        for text in [
            "",
            "hello",
            "doce-master-key-1:AAAA",
            &format!("{whole}\nmore"),
            &format!("{whole}\n{FINGERPRINTS_PREFIX}AAAA"),
            &format!("{whole}\n{FINGERPRINTS_PREFIX}{}\nmore", STANDARD.encode([1; KEY_LEN])),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(MasterKey::read_or_create(&path, true), Err(MasterKeyError::Malformed { .. })), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_successor_is_another_key_with_the_same_fingerprints_also_after_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key.next");
        let first = MasterKey::generate().unwrap();
        let second = first.successor().unwrap();
        second.write(&path).unwrap();
        let read = MasterKey::read(&path).unwrap().unwrap();
        let third = read.successor().unwrap();
        assert_eq!(read.id(), second.id());
        assert!(first.id() != second.id() && second.id() != third.id());
        for key in [&second, &read, &third] {
            assert_eq!(key.fingerprint_key(), first.fingerprint_key());
        }
        assert_ne!(MasterKey::generate().unwrap().fingerprint_key(), first.fingerprint_key());
    }

    #[test]
    fn a_file_that_is_not_there_is_no_key() {
        let directory = tempfile::tempdir().unwrap();
        assert!(MasterKey::read(&directory.path().join("nothing")).unwrap().is_none());
    }

    #[test]
    fn a_key_takes_the_place_of_another_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (next, path) = (directory.path().join("next"), directory.path().join("master.key"));
        let (first, second) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        first.write(&path).unwrap();
        second.write(&next).unwrap();
        replace(&next, &path).unwrap();
        assert_eq!(MasterKey::read(&path).unwrap().unwrap().id(), second.id());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
