//! Many projects created at the same moment.

use std::{sync::Arc, time::Duration};

use doce_testkit::ScriptedModel;
use reqwest::Method;
use serde_json::json;

use super::{
    Options,
    doce::{Doce, Start},
    figure::{Figure, p99},
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
    let busy = light_while(&doce, all).await;
    vec![
        Figure::new(
            format!("p99 of a light request while {CREATES} projects launch"),
            (p99(&busy) / p99(&idle), "×"),
            3.0,
            format!("when idle: {:.2} ms to {:.2} ms", p99(&busy), p99(&idle)),
            json!({ "busy_ms": busy, "idle_ms": idle }),
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
