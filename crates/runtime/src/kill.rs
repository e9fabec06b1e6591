//! Ends processes, and never the wrong one: each is held by a pidfd before its identity is checked.

use std::{
    collections::HashSet,
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    cgroup::Cgroup,
    proc::{self, Process},
};

/// How long a killed process may take to be gone before it counts as a survivor.
pub(crate) const KILL_BOUND: Duration = Duration::from_secs(10);

/// How many times in a row the process table is read for what a dying tree starts meanwhile.
const PASSES_MAX: usize = 64;

/// How long a pass waits for one killed process before it looks at the table again.
const PASS_WAIT: Duration = Duration::from_millis(200);

/// How long a pass waits if nothing that was killed has died yet.
const PASS_PAUSE: Duration = Duration::from_millis(10);

/// How long the execution of a program may hide its marker.
const EXECUTION_PAUSE: Duration = Duration::from_millis(2);

/// One process, held so that its pid can't come to mean another.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) process: Process,
    pidfd: OwnedFd,
}

impl Handle {
    /// Holds a process that is alive.
    pub(crate) fn open(pid: u32) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).ok()?;
        let process = proc::stat(pid)?;
        let handle = Self { process, pidfd };
        // What was read belongs to what is held only if that one is still alive after the reading.
        (!handle.ended()).then_some(handle)
    }

    /// Holds a child of ours that nobody has reaped, dead or alive: its pid can't have come to mean another.
    pub(crate) fn of_child(pid: u32) -> Option<Self> {
        let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
        let pidfd = pidfd_open(raw, PidfdFlags::empty()).ok()?;
        Some(Self { process: proc::stat(pid)?, pidfd })
    }

    /// Holds exactly the process that was seen.
    fn open_same(seen: &Process) -> Option<Self> {
        Self::open(seen.pid).filter(|handle| handle.process.start_time == seen.start_time)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }

    /// Sends a signal; a process that has ended is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended_within(Duration::ZERO)
    }

    /// Waits on this thread.
    fn ended_within(&self, bound: Duration) -> bool {
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let timeout = Timespec::try_from(bound).ok();
        matches!(poll(&mut polled, timeout.as_ref()), Ok(ready) if ready > 0)
    }

    /// Waits a moment, on this thread, for a process that was killed.
    pub(crate) fn settle(&self) {
        self.ended_within(PASS_WAIT);
    }

    /// Waits until it has ended. Several may wait at once.
    pub(crate) async fn wait(&self) -> io::Result<()> {
        // A descriptor of its own: one can't be registered twice.
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe, for types that could swap their descriptor: not this one"
        )]
        let pidfd = AsyncFd::with_interest(self.pidfd.try_clone()?, Interest::READABLE)?;
        pidfd.readable().await.map(|_| ())
    }

    /// Waits until it has ended, at most for `bound`, and says whether it has.
    pub(crate) async fn wait_within(&self, bound: Duration) -> bool {
        matches!(tokio::time::timeout(bound, self.wait()).await, Ok(Ok(()))) || self.ended()
    }
}

/// Who belongs together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    /// The whole marker, in the environment of each member that kept it.
    pub(crate) marker: String,
    /// The first process, while it is certain that its pid is still its own.
    pub(crate) leader: Option<Process>,
    /// The control group that holds them, if there is one.
    pub(crate) cgroup: Option<Cgroup>,
}

impl Family {
    /// Every living member: by marker, by descent, by session and by control group.
    ///
    /// A process can leave its session, its parent and its environment behind, though hardly all at once.
    /// Only a sandbox makes certain.
    pub(crate) fn members(&self) -> Vec<Process> {
        let table = proc::all();
        let leader = self
            .leader
            .filter(|leader| proc::stat(leader.pid).is_some_and(|found| found.start_time == leader.start_time));
        let mut pids: HashSet<u32> = self.cgroup.iter().flat_map(Cgroup::members).collect();
        // Nobody is older than the first: reading an environment is what costs most here.
        let since = self.leader.map_or(0, |leader| leader.start_time);
        for process in table.iter().filter(|process| process.start_time >= since) {
            let in_session = leader.is_some_and(|leader| process.session == leader.pid);
            if in_session || proc::marker(process.pid).as_deref() == Some(&*self.marker) {
                pids.insert(process.pid);
            }
        }
        pids.extend(leader.map(|leader| leader.pid));
        let roots: Vec<u32> = pids.iter().copied().collect();
        pids.extend(proc::descendants(&table, &roots).iter().map(|process| process.pid));
        pids.remove(&std::process::id());
        table.into_iter().filter(|process| !process.zombie && pids.contains(&process.pid)).collect()
    }

    /// Kills every member and waits, on this thread, until none is left; names those that remain at the bound.
    pub(crate) fn kill(&self, bound: Duration) -> Result<(), Vec<u32>> {
        let deadline = Instant::now() + bound;
        let mut was_empty = false;
        loop {
            let members = self.members();
            if members.is_empty() {
                // A process shows no environment while it is being executed: one look may miss it.
                if was_empty {
                    return Ok(());
                }
                was_empty = true;
                std::thread::sleep(EXECUTION_PAUSE);
                continue;
            }
            was_empty = false;
            let held = kill_all(&members);
            for handle in &held {
                handle.ended_within(PASS_WAIT.min(deadline.saturating_duration_since(Instant::now())));
            }
            if Instant::now() >= deadline {
                let left: Vec<u32> = self.members().iter().map(|process| process.pid).collect();
                return if left.is_empty() { Ok(()) } else { Err(left) };
            }
            if held.iter().all(|handle| !handle.ended()) {
                // Nobody has died of it: give them time instead of reading the table in circles.
                std::thread::sleep(PASS_PAUSE);
            }
        }
    }

    /// Kills every member and gives each a moment to be gone: for destructors, which can't wait for long.
    pub(crate) fn kill_now(&self) {
        let mut killed: HashSet<u32> = HashSet::new();
        let mut was_empty = false;
        for _ in 0..PASSES_MAX {
            let fresh: Vec<Process> = self.members().into_iter().filter(|process| killed.insert(process.pid)).collect();
            if fresh.is_empty() {
                if was_empty {
                    return;
                }
                std::thread::sleep(EXECUTION_PAUSE);
            }
            was_empty = fresh.is_empty();
            for handle in kill_all(&fresh) {
                handle.settle();
            }
        }
    }
}

/// Kills each of them, if it is still the process that was seen.
pub(crate) fn kill_all(processes: &[Process]) -> Vec<Handle> {
    signal_all(processes, Signal::KILL)
}

/// Signals each of them, if it is still the process that was seen.
pub(crate) fn signal_all(processes: &[Process], signal: Signal) -> Vec<Handle> {
    processes
        .iter()
        .filter_map(Handle::open_same)
        .inspect(|handle| {
            if let Err(error) = handle.signal(signal) {
                tracing::warn!(pid = handle.pid(), ?signal, %error, "a process can't be signalled");
            }
        })
        .collect()
}
