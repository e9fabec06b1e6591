//! Previews through the whole server: a ticket, a pass, the app; by host name and by port.

use std::time::Duration;

use doce_testkit::{ScriptedModel, wait_for};
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use url::Url;

use crate::world::{Answer, BOUND, Browser, World, id};

/// A project whose preview answers.
async fn with_preview(world: &World, browser: &Browser) -> Value {
    let model = ScriptedModel::start().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let created = browser.create_project("[[say: one]]").await;
    let at = format!("/api/projects/{}", id(&created["project"]));
    assert!(world.port > 0);
    wait_for("the preview", BOUND, async || {
        let project = browser.get(&at).await.expect(200);
        (project["preview"]["state"] == "ready").then_some(project)
    })
    .await
}

pub(crate) async fn ticket(browser: &Browser, project: &Value, host: &str) -> Answer {
    let path = format!("/api/projects/{}/preview-ticket", id(project));
    browser.send(browser.request(Method::POST, &path).header("host", host).json(&json!({}))).await
}

/// Asks for an address as a browser would, but at this machine, whatever name it has.
pub(crate) async fn visit(browser: &Browser, url: &str, port: u16) -> Answer {
    let url = Url::parse(url).expect("it is an address");
    let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
    let here = format!("http://127.0.0.1:{port}{}", &url[url::Position::BeforePath..]);
    let mut request = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .expect("a client without settings can be made")
        .get(here)
        .header("host", host)
        .header("accept", "text/html");
    if let Some(cookie) = browser.cookie() {
        request = request.header("cookie", cookie);
    }
    browser.send(request).await
}

/// Enters a preview with a ticket, and returns the browser that is inside and the preview's address.
pub(crate) async fn enter(world: &World, url: &str, port: u16) -> (Browser, String) {
    let inside = world.nobody();
    let entered = visit(&inside, url, port).await;
    assert_eq!(entered.status, 303, "{}", entered.text());
    let cookie = entered.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && !cookie.to_lowercase().contains("domain="), "{cookie}");
    let base = Url::parse(url).and_then(|url| url.join("/")).expect("it is an address").to_string();
    (inside, base)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_the_preview_once_and_only_the_pass_opens_it_then() {
    let world = World::running().await;
    let browser = world.admin().await;
    let project = with_preview(&world, &browser).await;
    let issued = ticket(&browser, &project, &format!("localhost:{}", world.port)).await.expect(200);
    let url = issued["url"].as_str().unwrap();
    let start =
        format!("http://{}.preview.localhost:{}/.doce/enter?ticket=", project["slug"].as_str().unwrap(), world.port);
    assert!(url.starts_with(&start), "{url}");

    let nobody = world.nobody();
    let (inside, base) = enter(&world, url, world.port).await;
    let app = visit(&inside, &base, world.port).await;
    assert_eq!(app.status, 200);
    assert!(app.text().contains("the app at /"), "{}", app.text());
    assert_eq!(app.header("x-request-id"), "", "nothing of doce's own is added");

    assert_eq!(visit(&nobody, url, world.port).await.status, 401, "a ticket works once");
    assert_eq!(visit(&nobody, &base, world.port).await.status, 401, "without a pass there is nothing");
    assert_eq!(visit(&browser, &base, world.port).await.status, 401, "doce's own cookie opens no preview");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_sees_no_cookie_of_doces_and_the_api_is_not_on_its_host() {
    let world = World::running().await;
    let browser = world.admin().await;
    let project = with_preview(&world, &browser).await;
    let issued = ticket(&browser, &project, "localhost").await.expect(200);
    let (inside, base) = enter(&world, issued["url"].as_str().unwrap(), world.port).await;
    let both = format!("{}; {}; theirs=1", inside.cookie().unwrap(), browser.cookie().unwrap());
    inside.set_cookie(Some(both));
    let app = visit(&inside, &format!("{base}api/me"), world.port).await;
    assert!(app.text().contains("the app at /api/me"), "{}", app.text());
    assert!(app.text().contains("theirs=1") && !app.text().contains("__Host-doce"), "{}", app.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_reload_comes_through_and_does_not_hold_back_the_end_of_the_server() {
    let mut world = World::running().await;
    let browser = world.admin().await;
    let project = with_preview(&world, &browser).await;
    let issued = ticket(&browser, &project, &format!("localhost:{}", world.port)).await.expect(200);
    let (inside, base) = enter(&world, issued["url"].as_str().unwrap(), world.port).await;
    let connect = async |cookie: Option<String>| {
        let mut request = base.replacen("http", "ws", 1).into_client_request().unwrap();
        request.headers_mut().insert("origin", base.trim_end_matches('/').parse().unwrap());
        if let Some(cookie) = cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await
    };
    assert!(connect(None).await.is_err(), "without a pass there is no socket");
    let (mut socket, _) = connect(inside.cookie()).await.expect("the socket opens");
    let said = tokio::time::timeout(BOUND, socket.next()).await.expect("the app says something").unwrap().unwrap();
    assert_eq!(said.into_text().unwrap(), "the app changed");
    let ended = tokio::time::timeout(Duration::from_secs(5), world.stop_server()).await;
    ended.expect("the server ends while a socket is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_and_deleting_end_what_is_inside() {
    let world = World::running().await;
    let browser = world.admin().await;
    let project = with_preview(&world, &browser).await;
    let second = world.signed_in("ada").await;
    let issued = ticket(&second, &project, "localhost").await.expect(200);
    let (of_second, base) = enter(&world, issued["url"].as_str().unwrap(), world.port).await;
    let issued = ticket(&browser, &project, "localhost").await.expect(200);
    let (of_first, _) = enter(&world, issued["url"].as_str().unwrap(), world.port).await;
    second.post("/api/sign-out", &json!({})).await.expect(204);
    assert_eq!(visit(&of_second, &base, world.port).await.status, 401);
    assert_eq!(visit(&of_first, &base, world.port).await.status, 200);
    browser.delete(&format!("/api/projects/{}", id(&project))).await.expect(202);
    assert_eq!(visit(&of_first, &base, world.port).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_is_not_ready_gives_no_ticket() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let browser = world.admin().await;
    browser.connect(&model, "sk-one-0123456789").await;
    let created = browser.create_project("[[say: one]]").await;
    ticket(&browser, &created["project"], "localhost").await.problem(409, "preview_not_ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_that_does_not_exist_looks_like_one_that_is_not_yours() {
    let world = World::start().await;
    world.admin().await;
    let answer = visit(&world.nobody(), "http://nothing-here.preview.localhost/", world.port).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("content-type").starts_with("text/html"));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_host_names_resolve_a_preview_has_a_port_of_its_own() {
    let world = World::builder().public_url("http://doce.lan").running().start().await;
    let browser = world.admin().await;
    let project = with_preview(&world, &browser).await;
    let lan = world.nobody();
    let sign_in = json!({"username": "ada", "password": crate::world::PASSWORD});
    let request = lan.request(Method::POST, "/api/sign-in").header("host", "doce.lan").json(&sign_in);
    lan.send(request).await.expect(200);
    let system = lan.send(lan.request(Method::GET, "/api/system").header("host", "doce.lan")).await.expect(200);
    assert_eq!(system["preview"]["mode"], "port");
    let page = lan.send(lan.request(Method::GET, "/").header("host", "doce.lan")).await;
    assert!(page.header("content-security-policy").contains("frame-src http://doce.lan:*;"));

    let issued = ticket(&lan, &project, "doce.lan").await.expect(200);
    let url = issued["url"].as_str().unwrap();
    let port = Url::parse(url).unwrap().port().expect("it has a port of its own");
    assert!(url.starts_with(&format!("http://doce.lan:{port}/.doce/enter?ticket=")), "{url}");
    assert_ne!(port, world.port);
    let (inside, base) = enter(&world, url, port).await;
    assert!(visit(&inside, &base, port).await.text().contains("the app at /"));
    assert_eq!(visit(&inside, &format!("http://evil.example:{port}/"), port).await.status, 421);
    let again = ticket(&lan, &project, "doce.lan").await.expect(200);
    assert_eq!(Url::parse(again["url"].as_str().unwrap()).unwrap().port(), Some(port), "it keeps its port");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_too_many_previews_with_ports_the_oldest_gives_way() {
    let world = World::builder()
        .public_url("http://doce.lan")
        .limits(|limits| limits.preview_ports = 1)
        .running()
        .start()
        .await;
    let browser = world.admin().await;
    let mut ports = Vec::new();
    for _ in 0..2 {
        let project = with_preview(&world, &browser).await;
        let lan = world.nobody();
        let sign_in = json!({"username": "ada", "password": crate::world::PASSWORD});
        lan.send(lan.request(Method::POST, "/api/sign-in").header("host", "doce.lan").json(&sign_in)).await.expect(200);
        let issued = ticket(&lan, &project, "doce.lan").await.expect(200);
        ports.push(Url::parse(issued["url"].as_str().unwrap()).unwrap().port().unwrap());
    }
    let answers = async |port: u16| tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    wait_for("the oldest port to close", BOUND, async || (!answers(ports[0]).await).then_some(())).await;
    assert!(answers(ports[1]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_without_a_domain_for_previews_the_way_out_is_said() {
    let world = World::builder().public_url("https://doce.example").running().start().await;
    let browser = world.admin().await;
    let project = with_preview(&world, &browser).await;
    let refused = ticket(&browser, &project, "doce.example").await.problem(409, "preview_address");
    assert!(refused["hint"].as_str().unwrap().contains("DOCE_PREVIEW_DOMAIN"));
}
