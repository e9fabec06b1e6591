//! How the server is doing: for an admin's page, and for Prometheus.

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

use crate::world::{BOUND, World, id};

const KEY: &str = "sk-planted-0123456789";

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_sees_what_runs_and_what_it_takes() {
    let world = World::builder().running().most_agents(3).start().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    admin.connect(&model, KEY).await;
    let made = admin.create_project("A bakery [[say: one]]").await;
    admin.wait_for_job(&id(&made["job"])).await;
    admin.wait_for_answer(&id(&made["project"])).await;
    let status = admin.get("/api/system/status").await.expect(200);
    assert_eq!(status["database"]["kind"], "SQLite", "{status}");
    assert!(status["database"]["bytes"].as_u64().is_some_and(|bytes| bytes > 10_000), "{status}");
    assert_eq!((&status["agents"]["running"], &status["agents"]["most"]), (&json!(1), &json!(3)));
    assert_eq!((&status["agents"]["starting"], &status["agents"]["waiting"]), (&json!(0), &json!(0)));
    assert_eq!(status["tools"][0]["name"], "node");
    assert!(
        status["disk"]["free"].as_u64() > Some(0)
            && status["disk"]["free"].as_u64() <= status["disk"]["total"].as_u64()
    );
    let project = &status["projects"][0];
    assert_eq!((&project["id"], &project["owner"]), (&made["project"]["id"], &json!("ada")));
    assert_eq!(project["name"], made["project"]["name"]);
    assert!(project["memory"].as_u64().is_some_and(|bytes| bytes > 100_000), "{project}");
    let runtime = &status["runtime"];
    assert_eq!(runtime["kind"], "process");
    assert!(runtime["sandbox"].as_str().is_some_and(|program| program.ends_with("/bwrap")), "{runtime}");
    // What the preview takes is the project's, too.
    wait_for("the preview", BOUND, async || {
        let project = admin.get(&format!("/api/projects/{}", id(&made["project"]))).await.expect(200);
        (project["preview"]["state"] == "ready").then_some(())
    })
    .await;
    wait_for("a project that takes more than its agent", BOUND, async || {
        let agents: f64 = number(&admin.get("/metrics").await.text(), "doce_agents_memory_bytes");
        let status = admin.get("/api/system/status").await.expect(200);
        (status["projects"][0]["memory"].as_f64().expect("it runs") > agents + 4_000_000.0).then_some(())
    })
    .await;
    assert!(project["disk"].as_u64().is_some_and(|bytes| bytes > 4096), "{project}");
    assert_eq!(project["disk_at_least"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn disks_are_measured_once_a_minute_and_somebody_elses_project_has_no_name() {
    let world = World::running().await;
    let admin = world.admin().await;
    let member = world.member(&admin, "bob").await;
    member.wait_for_catalogue().await;
    let made = member.create_project("A secret plan").await;
    let look = async || admin.get("/api/system/status").await.expect(200);
    let first = look().await;
    assert_eq!((&first["projects"][0]["owner"], &first["projects"][0]["name"]), (&json!("bob"), &Value::Null));
    assert!(!first.to_string().contains("secret plan"), "{first}");
    assert_eq!(look().await["measured_at"], first["measured_at"]);
    world.clock.advance(doce_app::system::MEASURED_EVERY);
    assert_ne!(look().await["measured_at"], first["measured_at"]);
    // It waits for a key, and is neither due nor at work.
    wait_for("the launch to wait", BOUND, async || {
        let job = member.get(&format!("/api/jobs/{}", id(&made["job"]))).await.expect(200);
        (!job["waits_for"].is_null()).then_some(())
    })
    .await;
    let queue = &look().await["queue"];
    assert_eq!((&queue["waiting"], &queue["due"], &queue["running"]), (&json!(1), &json!(0), &json!(0)));
}

/// The labels of a line: `name{a="b",c="d"} 1`.
fn labels(line: &str) -> Vec<(&str, &str)> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let (inside, _) = rest.rsplit_once('}').expect("it is closed");
    inside
        .split("\",")
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once("=\"").expect("a name and a value"))
        .map(|(name, value)| (name, value.trim_end_matches('"')))
        .collect()
}

/// The number of the line that begins so.
fn number(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_else(|| panic!("{line}: {text}"));
    found.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happens_and_no_label_tells_of_anybody() {
    let world = World::running().await;
    let model = ScriptedModel::start().await;
    let admin = world.admin().await;
    admin.connect(&model, KEY).await;
    let made = admin.create_project("Planted bakery [[say: one]]").await;
    let project = id(&made["project"]);
    admin.wait_for_job(&id(&made["job"])).await;
    admin.wait_for_answer(&project).await;
    // What anybody may send: it must not become a label.
    world.nobody().get("/api/sk-planted-path").await;
    world.nobody().get("/planted?sk-planted=1").await;
    let method = reqwest::Method::from_bytes(b"PLANTED").expect("a method");
    world.nobody().send(world.nobody().request(method, "/api/me")).await;
    let token = admin.post("/api/tokens", &json!({"name": "prometheus", "scope": "metrics"})).await.expect(201);
    let stream = admin.stream("").await;

    let script = admin.script(token["secret"].as_str().expect("a token"));
    let answer = script.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers["content-type"].to_str().is_ok_and(|kind| kind.starts_with("application/openmetrics-text")));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    assert!(number(&text, r#"doce_http_requests_total{method="GET",route="/api/projects/{id}",status="2xx"}"#) >= 1.0);
    assert!(number(&text, r#"doce_http_requests_total{method="other",route="/api/me",status="4xx"}"#) >= 1.0);
    assert!(number(&text, r#"doce_http_answer_seconds_count{route="/api/projects/{id}"}"#) >= 1.0);
    assert!(number(&text, r#"doce_jobs{kind="launch_project",state="succeeded"}"#) >= 1.0);
    assert!(number(&text, r#"doce_agents{state="running"}"#) >= 1.0);
    assert!(number(&text, "doce_agents_memory_bytes") > 100_000.0);
    assert!(number(&text, r#"doce_deliveries{outcome="delivered"}"#) >= 1.0);
    assert!(number(&text, r#"doce_connections_verified{outcome="valid"}"#) >= 1.0);
    assert!(number(&text, "doce_streams") >= 1.0);
    assert!(number(&text, "doce_database_size_bytes") > 10_000.0);
    assert!(number(&text, "doce_queue_oldest_due_seconds") >= 0.0);
    assert!(text.contains(&format!(r#"version="{}""#, env!("CARGO_PKG_VERSION"))), "{text}");
    drop(stream);

    let known = ["method", "route", "status", "kind", "state", "outcome", "le", "version", "opencode"];
    for (name, value) in text.lines().filter(|line| !line.starts_with('#')).flat_map(labels) {
        assert!(known.contains(&name), "{name}: somebody has to think about what its values may be");
        let fits = value.len() <= 64 && value.chars().all(|c| c.is_ascii_alphanumeric() || "/{}_-.+".contains(c));
        assert!(fits, "{name}={value}");
    }
    for planted in ["lanted", "LANTED", "ada", "akery", "anthropic", &project, &project[4..]] {
        assert!(!text.contains(planted), "{planted} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_admins_and_for_tokens_of_admins() {
    let world = World::start().await;
    let admin = world.admin().await;
    let member = world.member(&admin, "bob").await;
    world.nobody().get("/metrics").await.problem(401, "sign_in_required");
    member.get("/metrics").await.problem(403, "admins_only");
    let token = member.post("/api/tokens", &json!({"name": "prometheus", "scope": "metrics"})).await.expect(201);
    let script = member.script(token["secret"].as_str().expect("a token"));
    script.get("/metrics").await.problem(403, "admins_only");
    assert_eq!(admin.get("/metrics").await.status, 200);
}
