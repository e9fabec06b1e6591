//! Every route × everybody: taken from the description of the API, so that a new route is looked at, too.

use std::collections::BTreeSet;

use doce_model::Scope;
use doce_testkit::{AuthorizationServer, ScriptedModel};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Browser, World, id};

/// The routes that answer anybody. Hand-written: a route gets in here by decision.
const OPEN: [&str; 6] = [
    "GET /api/health",
    "GET /api/openapi.json",
    "POST /api/invited",
    "POST /api/invited/account",
    "POST /api/setup",
    "POST /api/sign-in",
];
/// The routes that take no API token, whatever its scope.
const SIGNED_IN_ONLY: [&str; 10] = [
    "DELETE /api/sign-ins/{id}",
    "DELETE /api/tokens/{id}",
    "GET /api/sign-ins",
    "GET /api/tokens",
    "PATCH /api/me",
    "POST /api/keys/copy",
    "POST /api/keys/export",
    "POST /api/keys/rotate",
    "POST /api/sign-out",
    "POST /api/tokens",
];
/// The routes that answer admins only.
const ADMINS: [&str; 18] = [
    "DELETE /api/invites/{id}",
    "GET /api/imports",
    "GET /api/invites",
    "GET /api/keys",
    "GET /api/local-providers",
    "GET /api/system/doctor",
    "GET /api/system/status",
    "GET /api/users",
    "GET /api/users/{id}/in-use",
    "GET /metrics",
    "PATCH /api/users/{id}",
    "POST /api/imports",
    "POST /api/imports/preview",
    "POST /api/invites",
    "POST /api/keys/copy",
    "POST /api/keys/rotate",
    "POST /api/users",
    "PUT /api/queue",
];
/// The routes whose id names something that belongs to nobody.
const EVERYBODYS: [&str; 4] = [
    "DELETE /api/invites/{id}",
    "GET /api/providers/{id}/models",
    "GET /api/users/{id}/in-use",
    "PATCH /api/users/{id}",
];

/// The routes that would do something, and take their time, whatever is sent.
const WORK_WITHOUT_ID: [&str; 4] =
    ["GET /api/local-providers", "GET /api/stream", "GET /api/system/doctor", "POST /api/system/opencode/retry"];

/// A route of the description.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: String,
    access: String,
    /// The scope that an API token needs, if any is enough.
    scope: Option<Scope>,
}

impl Route {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Every route that there is.
pub(crate) fn routes() -> Vec<Route> {
    let description = serde_json::to_value(doce_server::api::description()).expect("it is JSON");
    let mut routes = Vec::new();
    for (path, item) in description["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path has operations") {
            routes.push(Route {
                method: method.to_uppercase().parse().expect("it is a method"),
                path: path.clone(),
                access: operation["x-access"].as_str().expect("a route says who may use it").to_owned(),
                scope: operation["x-token-scope"].as_str().map(|scope| scope.parse().expect("it is a scope")),
            });
        }
    }
    assert!(routes.len() > 30, "the description has lost its routes");
    routes
}

/// A body that the route would accept from its owner.
fn body(route: &Route) -> Value {
    match route.name().as_str() {
        "POST /api/projects/{id}/prompts" => json!({"text": "hello"}),
        "POST /api/oauth-attempts/{id}/code" => json!({"code": "a code"}),
        _ => json!({}),
    }
}

async fn send(browser: &Browser, route: &Route, id: &str) -> crate::world::Answer {
    let mut path = route.path.replace("{id}", id);
    match route.name().as_str() {
        "GET /api/projects/{id}/file" => path.push_str("?path=package.json"),
        "GET /api/projects/{id}/logs" => path.push_str("?source=agent"),
        _ => {}
    }
    let request = browser.request(route.method.clone(), &path);
    let request = if route.method == Method::GET { request } else { request.json(&body(route)) };
    browser.send(request).await
}

fn names(routes: &[Route], access: &str) -> BTreeSet<String> {
    routes.iter().filter(|route| route.access == access).map(Route::name).collect()
}

#[test]
fn only_the_listed_routes_are_open_and_only_the_listed_ones_are_for_admins() {
    let routes = routes();
    assert_eq!(names(&routes, "open"), BTreeSet::from(OPEN.map(str::to_owned)));
    assert_eq!(names(&routes, "admin"), BTreeSet::from(ADMINS.map(str::to_owned)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_anywhere_but_the_open_routes() {
    let world = World::start().await;
    world.admin().await;
    let nobody = world.nobody();
    for route in routes() {
        let answer = send(&nobody, &route, "prj_0198f0000000700080000000000000aa").await;
        if OPEN.contains(&route.name().as_str()) {
            assert_ne!(answer.status, 401, "{}", route.name());
        } else {
            answer.problem(401, "sign_in_required");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_cookie_is_nobody() {
    let world = World::start().await;
    world.admin().await;
    let nobody = world.nobody();
    for cookie in ["__Host-doce=x", "__Host-doce=", "doce=x", "__Host-doce=../../etc/passwd"] {
        nobody.set_cookie(Some(cookie.to_owned()));
        nobody.get("/api/me").await.problem(401, "sign_in_required");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_refused_where_admins_are_asked_for() {
    let world = World::start().await;
    let admin = world.admin().await;
    let member = world.member(&admin, "bob").await;
    for route in routes().into_iter().filter(|route| route.access == "admin") {
        send(&member, &route, "usr_x").await.problem(403, "admins_only");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_token_gets_as_far_as_its_scope_and_its_owner() {
    let world = World::running().await;
    let admin = world.admin().await;
    admin.wait_for_catalogue().await;
    let member = world.member(&admin, "bob").await;
    let routes = routes();
    let tokenless = routes.iter().filter(|route| route.access != "open" && route.scope.is_none());
    assert_eq!(tokenless.map(Route::name).collect::<BTreeSet<_>>(), SIGNED_IN_ONLY.map(str::to_owned).into());
    for (owner, is_admin) in [(&admin, true), (&member, false)] {
        for scope in Scope::ALL {
            let new = json!({"name": scope.as_str(), "scope": scope.as_str()});
            let made = owner.post("/api/tokens", &new).await.expect(201);
            let script = owner.script(made["secret"].as_str().unwrap());
            for route in routes.iter().filter(|route| route.access != "open") {
                // What it may do is tried with ids that name nothing, so nothing comes of it. These need no id.
                let would_work = WORK_WITHOUT_ID.contains(&route.name().as_str());
                match route.scope {
                    None => drop(send(&script, route, "none").await.problem(403, "token_refused")),
                    Some(needed) if *scope < needed => {
                        drop(send(&script, route, "none").await.problem(403, "scope_missing"));
                    }
                    Some(_) if route.access == "admin" && !is_admin => {
                        drop(send(&script, route, "none").await.problem(403, "admins_only"));
                    }
                    Some(_) if would_work => {}
                    Some(_) => {
                        let answer = send(&script, route, "none").await;
                        let name = route.name();
                        assert!(!matches!(answer.status.as_u16(), 401 | 403), "{scope} {name}: {}", answer.text());
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_somebody_elses_is_not_there_for_an_admin_either() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let owner = world.member(&admin, "alice").await;
    let other = world.member(&admin, "bob").await;
    // Only an admin may sign in at a server in this machine's own network, as the one below is.
    let id = id(&owner.get("/api/me").await.expect(200));
    admin.patch(&format!("/api/users/{id}"), &json!({"role": "admin"})).await.expect(200);
    let connection = owner.connect(&model, "sk-of-alice").await;
    let created = owner.create_project("a page").await;
    let sign_ins = owner.get("/api/sign-ins").await.expect(200);
    let token = owner.post("/api/tokens", &json!({"name": "ci", "scope": "read"})).await.expect(201);
    let server = AuthorizationServer::start().await;
    let login = json!({"provider_id": "gitlab", "method": 0, "inputs": {"instanceUrl": server.url()}});
    let attempt = owner.post("/api/oauth-attempts", &login).await.expect(201);
    let custom = json!({"name": "Acme", "base_url": model.openai_base_url(), "models": [{"id": "m"}]});
    let custom = owner.post("/api/custom-providers", &custom).await.expect(201);
    let id_of = |route: &Route| -> Option<String> {
        let noun = route.path.strip_prefix("/api/")?.split('/').next()?;
        let id = match noun {
            "projects" => &created["project"]["id"],
            "jobs" => &created["job"]["id"],
            "connections" => &connection["id"],
            "custom-providers" => &custom["provider_id"],
            "oauth-attempts" => &attempt["id"],
            "sign-ins" => &sign_ins["items"][0]["id"],
            "tokens" => &token["token"]["id"],
            _ => return None,
        };
        id.as_str().map(str::to_owned)
    };
    let mut seen = 0;
    for route in routes() {
        if !route.path.contains("{id}") || EVERYBODYS.contains(&route.name().as_str()) {
            continue;
        }
        let id = id_of(&route).unwrap_or_else(|| panic!("say whose noun {} names", route.name()));
        for browser in [&other, &admin] {
            let answer = send(browser, &route, &id).await;
            assert_eq!(answer.status, 404, "{}: {}", route.name(), answer.text());
            let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
            assert!(code.ends_with("_not_found") && code != "file_not_found", "{}: {code}", route.name());
        }
        seen += 1;
    }
    assert!(seen > 20);
    // It is still there for its owner: none of those requests did anything.
    owner.get(&format!("/api/connections/{}", connection["id"].as_str().unwrap())).await.expect(200);
    let project = owner.get(&format!("/api/projects/{}", created["project"]["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(project["desired"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_show_nothing_of_other_people() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let owner = world.member(&admin, "alice").await;
    owner.connect(&model, "sk-of-alice").await;
    owner.create_project("a page").await;
    for path in ["/api/connections", "/api/projects", "/api/jobs"] {
        assert!(!owner.get(path).await.expect(200)["items"].as_array().unwrap().is_empty(), "{path}");
        assert!(admin.get(path).await.expect(200)["items"].as_array().unwrap().is_empty(), "{path}");
    }
    let providers = admin.get("/api/providers?q=anthropic").await.expect(200);
    assert_eq!(providers["items"][0]["connected"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_can_not_be_made_with_somebody_elses_connection() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    let owner = world.member(&admin, "alice").await;
    let connection = owner.connect(&model, "sk-of-alice").await;
    let new = json!({
        "prompt": "a page",
        "model": {"provider_id": "anthropic", "model_id": "claude-sonnet-4-6"},
        "connections": {"anthropic": connection["id"]},
    });
    let refused = admin.post("/api/projects", &new).await;
    assert!(refused.status.is_client_error(), "{}", refused.text());
    assert!(admin.get("/api/projects").await.expect(200)["items"].as_array().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_none_names_nothing() {
    let world = World::start().await;
    let admin = world.admin().await;
    for (path, code) in [
        ("/api/projects/nonsense", "project_not_found"),
        ("/api/projects/con_0198f0000000700080000000000000aa", "project_not_found"),
        ("/api/connections/con_%00", "connection_not_found"),
    ] {
        admin.get(path).await.problem(404, code);
    }
}
