//! A key that fifty running agents use is replaced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use doce_testkit::ScriptedModel;
use reqwest::Method;
use serde_json::json;

use super::{
    Options,
    agents::{self, Agent},
    doce::{BOUND, Doce, Start},
    figure::{Figure, median, median_ratio, ms, ours_first, p99},
};

const AGENTS: usize = 50;
/// Projects that are launched at a time.
const AT_A_TIME: usize = 5;

pub(crate) async fn measure(options: &Options) -> Vec<Figure> {
    let doce = Doce::start(Start { doce: &options.doce, opencode: &options.fake_opencode, npm: false }).await;
    let doce = Arc::new(doce);
    let model = ScriptedModel::start().await;
    let connection = doce.connect(&model.anthropic_base_url(), "sk-bench-first-000000").await;
    for _ in 0..AGENTS / AT_A_TIME {
        let mut jobs = Vec::new();
        for _ in 0..AT_A_TIME {
            jobs.push(doce.create("[[say: ready]]").await.1);
        }
        for job in jobs {
            doce.wait_for_job(&job).await;
        }
    }
    let agents = agents::started_by(doce.pid());
    assert_eq!(agents.len(), AGENTS, "every project has its agent");

    let idle = light_while(&doce, tokio::time::sleep(Duration::from_secs(3))).await;
    let (mut pairs, mut busy) = (Vec::new(), Vec::new());
    for pair in 0..usize::from(options.pairs) {
        let (mut ours, mut raw) = (0.0, 0.0);
        for side in [ours_first(pair), !ours_first(pair)] {
            if side {
                let key = format!("sk-bench-ours-{pair:06}");
                let replaced = replace(&doce, &connection, &key);
                let took = async { ours = replaced.await };
                busy.extend(light_while(&doce, took).await);
                for agent in &agents {
                    assert_eq!(agent.key().await.as_deref(), Some(key.as_str()), "the agent uses the new key");
                }
            } else {
                let key = format!("sk-bench-hand-{pair:06}");
                // Among the same requests of others, which are doce's alone to answer well.
                let handed = async { raw = by_hand(&agents, &key).await };
                drop(light_while(&doce, handed).await);
            }
        }
        pairs.push((ours, raw));
    }
    let times: Vec<f64> = pairs.iter().map(|(ours, _)| *ours).collect();
    vec![
        Figure::new(
            format!("replace a key: all of {AGENTS} agents have it"),
            (median(&times), "ms"),
            1000.0,
            format!("goal; median of {}", times.len()),
            json!(times),
        ),
        Figure::new(
            "the same, per agent",
            (median_ratio(&pairs), "×"),
            1.2,
            format!(
                "PUT, reload and read-back by a script, {} at a time: {:.0} ms for all",
                BY_HAND,
                median(&pairs.iter().map(|(_, raw)| *raw).collect::<Vec<_>>())
            ),
            json!(pairs),
        ),
        Figure::new(
            "p99 of a light request meanwhile",
            (p99(&busy) / p99(&idle), "×"),
            2.0,
            format!("when idle: {:.2} ms to {:.2} ms", p99(&busy), p99(&idle)),
            json!({ "busy_ms": busy, "idle_ms": idle }),
        ),
    ]
}

/// Replaces the key and returns how long it took until the last delivery of it was recorded, in milliseconds.
///
/// What doce itself noted is read afterwards: asking all the while would be measured, too.
async fn replace(doce: &Doce, connection: &str, key: &str) -> f64 {
    let started = jiff::Timestamp::now();
    let path = format!("/api/connections/{connection}");
    let answer = doce.request(Method::PATCH, &path, Some(&json!({ "key": key }))).await;
    drop(answer.bytes().await);
    let last = doce_testkit::wait_for("every agent to get the key", BOUND, async || {
        tokio::time::sleep(LOOK_EVERY).await;
        let held = doce.get(&format!("{path}/deliveries")).await;
        let held = held["items"].as_array().expect("a list");
        let version = held.iter().filter_map(|delivery| delivery["version"].as_i64()).max();
        let arrived = held.iter().filter(|d| d["status"] == "delivered" && d["version"].as_i64() == version);
        let times: Vec<jiff::Timestamp> =
            arrived.filter_map(|delivery| delivery["at"].as_str()?.parse().ok()).collect();
        let last = times.iter().max().copied();
        last.filter(|last| times.len() == AGENTS && *last > started)
    })
    .await;
    last.duration_since(started).as_secs_f64() * 1000.0
}

/// How often it is looked whether all is over.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How many a script does at once: as many as doce has workers.
const BY_HAND: usize = 8;

/// Does the same without doce.
async fn by_hand(agents: &[Agent], key: &str) -> f64 {
    use futures::StreamExt as _;
    let started = Instant::now();
    let one = |agent: Agent| {
        let key = key.to_owned();
        async move {
            agent.put_key(&key).await;
            agent.reload().await;
            assert_eq!(agent.key().await.as_deref(), Some(key.as_str()));
        }
    };
    futures::stream::iter(agents.to_vec()).map(one).buffer_unordered(BY_HAND).collect::<Vec<()>>().await;
    ms(started.elapsed())
}

/// Sends light requests, one after the other with a little pause, as long as something else takes.
pub(crate) async fn light_while(doce: &Arc<Doce>, something: impl Future<Output = ()>) -> Vec<f64> {
    let ended = Arc::new(AtomicBool::new(false));
    let (asking, over) = (Arc::clone(doce), Arc::clone(&ended));
    let task = tokio::spawn(async move {
        let mut times = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let started = Instant::now();
            drop(asking.request(Method::GET, "/api/me", None).await.bytes().await);
            times.push(ms(started.elapsed()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        times
    });
    something.await;
    ended.store(true, Ordering::Relaxed);
    task.await.expect("requests are answered")
}
