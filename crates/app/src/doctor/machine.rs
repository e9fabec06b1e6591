//! The machine: the sandbox, the programs that are needed, room on the disk, and the limits of processes.

use std::{fs, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use doce_opencode::install;
use doce_runtime::{Isolation, Runtime, Sandbox, Tool, find_tool};
use rustix::process::{Resource, getrlimit};

use super::{Finding, Surroundings};
use crate::{
    chain,
    layout::Layout,
    program::{opencode_at, print_version},
};

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

/// How long a program may take to tell its version.
const VERSION_BOUND: Duration = Duration::from_secs(10);
/// The oldest Node.js that previews work with.
const NODE_LEAST: (u64, u64) = (20, 19);

/// Tries the very sandbox that agents get, and returns the way to run something in it.
pub(super) async fn sandbox(around: &Surroundings) -> (Finding, Runtime) {
    let (finding, isolation) = try_sandbox(around).await;
    // Not in the data directory, in which nothing is changed.
    let notes = Utf8PathBuf::from_path_buf(std::env::temp_dir()).unwrap_or_else(|_| "/tmp".into());
    (finding, Runtime::new(isolation, notes))
}

async fn try_sandbox(around: &Surroundings) -> (Finding, Isolation) {
    const CHECK: &str = "sandbox";
    if around.unsandboxed {
        let finding = Finding::warning(
            CHECK,
            "it is switched off: agents can read everything that this user can, the master key included",
            "unset DOCE_UNSANDBOXED",
        );
        return (finding, Isolation::Unsandboxed);
    }
    match tokio::time::timeout(SANDBOX_BOUND, Sandbox::probe(None)).await {
        Ok(Ok(sandbox)) => (Finding::ok(CHECK, format!("{} holds", sandbox.program())), Isolation::Sandboxed(sandbox)),
        Ok(Err(error)) => {
            let (reason, repair) = (chain(&error), error.hint());
            let text = format!("doce could not {reason}, so no project starts");
            (Finding::problem(CHECK, text, repair), Isolation::Missing)
        }
        Err(_) => {
            let text = "its try did not end, so no project starts";
            (Finding::problem(CHECK, text, "bwrap --ro-bind / / true"), Isolation::Missing)
        }
    }
}

/// Asks a program for its version. `None` where nothing can be run.
async fn version_of(door: &Runtime, name: &str, tool: Tool) -> Option<String> {
    let owner = format!("doce-doctor-{}", std::process::id());
    print_version(door, &owner, name, tool, Vec::new(), VERSION_BOUND)
        .await
        .ok()
        .filter(|printed| !printed.trim().is_empty())
}

/// Looks for `OpenCode`, or whether it can be installed.
pub(super) async fn opencode(around: &Surroundings, is_reachable: bool, door: &Runtime) -> Finding {
    const CHECK: &str = "opencode";
    if let Some(path) = &around.opencode {
        if !is_executable(path) {
            let text = format!("there is no program at {path}, where DOCE_OPENCODE points");
            return Finding::problem(CHECK, text, format!("unset DOCE_OPENCODE, or chmod +x {path}"));
        }
        // A path through links would not be there inside the sandbox.
        let real = path.canonicalize_utf8().unwrap_or_else(|_| path.clone());
        let said = version_of(door, "opencode", opencode_at(door, &real)).await;
        let wrong = said.and_then(|said| install::check_version(&said).err());
        return match wrong {
            Some(wrong) => {
                let text = format!("{path} is version {}, and doce needs {}", wrong.found, install::VERSION);
                Finding::problem(CHECK, text, "unset DOCE_OPENCODE, and doce installs the right one")
            }
            None => Finding::ok(CHECK, format!("{path} is used, by DOCE_OPENCODE")),
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
            "export DOCE_NPM_REGISTRY=https://ONE-THAT-CAN, or DOCE_OPENCODE=A-BINARY-OF-THAT-VERSION",
        ),
    }
}

fn is_executable(path: &Utf8Path) -> bool {
    path.is_file() && rustix::fs::access(path.as_std_path(), rustix::fs::Access::EXEC_OK).is_ok()
}

/// Looks for the programs that projects need.
pub(super) async fn tools(around: &Surroundings, door: &Runtime) -> Vec<Finding> {
    let look = |name| find_tool(name, &around.outside.search_path);
    let git = match look("git") {
        Some(tool) => Finding::ok("git", format!("{} is there", tool.program)),
        None => Finding::problem("git", "it is not installed, so no project can be made", "sudo apt-get install git"),
    };
    let (major, minor) = NODE_LEAST;
    let npm = match (look("node"), look("npm")) {
        (Some(node), Some(npm)) => match version_of(door, "node", node.clone()).await.filter(|said| is_old(said)) {
            Some(said) => Finding::warning(
                "npm",
                format!(
                    "{} is Node.js {}: agents work, and previews need {major}.{minor} or newer",
                    node.program,
                    said.trim()
                ),
                "install a newer one: https://nodejs.org/en/download",
            ),
            None => Finding::ok("npm", format!("{} is there", npm.program)),
        },
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

/// Tells whether a Node.js of this version is older than previews need.
fn is_old(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map_while(|number| number.parse::<u64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) < NODE_LEAST,
        (_, None) | (None, _) => false,
    }
}

/// Looks whether the kernel lets doce set a ceiling on what an agent takes. What holds for a server that runs, only that
/// can tell.
pub(super) fn ceilings(around: &Surroundings, door: &Runtime) -> Option<Finding> {
    const CHECK: &str = "agent limits";
    if around.running.is_some() {
        return None;
    }
    let enforced = door.enforceable();
    let missing = match (enforced.memory, enforced.processes) {
        (true, true) => return Some(Finding::ok(CHECK, "the memory and the processes of an agent have a ceiling")),
        (false, true) => "memory",
        (true, false) => "processes",
        (false, false) => "memory and processes",
    };
    Some(Finding::warning(
        CHECK,
        format!("started from here, doce can't set a ceiling on an agent's {missing}: one may take all there is"),
        "sudo systemctl edit doce, and below [Service] Delegate=memory pids and DelegateSubgroup=main",
    ))
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
