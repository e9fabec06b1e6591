//! What a light request costs, and whether that grows with what is stored. No agent runs; the catalogue is the real one.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use doce_testkit::ScriptedModel;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

use super::{
    Options,
    doce::{Doce, Start},
    figure::{Figure, ms, p99},
};

const CONNECTIONS: usize = 32;
const REQUESTS_EACH: usize = 400;
const ROUNDS: usize = 5;
/// One light request after the other, as many as one round has.
const LIGHT: usize = 400;

/// What is put into a database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed {
    pub(crate) projects: usize,
    pub(crate) messages_each: usize,
}

pub(crate) async fn measure(options: &Options) -> Vec<Figure> {
    let start = || Start { doce: &options.doce, opencode: &options.opencode, npm: false };
    let mut small = Doce::start(start()).await;
    let mut large = Doce::start(start()).await;
    // It pays for all the projects, which are not to be counted one by one.
    let model = ScriptedModel::start().await;
    for doce in [&small, &large] {
        doce.connect(&model.anthropic_base_url(), "sk-bench-0123456789").await;
    }
    small.stop();
    large.stop();
    seed(&small.data(), Seed { projects: 10, messages_each: 100 }).await;
    seed(&large.data(), Seed { projects: 1000, messages_each: 100 }).await;
    small.run();
    large.run();
    let (small, large) = (Arc::new(small), Arc::new(large));

    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        costs.push(cost(&large).await);
    }
    let mut figures = vec![Figure::new(
        "CPU of a light request (GET /api/me), 32 connections",
        (super::figure::median(&costs), "µs"),
        100.0,
        format!("goal; median of {ROUNDS} rounds of {}; doce.dev 660–730 µs", CONNECTIONS * REQUESTS_EACH),
        json!(costs),
    )];
    let asked = [
        ("what a page asks first", "/api/start"),
        ("ten of the list of projects", "/api/projects?limit=10"),
        ("a conversation", "messages"),
    ];
    for (what, path) in asked {
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            // In turn, so that what the machine does meanwhile hits both.
            if round % 2 == 0 {
                few.extend(light(&small, path).await);
                many.extend(light(&large, path).await);
            } else {
                many.extend(light(&large, path).await);
                few.extend(light(&small, path).await);
            }
        }
        figures.push(Figure::new(
            format!("p99 of {what}, 1,000 projects and 100,000 messages"),
            (p99(&many) / p99(&few), "×"),
            1.5,
            format!("the same with 10 projects: {:.2} ms to {:.2} ms", p99(&many), p99(&few)),
            json!({ "many_ms": many, "few_ms": few }),
        ));
    }
    figures
}

/// Measures the time of a light request, one after the other.
async fn light(doce: &Doce, path: &str) -> Vec<f64> {
    let path = if path == "messages" {
        let projects = doce.get("/api/projects?limit=1").await;
        format!("/api/projects/{}/messages", super::doce::id_of(&projects["items"][0]))
    } else {
        path.to_owned()
    };
    let mut times = Vec::new();
    for _ in 0..LIGHT {
        let started = Instant::now();
        let answer = doce.request(Method::GET, &path, None).await;
        drop(answer.bytes().await);
        times.push(ms(started.elapsed()));
    }
    times
}

/// Measures what a light request costs the server's processor, in microseconds.
async fn cost(doce: &Arc<Doce>) -> f64 {
    let before = processor_time(doce.pid());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let doce = Arc::clone(doce);
        all.spawn(async move {
            for _ in 0..REQUESTS_EACH {
                drop(doce.request(Method::GET, "/api/me", None).await.bytes().await);
            }
        });
    }
    all.join_all().await;
    let spent = processor_time(doce.pid()).saturating_sub(before);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand requests")]
    let requests = (CONNECTIONS * REQUESTS_EACH) as f64;
    spent.as_secs_f64() * 1e6 / requests
}

/// Reads what a process has used of the processor, to the hundredth of a second.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("doce runs");
    let after_name = stat.rsplit_once(") ").expect("a process has a name").1;
    let ticks = |index: usize| -> u64 {
        after_name.split(' ').nth(index).and_then(|field| field.parse().ok()).expect("a process has times")
    };
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Writes stopped projects with their conversations into the database of a doce that doesn't run.
pub(crate) async fn seed(data: &Path, seed: Seed) {
    let url = format!("sqlite://{}", data.join("doce.sqlite").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the database can be opened");
    let user: String =
        sqlx::query_scalar("SELECT id FROM app_user").fetch_one(&mut connection).await.expect("there is an account");
    connection.execute("BEGIN IMMEDIATE").await.expect("nobody else writes");
    for project in 0..seed.projects {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let at = 1_790_000_000_000_i64 + i64::try_from(project).expect("a small number") * 1000;
        sqlx::query(
            "INSERT INTO project (id, user_id, name, slug, desired, model_provider_id, model_id, workspace, home,
                 created_at, updated_at, last_active_at)
             VALUES ('prj_' || $1, $2, 'Project ' || $3, 'project-' || $1, 'stopped', 'anthropic', 'claude-sonnet-4-6',
                 $4 || '/workspace', $4 || '/home', $5, $5, $5)",
        )
        .bind(&id)
        .bind(&user)
        .bind(i64::try_from(project).expect("a small number"))
        .bind(data.join("projects").join(&id).to_str().expect("a temporary directory is UTF-8"))
        .bind(at)
        .execute(&mut connection)
        .await
        .expect("a project is written");
        sqlx::query(
            "INSERT INTO session (id, project_id, user_id, created_at) VALUES ('ses_' || $1, 'prj_' || $1, $2, $3)",
        )
        .bind(&id)
        .bind(&user)
        .bind(at)
        .execute(&mut connection)
        .await
        .expect("a session is written");
        for message in 0..seed.messages_each {
            let part = uuid::Uuid::now_v7().simple().to_string();
            let ordinal = i64::try_from(message).expect("a small number");
            sqlx::query(
                "INSERT INTO message (id, session_id, user_id, agent_message_id, ordinal, speaker, state, created_at,
                     completed_at)
                 VALUES ('msg_' || $1, 'ses_' || $2, $3, $1, $4, $5, $6, $7, $7)",
            )
            .bind(&part)
            .bind(&id)
            .bind(&user)
            .bind(ordinal)
            .bind(if message % 2 == 0 { "user" } else { "assistant" })
            .bind(if message % 2 == 0 { "sent" } else { "complete" })
            .bind(at + ordinal)
            .execute(&mut connection)
            .await
            .expect("a message is written");
            sqlx::query(
                "INSERT INTO part (id, message_id, user_id, agent_part_id, position, kind, text)
                 VALUES ('prt_' || $1, 'msg_' || $1, $2, $1, 0, 'text', 'A few words, as they stand in a conversation.')",
            )
            .bind(&part)
            .bind(&user)
            .execute(&mut connection)
            .await
            .expect("a part is written");
        }
    }
    connection.execute("COMMIT").await.expect("it is kept");
    connection.close().await.expect("it is closed");
}
