//! Builds the program.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::prerequisites;
use crate::process::{self, Deadline};
use crate::project::Project;
use crate::web;

/// The feature that embeds the built web client. Everything is built with it, so that nothing is built twice.
pub(crate) const WITH_PAGES: &str = "doce-server/ui";

/// An optimised build from nothing takes about ten minutes on two cores.
const LIMIT: Duration = Duration::from_hours(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

/// Cargo itself, as it was started by.
pub(crate) fn cargo(project: &Project) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut cargo = process::command(program, project.root());
    // What cargo told xtask about itself would only make other crates look changed.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Builds every program and example, the way nextest builds the tests: what it has built already is not built again.
/// Returns where the server is.
pub(crate) fn test_programs(project: &Project) -> Result<PathBuf> {
    let node = prerequisites::check()?;
    let deadline = Deadline::after(LIMIT);
    web::build(project, &node, deadline)?;
    let mut build = cargo(project);
    build.args(["build", "--locked", "--workspace", "--features", WITH_PAGES, "--bins", "--examples"]);
    process::run(&mut build, deadline).context("build the programs that tests start")?;
    Ok(program(project, Profile::Debug))
}

/// Builds the web client and the server with it inside; returns where the program is.
pub(crate) fn whole_program(project: &Project, profile: Profile) -> Result<PathBuf> {
    let node = prerequisites::check()?;
    let deadline = Deadline::after(LIMIT);
    web::build(project, &node, deadline)?;
    let mut build = cargo(project);
    build.args(["build", "--locked", "--package", "doce-server", "--bin", "doce", "--features", "ui"]);
    if profile == Profile::Release {
        build.arg("--release");
    }
    process::run(&mut build, deadline).context("build the server")?;
    Ok(program(project, profile))
}

/// Where `cargo build` leaves the program.
pub(crate) fn program(project: &Project, profile: Profile) -> PathBuf {
    let folder = match profile {
        Profile::Debug => "debug",
        Profile::Release => "release",
    };
    project.target().join(folder).join("doce")
}
