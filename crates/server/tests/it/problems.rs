//! Every failure is told in the same shape.

use reqwest::Method;
use serde_json::json;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_failure_has_the_same_members_and_its_requests_number() {
    let world = World::start().await;
    let browser = world.admin().await;
    let raw = |path: &str, kind: &str, body: &str| {
        browser.request(Method::POST, path).header("content-type", kind.to_owned()).body(body.to_owned())
    };
    let answers = [
        (browser.get("/api/nothing").await, 404, "not_found"),
        (browser.get("/api").await, 404, "not_found"),
        (browser.delete("/api/health").await, 405, "method_not_allowed"),
        (browser.send(browser.request(Method::PUT, "/api/users")).await, 405, "method_not_allowed"),
        (browser.send(raw("/api/users", "text/plain", "x")).await, 415, "unsupported_media_type"),
        (browser.send(raw("/api/users", "application/json", "{")).await, 400, "malformed_json"),
        (browser.post("/api/users", &json!({})).await, 422, "invalid"),
        (
            browser.post("/api/users", &json!({"username": "a", "password": "b", "role": "member", "x": 1})).await,
            422,
            "invalid",
        ),
        (browser.get("/api/projects?limit=x").await, 422, "invalid"),
        (browser.get("/api/projects?unknown=x").await, 422, "invalid"),
        (browser.get("/api/projects/x").await, 404, "project_not_found"),
        (world.nobody().get("/api/me").await, 401, "sign_in_required"),
        (browser.send(browser.request(Method::GET, "/api/me").header("host", "evil.example")).await, 421, "wrong_host"),
    ];
    for (answer, status, code) in answers {
        let problem = answer.problem(status, code);
        let mut members: Vec<&str> = problem.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["code", "detail", "field", "hint", "request_id", "status", "title", "type"], "{code}");
        assert_eq!(problem["type"], format!("urn:doce:error:{code}"));
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"], answer.header("x-request-id"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_not_taken_for_the_fields_of_a_request() {
    let world = World::start().await;
    let browser = world.admin().await;
    let answer = browser.post("/api/users", &json!(["ben", crate::world::PASSWORD, "member"])).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "body");
    let answer = browser.send(browser.request(Method::PATCH, "/api/me").json(&json!([null, null]))).await;
    assert_eq!(answer.problem(422, "invalid")["field"], "body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_wrong_place_is_not_repeated() {
    let world = World::start().await;
    let browser = world.admin().await;
    let secret = "sk-planted-0123456789";
    for body in [
        json!({"provider_id": "anthropic", "auth_type": secret, "key": "x"}),
        json!({"provider_id": "anthropic", "auth_type": "api", "key": {"nested": secret}}),
        json!({"provider_id": "anthropic", "auth_type": "api", "key": "x", "keep_unverified": secret}),
    ] {
        let answer = browser.post("/api/connections", &body).await;
        answer.problem(422, "invalid");
        assert!(!answer.text().contains(secret), "{}", answer.text());
    }
}
