//! What doce adds to the provider's own answer when a key is verified, sealed and saved.

use std::time::Instant;

use doce_testkit::ScriptedModel;
use reqwest::Method;
use serde_json::json;

use super::{
    Options,
    doce::{Doce, Start},
    figure::{Figure, median_difference, ms, ours_first},
};

pub(crate) async fn measure(options: &Options) -> Vec<Figure> {
    let doce = Doce::start(Start { doce: &options.doce, opencode: &options.fake_opencode, npm: false }).await;
    let model = ScriptedModel::start().await;
    let client = super::doce::client();
    let mut pairs = Vec::new();
    for pair in 0..usize::from(options.pairs.max(40)) {
        let (mut ours, mut raw) = (0.0, 0.0);
        for side in [ours_first(pair), !ours_first(pair)] {
            let started = Instant::now();
            if side {
                let body = json!({
                    "provider_id": "anthropic", "auth_type": "api", "label": format!("key {pair}"),
                    "key": format!("sk-bench-{pair:016}"), "base_url": model.anthropic_base_url(),
                });
                let made = doce.post("/api/connections", &body).await;
                ours = ms(started.elapsed());
                assert_ne!(made["verification"]["outcome"], "invalid", "{made}");
            } else {
                let url = format!("{}/models?limit=1", model.anthropic_base_url());
                // A connection of its own, as whoever asks for the first time needs one.
                let client = if pair % 2 == 0 { super::doce::client() } else { client.clone() };
                let asked = client.request(Method::GET, url).header("x-api-key", format!("sk-raw-{pair:016}"));
                drop(asked.send().await.expect("the provider answers").bytes().await);
                raw = ms(started.elapsed());
            }
        }
        pairs.push((ours, raw));
    }
    vec![Figure::new(
        "verify, seal and save a key, beyond the provider's answer",
        (median_difference(&pairs), "ms"),
        5.0,
        format!("the same request to the provider, {} pairs", pairs.len()),
        json!(pairs),
    )]
}
