//! Finding a planted secret in whatever form it lies around.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

/// The forms in which a secret may lie around: in clear, URL-encoded (in whole and as a browser does it), in base64 at
/// each offset, and as bytes that were printed as numbers.
///
/// The secret must be of ASCII and at least ten characters long: of base64 only the middle is looked for.
#[must_use]
pub fn forms(secret: &str) -> Vec<String> {
    let mut escaped = String::new();
    let mut as_in_a_form = String::new();
    for byte in secret.bytes() {
        write!(escaped, "%{byte:02X}").expect("a String takes everything");
        if byte.is_ascii_alphanumeric() {
            as_in_a_form.push(char::from(byte));
        } else {
            write!(as_in_a_form, "%{byte:02X}").expect("a String takes everything");
        }
    }
    let numbers: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    let mut forms = vec![secret.to_owned(), escaped, as_in_a_form, numbers.join(", "), numbers.join(",")];
    // In base64 a text looks different at each of three offsets; the ends depend on neighbours and are left out.
    for offset in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(b'x', offset).chain(secret.bytes()).collect();
        let encoded = BASE64_STANDARD.encode(padded);
        let whole = encoded.trim_end_matches('=');
        forms.push(whole[4..whole.len() - 3].to_owned());
    }
    forms
}

/// Whether these bytes hold a secret in one of its [`forms`].
#[must_use]
pub fn holds(bytes: &[u8], secret: &str) -> bool {
    forms(secret).iter().any(|form| memchr::memmem::find(bytes, form.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_each_form_and_among_other_bytes_only_if_it_is_there() {
        let secret = "sk-decoy/0123456789abcdef";
        let base64 = |text: &str| BASE64_STANDARD.encode(text);
        for text in [
            format!("key={secret};"),
            "key=sk%2Ddecoy%2F0123456789abcdef".to_owned(),
            base64(&format!("user:{secret}")),
            base64(&format!("me:{secret}:")),
            base64(&format!("x:{secret}")),
            format!("{:?}", secret.as_bytes()),
            serde_json::to_string(secret.as_bytes()).expect("numbers are JSON"),
        ] {
            assert!(holds(text.as_bytes(), secret), "{text}");
            assert!(!holds(text.as_bytes(), "sk-other/0123456789abcdef"), "{text}");
        }
        assert!(!holds(b"sk-decoy/0123456789abcde", secret));
    }
}
