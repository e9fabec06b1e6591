//! Every request that changes something leaves a line in the audit log, with its own number.

use std::collections::BTreeSet;

use doce_testkit::{
    AuthorizationServer, ScriptedModel,
    old_installation::{Age, OldInstallation},
    wait_for,
};
use reqwest::Method;
use serde_json::json;

use crate::{
    access::{Route, routes},
    logins::landing,
    world::{Answer, BOUND, PASSWORD, World, id},
};

/// Checks one answer after the other, and keeps which routes were seen.
struct Walk<'w> {
    world: &'w World,
    seen: BTreeSet<String>,
}

impl Walk<'_> {
    async fn audited(&mut self, route: &str, actor: &str, answer: Answer) -> serde_json::Value {
        assert!(answer.status.is_success(), "{route}: {}", answer.text());
        let entries = self.world.audit_of(answer.header("x-request-id")).await;
        assert!(!entries.is_empty(), "{route} left no audit event");
        for entry in &entries {
            assert_eq!(entry.outcome, "ok", "{route}: {entry:?}");
            assert_eq!(entry.actor, actor, "{route}: {entry:?}");
            assert_eq!(entry.address.as_deref(), Some("127.0.0.1"), "{route}: {entry:?}");
        }
        self.seen.insert(route.to_owned());
        answer.json()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_that_changes_something_writes_an_audit_event() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let mut walk = Walk { world: &world, seen: BTreeSet::new() };

    let admin = world.nobody();
    let setup = admin.post("/api/setup", &json!({"username": "ada", "password": PASSWORD})).await;
    let ada = id(&setup.json());
    walk.audited("POST /api/setup", &ada, setup).await;
    let bob = admin.post("/api/users", &json!({"username": "bob", "password": PASSWORD, "role": "member"})).await;
    let bob = id(&walk.audited("POST /api/users", &ada, bob).await);
    let changed = admin.patch(&format!("/api/users/{bob}"), &json!({"role": "admin"})).await;
    walk.audited("PATCH /api/users/{id}", &ada, changed).await;
    let browser = world.nobody();
    let signed_in = browser.post("/api/sign-in", &json!({"username": "bob", "password": PASSWORD})).await;
    walk.audited("POST /api/sign-in", &bob, signed_in).await;
    browser.wait_for_catalogue().await;
    let again = browser.post("/api/system/opencode/retry", &json!({})).await;
    walk.audited("POST /api/system/opencode/retry", &bob, again).await;

    let new = json!({
        "provider_id": "anthropic", "auth_type": "api", "key": "sk-of-bob", "base_url": model.anthropic_base_url(),
    });
    let connection =
        id(&walk.audited("POST /api/connections", &bob, browser.post("/api/connections", &new).await).await);
    let at = format!("/api/connections/{connection}");
    walk.audited("PATCH /api/connections/{id}", &bob, browser.patch(&at, &json!({"label": "Mine"})).await).await;
    let verify = browser.post(&format!("{at}/verify"), &json!({})).await;
    walk.audited("POST /api/connections/{id}/verify", &bob, verify).await;
    let custom = json!({"name": "Acme", "base_url": model.openai_base_url(), "models": [{"id": "m"}]});
    let custom = browser.post("/api/custom-providers", &custom).await;
    let custom = walk.audited("POST /api/custom-providers", &bob, custom).await;
    let change = json!({"name": "Acme Two"});
    let at = format!("/api/custom-providers/{}", custom["provider_id"].as_str().expect("an id"));
    walk.audited("PATCH /api/custom-providers/{id}", &bob, browser.patch(&at, &change).await).await;
    let address = json!({"base_url": model.openai_base_url(), "key": "sk-of-ada"});
    let models = admin.post("/api/custom-providers/models", &address).await;
    walk.audited("POST /api/custom-providers/models", &ada, models).await;
    let organisation = crate::custom::organisation().await;
    let document = admin.post("/api/custom-providers/well-known", &json!({"address": organisation.url()})).await;
    walk.audited("POST /api/custom-providers/well-known", &ada, document).await;
    let favourite = json!({"model": {"provider_id": "anthropic", "model_id": "a"}, "favourite": true});
    let favourite = browser.patch("/api/models/preferences", &favourite).await;
    walk.audited("PATCH /api/models/preferences", &bob, favourite).await;
    let server = AuthorizationServer::start().await;
    let login = json!({"provider_id": "gitlab", "method": 0, "inputs": {"instanceUrl": server.url()}});
    let attempt = browser.post("/api/oauth-attempts", &login).await;
    let attempt = walk.audited("POST /api/oauth-attempts", &bob, attempt).await;
    let login = format!("/api/oauth-attempts/{}", id(&attempt));
    let answer = browser.post(&format!("{login}/code"), &json!({"code": landing(&attempt, "bad-code")})).await;
    walk.audited("POST /api/oauth-attempts/{id}/code", &bob, answer).await;
    walk.audited("DELETE /api/oauth-attempts/{id}", &bob, browser.delete(&login).await).await;

    let new =
        json!({"prompt": "[[say: hello]]", "model": {"provider_id": "anthropic", "model_id": "claude-sonnet-4-6"}});
    let created = walk.audited("POST /api/projects", &bob, browser.post("/api/projects", &new).await).await;
    let project = id(&created["project"]);
    assert_eq!(browser.wait_for_job(&id(&created["job"])).await["state"], "succeeded");
    browser.wait_for_answer(&project).await;
    let at = format!("/api/projects/{project}");
    walk.audited("PATCH /api/projects/{id}", &bob, browser.patch(&at, &json!({"name": "Mine"})).await).await;
    let prompt = browser.post(&format!("{at}/prompts"), &json!({"text": "[[say: more]]"})).await;
    let prompted = walk.audited("POST /api/projects/{id}/prompts", &bob, prompt).await;
    browser.wait_for_job(&id(&prompted["job"])).await;
    browser.wait_for_answer(&project).await;
    let resumed = browser.post(&format!("{at}/continue"), &json!({})).await;
    let resumed = walk.audited("POST /api/projects/{id}/continue", &bob, resumed).await;
    browser.wait_for_job(&id(&resumed["job"])).await;
    browser.wait_for_answer(&project).await;
    let abort = browser.post(&format!("{at}/abort"), &json!({})).await;
    walk.audited("POST /api/projects/{id}/abort", &bob, abort).await;
    wait_for("the preview", BOUND, async || {
        (browser.get(&at).await.expect(200)["preview"]["state"] == "ready").then_some(())
    })
    .await;
    let ticket = browser.post(&format!("{at}/preview-ticket"), &json!({})).await;
    walk.audited("POST /api/projects/{id}/preview-ticket", &bob, ticket).await;
    let stop = browser.post(&format!("{at}/stop"), &json!({})).await;
    let stop = walk.audited("POST /api/projects/{id}/stop", &bob, stop).await;
    assert_eq!(browser.wait_for_job(&id(&stop)).await["state"], "succeeded");
    let start = browser.post(&format!("{at}/start"), &json!({})).await;
    let start = walk.audited("POST /api/projects/{id}/start", &bob, start).await;

    // Cancelled while it is under way: the launch takes a hundred times longer than this request.
    let cancel = browser.post(&format!("/api/jobs/{}/cancel", id(&start)), &json!({})).await;
    walk.audited("POST /api/jobs/{id}/cancel", &bob, cancel).await;
    assert_eq!(browser.wait_for_job(&id(&start)).await["state"], "cancelled");
    let retry = browser.post(&format!("/api/jobs/{}/retry", id(&start)), &json!({})).await;
    let retry = walk.audited("POST /api/jobs/{id}/retry", &bob, retry).await;
    assert_eq!(browser.wait_for_job(&id(&retry)).await["state"], "succeeded");
    let deleted = walk.audited("DELETE /api/projects/{id}", &bob, browser.delete(&at).await).await;
    assert_eq!(browser.wait_for_job(&id(&deleted)).await["state"], "succeeded");

    let paused = admin.put("/api/queue", &json!({"paused": true})).await;
    walk.audited("PUT /api/queue", &ada, paused).await;
    admin.put("/api/queue", &json!({"paused": false})).await.expect(200);

    let holder = age::x25519::Identity::generate().to_public().to_string();
    let export = json!({"password": PASSWORD, "recipients": [holder]});
    walk.audited("POST /api/keys/export", &bob, browser.post("/api/keys/export", &export).await).await;
    let old = OldInstallation::make(Age::L3).await;
    let import = json!({"from": "doce_dev", "directory": old.root()});
    let preview = admin.post("/api/imports/preview", &import).await;
    walk.audited("POST /api/imports/preview", &ada, preview).await;
    walk.audited("POST /api/imports", &ada, admin.post("/api/imports", &import).await).await;
    let copied = json!({"id": admin.get("/api/keys").await.expect(200)["id"]});
    walk.audited("POST /api/keys/copy", &ada, admin.post("/api/keys/copy", &copied).await).await;
    walk.audited("POST /api/keys/rotate", &ada, admin.post("/api/keys/rotate", &json!({})).await).await;

    let token = browser.post("/api/tokens", &json!({"name": "ci", "scope": "build"})).await;
    let token = walk.audited("POST /api/tokens", &bob, token).await;
    let revoked = browser.delete(&format!("/api/tokens/{}", id(&token["token"]))).await;
    walk.audited("DELETE /api/tokens/{id}", &bob, revoked).await;
    let invite = admin.post("/api/invites", &json!({"role": "member"})).await;
    let invite = walk.audited("POST /api/invites", &ada, invite).await;
    let revoked = admin.delete(&format!("/api/invites/{}", id(&invite["invite"]))).await;
    walk.audited("DELETE /api/invites/{id}", &ada, revoked).await;
    let invite = admin.post("/api/invites", &json!({"role": "member"})).await.expect(201);
    let proof = invite["path"].as_str().unwrap().strip_prefix("/invite#").unwrap();
    let account = json!({"token": proof, "username": "eve", "password": PASSWORD});
    let account = world.nobody().post("/api/invited/account", &account).await;
    let eve = id(&account.json());
    walk.audited("POST /api/invited/account", &eve, account).await;

    let gone = browser.delete(&format!("/api/connections/{connection}")).await;
    walk.audited("DELETE /api/connections/{id}", &bob, gone).await;
    let change = json!({"current_password": PASSWORD, "new_password": "another good password"});
    walk.audited("PATCH /api/me", &bob, browser.patch("/api/me", &change).await).await;
    let second = world.nobody();
    second.post("/api/sign-in", &json!({"username": "bob", "password": "another good password"})).await.expect(200);
    let sign_ins = browser.get("/api/sign-ins").await.expect(200);
    let other = sign_ins["items"].as_array().unwrap().iter().find(|sign_in| sign_in["current"] == false).unwrap();
    let ended = browser.delete(&format!("/api/sign-ins/{}", id(other))).await;
    walk.audited("DELETE /api/sign-ins/{id}", &bob, ended).await;
    let out = browser.post("/api/sign-out", &json!({})).await;
    walk.audited("POST /api/sign-out", &bob, out).await;

    // What looks without changing anything, and has a secret in its body, which is no thing for an address.
    walk.seen.insert("POST /api/invited".to_owned());
    let all: BTreeSet<String> = routes().iter().filter(|route| route.method != Method::GET).map(Route::name).collect();
    assert_eq!(walk.seen, all, "a route that changes something is not walked, or is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_attempt_to_sign_in_is_in_the_audit_log() {
    let world = World::start().await;
    world.admin().await;
    let nobody = world.nobody();
    let refused = nobody.post("/api/sign-in", &json!({"username": "ada", "password": "wrong wrong"})).await;
    refused.problem(401, "sign_in_failed");
    let entries = world.audit_of(refused.header("x-request-id")).await;
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].actor.as_str(), entries[0].outcome.as_str()), ("nobody", "sign_in_failed"));
    assert!(!format!("{entries:?}").contains("wrong wrong"));
}
