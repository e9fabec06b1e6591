//! `cargo xtask fuzz`: the tests that make their own input, for longer than a test may take, each round from another
//! seed. What one finds is printed in its smallest form; it is mended, and becomes a test with a name.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::build;
use crate::process::{self, Deadline};
use crate::project::Project;
use crate::test::{Tool, World, provide};

const HELP: &str = "\
The tests that make their own input, for longer, each round from another seed.

  cargo xtask fuzz [--minutes N] [TARGET…]

  events     the reader of an Agent's event stream: any bytes, in any chunks
  envelopes  the decoder of its events: any JSON, and what is almost JSON
  paths      the guard of a workspace: any path, against every kind of file
  routes     the HTTP API: what openapi.json allows, and what it doesn't

Without a target all of them, 10 minutes together unless --minutes says otherwise.
FUZZ_SEED=N begins with the seed that a failed round printed.";

const MINUTES: u64 = 10;
/// Cases of one round: seconds, so that the end is met and a seed is soon repeated.
const CASES: &str = "4000";
/// What compiling everything may take, and a round that is under way when time is up.
const GRACE: Duration = Duration::from_hours(1);

/// Who asks the routes. Each has a report of this name.
pub(crate) const PEOPLE: [&str; 2] = ["member", "admin"];

/// What asking the routes needs.
pub(crate) const ROUTES_NEED: &[Tool] =
    &[Tool::Git, Tool::Node, Tool::WebPackages, Tool::Bubblewrap, Tool::Sandbox, Tool::Schemathesis];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Events,
    Envelopes,
    Paths,
    Routes,
}

impl Target {
    const ALL: [Self; 4] = [Self::Events, Self::Envelopes, Self::Paths, Self::Routes];

    const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Envelopes => "envelopes",
            Self::Paths => "paths",
            Self::Routes => "routes",
        }
    }

    /// Which tests it is; the routes are asked by a program of their own.
    const fn tests(self) -> Option<&'static str> {
        match self {
            Self::Events => Some("package(doce-opencode) and test(stream::fuzz::)"),
            Self::Envelopes => Some("package(doce-opencode) and test(event::fuzz::)"),
            Self::Paths => Some("package(doce-app) and test(beneath::fuzz::)"),
            Self::Routes => None,
        }
    }

    const fn needs(self) -> &'static [Tool] {
        match self {
            Self::Routes => ROUTES_NEED,
            Self::Events | Self::Envelopes | Self::Paths => &[Tool::Nextest],
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    minutes: u64,
    targets: Vec<Target>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self { minutes: MINUTES, targets: Vec::new() };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            if word == "--minutes" {
                let number = words.next().and_then(|number| number.parse().ok()).filter(|minutes| *minutes > 0);
                options.minutes = number.context("`--minutes` needs a whole number")?;
            } else if let Some(target) = Target::ALL.into_iter().find(|target| target.name() == word) {
                options.targets.push(target);
            } else {
                bail!("no target or option `{word}`\n\n{HELP}");
            }
        }
        if options.targets.is_empty() {
            options.targets = Target::ALL.to_vec();
        }
        Ok(options)
    }
}

/// Runs the targets one after the other, and says which of them found something.
pub(crate) fn fuzz(project: &Project, arguments: &[String]) -> Result<ExitCode> {
    if arguments.iter().any(|word| matches!(word.as_str(), "--help" | "-h")) {
        println!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse(arguments)?;
    process::adopt_orphans()?;
    let share = Duration::from_mins(options.minutes) / u32::try_from(options.targets.len())?;
    let deadline = Deadline::after(Duration::from_mins(options.minutes) + GRACE);
    let mut world = World::new(project)?;
    let mut failed = Vec::new();
    for target in options.targets {
        for tool in target.needs() {
            provide(*tool, &mut world, deadline).with_context(|| format!("provide {}", tool.name()))?;
        }
        println!("\n── {} ──", target.name());
        let result = if let Some(tests) = target.tests() {
            rounds(&world, tests, share, deadline)
        } else {
            let reports = project.target().join("xtask/fuzz");
            let seed = first_seed()?;
            println!("seed {seed}");
            routes(&world, &Routes { reports: &reports, bound: share, seed }, deadline)
        };
        if let Err(error) = result {
            println!("{error:#}");
            failed.push(target.name());
        }
    }
    for left in process::end_leftovers() {
        println!("left {left} running");
    }
    if failed.is_empty() {
        println!("\nfound nothing");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nfound something: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Runs tests again and again, at least once, until their time is up or one fails.
fn rounds(world: &World<'_>, tests: &str, time: Duration, deadline: Deadline) -> Result<()> {
    let mut began = None;
    let mut seed = first_seed()?;
    loop {
        println!("seed {seed}");
        let mut run = world.cargo();
        run.args(["nextest", "run", "--locked", "--workspace", "--status-level", "fail", "--filterset", tests]);
        run.args(["--features", build::WITH_PAGES]);
        run.env("PROPTEST_CASES", CASES).env("PROPTEST_RNG_SEED", seed.to_string());
        process::run(&mut run, deadline).with_context(|| format!("FUZZ_SEED={seed} finds it again"))?;
        // The first round compiles.
        if began.get_or_insert_with(Instant::now).elapsed() >= time {
            return Ok(());
        }
        seed = seed.wrapping_add(1);
    }
}

/// The seed that was asked for, or one that nobody had before.
fn first_seed() -> Result<u32> {
    match std::env::var("FUZZ_SEED") {
        Ok(seed) => seed.parse().context("FUZZ_SEED is a whole number"),
        Err(_) => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos()),
    }
}

/// How the routes are asked.
pub(crate) struct Routes<'a> {
    pub(crate) reports: &'a Path,
    pub(crate) bound: Duration,
    pub(crate) seed: u32,
}

/// Asks the routes of a doce of its own, where nothing leads to a network and nothing but reports can be written.
pub(crate) fn routes(world: &World<'_>, how: &Routes<'_>, deadline: Deadline) -> Result<()> {
    let project = world.project();
    let doce = build::test_programs(project)?;
    let agent = doce.with_file_name("examples").join("fake-opencode");
    let temporary = how.reports.join("tmp");
    std::fs::create_dir_all(&temporary).with_context(|| format!("make {}", temporary.display()))?;
    let python = world.variable("SCHEMATHESIS_PYTHON").context("schemathesis was found")?;

    let mut run = process::command("bwrap", how.reports);
    run.args(["--unshare-net", "--die-with-parent", "--ro-bind", "/", "/", "--dev-bind", "/dev", "/dev"]);
    // Sandboxes are made inside, which needs a `/proc` that can be written.
    run.args(["--bind", "/proc", "/proc", "--bind"]).arg(how.reports).arg(how.reports);
    run.arg("--chdir").arg(how.reports).arg("--").arg(python).arg(project.path("fuzz/routes.py"));
    run.arg("--doce").arg(&doce).arg("--agent").arg(&agent).arg("--reports").arg(how.reports);
    run.arg("--description").arg(project.path("openapi.json"));
    run.args(["--seconds", &how.bound.as_secs().to_string(), "--seed", &how.seed.to_string()]);
    run.env("TMPDIR", &temporary).env("PYTHONDONTWRITEBYTECODE", "1");
    process::run(&mut run, deadline).with_context(|| format!("{} tells what was found", how.reports.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn all_targets_run_unless_some_are_named() {
        assert_eq!(parse("").unwrap(), Options { minutes: MINUTES, targets: Target::ALL.to_vec() });
        let both = Options { minutes: 3, targets: vec![Target::Paths, Target::Events] };
        assert_eq!(parse("--minutes 3 paths events").unwrap(), both);
    }

    #[test]
    fn what_is_no_target_is_an_error() {
        for wrong in ["path", "--minutes", "--minutes 0", "--minutes x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
