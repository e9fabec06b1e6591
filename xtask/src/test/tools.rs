//! Finds what the suites need, and installs what is missing.
//!
//! Debian and Ubuntu packages come from apt, as root or through sudo without a password; Rust
//! programs are built by cargo into `target/tools`; OpenCode is installed by doce's own code.

use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::cluster;
use super::suites::World;
use crate::build::WITH_PAGES;
use crate::prerequisites::{self, version_of};
use crate::process::{self, Deadline};
use crate::web;

/// The version that is built where none is found.
const NEXTEST: &str = "0.9.143";
/// The oldest that understands `.config/nextest.toml`.
const NEXTEST_MINIMUM: (u32, u32, u32) = (0, 9, 100);
const CARGO_DENY: &str = "0.20.2";

/// Something that a suite can't do without. Listed in the order in which they are installed: what
/// takes minutes comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tool {
    Git,
    Node,
    Bubblewrap,
    Sandbox,
    Localhost,
    Chromium,
    WebPackages,
    BrowserPackages,
    PostgreSql,
    Schemathesis,
    OpenCode,
    Nextest,
    CargoDeny,
}

impl Tool {
    pub(super) const ALL: [Self; 13] = [
        Self::Git,
        Self::Node,
        Self::Bubblewrap,
        Self::Sandbox,
        Self::Localhost,
        Self::Chromium,
        Self::WebPackages,
        Self::BrowserPackages,
        Self::PostgreSql,
        Self::Schemathesis,
        Self::OpenCode,
        Self::Nextest,
        Self::CargoDeny,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Node => "Node",
            Self::Bubblewrap => "bubblewrap",
            Self::Sandbox => "sandbox",
            Self::Localhost => "localhost",
            Self::Chromium => "Chromium",
            Self::WebPackages => "npm packages of web/",
            Self::BrowserPackages => "npm packages of e2e/",
            Self::PostgreSql => "PostgreSQL",
            Self::Schemathesis => "schemathesis",
            Self::OpenCode => "OpenCode",
            Self::Nextest => "cargo-nextest",
            Self::CargoDeny => "cargo-deny",
        }
    }
}

/// Finds a tool, or installs it; returns what to say about it.
pub(crate) fn provide(tool: Tool, world: &mut World<'_>, deadline: Deadline) -> Result<String> {
    match tool {
        Tool::Git => packaged("git", &["git", "ca-certificates"], deadline),
        Tool::Node => node(world),
        Tool::Bubblewrap => packaged("bwrap", &["bubblewrap"], deadline),
        Tool::Sandbox => sandbox(deadline),
        Tool::Localhost => localhost(),
        Tool::Chromium => chromium(world, deadline),
        Tool::WebPackages => npm_packages("web", world, deadline),
        Tool::BrowserPackages => npm_packages("e2e", world, deadline),
        Tool::PostgreSql => postgresql(deadline),
        Tool::Schemathesis => schemathesis(world, deadline),
        Tool::OpenCode => opencode(world, deadline),
        Tool::Nextest => nextest(world, deadline),
        Tool::CargoDeny => cargo_deny(world, deadline),
    }
}

fn packaged(program: &str, packages: &[&str], deadline: Deadline) -> Result<String> {
    if let Some(version) = version_of(program) {
        return Ok(version);
    }
    apt(packages, deadline)?;
    version_of(program)
        .with_context(|| format!("`{program}` can't be run although {} is installed", packages.join(" ")))
}

/// Installs Debian packages.
fn apt(packages: &[&str], deadline: Deadline) -> Result<()> {
    if version_of("apt-get").is_none() {
        bail!("not installed, and there is no apt-get: install {} yourself", packages.join(", "));
    }
    let may = rustix::process::geteuid().is_root() || works(Path::new("sudo"), &["-n", "true"], deadline);
    if !may {
        bail!("not installed; `sudo apt-get install {}` installs it", packages.join(" "));
    }
    process::run(apt_get(&["update", "--quiet"]).env("DEBIAN_FRONTEND", "noninteractive"), deadline)?;
    let mut install = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    install.extend(packages);
    process::run(apt_get(&install).env("DEBIAN_FRONTEND", "noninteractive"), deadline)
}

fn apt_get(arguments: &[&str]) -> Command {
    let root = Path::new("/");
    let mut command = if rustix::process::geteuid().is_root() {
        process::command("apt-get", root)
    } else {
        let mut sudo = process::command("sudo", root);
        sudo.args(["-n", "--preserve-env=DEBIAN_FRONTEND", "apt-get"]);
        sudo
    };
    command.args(arguments);
    command
}

fn works(program: &Path, arguments: &[&str], deadline: Deadline) -> bool {
    let mut command = process::command(program, Path::new("/"));
    command.args(arguments).stderr(Stdio::null());
    process::read(&mut command, deadline).is_ok()
}

/// Tries what an Agent's sandbox is made of: a namespace of each kind, and none inside it.
fn sandbox(deadline: Deadline) -> Result<String> {
    let mut bwrap = process::command("bwrap", Path::new("/"));
    bwrap.args(["--unshare-user", "--unshare-pid", "--unshare-ipc", "--disable-userns"]);
    bwrap.args(["--cap-drop", "ALL", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]);
    match process::read(&mut bwrap, deadline) {
        Ok(_) => Ok("user namespaces work".to_owned()),
        Err(error) => bail!(
            "bubblewrap can't make a sandbox here ({error:#}); user namespaces are refused in a plain \
             chroot, in most containers, and where the system forbids them \
             (`sysctl kernel.unprivileged_userns_clone kernel.apparmor_restrict_unprivileged_userns`)"
        ),
    }
}

/// The name that a person opens doce by. A bare root has nothing yet that says where it leads.
fn localhost() -> Result<String> {
    const HOSTS: &str = "/etc/hosts";
    let resolves = || ("localhost", 0_u16).to_socket_addrs().is_ok_and(|mut found| found.any(|a| a.ip().is_loopback()));
    if resolves() {
        return Ok("is this machine".to_owned());
    }
    let advice = format!("`localhost` leads nowhere: add the line `127.0.0.1 localhost` to {HOSTS}");
    if Path::new(HOSTS).exists() {
        bail!("{advice}");
    }
    std::fs::write(HOSTS, "127.0.0.1 localhost\n::1 localhost\n").with_context(|| advice.clone())?;
    if !resolves() {
        bail!("{advice}");
    }
    Ok(format!("{HOSTS} was missing and was made"))
}

/// A browser for the browser tests. They read its path from `CHROMIUM`.
fn chromium(world: &mut World<'_>, deadline: Deadline) -> Result<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let given = std::env::var("CHROMIUM").ok();
    let found = |names: &[&str]| names.iter().find_map(|name| Some((path_of(name)?, chromium_version(name)?)));
    let present = match &given {
        Some(path) => Some(found(&[path]).with_context(|| format!("CHROMIUM={path} can't be run"))?),
        None => found(&names),
    };
    let (path, version) = if let Some(present) = present {
        present
    } else {
        apt(&["chromium", "fonts-liberation", "fonts-dejavu-core"], deadline)?;
        found(&names).context(
            "no Chromium that runs, although the package is installed (on Ubuntu it needs snap): \
             set CHROMIUM to the path of one",
        )?
    };
    world.set("CHROMIUM", path.display().to_string());
    Ok(version)
}

fn chromium_version(program: &str) -> Option<String> {
    // Ubuntu's placeholder answers with the advice to install a snap.
    version_of(program).filter(|text| text.contains("Chrom") && !text.contains("snap"))
}

pub(super) fn path_of(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A database server. The suite that needs it starts one of its own.
fn postgresql(deadline: Deadline) -> Result<String> {
    if cluster::programs().is_none() {
        apt(&["postgresql"], deadline)?;
    }
    let programs = cluster::programs().context("no PostgreSQL, although the package is installed")?;
    version_of(&programs.join("postgres").display().to_string()).context("PostgreSQL can't be run")
}

/// What asks the routes, in exactly the versions that `fuzz/requirements.txt` names, in a folder of its own. Its Python
/// is found by `SCHEMATHESIS_PYTHON`.
fn schemathesis(world: &mut World<'_>, deadline: Deadline) -> Result<String> {
    let requirements = world.project().path("fuzz/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).with_context(|| format!("read {}", requirements.display()))?;
    let folder = world.project().tools().join("schemathesis");
    let (python, installed) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let program = folder.join("bin/schemathesis").display().to_string();
    // Its scripts name their folder: in a checkout that was moved they can't be run.
    if std::fs::read_to_string(&installed).ok().as_deref() != Some(&wanted) || version_of(&program).is_none() {
        packaged("python3", &["python3", "python3-venv"], deadline)?;
        let make = |deadline| {
            let mut venv = process::command("python3", world.project().root());
            process::run(venv.args(["-m", "venv", "--clear"]).arg(&folder), deadline)
        };
        // Debian's Python has `venv` in a package of its own.
        make(deadline).or_else(|_| apt(&["python3-venv"], deadline).and_then(|()| make(deadline)))?;
        let mut pip = process::command(&python, world.project().root());
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]);
        pip.args(["--require-hashes", "--requirement"]).arg(&requirements);
        process::run(&mut pip, deadline)?;
        std::fs::write(&installed, &wanted).with_context(|| format!("write {}", installed.display()))?;
    }
    let version = version_of(&program).context("it can't be run")?;
    world.set("SCHEMATHESIS_PYTHON", python.display().to_string());
    Ok(version)
}

fn node(world: &mut World<'_>) -> Result<String> {
    let version = prerequisites::check()?;
    world.found_node(version.clone());
    Ok(version)
}

fn npm_packages(folder: &str, world: &World<'_>, deadline: Deadline) -> Result<String> {
    web::install(world.project(), folder, world.node(), deadline)?;
    Ok("as the lock file says".to_owned())
}

/// The pinned OpenCode, installed as doce does it. The tests read its path from `DOCE_OPENCODE`.
fn opencode(world: &mut World<'_>, deadline: Deadline) -> Result<String> {
    let directory = world.project().target().join("opencode");
    // With the features of the suites, so that they find everything compiled already.
    let mut build = world.cargo();
    build.args(["build", "--locked", "--workspace", "--features", WITH_PAGES, "--example", "install"]);
    process::run(&mut build, deadline)?;
    let mut install = process::command(world.project().target().join("debug/examples/install"), world.project().root());
    install.arg(directory).args(std::env::var_os("DOCE_NPM_REGISTRY"));
    let printed = process::read(&mut install, deadline)?;
    let program = printed.lines().next_back().unwrap_or_default().trim().to_owned();
    let version = version_of(&program).with_context(|| format!("`{program}` can't be run"))?;
    world.set("DOCE_OPENCODE", program);
    Ok(version)
}

fn nextest(world: &World<'_>, deadline: Deadline) -> Result<String> {
    let version = || {
        let text = process::read(world.cargo().args(["nextest", "--version"]).stderr(Stdio::null()), deadline);
        text.ok().and_then(|text| Some(text.lines().next()?.to_owned()))
    };
    if let Some(found) = version().filter(|text| at_least(text, NEXTEST_MINIMUM)) {
        return Ok(found);
    }
    install_from_crates_io("cargo-nextest", NEXTEST, &["default-no-update"], world, deadline)?;
    version().context("cargo-nextest is installed but can't be run")
}

fn cargo_deny(world: &World<'_>, deadline: Deadline) -> Result<String> {
    let version = || {
        process::read(world.cargo().args(["deny", "--version"]).stderr(Stdio::null()), deadline)
            .ok()
            .map(|text| text.trim().to_owned())
    };
    if let Some(found) = version() {
        return Ok(found);
    }
    install_from_crates_io("cargo-deny", CARGO_DENY, &[], world, deadline)?;
    version().context("cargo-deny is installed but can't be run")
}

fn install_from_crates_io(
    name: &str,
    version: &str,
    features: &[&str],
    world: &World<'_>,
    deadline: Deadline,
) -> Result<()> {
    let mut install = world.cargo();
    install.args(["install", "--locked", name, "--version", version, "--no-default-features"]);
    install.arg("--features").arg(features.join(",")).arg("--root").arg(world.project().tools());
    // Optimised, they would take minutes more to build than they ever save here.
    install.arg("--debug");
    // Not among the project's own output: its profile and lock file are others.
    install.env("CARGO_TARGET_DIR", world.project().tools().join("build"));
    // Nobody looks into them with a debugger.
    install.env("CARGO_PROFILE_DEV_DEBUG", "0");
    process::run(&mut install, deadline)
}

fn at_least(text: &str, minimum: (u32, u32, u32)) -> bool {
    let Some(version) = text.split_whitespace().nth(1) else {
        return false;
    };
    let numbers: Vec<u32> = version.split(['.', '-']).map_while(|number| number.parse().ok()).collect();
    matches!(numbers[..], [major, minor, patch, ..] if (major, minor, patch) >= minimum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(at_least("cargo-nextest 0.9.143 (60fa45f63 2026-08-04)", NEXTEST_MINIMUM));
        assert!(at_least("cargo-nextest 0.10.0", NEXTEST_MINIMUM));
        assert!(!at_least("cargo-nextest 0.9.99", NEXTEST_MINIMUM));
        assert!(!at_least("error: no such command", NEXTEST_MINIMUM));
    }

    #[test]
    fn a_program_is_found_on_the_path() {
        assert!(path_of("sh").is_some());
        assert_eq!(path_of("doce-no-such-program"), None);
    }
}
