//! Many projects created at the same moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use doce_testkit::ScriptedModel;
use reqwest::Method;
use serde_json::json;

use super::{
    Options,
    doce::{Doce, Start},
    figure::{Figure, ms, p99},
    replace::light_while,
};

const CREATES: usize = 25;

pub(crate) async fn measure(options: &Options) -> Vec<Figure> {
    let doce = Doce::start(Start { doce: &options.doce, opencode: &options.fake_opencode, npm: false }).await;
    let doce = Arc::new(doce);
    let model = ScriptedModel::start().await;
    doce.connect(&model.anthropic_base_url(), "sk-bench-many-0000000").await;
    let idle = light_while(&doce, tokio::time::sleep(Duration::from_secs(3))).await;
    let mut failed = 0.0;
    let mut prompts = 0.0;
    let all = async {
        let creates = (0..CREATES).map(|n| doce.create_named(n));
        let made = futures::future::join_all(creates).await;
        for (project, job) in made {
            doce.wait_for_job(&job).await;
            let page = doce.request(Method::GET, &format!("/api/projects/{project}/messages"), None).await;
            let page: serde_json::Value = page.json().await.expect("an answer is JSON");
            let users = page["items"].as_array().expect("a list").iter().filter(|m| m["role"] == "user").count();
            if users != 1 {
                failed += 1.0;
            }
            prompts += f64::from(u32::try_from(doce.prompts_of(&project)).expect("a few"));
        }
    };
    let sleeper = Sleeper::start();
    let busy = light_while(&doce, all).await;
    let late = sleeper.end();
    vec![
        Figure::new(
            format!("p99 of a light request while {CREATES} projects launch"),
            (p99(&busy) / p99(&idle), "×"),
            3.0,
            format!(
                "when idle: {:.2} ms to {:.2} ms; a thread that only sleeps wakes up {:.2} ms late meanwhile",
                p99(&busy),
                p99(&idle),
                p99(&late)
            ),
            json!({ "busy_ms": busy, "idle_ms": idle, "late_ms": late }),
        ),
        Figure::new(
            format!("prompts that {CREATES} projects created at once sent, too many or too few"),
            ((prompts - f64::from(u32::try_from(CREATES).expect("a few"))).abs() + failed, "prompts"),
            0.0,
            "one each",
            json!(prompts),
        ),
    ]
}

/// A thread that only sleeps, again and again. How late it wakes up is what the machine itself adds to every answer.
struct Sleeper {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<f64>>,
}

impl Sleeper {
    fn start() -> Self {
        const SLEEP: Duration = Duration::from_millis(5);
        let ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut late = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let started = Instant::now();
                std::thread::sleep(SLEEP);
                late.push(ms(started.elapsed().saturating_sub(SLEEP)));
            }
            late
        });
        Self { ended, thread }
    }

    /// Returns by how many milliseconds it was late each time.
    fn end(self) -> Vec<f64> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("it only sleeps")
    }
}
