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
use doce_opencode::endpoints::{Endpoint, KeyScheme};
use doce_vault::{ExposeSecret as _, SecretString};
use reqwest::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use url::{Host, Url};

use crate::custom::NO_KEY;

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
    /// What is appended to the base URL.
    path: &'static str,
    query: Option<&'static str>,
    headers: &'static [(&'static str, &'static str)],
    /// Whether the call is known to require a good key.
    needs_key: bool,
}

const fn models(needs_key: bool) -> Way {
    Way { path: "models", query: None, headers: &[], needs_key }
}

/// The cheapest call that a wrong key fails. From the providers' own documentation and public tools.
fn way(endpoint: &Endpoint) -> Option<Way> {
    let way = match endpoint.id.as_str() {
        "anthropic" => Way {
            path: "models",
            query: Some("limit=1"),
            headers: &[("anthropic-version", "2023-06-01")],
            needs_key: true,
        },
        // Its list of models is public; this call is about the key.
        "openrouter" => Way { path: "key", query: None, headers: &[], needs_key: true },
        "google" => Way { path: "models", query: Some("pageSize=1"), headers: &[], needs_key: true },
        "xai" => Way { path: "api-key", query: None, headers: &[], needs_key: true },
        "openai" | "groq" | "mistral" | "deepseek" | "togetherai" | "cerebras" | "moonshotai" => models(true),
        _ => match endpoint.npm.first().map(String::as_str) {
            Some("@ai-sdk/anthropic") => Way {
                path: "models",
                query: Some("limit=1"),
                headers: &[("anthropic-version", "2023-06-01")],
                needs_key: false,
            },
            Some(
                "@ai-sdk/openai-compatible"
                | "@ai-sdk/openai"
                | "@ai-sdk/groq"
                | "@ai-sdk/cerebras"
                | "@ai-sdk/mistral"
                | "@ai-sdk/togetherai"
                | "@ai-sdk/xai"
                | "@ai-sdk/vercel"
                | "venice-ai-sdk-provider"
                | "@openrouter/ai-sdk-provider",
            ) => models(false),
            _ => return None,
        },
    };
    Some(way)
}

/// Asks the provider. Never fails: what can't be found out is an outcome too.
pub(crate) async fn ask(question: &Question<'_>) -> Answer {
    let name = question.provider_name;
    let Some(way) = way(question.endpoint) else {
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
    let status = reply.status.as_u16();
    let answer = |outcome, detail: String| Answer { outcome, detail };
    match status {
        200..=299 if question.key.expose_secret() == NO_KEY => {
            answer(Outcome::Valid, format!("{name} answers, and asks for no key."))
        }
        401 if question.key.expose_secret() == NO_KEY => {
            answer(Outcome::Invalid, format!("{name} wants a key (401). Paste one."))
        }
        200..=299 => {
            if !way.needs_key
                && let Ok(without) = call(question, way, false).await
                && without.status.is_success()
            {
                return answer(
                    Outcome::Unsupported,
                    format!(
                        "{name} answers, and would answer without a key too: the key is tried with your first prompt."
                    ),
                );
            }
            answer(Outcome::Valid, works(name, &reply.body))
        }
        401 => answer(
            Outcome::Invalid,
            format!("{name} rejected this key (401). Check that you copied all of it, or create a new one."),
        ),
        // Google and xAI answer 400 for a key they don't know.
        400 if rejects_with_400(&reply.body) || question.endpoint.id == "xai" => answer(
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
    let text = String::from_utf8_lossy(body);
    text.contains("API_KEY_INVALID") || text.contains("API key not valid") || text.contains("invalid_api_key")
}

async fn call(question: &Question<'_>, way: &Way, with_key: bool) -> Result<Reply, Answer> {
    let name = question.provider_name;
    let unreachable = |detail: String| Answer { outcome: Outcome::Unreachable, detail };
    let mut url = Url::parse(&format!("{}/{}", question.base_url.trim_end_matches('/'), way.path))
        .map_err(|_| unreachable(format!("The base URL of {name} is not an address.")))?;
    url.set_query(way.query);
    let place = place_of(&url);
    let mut client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("doce/", env!("CARGO_PKG_VERSION")));
    if question.base_url_given {
        let addresses = allowed_addresses(&url, question.role).await.map_err(&unreachable)?;
        // The name is resolved once: a second answer of its server could lead somewhere that was not checked.
        client = client.no_proxy().resolve_to_addrs(url.host_str().unwrap_or_default(), &addresses);
    }
    let client = client.build().map_err(|_| unreachable("No HTTPS client could be set up.".to_owned()))?;
    let mut request = client.get(url);
    for (header, value) in way.headers {
        request = request.header(*header, *value);
    }
    if with_key && let Some(header) = &question.endpoint.key_header {
        // Secret: the key is in this header for the length of one request, marked so that no log shows it.
        let text = match header.scheme {
            KeyScheme::Bearer => format!("Bearer {}", question.key.expose_secret()),
            KeyScheme::Raw => question.key.expose_secret().to_owned(),
        };
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| unreachable("The key has a character that no request can carry.".to_owned()))?;
        value.set_sensitive(true);
        let header = HeaderName::try_from(header.name.as_str())
            .map_err(|_| unreachable(format!("{name}'s key header is not a header.")))?;
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
        None => return Err("The base URL names no host.".to_owned()),
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
        return Some("The base URL leads to a cloud's metadata service, which is never called.");
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
            Some("The base URL leads into this server's own network. Only an admin may connect that.")
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
}
