//! The project's own commands: `cargo xtask run · build · generate · test · fuzz · bench`.
//!
//! Deliberately small, so that it compiles in seconds on a machine that has never seen the
//! project: no async, no HTTP, no argument parser. What the program itself can do (install
//! OpenCode, print its API) is asked of the program.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a command-line tool")]
#![expect(
    clippy::disallowed_methods,
    reason = "starts compilers and test runners, which is its purpose, and has no settings but the environment"
)]

mod bench;
mod build;
mod fuzz;
mod generate;
mod prerequisites;
mod process;
mod project;
mod run;
mod stamp;
mod test;
mod tidy;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::project::Project;

const HELP: &str = "\
The project's own commands.

  cargo xtask run [--release] [OPTION…]     build what changed and start doce; options go to `doce serve`
  cargo xtask build [--release]             build the whole program, web client included
  cargo xtask generate [--check]            openapi.json and the web client's types, from the server
  cargo xtask test [SUITE…] [--allow-skip SUITE]…
                                            every test, or the suites named: tools, fmt, clippy, tidy, doc, unit,
                                            postgres, use-case, real, web, openapi, fuzz, browser, deny
  cargo xtask fuzz [--minutes N] [TARGET…]  the tests that make their own input, for longer; `--help` lists them
  cargo xtask bench [NAME…]                 measure the optimised program, and print each figure beside its goal:
                                            serve, requests, connect, replace, creates, audit, launch, delta

`run` keeps its data in ./data unless DOCE_DATA_DIR says otherwise.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let Some((command, rest)) = arguments.split_first() else {
        println!("{HELP}");
        return Ok(ExitCode::from(2));
    };
    // The other two have a help of their own.
    if command != "run" && command != "fuzz" && rest.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let project = Project::locate()?;
    match command.as_str() {
        "run" => run::run(&project, &run::Options::parse(rest)).map(|()| ExitCode::SUCCESS),
        "build" => {
            let profile = match rest {
                [] => build::Profile::Debug,
                [flag] if flag == "--release" => build::Profile::Release,
                other => bail!("`build` takes only `--release`, not {other:?}"),
            };
            let program = build::whole_program(&project, profile)?;
            println!("{}", program.display());
            Ok(ExitCode::SUCCESS)
        }
        "generate" => {
            let mode = match rest {
                [] => generate::Mode::Write,
                [flag] if flag == "--check" => generate::Mode::Check,
                other => bail!("`generate` takes only `--check`, not {other:?}"),
            };
            generate::generate(&project, mode)?;
            Ok(ExitCode::SUCCESS)
        }
        "test" => test::test(&project, &test::Options::parse(rest)?),
        "fuzz" => fuzz::fuzz(&project, rest),
        "bench" => bench::bench(&project, rest),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("no command `{other}`\n\n{HELP}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_suite() {
        for name in test::names().split(", ") {
            assert!(HELP.contains(name), "{name}");
        }
    }
}
