//! Logins run by the real `OpenCode` against an authorization server of the test: GitLab's redirect, GitHub's device code.

use doce_testkit::{AuthorizationServer, ScriptedModel, USER_CODE, wait_for};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::doce::{BOUND, Doce};

/// Signs in at GitLab by a pasted address; returns the Connection.
pub(crate) async fn sign_in_at_gitlab(doce: &Doce, server: &AuthorizationServer) -> Value {
    let new = json!({"provider_id": "gitlab", "method": 0, "inputs": {"instanceUrl": server.url()}});
    let attempt = doce.json(Method::POST, "/api/oauth-attempts", Some(new)).await;
    let url = attempt["url"].as_str().expect("a page to open");
    let state = url.split("state=").nth(1).and_then(|rest| rest.split('&').next()).expect("a state");
    let at = format!("/api/oauth-attempts/{}", attempt["id"].as_str().expect("an id"));
    let pasted = json!({"code": format!("http://localhost:8080/callback?code=good-code&state={state}")});
    doce.json(Method::POST, &format!("{at}/code"), Some(pasted)).await;
    connection_of(doce, &at).await
}

/// Waits for the end of a login; returns the Connection.
async fn connection_of(doce: &Doce, attempt: &str) -> Value {
    let id = wait_for("the end of the login", BOUND, async || {
        let attempt = doce.get(attempt).await;
        assert_ne!(attempt["state"], "failed", "{attempt}");
        attempt["connection_id"].as_str().map(str::to_owned)
    })
    .await;
    doce.get(&format!("/api/connections/{id}")).await
}

/// What an agent holds for GitLab.
fn held(doce: &Doce, project: &str) -> Value {
    let file = std::fs::read(doce.auth_file(project)).unwrap_or_default();
    serde_json::from_slice::<Value>(&file).unwrap_or_default()["gitlab"].clone()
}

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
    let connection = connection_of(&doce, &at).await;
    assert_eq!((&connection["auth_type"], &connection["renews"]), (&json!("oauth"), &json!(true)));

    let project = doce.create("Begin. [[say: Ready.]]", "anthropic", "claude-sonnet-4-5").await;
    doce.answered(&project, "complete").await;
    let held = held(&doce, &project);
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

#[tokio::test(flavor = "multi_thread")]
async fn githubs_device_login_ends_when_it_is_approved_elsewhere() {
    let server = AuthorizationServer::start_tls().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = directory.path().join("company.pem");
    std::fs::write(&certificate, server.certificate().expect("it speaks TLS")).expect("a file");
    // A certificate that only this person's machine knows: the login's sandbox has to be shown it.
    let doce = Doce::with_env(vec![("NODE_EXTRA_CA_CERTS", certificate)]).await;

    let inputs = json!({"deploymentType": "enterprise", "enterpriseUrl": server.url()});
    let new = json!({"provider_id": "github-copilot", "method": 0, "inputs": inputs, "label": "Work"});
    let attempt = doce.json(Method::POST, "/api/oauth-attempts", Some(new)).await;
    assert_eq!((&attempt["kind"], &attempt["code"]), (&json!("device"), &json!(USER_CODE)), "{attempt}");
    let at = format!("/api/oauth-attempts/{}", attempt["id"].as_str().expect("an id"));
    assert_eq!(doce.get(&at).await["state"], "waiting");
    server.approve();
    let connection = connection_of(&doce, &at).await;
    assert_eq!((&connection["auth_type"], &connection["status"]), (&json!("oauth"), &json!("connected")));
    assert_eq!((&connection["label"], &connection["expires_at"]), (&json!("Work"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_on_one_login_survive_its_renewal_and_ask_for_none() {
    let server = AuthorizationServer::start().await;
    let model = ScriptedModel::start().await;
    let doce = Doce::new().await;
    doce.connect("anthropic", &model.anthropic_base_url(), "sk-two-0123456789").await;
    // The first pair lives long enough for both agents to get it, and is due within the test.
    server.set_lifetime(60);
    let connection = sign_in_at_gitlab(&doce, &server).await;
    server.set_lifetime(3600);
    let mut projects = Vec::new();
    for name in ["First", "Second"] {
        projects.push(doce.create(&format!("{name}. [[say: Ready.]]"), "anthropic", "claude-sonnet-4-5").await);
    }
    for project in &projects {
        doce.answered(project, "complete").await;
    }
    let at = format!("/api/connections/{}", connection["id"].as_str().expect("an id"));
    wait_for("the renewal", BOUND, async || (doce.get(&at).await["version"] == 2).then_some(())).await;
    for project in &projects {
        wait_for("the renewed tokens in the agent", BOUND, async || {
            let access = held(&doce, project)["access"].as_str().map(str::to_owned)?;
            access.starts_with("access-1-2-").then_some(())
        })
        .await;
        doce.prompt(project, "More. [[say: Still here.]]").await;
        doce.answered(project, "complete").await;
        assert_eq!(held(&doce, project)["refresh"], "renewed-by-doce");
    }
    let renewals = server.renewals();
    assert!(renewals.len() == 1 && renewals[0].accepted, "one owner, one renewal: {renewals:?}");
    assert_eq!(doce.get(&at).await["status"], "connected");
}
