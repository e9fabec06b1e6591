//! Secrets for a file outside: encrypted as the program `age` does it, so that they can be read without doce.

use std::io::{self, Write};

use age::{Encryptor, Recipient, scrypt, x25519};
use secrecy::{ExposeSecret as _, SecretString};

/// Fewest characters of a passphrase: whoever gets the file can try as often as they like.
pub const PASSPHRASE_MIN: usize = 12;

/// Who can read the file.
pub enum Readers {
    /// Whoever holds the secret half of one of these keys.
    Keys(Vec<x25519::Recipient>),
    /// Whoever knows the passphrase.
    Passphrase(SecretString),
}

/// Why nobody could read the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadersError {
    /// There is no key.
    #[error("encrypt for somebody: no public key was given")]
    Nobody,
    /// It is the wrong half of a key. It is not repeated.
    #[error("encrypt for this key: it is a secret key; give the public one, which begins with age1")]
    SecretKey,
    /// It is no key. It is not repeated.
    #[error("encrypt for this key: it is not a public key of age, which begins with age1")]
    NoKey,
    /// It is guessed too easily.
    #[error("use the passphrase: it has fewer than {PASSPHRASE_MIN} characters")]
    TooShort,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Readers({self})")
    }
}

impl std::fmt::Display for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Keys(keys) => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                f.write_str(&keys.join(", "))
            }
            Self::Passphrase(_) => f.write_str("a passphrase"),
        }
    }
}

impl Readers {
    /// Takes public keys of age.
    pub fn keys(texts: &[String]) -> Result<Self, ReadersError> {
        if texts.is_empty() {
            return Err(ReadersError::Nobody);
        }
        let read = |text: &String| {
            let text = text.trim();
            if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                return Err(ReadersError::SecretKey);
            }
            text.parse::<x25519::Recipient>().map_err(|_| ReadersError::NoKey)
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self::Keys)
    }

    /// Takes a passphrase.
    pub fn passphrase(passphrase: SecretString) -> Result<Self, ReadersError> {
        if passphrase.expose_secret().chars().count() < PASSPHRASE_MIN {
            return Err(ReadersError::TooShort);
        }
        Ok(Self::Passphrase(passphrase))
    }

    /// Encrypts what `write` writes.
    pub fn encrypt(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<u8>> {
        let encryptor = match self {
            Self::Keys(keys) => Encryptor::with_recipients(keys.iter().map(|key| key as &dyn Recipient)),
            Self::Passphrase(passphrase) => {
                let recipient = scrypt::Recipient::new(passphrase.clone());
                Encryptor::with_recipients(std::iter::once(&recipient as &dyn Recipient))
            }
        };
        let mut writer = encryptor.map_err(io::Error::other)?.wrap_output(Vec::new())?;
        write(&mut writer)?;
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn read(file: &[u8], identity: &dyn age::Identity) -> Option<String> {
        let mut text = String::new();
        let mut reader = age::Decryptor::new(file).ok()?.decrypt(std::iter::once(identity)).ok()?;
        reader.read_to_string(&mut text).ok()?;
        Some(text)
    }

    #[test]
    fn whoever_holds_one_of_the_keys_reads_it_and_nobody_else() {
        let holders = [x25519::Identity::generate(), x25519::Identity::generate()];
        let keys: Vec<String> = holders.iter().map(|holder| format!(" {}\n", holder.to_public())).collect();
        let readers = Readers::keys(&keys).unwrap();
        let file = readers.encrypt(|out| out.write_all(b"sk-planted\n")).unwrap();
        assert!(file.starts_with(b"age-encryption.org/v1\n"));
        assert!(!file.windows(7).any(|window| window == b"planted"));
        for holder in &holders {
            assert_eq!(read(&file, holder).as_deref(), Some("sk-planted\n"));
        }
        assert_eq!(read(&file, &x25519::Identity::generate()), None);
        assert_eq!(read(&file[..file.len() - 1], &holders[0]), None, "half a file is none");
    }

    #[test]
    fn whoever_knows_the_passphrase_reads_it_and_nobody_else() {
        let readers = Readers::passphrase(SecretString::from("correct horse battery")).unwrap();
        let file = readers.encrypt(|out| out.write_all(b"sk-planted\n")).unwrap();
        let knows = |words: &str| scrypt::Identity::new(SecretString::from(words));
        assert_eq!(read(&file, &knows("correct horse battery")).as_deref(), Some("sk-planted\n"));
        assert_eq!(read(&file, &knows("correct horse staple")), None);
    }

    #[test]
    fn what_nobody_could_read_or_anybody_could_guess_is_refused_and_not_repeated() {
        use age::secrecy::ExposeSecret as _;
        let secret = x25519::Identity::generate().to_string().expose_secret().to_owned();
        assert_eq!(Readers::keys(&[]).err(), Some(ReadersError::Nobody));
        for (text, error) in [
            (secret.as_str(), ReadersError::SecretKey),
            (&secret.to_lowercase(), ReadersError::SecretKey),
            ("age1planted", ReadersError::NoKey),
            ("ssh-ed25519 AAAA", ReadersError::NoKey),
        ] {
            let refused = Readers::keys(&[text.to_owned()]).unwrap_err();
            assert_eq!(refused, error);
            assert!(!refused.to_string().contains(text));
        }
        assert_eq!(Readers::passphrase(SecretString::from("short words")).err(), Some(ReadersError::TooShort));
    }

    #[test]
    fn who_can_read_it_is_told_without_the_passphrase() {
        let readers = Readers::passphrase(SecretString::from("planted passphrase")).unwrap();
        assert_eq!(format!("{readers} {readers:?}"), "a passphrase Readers(a passphrase)");
        let key = x25519::Identity::generate().to_public().to_string();
        assert_eq!(Readers::keys(std::slice::from_ref(&key)).unwrap().to_string(), key);
    }
}
