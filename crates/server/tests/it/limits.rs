//! Every limit, reached.

use std::time::Duration;

use doce_testkit::wait_for;
use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::world::{BOUND, PASSWORD, World};

const SHORT: Duration = Duration::from_millis(200);

async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(BOUND, stream.read_to_end(&mut bytes)).await;
    // A reset after the answer is an end, too.
    drop(read.expect("the server closes the connection"));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not() {
    let limit = doce_server::Limits::default().body;
    let world = World::start().await;
    let browser = world.admin().await;
    let body_of = |bytes: usize| {
        let frame = json!({"username": "", "password": PASSWORD, "role": "member"}).to_string();
        let name = "x".repeat(bytes - frame.len());
        json!({"username": name, "password": PASSWORD, "role": "member"}).to_string()
    };
    let whole = |body: String| {
        browser.request(Method::POST, "/api/users").header("content-type", "application/json").body(body)
    };
    assert_eq!(browser.send(whole(body_of(limit))).await.problem(422, "invalid")["field"], "username");
    browser.send(whole(body_of(limit + 1))).await.problem(413, "body_too_large");

    let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
        body_of(limit + 1).into_bytes().chunks(64 * 1024).map(|piece| Ok(piece.to_vec())).collect();
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let request = browser.request(Method::POST, "/api/users").header("content-type", "application/json").body(chunked);
    browser.send(request).await.problem(413, "body_too_large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let world = World::builder().limits(|limits| limits.body_time = SHORT).start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let head = "POST /api/sign-in HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_head_does_not_arrive_is_not_waited_for() {
    let world = World::builder().limits(|limits| limits.listen.head = SHORT).start().await;
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    stream.write_all(b"GET /api/health HTTP/1.1\r\nhost: local").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_over_the_limit_is_refused() {
    let limit = doce_server::Limits::default().listen.head_bytes;
    let world = World::start().await;
    let nobody = world.nobody();
    let request = nobody.request(Method::GET, "/api/health").header("x-large", "x".repeat(2 * limit));
    assert_eq!(nobody.send(request).await.status, 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_when_all_places_are_taken_waits_for_one() {
    let world = World::builder().limits(|limits| limits.listen.connections = 2).start().await;
    let ask = b"GET /api/health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut buffer = [0_u8; 16];
    let mut taken = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        stream.write_all(ask).await.unwrap();
        stream.read_exact(&mut buffer).await.unwrap();
        taken.push(stream);
    }
    let mut third = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    third.write_all(ask).await.unwrap();
    let early = tokio::time::timeout(SHORT, third.read_exact(&mut buffer)).await;
    assert!(early.is_err(), "the third is answered while the places are taken");
    taken.pop();
    let answered = tokio::time::timeout(BOUND, third.read_exact(&mut buffer)).await;
    answered.expect("a place is free again").unwrap();
    assert!(buffer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_has_only_so_many_streams() {
    let world = World::builder().limits(|limits| limits.streams_per_user = 2).start().await;
    let admin = world.admin().await;
    let first = admin.stream("").await;
    let _second = admin.stream("").await;
    let third = admin.get("/api/stream").await;
    third.problem(429, "too_many_streams");
    assert!(!third.header("retry-after").is_empty());
    let other = world.member(&admin, "bob").await;
    assert_eq!(other.stream("").await.status, 200);
    drop(first);
    wait_for("a free place", BOUND, async || (admin.stream("").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_watches_only_so_many_projects() {
    let limit = doce_server::Limits::default().watched_projects;
    let world = World::start().await;
    let admin = world.admin().await;
    let query = |count: usize| vec!["project_id=prj_0198f0000000700080000000000000aa"; count].join("&");
    assert_eq!(admin.stream(&format!("?{}", query(limit))).await.status, 200);
    let answer = admin.get(&format!("/api/stream?{}", query(limit + 1))).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "project_id");
}
