//! Seals and opens secrets. The only crate with key material.
//!
//! A [`Vault`] holds the master key. [`Vault::seal`] encrypts a secret under a data key of its own, wraps that data
//! key with the master key, and binds both to an [`Identity`], so that a sealed value moved to another row, user or
//! version doesn't open. [`Vault::open`] gives a [`SecretString`], for the length of one use.
//! This crate knows nothing of databases, requests or Projects. No type of it that holds a key or a plaintext has a
//! `Debug`, `Display` or `Serialize` that shows it.

mod master_key;
pub mod password;

use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
pub use master_key::{MasterKeyError, read_or_create};
pub use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
pub use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const KEY_ID_LEN: usize = 8;
const NONCE_LEN: usize = 24;
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Bytes that sealing adds.
pub const OVERHEAD: usize = 1 + KEY_ID_LEN + NONCE_LEN + KEY_LEN + TAG_LEN + NONCE_LEN + TAG_LEN;

/// What a sealed value belongs to. It opens for the same identity only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity<'a> {
    /// The kind of thing, for example `credential`.
    pub noun: &'a str,
    /// Which, by id.
    pub id: &'a str,
    /// Whose.
    pub user: &'a str,
    /// Which version of it.
    pub version: i64,
}

impl Identity<'_> {
    /// Writes the identity so that no two differ in meaning and agree in bytes: each field with its length.
    fn associated_data(&self, layer: &str) -> Vec<u8> {
        let mut data = Vec::new();
        for field in [layer, self.noun, self.id, self.user, &self.version.to_string()] {
            data.extend_from_slice(&(field.len() as u64).to_be_bytes());
            data.extend_from_slice(field.as_bytes());
        }
        data
    }
}

/// A sealed value, and the master key that wraps it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The envelope. Safe to store.
    pub bytes: Vec<u8>,
    /// The master key's id.
    pub key_id: String,
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is not an envelope of a known format.
    #[error("read the sealed value: it is not one")]
    Malformed,
    /// Another master key wraps it.
    #[error("open the sealed value: master key {found} wraps it, and the vault has {loaded}")]
    OtherKey {
        /// The key it names.
        found: String,
        /// The key at hand.
        loaded: String,
    },
    /// It was changed, or belongs to something else.
    #[error("open the sealed value: it was changed, or belongs to another row")]
    Refused,
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("get random bytes from the operating system")]
pub struct NoRandom;

/// The master key at work.
pub struct Vault {
    master: Zeroizing<[u8; KEY_LEN]>,
    key_id: [u8; KEY_ID_LEN],
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault(key {})", self.key_id())
    }
}

impl Vault {
    /// Takes a master key into use.
    pub fn new(master: Zeroizing<[u8; KEY_LEN]>) -> Self {
        let digest = Sha256::new_with_prefix(b"doce master key id").chain_update(master.as_slice()).finalize();
        let mut key_id = [0; KEY_ID_LEN];
        key_id.copy_from_slice(&digest[..KEY_ID_LEN]);
        Self { master, key_id }
    }

    /// Returns the master key's id, which tells nothing of the key.
    pub fn key_id(&self) -> String {
        hex(&self.key_id)
    }

    /// Seals a secret for an identity.
    pub fn seal(&self, identity: &Identity<'_>, secret: &SecretString) -> Result<Sealed, NoRandom> {
        let data_key = random::<KEY_LEN>()?;
        let (wrap_nonce, nonce) = (random::<NONCE_LEN>()?, random::<NONCE_LEN>()?);
        let wrapped = cipher(&self.master)
            .encrypt(
                &XNonce::from(*wrap_nonce),
                Payload { msg: data_key.as_slice(), aad: &identity.associated_data("data key") },
            )
            .expect("32 bytes are within the cipher's limit");
        let sealed = cipher(&data_key)
            .encrypt(
                &XNonce::from(*nonce),
                Payload { msg: secret.expose_secret().as_bytes(), aad: &identity.associated_data("value") },
            )
            .expect("a secret in memory is within the cipher's limit of 256 GB");
        let mut bytes = Vec::with_capacity(OVERHEAD + secret.expose_secret().len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.key_id);
        bytes.extend_from_slice(wrap_nonce.as_slice());
        bytes.extend_from_slice(&wrapped);
        bytes.extend_from_slice(nonce.as_slice());
        bytes.extend_from_slice(&sealed);
        Ok(Sealed { bytes, key_id: self.key_id() })
    }

    /// Opens a sealed value.
    pub fn open(&self, identity: &Identity<'_>, sealed: &[u8]) -> Result<SecretString, OpenError> {
        let (format, rest) = sealed.split_first().ok_or(OpenError::Malformed)?;
        if *format != FORMAT || sealed.len() < OVERHEAD {
            return Err(OpenError::Malformed);
        }
        let (key_id, rest) = rest.split_at(KEY_ID_LEN);
        if key_id != self.key_id {
            return Err(OpenError::OtherKey { found: hex(key_id), loaded: self.key_id() });
        }
        let (wrap_nonce, rest) = rest.split_at(NONCE_LEN);
        let (wrapped, rest) = rest.split_at(KEY_LEN + TAG_LEN);
        let (nonce, value) = rest.split_at(NONCE_LEN);
        let unwrapped = Zeroizing::new(
            cipher(&self.master)
                .decrypt(
                    &XNonce::try_from(wrap_nonce).map_err(|_| OpenError::Malformed)?,
                    Payload { msg: wrapped, aad: &identity.associated_data("data key") },
                )
                .map_err(|_| OpenError::Refused)?,
        );
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        data_key.copy_from_slice(&unwrapped);
        let plaintext = Zeroizing::new(
            cipher(&data_key)
                .decrypt(
                    &XNonce::try_from(nonce).map_err(|_| OpenError::Malformed)?,
                    Payload { msg: value, aad: &identity.associated_data("value") },
                )
                .map_err(|_| OpenError::Refused)?,
        );
        let text = std::str::from_utf8(&plaintext).map_err(|_| OpenError::Malformed)?;
        Ok(SecretString::from(text))
    }

    /// Returns the keyed hash by which people and logs may know a secret: 16 hexadecimal digits.
    ///
    /// Whoever has the hash and not the master key can't tell whether a guess is right.
    pub fn fingerprint(&self, secret: &SecretString) -> String {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        Hkdf::<Sha256>::new(None, self.master.as_slice())
            .expand(b"doce fingerprint", key.as_mut_slice())
            .expect("32 bytes are within the limit of HKDF");
        let mut mac =
            <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.as_slice()).expect("HMAC takes a key of any length");
        mac.update(secret.expose_secret().as_bytes());
        hex(&mac.finalize().into_bytes()[..8])
    }
}

/// Returns what of a secret may be shown: its last four characters, and none of one shorter than twelve.
pub fn last_four(secret: &SecretString) -> String {
    let characters: Vec<char> = secret.expose_secret().chars().collect();
    if characters.len() < 12 {
        return String::new();
    }
    characters[characters.len() - 4..].iter().collect()
}

/// Makes a random token of 256 bits, 43 characters that fit in a URL or a header.
pub fn token() -> Result<SecretString, NoRandom> {
    use base64::Engine as _;
    let bytes = random::<32>()?;
    Ok(SecretString::from(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

/// Returns the hash under which a token is stored. A token has 256 random bits, so a plain hash hides it.
pub fn token_hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn cipher(key: &[u8; KEY_LEN]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key))
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, NoRandom> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| NoRandom)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String can't fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(fill: u8) -> Vault {
        Vault::new(Zeroizing::new([fill; KEY_LEN]))
    }

    fn identity(version: i64) -> Identity<'static> {
        Identity { noun: "credential", id: "con_1", user: "usr_1", version }
    }

    fn secret() -> SecretString {
        SecretString::from("sk-planted-0123456789")
    }

    #[test]
    fn what_is_sealed_opens_again() {
        let vault = vault(1);
        let sealed = vault.seal(&identity(1), &secret()).unwrap();
        assert_eq!(vault.open(&identity(1), &sealed.bytes).unwrap().expose_secret(), "sk-planted-0123456789");
        assert_eq!(sealed.key_id, vault.key_id());
        assert_eq!(sealed.bytes.len(), OVERHEAD + secret().expose_secret().len());
    }

    #[test]
    fn a_sealed_value_does_not_contain_its_secret_and_never_repeats() {
        let vault = vault(1);
        let (a, b) = (vault.seal(&identity(1), &secret()).unwrap(), vault.seal(&identity(1), &secret()).unwrap());
        assert!(!a.bytes.windows(6).any(|w| b"planted"[..6] == *w));
        assert!(a.bytes != b.bytes);
    }

    #[test]
    fn a_sealed_value_opens_for_its_own_identity_only() {
        let vault = vault(1);
        let sealed = vault.seal(&identity(1), &secret()).unwrap();
        let others = [
            Identity { version: 2, ..identity(1) },
            Identity { id: "con_2", ..identity(1) },
            Identity { user: "usr_2", ..identity(1) },
            Identity { noun: "metadata", ..identity(1) },
            Identity { id: "con_1usr_1", user: "", ..identity(1) },
        ];
        for other in others {
            assert_eq!(vault.open(&other, &sealed.bytes).err(), Some(OpenError::Refused), "{other:?}");
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let vault = vault(1);
        let sealed = vault.seal(&identity(1), &secret()).unwrap().bytes;
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(vault.open(&identity(1), &changed).is_err(), "byte {index}");
        }
        for len in 0..sealed.len() {
            assert!(vault.open(&identity(1), &sealed[..len]).is_err(), "length {len}");
        }
    }

    #[test]
    fn another_master_key_is_named() {
        let sealed = vault(1).seal(&identity(1), &secret()).unwrap();
        let error = vault(2).open(&identity(1), &sealed.bytes).err();
        assert_eq!(error, Some(OpenError::OtherKey { found: vault(1).key_id(), loaded: vault(2).key_id() }));
    }

    #[test]
    fn a_fingerprint_depends_on_the_secret_and_the_master_key() {
        assert_eq!(vault(1).fingerprint(&secret()), vault(1).fingerprint(&secret()));
        assert_ne!(vault(1).fingerprint(&secret()), vault(2).fingerprint(&secret()));
        assert_ne!(vault(1).fingerprint(&secret()), vault(1).fingerprint(&SecretString::from("other")));
    }

    #[test]
    fn the_end_of_a_short_secret_is_not_shown() {
        assert_eq!(last_four(&secret()), "6789");
        assert_eq!(last_four(&SecretString::from("short-key")), "");
    }

    #[test]
    fn nothing_printed_shows_a_key() {
        let shown = format!("{:?} {:?}", vault(7), secret());
        assert!(!shown.contains("07070707") && !shown.contains("planted"), "{shown}");
    }
}
