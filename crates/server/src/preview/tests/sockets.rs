//! Sockets through the proxy: who may open one, how they end, how many.

use super::*;

#[tokio::test]
async fn a_socket_carries_messages_both_ways() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let cookie = format!("{pass}; doce=signin; a=1");
    let mut socket = world
        .socket(&[("cookie", &cookie), ("origin", OWN), ("sec-websocket-protocol", "vite-hmr")])
        .await
        .expect("it opens");
    let port = app.address.port();
    assert_eq!(next_text(&mut socket).await, Some(format!("localhost:{port} http://localhost:{port} a=1 vite-hmr")));
    for word in ["one", "two"] {
        socket.send(word.into()).await.expect("it is open");
        assert_eq!(next_text(&mut socket).await.as_deref(), Some(word));
    }
    socket.close(None).await.expect("it was open");
    assert_eq!(next_text(&mut socket).await, None);
}

#[tokio::test]
async fn a_socket_needs_a_pass_and_the_previews_own_page() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    for (lines, status) in [
        (vec![("origin", OWN)], 401),
        (vec![("cookie", pass.as_str()), ("origin", OPENER)], 403),
        (vec![("cookie", pass.as_str()), ("origin", "http://other.preview.localhost:4321")], 403),
        (vec![("cookie", pass.as_str()), ("origin", "null"), ("sec-fetch-site", "same-origin")], 403),
    ] {
        match world.socket(&lines).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), status),
            other => panic!("{lines:?} got {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_app_that_refuses_a_socket_is_heard() {
    let app = app_saying(StatusCode::IM_A_TEAPOT, &[]).await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    match world.socket(&[("cookie", &pass), ("origin", OWN)]).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 418),
        other => panic!("got {other:?}"),
    }
}

#[tokio::test]
async fn an_open_socket_ends_when_the_browser_signs_out() {
    let app = mirror().await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let mut socket = world.socket(&[("cookie", &pass), ("origin", OWN)]).await.expect("it opens");
    assert!(next_text(&mut socket).await.is_some());
    world.preview.revoke_sign_in(world.sign_in);
    assert_eq!(next_text(&mut socket).await, None);
}

#[tokio::test]
async fn shutting_down_ends_open_sockets() {
    let app = mirror().await;
    let upstream = Upstream::Ready { address: app.address };
    let world = World::start(OWN, upstream, Limits::default()).await;
    let pass = world.pass().await;
    let mut socket = world.socket(&[("cookie", &pass), ("origin", OWN)]).await.expect("it opens");
    assert!(next_text(&mut socket).await.is_some());
    let with_the_socket = world.tasks.len();
    world.shutdown.cancel();
    assert_eq!(next_text(&mut socket).await, None);
    timeout(SOON, async {
        while world.tasks.len() >= with_the_socket {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("its task ends");
}

#[tokio::test]
async fn a_project_opens_as_many_sockets_as_it_may_and_no_more() {
    let app = mirror().await;
    let upstream = Upstream::Ready { address: app.address };
    let limits = Limits { sockets: 2, ..Limits::default() };
    let world = World::start(OWN, upstream, limits).await;
    let pass = world.pass().await;
    let lines = [("cookie", pass.as_str()), ("origin", OWN)];
    let first = world.socket(&lines).await.expect("the first opens");
    let _second = world.socket(&lines).await.expect("the second opens");
    match world.socket(&lines).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("the third got {other:?}"),
    }
    drop(first);
    timeout(SOON, async {
        while world.socket(&lines).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a closed socket makes room");
}
