//! `cargo xtask bench`: builds the optimised program and what it is measured with, and measures.
//!
//! What is measured, and against what, is `crates/testkit/src/bin/bench`. It needs a machine that does nothing else:
//! nothing of it is a test.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::build::{self, Profile};
use crate::process::{self, Deadline};
use crate::project::Project;
use crate::test::{Tool, World, provide};

/// All figures take about a quarter of an hour on two cores, after the build.
const LIMIT: Duration = Duration::from_hours(2);

/// Measures everything, or what is named; options go to the program that measures.
pub(crate) fn bench(project: &Project, arguments: &[String]) -> Result<ExitCode> {
    process::adopt_orphans()?;
    let deadline = Deadline::after(LIMIT);
    let mut world = World::new(project)?;
    for tool in [Tool::Git, Tool::Node, Tool::Bubblewrap, Tool::Sandbox, Tool::OpenCode] {
        let found = provide(tool, &mut world, deadline).with_context(|| format!("provide {}", tool.name()))?;
        println!("{}: {found}", tool.name());
    }
    let doce = build::whole_program(project, Profile::Release)?;
    let mut build = world.cargo();
    build.args(["build", "--locked", "--release", "--package", "doce-testkit", "--bins"]);
    process::run(&mut build, deadline).context("build what measures")?;
    let mut build = world.cargo();
    build.args(["build", "--locked", "--release", "--package", "doce-store", "--example", "audit_pages"]);
    process::run(&mut build, deadline).context("build what fills an audit log")?;
    let programs = project.target().join("release");
    let mut bench = process::command(programs.join("bench"), project.root());
    bench.args(arguments).arg("--doce").arg(doce).arg("--fake-opencode").arg(programs.join("fake-opencode"));
    bench.arg("--audit-pages").arg(programs.join("examples/audit_pages"));
    bench.arg("--opencode").arg(world.variable("DOCE_OPENCODE").context("OpenCode was found")?);
    bench.arg("--template").arg(project.path("templates/vite-react"));
    bench.arg("--raw").arg(project.target().join("bench/figures.json"));
    process::run(&mut bench, deadline)?;
    for left in process::end_leftovers() {
        println!("left {left} running");
    }
    Ok(ExitCode::SUCCESS)
}
