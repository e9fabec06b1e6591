use axum::Router;
use axum::routing::get;
use futures::StreamExt;
use serde_json::json;

use super::*;
use crate::fake::{End, chunks, client, serve};

/// An event stream that sends `parts`, read to its end; the last item is why it ended.
async fn read(parts: Vec<Vec<u8>>, end: End, bounds: Bounds) -> (Vec<Event>, StreamError) {
    let body = std::sync::Mutex::new(Some(chunks(parts, end)));
    let handler = move || {
        let body = body.lock().expect("no test panics here").take().expect("asked once");
        std::future::ready(body)
    };
    let handler = std::sync::Arc::new(handler);
    let router = Router::new().route("/global/event", get(move || (*handler)()));
    let mut items: Vec<_> = client(serve(router).await).events_within(bounds).collect().await;
    let last = items.pop().expect("a stream ends with an error");
    let events = items.into_iter().map(|item| item.expect("only the last item is an error")).collect();
    (events, last.expect_err("a stream ends with an error"))
}

pub(super) fn frame(kind: &str, properties: &serde_json::Value) -> Vec<u8> {
    let frame = json!({"directory": "/w", "payload": {"id": "evt_1", "type": kind, "properties": properties}});
    format!("data: {frame}\n\n").into_bytes()
}

pub(super) fn delta(text: &str) -> Vec<u8> {
    frame(
        "message.part.delta",
        &json!({"sessionID": "s", "messageID": "m", "partID": "p", "field": "text", "delta": text}),
    )
}

fn idle() -> Event {
    Event::SessionIdle { session: "s".to_owned() }
}

pub(super) fn idle_frame() -> Vec<u8> {
    frame("session.idle", &json!({"sessionID": "s"}))
}

#[tokio::test]
async fn half_a_character_at_the_end_of_a_chunk_is_put_together() {
    let whole = delta("grün 🌱");
    let bytes = whole.into_iter().map(|byte| vec![byte]).collect();
    let (events, _) = read(bytes, End::Clean, Bounds::default()).await;
    assert!(matches!(&events[..], [Event::PartDelta { delta, .. }] if delta == "grün 🌱"), "{events:?}");
}

#[tokio::test]
async fn several_events_in_one_chunk_all_arrive() {
    let chunk = [frame("server.connected", &json!({})), delta("a"), idle_frame()].concat();
    let (events, _) = read(vec![chunk], End::Clean, Bounds::default()).await;
    assert_eq!(events.len(), 3);
    assert_eq!((&events[0], &events[2]), (&Event::Connected, &idle()));
}

#[tokio::test]
async fn a_cut_stream_ends_with_an_error_so_that_the_reader_reads_again() {
    let half = delta("lost")[..20].to_vec();
    let (events, error) = read(vec![idle_frame(), half], End::Cut, Bounds::default()).await;
    assert_eq!(events, [idle()]);
    assert!(matches!(error, StreamError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_stream_that_is_closed_says_so_and_half_an_event_is_dropped() {
    let half = delta("lost")[..20].to_vec();
    let (events, error) = read(vec![idle_frame(), half], End::Clean, Bounds::default()).await;
    assert_eq!(events, [idle()]);
    assert!(matches!(error, StreamError::Ended), "{error:?}");
}

#[tokio::test]
async fn an_agent_that_falls_silent_is_noticed() {
    let bounds = Bounds { silence: Duration::from_millis(200), ..Bounds::default() };
    let (events, error) = read(vec![idle_frame()], End::Hang, bounds).await;
    assert_eq!(events, [idle()]);
    assert!(matches!(error, StreamError::Silent { after } if after == bounds.silence), "{error:?}");
}

#[tokio::test]
async fn any_byte_is_a_sign_of_life() {
    let bounds = Bounds { silence: Duration::from_millis(800), ..Bounds::default() };
    let router = Router::new().route(
        "/global/event",
        get(|| async {
            let clock = tokio::time::interval(Duration::from_millis(100));
            let comments = futures::stream::unfold(clock, |mut clock| async move {
                clock.tick().await;
                Some((b": still here\n".to_vec(), clock))
            });
            let sent = comments.take(12).chain(futures::stream::iter([b"\n".to_vec(), idle_frame()]));
            axum::body::Body::from_stream(sent.map(Ok::<_, std::io::Error>))
        }),
    );
    let first = client(serve(router).await).events_within(bounds).boxed().next().await;
    assert!(matches!(&first, Some(Ok(event)) if *event == idle()), "{first:?}");
}

#[tokio::test]
async fn an_event_of_100_megabytes_ends_the_stream_and_is_not_taken_in() {
    const MB: usize = 1024 * 1024;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&sent);
    let router = Router::new().route(
        "/global/event",
        get(move || async move {
            let chunk = Bytes::from(vec![b'x'; MB]);
            let large = futures::stream::repeat(chunk).take(100).inspect(move |_| {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            });
            let head = futures::stream::iter([Bytes::from(idle_frame()), Bytes::from_static(b"data: ")]);
            axum::body::Body::from_stream(head.chain(large).map(Ok::<_, std::io::Error>))
        }),
    );
    let mut items: Vec<_> = client(serve(router).await).events_within(Bounds::default()).collect().await;
    let error = items.pop().expect("a stream ends with an error").expect_err("a stream ends with an error");
    assert!(matches!(error, StreamError::TooLarge { limit: EVENT_LIMIT }), "{error:?}");
    assert!(matches!(&items[..], [Ok(event)] if *event == idle()), "{items:?}");
    // What is on its way in the system's buffers aside, nothing beyond the limit is even sent.
    let sent = sent.load(std::sync::atomic::Ordering::SeqCst);
    assert!((EVENT_LIMIT / MB..50).contains(&sent), "{sent} MB were read");
}

#[tokio::test]
async fn an_event_just_under_the_limit_arrives() {
    let around = frame("x", &json!({"junk": ""})).len();
    let large = frame("x", &json!({"junk": "j".repeat(EVENT_LIMIT - around)}));
    assert_eq!(large.len(), EVENT_LIMIT);
    let (events, _) = read(vec![large, idle_frame()], End::Clean, Bounds::default()).await;
    assert_eq!(events, [Event::Other { kind: "x".to_owned() }, idle()]);
}

#[tokio::test]
async fn many_events_may_together_be_longer_than_one() {
    let bounds = Bounds { event: 1024, ..Bounds::default() };
    let (events, error) = read(vec![idle_frame(); 100], End::Clean, bounds).await;
    assert_eq!(events.len(), 100);
    assert!(matches!(error, StreamError::Ended), "{error:?}");
}

#[tokio::test]
async fn lines_may_end_with_a_carriage_return_alone() {
    let bounds = Bounds { event: 1024, ..Bounds::default() };
    let frame = String::from_utf8(idle_frame()).unwrap().replace('\n', "\r").into_bytes();
    let (events, error) = read(vec![frame; 100], End::Clean, bounds).await;
    assert_eq!(events.len(), 100);
    assert!(matches!(error, StreamError::Ended), "{error:?}");
}

#[tokio::test]
async fn what_comes_in_one_chunk_with_an_event_over_the_limit_arrives() {
    let bounds = Bounds { event: 1024, ..Bounds::default() };
    let chunk = [idle_frame(), delta(&"x".repeat(2048)), idle_frame()].concat();
    let (events, error) = read(vec![chunk], End::Clean, bounds).await;
    assert_eq!(events, [idle()]);
    assert!(matches!(error, StreamError::TooLarge { limit: 1024 }), "{error:?}");
}

#[tokio::test]
async fn nonsense_and_second_copies_are_left_out() {
    let copy = b"data: {\"payload\":{\"type\":\"sync\",\"syncEvent\":{\"type\":\"session.idle.1\"}}}\n\n".to_vec();
    let nonsense = b"data: {not json\n\nevent: x\n\n: comment\n\n".to_vec();
    let (events, _) = read(vec![copy, nonsense, idle_frame()], End::Clean, Bounds::default()).await;
    assert_eq!(events, [idle()]);
}

#[tokio::test]
async fn bytes_that_are_no_text_end_the_stream() {
    let (events, error) = read(vec![b"data: \xff\xfe\n\n".to_vec()], End::Clean, Bounds::default()).await;
    assert_eq!(events, []);
    assert!(matches!(error, StreamError::Malformed(_)), "{error:?}");
}

#[tokio::test]
async fn a_refusal_is_an_error_and_not_an_empty_stream() {
    let router = Router::new().route("/global/event", get(|| async { http::StatusCode::UNAUTHORIZED }));
    let items: Vec<_> = client(serve(router).await).events().collect().await;
    assert!(matches!(&items[..], [Err(StreamError::Refused { status: 401 })]), "{items:?}");
}
