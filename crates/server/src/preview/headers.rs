//! Headers: which request is the preview's own, what of it the app sees, and what of the answer the browser sees.

use std::net::SocketAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{self, Entry},
};

use super::{Origin, cookies};

/// Headers about one connection, not about what it carries (RFC 9110 §7.6.1), and what asks about connections.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];

/// Hop by hop too, without a standard.
const HOP_BY_HOP_BY_HABIT: [&str; 2] = ["proxy-connection", "http2-settings"];

/// What would reach past the app's own host if its answer said so: the first clears the cookies of a whole site, doce's
/// too; the others bind or move a host that another preview, or doce on another port, may share.
const REACHES_TOO_FAR: [&str; 5] =
    ["clear-site-data", "strict-transport-security", "alt-svc", "public-key-pins", "set-cookie2"];

const FETCH_SITE: &str = "sec-fetch-site";
const FETCH_MODE: &str = "sec-fetch-mode";
const FETCH_DEST: &str = "sec-fetch-dest";

/// Returns the bytes of all names and values.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Says whether a request comes from a page of another origin and is more than opening the preview in a frame or tab.
///
/// Another preview is the same site, so its requests could carry this one's cookies; and the app may allow anybody.
pub(super) fn is_foreign(method: &Method, headers: &HeaderMap, own: &Origin) -> bool {
    let names_another = headers.get_all(header::ORIGIN).iter().any(|origin| !own.is(origin));
    let Some(site) = headers.get(FETCH_SITE) else {
        return names_another;
    };
    if site == "same-origin" || site == "none" {
        // A form under `Referrer-Policy: no-referrer` sends `Origin: null` to its own page; a socket never does.
        return names_another && is_websocket(method, headers);
    }
    let opens_a_page = (method == Method::GET || method == Method::HEAD)
        && headers.get(FETCH_MODE).is_some_and(|mode| mode == "navigate")
        && headers.get(FETCH_DEST).is_some_and(|dest| dest == "document" || dest == "iframe");
    !opens_a_page
}

/// Says whether a person will read the answer, so that it had better be a page.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    match headers.get(FETCH_DEST) {
        Some(dest) => dest == "document" || dest == "iframe",
        None => headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html")),
    }
}

/// Says whether a request wants to become a WebSocket.
pub(super) fn is_websocket(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET
        && tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && headers.get(header::UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Asks for a WebSocket on one connection.
pub(super) fn upgrade_to_websocket(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Makes a browser's headers the app's: without doce's cookies, and as if the page were at `http://localhost:<port>`.
pub(super) fn for_app(headers: &mut HeaderMap, app: SocketAddr, own: &Origin) {
    drop_hop_by_hop(headers);
    cookies::strip_ours(headers);
    let forwarded: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-forwarded-") || *name == header::FORWARDED || *name == "x-real-ip")
        .cloned()
        .collect();
    for name in forwarded {
        headers.remove(name);
    }
    let port = app.port();
    let host = HeaderValue::from_str(&format!("localhost:{port}")).expect("a host and a port make a header value");
    headers.insert(header::HOST, host);
    let local = format!("http://localhost:{port}");
    for name in [header::ORIGIN, header::REFERER] {
        if let Entry::Occupied(mut entry) = headers.entry(name)
            && let Some(rest) = after_origin(entry.get().as_bytes(), own.as_str().as_bytes())
            && let Ok(value) = HeaderValue::from_bytes(&[local.as_bytes(), rest].concat())
        {
            entry.insert(value);
        }
    }
}

/// Makes the app's headers the browser's: only `opener` may frame it, no other page may read or embed it, its cookies
/// and redirects stay on its host.
pub(super) fn for_browser(headers: &mut HeaderMap, app: SocketAddr, own: &Origin, opener: &Origin) {
    drop_hop_by_hop(headers);
    for name in REACHES_TOO_FAR {
        headers.remove(name);
    }
    cookies::narrow(headers, own);
    if let Entry::Occupied(mut entry) = headers.entry(header::LOCATION)
        && let Some(value) = relocated(entry.get(), app, own)
    {
        entry.insert(value);
    }
    headers.remove(header::X_FRAME_OPTIONS);
    let policies: Vec<HeaderValue> =
        headers.get_all(header::CONTENT_SECURITY_POLICY).iter().filter_map(without_frame_ancestors).collect();
    // Each policy that is sent holds, so one more only narrows.
    headers.insert(header::CONTENT_SECURITY_POLICY, frame_ancestors(opener));
    for policy in policies {
        headers.append(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("same-origin"));
}

fn frame_ancestors(opener: &Origin) -> HeaderValue {
    HeaderValue::from_str(&format!("frame-ancestors 'self' {opener}"))
        .expect("an origin is ASCII without control characters")
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    // Where both are given the length means nothing (RFC 9112 §6.3), and left alone it would be believed.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = tokens(headers, &header::CONNECTION).filter_map(|token| token.parse().ok()).collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_BY_HABIT {
        headers.remove(name);
    }
}

fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Returns what follows an origin in an address: nothing, or a path, a query or a fragment.
fn after_origin<'a>(address: &'a [u8], origin: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = address.split_at_checked(origin.len())?;
    (start.eq_ignore_ascii_case(origin) && matches!(rest.first(), None | Some(b'/' | b'?' | b'#'))).then_some(rest)
}

/// Returns a redirect to the app's own address as one within the preview.
fn relocated(location: &HeaderValue, app: SocketAddr, own: &Origin) -> Option<HeaderValue> {
    let address = location.as_bytes();
    let port = app.port();
    let rest = ["localhost", "127.0.0.1", "[::1]", "0.0.0.0"]
        .iter()
        .flat_map(|host| ["http:", "https:", ""].map(|scheme| format!("{scheme}//{host}:{port}")))
        .find_map(|local| after_origin(address, local.as_bytes()))?;
    let text = match rest {
        // `//host` alone would name another host: only a full address keeps it a path.
        [b'/', b'/' | b'\\', ..] => [own.as_str().as_bytes(), rest].concat(),
        [b'/', ..] => rest.to_vec(),
        _ => [b"/", rest].concat(),
    };
    HeaderValue::from_bytes(&text).ok()
}

/// Returns policies without what they say about frames; nothing if that was all. A line may hold several.
fn without_frame_ancestors(line: &HeaderValue) -> Option<HeaderValue> {
    let policies: Vec<Vec<u8>> = line
        .as_bytes()
        .split(|b| *b == b',')
        .map(|policy| {
            let kept: Vec<&[u8]> = policy
                .split(|b| *b == b';')
                .map(<[u8]>::trim_ascii)
                .filter(|directive| {
                    let name = directive.split(u8::is_ascii_whitespace).next().unwrap_or_default();
                    !name.is_empty() && !name.eq_ignore_ascii_case(b"frame-ancestors")
                })
                .collect();
            kept.join(&b"; "[..])
        })
        .filter(|policy| !policy.is_empty())
        .collect();
    if policies.is_empty() {
        return None;
    }
    HeaderValue::from_bytes(&policies.join(&b", "[..])).ok()
}

#[cfg(test)]
mod tests;
