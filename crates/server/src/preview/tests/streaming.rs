//! Bodies of either direction, piece by piece.

use super::*;

#[tokio::test]
async fn an_answer_arrives_piece_by_piece() {
    let (pieces, from_test) = mpsc::channel::<&'static str>(1);
    let from_test = Arc::new(Mutex::new(Some(from_test)));
    let router = Router::new().fallback(any(async move || {
        let pieces = from_test.lock().await.take().expect("it is asked once");
        Body::from_stream(futures::stream::unfold(pieces, async |mut pieces| {
            let piece = pieces.recv().await?;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())), pieces))
        }))
    }));
    let address = serve(router, &TaskTracker::new()).await;
    let world = World::with(&At { address }).await;
    let mut answer = world.get_inside("/").await.into_body();
    for piece in ["one", "two", "three"] {
        // Each is sent only after the one before it was read: a buffer anywhere would end this in a time-out.
        pieces.send(piece).await.expect("the app waits");
        let frame = timeout(SOON, answer.frame()).await.expect("it comes at once");
        let frame = frame.expect("there is more").expect("it arrives");
        assert_eq!(frame.into_data().expect("it is data"), piece);
    }
    drop(pieces);
    assert!(timeout(SOON, answer.frame()).await.expect("it ends soon").is_none());
}

#[tokio::test]
async fn an_upload_arrives_piece_by_piece() {
    let (arrived, mut in_test) = mpsc::channel::<Bytes>(1);
    let router = Router::new().fallback(any(async move |request: Request| {
        let mut body = request.into_body().into_data_stream();
        while let Some(Ok(piece)) = body.next().await {
            arrived.send(piece).await.expect("the test waits");
        }
        "done"
    }));
    let address = serve(router, &TaskTracker::new()).await;
    let world = World::with(&At { address }).await;
    let pass = world.pass().await;
    let (pieces, upload) = mpsc::channel::<&'static str>(1);
    let upload = Body::from_stream(futures::stream::unfold(upload, async |mut upload| {
        let piece = upload.recv().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(piece.as_bytes())), upload))
    }));
    let request = world.request(Method::POST, "/").header("cookie", pass).body(upload);
    let request = request.expect("it is a request");
    let sending = world.send(request);
    let feeding = async {
        for piece in ["one", "two", "three"] {
            pieces.send(piece).await.expect("the upload is read");
            let piece_seen = timeout(SOON, in_test.recv()).await.expect("it comes at once");
            assert_eq!(piece_seen.expect("the app reads"), piece);
        }
        drop(pieces);
    };
    let (response, ()) = tokio::join!(sending, feeding);
    assert_eq!(body(response).await, "done");
}

#[tokio::test]
async fn a_head_request_and_an_empty_answer_pass() {
    let app = app_saying(StatusCode::NO_CONTENT, &[("x-app", "1")]).await;
    let world = World::with(&app).await;
    let pass = world.pass().await;
    let response = world.send(world.built(Method::HEAD, "/", &[("cookie", &pass)])).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(text(response.headers(), "x-app"), "1");
    assert_eq!(body(response).await, "");
}
