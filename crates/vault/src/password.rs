//! People's passwords: hashed with argon2id, never stored, never compared in clear.
//!
//! Hashing takes about 19 MiB and tens of milliseconds by design: callers run it off the async threads, a few at a time.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};

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
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.expose_secret().as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_matches() {
        let stored = hash(&SecretString::from("correct horse")).unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(matches(&SecretString::from("correct horse"), &stored));
        assert!(!matches(&SecretString::from("correct horsf"), &stored));
        assert!(!matches(&SecretString::from("correct horse"), "not a hash"));
    }

    #[test]
    fn the_same_password_hashes_differently_each_time() {
        let password = SecretString::from("correct horse");
        assert_ne!(hash(&password).unwrap(), hash(&password).unwrap());
    }
}
