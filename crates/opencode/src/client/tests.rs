use std::sync::Mutex as Shared;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::{get, put};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::fake::{End, background, chunks, client, listen, serve};

const KEY: &str = "sk-planted-0123456789";

fn key() -> SecretString {
    SecretString::from(KEY)
}

fn healthy(version: &str) -> String {
    format!(r#"{{"healthy":true,"version":"{version}"}}"#)
}

/// An Agent that answers everything with `answer`, and counts.
async fn agent(answer: impl IntoResponse + Clone + Send + Sync + 'static) -> (Client, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let router = Router::new().fallback(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        std::future::ready(answer.clone())
    });
    (client(serve(router).await), asked)
}

#[tokio::test]
async fn a_connection_that_is_never_answered_does_not_hold_up_the_wait() {
    let listener = listen().await;
    let port = listener.local_addr().expect("bound").port();
    background(async move {
        let mut unanswered = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            if unanswered.len() < 2 {
                unanswered.push(connection);
                continue;
            }
            let mut request = [0; 1024];
            let _read = connection.read(&mut request).await;
            let body = healthy(install::VERSION);
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _written = connection.write_all(answer.as_bytes()).await;
        }
    });
    let health = client(port).wait_healthy(Duration::from_secs(20)).await.expect("the third probe is answered");
    assert_eq!(health.version, install::VERSION);
}

#[tokio::test]
async fn waiting_for_an_agent_that_never_comes_ends_at_its_bound() {
    let port = listen().await.local_addr().expect("bound").port();
    let bound = Duration::from_millis(300);
    let error = client(port).wait_healthy(bound).await.expect_err("nobody listens");
    assert!(matches!(&error, HealthError::TimedOut { last: Some(CallError::Unreachable { .. }), .. }), "{error:?}");
}

#[tokio::test]
async fn only_its_health_is_asked_for_while_waiting() {
    let paths = Arc::new(Shared::new(Vec::new()));
    let seen = paths.clone();
    let router = Router::new().fallback(move |request: Request| {
        let mut seen = seen.lock().expect("no test panics here");
        seen.push(request.uri().path().to_owned());
        let answer = if seen.len() < 3 {
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        } else {
            healthy(install::VERSION).into_response()
        };
        std::future::ready(answer)
    });
    client(serve(router).await).wait_healthy(Duration::from_secs(20)).await.expect("healthy at last");
    assert_eq!(*paths.lock().expect("no test panics here"), ["/global/health"; 3]);
}

#[tokio::test]
async fn another_version_of_opencode_is_named() {
    let (client, _) = agent(healthy("1.18.34")).await;
    let error = client.wait_healthy(Duration::from_secs(20)).await.expect_err("another version");
    assert!(matches!(&error, HealthError::WrongVersion { found } if found == "1.18.34"), "{error:?}");
}

#[tokio::test]
async fn another_program_on_the_port_is_not_waited_for() {
    let (client, asked) = agent(StatusCode::UNAUTHORIZED).await;
    let error = client.wait_healthy(Duration::from_secs(20)).await.expect_err("not our Agent");
    assert!(matches!(error, HealthError::Unauthorized), "{error:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_empty_key_is_refused_before_it_is_sent() {
    let (client, asked) = agent("true").await;
    for empty in ["", " ", "\n\t"] {
        let refused = client.put_auth("anthropic", &SecretString::from(empty), &BTreeMap::new()).await;
        assert!(matches!(refused, Err(CallError::EmptyCredential)), "{refused:?}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn ids_that_lead_elsewhere_are_refused_before_anything_is_sent() {
    let (client, asked) = agent("true").await;
    let evil = "../../global/config";
    assert!(client.put_auth("https://evil.test", &key(), &BTreeMap::new()).await.is_err());
    assert!(client.delete_auth(evil).await.is_err());
    assert!(client.find_session(evil).await.is_err());
    assert!(client.find_message("ses_1", evil).await.is_err());
    assert!(client.abort(evil).await.is_err());
    assert!(client.reply_permission(evil, Reply::Once).await.is_err());
    assert!(client.reject_question(evil).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_error_that_repeats_the_credential_is_not_passed_on() {
    let echo = |body: String| async move {
        assert!(body.contains(KEY), "the fake must have something to repeat");
        (StatusCode::BAD_REQUEST, format!(r#"{{"name":"BadRequest","data":{{"message":"Expected Auth, got {KEY}"}}}}"#))
    };
    let client = client(serve(Router::new().route("/auth/anthropic", put(echo))).await);
    let error = client.put_auth("anthropic", &key(), &BTreeMap::new()).await.expect_err("refused");
    assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
    assert!(matches!(&error, CallError::Refused { status: 400, name: Some(name), .. } if name == "BadRequest"));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_shows_no_key() {
    let (client, _) = agent(format!(r#"{{"providers":"{KEY}"}}"#)).await;
    let error = client.read_back("anthropic", &key()).await.expect_err("not a list");
    assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
    assert!(matches!(error, CallError::Malformed { line: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_read_back_tells_same_from_different_from_unknown() {
    let held = json!({"providers": [
        {"id": "anthropic", "key": KEY, "options": {}, "models": {}},
        {"id": "openai", "options": {}, "models": {}},
    ], "default": {}});
    let (client, _) = agent(held.to_string()).await;
    let read = async |id: &str, key: &str| client.read_back(id, &SecretString::from(key)).await.expect("read");
    assert_eq!(read("anthropic", KEY).await, ReadBack::Same);
    assert_eq!(read("anthropic", "sk-other").await, ReadBack::Different);
    assert_eq!(read("anthropic", &KEY.to_uppercase()).await, ReadBack::Different);
    assert_eq!(read("openai", KEY).await, ReadBack::Unknown);
    assert_eq!(read("groq", KEY).await, ReadBack::Unknown);
}

#[tokio::test]
async fn writes_of_credentials_never_overlap() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, peak) = (now.clone(), most.clone());
    let handler = move || {
        let (inside, peak) = (inside.clone(), peak.clone());
        async move {
            peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            "true"
        }
    };
    let client = client(serve(Router::new().fallback(handler)).await);
    let writes = (0..20).map(|number| {
        let client = client.clone();
        async move {
            let id = format!("provider-{number}");
            if number % 5 == 0 {
                client.delete_auth(&id).await
            } else {
                client.put_auth(&id, &key(), &BTreeMap::new()).await
            }
        }
    });
    futures::future::try_join_all(writes).await.expect("all are answered");
    assert_eq!(most.load(Ordering::SeqCst), 1);
    assert_eq!(now.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_over_its_cap_is_refused() {
    let router = Router::new()
        .route("/global/health", get(|| async { chunks(vec![vec![b' '; 1024]; 65], End::Hang) }))
        .route("/session/{id}/abort", axum::routing::post(|| async { "x".repeat(MIB + 1) }))
        .route("/permission", get(|| async { "x".repeat(4 * MIB + 1) }));
    let client = client(serve(router).await);
    let limit_of = |error: CallError| match error {
        CallError::TooLarge { limit, .. } => limit,
        other => panic!("{other:?}"),
    };
    let health = client.health(Duration::from_secs(20)).await.expect_err("too large");
    assert_eq!(limit_of(health), 64 * KIB);
    assert_eq!(limit_of(client.abort("ses_1").await.expect_err("too large")), SHORT.bytes);
    assert_eq!(limit_of(client.permissions().await.expect_err("too large")), LOADING.bytes);
}

#[tokio::test]
async fn the_largest_answers_have_caps_too() {
    let endless = || async { chunks(vec![vec![b' '; MIB]; 65], End::Hang) };
    let router = Router::new().route("/session/{id}/message", get(endless)).route("/provider", get(endless));
    let client = client(serve(router).await);
    let conversation = client.messages("ses_1").await.expect_err("too large");
    assert!(
        matches!(conversation, CallError::TooLarge { limit, .. } if limit == CONVERSATION.bytes),
        "{conversation:?}"
    );
    let catalogue = client.catalogue().await.expect_err("too large");
    assert!(matches!(catalogue, CallError::TooLarge { limit, .. } if limit == CATALOGUE.bytes), "{catalogue:?}");
}

#[tokio::test]
async fn an_agent_that_hangs_in_the_middle_of_an_answer_is_given_up() {
    let router = Router::new().fallback(|| async { chunks(vec![b"{\"healthy\"".to_vec()], End::Hang) });
    let client = client(serve(router).await);
    let error = client.health(Duration::from_millis(200)).await.expect_err("never complete");
    assert!(matches!(error, CallError::TimedOut { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, asked) = agent("true").await;
    drop(elsewhere);
    let (client, _) = agent((StatusCode::TEMPORARY_REDIRECT, [("location", "/auth/other")])).await;
    let error = client.put_auth("anthropic", &key(), &BTreeMap::new()).await.expect_err("redirected");
    assert!(matches!(error, CallError::Refused { status: 307, .. }), "{error:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let (client, _) = agent((StatusCode::NOT_FOUND, r#"{"name":"NotFoundError","data":{"message":"no"}}"#)).await;
    assert_eq!(client.find_session("ses_1").await.expect("an answer"), None);
    assert_eq!(client.find_message("ses_1", "msg_1").await.expect("an answer"), None);
    client.delete_session("ses_1").await.expect("gone is gone");
    let error = client.messages("ses_1").await.expect_err("a conversation must be there");
    assert!(matches!(error, CallError::Refused { status: 404, .. }) && !error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_server_error_names_its_reference_and_may_be_repeated() {
    let body = r#"{"name":"UnknownError","data":{"message":"see the log","ref":"err_1a2b3c4d"}}"#;
    let (client, _) = agent((StatusCode::INTERNAL_SERVER_ERROR, body)).await;
    let error = client.statuses().await.expect_err("500");
    assert!(error.is_transient());
    let CallError::Refused { name, reference, .. } = error else { panic!("{error:?}") };
    assert_eq!((name.as_deref(), reference.as_deref()), (Some("UnknownError"), Some("err_1a2b3c4d")));
}
