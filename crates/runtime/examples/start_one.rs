//! Starts one program that goes on, prints by what it can be adopted, and waits for ever.
//!
//! The tests kill it to see what survives it.
//! `start_one sandboxed|unsandboxed STATE_DIRECTORY LOG MARKER SCRIPT`

use std::{
    error::Error,
    io::{self, Write},
};

use doce_runtime::{Isolation, Runtime, Sandbox, Spec};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, how, state, log, marker, script] = &arguments[..] else {
        return Err("five arguments are needed".into());
    };
    let isolation = match how.as_str() {
        "sandboxed" => Isolation::Sandboxed(Sandbox::probe(None).await?),
        _ => Isolation::Unsandboxed,
    };
    let mut spec = Spec::new("an example", marker, "/bin/sh");
    spec.args = vec!["-c".into(), script.into()];
    spec.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    let running = Runtime::new(isolation, state).start(&spec, log).await?;
    let identity = running.identity();
    writeln!(io::stdout(), "{} {} {}", identity.pid, identity.start_time, identity.boot_id)?;
    io::stdout().flush()?;
    std::future::pending::<()>().await;
    Ok(())
}
