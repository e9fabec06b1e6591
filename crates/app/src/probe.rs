//! Asking a provider whether a key is good, by the cheapest honest call.
//!
//! One request, without a completion, within [`TIMEOUT`]; no redirect is followed, the address that was checked is the
//! address that is called, and nothing of the answer is kept but what came of it. An endpoint that lists its models to
//! anybody proves nothing about a key, and the outcome says so.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use doce_model::{Outcome, Role};
use doce_opencode::{
    endpoints::{Endpoint, KeyScheme},
    login::Tokens,
};
use doce_vault::{ExposeSecret as _, SecretString};
use reqwest::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use url::{Host, Url};

use crate::{custom::NO_KEY, outward};

/// How long a provider may take to answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(8);
/// Bytes of an answer that are read at most.
const BODY_MAX: usize = 256 * 1024;

/// What is to be checked.
pub(crate) struct Question<'a> {
    pub(crate) provider_name: &'a str,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) base_url: &'a str,
    /// Whether the user gave the base URL: then its address is checked before anything is sent.
    pub(crate) base_url_given: bool,
    pub(crate) key: &'a SecretString,
    pub(crate) role: Role,
}

/// What came of it, in a word and in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) detail: String,
}

/// How a provider is asked.
struct Way {
    /// What stands before the path instead of the base URL.
    root: Option<&'static str>,
    /// What of the base URL is put in place of what, where the call is at a host beside it.
    beside: Option<(&'static str, &'static str)>,
    path: &'static str,
    query: Option<&'static str>,
    headers: &'static [(&'static str, &'static str)],
    /// Whether the call is known to require a good key.
    needs_key: bool,
}

const fn about_the_key(path: &'static str) -> Way {
    Way { root: None, beside: None, path, query: None, headers: &[], needs_key: true }
}

const fn models(needs_key: bool) -> Way {
    Way { needs_key, ..about_the_key("models") }
}

const fn anthropic_models(needs_key: bool) -> Way {
    Way { query: Some("limit=1"), headers: &[("anthropic-version", "2023-06-01")], ..models(needs_key) }
}

/// The cheapest call that a wrong key fails. From the providers' own documentation and public tools.
///
/// At an address of the user's own there is what speaks the provider's protocol, and nothing else of the provider.
fn way(endpoint: &Endpoint, own_address: bool) -> Option<Way> {
    let own = match endpoint.id.as_str() {
        "deepseek" => Some(about_the_key("user/balance")),
        "opencode-go" => Some(about_the_key("usage")),
        // The addresses at which models are asked have no call that is about the key.
        "fireworks-ai" => Some(Way {
            root: Some("https://api.fireworks.ai/v1"),
            query: Some("pageSize=1"),
            ..about_the_key("accounts/fireworks/models")
        }),
        "huggingface" => Some(Way { root: Some("https://huggingface.co/api"), ..about_the_key("whoami-v2") }),
        "cohere" => Some(Way { root: Some("https://api.cohere.com/v1"), ..models(true) }),
        // Both kinds of account have one quota.
        "zai" | "zai-coding-plan" => {
            Some(Way { root: Some("https://api.z.ai/api"), ..about_the_key("monitor/usage/quota/limit") })
        }
        // The region's host that answers prompts has a neighbour that lists what there is.
        "amazon-bedrock" => {
            Some(Way { beside: Some(("//bedrock-runtime.", "//bedrock.")), ..about_the_key("foundation-models") })
        }
        // A resource lists its models to holders of its keys only.
        "azure" => Some(models(true)),
        _ => None,
    };
    if let Some(own) = own.filter(|_| !own_address) {
        return Some(own);
    }
    let way = match endpoint.id.as_str() {
        "anthropic" => anthropic_models(true),
        // Its list of models is public; this call is about the key.
        "openrouter" => about_the_key("key"),
        "google" => Way { query: Some("pageSize=1"), ..models(true) },
        "xai" => about_the_key("api-key"),
        "openai" | "groq" | "mistral" | "deepseek" | "togetherai" | "cerebras" | "moonshotai" => models(true),
        _ => match endpoint.npm.first().map(String::as_str) {
            Some("@ai-sdk/anthropic") => anthropic_models(false),
            Some(
                "@ai-sdk/openai-compatible"
                | "@ai-sdk/openai"
                | "@ai-sdk/groq"
                | "@ai-sdk/cerebras"
                | "@ai-sdk/mistral"
                | "@ai-sdk/togetherai"
                | "@ai-sdk/xai"
                | "@ai-sdk/vercel"
                | "@ai-sdk/azure"
                | "venice-ai-sdk-provider"
                | "@openrouter/ai-sdk-provider",
            ) => models(false),
            _ => return None,
        },
    };
    Some(way)
}

/// Tells whether a provider can be asked about a key at all.
pub(crate) fn is_possible(endpoint: &Endpoint) -> bool {
    way(endpoint, false).is_some()
}

/// The call that tells of a login whether it is good, and what its path comes after, where there is one that uses
/// nothing up. Renewing tokens is none: it uses a refresh token up.
///
/// Copilot's is what `OpenCode` 1.18.33 itself does with a login whenever it is loaded (observed). `ChatGPT`'s isn't
/// documented; other public clients show a plan's usage with it.
fn way_of_login(provider_id: &str) -> Option<(&'static str, Way)> {
    match provider_id {
        "github-copilot" => Some((
            "https://api.githubcopilot.com",
            Way { headers: &[("x-github-api-version", "2026-06-01")], ..about_the_key("models") },
        )),
        "openai" => Some(("https://chatgpt.com/backend-api", about_the_key("wham/usage"))),
        _ => None,
    }
}

/// Tells whether a provider can be asked about a login at all.
pub(crate) fn is_possible_of_login(provider_id: &str) -> bool {
    way_of_login(provider_id).is_some()
}

/// A login that is to be checked.
pub(crate) struct LoginQuestion<'a> {
    pub(crate) provider_name: &'a str,
    pub(crate) provider_id: &'a str,
    pub(crate) tokens: &'a Tokens,
    /// What is asked in the provider's place.
    pub(crate) instead: Option<&'a str>,
    pub(crate) role: Role,
}

/// Asks the provider about a login. Never fails, like [`ask`].
pub(crate) async fn ask_about_login(question: &LoginQuestion<'_>) -> Answer {
    let LoginQuestion { provider_name: name, provider_id, tokens, instead, role } = *question;
    let Some((host, way)) = way_of_login(provider_id) else {
        return Answer {
            outcome: Outcome::Unsupported,
            detail: format!("A sign-in at {name} shows whether it works when it is renewed, or used."),
        };
    };
    let instance = tokens.base_url(provider_id);
    let base_url = instead.or(instance.as_deref()).unwrap_or(host);
    // Copilot's requests carry what others renew with (OpenCode 1.18.33, observed).
    let token = if provider_id == "github-copilot" { &tokens.refresh } else { &tokens.access };
    let mut headers = vec![("authorization", SecretString::from(format!("Bearer {}", token.expose_secret())))];
    headers.extend(tokens.account_id.iter().map(|id| ("chatgpt-account-id", SecretString::from(id.clone()))));
    let asked = Asked { name, before: base_url, way: &way, given: instead.is_none() && instance.is_some(), role };
    let status = match send(&asked, headers).await {
        Ok(reply) => reply.status.as_u16(),
        Err(unreachable) => return unreachable,
    };
    let (outcome, detail) = match status {
        200..=299 => (Outcome::Valid, format!("{name} accepts this sign-in.")),
        401 => (Outcome::Invalid, format!("{name} rejected this sign-in (401). Sign in again.")),
        402 => (Outcome::NoCredit, format!("The sign-in is good, but {name} says there is no credit left (402).")),
        403 => (
            Outcome::Limited,
            format!("{name} knows this sign-in, but doesn't let it list what it may use (403). It may still work."),
        ),
        429 => {
            (Outcome::Limited, format!("{name} is limiting requests right now (429). The sign-in was not rejected."))
        }
        404 | 405 | 501 => (
            Outcome::Unsupported,
            format!(
                "{name} has nothing at this address to check a sign-in with ({status}). It is tried with your next prompt."
            ),
        ),
        _ => (Outcome::Unreachable, format!("{name} could not check the sign-in right now ({status}).")),
    };
    Answer { outcome, detail }
}

/// Asks the provider. Never fails: what can't be found out is an outcome too.
pub(crate) async fn ask(question: &Question<'_>) -> Answer {
    let name = question.provider_name;
    let Some(way) = way(question.endpoint, question.base_url_given) else {
        return Answer {
            outcome: Outcome::Unsupported,
            detail: format!("{name} has no free way to check a key. It is tried with your first prompt."),
        };
    };
    match call(question, &way, true).await {
        Ok(reply) => judge(question, &way, reply).await,
        Err(unreachable) => unreachable,
    }
}

struct Reply {
    status: StatusCode,
    body: Vec<u8>,
}

async fn judge(question: &Question<'_>, way: &Way, reply: Reply) -> Answer {
    let name = question.provider_name;
    if question.key.expose_secret() == NO_KEY {
        match reply.status.as_u16() {
            200..=299 => {
                return Answer { outcome: Outcome::Valid, detail: format!("{name} answers, and asks for no key.") };
            }
            401 => {
                return Answer { outcome: Outcome::Invalid, detail: format!("{name} wants a key (401). Paste one.") };
            }
            _ => {}
        }
    }
    let answer = verdict(&question.endpoint.id, name, reply.status.as_u16(), &reply.body);
    if answer.outcome == Outcome::Valid
        && !way.needs_key
        && let Ok(without) = call(question, way, false).await
        && without.status.is_success()
    {
        return Answer {
            outcome: Outcome::Unsupported,
            detail: format!(
                "{name} answers, and would answer without a key too: the key is tried with your first prompt."
            ),
        };
    }
    answer
}

/// Says what an answer to a call with a key means.
fn verdict(id: &str, name: &str, status: u16, body: &[u8]) -> Answer {
    let answer = |outcome, detail: String| Answer { outcome, detail };
    match status {
        200..=299 => in_words(id, name, body).unwrap_or_else(|| answer(Outcome::Valid, works(name, body))),
        // A key that may do a few things only is good for those (OpenAI's restricted keys).
        401 | 403 if id == "openai" && contains(body, "Missing scopes") => answer(
            Outcome::Limited,
            format!("{name} knows this key, but it has no right to list models ({status}). It may still work."),
        ),
        401 => answer(
            Outcome::Invalid,
            format!("{name} rejected this key (401). Check that you copied all of it, or create a new one."),
        ),
        // Google and xAI answer 400 for a key they don't know.
        400 if rejects_with_400(body) || id == "xai" => answer(
            Outcome::Invalid,
            format!("{name} rejected this key (400). Check that you copied all of it, or create a new one."),
        ),
        402 => answer(Outcome::NoCredit, format!("The key is genuine, but {name} says there is no credit left (402).")),
        403 => answer(
            Outcome::Limited,
            format!("{name} knows this key, but doesn't let it list models (403). It may still work."),
        ),
        429 => {
            answer(Outcome::Limited, format!("{name} is limiting requests right now (429). The key was not rejected."))
        }
        404 | 405 | 501 => answer(
            Outcome::Unsupported,
            format!(
                "{name} has nothing at this address to check a key with ({status}). It is tried with your first prompt."
            ),
        ),
        300..=399 => answer(
            Outcome::Unreachable,
            format!(
                "{name} answered with a redirect ({status}), which is not followed with a key. Check the base URL."
            ),
        ),
        _ => answer(Outcome::Unreachable, format!("{name} could not check the key right now ({status}).")),
    }
}

/// Reads what some providers say about a key in an answer that is otherwise good.
fn in_words(id: &str, name: &str, body: &[u8]) -> Option<Answer> {
    let said: serde_json::Value = serde_json::from_slice(body).ok()?;
    let is = |field: &str, value: bool| said.get(field).and_then(serde_json::Value::as_bool) == Some(value);
    let (outcome, detail) = match id {
        "deepseek" if is("is_available", false) => {
            (Outcome::NoCredit, format!("The key is genuine, but {name} says there is no credit left."))
        }
        "openrouter" if said.pointer("/data/limit_remaining")?.as_f64()? <= 0.0 => {
            (Outcome::NoCredit, format!("The key is genuine, but what {name} lets it spend is used up."))
        }
        "xai" if is("api_key_blocked", true) || is("api_key_disabled", true) => {
            (Outcome::Invalid, format!("{name} says that this key is blocked or disabled. Create a new one."))
        }
        // Its answers are all 200, and say in themselves what they are.
        "zai" | "zai-coding-plan" if said.get("code").and_then(serde_json::Value::as_i64) == Some(401) => (
            Outcome::Invalid,
            format!("{name} rejected this key (401). Check that you copied all of it, or create a new one."),
        ),
        "xai" if is("team_blocked", true) => {
            (Outcome::Invalid, format!("{name} says that the team of this key is blocked. See your account there."))
        }
        _ => return None,
    };
    Some(Answer { outcome, detail })
}

fn works(name: &str, body: &[u8]) -> String {
    let count = serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| value.get("data").and_then(|data| data.as_array().map(Vec::len)))
        .filter(|count| *count > 1);
    match count {
        Some(count) => format!("{name} accepts this key and offers it {count} models."),
        None => format!("{name} accepts this key."),
    }
}

fn rejects_with_400(body: &[u8]) -> bool {
    ["API_KEY_INVALID", "API key not valid", "invalid_api_key"].iter().any(|words| contains(body, words))
}

fn contains(body: &[u8], words: &str) -> bool {
    String::from_utf8_lossy(body).contains(words)
}

async fn call(question: &Question<'_>, way: &Way, with_key: bool) -> Result<Reply, Answer> {
    let before = match (way.root, way.beside) {
        (Some(root), _) => root.to_owned(),
        (None, Some((from, to))) => question.base_url.replacen(from, to, 1),
        (None, None) => question.base_url.to_owned(),
    };
    let mut headers = Vec::new();
    if with_key && let Some(header) = &question.endpoint.key_header {
        let text = match header.scheme {
            KeyScheme::Bearer => format!("Bearer {}", question.key.expose_secret()),
            KeyScheme::Raw => question.key.expose_secret().to_owned(),
        };
        headers.push((header.name.as_str(), SecretString::from(text)));
    }
    let asked = Asked {
        name: question.provider_name,
        before: &before,
        way,
        given: question.base_url_given,
        role: question.role,
    };
    send(&asked, headers).await
}

/// Who is asked, and what.
struct Asked<'a> {
    name: &'a str,
    /// What the path comes after.
    before: &'a str,
    way: &'a Way,
    /// Whether a user gave the address.
    given: bool,
    role: Role,
}

/// Sends a question with headers that only the provider may see.
///
/// Secret: a key or token is in these headers for the length of one request, marked so that no log shows it.
async fn send(asked: &Asked<'_>, headers: Vec<(&str, SecretString)>) -> Result<Reply, Answer> {
    let Asked { name, before, way, given, role } = *asked;
    let unreachable = |detail: String| Answer { outcome: Outcome::Unreachable, detail };
    let mut url = Url::parse(&format!("{}/{}", before.trim_end_matches('/'), way.path))
        .map_err(|_| unreachable(format!("The base URL of {name} is not an address.")))?;
    url.set_query(way.query);
    let place = place_of(&url);
    let mut client = outward::client().timeout(TIMEOUT);
    if given {
        let addresses = allowed_addresses(&url, role).await.map_err(&unreachable)?;
        // The name is resolved once: a second answer of its server could lead somewhere that was not checked.
        client = client.no_proxy().resolve_to_addrs(url.host_str().unwrap_or_default(), &addresses);
    }
    let client = client.build().map_err(|_| unreachable("No HTTPS client could be set up.".to_owned()))?;
    let mut request = client.get(url);
    for (header, value) in way.headers {
        request = request.header(*header, *value);
    }
    for (header, text) in headers {
        let mut value = HeaderValue::from_str(text.expose_secret())
            .map_err(|_| unreachable("The key has a character that no request can carry.".to_owned()))?;
        value.set_sensitive(true);
        let header =
            HeaderName::try_from(header).map_err(|_| unreachable(format!("{name}'s key header is not a header.")))?;
        request = request.header(header, value);
    }
    let mut response = request.send().await.map_err(|e| {
        unreachable(if e.is_timeout() {
            format!("{place} did not answer within {} s.", TIMEOUT.as_secs())
        } else {
            format!("{place} could not be reached.")
        })
    })?;
    let status = response.status();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = BODY_MAX.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= BODY_MAX {
            break;
        }
    }
    Ok(Reply { status, body })
}

pub(crate) fn place_of(url: &Url) -> String {
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "The provider".to_owned(),
    }
}

/// Resolves the host of a URL that a user gave, and refuses where a server must not be made to call.
pub(crate) async fn allowed_addresses(url: &Url, role: Role) -> Result<Vec<SocketAddr>, String> {
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((name, port)))
            .await
            .map_err(|_| format!("{name} could not be looked up within {} s.", TIMEOUT.as_secs()))?
            .map_err(|_| format!("{name} could not be found."))?
            .collect(),
        None => return Err("The address names no host.".to_owned()),
    };
    if addresses.is_empty() {
        return Err(format!("{} could not be found.", place_of(url)));
    }
    match addresses.iter().find_map(|address| refusal(address.ip(), role)) {
        Some(refusal) => Err(refusal.to_owned()),
        None => Ok(addresses),
    }
}

/// Says why an address is not called on a user's behalf, if it isn't.
fn refusal(ip: IpAddr, role: Role) -> Option<&'static str> {
    let ip = match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    let metadata =
        [IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254))];
    if metadata.contains(&ip) {
        return Some("The address leads to a cloud's metadata service, which is never called.");
    }
    let local = match ip {
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || (v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    };
    match role {
        Role::Member if local => {
            Some("The address leads into this server's own network. Only an admin may connect that.")
        }
        Role::Member | Role::Admin => None,
    }
}

/// Keeps the answers of a method's prompts that make sense: names of a sane length, values that fit in a header.
pub(crate) fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), String> {
    if metadata.len() > 16 {
        return Err("There are more answers than any provider asks for.".to_owned());
    }
    for (name, value) in metadata {
        if name.len() > 64 || value.len() > 2048 || value.chars().any(char::is_control) {
            return Err(format!(
                "The answer to `{}` is too long or has a line break in it.",
                name.chars().take(64).collect::<String>()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_can_not_make_the_server_call_its_own_network() {
        for ip in [
            "127.0.0.1",
            "10.1.2.3",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "0.0.0.0",
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert!(refusal(ip, Role::Member).is_some(), "{ip}");
            assert!(refusal(ip, Role::Admin).is_none(), "{ip}");
        }
        assert!(refusal("1.1.1.1".parse().unwrap(), Role::Member).is_none());
    }

    #[test]
    fn nobody_can_make_the_server_call_a_metadata_service() {
        for ip in ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"] {
            let ip: IpAddr = ip.parse().unwrap();
            assert!(refusal(ip, Role::Admin).is_some(), "{ip}");
        }
    }

    fn outcome(id: &str, status: u16, body: &str) -> Outcome {
        verdict(id, "It", status, body.as_bytes()).outcome
    }

    #[test]
    fn what_a_provider_says_of_a_key_in_its_answer_counts() {
        for (id, body, expected) in [
            ("deepseek", r#"{"is_available":true,"balance_infos":[]}"#, Outcome::Valid),
            ("deepseek", r#"{"is_available":false,"balance_infos":[]}"#, Outcome::NoCredit),
            ("openrouter", r#"{"data":{"limit":null,"limit_remaining":null}}"#, Outcome::Valid),
            ("openrouter", r#"{"data":{"limit":5,"limit_remaining":0.2}}"#, Outcome::Valid),
            ("openrouter", r#"{"data":{"limit":5,"limit_remaining":0}}"#, Outcome::NoCredit),
            ("openrouter", r#"{"data":{"limit":5,"limit_remaining":-0.01}}"#, Outcome::NoCredit),
            ("xai", r#"{"api_key_blocked":false,"api_key_disabled":false,"team_blocked":false}"#, Outcome::Valid),
            ("xai", r#"{"api_key_blocked":true}"#, Outcome::Invalid),
            ("xai", r#"{"api_key_disabled":true}"#, Outcome::Invalid),
            ("xai", r#"{"team_blocked":true}"#, Outcome::Invalid),
            ("groq", r#"{"is_available":false,"team_blocked":true}"#, Outcome::Valid),
            ("zai", r#"{"code":200,"success":true,"data":{}}"#, Outcome::Valid),
            ("zai", r#"{"code":401,"msg":"token expired or incorrect","success":false}"#, Outcome::Invalid),
            ("deepseek", "not JSON", Outcome::Valid),
        ] {
            assert_eq!(outcome(id, 200, body), expected, "{id}: {body}");
        }
    }

    #[test]
    fn only_a_key_that_the_provider_does_not_know_is_invalid() {
        let scopes = r#"{"error":"You have insufficient permissions. Missing scopes: api.model.read."}"#;
        for (id, status, body, expected) in [
            ("openai", 401, scopes, Outcome::Limited),
            ("openai", 403, scopes, Outcome::Limited),
            ("openai", 401, r#"{"error":{"code":"invalid_api_key"}}"#, Outcome::Invalid),
            ("groq", 401, scopes, Outcome::Invalid),
            ("google", 400, r#"{"error":{"details":[{"reason":"API_KEY_INVALID"}]}}"#, Outcome::Invalid),
            ("google", 400, "{}", Outcome::Unreachable),
            ("xai", 400, "{}", Outcome::Invalid),
            ("groq", 402, "", Outcome::NoCredit),
            ("groq", 429, "", Outcome::Limited),
            ("groq", 404, "", Outcome::Unsupported),
            ("groq", 302, "", Outcome::Unreachable),
            ("groq", 503, "", Outcome::Unreachable),
        ] {
            assert_eq!(outcome(id, status, body), expected, "{id}: {status} {body}");
        }
    }

    #[test]
    fn a_provider_is_asked_at_an_address_of_its_own_only_where_the_user_named_none() {
        let endpoint = |id: &str| doce_opencode::endpoints::find(id).expect("the provider is known");
        for (id, place) in [
            ("deepseek", "user/balance"),
            ("opencode-go", "usage"),
            ("fireworks-ai", "accounts/fireworks/models"),
            ("huggingface", "whoami-v2"),
            ("zai", "monitor/usage/quota/limit"),
            ("azure", "models"),
        ] {
            assert_eq!(way(endpoint(id), false).map(|way| way.path), Some(place), "{id}");
            let own = way(endpoint(id), true).expect("it speaks OpenAI's protocol");
            assert_eq!((own.root, own.path), (None, "models"), "{id}");
        }
        assert!(way(endpoint("cohere"), true).is_none(), "a server that speaks Cohere's protocol has no known list");
    }

    /// Answers one request, and returns it.
    async fn answered(listener: &tokio::net::TcpListener, status: u16) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 8192];
        let length = socket.read(&mut request).await.unwrap();
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
        socket.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_login_is_asked_about_with_its_token_where_that_uses_nothing_up() {
        // It fails only if a provider is there already, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let tokens = Tokens {
            access: SecretString::from("the-access-token"),
            refresh: SecretString::from("the-refresh-token"),
            expires: 0,
            account_id: Some("acc-1".to_owned()),
            enterprise_url: None,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = format!("http://{}", listener.local_addr().unwrap());
        for (id, status, line, token, expected) in [
            ("openai", 200, "GET /wham/usage ", "the-access-token", Outcome::Valid),
            ("openai", 401, "GET /wham/usage ", "the-access-token", Outcome::Invalid),
            ("openai", 404, "GET /wham/usage ", "the-access-token", Outcome::Unsupported),
            ("github-copilot", 200, "GET /models ", "the-refresh-token", Outcome::Valid),
            ("github-copilot", 401, "GET /models ", "the-refresh-token", Outcome::Invalid),
            ("github-copilot", 402, "GET /models ", "the-refresh-token", Outcome::NoCredit),
            ("github-copilot", 403, "GET /models ", "the-refresh-token", Outcome::Limited),
            ("github-copilot", 429, "GET /models ", "the-refresh-token", Outcome::Limited),
            ("github-copilot", 302, "GET /models ", "the-refresh-token", Outcome::Unreachable),
            ("github-copilot", 503, "GET /models ", "the-refresh-token", Outcome::Unreachable),
        ] {
            let question = LoginQuestion {
                provider_name: "It",
                provider_id: id,
                tokens: &tokens,
                instead: Some(&here),
                role: Role::Member,
            };
            let (answer, request) = tokio::join!(ask_about_login(&question), answered(&listener, status));
            assert_eq!(answer.outcome, expected, "{id}: {status}");
            let request = request.to_lowercase();
            assert!(request.starts_with(&line.to_lowercase()), "{request}");
            assert!(request.contains(&format!("authorization: bearer {token}\r")), "{request}");
            assert!(request.contains("chatgpt-account-id: acc-1\r"), "{request}");
            assert_eq!(request.contains("x-github-api-version: "), id == "github-copilot", "{request}");
        }
        let other = LoginQuestion {
            provider_name: "It",
            provider_id: "xai",
            tokens: &tokens,
            instead: Some(&here),
            role: Role::Member,
        };
        assert_eq!(ask_about_login(&other).await.outcome, Outcome::Unsupported, "nobody is asked");
    }
}
