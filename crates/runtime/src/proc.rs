//! Reads `/proc`: which processes there are, who started them, and whose marker they carry.
//!
//! It only looks. Everything here may be out of date when it returns; `kill` makes sure before it acts.

use std::{collections::HashSet, fs, io::Read};

use crate::MARKER_VARIABLE;

/// How much of an environment is searched for the marker. A program can be given at most 2 MiB, arguments included.
const ENVIRONMENT_MAX_BYTES: u64 = 2 * 1024 * 1024;

/// One line of the process table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) session: u32,
    /// In clock ticks since the machine started: with the pid, it names one process and no later one.
    pub(crate) start_time: u64,
    pub(crate) zombie: bool,
}

/// Reads one process.
pub(crate) fn stat(pid: u32) -> Option<Process> {
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // The second field is the program's name in parentheses, and may hold anything, parentheses too.
    let mut fields = text[text.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let start_time = fields.nth(15)?.parse().ok()?;
    Some(Process { pid, parent, session, start_time, zombie: matches!(state, "Z" | "X") })
}

/// Reads the whole process table.
pub(crate) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter_map(stat).collect()
}

/// Everything below `roots` in `table`, without them.
pub(crate) fn descendants(table: &[Process], roots: &[u32]) -> Vec<Process> {
    let mut known: HashSet<u32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    loop {
        let before = found.len();
        for process in table {
            if known.contains(&process.parent) && known.insert(process.pid) {
                found.push(*process);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The marker a process was started with, if we may read it and there is one.
pub(crate) fn marker(pid: u32) -> Option<String> {
    let mut environment = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRONMENT_MAX_BYTES).read_to_end(&mut environment).ok()?;
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let value = variable.strip_prefix(MARKER_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(value.to_vec()).ok()
    })
}

/// The command line of a process, as the kernel has it; empty for a zombie.
pub(crate) fn command_line(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Whether a process is the init of a pid namespace below ours.
pub(crate) fn is_namespace_init(pid: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    status.lines().find_map(|line| line.strip_prefix("NSpid:")).is_some_and(|pids| {
        let mut pids = pids.split_ascii_whitespace();
        pids.next().is_some() && pids.next_back() == Some("1")
    })
}

/// The memory of one process in bytes: its share of what it maps, or all of it where that can't be read.
pub(crate) fn memory_bytes(pid: u32) -> u64 {
    let line = |file: &str, label: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(label))?;
        let kilobytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    };
    line("smaps_rollup", "Pss:").or_else(|| line("status", "VmRSS:")).unwrap_or(0)
}

/// Names this run of the machine: pids and start times mean nothing beyond it.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_is_in_the_table() {
        let own = stat(std::process::id()).expect("we are running");
        assert!(own.start_time > 0 && !own.zombie);
        assert!(all().iter().any(|process| process.pid == own.pid));
        assert!(memory_bytes(own.pid) > 100 * 1024);
        assert_eq!(boot_id().len(), 36);
    }

    #[test]
    fn descendants_reach_any_depth_and_leave_out_the_roots() {
        let process = |pid, parent| Process { pid, parent, session: 1, start_time: 1, zombie: false };
        // Children may have smaller pids than their parents, once pids have wrapped.
        let table = [process(5, 30), process(30, 20), process(20, 10), process(99, 1), process(10, 1)];
        let mut pids: Vec<u32> = descendants(&table, &[10]).iter().map(|p| p.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [5, 20, 30]);
    }
}
