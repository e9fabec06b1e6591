//! Seals and opens secrets. The only crate with key material.
//!
//! A [`Vault`] holds the master key. [`Vault::seal`] encrypts a secret under a data key of its own, wraps that data
//! key with the master key, and binds both to an [`Identity`], so that a sealed value moved to another row, user or
//! version doesn't open. [`Vault::open`] gives a [`SecretString`], for the length of one use.
//! This crate knows nothing of databases, requests or Projects. No type of it that holds a key or a plaintext has a
//! `Debug`, `Display` or `Serialize` that shows it.

pub mod export;
mod master_key;
pub mod password;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use chacha20poly1305::{
    Key, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use hmac::{Hmac, Mac as _};
pub use master_key::{MasterKey, MasterKeyError, replace};
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

/// A sealed value can't be wrapped with another master key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RewrapError {
    /// It doesn't open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The operating system gave no random bytes.
    #[error("get random bytes from the operating system")]
    NoRandom,
}

/// The master key at work, and others that still open what they once wrapped.
pub struct Vault {
    keys: RwLock<Keys>,
}

struct Keys {
    key: MasterKey,
    others: Vec<MasterKey>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault(key {})", self.key_id())
    }
}

impl Vault {
    /// Takes a master key into use.
    pub fn new(key: MasterKey) -> Self {
        Self { keys: RwLock::new(Keys { key, others: Vec::new() }) }
    }

    /// Also opens what another master key wraps. Sealing stays with the first one.
    #[must_use]
    pub fn and_opens(self, other: MasterKey) -> Self {
        self.change().others.push(other);
        self
    }

    /// Seals with another key from here on. What the one before wrapped still opens.
    pub fn seal_with(&self, key: MasterKey) {
        let mut keys = self.change();
        if keys.key.id_bytes() != key.id_bytes() {
            let before = std::mem::replace(&mut keys.key, key);
            keys.others.push(before);
        }
    }

    fn keys(&self) -> RwLockReadGuard<'_, Keys> {
        // A panic while it was held can't leave it half changed: each change is one call.
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the master key's id, which tells nothing of the key.
    pub fn key_id(&self) -> String {
        self.keys().key.id()
    }

    /// Seals a secret for an identity.
    pub fn seal(&self, identity: &Identity<'_>, secret: &SecretString) -> Result<Sealed, NoRandom> {
        let data_key = random::<KEY_LEN>()?;
        let (wrap_nonce, nonce) = (random::<NONCE_LEN>()?, random::<NONCE_LEN>()?);
        let master_key = self.keys().key.clone();
        let wrapped = wrap(&master_key, identity, &data_key, &wrap_nonce);
        let sealed = cipher(&data_key)
            .encrypt(
                &XNonce::from(*nonce),
                Payload { msg: secret.expose_secret().as_bytes(), aad: &identity.associated_data("value") },
            )
            .expect("a secret in memory is within the cipher's limit of 256 GB");
        let mut bytes = Vec::with_capacity(OVERHEAD + secret.expose_secret().len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&master_key.id_bytes());
        bytes.extend_from_slice(wrap_nonce.as_slice());
        bytes.extend_from_slice(&wrapped);
        bytes.extend_from_slice(nonce.as_slice());
        bytes.extend_from_slice(&sealed);
        Ok(Sealed { bytes, key_id: master_key.id() })
    }

    /// Opens a sealed value.
    pub fn open(&self, identity: &Identity<'_>, sealed: &[u8]) -> Result<SecretString, OpenError> {
        let envelope = Envelope::read(sealed)?;
        let data_key = self.data_key(identity, &envelope)?;
        let plaintext = Zeroizing::new(
            cipher(&data_key)
                .decrypt(
                    &XNonce::try_from(envelope.nonce).map_err(|_| OpenError::Malformed)?,
                    Payload { msg: envelope.value, aad: &identity.associated_data("value") },
                )
                .map_err(|_| OpenError::Refused)?,
        );
        let text = std::str::from_utf8(&plaintext).map_err(|_| OpenError::Malformed)?;
        Ok(SecretString::from(text))
    }

    /// Wraps a sealed value's data key with the present master key. The value itself is not opened and stays the same.
    pub fn rewrap(&self, identity: &Identity<'_>, sealed: &[u8]) -> Result<Sealed, RewrapError> {
        let envelope = Envelope::read(sealed)?;
        let data_key = self.data_key(identity, &envelope)?;
        let nonce = random::<NONCE_LEN>().map_err(|NoRandom| RewrapError::NoRandom)?;
        let master_key = self.keys().key.clone();
        let wrapped = wrap(&master_key, identity, &data_key, &nonce);
        let mut bytes = sealed.to_vec();
        let (head, _) = bytes.split_at_mut(1 + KEY_ID_LEN + NONCE_LEN + KEY_LEN + TAG_LEN);
        head[1..=KEY_ID_LEN].copy_from_slice(&master_key.id_bytes());
        head[1 + KEY_ID_LEN..][..NONCE_LEN].copy_from_slice(nonce.as_slice());
        head[1 + KEY_ID_LEN + NONCE_LEN..].copy_from_slice(&wrapped);
        Ok(Sealed { bytes, key_id: master_key.id() })
    }

    fn data_key(
        &self,
        identity: &Identity<'_>,
        envelope: &Envelope<'_>,
    ) -> Result<Zeroizing<[u8; KEY_LEN]>, OpenError> {
        let keys = self.keys();
        let key = std::iter::once(&keys.key)
            .chain(&keys.others)
            .find(|key| key.id_bytes() == envelope.key_id)
            .ok_or_else(|| OpenError::OtherKey { found: hex(envelope.key_id), loaded: keys.key.id() })?;
        let unwrapped = Zeroizing::new(
            cipher(key.bytes())
                .decrypt(
                    &XNonce::try_from(envelope.wrap_nonce).map_err(|_| OpenError::Malformed)?,
                    Payload { msg: envelope.wrapped, aad: &identity.associated_data("data key") },
                )
                .map_err(|_| OpenError::Refused)?,
        );
        let mut data_key = Zeroizing::new([0; KEY_LEN]);
        data_key.copy_from_slice(&unwrapped);
        Ok(data_key)
    }

    /// Returns the keyed hash by which people and logs may know a secret: 16 hexadecimal digits.
    ///
    /// Whoever has the hash and not the master key can't tell whether a guess is right.
    pub fn fingerprint(&self, secret: &SecretString) -> String {
        let key = self.keys().key.fingerprint_key();
        let mut mac =
            <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.as_slice()).expect("HMAC takes a key of any length");
        mac.update(secret.expose_secret().as_bytes());
        hex(&mac.finalize().into_bytes()[..8])
    }
}

/// Returns the id of the master key that wraps a sealed value.
pub fn wrapped_by(sealed: &[u8]) -> Result<String, OpenError> {
    Envelope::read(sealed).map(|envelope| hex(envelope.key_id))
}

/// The parts of a sealed value.
struct Envelope<'a> {
    key_id: &'a [u8],
    wrap_nonce: &'a [u8],
    wrapped: &'a [u8],
    nonce: &'a [u8],
    value: &'a [u8],
}

impl<'a> Envelope<'a> {
    fn read(sealed: &'a [u8]) -> Result<Self, OpenError> {
        let (format, rest) = sealed.split_first().ok_or(OpenError::Malformed)?;
        if *format != FORMAT || sealed.len() < OVERHEAD {
            return Err(OpenError::Malformed);
        }
        let (key_id, rest) = rest.split_at(KEY_ID_LEN);
        let (wrap_nonce, rest) = rest.split_at(NONCE_LEN);
        let (wrapped, rest) = rest.split_at(KEY_LEN + TAG_LEN);
        let (nonce, value) = rest.split_at(NONCE_LEN);
        Ok(Self { key_id, wrap_nonce, wrapped, nonce, value })
    }
}

fn wrap(key: &MasterKey, identity: &Identity<'_>, data_key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
    cipher(key.bytes())
        .encrypt(
            &XNonce::from(*nonce),
            Payload { msg: data_key.as_slice(), aad: &identity.associated_data("data key") },
        )
        .expect("32 bytes are within the cipher's limit")
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
mod tests;
