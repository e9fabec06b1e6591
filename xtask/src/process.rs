//! Starts other programs, waits for them within a bound, and ends what they leave behind.
//!
//! Every program runs under a deadline. What is over it is ended whole: all its descendants, by
//! their pids, found through `/proc`. xtask adopts orphans (it is a "subreaper"), so a program
//! that detached itself is still a descendant.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How often dead orphans are cleared away meanwhile.
const CLEARING: Duration = Duration::from_secs(1);
/// How long a program's own children may take to end after it.
const LEFTOVER_GRACE: Duration = Duration::from_secs(5);

/// The instant after which nothing of a suite may run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    fn passed(self) -> bool {
        Instant::now() >= self.0
    }
}

/// A command in a folder, with no input.
pub(crate) fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// Makes orphans of the programs we start our own children.
pub(crate) fn adopt_orphans() -> Result<()> {
    set_child_subreaper(Some(rustix::process::getpid())).context("become the parent of orphans")
}

/// Runs a command with its output on the terminal; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command, deadline: Deadline) -> Result<()> {
    let status = status(command, deadline)?;
    if status.success() { Ok(()) } else { bail!("`{}` ended with {status}", shown(command)) }
}

/// Runs a command with its output on the terminal.
pub(crate) fn status(command: &mut Command, deadline: Deadline) -> Result<ExitStatus> {
    announce(command);
    let mut child = spawn(command)?;
    wait(&mut child, command, deadline)
}

/// Runs a command quietly and returns what it wrote to its standard output.
pub(crate) fn read(command: &mut Command, deadline: Deadline) -> Result<String> {
    let (status, output) = piped(command, deadline, Echo::Quiet)?;
    if status.success() { Ok(output) } else { bail!("`{}` ended with {status}", shown(command)) }
}

/// Runs a command, shows its standard output as it comes, and returns it too.
pub(crate) fn read_and_show(command: &mut Command, deadline: Deadline) -> Result<(ExitStatus, String)> {
    announce(command);
    piped(command, deadline, Echo::Terminal)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    Quiet,
    Terminal,
}

fn piped(command: &mut Command, deadline: Deadline, echo: Echo) -> Result<(ExitStatus, String)> {
    command.stdout(Stdio::piped());
    let mut child = spawn(command)?;
    let mut stdout = child.stdout.take().context("the standard output was asked for")?;
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        let mut piece = [0_u8; 8192];
        loop {
            match stdout.read(&mut piece) {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    let read = piece.get(..count).unwrap_or_default();
                    if echo == Echo::Terminal {
                        // A closed terminal doesn't stop the reading: the program would block.
                        drop(std::io::stdout().write_all(read));
                    }
                    all.extend_from_slice(read);
                }
            }
        }
        all
    });
    let status = wait(&mut child, command, deadline)?;
    // A descendant that outlived the program may hold the pipe open.
    if !reader.is_finished() {
        end_leftovers();
    }
    let output = reader.join().ok().context("the reader of a program's output panicked")?;
    Ok((status, String::from_utf8_lossy(&output).into_owned()))
}

fn announce(command: &Command) {
    println!("$ {}", shown(command));
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().with_context(|| format!("start `{}`", shown(command)))
}

fn wait(child: &mut Child, command: &Command, deadline: Deadline) -> Result<ExitStatus> {
    let pid = i32::try_from(child.id()).context("a pid is a small number")?;
    let mut cleared = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("wait for a program")? {
            return Ok(status);
        }
        // A suite leaves many dead orphans to us. Whatever looks through all processes, as doce does for those
        // that it started, would look at each of them, too.
        if cleared.elapsed() >= CLEARING {
            clear_orphans(pid);
            cleared = Instant::now();
        }
        if deadline.passed() {
            let mut doomed: Vec<i32> = descendants(pid).into_iter().map(|p| p.pid).collect();
            doomed.push(pid);
            kill(&doomed);
            child.wait().context("wait for an ended program")?;
            bail!("`{}` was over its time limit and was ended", shown(command));
        }
        thread::sleep(POLL);
    }
}

/// The command as somebody would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

/// A process found below another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) pid: i32,
    pub(crate) name: String,
    parent: i32,
    dead: bool,
    /// Its whole command line, where it was asked for.
    command: Option<String>,
    /// What doce started it as, if doce did and it was asked for: the installation, the noun, and what it is of that.
    marker: Option<String>,
}

/// Ends whatever still runs below us, and says what that was.
///
/// Waits a little first: a browser's or a shell's children end shortly after it.
pub(crate) fn end_leftovers() -> Vec<Found> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let until = Deadline::after(LEFTOVER_GRACE);
    loop {
        let (dead, alive): (Vec<Found>, Vec<Found>) = descendants(own).into_iter().partition(|found| found.dead);
        reap(&dead);
        if alive.is_empty() {
            return alive;
        }
        if until.passed() {
            let alive: Vec<Found> = alive.into_iter().map(Found::described).collect();
            kill(&alive.iter().map(|found| found.pid).collect::<Vec<_>>());
            return alive;
        }
        thread::sleep(POLL);
    }
}

impl Found {
    /// With what says whose it is, read while it still runs.
    fn described(self) -> Self {
        let words = |file: &str| -> Vec<String> {
            let text = fs::read(format!("/proc/{}/{file}", self.pid)).unwrap_or_default();
            let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            words.map(|word| String::from_utf8_lossy(word).into_owned()).collect()
        };
        let command = Some(words("cmdline").join(" ")).filter(|line| !line.is_empty());
        let environment = words("environ");
        let marker = environment.iter().find_map(|pair| pair.strip_prefix("DOCE_MARKER=")).map(str::to_owned);
        Self { command, marker, ..self }
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (pid {}", self.command.as_ref().unwrap_or(&self.name), self.pid)?;
        match &self.marker {
            Some(marker) => write!(f, ", started as {marker})"),
            None => write!(f, ")"),
        }
    }
}

/// Reaps what died below us and nobody waits for: all of our own but the program that runs.
fn clear_orphans(running: i32) {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let mut dead = descendants(own);
    dead.retain(|found| found.dead && found.parent == own && found.pid != running);
    reap(&dead);
}

fn reap(dead: &[Found]) {
    for pid in dead.iter().filter_map(|found| Pid::from_raw(found.pid)) {
        // Not every dead descendant is our own child: its parent reaps it then.
        let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

fn kill(pids: &[i32]) {
    for pid in pids.iter().copied().filter_map(Pid::from_raw) {
        // It may have ended by itself in the meantime.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn descendants(of: i32) -> Vec<Found> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let all: Vec<Found> = entries
        .filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        })
        .collect();
    below(of, &all)
}

/// Reads a line of `/proc/<pid>/stat`: `pid (name) state parent …`, where the name may hold anything.
fn stat(pid: i32, line: &str) -> Option<Found> {
    let (head, tail) = line.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Found { pid, name: name.to_owned(), parent, dead: state == "Z", command: None, marker: None })
}

fn below(of: i32, all: &[Found]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|candidate| candidate.parent == parent) {
            parents.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    #[test]
    fn a_failing_program_is_an_error_that_names_it() {
        let error = run(&mut command("false", Path::new("/")), quick()).unwrap_err();
        assert!(error.to_string().contains("`false` ended with exit status: 1"), "{error}");
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let error = run(&mut command("doce-no-such-program", Path::new("/")), quick()).unwrap_err();
        assert!(error.to_string().contains("doce-no-such-program"), "{error}");
    }

    #[test]
    fn the_output_of_a_program_is_returned() {
        let output = read(command("echo", Path::new("/")).arg("hello"), quick()).unwrap();
        assert_eq!(output, "hello\n");
    }

    #[test]
    fn a_program_over_its_limit_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("child");
        let script = format!("sleep 300 & echo $! > {}; wait", mark.display());
        let mut shell = command("sh", folder.path());
        let error = run(shell.args(["-c", &script]), Deadline::after(Duration::from_secs(2))).unwrap_err();
        assert!(error.to_string().contains("over its time limit"), "{error}");

        let child: i32 = fs::read_to_string(mark).unwrap().trim().parse().unwrap();
        let until = quick();
        let alive = || {
            fs::read_to_string(format!("/proc/{child}/stat"))
                .ok()
                .and_then(|line| stat(child, &line))
                .is_some_and(|found| !found.dead)
        };
        while alive() {
            assert!(!until.passed(), "the child {child} still runs");
            thread::yield_now();
        }
    }

    #[test]
    fn an_orphan_that_ended_is_cleared_away_while_the_program_runs() {
        adopt_orphans().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let script = "(sleep 0 & echo $! > orphan); while test -e /proc/$(cat orphan); do sleep 0.1; done";
        run(command("sh", folder.path()).args(["-c", script]), quick()).unwrap();
    }

    #[test]
    fn a_name_with_brackets_and_spaces_is_read() {
        let found = stat(7, "7 (a) b (c)) S 3 7 7 0").unwrap();
        assert_eq!(
            found,
            Found { pid: 7, name: "a) b (c)".to_owned(), parent: 3, dead: false, command: None, marker: None }
        );
    }

    #[test]
    fn who_is_left_is_told_by_the_whole_command_and_what_doce_called_it() {
        let mut sleeper = command("sleep", Path::new("/"));
        let mut sleeper = sleeper.arg("300").env("DOCE_MARKER", "a.project.b").spawn().unwrap();
        let pid = i32::try_from(sleeper.id()).unwrap();
        let found = Found { pid, name: "sleep".to_owned(), parent: 1, dead: false, command: None, marker: None };
        let until = quick();
        let mut told = found.clone().described().to_string();
        // A spawn returns in the middle of the execution, when there is no command line yet.
        while !told.contains("sleep 300") && !until.passed() {
            thread::yield_now();
            told = found.clone().described().to_string();
        }
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert_eq!(told, format!("`sleep 300` (pid {pid}, started as a.project.b)"));
    }

    #[test]
    fn descendants_are_found_at_every_depth_and_strangers_are_not() {
        let process =
            |pid, parent| Found { pid, name: String::new(), parent, dead: false, command: None, marker: None };
        let all = [process(2, 1), process(3, 2), process(4, 3), process(9, 8)];
        let mut pids: Vec<i32> = below(2, &all).into_iter().map(|found| found.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [3, 4]);
    }
}
