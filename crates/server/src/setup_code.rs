//! The code that the first account needs when somebody else could reach the server before its owner does.
//!
//! It is printed where only the owner looks, and lives as long as the process.

use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Letters and digits that can't be taken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Five bits each: far more than can be guessed over a network.
const LENGTH: usize = 16;

/// The code.
#[derive(Debug, Clone)]
pub(crate) struct SetupCode(SecretString);

impl SetupCode {
    /// Draws a code.
    pub(crate) fn draw() -> Self {
        let mut random = [0_u8; LENGTH];
        getrandom::fill(&mut random).expect("the kernel has random bytes");
        let code: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
        Self(SecretString::from(code))
    }

    /// Tells whether this is the code. Spaces, hyphens and case don't matter: it is copied by hand.
    pub(crate) fn is(&self, given: &SecretString) -> bool {
        let given: String = given
            .expose_secret()
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| c.to_ascii_lowercase())
            .collect();
        // Hashes are compared, so the time it takes tells nothing about the code.
        Sha256::digest(given.as_bytes()) == Sha256::digest(self.0.expose_secret().as_bytes())
    }

    /// Returns the code in groups of four, as it is printed.
    pub(crate) fn printed(&self) -> String {
        let code: Vec<char> = self.0.expose_secret().chars().collect();
        code.chunks(4).map(String::from_iter).collect::<Vec<_>>().join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_accepted_as_people_type_it_and_nothing_else_is() {
        let code = SetupCode::draw();
        let printed = code.printed();
        assert_eq!(printed.len(), 19);
        for given in [printed.clone(), printed.to_uppercase(), printed.replace('-', " ")] {
            assert!(code.is(&SecretString::from(given)));
        }
        for given in ["", "abcd", &printed[1..], &SetupCode::draw().printed()] {
            assert!(!code.is(&SecretString::from(given)), "{given}");
        }
    }

    #[test]
    fn the_code_is_not_in_a_debug_print() {
        let code = SetupCode::draw();
        assert!(!format!("{code:?}").contains(code.0.expose_secret()));
    }
}
