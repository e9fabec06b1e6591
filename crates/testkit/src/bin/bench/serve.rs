//! How soon a doce answers after its start, and what it weighs when it does nothing, with the catalogue of the real OpenCode.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    Options,
    doce::{Doce, Start},
    figure::{Figure, median, ms},
};
use crate::requests::{Seed, seed};

const STARTS: usize = 11;
/// How long it has been left alone when it is weighed.
const REST: Duration = Duration::from_secs(5);

pub(crate) async fn measure(options: &Options) -> Vec<Figure> {
    let mut doce = Doce::start(Start { doce: &options.doce, opencode: &options.opencode, npm: false }).await;
    doce.stop();
    seed(&doce.data(), Seed { projects: 100, messages_each: 10 }).await;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        doce.run();
        doce.get("/api/health").await;
        starts.push(ms(started.elapsed()));
        doce.stop();
    }
    doce.run();
    doce.get("/api/projects").await;
    tokio::time::sleep(REST).await;
    let resident = resident_mb(doce.pid());
    vec![
        Figure::new(
            "start to the first answer, existing data",
            (median(&starts), "ms"),
            150.0,
            format!("goal; median of {STARTS}; doce.dev 5,500 ms"),
            json!(starts),
        ),
        Figure::new(
            "resident when idle, 100 stored projects",
            (resident, "MB"),
            30.0,
            "goal; doce.dev 154 MB",
            json!(resident),
        ),
    ]
}

fn resident_mb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("doce runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has a size");
    let kib: f64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a size is a number");
    kib / 1024.0
}
