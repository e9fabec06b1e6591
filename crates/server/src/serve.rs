//! `doce serve`: opens the data directory, listens, says what there is to know, and ends in order.

use std::{fs::DirBuilder, io, net::SocketAddr, os::unix::fs::DirBuilderExt as _, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow};
use camino::{Utf8Path, Utf8PathBuf};
use doce_app::{App, Config, DatabaseError, OpenError, PostgresUrl, ProgramState, SandboxState, TokenEndpoints};
use doce_model::Clock;
use secrecy::ExposeSecret as _;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    SystemClock,
    config::{self, ServeArgs, Stop, outside},
    control,
    lock::{DataLock, LockError},
    printer::Printer,
    server::{Limits, Server, Settings},
};

/// Serves until a signal says to end.
pub(crate) fn serve(
    printer: &Printer,
    data_dir: Utf8PathBuf,
    database_url: Option<PostgresUrl>,
    arguments: ServeArgs,
) -> Result<ExitCode, Stop> {
    let lock = take(&data_dir, "end that one first, or give this one a directory of its own with --data-dir")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the threads of the server")
        .map_err(Stop::failed)?;
    let ended = runtime.block_on(Serving { printer, data_dir, database_url, arguments, lock }.run());
    // Whatever still blocks a thread must not hold the process back.
    runtime.shutdown_background();
    ended
}

/// Makes the data directory if it isn't there, and takes its lock; `held` is what to do if another doce has it.
pub(crate) fn take(data_dir: &Utf8Path, held: &str) -> Result<DataLock, Stop> {
    make_directory(data_dir)?;
    DataLock::take(data_dir).map_err(|error| {
        let hint = match &error {
            LockError::Held { .. } => held,
            LockError::Io { .. } => "see that this user may write there",
        };
        Stop::failed(error).hint(hint)
    })
}

fn make_directory(path: &Utf8Path) -> Result<(), Stop> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("make the data directory `{path}`"))
        .map_err(|error| Stop::failed(error).hint("choose another with --data-dir or DOCE_DATA_DIR"))
}

struct Serving<'p> {
    printer: &'p Printer,
    data_dir: Utf8PathBuf,
    database_url: Option<PostgresUrl>,
    arguments: ServeArgs,
    lock: DataLock,
}

impl Serving<'_> {
    async fn run(self) -> Result<ExitCode, Stop> {
        let Self { printer, data_dir, database_url, arguments, mut lock } = self;
        let mut signals = Signals::new().context("listen for signals").map_err(Stop::failed)?;
        let listener = listen(arguments.listen).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = Config {
            data_dir,
            database_url,
            master_key_file: arguments.master_key_file,
            opencode: arguments.opencode,
            unsandboxed: arguments.unsandboxed.is_some(),
            npm_registry: arguments.npm_registry,
            outside: outside(),
            token_endpoints: TokenEndpoints::default(),
            local_places: doce_app::local_places(),
            agents: arguments.agents.limits(),
        };
        let app = tokio::select! {
            opened = App::open(config, Arc::clone(&clock)) => opened.map_err(cannot_open)?,
            () = signals.next() => return Ok(ExitCode::SUCCESS),
        };
        app.run_background();
        let settings = Settings {
            public_url: arguments.public_url,
            preview_domain: arguments.preview_domain,
            opencode_auth_file: config::opencode_auth_file(),
            control_socket: Some(control::path(app.data_dir())),
            limits: Limits::default(),
        };
        let server = Server::start(app.clone(), clock, listener, settings)
            .context("serve on the listener")
            .map_err(Stop::failed)?;
        lock.tell_address(&server.url()).map_err(Stop::failed)?;
        greet(printer, &app, &server).await?;
        tokio::select! {
            () = signals.next() => {}
            () = follow_program(printer, &app) => signals.next().await,
        }
        printer.line("Ending: agents are stopped and the database is closed. Once more ends it at once.");
        let in_order = async {
            server.stop().await;
            app.shutdown().await;
        };
        let code = tokio::select! {
            () = in_order => ExitCode::SUCCESS,
            () = signals.next() => {
                printer.line("Ended at once. What was under way is taken up at the next start.");
                ExitCode::FAILURE
            }
        };
        drop(lock);
        Ok(code)
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Stop> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "`ss -ltnp sport = :{}` shows who has it; or choose another with --listen {}:{} or DOCE_LISTEN",
                address.port(),
                address.ip(),
                address.port().wrapping_add(1),
            ),
            io::ErrorKind::AddrNotAvailable => {
                "choose an address of this machine with --listen or DOCE_LISTEN; 0.0.0.0 is all of them".to_owned()
            }
            io::ErrorKind::PermissionDenied => "choose a port from 1024 on with --listen or DOCE_LISTEN".to_owned(),
            _ => "choose another address with --listen or DOCE_LISTEN".to_owned(),
        };
        let error = match error.kind() {
            io::ErrorKind::AddrInUse => anyhow!("listen on {address}: the port is taken"),
            _ => anyhow::Error::new(error).context(format!("listen on {address}")),
        };
        Stop::failed(error).hint(hint)
    })
}

/// What to do about a disk that is full.
pub(crate) const MAKE_ROOM: &str = "make room on that disk: `df -h` shows it";

/// Says what to do about a data directory that can't be opened.
pub(crate) fn cannot_open(error: OpenError) -> Stop {
    let hint = match &error {
        OpenError::Directory { .. } | OpenError::Nothing { .. } => {
            "see that this user may write there, or choose another place with --data-dir"
        }
        OpenError::Database(DatabaseError::InUse { .. }) => "end that one first: a database serves one doce at a time",
        OpenError::Database(DatabaseError::Connect { database, .. }) if database.starts_with("postgres:") => {
            "see that PostgreSQL runs there and lets this user in, or correct DOCE_DATABASE_URL"
        }
        OpenError::Database(DatabaseError::Full { .. }) => MAKE_ROOM,
        OpenError::Database(DatabaseError::Locked { .. }) => {
            "close whatever else has the file open: `fuser -v` names it"
        }
        OpenError::Database(DatabaseError::Damaged { .. }) => {
            "put a backup in its place: `doce restore BACKUP --data-dir ANOTHER-DIRECTORY`"
        }
        OpenError::Database(_) | OpenError::Store(_) => {
            "see that the disk has room and that no newer doce has used this directory; a backup can be put in its place"
        }
        OpenError::MasterKey(_) | OpenError::WrongMasterKey { .. } => {
            "put the master key's file back, or name it with --master-key-file; without it no stored key can be read"
        }
        OpenError::UnsandboxedWithUsers { .. } => "unset DOCE_UNSANDBOXED and make the sandbox work",
        OpenError::NoRandom(_) => "see why the kernel gives no random bytes",
    };
    Stop::failed(error).hint(hint)
}

/// Says what somebody who starts a server wants to know.
async fn greet(printer: &Printer, app: &App, server: &Server) -> Result<(), Stop> {
    printer.line(format_args!("doce {}", env!("CARGO_PKG_VERSION")));
    printer.line(format_args!("  data      {}", app.data_dir()));
    match app.sandbox() {
        SandboxState::Active => printer.line("  sandbox   active"),
        SandboxState::Overridden => {
            printer.line("  sandbox   OFF: agents can read everything that this user can, the master key included");
        }
        SandboxState::Unavailable { reason, repair } => {
            printer.line(format_args!("  sandbox   unavailable, so no project starts: {reason}"));
            printer.line(format_args!("            {repair}"));
        }
    }
    for note in app.notes() {
        printer.line(format_args!("  note      {note}"));
    }
    let setup_required = app.setup_required().await;
    if setup_required.context("look for accounts").map_err(Stop::failed)? && server.setup_code_matters() {
        let code = server.setup_code();
        printer.line(format_args!("  setup     {} is the code that the first account asks for", code.expose_secret()));
    }
    // A script that started the server reads this line and knows that it answers.
    printer.result(format_args!("Open {}", server.url()));
    Ok(())
}

/// Shows how far the installation of OpenCode is, until it is there or has failed.
async fn follow_program(printer: &Printer, app: &App) {
    let mut program = app.program();
    let mut progress = None;
    loop {
        let state = program.borrow_and_update().clone();
        match state {
            ProgramState::Checking => {}
            ProgramState::Installing { got, total } => {
                progress.get_or_insert_with(|| printer.progress("Installing OpenCode")).bytes(got, total);
            }
            ProgramState::Ready { path } => {
                if let Some(progress) = progress.take() {
                    progress.done(format_args!("ready at {path}"));
                }
            }
            ProgramState::Failed(failure) => {
                let progress = progress.take().unwrap_or_else(|| printer.progress("OpenCode"));
                progress.done(format_args!("not there, so no project starts: {}", failure.message));
            }
        }
        if program.changed().await.is_err() {
            return;
        }
    }
}

/// The signals that ask the server to end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
