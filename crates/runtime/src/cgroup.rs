//! Ceilings for memory and for the number of processes, by control groups of either version, where they can be written.
//!
//! Best effort: [`Enforced`] says what came of it. There is no other way that works: a limit on address space
//! (`RLIMIT_AS`) kills runtimes that merely reserve it, as Bun does with some 74 GB (OpenCode 1.18.33, observed).
//!
//! Version 1 gives each controller a tree of its own. In version 2 a group that has processes can't hand controllers to
//! its children, so a group is made beside ours if it can't be made below: under systemd that takes
//! `Delegate=memory pids` and `DelegateSubgroup=`. We never move ourselves.

use std::{fs, io, path::Path, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

/// How often, and how far apart, removing a group is tried while its last members vanish.
const REMOVE_TRIES: u32 = 20;
const REMOVE_PAUSE: Duration = Duration::from_millis(5);

/// Ceilings for a program and everything it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, files in `/tmp` included; beyond it the kernel kills.
    pub memory: Option<u64>,
    /// Processes and threads; beyond it none can be started.
    pub processes: Option<u32>,
}

/// Which of the [`Limits`] the kernel was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enforced {
    /// Whether the ceiling on memory holds.
    pub memory: bool,
    /// Whether the ceiling on processes holds.
    pub processes: bool,
}

/// One of the two controllers that are used.
#[derive(Clone, Copy)]
enum Controller {
    Memory,
    Pids,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
        }
    }
}

/// Where groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parent {
    directory: Utf8PathBuf,
    /// Version 2, where one group has every controller.
    unified: bool,
}

/// The control groups that hold one program.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    directories: Vec<Utf8PathBuf>,
    pub(crate) enforced: Enforced,
}

impl Cgroup {
    /// Makes groups with these limits; `None` if no limit was asked for, or none can be enforced.
    pub(crate) fn create(name: &str, limits: Limits) -> Option<Self> {
        let mut group = Self { directories: Vec::new(), enforced: Enforced::default() };
        if let Some(bytes) = limits.memory {
            group.enforced.memory = group.limit(name, Controller::Memory, u64::max(bytes, 1));
        }
        if let Some(count) = limits.processes {
            group.enforced.processes = group.limit(name, Controller::Pids, u64::from(count));
        }
        if group.enforced == Enforced::default() {
            group.remove();
            return None;
        }
        Some(group)
    }

    /// What could be enforced here, found by trying.
    pub(crate) fn enforceable(name: &str) -> Enforced {
        let limits = Limits { memory: Some(1 << 30), processes: Some(1 << 10) };
        Self::create(name, limits).map_or_else(Enforced::default, |group| {
            group.remove();
            group.enforced
        })
    }

    /// The groups by this name that hold a process already.
    pub(crate) fn of(pid: u32, name: &str) -> Option<Self> {
        let memberships = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let named = |line: &str| line.rsplit(['/', ':']).next() == Some(name);
        let lines: Vec<&str> = memberships.lines().filter(|line| named(line)).collect();
        let holds = |controller: Controller| {
            lines.iter().any(|line| controllers_of(line).any(|held| held.is_empty() || held == controller.name()))
        };
        let enforced = Enforced { memory: holds(Controller::Memory), processes: holds(Controller::Pids) };
        let mut directories: Vec<Utf8PathBuf> = [Controller::Memory, Controller::Pids]
            .into_iter()
            .flat_map(parents)
            .map(|parent| parent.directory.join(name))
            .filter(|directory| directory.is_dir())
            .collect();
        directories.sort();
        directories.dedup();
        (!directories.is_empty()).then_some(Self { directories, enforced })
    }

    /// Puts a process into the groups; what it starts from then on is in them too.
    pub(crate) fn add(&mut self, pid: u32) {
        for directory in &self.directories {
            if let Err(error) = write(&directory.join("cgroup.procs"), &pid.to_string()) {
                tracing::warn!(%directory, %error, "a process can't be put into its control group");
                self.enforced = Enforced::default();
            }
        }
    }

    /// Everything in the groups.
    pub(crate) fn members(&self) -> Vec<u32> {
        self.directories
            .iter()
            .filter_map(|directory| fs::read_to_string(directory.join("cgroup.procs")).ok())
            .flat_map(|pids| pids.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
            .collect()
    }

    /// Whether the kernel killed something in them for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        self.directories.iter().any(|directory| {
            ["memory.events", "memory.oom_control"]
                .iter()
                .any(|file| fs::read_to_string(directory.join(file)).is_ok_and(|text| oom_kills(&text) > 0))
        })
    }

    /// Removes the groups. One that still has members stays, for a later [`remove_empty`].
    pub(crate) fn remove(&self) {
        for directory in &self.directories {
            for _ in 0..REMOVE_TRIES {
                match fs::remove_dir(directory) {
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(REMOVE_PAUSE);
                    }
                    _ => break,
                }
            }
        }
    }

    /// Makes the group for one controller in the first place that takes it.
    fn limit(&mut self, name: &str, controller: Controller, value: u64) -> bool {
        parents(controller).into_iter().any(|parent| {
            let directory = parent.directory.join(name);
            if parent.unified {
                // Fails where it is on already, or where it can't be switched on; writing the limit tells.
                let enable = format!("+{}", controller.name());
                let _already_on_or_refused = write(&parent.directory.join("cgroup.subtree_control"), &enable);
            }
            let is_there = self.directories.contains(&directory);
            if !is_there && fs::create_dir(&directory).is_err() {
                return false;
            }
            let file = match (controller, parent.unified) {
                (Controller::Memory, true) => "memory.max",
                (Controller::Memory, false) => "memory.limit_in_bytes",
                (Controller::Pids, _) => "pids.max",
            };
            if write(&directory.join(file), &value.to_string()).is_err() {
                if !is_there {
                    let _nothing_in_it = fs::remove_dir(&directory);
                }
                return false;
            }
            if let Controller::Memory = controller {
                // Without these a program swaps instead of ending; a kernel without swap accounting lacks them.
                let (file, value) =
                    if parent.unified { ("memory.swap.max", 0) } else { ("memory.memsw.limit_in_bytes", value) };
                let _not_accounted = write(&directory.join(file), &value.to_string());
            }
            if !is_there {
                self.directories.push(directory);
            }
            true
        })
    }
}

/// Removes every group without members whose name `is_ours`.
pub(crate) fn remove_empty(is_ours: impl Fn(&str) -> bool) {
    for parent in [Controller::Memory, Controller::Pids].into_iter().flat_map(parents) {
        let Ok(entries) = parent.directory.read_dir_utf8() else {
            continue;
        };
        for entry in entries.flatten() {
            if is_ours(entry.file_name()) {
                // A group with members refuses.
                let _has_members = fs::remove_dir(entry.path());
            }
        }
    }
}

fn parents(controller: Controller) -> Vec<Parent> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut parents = parents_in(&mounts, &memberships, controller, &|path| path.is_dir());
    parents.retain(|parent| {
        !parent.unified
            || fs::read_to_string(parent.directory.join("cgroup.controllers"))
                .is_ok_and(|have| have.split_ascii_whitespace().any(|name| name == controller.name()))
    });
    parents
}

/// The directories in which groups of a controller may be made, best first.
fn parents_in(mounts: &str, memberships: &str, controller: Controller, exists: &dyn Fn(&Path) -> bool) -> Vec<Parent> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let Some(mount) = left.split(' ').nth(4).map(Utf8Path::new) else {
            continue;
        };
        let mut right = right.split(' ');
        let kind = right.next().unwrap_or_default();
        let options = right.nth(1).unwrap_or_default();
        let unified = kind == "cgroup2";
        let has_it = kind == "cgroup" && options.split(',').any(|option| option == controller.name());
        if !unified && !has_it {
            continue;
        }
        let own = memberships.lines().find_map(|membership| {
            let named = controllers_of(membership)
                .any(|held| if unified { held.is_empty() } else { held == controller.name() });
            named.then(|| membership.splitn(3, ':').nth(2).unwrap_or("/").trim_start_matches('/'))
        });
        let Some(own) = own else { continue };
        // In a container the membership may name a path of the host that isn't mounted: then we are at the root.
        let own = if own.is_empty() { mount.to_owned() } else { mount.join(own) };
        let own = if exists(own.as_std_path()) { own } else { mount.to_owned() };
        let beside = own.parent().filter(|parent| unified && parent.starts_with(mount)).map(Utf8Path::to_owned);
        found.push(Parent { directory: own, unified });
        found.extend(beside.map(|directory| Parent { directory, unified }));
    }
    found
}

/// The controllers of a line of `/proc/PID/cgroup`; one empty name stands for version 2.
fn controllers_of(membership: &str) -> impl Iterator<Item = &str> {
    membership.split(':').nth(1).unwrap_or("-").split(',')
}

/// Reads the count of kills that both versions write as `oom_kill N`.
fn oom_kills(text: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// Writes a control file, which must exist: creating one would only hide that it is missing.
fn write(path: &Utf8Path, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(path)?, value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 23 0:28 / /sys/fs/cgroup/cpu,pids rw - cgroup cgroup rw,cpu,pids
33 23 0:29 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd";
    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";

    fn directories(mounts: &str, memberships: &str, controller: Controller, exists: bool) -> Vec<String> {
        parents_in(mounts, memberships, controller, &|_| exists)
            .into_iter()
            .map(|parent| parent.directory.into_string())
            .collect()
    }

    #[test]
    fn version_1_has_one_parent_for_each_controller() {
        let own = "4:memory:/a/b\n3:cpu,pids:/c\n1:name=systemd:/";
        assert_eq!(directories(V1, own, Controller::Memory, true), ["/sys/fs/cgroup/memory/a/b"]);
        assert_eq!(directories(V1, own, Controller::Pids, true), ["/sys/fs/cgroup/cpu,pids/c"]);
    }

    #[test]
    fn version_2_offers_the_own_group_and_the_one_above() {
        let own = "0::/system.slice/doce.service/main";
        let expected = ["/sys/fs/cgroup/system.slice/doce.service/main", "/sys/fs/cgroup/system.slice/doce.service"];
        assert_eq!(directories(V2, own, Controller::Memory, true), expected);
    }

    #[test]
    fn nothing_above_the_mount_is_offered() {
        assert_eq!(directories(V2, "0::/", Controller::Pids, true), ["/sys/fs/cgroup"]);
    }

    #[test]
    fn a_membership_that_is_not_mounted_means_the_root_of_the_mount() {
        assert_eq!(directories(V1, "4:memory:/docker/abc", Controller::Memory, false), ["/sys/fs/cgroup/memory"]);
    }

    #[test]
    fn both_versions_tell_kills_alike() {
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0"), 2);
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1"), 1);
        assert_eq!(oom_kills("oom_kill_disable 1\nunder_oom 0"), 0);
    }
}
