//! Custom providers: an endpoint of one's own, one that is found, and one that an organisation publishes.

use axum::{Router, routing::get};
use doce_testkit::ScriptedModel;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use crate::world::World;

/// A web server of somebody's. It ends with this value.
pub(crate) struct Site {
    address: std::net::SocketAddr,
    _task: JoinSet<()>,
}

impl Site {
    async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, _task: task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// An organisation that publishes what its people connect with, and a command that nobody should run.
pub(crate) async fn organisation() -> Site {
    let document = json!({
        "auth": {"command": ["sh", "-c", "touch /tmp/doce-ran-a-command"], "env": "ACME_TOKEN"},
        "config": {"provider": {"acme": {
            "name": "Acme", "npm": "@ai-sdk/openai-compatible", "options": {"baseURL": "https://ai.acme.test/v1"},
            "models": {"acme-large": {"name": "Large", "limit": {"context": 100_000, "output": 8_000}}},
        }}},
    });
    Site::start(Router::new().route("/.well-known/opencode", get(move || async move { axum::Json(document) }))).await
}

fn acme(model: &ScriptedModel) -> Value {
    json!({
        "name": "Acme AI", "base_url": model.openai_base_url(),
        "models": [{"id": "acme-1", "name": "Acme One", "context": 64_000, "output": 8_000}, {"id": "plain"}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_ones_own_builds_a_project_with_its_key_and_is_changed_while_agents_run() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    model.accept_keys(["sk-acme-0123456789"]);
    let browser = world.admin().await;
    browser.wait_for_catalogue().await;
    let mut new = acme(&model);
    new["key"] = json!("sk-wrong-0123456789");
    browser.post("/api/custom-providers", &new).await.problem(422, "key_rejected");
    assert_eq!(browser.get("/api/custom-providers").await.expect(200)["items"], json!([]), "nothing is left behind");
    new["key"] = json!("sk-acme-0123456789");
    let connection = browser.post("/api/custom-providers", &new).await.expect(201);
    assert_eq!(
        (&connection["provider_id"], &connection["provider_name"]),
        (&json!("custom-acme-ai"), &json!("Acme AI"))
    );
    assert_eq!((&connection["status"], &connection["last_four"]), (&json!("connected"), &json!("6789")));

    let listed = browser.get("/api/providers?q=acme").await.expect(200);
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["connected"]), (&json!("custom-acme-ai"), &json!(true)));
    let models = browser.get("/api/providers/custom-acme-ai/models").await.expect(200);
    assert_eq!(models["items"].as_array().map(Vec::len), Some(2));
    assert_eq!((&models["items"][0]["name"], &models["items"][0]["cost_input"]), (&json!("Acme One"), &Value::Null));

    let unknown = json!({"prompt": "x", "model": {"provider_id": "custom-acme-ai", "model_id": "acme-9"}});
    browser.post("/api/projects", &unknown).await.problem(422, "invalid");
    let project = json!({"prompt": "[[say: built]]", "model": {"provider_id": "custom-acme-ai", "model_id": "acme-1"}});
    let created = browser.post("/api/projects", &project).await.expect(202);
    let project = created["project"]["id"].as_str().expect("an id").to_owned();
    browser.wait_for_words(&project, "built").await;
    let agent_file = |project: &str| {
        let instances = world.data().join("instances");
        instances.read_dir_utf8().expect("a directory").filter_map(Result::ok).find_map(|entry| {
            let text = std::fs::read_to_string(entry.path().join("agent/opencode.json")).ok()?;
            let _ = project;
            serde_json::from_str::<Value>(&text).ok().filter(|file| file["provider"]["custom-acme-ai"].is_object())
        })
    };
    let file = agent_file(&project).expect("the agent's configuration");
    assert_eq!(
        file["provider"]["custom-acme-ai"]["models"]["acme-1"]["limit"],
        json!({"context": 64_000, "output": 8_000})
    );
    assert_eq!(file["provider"]["custom-acme-ai"]["options"]["baseURL"], model.openai_base_url());

    // Changed, the agent gets it without a word from anybody.
    let change = json!({"name": "Acme", "models": [{"id": "acme-1"}, {"id": "acme-2"}]});
    let changed = browser.patch("/api/custom-providers/custom-acme-ai", &change).await.expect(200);
    assert_eq!((&changed["name"], &changed["id"]), (&json!("Acme"), &json!("custom-acme-ai")));
    doce_testkit::wait_for("the agent knows the new model", crate::world::BOUND, async || {
        agent_file(&project)?["provider"]["custom-acme-ai"]["models"]["acme-2"].is_object().then_some(())
    })
    .await;
    let connections = browser.get("/api/connections").await.expect(200);
    assert_eq!(connections["items"][0]["provider_name"], "Acme");

    // It goes with its last connection.
    let at = format!("/api/connections/{}", connection["id"].as_str().expect("an id"));
    browser.delete(&at).await.expect(204);
    assert_eq!(browser.get("/api/custom-providers").await.expect(200)["items"], json!([]));
    browser.get("/api/providers/custom-acme-ai/models").await.problem(404, "provider_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_without_a_key_is_found_on_this_machine_and_says_so() {
    let model = ScriptedModel::start().await;
    model.list_models(["llama3.1:8b", "qwen2.5-coder"]);
    // Such a program doesn't look at keys.
    model.accept_keys(["", "none"]);
    let nothing = "http://127.0.0.1:9/v1".to_owned();
    let world = World::builder()
        .running()
        .local_place("Ollama", model.openai_base_url())
        .local_place("LM Studio", nothing)
        .start()
        .await;
    let admin = world.admin().await;
    admin.wait_for_catalogue().await;
    let found = admin.get("/api/local-providers").await.expect(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(
        (&found["items"][0]["name"], &found["items"][0]["models"][0]["id"]),
        (&json!("Ollama"), &json!("llama3.1:8b"))
    );

    let offer = &found["items"][0];
    let new = json!({"name": offer["name"], "base_url": offer["base_url"], "models": offer["models"]});
    let connection = admin.post("/api/custom-providers", &new).await.expect(201);
    assert_eq!((&connection["verification"]["outcome"], &connection["last_four"]), (&json!("valid"), &json!("")));
    assert_eq!(admin.get("/api/local-providers").await.expect(200)["items"], json!([]), "it is connected");
    // Two people may give one name, and none sees the other's.
    let member = world.member(&admin, "bob").await;
    assert_eq!(member.get("/api/custom-providers").await.expect(200)["items"], json!([]));
    let theirs = member.post("/api/custom-providers", &new).await.expect(201);
    assert_eq!(theirs["provider_id"], "custom-ollama-2");
    assert_eq!(theirs["verification"]["outcome"], "unreachable", "a member can't make the server call its own network");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_asked_for_its_models_and_believed_in_nothing_else() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    model.list_models(["one", "two"]);
    model.accept_keys([""]);
    let admin = world.admin().await;
    let ask = async |base_url: String| admin.post("/api/custom-providers/models", &json!({"base_url": base_url})).await;
    let offer = ask(model.openai_base_url()).await.expect(200);
    assert_eq!(
        offer["models"],
        json!([{"id": "one", "name": null, "context": null, "output": null},
        {"id": "two", "name": null, "context": null, "output": null}])
    );
    let site = Site::start(
        Router::new()
            .route("/html/models", get(|| async { axum::response::Html("<html>hello</html>") }))
            .route("/away/models", get(|| async { axum::response::Redirect::temporary("http://127.0.0.1:1/") }))
            .route("/huge/models", get(|| async { "x".repeat(5 << 20) }))
            // The address without `/v1` leads there as well, and the answer says which one to use.
            .route("/deep/v1/models", get(|| async { r#"{"data":[{"id":"deep"}]}"# }))
            .route("/odd/models", get(|| async { r#"{"data":[{"id":"ok"},{"id":"a b"},{"id":7},"x"]}"# }))
            .route("/shut/models", get(|| async { http::StatusCode::UNAUTHORIZED })),
    )
    .await;
    let at = |path: &str| format!("{}/{path}", site.url());
    for (path, word) in [
        ("html", "doesn't list"),
        ("away", "redirect"),
        ("huge", "longer than"),
        ("shut", "wants a key"),
        ("none", "doesn't list"),
    ] {
        let problem = ask(at(path)).await.problem(422, "endpoint_unusable");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(word)), "{path}: {problem}");
    }
    assert_eq!(ask(at("deep")).await.expect(200)["base_url"], at("deep/v1"));
    assert_eq!(ask(at("odd")).await.expect(200)["models"].as_array().map(Vec::len), Some(1));
    for wrong in ["", "ftp://x", "http://user:pw@x/v1", "https://x/${HOME}"] {
        let problem = ask(wrong.to_owned()).await.problem(422, "invalid");
        assert_eq!(problem["field"], "base_url", "{wrong}");
    }
    let member = world.member(&admin, "bob").await;
    for path in ["/api/custom-providers/models", "/api/custom-providers/well-known"] {
        let field = if path.ends_with("models") { "base_url" } else { "address" };
        let problem = member.post(path, &json!({field: site.url()})).await.problem(422, "endpoint_unusable");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("Only an admin")), "{problem}");
    }
    for (name, models) in [
        ("", json!([{"id": "m"}])),
        ("Acme", json!([])),
        ("Acme", json!([{"id": "a b"}])),
        ("Acme", json!([{"id": "m"}, {"id": "m"}])),
        ("Acme", json!([{"id": "m", "context": 10}])),
        ("Acme", json!([{"id": "m", "context": 10, "output": 20}])),
    ] {
        let new = json!({"name": name, "base_url": model.openai_base_url(), "models": models});
        admin.post("/api/custom-providers", &new).await.problem(422, "invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisations_document_is_shown_and_its_command_is_not_run() {
    let world = World::running().await;
    let admin = world.admin().await;
    let organisation = organisation().await;
    let document = admin.post("/api/custom-providers/well-known", &json!({"address": organisation.url()})).await;
    let document = document.expect(200);
    assert_eq!((&document["token_name"], &document["command"][0]), (&json!("ACME_TOKEN"), &json!("sh")));
    let acme = &document["providers"][0];
    assert_eq!((&acme["base_url"], &acme["refusal"]), (&json!("https://ai.acme.test/v1"), &Value::Null));
    assert_eq!(acme["models"][0]["id"], "acme-large");
    assert!(!std::path::Path::new("/tmp/doce-ran-a-command").exists(), "the command was run");
    let nothing = Site::start(Router::new()).await;
    let refused = admin.post("/api/custom-providers/well-known", &json!({"address": nothing.url()})).await;
    refused.problem(422, "endpoint_unusable");
}
