//! What the app sees of a request and the browser of an answer.

use super::*;

#[tokio::test]
async fn the_app_sees_localhost_and_none_of_doces_cookies() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let cookie = format!("theme=dark; {pass}; __Host-doce=signin; doce=signin; cart=3");
    let request = world
        .request(Method::POST, "/order?x=1")
        .header("cookie", cookie)
        .header("origin", OWN)
        .header("authorization", "Bearer the-apps-own")
        .header("x-forwarded-host", "evil.example")
        .body(Body::from("two loaves"))
        .expect("it is a request");
    let told = body(world.send(request).await).await;
    let port = app.address.port();
    assert!(told.starts_with("POST /order?x=1\n"), "{told}");
    assert!(told.contains(&format!("\nhost: localhost:{port}\n")), "{told}");
    assert!(told.contains(&format!("\norigin: http://localhost:{port}\n")), "{told}");
    assert!(told.contains("\ncookie: theme=dark; cart=3\n"), "{told}");
    assert!(told.contains("\nauthorization: Bearer the-apps-own\n"), "{told}");
    assert!(told.ends_with("\ntwo loaves"), "{told}");
    assert!(!told.contains("signin") && !told.contains("evil.example"), "{told}");
    let token = pass.split_once('=').expect("it is a pair").1;
    assert!(!told.contains(token), "{told}");
}

#[tokio::test]
async fn another_page_can_neither_read_nor_embed_nor_post() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let by = |method: Method, site: &str, mode: &str, dest: &str| {
        world.built(
            method,
            "/",
            &[("cookie", &pass), ("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)],
        )
    };
    for (request, status) in [
        (by(Method::GET, "same-site", "no-cors", "script"), StatusCode::FORBIDDEN),
        (by(Method::GET, "same-site", "cors", "empty"), StatusCode::FORBIDDEN),
        (by(Method::POST, "cross-site", "navigate", "document"), StatusCode::FORBIDDEN),
        (by(Method::GET, "cross-site", "navigate", "iframe"), StatusCode::OK),
        (by(Method::GET, "same-origin", "cors", "empty"), StatusCode::OK),
    ] {
        assert_eq!(world.send(request).await.status(), status);
    }
    let foreign = world.get("/", &[("cookie", &pass), ("origin", "http://other.preview.localhost:4321")]).await;
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn only_the_page_that_asked_for_the_ticket_may_frame_the_app() {
    let app = app_saying(
        StatusCode::OK,
        &[("x-frame-options", "DENY"), ("content-security-policy", "script-src 'self'; frame-ancestors *")],
    )
    .await;
    let world = World::with(&app).await;
    let response = world.get_inside("/").await;
    let policies: Vec<_> = response.headers().get_all("content-security-policy").iter().collect();
    assert_eq!(policies, [&format!("frame-ancestors 'self' {OPENER}"), "script-src 'self'"]);
    assert!(!response.headers().contains_key("x-frame-options"));
    assert_eq!(text(response.headers(), "cross-origin-resource-policy"), "same-origin");
    assert_eq!(text(response.headers(), "referrer-policy"), "same-origin");
    assert_eq!(body(response).await, "body");
}

#[tokio::test]
async fn the_apps_cookies_are_narrowed_and_ours_cannot_be_set() {
    let app = app_saying(
        StatusCode::OK,
        &[
            ("set-cookie", "a=1; Domain=preview.localhost; Path=/"),
            ("set-cookie", "__Host-doce=x; Path=/; Secure"),
            ("set-cookie", "doce=x; Domain=localhost"),
            ("set-cookie", "b=2; HttpOnly; SameSite=Lax"),
            ("clear-site-data", "\"cookies\""),
        ],
    )
    .await;
    let world = World::with(&app).await;
    let response = world.get_inside("/").await;
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(
        cookies,
        ["a=1; Path=/; Secure; SameSite=None; Partitioned", "b=2; HttpOnly; Secure; SameSite=None; Partitioned"]
    );
    assert!(!response.headers().contains_key("clear-site-data"));
}

#[tokio::test]
async fn a_redirect_is_passed_on_and_not_followed() {
    let app = app_saying(StatusCode::FOUND, &[("location", "/elsewhere")]).await;
    let world = World::with(&app).await;
    let response = world.get_inside("/").await;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(text(response.headers(), "location"), "/elsewhere");
}

#[tokio::test]
async fn a_redirect_to_the_apps_own_address_stays_on_the_preview() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let target = format!("http://localhost:{}/login?next=/", address.port());
    let router = Router::new().fallback(any(async move || (StatusCode::SEE_OTHER, [("location", target.clone())])));
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    let world = World::with(&At { address }).await;
    let response = world.get_inside("/").await;
    assert_eq!(text(response.headers(), "location"), "/login?next=/");
}
