//! The fake Agent as a program with OpenCode's command line and environment, to be started in its place.
//!
//! `--version` prints the version, `serve --hostname 127.0.0.1 --port N` serves until it is killed. Read from the environment:
//! `OPENCODE_SERVER_PASSWORD`, `OPENCODE_SERVER_USERNAME`, `XDG_DATA_HOME` (else `HOME`), `OPENCODE_CONFIG`, `OPENCODE_CONFIG_DIR`
//! and `OPENCODE_CONFIG_CONTENT`.
//! The options that begin with `--fake-` stand before `serve` and aren't OpenCode's: a script that adds them makes a misbehaving Agent.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use doce_testkit::FakeAgent;
use doce_testkit::fake_agent::VERSION;

/// Plays an OpenCode server.
#[derive(Debug, Parser)]
#[command(name = "opencode", disable_version_flag = true)]
struct Options {
    /// Prints the version.
    #[arg(long, short = 'v')]
    version: bool,
    /// The version to report instead.
    #[arg(long, value_name = "VERSION", default_value = VERSION)]
    fake_version: String,
    /// Milliseconds during which connections are accepted and never answered.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    fake_health_after: u64,
    /// Milliseconds between the 204 of a prompt and its message.
    #[arg(long, value_name = "MS", default_value_t = 5)]
    fake_message_delay: u64,
    /// Milliseconds the first request to a directory takes longer.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    fake_load_delay: u64,
    /// Milliseconds before each attempt after a failure.
    #[arg(long, value_name = "MS")]
    fake_retry_delay: Option<u64>,
    /// A key that the providers refuse. May be given several times.
    #[arg(long, value_name = "KEY")]
    fake_reject_key: Vec<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the server.
    Serve {
        /// The address to listen on; only 127.0.0.1 is served.
        #[arg(long, default_value = "127.0.0.1")]
        hostname: String,
        /// The port; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Accepted and without effect.
        #[arg(long)]
        print_logs: bool,
        /// Accepted and without effect.
        #[arg(long)]
        log_level: Option<String>,
    },
}

#[expect(clippy::disallowed_methods, reason = "plays OpenCode, which is configured by its environment")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Option<String> {
    variable(name).and_then(|value| value.into_string().ok())
}

/// Where OpenCode would keep its data.
fn data_home() -> PathBuf {
    variable("XDG_DATA_HOME")
        .map_or_else(|| PathBuf::from(variable("HOME").unwrap_or_default()).join(".local/share"), PathBuf::from)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let mut stdout = std::io::stdout();
    if options.version {
        return writeln!(stdout, "{}", options.fake_version);
    }
    let Some(Command::Serve { hostname, port, .. }) = options.command else {
        return Err(std::io::Error::other("the fake OpenCode only knows `serve` and `--version`"));
    };
    if hostname != "127.0.0.1" {
        return Err(std::io::Error::other("the fake OpenCode only listens on 127.0.0.1"));
    }
    let mut builder = FakeAgent::builder()
        .version(&options.fake_version)
        .health_after(Duration::from_millis(options.fake_health_after))
        .message_delay(Duration::from_millis(options.fake_message_delay))
        .load_delay(Duration::from_millis(options.fake_load_delay))
        .reject_keys(options.fake_reject_key)
        .password(text("OPENCODE_SERVER_PASSWORD").as_deref())
        .data_home(data_home())
        .workspace(std::env::current_dir()?)
        .port(port);
    if let Some(delay) = options.fake_retry_delay {
        builder = builder.retry_delays([Duration::from_millis(delay)]);
    }
    if let Some(username) = text("OPENCODE_SERVER_USERNAME") {
        builder = builder.username(&username);
    }
    // The directory's file is laid over the named one; nobody gives both.
    let in_directory = variable("OPENCODE_CONFIG_DIR").map(|directory| PathBuf::from(directory).join("opencode.json"));
    if let Some(file) = in_directory.or_else(|| variable("OPENCODE_CONFIG").map(PathBuf::from)) {
        builder = builder.config_file(file);
    }
    if let Some(content) = text("OPENCODE_CONFIG_CONTENT") {
        builder = builder.config_content(content);
    }
    let agent = builder.start().await?;
    writeln!(stdout, "opencode server listening on {}", agent.url())?;
    stdout.flush()?;
    std::future::pending().await
}
