//! Ids: which ones may become part of a path, and the message ids that we choose ourselves.
//!
//! Session, message and permission ids come from the Agent, so they are checked like any other input.

use crate::CallError;

/// Longer ids than this are refused; OpenCode's own have 30 characters.
const MAX_LENGTH: usize = 128;

/// Makes an id for a Prompt (`msg_…`) in OpenCode's own form: 12 hex digits of time, 14 random characters.
///
/// `now` is in Unix milliseconds. OpenCode keeps the id, so asking for it tells whether a Prompt has arrived.
///
/// # Panics
///
/// When the operating system has no randomness to give, as anything secret would.
pub fn message_id(now: i64) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = [0_u8; 14];
    getrandom::fill(&mut random).expect("the operating system has randomness");
    let time = (now.unsigned_abs() << 12) & 0xffff_ffff_ffff;
    let tail: String = random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect();
    format!("msg_{time:012x}{tail}")
}

/// Lets an id through that is safe as one segment of a path.
pub(crate) fn segment<'a>(what: &'static str, id: &'a str) -> Result<&'a str, CallError> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let starts_well = id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if starts_well && id.len() <= MAX_LENGTH && id.bytes().all(known) {
        Ok(id)
    } else {
        Err(CallError::InvalidId { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_a_provider_id() {
        for bad in ["https://x.test", "x/y", "", ".", "..", "a b", "a%2Fb", "é", "-x", &"a".repeat(129)] {
            assert!(segment("provider", bad).is_err(), "{bad:?} must be refused");
        }
        for good in ["anthropic", "azure-cognitive-services", "custom-acme", "ses_1aB", "302ai"] {
            assert_eq!(segment("provider", good).expect("a plain id"), good);
        }
    }

    #[test]
    fn message_ids_have_opencode_s_form_and_differ() {
        let (one, other) = (message_id(1_795_369_538_801), message_id(1_795_369_538_801));
        assert_ne!(one, other);
        assert_eq!(one.len(), 30);
        assert_eq!(one[..16], other[..16], "the first half is the time");
        assert!(message_id(1_795_369_538_802) > one, "a later id sorts after an earlier one");
        assert!(segment("message", &one).is_ok());
    }
}
