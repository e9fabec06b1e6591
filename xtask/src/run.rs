//! `cargo xtask run`: builds what changed and becomes the server.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context, Result};

use crate::build::{self, Profile};
use crate::process;
use crate::project::Project;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    profile: Profile,
    /// For `doce serve`.
    rest: Vec<String>,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Self {
        let mut options = Self { profile: Profile::Debug, rest: Vec::new() };
        let mut ours = true;
        for argument in arguments {
            match argument.as_str() {
                "--" if ours => ours = false,
                "--release" if ours => options.profile = Profile::Release,
                _ => options.rest.push(argument.clone()),
            }
        }
        options
    }
}

/// Builds what changed, then replaces this process by `doce serve`: signals reach it directly.
///
/// The build isn't optimised unless asked for: the first start is what a newcomer waits for, and
/// the crates that compute (password hashing, sealing) are optimised in every profile.
pub(crate) fn run(project: &Project, options: &Options) -> Result<()> {
    let program = build::whole_program(project, options.profile)?;
    let mut serve = process::command(&program, project.root());
    serve.arg("serve").args(&options.rest).env("DOCE_DATA_DIR", project.data());
    serve.stdin(std::process::Stdio::inherit());
    let error = serve.exec();
    Err(error).with_context(|| format!("start `{}`", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_of_the_server_are_passed_on() {
        let options = parse("--release --listen 127.0.0.1:5000");
        assert_eq!(options.profile, Profile::Release);
        assert_eq!(options.rest, ["--listen", "127.0.0.1:5000"]);
    }

    #[test]
    fn after_two_dashes_everything_is_the_servers() {
        let options = parse("-- --release");
        assert_eq!(options.profile, Profile::Debug);
        assert_eq!(options.rest, ["--release"]);
    }
}
