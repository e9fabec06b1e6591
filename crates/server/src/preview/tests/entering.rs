//! Tickets, passes, and everybody who has neither.

use super::*;

#[tokio::test]
async fn a_ticket_becomes_a_pass_and_the_pass_opens_the_app() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let ticket = world.preview.issue(world.grant());
    let url = Preview::enter_url(&world.origin, &ticket, Some("/menu?day=1"));
    let path = url.strip_prefix(OWN).expect("it is on the preview's origin");

    let entered = world.get(path, &[]).await;
    assert_eq!(entered.status(), StatusCode::SEE_OTHER);
    assert_eq!(text(entered.headers(), "cache-control"), "no-store");
    assert_eq!(text(entered.headers(), "referrer-policy"), "no-referrer");
    let cookie = text(entered.headers(), "set-cookie");
    assert!(cookie.starts_with(&format!("__Host-doce-preview-{}=", world.project.hex())));
    assert!(cookie.ends_with("; HttpOnly; Secure; SameSite=None; Partitioned"));
    assert!(!cookie.to_ascii_lowercase().contains("domain"));
    let pass = cookie.split_once(';').expect("it has attributes").0;

    let checked = world.get(&text(entered.headers(), "location"), &[("cookie", pass)]).await;
    assert_eq!(checked.status(), StatusCode::SEE_OTHER);
    assert_eq!(text(checked.headers(), "location"), "/menu?day=1");

    let shown = world.get("/menu?day=1", &[("cookie", pass)]).await;
    assert_eq!(shown.status(), StatusCode::OK);
    assert!(body(shown).await.starts_with("GET /menu?day=1\n"));
}

#[tokio::test]
async fn over_plain_http_to_another_machine_the_pass_is_lax() {
    let app = mirror().await;
    let upstream = Upstream::Ready { address: app.address };
    let world = World::start("http://192.0.2.2:5001", upstream, Limits::default()).await;
    let path = format!("/.doce/enter?ticket={}", world.ticket());
    let entered = world.get(&path, &[]).await;
    let cookie = text(entered.headers(), "set-cookie");
    assert!(cookie.starts_with("doce-preview-") && cookie.ends_with("; HttpOnly; SameSite=Lax"));
    let pass = cookie.split_once(';').expect("it has attributes").0;
    assert_eq!(world.get("/", &[("cookie", pass)]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_a_pass_a_person_reads_why_and_finds_the_way_back() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let response = world
        .get("/", &[("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate"), ("sec-fetch-site", "cross-site")])
        .await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(response.headers(), "content-type"), "text/html; charset=utf-8");
    assert!(text(response.headers(), "content-security-policy").starts_with("default-src 'none';"));
    let page = body(response).await;
    assert!(page.contains("This preview is private"));
    assert!(page.contains(&format!("href=\"{HOME}\"")));
    assert!(page.contains("data-kind=\"locked\""));
    assert!(page.contains("reference: <code>req_1</code>"));
}

#[tokio::test]
async fn without_a_pass_a_script_reads_one_line() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let response = world.get("/api", &[("accept", "*/*")]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(response.headers(), "content-type"), "text/plain; charset=utf-8");
    assert_eq!(body(response).await, "This preview is private (reference: req_1)\n");
}

#[tokio::test]
async fn a_preview_that_does_not_exist_looks_like_one_that_cannot_be_seen() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let there = world.get("/", &[("accept", "text/html")]).await;
    let request = world.built(Method::GET, "/", &[("accept", "text/html")]);
    let nowhere = Preview::refuse(&request, HOME, "req_1");
    assert_eq!(nowhere.status(), there.status());
    assert_eq!(body(nowhere).await, body(there).await);
}

#[tokio::test]
async fn a_ticket_works_once() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let path = format!("/.doce/enter?ticket={}", world.ticket());
    assert_eq!(world.get(&path, &[]).await.status(), StatusCode::SEE_OTHER);
    let again = world.get(&path, &[]).await;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED);
    assert!(!again.headers().contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn a_used_ticket_leads_whoever_is_inside_to_the_app() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let response = world.get("/.doce/enter?ticket=used&next=/x", &[("cookie", &pass)]).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(text(response.headers(), "location"), "/x");
    assert!(!response.headers().contains_key(header::SET_COOKIE));
}

#[tokio::test]
async fn a_ticket_is_worthless_after_half_a_minute() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let path = format!("/.doce/enter?ticket={}", world.ticket());
    world.clock.advance(TICKET_LIFE);
    assert_eq!(world.get(&path, &[]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_ticket_of_another_project_does_not_open_this_one() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let other = Grant { project: ProjectId::new(Ms(2)), ..world.grant() };
    let ticket = world.preview.issue(other);
    let path = format!("/.doce/enter?ticket={}", ticket.secret.expose_secret());
    assert_eq!(world.get(&path, &[]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_made_up_ticket_or_pass_opens_nothing() {
    let app = mirror().await;
    let world = World::with(&app).await;
    for path in ["/.doce/enter", "/.doce/enter?ticket=", "/.doce/enter?ticket=%00%ff", "/.doce/enter?x=y"] {
        assert_eq!(world.get(path, &[]).await.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let pass = world.pass().await;
    let (name, token) = pass.split_once('=').expect("it is a pair");
    for cookie in
        [format!("{name}="), format!("{name}={token}x"), format!("x{name}={token}"), format!("doce-preview={token}")]
    {
        assert_eq!(world.get("/", &[("cookie", &cookie)]).await.status(), StatusCode::UNAUTHORIZED, "{cookie}");
    }
}

#[tokio::test]
async fn a_planted_cookie_of_the_same_name_does_not_lock_the_owner_out() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let name = pass.split_once('=').expect("it is a pair").0;
    let cookie = format!("{name}=planted; {pass}");
    assert_eq!(world.get("/", &[("cookie", &cookie)]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_pass_ends_after_its_time() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let almost = PASS_LIFE.saturating_sub(Duration::from_millis(1));
    world.clock.advance(almost);
    assert_eq!(world.get("/", &[("cookie", &pass)]).await.status(), StatusCode::OK);
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.get("/", &[("cookie", &pass)]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn signing_out_ends_the_passes_of_that_browser() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    world.preview.revoke_sign_in(SignInId::new(Ms(9)));
    assert_eq!(world.get("/", &[("cookie", &pass)]).await.status(), StatusCode::OK);
    world.preview.revoke_sign_in(world.sign_in);
    assert_eq!(world.get("/", &[("cookie", &pass)]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn deleting_the_project_ends_its_tickets() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let path = format!("/.doce/enter?ticket={}", world.ticket());
    world.preview.revoke_project(world.project);
    assert_eq!(world.get(&path, &[]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_browser_that_keeps_no_cookie_is_told_so() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let path = format!("/.doce/enter?ticket={}", world.ticket());
    let entered = world.get(&path, &[]).await;
    let location = text(entered.headers(), "location");
    let response = world.get(&location, &[("accept", "text/html")]).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(body(response).await.contains("data-kind=\"cookie_refused\""));
}

#[tokio::test]
async fn entering_leads_nowhere_else() {
    let app = mirror().await;
    let world = World::with(&app).await;
    for next in
        ["//evil.example", "https://evil.example/", "/%5Cevil.example", "%2F%2Fevil.example", "/.doce/enter?ticket=x"]
    {
        let path = format!("/.doce/enter?ticket={}&next={next}", world.ticket());
        let response = world.get(&path, &[]).await;
        assert_eq!(text(response.headers(), "location"), "/.doce/entered?next=%2F", "{next}");
    }
}

#[tokio::test]
async fn only_a_get_uses_a_ticket_up() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let path = format!("/.doce/enter?ticket={}", world.ticket());
    for method in [Method::HEAD, Method::POST, Method::OPTIONS] {
        let response = world.send(world.built(method, &path, &[])).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(world.get(&path, &[]).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn the_paths_of_doce_never_reach_the_app() {
    let app = mirror().await;
    let world = World::with(&app).await;
    for path in ["/.doce", "/.doce/", "/.doce/anything", "/.doce/enter/x"] {
        assert_eq!(world.get_inside(path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(world.get_inside("/.docex").await.status(), StatusCode::OK);
}
