//! A PostgreSQL server for one suite, in a folder of its own, that listens on a socket in it and nowhere else.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::tools::path_of;
use crate::process::{self, Deadline};

/// How long it may take to end, also when the suite is over its limit.
const END: Duration = Duration::from_mins(1);

/// A running server.
pub(super) struct Cluster {
    programs: PathBuf,
    folder: String,
}

impl Cluster {
    pub(super) fn start(deadline: Deadline) -> Result<Self> {
        let programs = programs().context("find PostgreSQL")?;
        let made = process::read(as_server("mktemp".as_ref()).args(["-d", "-t", "doce-postgres-XXXXXX"]), deadline)?;
        let cluster = Self { programs, folder: made.trim().to_owned() };
        let mut initdb = cluster.program("initdb");
        initdb.args(["--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--no-sync"]);
        process::run(&mut initdb, deadline)?;
        let mut start = cluster.program("pg_ctl");
        // What is lost with the machine is of no interest: nothing waits for the disk.
        let settings = format!("-F -k {} -c listen_addresses= -c max_connections=300", cluster.folder);
        start.args([
            "start",
            "--wait",
            "--silent",
            "--log",
            &format!("{}/log", cluster.folder),
            "--options",
            &settings,
        ]);
        process::run(&mut start, deadline)?;
        Ok(cluster)
    }

    /// The address of a database from which others can be made.
    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.folder.replace('/', "%2F"))
    }

    /// A search path on which its programs come first: Debian keeps them off the usual one.
    pub(super) fn path_before(&self, path: &str) -> String {
        format!("{}:{path}", self.programs.display())
    }

    /// Ends the server and removes what it wrote.
    pub(super) fn end(self) -> Result<()> {
        let deadline = Deadline::after(END);
        let ended =
            process::run(self.program("pg_ctl").args(["stop", "--wait", "--silent", "--mode", "fast"]), deadline);
        process::run(as_server("rm".as_ref()).args(["-r", &self.folder]), deadline)?;
        ended
    }

    fn program(&self, name: &str) -> Command {
        let mut command = as_server(&self.programs.join(name));
        command.args(["--pgdata", &format!("{}/data", self.folder)]);
        command
    }
}

/// PostgreSQL refuses to run as root, so there it is the user that its package made.
fn as_server(program: &Path) -> Command {
    let root = Path::new("/");
    if rustix::process::geteuid().is_root() {
        let mut command = process::command("runuser", root);
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        process::command(program, root)
    }
}

/// Where the server's programs are: Debian keeps them off the path, a folder for each version.
pub(super) fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(std::result::Result::ok);
    let newest = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).max();
    newest.or_else(|| Some(path_of("initdb")?.parent()?.to_owned()))
}
