//! The machine: the sandbox, the programs that are needed, room on the disk, and the limits of processes.

use std::{fs, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use doce_opencode::install;
use doce_runtime::{Sandbox, find_tool};
use rustix::process::{Resource, getrlimit};

use super::{Finding, Surroundings};
use crate::{SandboxState, layout::Layout};

/// Free bytes below which something fails soon.
const FREE_LEAST: u64 = 1024 * 1024 * 1024;
/// Free bytes below which it is time to look.
const FREE_FEW: u64 = 5 * FREE_LEAST;
/// Open files that a server with a few agents may need.
const FILES_LEAST: u64 = 4096;
/// Files that dev servers may watch.
const WATCHES_LEAST: u64 = 65_536;
/// How long the try of the sandbox may take.
const SANDBOX_BOUND: Duration = Duration::from_secs(20);

/// Tries the very sandbox that agents get.
pub(super) async fn sandbox(around: &Surroundings) -> Finding {
    const CHECK: &str = "sandbox";
    if around.unsandboxed {
        return Finding::warning(
            CHECK,
            "it is switched off: agents can read everything that this user can, the master key included",
            "unset DOCE_UNSANDBOXED",
        );
    }
    match tokio::time::timeout(SANDBOX_BOUND, Sandbox::probe(None)).await {
        Ok(Ok(sandbox)) => Finding::ok(CHECK, format!("{} holds", sandbox.program())),
        Ok(Err(error)) => {
            let SandboxState::Unavailable { reason, repair } = SandboxState::unavailable(&error) else {
                return Finding::ok(CHECK, "it holds");
            };
            Finding::problem(CHECK, format!("doce could not {reason}, so no project starts"), repair)
        }
        Err(_) => Finding::problem(CHECK, "its try did not end, so no project starts", "bwrap --ro-bind / / true"),
    }
}

/// Looks for `OpenCode`, or whether it can be installed.
pub(super) fn opencode(around: &Surroundings, is_reachable: bool) -> Finding {
    const CHECK: &str = "opencode";
    if let Some(path) = &around.opencode {
        return if is_executable(path) {
            Finding::ok(CHECK, format!("{path} is used, by DOCE_OPENCODE"))
        } else {
            let text = format!("there is no program at {path}, where DOCE_OPENCODE points");
            Finding::problem(CHECK, text, format!("unset DOCE_OPENCODE, or chmod +x {path}"))
        };
    }
    let directory = Layout::new(&around.data_dir).opencode();
    let binary = Utf8PathBuf::try_from(install::binary_path(directory.as_std_path()));
    match binary {
        Ok(binary) if is_executable(&binary) => {
            Finding::ok(CHECK, format!("version {} is installed", install::VERSION))
        }
        Ok(_) | Err(_) if is_reachable => {
            Finding::ok(CHECK, format!("version {} is not there yet: the first start installs it", install::VERSION))
        }
        Ok(_) | Err(_) => Finding::problem(
            CHECK,
            format!(
                "version {} is not there, and the npm registry that it comes from can't be reached",
                install::VERSION
            ),
            "set DOCE_NPM_REGISTRY to one that can, or DOCE_OPENCODE to a binary of that version",
        ),
    }
}

fn is_executable(path: &Utf8Path) -> bool {
    path.is_file() && rustix::fs::access(path.as_std_path(), rustix::fs::Access::EXEC_OK).is_ok()
}

/// Looks for the programs that projects need.
pub(super) fn tools(around: &Surroundings) -> Vec<Finding> {
    let look = |name| find_tool(name, &around.outside.search_path);
    let git = match look("git") {
        Some(tool) => Finding::ok("git", format!("{} is there", tool.program)),
        None => Finding::problem("git", "it is not installed, so no project can be made", "sudo apt-get install git"),
    };
    let npm = match (look("node"), look("npm")) {
        (Some(_), Some(npm)) => Finding::ok("npm", format!("{} is there", npm.program)),
        (node, _) => {
            let missing = if node.is_some() { "npm" } else { "node" };
            Finding::warning(
                "npm",
                format!("{missing} is not installed, or not in PATH: agents work, and no preview is shown"),
                "sudo apt-get install nodejs npm",
            )
        }
    };
    vec![git, npm]
}

/// Looks at the room on the disk of the data directory.
pub(super) fn disk(around: &Surroundings) -> Vec<Finding> {
    const CHECK: &str = "disk";
    let Some(path) = around.data_dir.ancestors().find(|path| path.exists()) else { return Vec::new() };
    let stat = match rustix::fs::statvfs(path.as_std_path()) {
        Ok(stat) => stat,
        Err(errno) => {
            return vec![Finding::warning(CHECK, format!("{path} can't be asked: {errno}"), format!("df -h {path}"))];
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let words = format!("{:.1} GiB are free at {path}", to_gib(free));
    let room = if free < FREE_LEAST {
        Finding::problem(
            CHECK,
            format!("only {words}: what agents write fails soon"),
            format!("du -xh {path} | sort -h | tail"),
        )
    } else if free < FREE_FEW {
        Finding::warning(CHECK, format!("only {words}"), format!("du -xh {path} | sort -h | tail"))
    } else {
        Finding::ok(CHECK, words)
    };
    // Some file systems make inodes as they are needed and tell of none.
    if stat.f_files > 0 && stat.f_favail < stat.f_files / 100 {
        let text = format!("only {} more files can be made at {path}", stat.f_favail);
        return vec![room, Finding::problem(CHECK, text, format!("df -i {path}"))];
    }
    vec![room]
}

#[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
fn to_gib(bytes: u64) -> f64 {
    bytes as f64 / FREE_LEAST as f64
}

/// Looks at how many files may be open and watched.
pub(super) fn limits() -> Vec<Finding> {
    const CHECK: &str = "file limits";
    let mut findings = Vec::new();
    let open = getrlimit(Resource::Nofile).current;
    if let Some(open) = open.filter(|open| *open < FILES_LEAST) {
        findings.push(Finding::warning(
            CHECK,
            format!("only {open} files may be open at a time: with several projects that is soon reached"),
            "ulimit -n 65536, or LimitNOFILE=65536 in the unit of systemd",
        ));
    }
    let setting = "fs.inotify.max_user_watches";
    let watches = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok();
    if let Some(watches) = watches.and_then(|text| text.trim().parse::<u64>().ok()).filter(|n| *n < WATCHES_LEAST) {
        findings.push(Finding::warning(
            CHECK,
            format!("only {watches} files may be watched: previews may not see that a file changed"),
            format!("sudo sysctl -w {setting}=524288"),
        ));
    }
    if findings.is_empty() {
        let open = open.map_or_else(|| "any number of".to_owned(), |open| open.to_string());
        findings.push(Finding::ok(CHECK, format!("{open} files may be open")));
    }
    findings
}
