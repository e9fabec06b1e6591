//! How much later a word of the answer comes through doce than from OpenCode itself.

use std::{collections::HashMap, time::Instant};

use doce_testkit::ScriptedModel;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Options, agents,
    doce::{Doce, Start},
    figure::{Figure, median, ms, p99},
};

const WORDS: usize = 200;
const BROWSERS: usize = 20;

pub(crate) async fn measure(options: &Options) -> Vec<Figure> {
    let doce = Doce::start(Start { doce: &options.doce, opencode: &options.opencode, npm: false }).await;
    let model = ScriptedModel::start().await;
    doce.connect(&model.anthropic_base_url(), "sk-bench-delta-0000000").await;
    let (project, job) = doce.create("[[say: ready]]").await;
    doce.wait_for_job(&job).await;
    doce_testkit::wait_for("the first answer", super::doce::BOUND, async || {
        let messages = doce.get(&format!("/api/projects/{project}/messages")).await;
        let last = messages["items"].as_array()?.last()?.clone();
        let view = doce.get(&format!("/api/projects/{project}")).await;
        (last["state"] == "complete" && view["session"]["kind"] != "busy").then_some(())
    })
    .await;
    let agent = agents::started_by(doce.pid()).pop().expect("the project has its agent");

    let query = format!("?project_id={project}");
    let mut browsers = Vec::new();
    let opened = Instant::now();
    for _ in 0..BROWSERS {
        let mut events = doce.stream(&query).await;
        events.next().await;
        browsers.push(events);
    }
    let first_comment = ms(opened.elapsed()) / 20.0;

    let mut through = doce.stream(&query).await;
    through.next().await;
    let mut direct = agent.events().await;
    let words: Vec<String> = (0..WORDS).map(|n| format!("w{n:04}")).collect();
    let last = words.last().cloned().unwrap_or_default();
    let text = format!("[[delay: 15]] [[say: {}]]", words.join(" "));
    let ending = last.clone();
    let ours = tokio::spawn(async move {
        let mut seen = HashMap::new();
        loop {
            let event = through.next().await;
            if note(&mut seen, event["delta"].as_str(), &ending) {
                return seen;
            }
        }
    });
    let raw = tokio::spawn(async move {
        let mut seen = HashMap::new();
        loop {
            let event = direct.next().await;
            if note(&mut seen, delta_of(&event), &last) {
                return seen;
            }
        }
    });
    doce.request(Method::POST, &format!("/api/projects/{project}/prompts"), Some(&json!({ "text": text }))).await;
    let (ours, raw) = (ours.await.expect("words arrive"), raw.await.expect("words arrive"));
    let later: Vec<f64> = ours
        .iter()
        .filter_map(|(word, at)| Some((at, raw.get(word)?)))
        .map(|(ours, raw)| if ours >= raw { ms(ours.duration_since(*raw)) } else { -ms(raw.duration_since(*ours)) })
        .collect();
    drop(browsers);
    let against =
        format!("OpenCode's own stream, read at the same time, {} words, {BROWSERS} more browsers", later.len());
    vec![
        Figure::new("a word through doce, median", (median(&later), "ms"), 1.0, &against, json!(later)),
        Figure::new("a word through doce, p99", (p99(&later), "ms"), 3.0, &against, json!(null)),
        Figure::new(
            "a stream opened to its first event",
            (first_comment, "ms"),
            20.0,
            format!("mean of {BROWSERS}"),
            json!(first_comment),
        ),
    ]
}

/// Notes when a word came; tells whether it was the last.
fn note(seen: &mut HashMap<String, Instant>, delta: Option<&str>, last: &str) -> bool {
    let Some(delta) = delta else { return false };
    let word = delta.trim();
    seen.insert(word.to_owned(), Instant::now());
    word.contains(last)
}

fn delta_of(event: &Value) -> Option<&str> {
    let payload = if event["payload"].is_object() { &event["payload"] } else { event };
    payload["properties"]["delta"].as_str()
}
