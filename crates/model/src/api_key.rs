//! What a pasted key may look like.
//!
//! People paste keys out of mails, notes and `.env` files: with spaces, line ends and quotes around them, and
//! sometimes with characters that nobody can see. What stands around a key is taken off; what stands inside and
//! can't be part of an HTTP header is named, because guessing would send half a secret somewhere.

/// Most bytes of a key: longer than any that a provider issues, service accounts aside.
pub const KEY_MAX: usize = 8 * 1024;

/// Why a pasted text can't be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing is left.
    #[error("the key is empty")]
    Empty,
    /// It is too long.
    #[error("the key is {len} bytes long; at most {KEY_MAX} are accepted")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character inside can't be part of a key.
    #[error("character {position} of the key is {name}: copy the key again")]
    Character {
        /// Its place, from 1.
        position: usize,
        /// What it is, in words.
        name: String,
    },
}

/// Returns the key within a pasted text: without surrounding white space, quotes and invisible characters.
pub fn clean(pasted: &str) -> Result<&str, KeyError> {
    let key = pasted.trim_matches(|c: char| c.is_whitespace() || is_invisible(c) || is_quote(c));
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    if key.len() > KEY_MAX {
        return Err(KeyError::TooLong { len: key.len() });
    }
    match key.chars().enumerate().find(|(_, c)| !c.is_ascii_graphic()) {
        Some((index, c)) => Err(KeyError::Character { position: index + 1, name: name_of(c) }),
        None => match key.chars().enumerate().find(|(_, c)| is_quote(*c)) {
            Some((index, c)) => Err(KeyError::Character { position: index + 1, name: name_of(c) }),
            None => Ok(key),
        },
    }
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{ab}' | '\u{bb}')
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' | '\u{202a}'..='\u{202e}')
}

fn name_of(c: char) -> String {
    match c {
        ' ' => "a space".to_owned(),
        '\n' | '\r' => "a line break".to_owned(),
        '\t' => "a tab".to_owned(),
        '\u{200b}' => "an invisible zero-width space (U+200B)".to_owned(),
        c if is_invisible(c) => format!("an invisible character (U+{:04X})", u32::from(c)),
        c if is_quote(c) => format!("a quotation mark ({c})"),
        c if c.is_control() => format!("a control character (U+{:04X})", u32::from(c)),
        c => format!("`{c}` (U+{:04X}), which no key contains", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_key_is_taken_off() {
        for pasted in ["sk-abc", "  sk-abc\n", "\"sk-abc\"", "'sk-abc'\r\n", "\u{feff}sk-abc\u{200b}", "“sk-abc”"] {
            assert_eq!(clean(pasted), Ok("sk-abc"), "{pasted:?}");
        }
    }

    #[test]
    fn what_stands_inside_a_key_is_named() {
        let said = |pasted| clean(pasted).unwrap_err().to_string();
        assert_eq!(said("sk-a bc"), "character 5 of the key is a space: copy the key again");
        assert!(said("sk-a\nbc").contains("a line break"));
        assert!(said("sk\u{200b}-abc").contains("character 3 of the key is an invisible zero-width space"));
        assert!(said("sk-\"abc").contains("a quotation mark"));
        assert!(said("sk-äbc").contains("`ä` (U+00E4)"));
    }

    #[test]
    fn nothing_is_not_a_key() {
        for pasted in ["", "   ", "\"\"", "\u{200b}\n"] {
            assert_eq!(clean(pasted), Err(KeyError::Empty), "{pasted:?}");
        }
    }

    #[test]
    fn a_key_of_the_greatest_length_is_accepted_and_one_more_is_not() {
        assert!(clean(&"k".repeat(KEY_MAX)).is_ok());
        assert_eq!(clean(&"k".repeat(KEY_MAX + 1)), Err(KeyError::TooLong { len: KEY_MAX + 1 }));
    }
}
