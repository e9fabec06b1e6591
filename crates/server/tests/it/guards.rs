//! What every request passes: its host, its origin, its type; and what every answer says to the browser.

use reqwest::Method;
use serde_json::json;

use crate::world::{PASSWORD, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_ours_is_refused_before_anything_else() {
    let world = World::start().await;
    let nobody = world.nobody();
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:1234", 200),
        ("127.0.0.1", 200),
        ("[::1]:4321", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("192.0.2.1", 421),
        ("0.0.0.0", 421),
        ("a.b.preview.localhost", 421),
        ("user@localhost", 421),
    ] {
        let answer = nobody.send(nobody.request(Method::GET, "/api/health").header("host", host)).await;
        assert_eq!(answer.status, status, "{host}");
        if status == 421 {
            let problem = answer.problem(421, "wrong_host");
            assert!(problem["hint"].as_str().unwrap().contains("DOCE_PUBLIC_URL"));
            assert!(!problem["request_id"].as_str().unwrap().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configured_public_address_is_ours_too() {
    let world = World::builder().public_url("https://doce.example").start().await;
    let nobody = world.nobody();
    for (host, status) in
        [("doce.example", 200), ("doce.example:443", 200), ("localhost", 200), ("doce.example:444", 421)]
    {
        let answer = nobody.send(nobody.request(Method::GET, "/api/health").header("host", host)).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_page_can_change_nothing() {
    let world = World::start().await;
    let browser = world.admin().await;
    let own = format!("http://127.0.0.1:{}", world.port);
    let other_port = format!("http://127.0.0.1:{}", world.port.wrapping_add(1));
    let preview = format!("http://bakery.preview.localhost:{}", world.port);
    let new = json!({"username": "bob", "password": PASSWORD, "role": "member"});
    for headers in [
        vec![("sec-fetch-site", "cross-site")],
        vec![("sec-fetch-site", "same-site")],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("origin", other_port.as_str())],
        vec![("origin", preview.as_str())],
        vec![("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
    ] {
        let mut request = browser.request(Method::POST, "/api/users").json(&new);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        browser.send(request).await.problem(403, "cross_origin");
    }
    assert_eq!(browser.get("/api/users").await.expect(200)["items"].as_array().unwrap().len(), 1);
    let request = browser.request(Method::POST, "/api/users").header("origin", &own).json(&new);
    browser.send(request).await.expect(201);
    let out = browser.request(Method::POST, "/api/sign-out").header("sec-fetch-site", "same-origin");
    browser.send(out).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_can_send_nothing() {
    let world = World::start().await;
    let browser = world.admin().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let request = browser
            .request(Method::POST, "/api/users")
            .header("content-type", kind)
            .body(json!({"username": "bob", "password": PASSWORD, "role": "member"}).to_string());
        browser.send(request).await.problem(415, "unsupported_media_type");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cookie_is_strict_where_browsers_allow_it() {
    let world = World::builder().public_url("http://doce.lan").start().await;
    world.admin().await;
    let nobody = world.nobody();
    for (host, start, secure) in [("localhost", "__Host-doce=", true), ("doce.lan", "doce=", false)] {
        let request = nobody
            .request(Method::POST, "/api/sign-in")
            .header("host", host)
            .json(&json!({"username": "ada", "password": PASSWORD}));
        let answer = nobody.send(request).await;
        answer.expect(200);
        let cookie = answer.header("set-cookie");
        assert!(cookie.starts_with(start), "{host}: {cookie}");
        assert!(cookie.contains("; HttpOnly; SameSite=Lax") && cookie.contains("; Path=/;"), "{host}: {cookie}");
        assert_eq!(cookie.contains("; Secure"), secure, "{host}: {cookie}");
        let request = nobody.request(Method::GET, "/api/system").header("host", host);
        assert_eq!(nobody.send(request).await.expect(200)["encrypted"], secure, "{host}");
        nobody.set_cookie(None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_for_plain_http_is_worth_nothing_on_a_secure_name() {
    let world = World::start().await;
    let browser = world.admin().await;
    let token = browser.cookie().unwrap().split_once('=').unwrap().1.to_owned();
    browser.set_cookie(Some(format!("doce={token}")));
    browser.get("/api/me").await.problem(401, "sign_in_required");
    browser.set_cookie(Some(format!("__Host-doce={token}")));
    browser.get("/api/me").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_the_browser_what_it_may_do() {
    let world = World::start().await;
    let nobody = world.nobody();
    for (path, policy) in [
        ("/", "script-src 'self'"),
        ("/projects/x", "script-src 'self'"),
        ("/api/health", "default-src 'none'; frame-ancestors 'none'"),
        ("/api/nothing", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        let answer = nobody.get(path).await;
        assert!(answer.header("content-security-policy").contains(policy), "{path}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(!answer.header("content-security-policy").contains("unsafe-"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert!(answer.header("permissions-policy").contains("camera=()"), "{path}");
        assert_eq!(answer.header("strict-transport-security"), "", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
    let previews = format!("frame-src http://*.preview.localhost:{};", world.port);
    assert!(nobody.get("/").await.header("content-security-policy").contains(&previews));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requests_number_is_ours_and_no_two_are_the_same() {
    let world = World::start().await;
    let nobody = world.nobody();
    let request = nobody.request(Method::GET, "/api/health").header("x-request-id", "mine");
    let first = nobody.send(request).await.header("x-request-id").to_owned();
    let second = nobody.get("/api/health").await.header("x-request-id").to_owned();
    assert!(first.starts_with("req_") && second.starts_with("req_"));
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_carried_out_though_nobody_waits_for_it_any_more() {
    let world = World::running().await;
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let provider = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", provider.local_addr().unwrap());
    let new = json!({"provider_id": "anthropic", "auth_type": "api", "key": "sk-one-0123456789", "base_url": base_url});
    let request = browser.request(Method::POST, "/api/connections").json(&new).send();
    // The provider was asked, so the change is under way; then the browser goes away, and the provider hangs up.
    let (asked, _) = tokio::select! {
        accepted = provider.accept() => accepted.unwrap(),
        answer = request => panic!("the provider was not asked: {answer:?}"),
    };
    drop(asked);
    drop(provider);
    doce_testkit::wait_for("the connection", crate::world::BOUND, async || {
        let list = browser.get("/api/connections").await.expect(200);
        (!list["items"].as_array()?.is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_packed_for_who_takes_it() {
    let world = World::start().await;
    let nobody = world.nobody();
    let plain = nobody.get("/api/openapi.json").await;
    assert_eq!(plain.header("content-encoding"), "");
    for coding in ["br", "gzip"] {
        let request = nobody.request(Method::GET, "/api/openapi.json").header("accept-encoding", coding);
        let packed = nobody.send(request).await;
        assert_eq!(packed.header("content-encoding"), coding);
        assert!(packed.body.len() * 3 < plain.body.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_pages_the_server_says_so_in_a_sentence() {
    let world = World::start().await;
    let answer = world.nobody().get("/").await;
    if cfg!(feature = "ui") {
        assert!(answer.header("content-type").starts_with("text/html"));
    } else {
        assert!(answer.text().contains("cargo xtask build"));
    }
}
