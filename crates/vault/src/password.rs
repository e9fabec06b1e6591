//! People's passwords: hashed with argon2id, never stored, never compared in clear.
//!
//! Accounts that came over from doce.dev may still have the hash that Node's `scrypt` made; it is accepted, and
//! [`is_outdated`] says that the next sign-in should put one of ours in its place.
//! Hashing takes about 19 MiB and tens of milliseconds by design: callers run it off the async threads, a few at a time.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Most memory, in KiB, that a hash made elsewhere may cost at a sign-in: 256 MiB.
pub const FOREIGN_MEMORY_MAX: u32 = 256 * 1024;
/// Most passes over that memory.
pub const FOREIGN_PASSES_MAX: u32 = 10;
/// Most lanes of it.
pub const FOREIGN_LANES_MAX: u32 = 16;

/// Length of the salt of a scrypt hash, as text.
const SCRYPT_SALT: usize = 32;
/// Length of a scrypt hash in bytes.
const SCRYPT_LEN: usize = 64;
/// The binary logarithm of scrypt's N: Node's default is 16384.
const SCRYPT_LOG_N: u8 = 14;

/// The operating system gave no salt.
#[derive(Debug, Clone, thiserror::Error)]
#[error("hash the password")]
pub struct HashError;

/// Returns the hash of a password, in PHC form.
pub fn hash(password: &SecretString) -> Result<String, HashError> {
    // Argon2::default() is argon2id, version 19, 19 MiB, 2 passes, 1 lane: OWASP's first recommendation.
    Argon2::default()
        .hash_password(password.expose_secret().as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|_| HashError)
}

/// Tells whether `password` is the one that was hashed. A hash that can't be read matches nothing.
pub fn matches(password: &SecretString, hash: &str) -> bool {
    if let Some(stored) = NodeScrypt::parse(hash) {
        return stored.matches(password);
    }
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
}

/// Tells whether a hash that matched should be replaced by one that [`hash`] makes.
pub fn is_outdated(hash: &str) -> bool {
    NodeScrypt::parse(hash).is_some()
}

/// Tells whether [`matches()`] can check a hash that was made elsewhere, at a cost that a sign-in may have.
pub fn is_acceptable(hash: &str) -> bool {
    if NodeScrypt::parse(hash).is_some() {
        return true;
    }
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    let within = |name: &str, most: u32| hash.params.get_decimal(name).is_some_and(|value| value <= most);
    hash.algorithm.as_str() == "argon2id"
        && hash.salt.is_some()
        && hash.hash.is_some()
        && within("m", FOREIGN_MEMORY_MAX)
        && within("t", FOREIGN_PASSES_MAX)
        && within("p", FOREIGN_LANES_MAX)
}

/// A hash as doce.dev made it with Node's `scrypt(password, salt, 64)`: `<salt>:<hash>`, both in hexadecimal.
///
/// The salt is the 32 hexadecimal digits themselves, not the 16 bytes that they spell.
struct NodeScrypt<'a> {
    salt: &'a str,
    hash: [u8; SCRYPT_LEN],
}

impl<'a> NodeScrypt<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (salt, digits) = text.split_once(':')?;
        if salt.len() != SCRYPT_SALT || !is_lower_hex(salt) || digits.len() != SCRYPT_LEN * 2 || !is_lower_hex(digits) {
            return None;
        }
        let mut hash = [0; SCRYPT_LEN];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Some(Self { salt, hash })
    }

    fn matches(&self, password: &SecretString) -> bool {
        let params = scrypt::Params::new(SCRYPT_LOG_N, 8, 1).expect("Node's defaults are within scrypt's limits");
        let mut made = Zeroizing::new([0; SCRYPT_LEN]);
        scrypt::scrypt(password.expose_secret().as_bytes(), self.salt.as_bytes(), &params, made.as_mut_slice())
            .expect("64 bytes are a length that scrypt makes");
        made.ct_eq(&self.hash).into()
    }
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Node makes of `scryptSync("correct horse", "000102030405060708090a0b0c0d0e0f", 64)`.
    const FROM_NODE: &str = "000102030405060708090a0b0c0d0e0f:5840f2841249294a51f654db7224551cfcf1600bc79b5f32f5e2dd856ce221fc4f1ff6dad64b9fab6d4fb8f13bdd8bea4db17fbf92c730afd5eaee0cc42249af";

    #[test]
    fn only_the_same_password_matches() {
        let stored = hash(&SecretString::from("correct horse")).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(matches(&SecretString::from("correct horse"), &stored));
        assert!(!matches(&SecretString::from("correct horsf"), &stored));
        assert!(!matches(&SecretString::from("correct horse"), "not a hash"));
        assert!(!is_outdated(&stored) && is_acceptable(&stored));
    }

    #[test]
    fn the_same_password_hashes_differently_each_time() {
        let password = SecretString::from("correct horse");
        assert_ne!(hash(&password).unwrap(), hash(&password).unwrap());
    }

    #[test]
    fn a_hash_that_node_made_matches_its_password_only_and_is_to_be_replaced() {
        assert!(matches(&SecretString::from("correct horse"), FROM_NODE));
        assert!(!matches(&SecretString::from("correct horsf"), FROM_NODE));
        assert!(!matches(&SecretString::from(""), FROM_NODE));
        assert!(is_outdated(FROM_NODE) && is_acceptable(FROM_NODE));
    }

    #[test]
    fn what_only_looks_like_a_hash_of_node_matches_nothing() {
        let (salt, digits) = FROM_NODE.split_once(':').unwrap();
        let short = &digits[2..];
        for text in [
            format!("{salt}:{short}"),
            format!("{}:{digits}", &salt[2..]),
            format!("{salt}{digits}"),
            FROM_NODE.to_uppercase(),
            format!("{FROM_NODE}\n"),
            format!("{salt}:{digits}00"),
        ] {
            assert!(!matches(&SecretString::from("correct horse"), &text), "{text}");
            assert!(!is_outdated(&text) && !is_acceptable(&text), "{text}");
        }
    }

    #[test]
    fn a_hash_made_elsewhere_must_not_cost_more_than_a_sign_in_may() {
        let with = |parameters: &str| {
            format!("$argon2id$v=19${parameters}$DOuESXmAojAOCGmw+jtCuw$poM7MgIx0lGp0yaAaaCPkEA9FAvNSy2NoyAtTEYod7A")
        };
        assert!(is_acceptable(&with("m=65536,t=3,p=4")));
        assert!(is_acceptable(&with("m=262144,t=10,p=16")));
        for parameters in ["m=262145,t=3,p=4", "m=65536,t=11,p=4", "m=65536,t=3,p=17", "m=65536,t=3", "m=x,t=3,p=4"] {
            assert!(!is_acceptable(&with(parameters)), "{parameters}");
        }
        for text in ["", "hunter2", "$2b$12$abcdefghijklmnopqrstuv", "$argon2i$v=19$m=65536,t=3,p=4$AAAAAAAA$AAAAAAAA"]
        {
            assert!(!is_acceptable(text), "{text}");
        }
    }
}
