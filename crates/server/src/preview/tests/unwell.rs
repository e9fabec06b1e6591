//! Apps that aren't there, are slow, or lie; requests that are meant to harm.

use super::*;

#[tokio::test]
async fn each_state_before_ready_has_its_page() {
    for (state, words) in [
        (PreviewState::Off, "The preview is off"),
        (PreviewState::Installing, "Installing the app's packages"),
        (PreviewState::Starting, "Starting the app"),
        (PreviewState::NotInstalled, "The app's packages could not be installed"),
        (PreviewState::Failed, "The app doesn't start"),
    ] {
        let upstream = Upstream::NotReady { state, reason: Some("npm said: <b>no</b>".to_owned()) };
        let world = World::start(OWN, upstream, Limits::default()).await;
        let pass = world.pass().await;
        let response = world.get("/", &[("cookie", &pass), ("accept", "text/html")]).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text(response.headers(), "cache-control"), "no-store");
        let page = body(response).await;
        assert!(page.contains(words), "{page}");
        assert!(page.contains("npm said: &lt;b&gt;no&lt;/b&gt;"), "{page}");
        assert!(page.contains("data-kind=\"not_ready\""), "{page}");
        let stranger = world.get("/", &[("accept", "text/html")]).await;
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_app_that_takes_no_connection_has_a_page_that_tries_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let world = World::with(&At { address }).await;
    let pass = world.pass().await;
    let response = world.get("/menu?x=1&y=%22", &[("cookie", &pass), ("accept", "text/html")]).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let page = body(response).await;
    assert!(page.contains("The app isn't answering"), "{page}");
    assert!(page.contains("href=\"/menu?x=1&amp;y=%22\""), "{page}");
}

#[tokio::test]
async fn an_app_too_busy_to_accept_is_given_up_on_in_time() {
    let socket = TcpSocket::new_v4().expect("sockets can be made");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port is free");
    let listener = socket.listen(1).expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        waiting.push(stream);
        assert!(waiting.len() < 64, "its queue never fills");
    }
    let limits = Limits { connect: Duration::from_millis(200), ..Limits::default() };
    let world = World::start(OWN, Upstream::Ready { address }, limits).await;
    assert_eq!(world.get_inside("/").await.status(), StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn an_app_that_never_answers_is_given_up_on_in_time() {
    let app = app_writing(Vec::new()).await;
    let limits = Limits { answer: Duration::from_millis(200), ..Limits::default() };
    let world = World::start(OWN, Upstream::Ready { address: app.address }, limits).await;
    assert_eq!(world.get_inside("/").await.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn an_app_that_speaks_nonsense_is_a_bad_gateway() {
    let many = (0..200).fold(String::from("HTTP/1.1 200 OK\r\n"), |all, n| format!("{all}x-{n}: y\r\n"));
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100 * 1024));
    for bytes in [
        "hello\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nx: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".to_owned(),
        format!("{many}\r\n"),
        long,
    ] {
        let start: String = bytes.chars().take(60).collect();
        let app = app_writing(bytes.into_bytes()).await;
        let world = World::with(&app).await;
        assert_eq!(world.get_inside("/").await.status(), StatusCode::BAD_GATEWAY, "{start}");
    }
}

#[tokio::test]
async fn headers_that_smuggle_a_second_answer_are_one_answer() {
    let smuggled = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nevil";
    let app = app_writing(smuggled.as_bytes().to_vec()).await;
    let world = World::with(&app).await;
    let response = world.get_inside("/").await;
    assert_eq!(body(response).await, "hi");
}

#[tokio::test]
async fn a_request_with_too_many_header_bytes_is_refused() {
    let app = mirror().await;
    let limits = Limits { request_headers: 2_000, ..Limits::default() };
    let world = World::start(OWN, Upstream::Ready { address: app.address }, limits).await;
    let pass = world.pass().await;
    let fits = world.get("/", &[("cookie", &pass), ("x", &"y".repeat(1_000))]).await;
    assert_eq!(fits.status(), StatusCode::OK);
    let large = world.get("/", &[("cookie", &pass), ("x", &"y".repeat(2_000))]).await;
    assert_eq!(large.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn a_method_that_reads_back_headers_is_refused() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let response = world.send(world.built(Method::TRACE, "/", &[("cookie", &pass)])).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_request_cannot_name_another_host_to_ask() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let mut stream = TcpStream::connect(world.front).await.expect("the proxy listens");
    let asked = format!(
        "GET http://169.254.1.1:1/meta HTTP/1.1\r\nHost: bakery.preview.localhost:4321\r\nCookie: {pass}\r\nConnection: close, host\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).await.expect("it is open");
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer)).await.expect("it ends soon").expect("it is text");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("GET /meta\n"), "{answer}");
    assert!(answer.contains(&format!("host: localhost:{}", app.address.port())), "{answer}");
}
