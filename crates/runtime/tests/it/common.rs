//! A world for one test: a directory, a runtime, and processes that can be told from everybody else's.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_runtime::{Isolation, Output, Runtime, Sandbox, Spec};
use tempfile::TempDir;

/// No wait in a test is longer.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

static COUNTER: AtomicU32 = AtomicU32::new(0);

pub(crate) struct World {
    directory: TempDir,
    pub(crate) runtime: Runtime,
    /// An argument for `sleep` that nobody else uses: about an hour.
    pub(crate) nap: String,
    /// A marker that nobody else uses.
    pub(crate) marker: String,
}

impl World {
    pub(crate) async fn sandboxed() -> Self {
        let sandbox = Sandbox::probe(None).await.expect("this machine can sandbox; see the error's hint");
        Self::with(Isolation::Sandboxed(sandbox))
    }

    pub(crate) fn unsandboxed() -> Self {
        Self::with(Isolation::Unsandboxed)
    }

    /// One of each, for what holds in both.
    pub(crate) async fn both() -> [Self; 2] {
        [Self::sandboxed().await, Self::unsandboxed()]
    }

    fn with(isolation: Isolation) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}{number:03}", std::process::id());
        let state = Utf8Path::from_path(directory.path()).expect("it is UTF-8").join("state");
        let runtime = Runtime::new(isolation, state);
        Self { directory, runtime, nap: format!("3600.{id}"), marker: format!("test{id}-a") }
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.directory.path()).expect("it is UTF-8").join(name)
    }

    /// Another process's view of the same world: nothing is known to be its own.
    pub(crate) fn after_restart(&self) -> Runtime {
        Runtime::new(self.runtime.isolation(), self.path("state"))
    }

    /// A spec that runs this script, with `$NAP` for a sleep that can be found.
    pub(crate) fn script(&self, script: &str) -> Spec {
        let mut spec = Spec::new("a test's program", &self.marker, "/bin/sh");
        spec.args = vec!["-c".into(), script.into()];
        spec.env = vec![("PATH".into(), "/usr/bin:/bin".into()), ("NAP".into(), self.nap.clone())];
        spec
    }

    /// Runs a script to its end.
    pub(crate) async fn run(&self, script: &str) -> Output {
        self.runtime.run(&self.script(script), BOUND, None).await.expect("it runs")
    }

    /// The pids of this world's naps.
    pub(crate) fn naps(&self) -> Vec<u32> {
        processes_with(&self.nap)
    }

    pub(crate) async fn wait_for_naps(&self, count: usize) {
        wait_for(&format!("{count} naps"), || self.naps().len() == count).await;
    }

    /// Waits until a log holds this text.
    pub(crate) async fn wait_for_log(&self, log: &Utf8Path, text: &str) {
        wait_for(text, || fs::read_to_string(log).is_ok_and(|found| found.contains(text))).await;
    }
}

impl Drop for World {
    /// A test that fails leaves no sleepers behind.
    fn drop(&mut self) {
        let runtime = self.after_restart();
        let installation = self.marker.trim_end_matches('a').to_owned();
        let sweeping = std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_current_thread().build();
            tokio.expect("threads can be had").block_on(runtime.sweep(&installation, &[]))
        });
        sweeping.join().expect("a sweep doesn't panic");
    }
}

/// The processes that have `argument` as one of their arguments; no zombies, as these have none.
pub(crate) fn processes_with(argument: &str) -> Vec<u32> {
    processes_whose(|line| line.split(|byte| *byte == 0).any(|found| found == argument.as_bytes()))
}

/// The processes whose command line has `words` in it.
pub(crate) fn processes_that_say(words: &str) -> Vec<u32> {
    processes_whose(|line| String::from_utf8_lossy(line).contains(words))
}

fn processes_whose(command_line: impl Fn(&[u8]) -> bool) -> Vec<u32> {
    let pids = fs::read_dir("/proc")
        .expect("there is a /proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| command_line(&line))).collect()
}

pub(crate) async fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("it is UTF-8")
}
