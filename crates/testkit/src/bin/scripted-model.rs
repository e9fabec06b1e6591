//! A scripted model as a program of its own, for browser tests and for trying things by hand.
//!
//! Prints one line of JSON, `{"port":4711}`, and serves until it is ended. `GET /__requests` tells what came in, `POST /__script` says what to answer.

use std::io::Write as _;

use clap::Parser;
use doce_testkit::ScriptedModel;

/// Plays a model provider that answers by script.
#[derive(Debug, Parser)]
#[command(name = "scripted-model")]
struct Options {
    /// The port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A key to accept, others are refused. May be given several times; without it every key is accepted.
    #[arg(long = "accept-key", value_name = "KEY")]
    accept_keys: Vec<String>,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let model = ScriptedModel::start_on(options.port).await?;
    if !options.accept_keys.is_empty() {
        model.accept_keys(options.accept_keys);
    }
    let line = serde_json::json!({ "port": model.address().port() });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    std::future::pending().await
}
