//! What each suite runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::cluster::Cluster;
use super::counts::{self, Counts};
use super::tools::{self, Tool};
use crate::build::{self, WITH_PAGES};
use crate::fuzz;
use crate::generate;
use crate::process::{self, Deadline};
use crate::project::Project;
use crate::{tidy, web};

/// A part of the tests that can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suite {
    /// Installs what the others need.
    Tools,
    Fmt,
    Clippy,
    Tidy,
    Doc,
    /// Everything of Rust that isn't in the next two.
    Unit,
    /// The store, the queue and the main job on PostgreSQL: the test programs whose name is `postgres`, and [`END_TO_END`].
    Postgres,
    /// The use cases, through HTTP, with a fake Agent.
    UseCase,
    /// A real OpenCode in a real sandbox: the test programs whose name begins with `real`.
    Real,
    Web,
    Openapi,
    /// The routes, asked what nobody thought of: schemathesis, with one seed.
    Fuzz,
    /// A real browser before the real program.
    Browser,
    Deny,
}

impl Suite {
    pub(super) const ALL: [Self; 14] = [
        Self::Tools,
        Self::Fmt,
        Self::Clippy,
        Self::Tidy,
        Self::Doc,
        Self::Unit,
        Self::Postgres,
        Self::UseCase,
        Self::Real,
        Self::Web,
        Self::Openapi,
        Self::Fuzz,
        Self::Browser,
        Self::Deny,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Tidy => "tidy",
            Self::Doc => "doc",
            Self::Unit => "unit",
            Self::Postgres => "postgres",
            Self::UseCase => "use-case",
            Self::Real => "real",
            Self::Web => "web",
            Self::Openapi => "openapi",
            Self::Fuzz => "fuzz",
            Self::Browser => "browser",
            Self::Deny => "deny",
        }
    }

    /// How long it may take, on two busy cores that compile everything for the first time.
    const fn limit(self) -> Duration {
        let minutes = match self {
            Self::Fmt | Self::Tidy | Self::Deny => 5,
            Self::Web => 15,
            Self::Doc | Self::Postgres | Self::UseCase | Self::Real | Self::Openapi | Self::Fuzz => 40,
            Self::Tools | Self::Clippy | Self::Unit | Self::Browser => 60,
        };
        Duration::from_mins(minutes)
    }

    pub(super) const fn needs(self) -> &'static [Tool] {
        match self {
            Self::Tools | Self::Fmt | Self::Clippy | Self::Tidy | Self::Doc => &[],
            Self::Unit | Self::UseCase => &[Tool::Nextest, Tool::Git, Tool::Node, Tool::WebPackages],
            Self::Postgres => &[
                Tool::Nextest,
                Tool::Git,
                Tool::Node,
                Tool::WebPackages,
                Tool::BrowserPackages,
                Tool::Localhost,
                Tool::Chromium,
                Tool::Bubblewrap,
                Tool::Sandbox,
                Tool::OpenCode,
                Tool::PostgreSql,
            ],
            Self::Real => &[
                Tool::Nextest,
                Tool::Git,
                Tool::Node,
                Tool::WebPackages,
                Tool::Bubblewrap,
                Tool::Sandbox,
                Tool::OpenCode,
            ],
            Self::Web | Self::Openapi => &[Tool::Node, Tool::WebPackages],
            Self::Fuzz => fuzz::ROUTES_NEED,
            Self::Browser => &[
                Tool::Git,
                Tool::Node,
                Tool::WebPackages,
                Tool::BrowserPackages,
                Tool::Localhost,
                Tool::Chromium,
                Tool::Bubblewrap,
                Tool::Sandbox,
                Tool::OpenCode,
            ],
            Self::Deny => &[Tool::CargoDeny],
        }
    }
}

/// What the suites run in: the checkout, and the tools as they were found.
pub(crate) struct World<'a> {
    project: &'a Project,
    /// Set for everything a suite starts.
    environment: BTreeMap<&'static str, String>,
    missing: BTreeMap<Tool, String>,
    node: String,
}

impl<'a> World<'a> {
    pub(crate) fn new(project: &'a Project) -> Result<Self> {
        let path = std::env::var("PATH").context("read PATH")?;
        let own = project.tools().join("bin");
        let environment = BTreeMap::from([("PATH", format!("{}:{path}", own.display()))]);
        Ok(Self { project, environment, missing: BTreeMap::new(), node: String::new() })
    }

    pub(crate) fn project(&self) -> &'a Project {
        self.project
    }

    /// Node's version, once it was found.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    pub(super) fn found_node(&mut self, version: String) {
        self.node = version;
    }

    /// Finds or installs what the suites need. A tool that can't be had is a failure, unless all
    /// that need it may be skipped.
    pub(super) fn install(&mut self, suites: &[Suite], may_skip: &[Suite]) -> Counts {
        let mut counts = Counts::default();
        for tool in Tool::ALL {
            let wanted_by: Vec<&Suite> = suites.iter().filter(|suite| suite.needs().contains(&tool)).collect();
            if wanted_by.is_empty() && suites != [Suite::Tools] {
                continue;
            }
            match tools::provide(tool, self, Deadline::after(Suite::Tools.limit())) {
                Ok(found) => {
                    println!("{}: {found}", tool.name());
                    counts.passed += 1;
                }
                Err(error) => {
                    let why = format!("{}: {error:#}", tool.name());
                    println!("{why}");
                    let dispensable = !wanted_by.is_empty() && wanted_by.iter().all(|suite| may_skip.contains(suite));
                    if !dispensable {
                        counts.fail(why.clone());
                    }
                    self.missing.insert(tool, why);
                }
            }
        }
        counts
    }

    /// Why a suite can't run here, if it can't.
    pub(super) fn missing(&self, suite: Suite) -> Option<String> {
        suite.needs().iter().find_map(|tool| self.missing.get(tool)).cloned()
    }

    /// Sets a variable for everything that is started from now on.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.environment.insert(name, value);
    }

    pub(crate) fn cargo(&self) -> Command {
        self.prepared(build::cargo(self.project))
    }

    pub(super) fn npm(&self, folder: &str) -> Command {
        self.prepared(web::npm(&self.project.path(folder)))
    }

    /// A variable that a tool has set.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.envs(&self.environment);
        command
    }
}

/// Runs one suite.
pub(super) fn run(suite: Suite, world: &World<'_>) -> Counts {
    let deadline = Deadline::after(suite.limit());
    match suite {
        // `World::install` is that suite.
        Suite::Tools => Counts::default(),
        Suite::Fmt => checks([fmt(world, deadline)]),
        Suite::Clippy => checks([clippy(world, deadline)]),
        Suite::Tidy => tidy_rules(world),
        Suite::Doc => doc(world, deadline),
        Suite::Unit => nextest(world, &format!("not ({USE_CASE}) and not ({REAL})"), FAST, None, deadline),
        Suite::Postgres => postgres(world, deadline),
        Suite::UseCase => nextest(world, &format!("({USE_CASE}) and not ({REAL})"), FAST, None, deadline),
        Suite::Real => nextest(world, REAL, ONE_BY_ONE, None, deadline),
        Suite::Web => web_client(world, deadline),
        Suite::Openapi => checks([generate::generate(world.project(), generate::Mode::Check).map(drop)]),
        Suite::Fuzz => routes(world, deadline),
        Suite::Browser => browser(world, deadline),
        Suite::Deny => deny(world, deadline),
    }
}

/// The tests that go through HTTP, or through the use cases directly.
const USE_CASE: &str = "package(doce-app) or package(doce-server)";
/// The tests that start a real OpenCode.
const REAL: &str = "binary(/^real/)";

/// The tests that need a PostgreSQL server. `.config/nextest.toml` leaves them out of every run that doesn't ask.
const POSTGRES: &str = "binary(postgres)";

/// What is done in a browser on PostgreSQL, too: the main job, and a conversation over crashes.
const END_TO_END: [&str; 2] = ["main-job", "conversation"];

/// Profiles of `.config/nextest.toml`.
const FAST: &str = "xtask";
const ONE_BY_ONE: &str = "xtask-real";

fn checks<const N: usize>(results: [Result<()>; N]) -> Counts {
    let mut counts = Counts::default();
    for result in results {
        counts.check(result);
    }
    counts
}

fn fmt(world: &World<'_>, deadline: Deadline) -> Result<()> {
    process::run(world.cargo().args(["fmt", "--all", "--check"]), deadline)
}

fn clippy(world: &World<'_>, deadline: Deadline) -> Result<()> {
    make_pages_folder(world)?;
    let mut clippy = world.cargo();
    clippy.args(["clippy", "--locked", "--workspace", "--all-targets", "--features", WITH_PAGES]);
    clippy.args(["--", "--deny", "warnings"]);
    process::run(&mut clippy, deadline)
}

/// The pages are embedded by a macro that wants their folder, built or not.
fn make_pages_folder(world: &World<'_>) -> Result<()> {
    let pages = world.project().path("web/dist");
    std::fs::create_dir_all(&pages).with_context(|| format!("make {}", pages.display()))
}

fn tidy_rules(world: &World<'_>) -> Counts {
    let mut counts = Counts::default();
    match tidy::check(world.project()) {
        Ok(rules) => {
            for checked in rules {
                for finding in &checked.findings {
                    println!("{}: {}", finding.place, finding.problem);
                }
                counts.check(match checked.findings.len() {
                    0 => Ok(()),
                    places => Err(anyhow::anyhow!("{} ({places} places)", checked.rule)),
                });
            }
        }
        Err(error) => counts.fail(format!("{error:#}")),
    }
    counts
}

/// The links of the documentation, and the examples in it.
fn doc(world: &World<'_>, deadline: Deadline) -> Counts {
    let mut build = world.cargo();
    // With the features of the other suites, so that nothing is compiled for this one alone.
    build.args(["doc", "--locked", "--workspace", "--features", WITH_PAGES, "--no-deps", "--document-private-items"]);
    build.env("RUSTDOCFLAGS", "--deny warnings");
    let mut counts = checks([make_pages_folder(world).and_then(|()| process::run(&mut build, deadline))]);
    let mut examples = world.cargo();
    examples.args(["test", "--locked", "--workspace", "--features", WITH_PAGES, "--doc", "--no-fail-fast"]);
    match process::read_and_show(&mut examples, deadline) {
        Ok((status, output)) => {
            let exit = if status.success() { Ok(()) } else { Err(anyhow::anyhow!("the examples ended with {status}")) };
            counts.add(Ok(counts::libtest(&output)), exit);
        }
        Err(error) => counts.fail(format!("{error:#}")),
    }
    counts
}

fn postgres(world: &World<'_>, deadline: Deadline) -> Counts {
    match Cluster::start(deadline) {
        Ok(cluster) => {
            let mut counts = nextest(world, POSTGRES, FAST, Some(&cluster), deadline);
            specs(world, &END_TO_END, Some(&cluster), &mut counts, deadline);
            if let Err(error) = cluster.end() {
                counts.fail(format!("{error:#}"));
            }
            counts
        }
        Err(error) => checks([Err(error)]),
    }
}

fn nextest(world: &World<'_>, filter: &str, profile: &str, cluster: Option<&Cluster>, deadline: Deadline) -> Counts {
    let report = world.project().target().join("nextest").join(profile).join("junit.xml");
    let mut counts = Counts::default();
    if let Err(error) = forget(&report) {
        counts.fail(format!("{error:#}"));
        return counts;
    }
    // The pages are part of what is tested.
    if let Err(error) = web::build(world.project(), world.node(), deadline) {
        counts.fail(format!("{error:#}"));
        return counts;
    }
    let mut run = world.cargo();
    run.args(["nextest", "run", "--locked", "--workspace", "--features", WITH_PAGES]);
    run.args(["--profile", profile, "--filterset", filter]);
    if let Some(cluster) = cluster {
        run.arg("--ignore-default-filter").env("DOCE_TEST_PG", cluster.url());
    }
    let exit = process::run(&mut run, deadline);
    counts.add(counts::junit_file(&report), exit);
    counts
}

fn web_client(world: &World<'_>, deadline: Deadline) -> Counts {
    let mut counts = checks([process::run(world.npm("web").args(["run", "check"]), deadline)]);

    let report = world.project().target().join("xtask/vitest.json");
    if let Err(error) = forget(&report) {
        counts.fail(format!("{error:#}"));
        return counts;
    }
    let mut specs = world.npm("web");
    specs.args(["run", "test", "--", "--reporter=default", "--reporter=json"]);
    specs.arg(format!("--outputFile.json={}", report.display()));
    let exit = process::run(&mut specs, deadline);
    counts.add(counts::vitest(&report), exit);

    counts.check(process::run(world.npm("web").args(["run", "build"]), deadline));
    match web::check_sizes(world.project(), deadline) {
        Ok(weight) => {
            counts.passed += 1;
            counts.note = Some(format!("first load {weight}"));
        }
        Err(error) => counts.fail(format!("{error:#}")),
    }
    counts
}

/// As long as a test may take, and the same requests in every run.
fn routes(world: &World<'_>, deadline: Deadline) -> Counts {
    const BOUND: Duration = Duration::from_mins(1);
    const SEED: u32 = 1;
    let mut counts = Counts::default();
    let reports = world.project().target().join("xtask/fuzz");
    let files = fuzz::PEOPLE.map(|who| reports.join(format!("{who}.xml")));
    let exit = files
        .iter()
        .try_for_each(|file| forget(file))
        .and_then(|()| fuzz::routes(world, &fuzz::Routes { reports: &reports, bound: BOUND, seed: SEED }, deadline));
    let told = files.iter().map(|file| counts::junit_file(file)).collect::<Result<Vec<_>>>();
    counts.add(told.map(|told| told.into_iter().fold(Counts::default(), Counts::and)), exit);
    counts
}

fn browser(world: &World<'_>, deadline: Deadline) -> Counts {
    let mut counts = checks([process::run(world.npm("e2e").args(["run", "check"]), deadline)]);
    specs(world, &[], None, &mut counts, deadline);
    counts
}

/// Runs specs, all unless they are named, before a doce on SQLite, or on that server.
fn specs(world: &World<'_>, named: &[&str], cluster: Option<&Cluster>, counts: &mut Counts, deadline: Deadline) {
    let report = world.project().target().join("xtask/playwright.json");
    // doce with its pages, the scripted model, and what makes an old installation.
    let prepared = forget(&report).and_then(|()| build::test_programs(world.project()));
    if let Err(error) = prepared {
        counts.fail(format!("{error:#}"));
        return;
    }
    let mut specs = world.npm("e2e");
    specs.args(["run", "test", "--", "--reporter=list,json"]).args(named);
    specs.env("PLAYWRIGHT_JSON_OUTPUT_FILE", &report);
    if let Some(cluster) = cluster {
        specs.env("DOCE_TEST_PG", cluster.url()).env("PATH", cluster.path_before(&world.environment["PATH"]));
    }
    let exit = process::run(&mut specs, deadline);
    counts.add(counts::playwright(&report), exit);
}

/// Dependencies: what they are, what they allow, where they come from. The advisories change without us and need a
/// network, so they are checked where somebody has fetched them, and the table says where nobody has.
fn deny(world: &World<'_>, deadline: Deadline) -> Counts {
    let check = |what: &[&str]| {
        let mut check = world.cargo();
        check.args(["deny", "--all-features", "--locked", "check"]).args(what);
        process::run(&mut check, deadline)
    };
    let mut counts = checks(["bans", "licenses", "sources"].map(|what| check(&[what])));
    match cargo_home() {
        Some(home) if has_advisories(&home) => counts.check(check(&["--disable-fetch", "advisories"])),
        home => {
            let place = home.map_or_else(|| "$CARGO_HOME".to_owned(), |home| home.display().to_string());
            counts.note = Some(format!("advisories not checked: no database at {place}/advisory-db*"));
        }
    }
    counts
}

/// Where cargo keeps what it fetched.
fn cargo_home() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
}

/// Tells whether a checkout of the database of advisories is there: `cargo deny fetch` makes one.
fn has_advisories(home: &Path) -> bool {
    let entries = std::fs::read_dir(home).into_iter().flatten().filter_map(std::result::Result::ok);
    let mut found = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("advisory-db"));
    found.any(|entry| entry.path().is_dir())
}

/// Removes an old report, so that it isn't taken for this run's.
fn forget(report: &Path) -> Result<()> {
    if let Some(folder) = report.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    match std::fs::remove_file(report) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("remove {}", report.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_every_suite_is_listed_once() {
        let mut names: Vec<&str> = Suite::ALL.map(Suite::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Suite::ALL.len());
    }

    #[test]
    fn a_database_of_advisories_is_found_by_its_name() {
        let home = tempfile::tempdir().unwrap();
        assert!(!has_advisories(home.path()) && !has_advisories(Path::new("/no/home")));
        std::fs::write(home.path().join("advisory-db.lock"), "").unwrap();
        assert!(!has_advisories(home.path()), "a file is none");
        std::fs::create_dir(home.path().join("advisory-dbs")).unwrap();
        assert!(has_advisories(home.path()));
    }

    #[test]
    fn tools_come_first_and_need_nothing() {
        assert_eq!(Suite::ALL[0], Suite::Tools);
        assert_eq!(Suite::Tools.needs(), []);
    }
}
