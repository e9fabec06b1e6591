//! The calls that logins are made of. They are asked of a server that belongs to no Project, but for
//! [`Client::put_tokens`].

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{Client, KIB, LOADING, SHORT};
use crate::http::{CallError, Limits};
use crate::ids::segment;
use crate::login::{Authorization, Tokens};

/// What stands in the place of a refresh token. It renews nothing.
const INERT: &str = "renewed-by-doce";
/// An expiry that an Agent never sees pass: the year 2100, in milliseconds.
const FAR: i64 = 4_102_444_800_000;

impl Client {
    /// Hands over the access token of a login. What the Agent gets can't be renewed: its refresh token is inert and its
    /// expiry far, so that doce alone asks for new pairs.
    ///
    /// GitHub's login has one token that doesn't expire, and OpenCode sends it from the place of the refresh token. Poe's
    /// key is both as well; its loader fails when the key has run out (read), where a rejected request says it better.
    pub async fn put_tokens(&self, provider_id: &str, tokens: &Tokens) -> Result<(), CallError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            r#type: &'static str,
            access: &'a str,
            refresh: &'a str,
            expires: i64,
            #[serde(skip_serializing_if = "Option::is_none")]
            account_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            enterprise_url: Option<&'a str>,
        }
        let path = ["auth", segment("provider", provider_id)?];
        let access = tokens.access.expose_secret();
        if access.trim().is_empty() {
            return Err(CallError::EmptyCredential);
        }
        let same = access == tokens.refresh.expose_secret();
        let refresh = if same { access } else { INERT };
        let expires = if same && tokens.expires == 0 { 0 } else { FAR };
        // Secret: in clear for the length of one request; wiped when the body has been sent.
        let body = Body {
            r#type: "oauth",
            access,
            refresh,
            expires,
            account_id: tokens.account_id.as_deref(),
            enterprise_url: tokens.enterprise_url.as_deref(),
        };
        let body = serde_json::to_vec(&body).map(Zeroizing::new).expect("text serialises");
        let _alone = self.inner.credentials.lock().await;
        let body = Some(Bytes::from_owner(body));
        self.inner.http.call("deliver a credential", SHORT, Method::PUT, &path, body).await?.succeeded()?;
        Ok(())
    }

    /// Begins a login: asks the provider for a page or a code. `method` is the index in [`Client::auth_methods`].
    ///
    /// The login's state is in the instance's memory: a dispose loses it. `None` if the method isn't a login.
    pub async fn begin_login(
        &self,
        provider_id: &str,
        method: usize,
        inputs: &BTreeMap<String, String>,
    ) -> Result<Option<Authorization>, CallError> {
        let path = ["provider", segment("provider", provider_id)?, "oauth", "authorize"];
        let body = Some(Bytes::from(json!({ "method": method, "inputs": inputs }).to_string()));
        self.inner.http.call("begin a login", LOADING, Method::POST, &path, body).await?.succeeded()?.json()
    }

    /// Waits until a login that was begun has ended well: the provider's credential is in `auth.json` then.
    ///
    /// It blocks for as long as the person takes, up to `bound`; dropping it lets the login go on unwatched.
    pub async fn finish_login(
        &self,
        provider_id: &str,
        method: usize,
        code: Option<&str>,
        bound: Duration,
    ) -> Result<(), CallError> {
        let path = ["provider", segment("provider", provider_id)?, "oauth", "callback"];
        let mut body = json!({ "method": method });
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        let limits = Limits { time: bound, bytes: 64 * KIB };
        let body = Some(Bytes::from(body.to_string()));
        self.inner.http.call("finish a login", limits, Method::POST, &path, body).await?.succeeded()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Bytes as Body;
    use axum::routing::{post, put};
    use secrecy::SecretString;
    use serde_json::Value;
    use tokio::sync::mpsc;

    use super::*;
    use crate::fake::{client, serve};

    fn tokens(access: &str, refresh: &str, expires: i64) -> Tokens {
        Tokens {
            access: SecretString::from(access),
            refresh: SecretString::from(refresh),
            expires,
            account_id: Some("acc".to_owned()),
            enterprise_url: None,
        }
    }

    #[tokio::test]
    async fn an_agent_is_given_no_token_that_could_be_renewed() {
        let (told, mut heard) = mpsc::unbounded_channel();
        let router = Router::new().route(
            "/auth/{id}",
            put(move |body: Body| {
                told.send(body).expect("the test listens");
                std::future::ready("true")
            }),
        );
        let client = client(serve(router).await);
        client.put_tokens("openai", &tokens("access-1", "refresh-1", 5)).await.expect("taken");
        let body: Value = serde_json::from_slice(&heard.recv().await.expect("a body")).expect("JSON");
        assert_eq!(
            body,
            json!({ "type": "oauth", "access": "access-1", "refresh": INERT, "expires": FAR, "accountId": "acc" })
        );
        client.put_tokens("github-copilot", &tokens("gho_1", "gho_1", 0)).await.expect("taken");
        let body: Value = serde_json::from_slice(&heard.recv().await.expect("a body")).expect("JSON");
        assert_eq!(
            (&body["refresh"], &body["expires"]),
            (&json!("gho_1"), &json!(0)),
            "its one token is sent from there"
        );
        client.put_tokens("poe", &tokens("p-1", "p-1", 5)).await.expect("taken");
        let body: Value = serde_json::from_slice(&heard.recv().await.expect("a body")).expect("JSON");
        assert_eq!((&body["refresh"], &body["expires"]), (&json!("p-1"), &json!(FAR)));
        let empty = client.put_tokens("openai", &tokens(" ", "r", 5)).await;
        assert!(matches!(empty, Err(CallError::EmptyCredential)));
    }

    #[tokio::test]
    async fn a_login_is_waited_for_no_longer_than_its_bound() {
        let router = Router::new().route("/provider/{id}/oauth/callback", post(std::future::pending::<&'static str>));
        let client = client(serve(router).await);
        let waited = client.finish_login("gitlab", 0, None, Duration::from_millis(50)).await;
        assert!(matches!(waited, Err(CallError::TimedOut { .. })), "{waited:?}");
    }

    #[tokio::test]
    async fn a_method_that_is_no_login_begins_none() {
        let router = Router::new().route("/provider/{id}/oauth/authorize", post(|| std::future::ready("null")));
        let client = client(serve(router).await);
        assert_eq!(client.begin_login("openai", 2, &BTreeMap::new()).await.expect("an answer"), None);
    }
}
