//! Which node and npm there are: asked in a sandbox, as everything is run that isn't doce's own.

use std::time::Duration;

use doce_runtime::{Spec, find_tool};

use super::ToolVersion;
use crate::{App, program::tool_environment};

/// How long a tool may take to say its version.
const BOUND: Duration = Duration::from_secs(10);

/// Asks a tool for its version.
pub(super) async fn version(app: &App, name: &'static str) -> ToolVersion {
    ToolVersion { name, version: ask(app, name).await }
}

async fn ask(app: &App, name: &str) -> Option<String> {
    let tool = find_tool(name, &app.config.outside.search_path)?;
    let mut binds = tool.binds;
    let mut env = tool_environment(app, &mut binds, "/tmp".into());
    env.push(("HOME".to_owned(), "/tmp".to_owned()));
    let mut spec = Spec::new(format!("{name} --version"), format!("{}-{name}-version", app.installation), tool.program);
    spec.args = vec!["--version".to_owned()];
    spec.env = env;
    spec.cwd = "/tmp".into();
    spec.binds = binds;
    match app.runtime.run(&spec, BOUND, None).await {
        Ok(output) if output.ending.success() => read(&String::from_utf8_lossy(&output.stdout)),
        Ok(_) => None,
        Err(e) => {
            tracing::debug!(tool = name, error = crate::chain(&e), "a tool did not say its version");
            None
        }
    }
}

/// Reads a version such as `v24.1.0` from what a tool printed.
fn read(printed: &str) -> Option<String> {
    let word = printed.split_whitespace().next()?.trim_start_matches('v');
    let is_version = word.len() <= 40
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word.contains('.')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    is_version.then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_and_nothing_else_is_taken_for_one() {
        assert_eq!(read("v24.1.0\n").as_deref(), Some("24.1.0"));
        assert_eq!(read("11.3.0").as_deref(), Some("11.3.0"));
        for printed in ["", "added 1 package", "<b>1.0</b>", "1"] {
            assert_eq!(read(printed), None, "{printed}");
        }
    }
}
