//! The outermost guard: a number for the request, the host it names, and everything that is written on the way out.

use std::{error::Error as _, fmt::Write as _, net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State as Extract},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use doce_model::{Actor, Ctx};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::Instrument as _;

use super::headers;
use crate::{
    address::{Named, Peer, Place, Via},
    control::Control,
    error::{Problem, code},
    metrics, preview_host,
    state::State,
};

/// The header that tells a request's number.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The headers by which proxies say that they forwarded a request.
const FORWARDED: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// Passes every request.
pub(crate) async fn front(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        // Only the listener puts it there, and every request comes from it.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let id = draw_id();
    match state.names.read(&request, peer.local) {
        Some(Named::Preview { slug, origin }) => preview_host::at_host(&state, request, &slug, &origin, &id).await,
        Some(Named::Doce(place)) => at_doce(&state, request, next, peer, place, id).await,
        None => {
            let problem = Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                code::WRONG_HOST,
                "This server isn't known under the name in the request's Host header.",
            )
            .hint("Open it as localhost, or start it with DOCE_PUBLIC_URL set to the address that browsers use.");
            let mut response = Response::new(Body::empty());
            problem.write(&mut response, &id);
            response.headers_mut().insert(REQUEST_ID, header(&id));
            response
        }
    }
}

async fn at_doce(state: &State, mut request: Request, next: Next, peer: Peer, place: Place, id: String) -> Response {
    // What comes over the control socket comes from no address.
    let is_control = request.extensions().get::<Control>().is_some();
    let address = (!is_control).then(|| client(request.headers(), peer, &place).to_string());
    let ctx = Ctx::new(Actor::Nobody, id.clone(), address, Arc::clone(&state.clock));
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let is_api = is_api(&path);
    // The template, not the path: that may hold anything.
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(ctx);
    request.extensions_mut().insert(place.clone());
    let span = span(&id);
    let began = std::time::Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| {
        let (status, took) = (response.status(), began.elapsed());
        state.metrics.answered(&method, route.as_ref().map_or(metrics::PAGES, MatchedPath::as_str), status, took);
        let (status, took) = (status.as_u16(), took.as_millis());
        tracing::debug!(%method, path, status, took, "answered");
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            if let Some(cause) = problem.cause() {
                tracing::error!(%method, path, error = chain(cause), "a request failed inside");
            }
            problem.write(&mut response, &id);
        }
    });
    response.headers_mut().insert(REQUEST_ID, header(&id));
    headers::add(response.headers_mut(), is_api, &state.names, &place);
    response
}

/// Says whether a path is the API's. Metrics are where everybody looks for them.
pub(crate) fn is_api(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/") || path == "/metrics"
}

/// Says whether a proxy claims to have forwarded the request.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    FORWARDED.iter().any(|name| headers.contains_key(*name))
}

/// The address that a request came from.
///
/// Behind the configured public address stands a proxy on this machine; the last address that it added is the one
/// that it saw. What anybody else writes into such a header counts for nothing.
fn client(headers: &HeaderMap, peer: Peer, place: &Place) -> IpAddr {
    let proxied = place.via == Via::Public && peer.remote.ip().is_loopback();
    let last = || {
        let line = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        line.rsplit(',').next()?.trim().parse::<IpAddr>().ok()
    };
    proxied.then(last).flatten().map_or(peer.remote.ip(), |ip| ip.to_canonical())
}

/// The span of a request: each line that is logged about it has its number.
pub(crate) fn span(id: &str) -> tracing::Span {
    tracing::info_span!("request", %id)
}

/// Draws a number for a request.
pub(crate) fn draw_id() -> String {
    let mut random = [0_u8; 12];
    getrandom::fill(&mut random).expect("the kernel has random bytes");
    random.iter().fold("req_".to_owned(), |mut id, byte| {
        // Writing into a string doesn't fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}

fn header(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("hexadecimal digits make a header value")
}

/// Writes an error and its causes as one line.
fn chain(error: &doce_app::Error) -> String {
    let mut line = format!("failed to {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing into a string doesn't fail.
        let _ = write!(line, ": {cause}");
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{address::Names, preview::Origin};

    fn seen(host: &str, remote: &str, forwarded: &[&'static str]) -> String {
        let names = Names { public: Some(Origin::parse("https://doce.example").unwrap()), preview_domain: None };
        let peer = Peer { remote: remote.parse().unwrap(), local: "127.0.0.1:1".parse().unwrap() };
        let mut request = http::Request::builder().header("host", host);
        for line in forwarded {
            request = request.header("x-forwarded-for", *line);
        }
        let request = request.body(()).unwrap();
        let Some(Named::Doce(place)) = names.read(&request, peer.local) else { panic!("{host}") };
        client(request.headers(), peer, &place).to_string()
    }

    #[test]
    fn a_forwarding_header_counts_only_from_the_proxy_and_only_its_last_word() {
        for (host, remote, forwarded, expected) in [
            ("doce.example", "127.0.0.1:9", &["203.0.113.5"][..], "203.0.113.5"),
            ("doce.example", "127.0.0.1:9", &["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
            ("doce.example", "127.0.0.1:9", &["198.51.100.1", "203.0.113.5"], "203.0.113.5"),
            ("doce.example", "127.0.0.1:9", &["nonsense"], "127.0.0.1"),
            ("doce.example", "127.0.0.1:9", &[], "127.0.0.1"),
            ("doce.example", "192.0.2.9:9", &["203.0.113.5"], "192.0.2.9"),
            ("localhost", "127.0.0.1:9", &["203.0.113.5"], "127.0.0.1"),
        ] {
            assert_eq!(seen(host, remote, forwarded), expected, "{host} {remote} {forwarded:?}");
        }
    }

    #[test]
    fn a_log_line_has_the_whole_chain() {
        #[derive(Debug, thiserror::Error)]
        #[error("open the file")]
        struct Outer(#[source] std::io::Error);
        let error = doce_app::Error::internal(Outer(std::io::Error::other("no such disk")));
        assert_eq!(chain(&error), "failed to carry this out: open the file: no such disk");
    }
}
