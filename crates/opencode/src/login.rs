//! Logins: what is known of each OAuth method that OpenCode brings, and what a finished one leaves behind.
//!
//! OpenCode runs the login itself (see [`crate::Client::begin_login`]); this says beforehand whether it can work from
//! where the person is, and afterwards reads the tokens out of `auth.json`. How a token is renewed is here too: doce
//! alone renews, so that rotating refresh tokens aren't used twice.
//! Every fact was read in the JavaScript bundled with OpenCode 1.18.33, unless it says otherwise.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

/// The file in OpenCode's data directory that holds its credentials.
pub const AUTH_FILE: &str = "opencode/auth.json";

/// What is known of the logins of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginFacts {
    /// The provider's id.
    pub provider_id: &'static str,
    /// The port on which a redirect is awaited, where it is always the same. Two logins at once would collide.
    pub fixed_port: Option<u16>,
    /// How its tokens are renewed, if they can be.
    pub renewal: Option<Renewal>,
    /// Whether a running Agent uses a renewed token at its next request. Others need a reload.
    pub read_live: bool,
    /// Its methods.
    pub methods: &'static [MethodFacts],
}

/// What is known of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodFacts {
    /// Its place in the provider's list of methods.
    pub index: usize,
    /// How long OpenCode waits for the person, where it gives up by itself.
    pub lasts: Option<Duration>,
    /// What it was tested against, in the words of a sentence that begins with *Tested*.
    pub tested: &'static str,
}

/// Nobody has an account at every provider: until somebody reports otherwise, this is all that can be said.
const AGAINST_A_FAKE: &str = "against a fake authorization server, with the real OpenCode";

const fn method(index: usize, lasts: Option<Duration>) -> MethodFacts {
    MethodFacts { index, lasts, tested: AGAINST_A_FAKE }
}

/// How tokens are renewed: one form-encoded `POST` with `grant_type=refresh_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Where; see [`Renewal::endpoint`].
    endpoint: Endpoint,
    /// The id under which OpenCode is registered.
    pub client_id: &'static str,
    /// The client's password for HTTP Basic, where the endpoint wants one. It is public: it is in every copy of OpenCode.
    pub basic_password: Option<&'static str>,
    /// Seconds that an access token lives when the answer doesn't say.
    pub default_lifetime: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Fixed(&'static str),
    /// Below the address that the login was for.
    BelowInstance(&'static str),
    /// At the account's own host.
    OfAccount {
        before: &'static str,
        after: &'static str,
    },
}

const FACTS: &[LoginFacts] = &[
    LoginFacts {
        provider_id: "openai",
        // `*:1455`, for the browser method only.
        fixed_port: Some(1455),
        renewal: Some(Renewal {
            endpoint: Endpoint::Fixed("https://auth.openai.com/oauth/token"),
            client_id: "app_EMoamEEZ73f0CkXaXp7hrann",
            basic_password: None,
            default_lifetime: 3600,
        }),
        // Observed: a PUT took effect at the next call, without a dispose.
        read_live: true,
        methods: &[method(0, Some(Duration::from_mins(5))), method(1, None)],
    },
    LoginFacts {
        provider_id: "xai",
        fixed_port: None,
        renewal: Some(Renewal {
            endpoint: Endpoint::Fixed("https://auth.x.ai/oauth2/token"),
            client_id: "b1a00492-073a-47ea-816f-4c329264a828",
            basic_password: None,
            default_lifetime: 3600,
        }),
        read_live: true,
        methods: &[method(0, None)],
    },
    LoginFacts {
        provider_id: "gitlab",
        fixed_port: Some(8080),
        renewal: Some(Renewal {
            endpoint: Endpoint::BelowInstance("/oauth/token"),
            client_id: "1d89f9fdb23ee96d4e603201f6861dab6e143c5c3c00469a018a2d94bdc03d4e",
            basic_password: None,
            default_lifetime: 7200,
        }),
        // Its loader hands the token to the SDK once.
        read_live: false,
        methods: &[method(0, Some(Duration::from_mins(2)))],
    },
    LoginFacts {
        provider_id: "snowflake-cortex",
        fixed_port: None,
        renewal: Some(Renewal {
            endpoint: Endpoint::OfAccount { before: "https://", after: ".snowflakecomputing.com/oauth/token-request" },
            client_id: "LOCAL_APPLICATION",
            basic_password: Some("LOCAL_APPLICATION"),
            default_lifetime: 600,
        }),
        read_live: true,
        methods: &[method(0, Some(Duration::from_mins(5)))],
    },
    // The token of a GitHub app's device login doesn't expire.
    LoginFacts {
        provider_id: "github-copilot",
        fixed_port: None,
        renewal: None,
        read_live: true,
        methods: &[method(0, None)],
    },
    // `*:1456`; the token is in the fragment of the redirect.
    LoginFacts {
        provider_id: "digitalocean",
        fixed_port: Some(1456),
        renewal: None,
        read_live: false,
        methods: &[method(0, Some(Duration::from_mins(5)))],
    },
    LoginFacts { provider_id: "poe", fixed_port: None, renewal: None, read_live: false, methods: &[method(0, None)] },
];

/// Looks up what is known of a provider's logins.
pub fn facts(provider_id: &str) -> Option<&'static LoginFacts> {
    FACTS.iter().find(|facts| facts.provider_id == provider_id)
}

/// Returns what is known of all providers' logins.
pub fn all_facts() -> &'static [LoginFacts] {
    FACTS
}

impl LoginFacts {
    /// Looks up what is known of one of its methods.
    pub fn method(&self, index: usize) -> Option<&'static MethodFacts> {
        self.methods.iter().find(|method| method.index == index)
    }
}

/// The answers of a person lead a login nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("read the answer `{answer}` as an address")]
pub struct NotAnAddress {
    /// Which answer.
    pub answer: &'static str,
}

/// Returns the address that a person's answers lead a login to, if they lead to one of the person's own.
///
/// OpenCode takes apart what it is given in the same way.
pub fn instance_address(provider_id: &str, inputs: &BTreeMap<String, String>) -> Result<Option<Url>, NotAnAddress> {
    let given = |answer: &'static str| inputs.get(answer).map(|text| text.trim()).filter(|text| !text.is_empty());
    let parsed = |answer: &'static str, text: &str| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.map(Some).ok_or(NotAnAddress { answer })
    };
    match provider_id {
        "gitlab" => given("instanceUrl").map_or(Ok(None), |text| parsed("instanceUrl", text)),
        "github-copilot" if given("deploymentType") == Some("enterprise") => {
            let host = given("enterpriseUrl").unwrap_or_default();
            let host = host.strip_prefix("https://").or(host.strip_prefix("http://")).unwrap_or(host);
            parsed("enterpriseUrl", &format!("https://{host}"))
        }
        // Always at Snowflake, unless the account is more than a name.
        "snowflake-cortex" => {
            let account = given("account").unwrap_or_default();
            let account = account.strip_prefix("https://").or(account.strip_prefix("http://")).unwrap_or(account);
            let account = account.trim_end_matches('/');
            let account = account.strip_suffix(".snowflakecomputing.com").unwrap_or(account);
            if is_account(account) { Ok(None) } else { Err(NotAnAddress { answer: "account" }) }
        }
        _ => Ok(None),
    }
}

/// Whether a text is the name of an account, and no more.
fn is_account(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.bytes().all(plain)
}

/// Where GitLab's own instance is.
const GITLAB: &str = "https://gitlab.com";

impl Renewal {
    /// Returns whether a person said where these tokens are renewed.
    pub fn is_at_given_address(&self, tokens: &Tokens) -> bool {
        match self.endpoint {
            Endpoint::Fixed(_) | Endpoint::OfAccount { .. } => false,
            Endpoint::BelowInstance(_) => {
                tokens.enterprise_url.as_deref().is_some_and(|instance| instance.trim_end_matches('/') != GITLAB)
            }
        }
    }

    /// Returns where these tokens are renewed.
    ///
    /// `None` if the login belongs to an instance or account of its own that the tokens don't name.
    pub fn endpoint(&self, tokens: &Tokens) -> Option<Url> {
        let text = match self.endpoint {
            Endpoint::Fixed(url) => url.to_owned(),
            Endpoint::BelowInstance(path) => {
                format!("{}{path}", tokens.enterprise_url.as_deref()?.trim_end_matches('/'))
            }
            Endpoint::OfAccount { before, after } => {
                let account = tokens.account_id.as_deref()?;
                if !is_account(account) {
                    return None;
                }
                format!("{before}{account}{after}")
            }
        };
        Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))
    }
}

/// Where a person goes, and how the login ends.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Authorization {
    /// The page to open. Some methods have none.
    pub url: String,
    /// How it ends.
    pub method: LoginEnd,
    /// What OpenCode tells the person.
    pub instructions: String,
}

/// How a login ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoginEnd {
    /// By itself: OpenCode waits for the provider.
    Auto,
    /// With a code that the person is shown.
    Code,
}

impl Authorization {
    /// Returns the code that a person enters on the provider's page, if there is one.
    ///
    /// It is in the instructions, after `code:` (all of OpenCode's device logins, observed and read).
    pub fn device_code(&self) -> Option<&str> {
        let (_, after) = self.instructions.rsplit_once("code:")?;
        let code = after.trim();
        let plausible = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (code.len() >= 4 && code.len() <= 32 && code.bytes().all(plausible)).then_some(code)
    }

    /// Returns the address of this machine that the provider sends the browser to, if it does that.
    pub fn redirect(&self) -> Option<Redirect> {
        let url = Url::parse(&self.url).ok()?;
        let parameter =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let target = Url::parse(&parameter("redirect_uri")?).ok()?;
        let is_here = matches!(target.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        (target.scheme() == "http" && is_here).then(|| Redirect {
            port: target.port_or_known_default().unwrap_or(80),
            path: target.path().to_owned(),
            state: parameter("state"),
        })
    }
}

/// Where on this machine a login waits for the browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
    /// What the address must carry, to be the answer to this login.
    pub state: Option<String>,
}

/// Why an address that a person pasted isn't the end of their login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// It isn't an address.
    #[error("read that as an address")]
    NotAnAddress,
    /// It leads somewhere else.
    #[error("use an address of another page")]
    OtherPlace,
    /// It is the answer to another login.
    #[error("use the address of another sign-in")]
    OtherState,
    /// It carries neither a code nor an error.
    #[error("find a code in that address")]
    NoCode,
}

/// An address that a person's browser could not open, checked: what is to be asked on this machine in its place.
#[derive(Debug, PartialEq, Eq)]
pub enum Replay {
    /// `GET` with this query.
    Query(String),
    /// `POST /auth/token` with these fields: the token came in the fragment, which no browser sends.
    Fragment(BTreeMap<String, String>),
}

impl Redirect {
    /// Checks an address that a person pasted.
    pub fn check(&self, pasted: &str) -> Result<Replay, RedirectError> {
        let url = Url::parse(pasted.trim()).map_err(|_not_an_address| RedirectError::NotAnAddress)?;
        let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
            && url.port_or_known_default() == Some(self.port)
            && url.path() == self.path;
        if !is_here {
            return Err(RedirectError::OtherPlace);
        }
        let fragment =
            url.fragment().filter(|fragment| fragment.contains("access_token=") || fragment.contains("error="));
        let text = fragment.or(url.query()).unwrap_or_default();
        let fields: BTreeMap<String, String> = url::form_urlencoded::parse(text.as_bytes())
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        if self.state.is_some() && fields.get("state") != self.state.as_ref() {
            return Err(RedirectError::OtherState);
        }
        if !["code", "error", "access_token"].iter().any(|name| fields.contains_key(*name)) {
            return Err(RedirectError::NoCode);
        }
        Ok(match fragment {
            Some(_) => Replay::Fragment(fields),
            None => Replay::Query(text.to_owned()),
        })
    }
}

/// What a finished login left in `auth.json`.
pub enum Harvest {
    /// A key: some logins end in one.
    Key {
        /// The key.
        key: SecretString,
        /// What goes with it.
        metadata: BTreeMap<String, String>,
    },
    /// Tokens.
    Tokens(Tokens),
}

/// Tokens of a login.
#[derive(Clone)]
pub struct Tokens {
    /// What requests carry.
    pub access: SecretString,
    /// What a new pair is asked for with.
    pub refresh: SecretString,
    /// When the access token runs out, in milliseconds since 1970; 0 is never.
    pub expires: i64,
    /// The account at the provider, where its requests name one.
    pub account_id: Option<String>,
    /// The address of the instance, where there are several.
    pub enterprise_url: Option<String>,
}

impl Tokens {
    /// Returns where a login's requests go, if not to the provider's default address.
    ///
    /// GitLab's go to the instance; GitHub's to a host beside the enterprise's own.
    pub fn base_url(&self, provider_id: &str) -> Option<String> {
        let instance = self.enterprise_url.as_deref()?.trim_end_matches('/');
        match provider_id {
            "gitlab" => Some(instance.to_owned()),
            "github-copilot" => {
                let host = instance.split_once("://").map_or(instance, |(_, host)| host);
                Some(format!("https://copilot-api.{host}"))
            }
            _ => None,
        }
    }
}

/// The file isn't what a finished login leaves. Its text is left out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("find the tokens of a finished login")]
pub struct NoTokens;

/// Reads what a finished login of a provider left in `auth.json`.
pub fn harvest(provider_id: &str, file: &[u8]) -> Result<Harvest, NoTokens> {
    #[derive(Deserialize)]
    #[serde(tag = "type", rename_all = "lowercase")]
    enum Entry {
        Api {
            key: Zeroizing<String>,
            #[serde(default)]
            metadata: BTreeMap<String, String>,
        },
        OAuth {
            access: Zeroizing<String>,
            refresh: Zeroizing<String>,
            expires: i64,
            #[serde(rename = "accountId")]
            account_id: Option<String>,
            #[serde(rename = "enterpriseUrl")]
            enterprise_url: Option<String>,
        },
    }
    // Secret: read once; what isn't kept is wiped.
    let mut entries: BTreeMap<String, serde_json::Value> = serde_json::from_slice(file).map_err(|_| NoTokens)?;
    let entry = entries.remove(provider_id).ok_or(NoTokens)?;
    let harvest = match serde_json::from_value(entry).map_err(|_| NoTokens)? {
        Entry::Api { key, metadata } => Harvest::Key { key: SecretString::from(key.as_str()), metadata },
        Entry::OAuth { access, refresh, expires, account_id, enterprise_url } => Harvest::Tokens(Tokens {
            access: SecretString::from(access.as_str()),
            refresh: SecretString::from(refresh.as_str()),
            expires,
            account_id,
            enterprise_url,
        }),
    };
    let empty = match &harvest {
        Harvest::Key { key, .. } => key.expose_secret().is_empty(),
        Harvest::Tokens(tokens) => tokens.access.expose_secret().is_empty(),
    };
    if empty { Err(NoTokens) } else { Ok(harvest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(url: &str, instructions: &str) -> Authorization {
        Authorization { url: url.to_owned(), method: LoginEnd::Auto, instructions: instructions.to_owned() }
    }

    #[test]
    fn a_device_code_is_read_from_the_instructions() {
        let code = |instructions: &str| authorization("https://x.test", instructions).device_code().map(str::to_owned);
        assert_eq!(code("Enter code: AB12-CD34").as_deref(), Some("AB12-CD34"));
        assert_eq!(code("Open https://x.ai/device on any device and enter code: QRST-9").as_deref(), Some("QRST-9"));
        assert_eq!(code("Complete authorization in your browser."), None);
        assert_eq!(code("Enter code: <b>x</b>"), None);
    }

    #[test]
    fn a_redirect_to_this_machine_is_recognised() {
        let url = "https://gitlab.com/oauth/authorize?client_id=1&redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2Fcallback&state=abc";
        let redirect = authorization(url, "").redirect().expect("it leads here");
        assert_eq!(redirect, Redirect { port: 8080, path: "/callback".to_owned(), state: Some("abc".to_owned()) });
        for other in
            ["https://github.com/login/device", "https://x.test/?redirect_uri=https%3A%2F%2Fevil.test%2F", "none"]
        {
            assert_eq!(authorization(other, "").redirect(), None, "{other}");
        }
    }

    #[test]
    fn a_pasted_address_must_be_this_logins_own() {
        let redirect = Redirect { port: 8080, path: "/callback".to_owned(), state: Some("abc".to_owned()) };
        let replayed = redirect.check(" http://localhost:8080/callback?code=C%2F1&state=abc\n");
        assert_eq!(replayed, Ok(Replay::Query("code=C%2F1&state=abc".to_owned())));
        for (pasted, expected) in [
            ("hello", RedirectError::NotAnAddress),
            ("http://localhost:8081/callback?code=C&state=abc", RedirectError::OtherPlace),
            ("http://evil.test:8080/callback?code=C&state=abc", RedirectError::OtherPlace),
            ("http://localhost:8080/other?code=C&state=abc", RedirectError::OtherPlace),
            ("http://localhost:8080/callback?code=C&state=x", RedirectError::OtherState),
            ("http://localhost:8080/callback?code=C", RedirectError::OtherState),
            ("http://localhost:8080/callback?state=abc", RedirectError::NoCode),
        ] {
            assert_eq!(redirect.check(pasted), Err(expected), "{pasted}");
        }
        let fragment = redirect.check("http://localhost:8080/callback#access_token=T&state=abc&expires_in=5");
        let Ok(Replay::Fragment(fields)) = fragment else { panic!("{fragment:?}") };
        assert_eq!(fields.get("access_token").map(String::as_str), Some("T"));
    }

    #[test]
    fn tokens_and_keys_are_read_and_nothing_else_is() {
        let file =
            br#"{"gitlab":{"type":"oauth","access":"a","refresh":"r","expires":5,"enterpriseUrl":"http://g.test"},
            "digitalocean":{"type":"api","key":"k","metadata":{"oauth_scopes":"s"}},
            "odd":{"type":"wellknown","key":"K","token":"t"},"empty":{"type":"api","key":""}}"#;
        let Ok(Harvest::Tokens(tokens)) = harvest("gitlab", file) else { panic!("tokens") };
        assert_eq!((tokens.access.expose_secret(), tokens.refresh.expose_secret(), tokens.expires), ("a", "r", 5));
        assert_eq!(tokens.enterprise_url.as_deref(), Some("http://g.test"));
        assert!(matches!(harvest("digitalocean", file), Ok(Harvest::Key { .. })));
        for id in ["odd", "empty", "absent"] {
            assert!(harvest(id, file).is_err(), "{id}");
        }
        assert!(harvest("gitlab", b"{").is_err());
    }

    #[test]
    fn tokens_are_renewed_where_their_login_was() {
        let tokens = |account: Option<&str>, instance: Option<&str>| Tokens {
            access: SecretString::from("a"),
            refresh: SecretString::from("r"),
            expires: 0,
            account_id: account.map(str::to_owned),
            enterprise_url: instance.map(str::to_owned),
        };
        let endpoint = |id: &str, tokens: &Tokens| {
            facts(id).and_then(|facts| facts.renewal).and_then(|renewal| renewal.endpoint(tokens)).map(String::from)
        };
        assert_eq!(endpoint("openai", &tokens(None, None)).as_deref(), Some("https://auth.openai.com/oauth/token"));
        let own = tokens(Some("org-acc"), Some("https://git.acme.test/"));
        assert_eq!(endpoint("gitlab", &own).as_deref(), Some("https://git.acme.test/oauth/token"));
        assert_eq!(
            endpoint("snowflake-cortex", &own).as_deref(),
            Some("https://org-acc.snowflakecomputing.com/oauth/token-request")
        );
        assert_eq!(endpoint("snowflake-cortex", &tokens(Some("evil.test/#"), None)), None);
        assert_eq!(endpoint("gitlab", &tokens(None, None)), None);
        assert_eq!(endpoint("github-copilot", &own), None);

        let given = |id: &str, tokens: &Tokens| {
            facts(id).and_then(|facts| facts.renewal).is_some_and(|renewal| renewal.is_at_given_address(tokens))
        };
        assert!(given("gitlab", &own) && !given("snowflake-cortex", &own) && !given("openai", &own));
        assert!(!given("gitlab", &tokens(None, Some("https://gitlab.com"))), "everybody's");
    }

    #[test]
    fn the_address_that_answers_lead_to_is_read_as_opencode_reads_it() {
        let address = |id: &str, answers: &[(&str, &str)]| {
            let inputs = answers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            instance_address(id, &inputs).map(|url| url.map(String::from))
        };
        let at = |url: &str| Ok(Some(url.to_owned()));
        assert_eq!(address("gitlab", &[]), Ok(None));
        assert_eq!(address("gitlab", &[("instanceUrl", " http://10.0.0.1:8080 ")]), at("http://10.0.0.1:8080/"));
        assert_eq!(address("gitlab", &[("instanceUrl", "ftp://x")]), Err(NotAnAddress { answer: "instanceUrl" }));
        let enterprise = |url| address("github-copilot", &[("deploymentType", "enterprise"), ("enterpriseUrl", url)]);
        assert_eq!(enterprise("acme.ghe.com"), at("https://acme.ghe.com/"));
        assert_eq!(enterprise("http://127.0.0.1:99/"), at("https://127.0.0.1:99/"));
        assert_eq!(enterprise("acme.ghe.com@127.0.0.1"), at("https://acme.ghe.com@127.0.0.1/"));
        assert_eq!(enterprise(""), Err(NotAnAddress { answer: "enterpriseUrl" }));
        assert_eq!(address("github-copilot", &[("enterpriseUrl", "127.0.0.1")]), Ok(None), "it isn't asked");
        let account = |account| address("snowflake-cortex", &[("account", account)]);
        assert_eq!(account("https://acme-eu1.snowflakecomputing.com/"), Ok(None));
        assert_eq!(account("127.0.0.1/#"), Err(NotAnAddress { answer: "account" }));
        assert_eq!(address("openai", &[("instanceUrl", "http://127.0.0.1")]), Ok(None), "it asks nothing");
    }
}
