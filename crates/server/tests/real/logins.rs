//! Logins run by the real `OpenCode` against authorization servers of the test: every method that it brings.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use doce_testkit::{AuthorizationServer, Providers, ScriptedModel, USER_CODE, wait_for};
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

/// Methods of sign-in, each with its answers. Which there are is compared with the catalogue.
fn methods() -> Vec<(&'static str, u64, Value)> {
    vec![
        ("openai", 0, json!({})),
        ("openai", 1, json!({})),
        ("xai", 0, json!({})),
        ("gitlab", 0, json!({})),
        ("github-copilot", 0, json!({"deploymentType": "github.com"})),
        ("snowflake-cortex", 0, json!({"account": "acme-eu1", "role": "ANALYST"})),
        ("poe", 0, json!({})),
        ("digitalocean", 0, json!({})),
    ]
}

/// A doce that finds these hosts in the place of the real ones, and no others. The directory holds their certificate.
async fn among(providers: &Providers) -> (Doce, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = directory.path().join("providers.pem");
    std::fs::write(&certificate, providers.certificate()).expect("a file");
    let proxy = PathBuf::from(providers.proxy_url());
    let mut env: Vec<_> =
        ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].map(|name| (name, proxy.clone())).into();
    env.extend(["NO_PROXY", "no_proxy"].map(|name| (name, PathBuf::from("127.0.0.1,localhost"))));
    env.extend(["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"].map(|name| (name, certificate.clone())));
    (Doce::with_env(env).await, directory)
}

/// Signs in as a person does, whatever the method asks for; returns the attempt's id and the Connection.
async fn sign_in(
    doce: &Doce,
    providers: &Providers,
    (provider, method, inputs): (&str, u64, Value),
    label: &str,
) -> (String, Value) {
    let new = json!({"provider_id": provider, "method": method, "inputs": inputs, "label": label});
    let attempt = doce.json(Method::POST, "/api/oauth-attempts", Some(new)).await;
    let id = attempt["id"].as_str().expect("an id").to_owned();
    let at = format!("/api/oauth-attempts/{id}");
    assert_eq!(homes_of(&id).len(), 1, "{label}: a home in memory");
    match attempt["kind"].as_str().expect("a kind") {
        "device" => {
            assert!(providers.approve(attempt["code"].as_str().expect("a code")), "{label}: {attempt}");
        }
        "redirect" => {
            // The page sends the browser to an address that doesn't open on the person's machine.
            let page = browser(providers).get(attempt["url"].as_str().expect("a page")).send().await.expect("a page");
            assert_eq!(page.status(), StatusCode::FOUND, "{label}: {attempt}");
            let address = page.headers()["location"].to_str().expect("an address");
            doce.json(Method::POST, &format!("{at}/code"), Some(json!({"code": address}))).await;
        }
        other => panic!("{label} ends by {other}"),
    }
    let connection = connection_of(doce, &at).await;
    (id, connection)
}

/// A browser on the person's machine, whose way to the providers is the proxy.
fn browser(providers: &Providers) -> reqwest::Client {
    let proxy = reqwest::Proxy::all(providers.proxy_url()).expect("an address");
    let certificate = reqwest::Certificate::from_pem(providers.certificate().as_bytes()).expect("a certificate");
    let builder = reqwest::Client::builder().proxy(proxy).tls_certs_only([certificate]);
    builder.redirect(reqwest::redirect::Policy::none()).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_sign_in_ends_in_a_sealed_connection() {
    const LIFETIME: u64 = 5400;
    let providers = Providers::start().await;
    providers.set_lifetime(LIFETIME);
    let (doce, _directory) = among(&providers).await;

    for (provider, method, inputs) in methods() {
        let name = format!("{provider}, method {method}");
        let before = jiff::Timestamp::now();
        let (id, connection) = sign_in(&doce, &providers, (provider, method, inputs), &name).await;
        assert_eq!((&connection["status"], &connection["label"]), (&json!("connected"), &json!(name)));
        let kind = if provider == "digitalocean" { "api" } else { "oauth" };
        assert_eq!(connection["auth_type"], kind, "{name}");
        let renews = ["openai", "xai", "gitlab", "snowflake-cortex"].contains(&provider);
        assert_eq!(connection["renews"], renews, "{name}");
        match connection["expires_at"].as_str() {
            Some(at) => {
                let at: jiff::Timestamp = at.parse().expect("a time");
                let lifetime = jiff::SignedDuration::from_secs(LIFETIME.cast_signed());
                let range = before + lifetime..=jiff::Timestamp::now() + lifetime;
                assert!(range.contains(&at), "{name}: {at} in {range:?}");
            }
            None => assert!(["github-copilot", "digitalocean"].contains(&provider), "{name} runs out"),
        }
        wait_for("the login's home is gone", BOUND, async || homes_of(&id).is_empty().then_some(())).await;
    }

    let database = std::fs::read(doce.data.join("doce.sqlite")).expect("it is a file");
    let log = std::fs::read(doce.log()).expect("it is a file");
    for token in ["access-1-", "refresh-1-", "access-alone-"] {
        let shown = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token.as_bytes());
        assert!(!shown(&database) && !shown(&log), "{token} is sealed, and in no log");
    }
    assert_eq!(providers.strangers(), Vec::<String>::new(), "nobody else was asked");

    // The list above is whole, and so is README's table.
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md is there");
    let mut there = Vec::new();
    let known: BTreeSet<_> = methods().into_iter().map(|(provider, ..)| provider).collect();
    for provider in known.into_iter().chain(["azure"]) {
        let view = doce.get(&format!("/api/providers?q={provider}")).await;
        let view = view["items"].as_array().expect("a list").iter().find(|view| view["id"] == provider).cloned();
        let view = view.expect("it is in the catalogue");
        for method in view["methods"].as_array().expect("methods") {
            if method["kind"] == "oauth" && method["refusal"].is_null() {
                let said = method["tested"].as_str().expect("it is said how it was tested");
                let row = format!(
                    "| {}: {} |",
                    view["name"].as_str().expect("a name"),
                    method["label"].as_str().expect("a label")
                );
                let row =
                    readme.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("README has {row}"));
                assert!(row.ends_with(&format!("| {said} |")), "README says of a test what the program says: {row}");
                there.push((provider, method["index"].as_u64().expect("a number")));
            }
        }
    }
    assert_eq!(readme.matches("| against a fake ").count(), there.len(), "each of those rows is a method");
    there.sort_unstable();
    let mut tested: Vec<_> = methods().into_iter().map(|(provider, method, _)| (provider, method)).collect();
    tested.sort_unstable();
    assert_eq!(there, tested);
}

/// The homes of a login.
fn homes_of(attempt: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/dev/shm").into_iter().flatten().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with("doce-login-") && name.ends_with(attempt)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_rejected_in_use_is_renewed_once_and_a_login_that_nobody_renews_ends_as_expired() {
    let providers = Providers::start().await;
    let (doce, _directory) = among(&providers).await;
    let (_, openai) = sign_in(&doce, &providers, ("openai", 1, json!({})), "work").await;
    providers.reject_tokens(true);
    let project = doce.create("Begin.", "openai", "gpt-5.4").await;
    let messages = doce.answered(&project, "failed").await;
    let error = &messages.last().expect("an answer")["error"];
    assert_eq!((&error["code"], &error["action"]["kind"]), (&json!("sign_in_renewed"), &json!("continue")), "{error}");
    let at = format!("/api/connections/{}", openai["id"].as_str().expect("an id"));
    wait_for("the renewal", BOUND, async || (doce.get(&at).await["version"] == 2).then_some(())).await;
    assert_eq!(doce.get(&at).await["status"], "connected");
    providers.reject_tokens(false);
    wait_for("the renewed token in the agent", BOUND, async || {
        let file = std::fs::read_to_string(doce.auth_file(&project)).unwrap_or_default();
        file.contains("access-1-2-").then_some(())
    })
    .await;
    doce.prompt(&project, "More.").await;
    wait_for("a request with the renewed token", BOUND, async || {
        let asked = providers.asked();
        let renewed = |asked: &doce_testkit::Asked| {
            asked.host == "chatgpt.com"
                && asked.authorization.as_deref().is_some_and(|sent| sent.contains("access-1-2-"))
        };
        asked.iter().any(renewed).then_some(())
    })
    .await;
    let renewals = providers.renewals();
    assert!(renewals.len() == 1 && renewals[0].accepted, "{renewals:?}");
    let for_tokens = providers.asked().into_iter().filter(|asked| asked.for_tokens).count();
    assert_eq!(for_tokens, 2, "the login's own request and doce's renewal");

    // Poe gives no token to renew with.
    providers.set_lifetime(5);
    let (_, poe) = sign_in(&doce, &providers, ("poe", 0, json!({})), "work").await;
    assert_eq!(poe["renews"], false);
    let at = format!("/api/connections/{}", poe["id"].as_str().expect("an id"));
    let expired = wait_for("the end of the login", BOUND, async || {
        Some(doce.get(&at).await).filter(|connection| connection["status"] == "expired")
    })
    .await;
    assert!(expired["error_message"].as_str().is_some_and(|text| text.contains("Sign in again")), "{expired}");
    // The project's preview would install its packages; it gets none here.
    let strangers: BTreeSet<_> = providers.strangers().into_iter().collect();
    assert!(strangers.iter().all(|host| host == "registry.npmjs.org:443"), "nobody else was asked: {strangers:?}");
}
