//! The tokens of a login as the vault keeps them: one text, sealed like a key.

use doce_model::Ms;
use doce_opencode::login::Tokens;
use doce_vault::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What is sealed. Only this file turns tokens into a text and back.
#[derive(Serialize, Deserialize)]
struct Text<'a> {
    access: std::borrow::Cow<'a, str>,
    refresh: std::borrow::Cow<'a, str>,
    expires: i64,
    account_id: Option<std::borrow::Cow<'a, str>>,
    enterprise_url: Option<std::borrow::Cow<'a, str>>,
}

/// Writes tokens as the text that is sealed.
pub(crate) fn to_secret(tokens: &Tokens) -> Result<SecretString, Error> {
    // Secret: the text lives until it is sealed.
    let text = Text {
        access: tokens.access.expose_secret().into(),
        refresh: tokens.refresh.expose_secret().into(),
        expires: tokens.expires,
        account_id: tokens.account_id.as_deref().map(Into::into),
        enterprise_url: tokens.enterprise_url.as_deref().map(Into::into),
    };
    serde_json::to_string(&text).map(SecretString::from).map_err(Error::internal)
}

/// Reads tokens from the text that was sealed.
pub(crate) fn from_secret(secret: &SecretString) -> Result<Tokens, Error> {
    let text: Text<'_> = serde_json::from_str(secret.expose_secret()).map_err(|_| {
        // serde's message would quote what it stumbled over.
        Error::internal(std::io::Error::other("a sealed login is not one"))
    })?;
    Ok(Tokens {
        access: SecretString::from(text.access.into_owned()),
        refresh: SecretString::from(text.refresh.into_owned()),
        expires: text.expires,
        account_id: text.account_id.map(std::borrow::Cow::into_owned),
        enterprise_url: text.enterprise_url.map(std::borrow::Cow::into_owned),
    })
}

/// Returns when tokens run out, if they do. GitHub's never do; Poe writes a moment beyond all calendars.
pub(crate) fn expiry(tokens: &Tokens) -> Option<Ms> {
    /// The year 9999, in milliseconds.
    const NEVER: i64 = 253_370_764_800_000;
    (tokens.expires > 0 && tokens.expires < NEVER).then_some(Ms(tokens.expires))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_were() {
        let tokens = Tokens {
            access: SecretString::from("a \"quoted\" token"),
            refresh: SecretString::from("r"),
            expires: 5,
            account_id: None,
            enterprise_url: Some("https://git.acme.test".to_owned()),
        };
        let back = from_secret(&to_secret(&tokens).unwrap()).unwrap();
        assert_eq!(back.access.expose_secret(), tokens.access.expose_secret());
        assert_eq!((back.expires, back.account_id, back.enterprise_url), (5, None, tokens.enterprise_url));
        assert!(from_secret(&SecretString::from("sk-a-key")).is_err());
    }

    #[test]
    fn some_tokens_never_run_out() {
        let at = |expires| {
            expiry(&Tokens {
                access: SecretString::from("a"),
                refresh: SecretString::from("a"),
                expires,
                account_id: None,
                enterprise_url: None,
            })
        };
        assert_eq!(at(0), None);
        assert_eq!(at(9_007_199_254_740_991), None);
        assert_eq!(at(1_800_000_000_000), Some(Ms(1_800_000_000_000)));
    }
}
