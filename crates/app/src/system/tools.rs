//! Which node and npm there are: asked in a sandbox, as everything is run that isn't doce's own.

use std::time::Duration;

use doce_runtime::find_tool;

use super::ToolVersion;
use crate::{
    App,
    program::{print_version, tool_environment},
};

/// How long a tool may take to say its version.
const BOUND: Duration = Duration::from_secs(10);

/// Asks a tool for its version.
pub(super) async fn version(app: &App, name: &'static str) -> ToolVersion {
    ToolVersion { name, version: ask(app, name).await }
}

async fn ask(app: &App, name: &str) -> Option<String> {
    let mut tool = find_tool(name, &app.config.outside.search_path)?;
    let env = tool_environment(app, &mut tool.binds, "/tmp".into());
    match print_version(&app.runtime, &app.installation, name, tool, env, BOUND).await {
        Ok(printed) => read(&printed),
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
