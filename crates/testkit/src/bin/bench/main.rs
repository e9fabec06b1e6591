//! Measures the built doce from outside, as its users meet it: over HTTP, and by what the system says of its process.
//!
//! `cargo xtask bench` builds what is measured and runs this. The baseline of a figure is a script of this program that
//! talks to the same OpenCode without any of doce's code, in the same run, alternating (ABBA). What is promised as an
//! absolute figure is a goal: it is printed as met or missed, and never a test.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line tool")]
#![expect(
    clippy::disallowed_methods,
    reason = "starts the programs that it measures, and waits between looks at them as a person would"
)]

mod agents;
mod audit;
mod connect;
mod creates;
mod delta;
mod doce;
mod figure;
mod launch;
mod replace;
mod requests;
mod serve;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Parser;

use figure::Figure;

/// Measures doce.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// What to measure; everything unless named: serve, requests, connect, replace, creates, audit, launch, delta
    names: Vec<String>,
    /// The doce to measure
    #[arg(long)]
    doce: PathBuf,
    /// The fake OpenCode, for what is about many agents
    #[arg(long)]
    fake_opencode: PathBuf,
    /// The program that fills an audit log and reads its pages
    #[arg(long)]
    audit_pages: PathBuf,
    /// The real OpenCode
    #[arg(long)]
    opencode: PathBuf,
    /// Where a new project begins
    #[arg(long)]
    template: PathBuf,
    /// Where the raw figures go
    #[arg(long)]
    raw: PathBuf,
    /// How many pairs a comparison has at least
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(20..))]
    pairs: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut options = Options::parse();
    // They are started from other directories than this one.
    for path in [&mut options.doce, &mut options.fake_opencode, &mut options.opencode, &mut options.template] {
        *path = path.canonicalize().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    let known = ["serve", "requests", "connect", "replace", "creates", "audit", "launch", "delta"];
    if let Some(unknown) = options.names.iter().find(|name| !known.contains(&name.as_str())) {
        eprintln!("error: nothing is called `{unknown}`; there are {}", known.join(", "));
        return ExitCode::from(2);
    }
    let mut figures = Vec::new();
    for name in known.into_iter().filter(|name| options.names.is_empty() || options.names.iter().any(|n| n == name)) {
        let started = Instant::now();
        eprintln!("measuring {name} …");
        figures.extend(measure(name, &options).await);
        eprintln!("measured {name} in {:.0} s", started.elapsed().as_secs_f64());
    }
    figure::keep(&options.raw, &figures).expect("the raw figures can be written");
    println!("{}", figure::table(&figures));
    println!("raw figures: {}", options.raw.display());
    ExitCode::SUCCESS
}

async fn measure(name: &str, options: &Options) -> Vec<Figure> {
    match name {
        "serve" => serve::measure(options).await,
        "requests" => requests::measure(options).await,
        "connect" => connect::measure(options).await,
        "replace" => replace::measure(options).await,
        "creates" => creates::measure(options).await,
        "audit" => audit::measure(options),
        "launch" => launch::measure(options).await,
        _ => delta::measure(options).await,
    }
}
