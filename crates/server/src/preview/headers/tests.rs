//! What passes the proxy in either direction, header by header.

use super::*;

fn own() -> Origin {
    Origin::parse("http://a.preview.localhost:4321").expect("it is an origin")
}

fn opener() -> Origin {
    Origin::parse("http://localhost:4321").expect("it is an origin")
}

fn app() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 5173))
}

fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = HeaderValue::from_str(value).expect("it is a header value");
        headers.append(HeaderName::from_static(name), value);
    }
    headers
}

fn foreign(method: &Method, lines: &[(&'static str, &str)]) -> bool {
    is_foreign(method, &map(lines), &own())
}

#[test]
fn the_previews_own_requests_and_typed_addresses_pass() {
    let origin = ("origin", "http://a.preview.localhost:4321");
    assert!(!foreign(&Method::GET, &[]));
    assert!(!foreign(&Method::POST, &[("sec-fetch-site", "same-origin"), origin]));
    assert!(!foreign(&Method::POST, &[("sec-fetch-site", "same-origin"), ("origin", "null")]));
    assert!(!foreign(&Method::GET, &[("sec-fetch-site", "none")]));
    assert!(!foreign(&Method::POST, &[origin]));
}

#[test]
fn another_page_may_open_the_preview_and_nothing_else() {
    for site in ["cross-site", "same-site", "made-up"] {
        let with = |mode, dest| [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        assert!(!foreign(&Method::GET, &with("navigate", "iframe")));
        assert!(!foreign(&Method::GET, &with("navigate", "document")));
        assert!(foreign(&Method::POST, &with("navigate", "document")));
        assert!(foreign(&Method::GET, &with("navigate", "object")));
        assert!(foreign(&Method::GET, &with("no-cors", "script")));
        assert!(foreign(&Method::GET, &with("no-cors", "image")));
        assert!(foreign(&Method::GET, &with("cors", "empty")));
        assert!(foreign(&Method::GET, &[("sec-fetch-site", site)]));
    }
}

#[test]
fn without_fetch_metadata_the_origin_decides() {
    for origin in [
        "http://b.preview.localhost:4321",
        "http://localhost:4321",
        "http://a.preview.localhost",
        "https://a.preview.localhost:4321",
        "http://a.preview.localhost:4321.evil.example",
        "null",
        "",
    ] {
        assert!(foreign(&Method::GET, &[("origin", origin)]), "{origin}");
    }
    let twice = [("origin", "http://a.preview.localhost:4321"), ("origin", "http://evil.example")];
    assert!(foreign(&Method::GET, &twice));
}

#[test]
fn a_socket_of_another_page_is_foreign_whatever_its_metadata_says() {
    let lines = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-fetch-site", "same-origin"),
        ("origin", "http://evil.example"),
    ];
    assert!(foreign(&Method::GET, &lines));
}

#[test]
fn the_app_is_told_that_it_runs_on_localhost() {
    let mut headers = map(&[
        ("host", "a.preview.localhost:4321"),
        ("origin", "http://a.preview.localhost:4321"),
        ("referer", "http://a.preview.localhost:4321/x?y"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.example"),
        ("x-real-ip", "1.2.3.4"),
        ("cookie", "doce=secret"),
        ("authorization", "Bearer the-apps-own"),
    ]);
    for_app(&mut headers, app(), &own());
    let told = map(&[
        ("host", "localhost:5173"),
        ("origin", "http://localhost:5173"),
        ("referer", "http://localhost:5173/x?y"),
        ("authorization", "Bearer the-apps-own"),
    ]);
    assert_eq!(headers, told);
}

#[test]
fn an_origin_that_only_begins_like_the_previews_stays() {
    let mut headers = map(&[("referer", "http://a.preview.localhost:43210/")]);
    for_app(&mut headers, app(), &own());
    assert_eq!(headers["referer"], "http://a.preview.localhost:43210/");
}

#[test]
fn what_concerns_one_connection_goes_no_further() {
    let mut headers = map(&[
        ("connection", "close, X-Secret ,host"),
        ("connection", "upgrade"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "x"),
        ("expect", "100-continue"),
        ("x-secret", "1"),
        ("accept", "*/*"),
    ]);
    for_app(&mut headers, app(), &own());
    assert_eq!(headers, map(&[("accept", "*/*"), ("host", "localhost:5173")]));
}

fn location(said: &str) -> String {
    let mut headers = map(&[("location", said)]);
    for_browser(&mut headers, app(), &own(), &opener());
    headers["location"].to_str().expect("it is ASCII").to_owned()
}

#[test]
fn a_redirect_to_the_app_itself_stays_on_the_preview() {
    for (said, sent) in [
        ("http://localhost:5173/a?b#c", "/a?b#c"),
        ("http://127.0.0.1:5173", "/"),
        ("//localhost:5173/a", "/a"),
        ("https://[::1]:5173?x", "/?x"),
        ("HTTP://LOCALHOST:5173/a", "/a"),
        ("/a", "/a"),
        ("a/b", "a/b"),
        ("http://localhost:51730/a", "http://localhost:51730/a"),
        ("http://localhost/a", "http://localhost/a"),
        ("https://id.example/login", "https://id.example/login"),
        ("http://localhost:5173.evil.example/", "http://localhost:5173.evil.example/"),
        ("http://localhost:5173//evil.example", "http://a.preview.localhost:4321//evil.example"),
        ("http://localhost:5173/\\evil.example", "http://a.preview.localhost:4321/\\evil.example"),
    ] {
        assert_eq!(location(said), sent, "{said}");
    }
}

fn policies(said: &[&str]) -> Vec<String> {
    let mut headers = HeaderMap::new();
    for policy in said {
        let policy = HeaderValue::from_str(policy).expect("it is a header value");
        headers.append(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    for_browser(&mut headers, app(), &own(), &opener());
    assert!(!headers.contains_key(header::X_FRAME_OPTIONS));
    headers
        .get_all(header::CONTENT_SECURITY_POLICY)
        .iter()
        .map(|policy| policy.to_str().expect("it is ASCII").to_owned())
        .collect()
}

#[test]
fn only_the_opener_may_frame_the_app_whatever_the_app_says() {
    let ours = "frame-ancestors 'self' http://localhost:4321".to_owned();
    assert_eq!(policies(&[]), [ours.as_str()]);
    assert_eq!(policies(&["frame-ancestors 'none'"]), [ours.as_str()]);
    assert_eq!(
        policies(&["default-src 'self'; FRAME-ANCESTORS *; img-src *", "frame-ancestors\t*, script-src 'self';, ;",]),
        [ours, "default-src 'self'; img-src *".to_owned(), "script-src 'self'".to_owned()]
    );
}

#[test]
fn an_answer_reaches_no_further_than_the_apps_host() {
    let mut headers = map(&[
        ("clear-site-data", "\"*\""),
        ("strict-transport-security", "max-age=1; includeSubDomains"),
        ("alt-svc", "h2=\"evil.example:443\""),
        ("set-cookie", "doce=x"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("connection", "x-app"),
        ("x-app", "1"),
        ("content-type", "text/html"),
        ("referrer-policy", "no-referrer"),
    ]);
    for_browser(&mut headers, app(), &own(), &opener());
    let sent = map(&[
        ("content-type", "text/html"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "frame-ancestors 'self' http://localhost:4321"),
    ]);
    assert_eq!(headers, sent);
}
