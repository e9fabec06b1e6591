//! Finding every wrong set-up: each check says what it looked at, what is wrong with it, and the command that repairs it.
//!
//! Nothing is changed, and nothing is started but the try of the sandbox and, in it, what tells its version. It works
//! while a server runs, and before there ever was one.

mod data;
mod machine;
mod network;

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use doce_model::{Clock, Ctx, User};
use serde::Serialize;

use crate::{App, Error, Outside, PostgresUrl, people::admins_only};

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Where everything is kept.
    pub data_dir: Utf8PathBuf,
    /// The PostgreSQL database, if it isn't the data directory's own.
    pub database_url: Option<PostgresUrl>,
    /// The master key's file, if it isn't in the data directory.
    pub master_key_file: Option<Utf8PathBuf>,
    /// An `OpenCode` to use instead of the installed one.
    pub opencode: Option<Utf8PathBuf>,
    /// Whether the owner wants no sandbox.
    pub unsandboxed: bool,
    /// Where packages come from, if not from the public npm registry.
    pub npm_registry: Option<String>,
    /// What of the surrounding system the sandboxed programs are given.
    pub outside: Outside,
    /// Where the server is to listen.
    pub listen: SocketAddr,
    /// The address that browsers use, if that was configured.
    pub public_url: Option<String>,
    /// Where a server of this data directory listens, if one runs.
    pub running: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As it should be.
    Ok,
    /// It works, and may not always.
    Warning,
    /// Something doesn't work.
    Problem,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in a word.
    pub check: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found, and why it matters if it is wrong.
    pub text: String,
    /// The command that repairs it, or else what to do.
    pub repair: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, health: Health::Ok, text: text.into(), repair: None }
    }

    fn warning(check: &'static str, text: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { check, health: Health::Warning, text: text.into(), repair: Some(repair.into()) }
    }

    fn problem(check: &'static str, text: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { check, health: Health::Problem, text: text.into(), repair: Some(repair.into()) }
    }
}

impl App {
    /// Looks at everything around a server that runs. Admins only.
    pub async fn doctor(
        &self,
        _ctx: &Ctx,
        by: &User,
        listen: SocketAddr,
        public_url: Option<String>,
        running: String,
    ) -> Result<Vec<Finding>, Error> {
        admins_only(by)?;
        let config = &self.config;
        let around = Surroundings {
            data_dir: config.data_dir.clone(),
            database_url: config.database_url.clone(),
            master_key_file: config.master_key_file.clone(),
            opencode: config.opencode.clone(),
            unsandboxed: config.unsandboxed,
            npm_registry: config.npm_registry.clone(),
            outside: config.outside.clone(),
            listen,
            public_url,
            running: Some(running),
        };
        Ok(examine(&around, &self.clock).await)
    }
}

/// Looks at everything. The network is asked once, for a few seconds at most.
pub async fn examine(around: &Surroundings, clock: &dyn Clock) -> Vec<Finding> {
    let ((sandbox, door), network) = tokio::join!(machine::sandbox(around), network::reach(around, clock.now()));
    let mut findings = vec![data::directory(around)];
    findings.extend(data::database_and_key(around).await);
    findings.push(network::port(around));
    findings.extend(network::address(around));
    findings.push(sandbox);
    findings.push(machine::opencode(around, network.is_reachable, &door).await);
    findings.extend(machine::tools(around, &door).await);
    findings.extend(machine::disk(around));
    findings.extend(machine::limits());
    findings.extend(machine::ceilings(around, &door));
    findings.extend(network::settings(around));
    findings.extend(network.findings);
    findings
}
