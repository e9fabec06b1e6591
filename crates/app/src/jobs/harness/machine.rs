//! A machine for one trial: a data directory, a fake OpenCode, and a doce on it that can be killed.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_jobs::Jobs;
use doce_model::{
    Actor, Clock, Connection, Ctx, DeliveryStatus, JobId, Message, MessageState, ModelRef, Ms, Observed, PreviewState,
    Project, ProjectId, Role, Session, Speaker, User, UserId, project::ProjectState,
};
use doce_opencode::ReadBack;
use doce_runtime::{Isolation, MARKER_VARIABLE, Runtime};
use doce_store::{connection, conversation, delivery, instance};
use doce_testkit::{ScriptedModel, fake_agent::PromptCall, fake_agent::read_calls, wait_for};
use doce_vault::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    App, Config, NewConnection, Outside, agents::Agent, catalogue, program, queue, reconcilers, views::NewProject,
};

/// How long anything may take.
pub(super) const BOUND: Duration = Duration::from_secs(30);
/// A provider and a model that the fake's catalogue has.
pub(super) const PROVIDER: &str = "anthropic";
const MODEL: &str = "claude-sonnet-4-6";
/// The key that is connected at first.
pub(super) const KEY: &str = "sk-first-0123456789";
/// How long doce is dead after a kill: longer than anything that is waited for in its absence.
const DEAD_FOR: Duration = Duration::from_secs(30);

/// A clock that goes by itself, and jumps when it is told to.
#[derive(Debug)]
struct GoingClock {
    started: Instant,
    jumped: AtomicI64,
}

impl GoingClock {
    fn advance(&self, by: Duration) {
        self.jumped.fetch_add(i64::try_from(by.as_millis()).expect("a test's times are short"), Ordering::SeqCst);
    }
}

impl Clock for GoingClock {
    fn now(&self) -> Ms {
        Ms(1_795_348_800_000 + self.jumped.load(Ordering::SeqCst)).plus(self.started.elapsed())
    }
}

/// The doce that runs: all its tasks are in a runtime of its own, which can be ended without any of them noticing.
struct Process {
    app: App,
    tasks: tokio::runtime::Runtime,
}

impl Process {
    /// Starts doce, with everything that runs beside its workers. The trial does the workers' part.
    async fn start(config: Config, clock: Arc<dyn Clock>) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let tasks = builder.worker_threads(2).enable_all().build().expect("a runtime can be made");
        let started = tasks.spawn(async move {
            let app = App::open(config, clock).await.expect("the data directory can be opened");
            let telling = app.clone();
            let changes = app.job_changes.lock().unwrap_or_else(PoisonError::into_inner).take();
            let changes = changes.expect("nobody took them before");
            app.tasks.spawn(async move { queue::tell_changes(&telling, changes).await });
            tokio::join!(program::set_up(&app), reconcilers::instances::adopt_survivors(&app));
            app.resume_waiting(None).await.expect("the database works");
            app
        });
        Self { app: started.await.expect("doce starts"), tasks }
    }

    /// Ends it as `kill -9` does, and lets go of its files as the kernel does.
    fn kill(self) {
        self.tasks.shutdown_timeout(BOUND);
        let builder = tokio::runtime::Builder::new_current_thread().build();
        builder.expect("a runtime can be made").block_on(self.app.store.close());
    }
}

/// A machine, and who uses it.
pub(super) struct Machine {
    config: Config,
    clock: Arc<GoingClock>,
    process: Option<Process>,
    pub(super) user: User,
    project: Mutex<Option<ProjectId>>,
    /// The provider: it answers as long as the machine is there.
    pub(super) model: ScriptedModel,
    #[expect(dead_code, reason = "it is removed with the machine")]
    directory: TempDir,
}

/// The catalogue, once a machine has read it: each of the others finds it in its data directory.
static CATALOGUE: Mutex<Option<Vec<u8>>> = Mutex::new(None);

impl Machine {
    /// Starts one whose user has connected a provider.
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let root = directory.path().canonicalize().expect("it exists");
        let root = Utf8PathBuf::from_path_buf(root).expect("its path is UTF-8");
        let config = Config {
            data_dir: root.join("data"),
            database_url: None,
            master_key_file: None,
            opencode: Some(fake_opencode()),
            unsandboxed: false,
            npm_registry: None,
            outside: Outside {
                search_path: format!("{}:/usr/local/bin:/usr/bin:/bin", make_tools(&root)),
                variables: Vec::new(),
            },
            token_endpoints: crate::TokenEndpoints::default(),
            local_places: Vec::new(),
            agents: crate::AgentLimits::default(),
        };
        let clock = Arc::new(GoingClock { started: Instant::now(), jumped: AtomicI64::new(0) });
        let kept = config.data_dir.join("catalogue.json");
        let known = CATALOGUE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            std::fs::create_dir(&config.data_dir).expect("a directory can be made");
            std::fs::write(&kept, known).expect("a file can be written");
        }
        let process = Process::start(config.clone(), Arc::clone(&clock) as Arc<dyn Clock>).await;
        let user = User {
            id: UserId::new(clock.now()),
            username: "ada".to_owned(),
            role: Role::Admin,
            created_at: clock.now(),
            disabled_at: None,
        };
        let model = ScriptedModel::start().await;
        let machine = Self {
            config,
            clock,
            process: Some(process),
            user: user.clone(),
            project: Mutex::default(),
            model,
            directory,
        };
        wait_for("the catalogue", BOUND, async || catalogue::ready(&machine.app().catalogue).await.ok()).await;
        machine
            .run(|app, ctx| async move {
                let mut tx = app.store.write(&ctx).await?;
                doce_store::user::insert(&mut tx, &user, "no password").await?;
                tx.commit().await
            })
            .await
            .expect("there is a user");
        machine.connect().await;
        CATALOGUE
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| std::fs::read(&kept).expect("the catalogue is kept"));
        machine
    }

    /// Connects the provider.
    pub(super) async fn connect(&self) {
        let (user, base_url) = (self.user.clone(), self.model.anthropic_base_url());
        let new = NewConnection {
            provider_id: PROVIDER.to_owned(),
            label: None,
            key: SecretString::from(KEY),
            base_url: Some(base_url),
            metadata: std::collections::BTreeMap::new(),
            keep_unverified: false,
        };
        let connected = self.run(|app, ctx| async move { app.connect(&ctx, &user, new).await }).await;
        connected.expect("a provider is connected");
    }

    /// The user's Connections.
    pub(super) async fn connections(&self) -> Vec<Connection> {
        let user = self.user.id;
        self.read(|app| async move { connection::list(&mut app.store.read().await?, user).await }).await
    }

    /// Starts one with a Project that runs and has answered.
    pub(super) async fn with_a_running_project(prompt: &str) -> Self {
        let machine = Self::start().await;
        machine.create_project(prompt).await;
        machine.finish().await;
        machine.wait_for_answer().await;
        machine
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("doce runs")
    }

    pub(super) fn app(&self) -> &App {
        &self.process().app
    }

    pub(super) fn jobs(&self) -> Jobs {
        self.app().jobs.clone()
    }

    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Does something inside of doce, as its user.
    pub(super) async fn run<T: Send + 'static, F>(&self, what: impl FnOnce(App, Ctx) -> F) -> T
    where
        F: Future<Output = T> + Send + 'static,
    {
        let app = self.app().clone();
        let ctx = app.ctx(Actor::User(self.user.id), "test");
        let done = self.process().tasks.spawn(what(app, ctx));
        let done = tokio::time::timeout(BOUND * 2, done).await.expect("it ends within the bound");
        done.expect("it does not panic")
    }

    /// Does what is due, as the workers would.
    pub(super) async fn drain(&self) {
        self.run(|app, _| async move { app.jobs.drain().await }).await.expect("the database works");
    }

    /// Does what is due, now and later.
    pub(super) async fn finish(&self) {
        self.drain().await;
        while let Some(due) = self.jobs().next_due().await.expect("the database works") {
            self.advance(due.since(self.clock.now()));
            self.drain().await;
        }
    }

    /// Kills doce, and starts it again a while later.
    pub(super) async fn restart(&mut self) {
        let process = self.process.take().expect("doce runs");
        tokio::task::spawn_blocking(|| process.kill()).await.expect("it is killed");
        self.advance(DEAD_FOR);
        self.process = Some(Process::start(self.config.clone(), Arc::clone(&self.clock) as Arc<dyn Clock>).await);
    }
}

/// What is done and looked at.
impl Machine {
    /// Makes a Project, whose launch is to be done.
    pub(super) async fn create_project(&self, prompt: &str) -> JobId {
        let (user, prompt) = (self.user.clone(), prompt.to_owned());
        let model = ModelRef { provider_id: PROVIDER.to_owned(), model_id: MODEL.to_owned() };
        let new = NewProject { prompt, name: None, model, connections: Vec::new() };
        let created = self.run(|app, ctx| async move { app.create_project(&ctx, &user, new).await }).await;
        let (view, job) = created.expect("the project is made");
        *self.project.lock().unwrap_or_else(PoisonError::into_inner) = Some(view.project.id);
        job.id
    }

    pub(super) fn project_id(&self) -> ProjectId {
        self.project.lock().unwrap_or_else(PoisonError::into_inner).expect("a project was made")
    }

    pub(super) async fn project(&self) -> Option<Project> {
        let id = self.project_id();
        self.read(|app| async move { doce_store::project::find(&mut app.store.read().await?, id).await }).await
    }

    /// What the Project is doing, as its page shows it.
    pub(super) async fn project_state(&self) -> ProjectState {
        let (user, id) = (self.user.clone(), self.project_id());
        let view = self.run(|app, ctx| async move { app.get_project(&ctx, &user, id).await }).await;
        view.expect("it can be read").state
    }

    pub(super) async fn session(&self) -> Session {
        let id = self.project_id();
        let found = self.read(|app| async move { conversation::find_session(&mut app.store.read().await?, id).await });
        found.await.expect("a project has a session")
    }

    /// The conversation, as its owner sees it.
    pub(super) async fn messages(&self) -> Vec<Message> {
        let (user, id) = (self.user.clone(), self.project_id());
        let page = self.run(|app, ctx| async move { app.conversation(&ctx, &user, id, None, None).await });
        page.await.expect("it can be read").messages
    }

    pub(super) fn agent(&self) -> Option<Arc<Agent>> {
        self.app().agents.find(self.project_id())
    }

    /// Reads from the database.
    pub(super) async fn read<T: Send + 'static, F>(&self, what: impl FnOnce(App) -> F) -> T
    where
        F: Future<Output = Result<T, doce_store::StoreError>> + Send + 'static,
    {
        self.run(|app, _| what(app)).await.expect("the database works")
    }

    /// Waits until the last Message is an answer that is whole, and the Agent idle.
    pub(super) async fn wait_for_answer(&self) {
        wait_for("the answer", BOUND, async || {
            let messages = self.messages().await;
            let last = messages.last()?;
            let idle = self.agent()?.is_idle();
            (idle && last.speaker == Speaker::Assistant && last.state == MessageState::Complete).then_some(())
        })
        .await;
    }

    /// Where the Agent's data lies.
    fn home(&self) -> PathBuf {
        self.app().layout.project(self.project_id()).join("home").into()
    }

    /// The Prompts that Agents of the Project received, repeats included.
    pub(super) fn prompts(&self) -> Vec<PromptCall> {
        read_calls(&self.home()).into_iter().filter_map(|call| call.prompt).collect()
    }

    /// The keys in the Agent's file, by provider; `None` without a file.
    pub(super) fn keys(&self) -> Option<Value> {
        let text = std::fs::read_to_string(self.home().join("opencode/auth.json")).ok()?;
        Some(serde_json::from_str(&text).expect("the fake writes JSON"))
    }

    /// The sessions that the Agent has: the id of each, and how many user messages are in it.
    pub(super) fn agent_sessions(&self) -> Vec<(String, usize)> {
        let text = std::fs::read_to_string(self.home().join("opencode/fake-sessions.json")).unwrap_or_default();
        let sessions: Value = serde_json::from_str(&text).unwrap_or_default();
        let count = |session: &Value| {
            let messages = session["messages"].as_array().expect("a session has messages");
            messages.iter().filter(|message| message["info"]["role"] == "user").count()
        };
        let id = |session: &Value| session["info"]["id"].as_str().expect("a session has an id").to_owned();
        sessions.as_array().into_iter().flatten().map(|session| (id(session), count(session))).collect()
    }

    /// The markers of all processes that doce has on this machine.
    pub(super) fn markers(&self) -> BTreeSet<String> {
        let ours = format!("{MARKER_VARIABLE}={}-", self.app().installation);
        let processes = std::fs::read_dir("/proc").expect("there is /proc");
        processes
            .filter_map(|process| std::fs::read(process.ok()?.path().join("environ")).ok())
            .filter_map(|environment| {
                let mut variables = environment.split(|byte| *byte == 0);
                let marked = variables.find(|variable| variable.starts_with(ours.as_bytes()))?;
                Some(String::from_utf8_lossy(&marked[ours.len()..]).into_owned())
            })
            .collect()
    }

    /// Asserts that the Project's Agent runs, once, with one key, and that its Workspace is whole.
    pub(super) async fn assert_runs(&self, key: &str, version: i64) {
        let agent = self.agent().expect("the agent is registered");
        let live = self.read(|app| async move { instance::list_live(&mut app.store.read().await?).await }).await;
        assert_eq!(live.len(), 1, "{live:?}");
        assert_eq!((live[0].id, live[0].observed), (agent.instance_id, Observed::Healthy));
        assert_eq!(live[0].pid, Some(i64::from(agent.running.identity().pid)));
        let health = self.run(|_, _| async move { agent.client.health(BOUND).await }).await;
        health.expect("the agent answers");
        let markers = self.markers();
        let (agents, others): (Vec<_>, Vec<_>) = markers.iter().partition(|marker| marker.contains(".agent"));
        assert!(agents.len() == 1 && agents[0].starts_with(&live[0].id.to_string()), "{markers:?}");
        let project = self.project_id().to_string();
        let is_preview =
            |marker: &str| marker.starts_with(&project) && (marker.contains(".install") || marker.contains(".preview"));
        assert!(others.iter().all(|marker| is_preview(marker)), "{markers:?}");
        assert_eq!(self.instance_directories(), [live[0].id.to_string()]);

        let id = live[0].id;
        let held = self.read(|app| async move { delivery::of_instance(&mut app.store.read().await?, id).await }).await;
        let held: Vec<_> = held.iter().map(|d| (d.provider_id.as_str(), d.version, d.status)).collect();
        assert_eq!(held, [(PROVIDER, version, DeliveryStatus::Delivered)]);
        let keys = self.keys().expect("the agent has keys");
        assert_eq!(keys, json!({PROVIDER: {"type": "api", "key": key}}));
        assert_eq!(self.held(key).await, ReadBack::Same);
        self.assert_workspace();
    }

    /// Asserts that nothing of the Project runs, and that no Agent holds anything.
    pub(super) async fn assert_stands_still(&self) {
        assert!(self.agent().is_none(), "an agent is registered");
        let live = self.read(|app| async move { instance::list_live(&mut app.store.read().await?).await }).await;
        assert_eq!(live, []);
        assert_eq!(self.markers(), BTreeSet::new(), "processes are left");
        assert_eq!(self.app().previews.view(self.project_id()).state, PreviewState::Off);
        assert_eq!(self.instance_directories(), Vec::<String>::new());
        assert_eq!(self.keys(), None);
        let id = self.project_id();
        let last = self.read(|app| async move {
            let mut read = app.store.read().await?;
            Ok(match instance::find_last(&mut read, id).await? {
                Some(last) => delivery::of_instance(&mut read, last.id).await?,
                None => Vec::new(),
            })
        });
        let last = last.await;
        assert!(last.iter().all(|delivery| delivery.status == DeliveryStatus::Revoked), "{last:?}");
    }

    /// Asserts that the Workspace is there: the template, and one commit of it.
    pub(super) fn assert_workspace(&self) {
        let workspace = self.workspace();
        assert!(workspace.join("package.json").is_file(), "the template is not there");
        let log = std::fs::read_to_string(workspace.join(".git/logs/HEAD")).expect("there is a repository");
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(!workspace.with_extension("new").exists(), "a half-made workspace is left");
    }

    /// Asserts that there is no Workspace, and no half-made one.
    pub(super) fn assert_no_workspace(&self) {
        assert!(!self.workspace().exists(), "the workspace is left");
        assert!(!self.workspace().with_extension("new").exists(), "a half-made workspace is left");
    }

    fn workspace(&self) -> Utf8PathBuf {
        self.app().layout.project(self.project_id()).join("workspace")
    }

    /// Tells which key the Agent works with, whatever its file says.
    pub(super) async fn held(&self, key: &str) -> ReadBack {
        let agent = self.agent().expect("the agent is registered");
        let key = SecretString::from(key);
        let read = self.run(|_, _| async move { agent.client.read_back(PROVIDER, &key).await }).await;
        read.expect("the agent answers")
    }

    fn instance_directories(&self) -> Vec<String> {
        let found = self.app().layout.instances().read_dir_utf8().expect("it was made at the start");
        found.map(|entry| entry.expect("it can be read").file_name().to_owned()).collect()
    }
}

/// Nothing of a machine outlives it.
impl Drop for Machine {
    fn drop(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        let (marker, notes) = (format!("{}-", process.app.installation), process.app.layout.runtime());
        let ended = std::thread::spawn(move || {
            process.kill();
            let builder = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = Runtime::new(Isolation::Unsandboxed, notes);
            builder.expect("a runtime can be made").block_on(runtime.sweep(&marker, &[]));
        });
        ended.join().expect("it ends");
    }
}

/// Where the fake lies that Cargo builds with the tests.
fn fake_opencode() -> Utf8PathBuf {
    let test = std::env::current_exe().expect("a test knows where it lies");
    let target = test.parent().and_then(|deps| deps.parent()).map(PathBuf::from).expect("a test lies in deps/");
    let path = target
        .join("examples/fake-agent")
        .canonicalize()
        .expect("the example fake-agent is built: choose tests with `-E`, as `--lib` leaves examples out");
    Utf8PathBuf::from_path_buf(path).expect("its path is UTF-8")
}

/// Makes an `npm` that installs next to nothing, and a `node` that serves nothing: what matters of a preview here is
/// that it is a process.
fn make_tools(root: &Utf8Path) -> Utf8PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let tools = root.join("tools/bin");
    std::fs::create_dir_all(&tools).expect("a directory can be made");
    let install = "mkdir -p node_modules/vite/bin\n: > node_modules/vite/bin/vite.js\n\
                   echo '{}' > node_modules/.package-lock.json\n";
    for (name, does) in [("npm", install), ("node", "exec sleep 600\n")] {
        let tool = tools.join(name);
        std::fs::write(&tool, format!("#!/bin/sh\nset -e\n{does}")).expect("a file can be written");
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    tools
}
