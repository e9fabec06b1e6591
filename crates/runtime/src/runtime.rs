//! The door: a way to run, sandboxed or not, and where it keeps its own small notes.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Instant,
};

use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::Semaphore;

use crate::{
    Bind, Enforced, Log, Running, Sandbox, Spec, StartError,
    cgroup::{self, Cgroup},
    kill::{self, Family, Handle, KILL_BOUND},
    launch::{self, Streams},
    proc::{self, Process},
    running::Tree,
};

/// What a file that takes a sandbox's exit code ends in.
const STATUS_SUFFIX: &str = ".status";

/// Whether programs run in a sandbox.
#[derive(Clone, Debug)]
pub enum Isolation {
    /// In this one, which was tried.
    Sandboxed(Sandbox),
    /// With everything its user may do: only for who trusts every prompt.
    Unsandboxed,
    /// A sandbox is wanted and there is none, so nothing is started.
    Missing,
}

impl Isolation {
    /// The path by which a program will know what `bind` shows: for its variables and arguments.
    pub fn path_of<'a>(&self, bind: &'a Bind) -> &'a Utf8Path {
        match self {
            Self::Sandboxed(_) | Self::Missing => &bind.inside,
            Self::Unsandboxed => &bind.host,
        }
    }
}

/// Names one process, across our own restarts and never beyond the machine's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The process whose end is the end of everything it started: in a sandbox, its init.
    pub pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub start_time: u64,
    /// Which run of the machine that was.
    pub boot_id: String,
}

impl Identity {
    pub(crate) fn of(process: &Process) -> Self {
        Self { pid: process.pid, start_time: process.start_time, boot_id: proc::boot_id() }
    }

    /// Holds the process this names, if it is still alive.
    pub(crate) fn hold(&self) -> Option<Handle> {
        let held = Handle::open(self.pid)?;
        (held.process.start_time == self.start_time && !held.process.zombie && proc::boot_id() == self.boot_id)
            .then_some(held)
    }
}

/// A process that carried our marker without being wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Its pid.
    pub pid: u32,
    /// What it was, as its [`Spec::marker`] and a number of ours.
    pub marker: String,
}

/// What [`Runtime::sweep`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// What was found and is gone.
    pub killed: Vec<Stray>,
    /// What was found, killed, and is there all the same.
    pub survived: Vec<Stray>,
}

/// Starts, adopts and stops processes in one way. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    isolation: RwLock<Isolation>,
    state_directory: Utf8PathBuf,
    /// The markers of what was started or adopted here and hasn't ended: a sweep leaves these alone.
    live: Mutex<HashSet<String>>,
    /// A place for each start that may be under way.
    pub(crate) starts: Semaphore,
}

/// How many programs are brought up at once. The kernel builds a sandbox without letting anybody else have the core
/// (Linux 6.18 without preemption in the kernel, observed), so one is left to them.
fn starts_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

impl Shared {
    pub(crate) fn isolation(&self) -> Isolation {
        self.isolation.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, HashSet<String>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file that takes the exit code of a sandbox.
    pub(crate) fn status_path(&self, marker: &str) -> Utf8PathBuf {
        self.state_directory.join(format!("{marker}{STATUS_SUFFIX}"))
    }
}

impl Runtime {
    /// A way to run that keeps its notes in `state_directory`, which is made when it is needed.
    pub fn new(isolation: Isolation, state_directory: impl Into<Utf8PathBuf>) -> Self {
        let shared = Shared {
            isolation: RwLock::new(isolation),
            state_directory: state_directory.into(),
            live: Mutex::default(),
            starts: Semaphore::new(starts_at_once()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether programs run in a sandbox here.
    pub fn isolation(&self) -> Isolation {
        self.shared.isolation()
    }

    /// Takes a sandbox that was missing: from here on programs start, in it.
    pub fn found(&self, sandbox: Sandbox) {
        *self.shared.isolation.write().unwrap_or_else(PoisonError::into_inner) = Isolation::Sandboxed(sandbox);
    }

    /// Which limits the kernel takes from us here, found by trying.
    pub fn enforceable(&self) -> Enforced {
        Cgroup::enforceable(&format!("doce-try-{}", std::process::id()))
    }

    /// Starts a program that goes on: it survives us, and what it prints goes to the file `log`.
    ///
    /// It returns when the program itself runs, not merely what builds its sandbox.
    /// Dropped before that, it leaves nothing running.
    pub async fn start(&self, spec: &Spec, log: impl Into<Utf8PathBuf>) -> Result<Running, StartError> {
        let log = Log::new(log);
        let launched = launch::launch(&self.shared, spec, &Streams::Log(log.clone())).await?;
        launched.leash.release();
        tracing::info!(name = spec.name, pid = launched.tree.identity.pid, "started");
        Ok(Running::new(launched.tree, Some(launched.child), log))
    }

    /// Finds again what an earlier process of ours started; `None` if it has ended or is anything else.
    ///
    /// With a sandbox, only what runs in one is adopted: an override that was taken back leaves no survivors.
    pub fn adopt(&self, identity: &Identity, log: impl Into<Utf8PathBuf>) -> Option<Running> {
        let held = identity.hold()?;
        let marker = proc::marker(identity.pid)?;
        let cgroup = Cgroup::of(identity.pid, &marker);
        let leader = Some(held.process);
        let (outer, init) = if proc::is_namespace_init(identity.pid) {
            // Its parent waits for the program itself and ends with it. If that is gone, so is the program.
            let outer = Handle::open(held.process.parent)?;
            if proc::marker(outer.pid()).as_ref() != Some(&marker) || held.ended() {
                return None;
            }
            (outer, Some(held))
        } else if matches!(self.shared.isolation(), Isolation::Unsandboxed) {
            (held, None)
        } else {
            return None;
        };
        self.shared.live().insert(marker.clone());
        let family = Family { marker, leader, cgroup };
        let tree = Tree { identity: identity.clone(), outer, init, family, shared: Arc::clone(&self.shared) };
        Some(Running::new(tree, None, Log::new(log)))
    }

    /// Tells the memory, in bytes, that is used by what carries a marker beginning with each of these prefixes, and by all
    /// that it started. A prefix by which nothing runs is left out. What is shared among processes counts once.
    pub async fn memory_bytes(&self, marker_prefixes: BTreeSet<String>) -> HashMap<String, u64> {
        let summing = tokio::task::spawn_blocking(move || {
            let table = proc::all();
            let parents: HashMap<u32, u32> = table.iter().map(|process| (process.pid, process.parent)).collect();
            let marked: HashMap<u32, &String> = table
                .iter()
                .filter_map(|process| {
                    let marker = proc::marker(process.pid)?;
                    Some((process.pid, marker_prefixes.iter().find(|prefix| begins_with_word(&marker, prefix))?))
                })
                .collect();
            let mut used: HashMap<String, u64> = HashMap::new();
            for process in &table {
                // What a process says of itself counts less than who started it: the farthest ancestor decides.
                let lineage = std::iter::successors(Some(process.pid), |pid| parents.get(pid).copied());
                let whose = lineage.take(table.len()).filter_map(|pid| marked.get(&pid)).last();
                if let Some(prefix) = whose {
                    *used.entry((*prefix).clone()).or_default() += proc::memory_bytes(process.pid);
                }
            }
            used
        });
        summing.await.unwrap_or_default()
    }

    /// Kills everything that carries a marker beginning with `marker_prefix`, except what is in `keep`, what that
    /// started, and what was started or adopted here.
    ///
    /// The prefix ends where a word does: `a-1` means `a-1` and `a-1-x`, not `a-10`.
    pub async fn sweep(&self, marker_prefix: &str, keep: &[Identity]) -> Sweep {
        let shared = Arc::clone(&self.shared);
        let prefix = marker_prefix.to_owned();
        let keep = keep.to_vec();
        let swept = tokio::task::spawn_blocking(move || shared.sweep(&prefix, &keep)).await;
        swept.unwrap_or_default()
    }
}

impl Shared {
    fn sweep(&self, prefix: &str, keep: &[Identity]) -> Sweep {
        let roots: Vec<u32> = keep.iter().filter_map(|identity| identity.hold().map(|held| held.pid())).collect();
        let kept: HashSet<String> = roots.iter().filter_map(|pid| proc::marker(*pid)).collect();
        let is_stray =
            |marker: &str| begins_with_word(marker, prefix) && !kept.contains(marker) && !self.live().contains(marker);
        let find = || {
            let table = proc::all();
            let mut spared: HashSet<u32> =
                proc::descendants(&table, &roots).iter().map(|process| process.pid).collect();
            spared.extend(&roots);
            spared.insert(std::process::id());
            let unwanted = |process: Process| {
                let marker = proc::marker(process.pid).filter(|marker| is_stray(marker))?;
                Some((process, marker))
            };
            let candidates = table.into_iter().filter(|found| !found.zombie && !spared.contains(&found.pid));
            candidates.filter_map(unwanted).collect::<Vec<_>>()
        };

        let deadline = Instant::now() + KILL_BOUND;
        let mut killed: Vec<Stray> = Vec::new();
        let mut left = find();
        while !left.is_empty() && Instant::now() < deadline {
            let processes: Vec<Process> = left.iter().map(|(process, _)| *process).collect();
            for handle in kill::kill_all(&processes) {
                handle.settle();
            }
            killed.extend(left.into_iter().map(|(process, marker)| Stray { pid: process.pid, marker }));
            left = find();
        }
        let survived: Vec<Stray> =
            left.into_iter().map(|(process, marker)| Stray { pid: process.pid, marker }).collect();
        killed.sort_by_key(|stray| stray.pid);
        killed.dedup();
        killed.retain(|stray| !survived.contains(stray));

        cgroup::remove_empty(is_stray);
        self.forget_notes(is_stray);
        Sweep { killed, survived }
    }

    /// Removes what was noted about processes that are gone.
    fn forget_notes(&self, is_stray: impl Fn(&str) -> bool) {
        let Ok(entries) = self.state_directory.read_dir_utf8() else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().strip_suffix(STATUS_SUFFIX).is_some_and(&is_stray) {
                let _gone_already = fs::remove_file(entry.path());
            }
        }
    }
}

fn begins_with_word(marker: &str, prefix: &str) -> bool {
    let Some(rest) = marker.strip_prefix(prefix) else {
        return false;
    };
    let inside_a_word = |text: Option<char>| text.is_some_and(|c| c.is_ascii_alphanumeric());
    let splits_a_word = inside_a_word(prefix.chars().next_back()) && inside_a_word(rest.chars().next());
    !prefix.is_empty() && !splits_a_word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_a_word_does() {
        assert!(begins_with_word("a-1", "a-1"));
        assert!(begins_with_word("a-1.agent", "a-1"));
        assert!(begins_with_word("a-10", "a-"));
        assert!(!begins_with_word("a-10", "a-1"));
        assert!(!begins_with_word("b-1", "a-1"));
        assert!(!begins_with_word("anything", ""));
    }
}
