//! The cookie that proves a sign-in.
//!
//! Where browsers take `Secure` cookies its name has the `__Host-` prefix, so no other name of this host can plant one;
//! on plain http to another machine they take neither, and it is a plain one.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

use crate::preview::Origin;

/// The name under which an origin's sign-in is kept.
pub(crate) fn name(origin: &Origin) -> &'static str {
    if origin.is_trustworthy() { "__Host-doce" } else { "doce" }
}

/// Returns the token that a browser sent.
pub(crate) fn token<'h>(headers: &'h HeaderMap, origin: &Origin) -> Option<&'h str> {
    let wanted = name(origin);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted && !value.is_empty()).then_some(value))
}

/// The header that gives a browser its token.
pub(crate) fn give(origin: &Origin, token: &SecretString, life: Duration) -> HeaderValue {
    set(origin, token.expose_secret(), life.as_secs())
}

/// The header that takes it away.
pub(crate) fn take_away(origin: &Origin) -> HeaderValue {
    set(origin, "", 0)
}

fn set(origin: &Origin, value: &str, age: u64) -> HeaderValue {
    let secure = if origin.is_trustworthy() { "; Secure" } else { "" };
    let name = name(origin);
    let line = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    let mut line = HeaderValue::from_str(&line).expect("a token is base64url");
    line.set_sensitive(true);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::parse(text).unwrap()
    }

    #[test]
    fn the_cookie_is_as_strict_as_the_way_allows() {
        let token = SecretString::from("t0k-en_");
        for (at, expected) in [
            ("https://doce.example", "__Host-doce=t0k-en_; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"),
            ("http://localhost:4321", "__Host-doce=t0k-en_; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"),
            ("http://192.0.2.1:4321", "doce=t0k-en_; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"),
        ] {
            let header = give(&origin(at), &token, Duration::from_mins(1));
            assert_eq!(header.to_str().unwrap(), expected);
            assert!(!format!("{header:?}").contains("t0k"));
        }
    }

    #[test]
    fn only_the_cookie_of_this_kind_of_origin_counts() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("a=b; doce=plain"));
        headers.append("cookie", HeaderValue::from_static("__Host-doce=strict;c"));
        assert_eq!(token(&headers, &origin("https://doce.example")), Some("strict"));
        assert_eq!(token(&headers, &origin("http://192.0.2.1")), Some("plain"));
        headers.clear();
        headers.append("cookie", HeaderValue::from_static("__Host-doce="));
        assert_eq!(token(&headers, &origin("http://localhost")), None);
    }
}
