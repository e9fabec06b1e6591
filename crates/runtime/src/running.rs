//! A program that runs: waits for its end, stops it, tells what it uses.

use std::{
    fmt, fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{process::Child, time::MissedTickBehavior};

use crate::{
    Cause, Ending, Enforced, Identity, LOG_CHECK_EVERY, Log,
    kill::{Family, Handle, KILL_BOUND, signal_all},
    launch::recorded_exit_code,
    proc,
    runtime::Shared,
};

/// Killed processes were there all the same when the bound was over: the kernel itself is stuck with them.
#[derive(Debug, thiserror::Error)]
#[error("kill {pids:?} within {} seconds", KILL_BOUND.as_secs())]
pub struct StopError {
    /// Their pids.
    pub pids: Vec<u32>,
}

/// A program and everything it started.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) identity: Identity,
    /// Ends when the program does: the program itself, or what waits for it outside of its sandbox.
    pub(crate) outer: Handle,
    /// The sandbox's init: the kernel ends everything in the sandbox with it.
    pub(crate) init: Option<Handle>,
    pub(crate) family: Family,
    pub(crate) shared: Arc<Shared>,
}

impl Tree {
    /// Asks every process to end, but for those of the sandbox itself.
    pub(crate) async fn terminate(&self) {
        let init = self.init.as_ref().map(Handle::pid);
        let family = self.family.clone();
        let asking = tokio::task::spawn_blocking(move || {
            let members = match init {
                Some(init) => proc::descendants(&proc::all(), &[init]),
                None => family.members(),
            };
            signal_all(&members, Signal::TERM);
        });
        // A panic there leaves the asking undone; the killing that follows doesn't depend on it.
        let _asked = asking.await;
    }

    /// Kills every process and waits until all are gone.
    pub(crate) async fn kill(&self) -> Result<(), StopError> {
        let Some(init) = &self.init else {
            let family = self.family.clone();
            let killing = tokio::task::spawn_blocking(move || family.kill(KILL_BOUND));
            let left = killing.await.unwrap_or_else(|_| Err(vec![self.outer.pid()]));
            return left.map_err(|pids| StopError { pids });
        };
        let survivor = |handle: &Handle| Err(StopError { pids: vec![handle.pid()] });
        if init.signal(Signal::KILL).is_err() || !init.wait_within(KILL_BOUND).await {
            return survivor(init);
        }
        // It ends by itself now; a stopped one needs telling.
        if !self.outer.wait_within(KILL_BOUND / 2).await
            && (self.outer.signal(Signal::KILL).is_err() || !self.outer.wait_within(KILL_BOUND / 2).await)
        {
            return survivor(&self.outer);
        }
        Ok(())
    }

    /// What was noted about the end of a program that isn't our child.
    pub(crate) fn recorded_cause(&self) -> Cause {
        recorded_exit_code(&self.shared.status_path(&self.family.marker)).map_or(Cause::Unknown, Cause::from_shell_code)
    }

    /// Reads whether memory ran out, and removes what was kept for the program. It has ended.
    pub(crate) fn finish(&self) -> bool {
        let out_of_memory = self.family.cgroup.as_ref().is_some_and(|cgroup| {
            let out_of_memory = cgroup.out_of_memory();
            let cgroup = cgroup.clone();
            // It waits for whoever else changes groups. What is left behind is removed at the next start.
            tokio::task::spawn_blocking(move || cgroup.remove());
            out_of_memory
        });
        let _not_of_a_sandbox = fs::remove_file(self.shared.status_path(&self.family.marker));
        self.shared.live().remove(&self.family.marker);
        out_of_memory
    }

    /// How the program ended, after [`Tree::kill`].
    pub(crate) fn ending(&self, child: Option<&mut Child>) -> Ending {
        let cause = match child.map(Child::try_wait) {
            Some(Ok(Some(status))) => Cause::from_status(status, self.init.is_some()),
            Some(Ok(None) | Err(_)) | None => self.recorded_cause(),
        };
        Ending { cause, out_of_memory: self.finish() }
    }
}

/// A program that was started or adopted. Cheap to clone; dropping it ends nothing.
///
/// While somebody waits in [`Running::exited`], its log is kept from growing without end.
#[derive(Clone)]
pub struct Running {
    inner: Arc<Inner>,
}

struct Inner {
    tree: Tree,
    log: Log,
    /// One rotation at a time.
    rotating: Mutex<()>,
    state: Mutex<State>,
}

enum State {
    /// With the child, if it is ours.
    Running(Option<Child>),
    Ended(Ending),
}

impl Running {
    pub(crate) fn new(tree: Tree, child: Option<Child>, log: Log) -> Self {
        let state = Mutex::new(State::Running(child));
        Self { inner: Arc::new(Inner { tree, log, rotating: Mutex::new(()), state }) }
    }

    /// What it is adopted by.
    pub fn identity(&self) -> &Identity {
        &self.inner.tree.identity
    }

    /// Where its output goes.
    pub fn log(&self) -> &Log {
        &self.inner.log
    }

    /// Whether it is in a sandbox.
    pub fn is_sandboxed(&self) -> bool {
        self.inner.tree.init.is_some()
    }

    /// Which of its limits hold.
    pub fn enforced(&self) -> Enforced {
        self.inner.tree.family.cgroup.as_ref().map(|cgroup| cgroup.enforced).unwrap_or_default()
    }

    /// Waits until the program has ended; whatever it left behind is killed then.
    ///
    /// Any number may wait, at any time, and each is told. Dropping the wait changes nothing.
    pub async fn exited(&self) -> Ending {
        if let Some(ending) = self.ending_so_far() {
            return ending;
        }
        let tree = &self.inner.tree;
        let mut check = tokio::time::interval(LOG_CHECK_EVERY);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !tree.outer.ended() {
            tokio::select! {
                waited = tree.outer.wait() => if let Err(error) = waited {
                    // Out of descriptors, for one: look again instead of waiting.
                    tracing::warn!(pid = tree.outer.pid(), %error, "a process can't be waited for");
                    check.tick().await;
                },
                _ = check.tick() => self.rotate_log().await,
            }
        }
        if let Err(error) = tree.kill().await {
            tracing::error!(pids = ?error.pids, "processes outlive the program that started them");
        }
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ending = match &mut *state {
            State::Ended(ending) => *ending,
            State::Running(child) => tree.ending(child.as_mut()),
        };
        *state = State::Ended(ending);
        ending
    }

    /// Asks the program and all it started to end, and after `grace` kills what is left.
    pub async fn stop(&self, grace: Duration) -> Result<Ending, StopError> {
        if let Some(ending) = self.ending_so_far() {
            return Ok(ending);
        }
        self.inner.tree.terminate().await;
        if let Ok(ending) = tokio::time::timeout(grace, self.exited()).await {
            return Ok(ending);
        }
        self.inner.tree.kill().await?;
        Ok(self.exited().await)
    }

    fn ending_so_far(&self) -> Option<Ending> {
        match &*self.inner.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Ended(ending) => Some(*ending),
            State::Running(_) => None,
        }
    }

    async fn rotate_log(&self) {
        let inner = Arc::clone(&self.inner);
        let rotating = tokio::task::spawn_blocking(move || {
            let Ok(_alone) = inner.rotating.try_lock() else {
                return;
            };
            if let Err(error) = inner.log.rotate() {
                tracing::warn!(path = %inner.log.path(), %error, "a log can't be rotated");
            }
        });
        // A panic there is one rotation less.
        let _rotated = rotating.await;
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("identity", self.identity())
            .field("sandboxed", &self.is_sandboxed())
            .finish_non_exhaustive()
    }
}
