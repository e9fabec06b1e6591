//! Asking an authorization server for a new pair of tokens.
//!
//! Rotating refresh tokens are used once: a second use makes some providers revoke the whole login. So nobody but the
//! Job `refresh_credential` calls this, one at a time per Connection, and Agents never hold a refresh token.

use std::{collections::BTreeMap, time::Duration};

use doce_model::{AuthType, Connection, Ms, Role};
use doce_opencode::login::{self, Renewal, Tokens};
use doce_vault::{ExposeSecret as _, SecretString, Zeroizing};
use serde::Deserialize;
use url::Url;

use crate::{outward, probe};

/// How long an authorization server may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read at most.
const BODY_MAX: usize = 256 * 1024;
/// Errors (RFC 6749 §5.2, and what providers add) after which only a new login helps.
const FINAL: &[&str] = &[
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "access_denied",
    "refresh_token_reused",
    "refresh_token_invalidated",
    "refresh_token_expired",
];

/// Where tokens are renewed, and asked about. A test puts its own servers in the place of the real ones.
#[derive(Debug, Clone, Default)]
pub struct TokenEndpoints {
    replaced: BTreeMap<String, Url>,
    asked: BTreeMap<String, String>,
}

impl TokenEndpoints {
    /// Asks `url` instead of the provider's own server.
    #[must_use]
    pub fn replaced(mut self, provider_id: &str, url: Url) -> Self {
        self.replaced.insert(provider_id.to_owned(), url);
        self
    }

    /// Asks at this address about a provider's logins, instead of the provider's own.
    #[must_use]
    pub fn asked_instead(mut self, provider_id: &str, base_url: &str) -> Self {
        self.asked.insert(provider_id.to_owned(), base_url.to_owned());
        self
    }

    pub(crate) fn asked_at(&self, provider_id: &str) -> Option<&str> {
        self.asked.get(provider_id).map(String::as_str)
    }

    fn of(&self, provider_id: &str, renewal: &Renewal, tokens: &Tokens) -> Option<Url> {
        self.replaced.get(provider_id).cloned().or_else(|| renewal.endpoint(tokens))
    }
}

/// Why there is no new pair.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewalError {
    /// The provider wants a new login.
    #[error("renew the sign-in: the provider answered `{word}`")]
    Final {
        /// The provider's word for it.
        word: String,
    },
    /// It may work later.
    #[error("renew the sign-in: {reason}")]
    Later {
        /// Why not now.
        reason: String,
    },
}

/// Returns whether doce can renew the tokens of a provider's logins.
pub(crate) fn is_possible(provider_id: &str) -> bool {
    login::facts(provider_id).is_some_and(|facts| facts.renewal.is_some())
}

/// Returns whether doce renews what a Connection holds.
pub(crate) fn renews(record: &Connection) -> bool {
    record.auth_type == AuthType::OAuth && is_possible(&record.provider_id)
}

/// Asks for a new pair. The old refresh token counts as used from here on.
pub(crate) async fn renew(
    endpoints: &TokenEndpoints,
    provider_id: &str,
    tokens: &Tokens,
    role: Role,
    now: Ms,
) -> Result<Tokens, RenewalError> {
    #[derive(Deserialize)]
    struct Pair {
        access_token: Zeroizing<String>,
        refresh_token: Option<Zeroizing<String>>,
        expires_in: Option<u64>,
    }
    #[derive(Deserialize)]
    struct Refusal {
        error: Option<serde_json::Value>,
    }
    let later = |reason: String| RenewalError::Later { reason };
    let renewal = login::facts(provider_id).and_then(|facts| facts.renewal);
    let renewal = renewal.ok_or_else(|| RenewalError::Final { word: "not_renewable".to_owned() })?;
    let url = endpoints
        .of(provider_id, &renewal, tokens)
        .ok_or_else(|| RenewalError::Final { word: "unknown_instance".to_owned() })?;
    let mut client = outward::client().timeout(TIMEOUT);
    if renewal.is_at_given_address(tokens) && !endpoints.replaced.contains_key(provider_id) {
        // The name may lead elsewhere than when the person signed in; it is resolved once, and asked there.
        let addresses = probe::allowed_addresses(&url, role)
            .await
            .map_err(|reason| later(reason.trim_end_matches('.').to_owned()))?;
        client = client.no_proxy().resolve_to_addrs(url.host_str().unwrap_or_default(), &addresses);
    }
    let client = client.build().map_err(|_| later("no HTTPS client could be set up".to_owned()))?;
    // Secret: the refresh token is in this body for the length of one request.
    let form = Zeroizing::new(
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("refresh_token", tokens.refresh.expose_secret())
            .append_pair("client_id", renewal.client_id)
            .finish(),
    );
    let mut request = client
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(form.as_bytes().to_vec());
    if let Some(password) = renewal.basic_password {
        request = request.basic_auth(renewal.client_id, Some(password));
    }
    let mut response = request.send().await.map_err(|e| {
        later(if e.is_timeout() {
            "it did not answer in time".to_owned()
        } else {
            "it could not be reached".to_owned()
        })
    })?;
    let status = response.status();
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|_| later("its answer broke off".to_owned()))? {
        if body.len() + chunk.len() > BODY_MAX {
            return Err(later("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        let pair: Pair = serde_json::from_slice(&body).map_err(|_| later("its answer has no tokens".to_owned()))?;
        let lifetime = pair.expires_in.filter(|seconds| *seconds > 0).unwrap_or(renewal.default_lifetime);
        return Ok(Tokens {
            access: SecretString::from(pair.access_token.as_str()),
            // Without a new one the old one stays good (RFC 6749 §6).
            refresh: pair.refresh_token.map_or_else(|| tokens.refresh.clone(), |new| SecretString::from(new.as_str())),
            expires: now.0.saturating_add(i64::try_from(lifetime.saturating_mul(1000)).unwrap_or(i64::MAX)),
            account_id: tokens.account_id.clone(),
            enterprise_url: tokens.enterprise_url.clone(),
        });
    }
    // `error` is a word by the standard, and an object with a `code` at some.
    let error = serde_json::from_slice::<Refusal>(&body).ok().and_then(|refusal| refusal.error);
    let code = match &error {
        Some(serde_json::Value::String(code)) => Some(code.as_str()),
        Some(serde_json::Value::Object(fields)) => fields.get("code").and_then(serde_json::Value::as_str),
        Some(_) | None => None,
    };
    match code.filter(|code| FINAL.contains(code)) {
        Some(code) => Err(RenewalError::Final { word: code.to_owned() }),
        None if status.as_u16() == 401 => Err(RenewalError::Final { word: "401".to_owned() }),
        None => Err(later(format!("it answered {}", status.as_u16()))),
    }
}

#[cfg(test)]
mod tests {
    use doce_testkit::AuthorizationServer;

    use super::*;

    async fn first_pair(server: &AuthorizationServer) -> Tokens {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let answer = reqwest::Client::new()
            .post(server.token_url())
            .body("grant_type=authorization_code&code=good-code")
            .send()
            .await
            .expect("it answers");
        let pair: serde_json::Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        let text = |name: &str| SecretString::from(pair[name].as_str().expect("a token"));
        Tokens {
            access: text("access_token"),
            refresh: text("refresh_token"),
            expires: 0,
            account_id: Some("acc".to_owned()),
            enterprise_url: None,
        }
    }

    #[tokio::test]
    async fn a_pair_is_renewed_once_and_a_second_use_ends_the_login() {
        let server = AuthorizationServer::start().await;
        let url = server.token_url().parse().expect("an address");
        let endpoints = TokenEndpoints::default().replaced("openai", url);
        let first = first_pair(&server).await;
        let second = renew(&endpoints, "openai", &first, Role::Member, Ms(1_000)).await.expect("renewed");
        assert_ne!(second.access.expose_secret(), first.access.expose_secret());
        assert_eq!((second.expires, second.account_id.as_deref()), (3_601_000, Some("acc")));
        assert_eq!(server.renewals()[0].client_id, "app_EMoamEEZ73f0CkXaXp7hrann");
        let reused = renew(&endpoints, "openai", &first, Role::Member, Ms(1_000)).await;
        assert!(matches!(&reused, Err(RenewalError::Final { word }) if word == "invalid_grant"), "it was used twice");
        assert!(matches!(
            renew(&endpoints, "openai", &second, Role::Member, Ms(1_000)).await,
            Err(RenewalError::Final { .. })
        ));
    }

    #[tokio::test]
    async fn a_server_that_is_down_ends_no_login() {
        let server = AuthorizationServer::start().await;
        let url: Url = server.token_url().parse().expect("an address");
        let endpoints = TokenEndpoints::default().replaced("xai", url);
        let first = first_pair(&server).await;
        server.fail_next(1);
        assert!(matches!(renew(&endpoints, "xai", &first, Role::Member, Ms(0)).await, Err(RenewalError::Later { .. })));
        renew(&endpoints, "xai", &first, Role::Member, Ms(0)).await.expect("the token was not used up");
        drop(server);
        assert!(matches!(renew(&endpoints, "xai", &first, Role::Member, Ms(0)).await, Err(RenewalError::Later { .. })));
        assert!(matches!(renew(&endpoints, "poe", &first, Role::Member, Ms(0)).await, Err(RenewalError::Final { .. })));
    }

    #[tokio::test]
    async fn an_instance_in_the_servers_own_network_is_asked_for_admins_only() {
        let server = AuthorizationServer::start().await;
        let first = Tokens { enterprise_url: Some(server.url()), ..first_pair(&server).await };
        let none = TokenEndpoints::default();
        let refused = renew(&none, "gitlab", &first, Role::Member, Ms(0)).await;
        assert!(
            matches!(&refused, Err(RenewalError::Later { reason }) if reason.contains("Only an admin")),
            "{:?}",
            refused.err()
        );
        assert_eq!(server.renewals(), [], "it was not asked");
        renew(&none, "gitlab", &first, Role::Admin, Ms(0)).await.expect("renewed");
    }
}
