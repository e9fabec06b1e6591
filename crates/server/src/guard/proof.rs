//! What proves who sent a request: an API token, or the cookie of a sign-in.

use doce_app::Error;
use doce_model::{Actor, ApiToken, SignIn, User};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::cookie;
use crate::{preview::Origin, state::State};

/// What a request brought along. A token goes before a cookie: whoever sends one means it.
#[derive(Debug, Clone)]
pub(crate) enum Proof {
    Cookie(SecretString),
    Token(SecretString),
}

/// Who can prove to be themselves.
pub(crate) struct Holder {
    pub(crate) user: User,
    /// The sign-in, or what stands in its place.
    pub(crate) sign_in: SignIn,
    /// The token, if it was one.
    pub(crate) token: Option<ApiToken>,
}

impl Holder {
    pub(crate) fn actor(&self) -> Actor {
        match &self.token {
            Some(token) => Actor::Token(token.id, self.user.id),
            None => Actor::User(self.user.id),
        }
    }
}

impl Proof {
    /// Reads what a request brought along.
    pub(crate) fn of(headers: &HeaderMap, origin: &Origin) -> Option<Self> {
        let token = || cookie::token(headers, origin).map(|token| Self::Cookie(SecretString::from(token)));
        bearer(headers).map(|token| Self::Token(SecretString::from(token))).or_else(token)
    }

    /// Finds out whose it is. `address` is where the request came from.
    pub(crate) async fn holder(&self, state: &State, address: Option<&str>) -> Result<Option<Holder>, Error> {
        match self {
            Self::Cookie(cookie) => {
                let found = state.app.authenticate(cookie.expose_secret()).await?;
                Ok(found.map(|(sign_in, user)| Holder { user, sign_in, token: None }))
            }
            Self::Token(token) => {
                let found = state.app.authenticate_token(token.expose_secret(), address).await?;
                Ok(found.map(|(token, user)| {
                    let sign_in = SignIn::of_token(&token, state.clock.now());
                    Holder { user, sign_in, token: Some(token) }
                }))
            }
        }
    }
}

/// Returns the token of the header `Authorization`. What a proxy in front asks for by other schemes is not ours.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(authorization: Option<&'static str>) -> Option<(&'static str, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("__Host-doce=from-cookie"));
        headers.extend(authorization.map(|line| (header::AUTHORIZATION, HeaderValue::from_static(line))));
        Proof::of(&headers, &Origin::parse("https://doce.example").unwrap()).map(|proof| match proof {
            Proof::Cookie(secret) => ("cookie", secret.expose_secret().to_owned()),
            Proof::Token(secret) => ("token", secret.expose_secret().to_owned()),
        })
    }

    #[test]
    fn a_token_goes_before_a_cookie_and_other_schemes_are_somebody_elses() {
        assert_eq!(of(Some("Bearer doce_x")), Some(("token", "doce_x".to_owned())));
        assert_eq!(of(Some("bearer  doce_x ")), Some(("token", "doce_x".to_owned())));
        for other in [None, Some("Basic YTpi"), Some("Bearer"), Some("")] {
            assert_eq!(of(other), Some(("cookie", "from-cookie".to_owned())), "{other:?}");
        }
    }
}
