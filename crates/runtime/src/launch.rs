//! Brings a program up, and says clearly when it can't be.
//!
//! With a sandbox: bubblewrap builds it, tells the pid of its init and waits. Priority and limits are set on that init,
//! before the program exists; then it is let go, and watched until the program itself runs.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use command_fds::{CommandFdExt, FdMapping};
use process_wrap::tokio::{CommandWrap, ProcessSession};
use rustix::{
    fs::MemfdFlags,
    pipe::PipeFlags,
    process::{Pid, setpriority_process},
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command},
};

use crate::{
    Isolation, Limits, Log, MARKER_VARIABLE, Sandbox, Spec, StartError,
    cgroup::Cgroup,
    kill::{Family, Handle},
    proc,
    profile::{self, BLOCK_FD, GROUP_FD, INFO_FD, PASSWD_FD, STATUS_FD},
    running::Tree,
    runtime::{Identity, Shared},
    tool,
};

/// How long a sandbox may take until the program in it runs.
pub(crate) const START_BOUND: Duration = Duration::from_secs(20);

/// How often is looked whether it does, at first and at most. It takes some 10 ms (bubblewrap 0.8.0, observed).
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_MOST: Duration = Duration::from_millis(50);

/// How much of what bubblewrap says about a failure is passed on.
const DETAIL_MAX_BYTES: u64 = 4 * 1024;

/// Where the program's output goes.
pub(crate) enum Streams {
    Log(Log),
    Pipes,
}

impl Streams {
    fn open(&self) -> io::Result<(Stdio, Stdio)> {
        match self {
            Self::Log(log) => {
                let file = log.open()?;
                Ok((file.try_clone()?.into(), file.into()))
            }
            Self::Pipes => Ok((Stdio::piped(), Stdio::piped())),
        }
    }
}

/// A program that runs.
pub(crate) struct Launched {
    pub(crate) child: Child,
    pub(crate) tree: Tree,
    pub(crate) leash: Leash,
}

/// Ends what is being started when it is dropped.
pub(crate) struct Leash {
    shared: Arc<Shared>,
    family: Family,
    held: bool,
}

impl Leash {
    fn new(shared: &Arc<Shared>, marker: &str) -> Self {
        shared.live().insert(marker.to_owned());
        let family = Family { marker: marker.to_owned(), ..Family::default() };
        Self { shared: Arc::clone(shared), family, held: true }
    }

    /// Lets it go on without us.
    pub(crate) fn release(mut self) {
        self.held = false;
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        if self.held {
            self.family.kill_now();
            if let Some(cgroup) = &self.family.cgroup {
                cgroup.remove();
            }
            let _was_never_made = fs::remove_file(self.shared.status_path(&self.family.marker));
            self.shared.live().remove(&self.family.marker);
        }
    }
}

/// Starts `spec` and returns when the program itself runs, or has ended already.
pub(crate) async fn launch(shared: &Arc<Shared>, spec: &Spec, streams: &Streams) -> Result<Launched, StartError> {
    spec.check()?;
    let prepare = |source| StartError::Prepare { name: spec.name.clone(), source };
    let isolation = shared.isolation();
    let program = check_program(spec, &isolation)?;
    // Descriptors that somebody left open for us would be the program's too.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let marker = format!("{}.{}", spec.marker, nonce().map_err(prepare)?);
    // Held until the program runs.
    let _turn = shared.starts.acquire().await.expect("nobody closes the semaphore");
    let leash = Leash::new(shared, &marker);
    let starting = async {
        match &isolation {
            Isolation::Missing => Err(StartError::NoSandbox { name: spec.name.clone() }),
            Isolation::Sandboxed(sandbox) => sandboxed(shared, sandbox, spec, streams, leash).await,
            Isolation::Unsandboxed => unsandboxed(shared, spec, &program, streams, leash),
        }
    };
    tokio::time::timeout(START_BOUND, starting)
        .await
        .unwrap_or_else(|_| Err(StartError::TooLong { name: spec.name.clone(), bound: START_BOUND }))
}

/// Sixteen hexadecimal digits: two starts with one marker are two families.
fn nonce() -> io::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// Finds the program on the host, for an error that names it.
fn check_program(spec: &Spec, isolation: &Isolation) -> Result<Utf8PathBuf, StartError> {
    let bound = spec.binds.iter().any(|bind| spec.program.starts_with(&bind.inside));
    let hidden = matches!(isolation, Isolation::Sandboxed(_)) && !bound && !profile::is_shown(&spec.program);
    let host = spec.host_path(&spec.program);
    if hidden || !host.exists() {
        return Err(StartError::NotFound { program: spec.program.clone(), hidden });
    }
    if !tool::is_executable(&host) {
        return Err(StartError::NotExecutable { program: spec.program.clone() });
    }
    Ok(host)
}

/// A command with nothing inherited but the marker and what the spec says.
#[expect(clippy::disallowed_methods, reason = "this is the one door through which processes are started")]
fn command(program: &Utf8Path, spec: &Spec, marker: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(MARKER_VARIABLE, marker)
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null());
    command
}

/// Spawns in a session of its own, so that no terminal of ours is its terminal.
fn spawn(command: Command) -> io::Result<Child> {
    let mut command = CommandWrap::from(command);
    let child = command.wrap(ProcessSession).spawn()?;
    let child: Box<dyn std::any::Any> = child.into_inner();
    child.downcast::<Child>().map(|child| *child).map_err(|_| io::Error::other("the child is not tokio's"))
}

/// Makes the control group and spawns, at once and whole: nothing can be dropped in between.
///
/// The kernel lets one at a time change its groups, and a spawn returns when the child executes.
fn spawn_in_group(command: Command, limits: Limits, leash: &mut Leash) -> io::Result<(Child, Handle)> {
    thread_waits(|| {
        leash.family.cgroup = Cgroup::create(&leash.family.marker, limits);
        let child = spawn(command)?;
        let gone = || io::Error::other("the process was reaped by somebody else");
        // Nobody but us reaps it, so it is held even if it has ended already.
        let outer = Handle::of_child(child.id().ok_or_else(gone)?).ok_or_else(gone)?;
        // Its marker may not be visible yet: a spawn returns in the middle of the execution.
        leash.family.leader = Some(outer.process);
        Ok((child, outer))
    })
}

/// Does what this thread has to wait for; the other tasks of a runtime with several threads go on meanwhile.
fn thread_waits<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn unsandboxed(
    shared: &Arc<Shared>,
    spec: &Spec,
    program: &Utf8Path,
    streams: &Streams,
    mut leash: Leash,
) -> Result<Launched, StartError> {
    let prepare = |source| StartError::Prepare { name: spec.name.clone(), source };
    let spawn_error = |source| StartError::Spawn { program: program.to_owned(), source };
    let cwd = spec.host_path(&spec.cwd);
    if !cwd.is_dir() {
        return Err(spawn_error(io::Error::new(io::ErrorKind::NotADirectory, format!("no directory `{cwd}`"))));
    }
    let (stdout, stderr) = streams.open().map_err(prepare)?;
    let mut command = command(program, spec, &leash.family.marker);
    command.args(&spec.args).env("PWD", &cwd).current_dir(&cwd).stdout(stdout).stderr(stderr);
    let (child, outer) = spawn_in_group(command, spec.limits, &mut leash).map_err(spawn_error)?;
    govern(outer.pid(), spec, leash.family.cgroup.as_mut());
    yield_as_session(outer.pid(), spec.nice);
    let tree = Tree {
        identity: Identity::of(&outer.process),
        outer,
        init: None,
        family: leash.family.clone(),
        shared: Arc::clone(shared),
    };
    Ok(Launched { child, tree, leash })
}

async fn sandboxed(
    shared: &Arc<Shared>,
    sandbox: &Sandbox,
    spec: &Spec,
    streams: &Streams,
    mut leash: Leash,
) -> Result<Launched, StartError> {
    let prepare = |source| StartError::Prepare { name: spec.name.clone(), source };
    let log_offset = if let Streams::Log(log) = streams { log.length() } else { 0 };
    let status_path = shared.status_path(&leash.family.marker);
    let (stdout, stderr) = streams.open().map_err(prepare)?;
    let (info, block, mappings) = descriptors(&status_path).map_err(prepare)?;

    let mut command = command(sandbox.program(), spec, &leash.family.marker);
    command.args(profile::arguments(spec)).current_dir("/").stdout(stdout).stderr(stderr);
    command.fd_mappings(mappings).map_err(|collision| prepare(io::Error::other(collision)))?;
    let spawn_error = |source| StartError::Spawn { program: sandbox.program().to_owned(), source };
    let (mut child, outer) = spawn_in_group(command, spec.limits, &mut leash).map_err(spawn_error)?;

    let told = init_pid(info).await.map_err(prepare)?;
    let init = told.and_then(Handle::open).filter(|init| init.process.parent == outer.pid());
    let Some(init) = init else {
        return Err(refused(spec, &mut child, streams, log_offset).await);
    };
    govern(init.pid(), spec, leash.family.cgroup.as_mut());
    File::from(block).write_all(b"x").map_err(prepare)?;

    let mut pause = LOOK_FIRST;
    loop {
        if let Some(program) = running_program(outer.pid(), init.pid()) {
            // Its session is its own from the moment on at which it was executed.
            yield_as_session(program, spec.nice);
            break;
        }
        if outer.ended() {
            // It tells an exit code only for a program that was executed.
            if recorded_exit_code(&status_path).is_none() {
                return Err(refused(spec, &mut child, streams, log_offset).await);
            }
            break;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK_MOST);
    }
    let tree = Tree {
        identity: Identity::of(&init.process),
        outer,
        init: Some(init),
        family: leash.family.clone(),
        shared: Arc::clone(shared),
    };
    Ok(Launched { child, tree, leash })
}

/// Our ends of the pipes that bubblewrap tells and waits by, and everything it gets.
fn descriptors(status_path: &Utf8Path) -> io::Result<(OwnedFd, OwnedFd, Vec<FdMapping>)> {
    if let Some(directory) = status_path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let status = OpenOptions::new().create_new(true).write(true).mode(0o600).open(status_path)?;
    let (info, info_writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (block_reader, block) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let mappings = [
        (info_writer, INFO_FD),
        (status.into(), STATUS_FD),
        (block_reader, BLOCK_FD),
        (in_memory(&profile::passwd())?, PASSWD_FD),
        (in_memory(&profile::group())?, GROUP_FD),
    ];
    let mappings = mappings.into_iter().map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    Ok((info, block, mappings.collect()))
}

fn in_memory(text: &str) -> io::Result<OwnedFd> {
    let mut file = File::from(rustix::fs::memfd_create("doce", MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file.into())
}

/// Reads the pid of the sandbox's init as we see it; `None` if bubblewrap ended without telling.
async fn init_pid(info: OwnedFd) -> io::Result<Option<u32>> {
    let mut info = Receiver::from_owned_fd(info)?;
    let mut text = Vec::new();
    // The object may come in pieces, and nobody promises to close the pipe after it.
    while info.read_buf(&mut text).await? > 0 {
        if let Ok(told) = serde_json::from_slice::<serde_json::Value>(&text) {
            return Ok(told["child-pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()));
        }
    }
    Ok(None)
}

/// Sets what must hold before the program exists. Each is a wish: a refusal is told and passed over.
fn govern(pid: u32, spec: &Spec, cgroup: Option<&mut Cgroup>) {
    if let Some(cgroup) = cgroup {
        // The kernel takes some 10 ms to move a process (6.18, observed).
        thread_waits(|| cgroup.add(pid));
    }
    if let Some(nice) = spec.nice {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        if let Err(error) = setpriority_process(raw, nice) {
            tracing::warn!(name = spec.name, nice, %error, "a priority can't be set");
        }
    }
    if let Some(adjustment) = spec.oom_score_adj
        && let Err(error) = fs::write(format!("/proc/{pid}/oom_score_adj"), adjustment.to_string())
    {
        tracing::warn!(name = spec.name, adjustment, %error, "an out-of-memory score can't be set");
    }
}

/// Gives a process's whole session a priority, against other sessions.
///
/// Where the kernel shares the processor out by session (`sched_autogroup_enabled`), a process's own priority counts
/// within its session only, and each program has one of its own. It takes one change per 100 ms from users without
/// privileges (`kernel/sched/autogroup.c`, 6.18), so this may happen a little later, and nobody waits for it.
#[expect(clippy::disallowed_methods, reason = "a shutdown needn't wait for it: the program ends, too")]
fn yield_as_session(pid: u32, nice: Option<i32>) {
    const TRIES: u32 = 5;
    const PAUSE: Duration = Duration::from_millis(120);
    let Some(nice) = nice else { return };
    let file = format!("/proc/{pid}/autogroup");
    if !Utf8Path::new(&file).exists() {
        return;
    }
    tokio::spawn(async move {
        for _ in 0..TRIES {
            match fs::write(&file, nice.to_string()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(PAUSE).await,
                // Refused, or the program has ended: it is a wish.
                _ => return,
            }
        }
    });
}

/// A child of the sandbox's init that is something else than bubblewrap.
fn running_program(outer: u32, init: u32) -> Option<u32> {
    let bubblewrap = proc::command_line(outer);
    let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).map_or_else(
        // A kernel may be built without that file.
        |_| proc::all().iter().filter(|found| found.parent == init).map(|found| found.pid).collect(),
        |pids| pids.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>(),
    );
    children.into_iter().find(|pid| {
        let line = proc::command_line(*pid);
        !line.is_empty() && line != bubblewrap
    })
}

/// The exit code that bubblewrap noted for a program that was executed.
pub(crate) fn recorded_exit_code(status: &Utf8Path) -> Option<i32> {
    let text = fs::read_to_string(status).ok()?;
    let objects = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
    let code = objects.map_while(Result::ok).find_map(|object| object["exit-code"].as_i64())?;
    i32::try_from(code).ok()
}

/// Says why bubblewrap gave up.
async fn refused(spec: &Spec, child: &mut Child, streams: &Streams, log_offset: u64) -> StartError {
    let status = child.wait().await;
    let said = match streams {
        Streams::Log(log) => log.since(log_offset, DETAIL_MAX_BYTES),
        Streams::Pipes => {
            let mut said = Vec::new();
            if let Some(stderr) = child.stderr.take() {
                let _what_was_read_counts = stderr.take(DETAIL_MAX_BYTES).read_to_end(&mut said).await;
            }
            String::from_utf8_lossy(&said).trim().to_owned()
        }
    };
    let detail = match (said.is_empty(), status) {
        (false, _) => said.trim_start_matches("bwrap: ").to_owned(),
        (true, Ok(status)) => format!("bubblewrap ended without a word ({status})"),
        (true, Err(error)) => format!("bubblewrap ended without a word ({error})"),
    };
    StartError::Setup { name: spec.name.clone(), detail }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Instant};

    use super::*;
    use crate::Runtime;

    #[tokio::test(start_paused = true)]
    async fn a_sandbox_that_never_comes_up_is_given_up_and_killed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let directory = Utf8Path::from_path(directory.path()).expect("it is UTF-8");
        let stuck = directory.join("bwrap");
        fs::write(&stuck, "#!/bin/sh\nsleep 1000 & wait\n").expect("it is written");
        fs::set_permissions(&stuck, fs::Permissions::from_mode(0o755)).expect("it is ours");
        let sandbox = Isolation::Sandboxed(Sandbox::untried(stuck));
        let runtime = Runtime::new(sandbox, directory.join("state"));
        let marker = format!("test{}-stuck", std::process::id());
        let spec = Spec::new("a program", &marker, "/bin/sh");

        let before = Instant::now();
        let error = runtime.start(&spec, directory.join("log")).await.expect_err("it is stuck");
        assert!(matches!(error, StartError::TooLong { bound: START_BOUND, .. }), "{error}");
        assert!(before.elapsed() < START_BOUND, "time is paused");
        assert_eq!(runtime.sweep(&marker, &[]).await.killed, []);
        assert_eq!(fs::read_dir(directory.join("state")).map_or(0, Iterator::count), 0);
    }
}
