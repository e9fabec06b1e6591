//! What has to be on the machine before anything else, and how to say that it isn't.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::process::{self, Deadline};

/// The oldest Node that Vite and the tests run on.
const NODE: (u32, u32) = (20, 19);

/// Checks that Node, npm and git can be used; returns Node's version.
pub(crate) fn check() -> Result<String> {
    let node = version_of("node").unwrap_or_default();
    if !node_is_enough(&node) {
        let found = if node.is_empty() { "none was found".to_owned() } else { format!("this is {node}") };
        bail!(
            "doce's web client needs Node {}.{} or newer, and {found}; \
             get it from https://nodejs.org or your package manager",
            NODE.0,
            NODE.1
        );
    }
    for (program, why, package) in [
        ("npm", "installs what the web client is built from", "npm"),
        ("git", "keeps the history of every project that doce makes", "git"),
    ] {
        if version_of(program).is_none() {
            bail!("`{program}` was not found; it {why} (package `{package}`)");
        }
    }
    Ok(node)
}

/// What a program answers to `--version`, or nothing if it can't be run.
pub(crate) fn version_of(program: &str) -> Option<String> {
    let mut command = process::command(program, Path::new("."));
    command.arg("--version").stderr(std::process::Stdio::null());
    let output = process::read(&mut command, Deadline::after(Duration::from_secs(30))).ok()?;
    Some(output.lines().next().unwrap_or_default().trim().to_owned())
}

fn node_is_enough(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= NODE,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_compared_by_number() {
        for enough in ["v20.19.0", "v20.20.2", "v22.0.0", "v100.1.0"] {
            assert!(node_is_enough(enough), "{enough}");
        }
        for short in ["v20.18.9", "v20.9.0", "v9.99.0", "", "node", "v20"] {
            assert!(!node_is_enough(short), "{short}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        assert_eq!(version_of("doce-no-such-program"), None);
    }
}
