//! `cargo xtask test`: the one test command.
//!
//! Runs every suite, also after one failed, and ends with a table of what ran, what was skipped
//! and why, and one last line `N passed, N failed, N skipped`. A suite that ran nothing failed. A
//! skip fails the whole unless it was allowed by name.

mod cluster;
mod counts;
mod scratch;
mod suites;
mod table;
mod tools;

pub(crate) use self::{
    suites::World,
    tools::{Tool, provide},
};

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use self::counts::Counts;
use self::scratch::Scratch;
use self::suites::Suite;
use self::table::Row;
use crate::process;
use crate::project::Project;

/// What to run, and what may be left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    suites: Vec<Suite>,
    may_skip: Vec<Suite>,
}

impl Options {
    /// Reads `[SUITE…] [--allow-skip SUITE]…`.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self> {
        let mut asked = Vec::new();
        let mut may_skip = Vec::new();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--allow-skip" => match words.next() {
                    Some(name) => may_skip.push(suite(name)?),
                    None => bail!("`--allow-skip` needs the name of a suite: {}", names()),
                },
                flag if flag.starts_with('-') => bail!("`test` has no option `{flag}`"),
                name => asked.push(suite(name)?),
            }
        }
        let suites = if asked.is_empty() {
            Suite::ALL.to_vec()
        } else {
            // In the order of the table, each once, and always with what they need.
            if asked.iter().any(|suite| !suite.needs().is_empty()) {
                asked.push(Suite::Tools);
            }
            Suite::ALL.into_iter().filter(|suite| asked.contains(suite)).collect()
        };
        Ok(Self { suites, may_skip })
    }
}

fn suite(name: &str) -> Result<Suite> {
    match Suite::ALL.into_iter().find(|suite| suite.name() == name) {
        Some(suite) => Ok(suite),
        None => bail!("no suite `{name}`; there are {}", names()),
    }
}

/// The names of all suites, with commas.
pub(crate) fn names() -> String {
    Suite::ALL.map(Suite::name).join(", ")
}

/// Runs the suites and says how it went.
pub(crate) fn test(project: &Project, options: &Options) -> Result<ExitCode> {
    process::adopt_orphans()?;
    let started = Instant::now();
    let mut world = World::new(project)?;
    let scratch = Scratch::make()?;
    if let Some(folder) = scratch.folder() {
        println!("the tests keep their files in memory, in {}", folder.display());
        world.set("TMPDIR", folder.display().to_string());
    }
    let mut rows = Vec::new();
    for suite in &options.suites {
        println!("\n── {} ──", suite.name());
        let row = run(*suite, &mut world, options);
        for problem in &row.counts.problems {
            println!("{}: {problem}", suite.name());
        }
        rows.push(row);
    }
    let unasked: Vec<&str> =
        Suite::ALL.into_iter().filter(|suite| !options.suites.contains(suite)).map(Suite::name).collect();
    let total = started.elapsed();
    println!("\n{}", table::render(&rows, total));
    if !unasked.is_empty() {
        println!("not asked for: {}", unasked.join(", "));
    }
    if std::env::var_os("DOCE_LEGACY_FIXTURES").is_none() {
        println!(
            "DOCE_LEGACY_FIXTURES isn't set: the import was tried on directories that the tests made, and no others"
        );
    }
    if unasked.is_empty() {
        println!("{}", table::goal(rounded(total)));
    }
    let (verdict, last_line) = table::verdict(&rows);
    for complaint in &verdict {
        println!("{complaint}");
    }
    println!("{last_line}");
    Ok(if verdict.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(suite: Suite, world: &mut World<'_>, options: &Options) -> Row {
    let started = Instant::now();
    let skip_allowed = options.may_skip.contains(&suite);
    let mut counts = if suite == Suite::Tools {
        world.install(&options.suites, &options.may_skip)
    } else if let Some(why) = world.missing(suite) {
        println!("skipped: {why}");
        Counts::skipped(why)
    } else {
        suites::run(suite, world)
    };
    for found in process::end_leftovers() {
        counts.fail(format!("left {found} running"));
    }
    if counts.ran() == 0 && counts.skips.is_empty() {
        counts.fail("ran nothing".to_owned());
    }
    Row { suite: suite.name(), counts, skip_allowed, took: rounded(started.elapsed()) }
}

fn rounded(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs() + u64::from(time.subsec_millis() >= 500))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn everything_runs_unless_suites_are_named() {
        assert_eq!(parse("").unwrap().suites, Suite::ALL);
        assert_eq!(parse("web unit").unwrap().suites, [Suite::Tools, Suite::Unit, Suite::Web]);
    }

    #[test]
    fn skips_are_allowed_by_name() {
        let options = parse("--allow-skip browser --allow-skip real").unwrap();
        assert_eq!(options.may_skip, [Suite::Browser, Suite::Real]);
        assert_eq!(options.suites, Suite::ALL);
    }

    #[test]
    fn a_wrong_name_is_an_error_that_lists_the_right_ones() {
        let error = parse("units").unwrap_err().to_string();
        assert!(error.contains("no suite `units`") && error.contains("use-case"), "{error}");
        assert!(parse("--allow-skip").is_err());
        assert!(parse("--fast").is_err());
    }
}
