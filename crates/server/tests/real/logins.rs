//! A login at GitLab, run by the real `OpenCode` against an authorization server of the test.

use doce_testkit::{AuthorizationServer, ScriptedModel, wait_for};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::doce::{BOUND, Doce};

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_address_ends_gitlabs_login_and_agents_get_no_refresh_token() {
    let server = AuthorizationServer::start().await;
    let model = ScriptedModel::start().await;
    let doce = Doce::new().await;
    doce.connect("anthropic", &model.anthropic_base_url(), "sk-login-0123456789").await;

    let new = json!({"provider_id": "gitlab", "method": 0, "inputs": {"instanceUrl": server.url()}});
    let attempt = doce.json(Method::POST, "/api/oauth-attempts", Some(new)).await;
    assert_eq!((&attempt["kind"], &attempt["address"]), (&json!("redirect"), &json!("http://localhost:8080/callback")));
    let url = attempt["url"].as_str().expect("a page to open");
    assert!(url.starts_with(&server.url()), "{url}");
    let state = url.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    let at = format!("/api/oauth-attempts/{}", attempt["id"].as_str().expect("an id"));

    let wrong = json!({"code": "http://localhost:8080/callback?code=good-code&state=another"});
    let refused = doce.request(Method::POST, &format!("{at}/code"), Some(wrong)).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let pasted = json!({"code": format!("http://localhost:8080/callback?code=good-code&state={state}")});
    doce.json(Method::POST, &format!("{at}/code"), Some(pasted)).await;
    let connection = wait_for("the end of the login", BOUND, async || {
        let attempt = doce.get(&at).await;
        assert_ne!(attempt["state"], "failed", "{attempt}");
        attempt["connection_id"].as_str().map(str::to_owned)
    })
    .await;
    let connection = doce.get(&format!("/api/connections/{connection}")).await;
    assert_eq!((&connection["auth_type"], &connection["renews"]), (&json!("oauth"), &json!(true)));

    let project = doce.create("Begin. [[say: Ready.]]", "anthropic", "claude-sonnet-4-5").await;
    doce.answered(&project, "complete").await;
    let file = std::fs::read(doce.auth_file(&project)).expect("the agent's own file");
    let held = serde_json::from_slice::<Value>(&file).expect("JSON")["gitlab"].clone();
    assert_eq!((&held["type"], &held["refresh"]), (&json!("oauth"), &json!("renewed-by-doce")), "{held}");
    assert!(held["access"].as_str().is_some_and(|access| access.starts_with("access-1-")), "{held}");
    assert_eq!(server.renewals(), [], "neither the login nor the agent renewed anything");

    // Disconnected, it is gone from the running agent.
    let id = connection["id"].as_str().expect("an id");
    doce.request(Method::DELETE, &format!("/api/connections/{id}"), None).await;
    wait_for("the login is gone from the agent", BOUND, async || {
        let text = std::fs::read_to_string(doce.auth_file(&project)).unwrap_or_default();
        (!text.contains("access-1-")).then_some(())
    })
    .await;
    doce.prompt(&project, "More. [[say: Still here.]]").await;
    doce.answered(&project, "complete").await;
}
