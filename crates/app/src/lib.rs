//! The use cases: the only place where doce's other crates meet.
//!
//! [`App`] is the whole program without a network in front of it: each noun's file has its use cases as methods.
//! Some are done while the caller waits ([`App::connect`]); others write what is wanted and enqueue a Job in the same
//! transaction ([`App::create_project`]), and `jobs/` and `steps/` carry it out. `follower` copies what an Agent says
//! into the store and onto the [`events::Bus`].
//! Nothing here knows HTTP, SQL or a status code.
#![warn(clippy::wildcard_enum_match_arm)]

mod agents;
mod api_tokens;
mod audit;
pub mod backup;
mod beneath;
mod catalogue;
mod connections;
mod conversations;
mod custom;
pub mod doctor;
mod error;
pub mod events;
mod failures;
mod files;
mod follower;
pub mod import;
mod invites;
mod jobs;
mod keys;
mod layout;
mod logins;
mod model_preferences;
mod outward;
mod people;
mod previews;
mod probe;
mod program;
mod project_connections;
mod projects;
mod queue;
mod reconcilers;
mod removal;
mod retry;
mod room;
mod steps;
pub mod system;
mod terminal;
pub mod views;

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_jobs::Jobs;
use doce_model::{Actor, AuditAction, AuditEvent, Clock, Ctx, JobId};
use doce_runtime::{Isolation, Runtime, Sandbox, SandboxError};
use doce_store::{Store, setting};
use doce_vault::{MasterKeyError, Vault};
use tokio::sync::{mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use api_tokens::NewApiToken;
pub use audit::{AUDIT_PAGE_MAX, AuditQuery, verify_audit};
pub use beneath::BeneathError;
pub use connections::{ConnectionChange, NewConnection};
pub use custom::{CustomProviderChange, LocalPlace, NewCustomProvider, Offer, local_places};
pub use doce_opencode::install::VERSION as OPENCODE_VERSION;
pub use doce_store::audit::{
    Entry as AuditEntry,
    chain::{Anchor, Fault as AuditFault, Verdict},
};
pub use doce_store::{NotPostgresUrl, OpenError as DatabaseError, PostgresUrl, Trouble};
pub use doce_vault::export::{PASSPHRASE_MIN, Readers, ReadersError};
pub use error::Error;
pub use files::{FILE_MAX, FileBytes, LogSource};
pub use invites::InviteView;
pub use jobs::JOB_KINDS;
pub use keys::{
    KeyPlace,
    export::{ExportError, export_keys},
    live::{MasterKeyView, Rotation, RotationState},
    rotate::{RotateError, Rotated, RotationStage, rotate_keys},
};
pub use logins::{AttemptKind, AttemptState, AttemptView, NewAttempt, renewal::TokenEndpoints};
pub use people::{
    ChangedUser, FAILURE_WINDOW, FAILURES_PER_ADDRESS, FAILURES_PER_NAME, InUse, SIGN_IN_IDLE, SIGN_IN_MAX, SignedIn,
    UserChange,
};
pub use program::ProgramState;
pub use queue::{JobQuery, QueueView};
pub use reconcilers::uses::USE_TOLD_EVERY;
pub use room::{AgentLimits, Watching};
pub use terminal::{RecoverError, open_page, reset_password};

/// What the program is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept. Its lock is held by the caller.
    pub data_dir: Utf8PathBuf,
    /// The PostgreSQL database, if it isn't a file in the data directory.
    pub database_url: Option<PostgresUrl>,
    /// The master key's file, if it isn't in the data directory.
    pub master_key_file: Option<Utf8PathBuf>,
    /// An `OpenCode` to use instead of installing the pinned one.
    pub opencode: Option<Utf8PathBuf>,
    /// Whether the owner trusts every prompt and wants no sandbox.
    pub unsandboxed: bool,
    /// Where packages come from, if not from the public npm registry.
    pub npm_registry: Option<String>,
    /// What of the surrounding system the sandboxed programs are given.
    pub outside: Outside,
    /// Where the tokens of logins are renewed.
    pub token_endpoints: TokenEndpoints,
    /// Where programs that offer models are looked for on this machine.
    pub local_places: Vec<LocalPlace>,
    /// How many Agents run, and how long.
    pub agents: AgentLimits,
}

/// Tells whether a doce ever kept something here. Nothing is made or changed.
pub async fn is_there(data_dir: &Utf8Path, database_url: Option<&PostgresUrl>) -> Result<bool, OpenError> {
    Ok(layout::Layout::new(data_dir).database(database_url).is_there().await?)
}

/// What of the surrounding system the sandboxed programs are given.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// Where programs are looked for: `$PATH`.
    pub search_path: String,
    /// Variables about proxies and certificates, passed on as they are.
    pub variables: Vec<(String, String)>,
}

/// Whether Agents run in a sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxState {
    /// They do.
    Active,
    /// They don't, by the owner's order.
    Overridden,
    /// They can't, so no Project starts.
    Unavailable {
        /// Why.
        reason: String,
        /// What to do about it.
        repair: String,
    },
}

impl SandboxState {
    pub(crate) fn unavailable(error: &SandboxError) -> Self {
        Self::Unavailable { reason: chain(error), repair: error.hint() }
    }
}

/// Why the program doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A directory can't be made.
    #[error("make the directory `{path}`")]
    Directory {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database can't be used.
    #[error(transparent)]
    Database(#[from] doce_store::OpenError),
    /// Nothing was ever kept there.
    #[error("find doce's data: there is no `{database}`, or nothing in it")]
    Nothing {
        /// What was looked for.
        database: String,
    },
    /// There is no master key.
    #[error(transparent)]
    MasterKey(#[from] MasterKeyError),
    /// The master key is not the one that what is stored was sealed with.
    #[error("use the master key {loaded}: what is stored was sealed with {sealed_with}; put that key's file back")]
    WrongMasterKey {
        /// The key at hand.
        loaded: String,
        /// The key that is needed.
        sealed_with: String,
    },
    /// There is more than one user, so Agents need a sandbox.
    #[error("run agents without a sandbox: this server has {users} users, and one could read another's keys")]
    UnsandboxedWithUsers {
        /// How many.
        users: i64,
    },
    /// The database could not be read.
    #[error("read the database")]
    Store(#[from] doce_store::StoreError),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    NoRandom(#[from] doce_vault::NoRandom),
}

/// The program. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

/// What all use cases share.
pub struct Inner {
    pub(crate) config: Config,
    pub(crate) layout: layout::Layout,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) store: Store,
    pub(crate) vault: Vault,
    pub(crate) bus: events::Bus,
    pub(crate) runtime: Runtime,
    pub(crate) sandbox: watch::Sender<SandboxState>,
    /// What this installation's processes are marked with.
    pub(crate) installation: String,
    pub(crate) gatekeeper: people::Gatekeeper,
    pub(crate) program: watch::Sender<ProgramState>,
    pub(crate) catalogue: watch::Sender<catalogue::CatalogueState>,
    pub(crate) agents: agents::Agents,
    pub(crate) previews: previews::Previews,
    pub(crate) room: room::Room,
    pub(crate) measured: system::LastMeasured,
    /// When this was opened.
    pub(crate) started_at: doce_model::Ms,
    /// Users whose browsers are told in a moment how their Connections stand.
    pub(crate) connections_changed: Mutex<BTreeSet<doce_model::UserId>>,
    /// Told when answers wait to be told of.
    pub(crate) uses: tokio::sync::Notify,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    pub(crate) jobs: Jobs,
    pub(crate) logins: logins::Attempts,
    pub(crate) customs: custom::Customs,
    pub(crate) imports: import::Imports,
    pub(crate) rotation: keys::live::Rotating,
    /// Rung when there are tokens that may run out sooner than those that were waited for.
    pub(crate) renewals: tokio::sync::Notify,
    job_changes: Mutex<Option<mpsc::UnboundedReceiver<JobId>>>,
    notes: Vec<String>,
}

impl Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// How long Agents and workers have to end at a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

impl App {
    /// Opens the data directory: the database, the master key, and the sandbox, which is tried.
    ///
    /// Nothing is started yet; see [`App::run_background`].
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let layout = layout::Layout::new(&config.data_dir);
        make_private_directory(&config.data_dir)?;
        for directory in [layout.instances(), layout.runtime(), layout.opencode()] {
            make_private_directory(&directory)?;
        }
        let store = Store::open(&layout.database(config.database_url.as_ref())).await?;
        let mut notes = Vec::new();
        let place = KeyPlace::of(&config);
        let vault = keys::open_vault(&place, &store, &clock, &mut notes).await?;

        let users = doce_store::user::count(&mut store.read().await?).await?;
        let customs = doce_store::custom_provider::list(&mut store.read().await?).await?;
        let (isolation, sandbox) = if config.unsandboxed {
            if users > 1 {
                return Err(OpenError::UnsandboxedWithUsers { users });
            }
            (Isolation::Unsandboxed, SandboxState::Overridden)
        } else {
            match Sandbox::probe(None).await {
                Ok(sandbox) => (Isolation::Sandboxed(sandbox), SandboxState::Active),
                Err(e) => (Isolation::Missing, SandboxState::unavailable(&e)),
            }
        };

        let ctx = Ctx::new(Actor::Cli, "start", None, Arc::clone(&clock));
        let mut tx = store.write(&ctx).await?;
        let installation = if let Some(installation) = setting::find(&mut tx, "installation").await? {
            installation
        } else {
            let made = doce_vault::token_hash(doce_vault::ExposeSecret::expose_secret(&doce_vault::token()?))
                .chars()
                .take(12)
                .collect::<String>();
            setting::set(&mut tx, "installation", &made).await?;
            made
        };
        if config.unsandboxed {
            tx.audit(AuditEvent::ok(AuditAction::Unsandboxed, "server")).await?;
        }
        tx.commit().await?;

        let boot: String = doce_vault::token_hash(doce_vault::ExposeSecret::expose_secret(&doce_vault::token()?))
            .chars()
            .take(10)
            .collect();
        let (changed_jobs, changes) = mpsc::unbounded_channel();
        let observer: doce_jobs::Observer = Arc::new(move |id| {
            if changed_jobs.send(id).is_err() {
                tracing::debug!(job = %id, "nobody is told any more: the program ends");
            }
        });
        let jobs = Jobs::new(store.clone(), Arc::clone(&clock), doce_jobs::Settings::default(), observer);
        let app = Self {
            inner: Arc::new(Inner {
                runtime: Runtime::new(isolation, layout.runtime()),
                bus: events::Bus::new(&boot),
                gatekeeper: people::Gatekeeper::default(),
                program: watch::Sender::new(ProgramState::Checking),
                catalogue: watch::Sender::new(catalogue::CatalogueState::Loading),
                agents: agents::Agents::default(),
                previews: previews::Previews::default(),
                room: room::Room::default(),
                measured: system::LastMeasured::default(),
                started_at: clock.now(),
                connections_changed: Mutex::default(),
                uses: tokio::sync::Notify::new(),
                tasks: TaskTracker::new(),
                stopping: CancellationToken::new(),
                jobs,
                logins: logins::Attempts::default(),
                customs: custom::Customs::new(customs),
                imports: import::Imports::default(),
                rotation: keys::live::Rotating::default(),
                renewals: tokio::sync::Notify::new(),
                job_changes: Mutex::new(Some(changes)),
                config,
                layout,
                clock,
                store,
                vault,
                sandbox: watch::Sender::new(sandbox),
                installation,
                notes,
            }),
        };
        app.jobs.define(jobs::definitions(&app).into());
        Ok(app)
    }

    /// Adopts the Agents that survived, then starts the workers and sets `OpenCode` up. Returns at once.
    pub fn run_background(&self) {
        let app = self.clone();
        self.tasks.spawn(async move { program::set_up(&app).await });
        let app = self.clone();
        self.tasks.spawn(async move { program::tell_changes(&app).await });
        if let Some(changes) = self.job_changes.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let app = self.clone();
            self.tasks.spawn(async move { queue::tell_changes(&app, changes).await });
        }
        let app = self.clone();
        self.tasks.spawn(async move { reconcilers::renewals::follow(&app).await });
        let app = self.clone();
        self.tasks.spawn(async move { reconcilers::verifications::follow(&app).await });
        let app = self.clone();
        self.tasks.spawn(async move { reconcilers::uses::tell_uses(&app).await });
        let app = self.clone();
        self.tasks.spawn(async move { room::stop_idle(&app).await });
        let app = self.clone();
        self.tasks.spawn(async move {
            // Survivors first: a Job that starts a Project must find the Agent that is already there.
            reconcilers::instances::adopt_survivors(&app).await;
            if app.stopping.is_cancelled() {
                return;
            }
            logins::server::remove_leftovers(&app).await;
            retry::until_done(&app, "the workers did not start", || app.jobs.start()).await;
            let resume = || app.resume_waiting(None);
            retry::until_done(&app, "the jobs that wait for a key were not looked at", resume).await;
            reconcilers::restarts::look_at_all(&app).await;
            // Survivors have their places by now.
            room::give(&app).await;
        });
    }

    /// Ends what runs: workers, previews and Agents, then the database.
    pub async fn shutdown(&self) {
        self.stopping.cancel();
        self.jobs.shutdown(SHUTDOWN_GRACE).await;
        self.previews.stop_all().await;
        agents::stop_all(self, SHUTDOWN_GRACE).await;
        self.tasks.close();
        if tokio::time::timeout(SHUTDOWN_GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        // A sandbox that was being set up when its task was dropped has nobody left to end it.
        let swept = self.runtime.sweep(&format!("{}-", self.installation), &[]).await;
        for stray in swept.survived {
            tracing::error!(pid = stray.pid, marker = stray.marker, "a process of ours could not be ended");
        }
        self.store.close().await;
    }

    /// Closes the database, where nothing was started. Agents that outlived a server are left alone.
    pub async fn close(&self) {
        self.store.close().await;
    }

    /// Returns how far `OpenCode` is, and follows it.
    pub fn program(&self) -> watch::Receiver<ProgramState> {
        self.program.subscribe()
    }

    /// Returns whether Agents run in a sandbox.
    pub fn sandbox(&self) -> SandboxState {
        self.sandbox.borrow().clone()
    }

    /// Returns what the owner should read once, at this start.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns where everything is kept.
    pub fn data_dir(&self) -> &Utf8Path {
        &self.config.data_dir
    }

    /// Returns the bus on which changes are told.
    pub fn bus(&self) -> &events::Bus {
        &self.bus
    }

    pub(crate) fn ctx(&self, actor: Actor, request_id: &str) -> Ctx {
        Ctx::new(actor, request_id, None, Arc::clone(&self.clock))
    }

    /// Refuses to start anything of a Project without the sandbox that was wanted.
    pub(crate) fn require_sandbox(&self) -> Result<(), doce_model::Failure> {
        match self.sandbox() {
            SandboxState::Active | SandboxState::Overridden => Ok(()),
            SandboxState::Unavailable { reason, repair } => Err(doce_model::Failure::new(
                "sandbox_unavailable",
                format!(
                    "Agents can't be sandboxed on this machine, so none is started: doce could not {reason}. {repair}"
                ),
                doce_model::NextMove::Retry,
            )),
        }
    }
}

/// Makes a directory that only its owner can enter, and keeps others out of one that is there.
///
/// Under root, a sandboxed program's files belong to root on the host: nobody else may reach them.
pub(crate) fn make_private_directory(path: &Utf8Path) -> Result<(), OpenError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)))
        .map_err(|source| OpenError::Directory { path: path.to_owned(), source })
}

/// Writes an error with all its causes, for a log or a reason.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
