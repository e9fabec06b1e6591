//! `OpenCode` itself: found or installed, checked, and asked once for its catalogue.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::{AuditAction, AuditEvent, Ctx, Failure, NextMove};
use doce_opencode::{
    Client,
    config::{
        AGENT_FILE, AgentConfig, AgentPaths, Mask, default_permission, environment, home_files, pinned_files,
        workspace_masks,
    },
    install,
};
use doce_runtime::{Bind, Isolation, Limits, RunError, Runtime, Sandbox, Spec, Tool};
use doce_store::Trouble;
use url::Url;

use crate::{App, Error, SandboxState, beneath, catalogue, chain, events::Change, make_private_directory};

/// The public npm registry.
pub(crate) const NPM_REGISTRY: &str = "https://registry.npmjs.org/";
/// How long the catalogue's server may take to come up and to answer.
const CATALOGUE_BOUND: Duration = Duration::from_mins(1);
/// How often the catalogue's server is started: its port may be taken between the choice and the start.
const CATALOGUE_TRIES: usize = 3;
/// How long `opencode --version` may take. The first run reads 185 MB from the disk.
const VERSION_BOUND: Duration = Duration::from_mins(1);

/// How often at most the progress of a download is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(300);

/// How far `OpenCode` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramState {
    /// It is being looked for.
    Checking,
    /// It is being downloaded.
    Installing {
        /// Bytes so far.
        got: u64,
        /// Bytes in all, if known.
        total: Option<u64>,
    },
    /// It is there, in the right version.
    Ready {
        /// Where.
        path: Utf8PathBuf,
    },
    /// It isn't, and why.
    Failed(Failure),
}

/// Why a program could not be made ready, for a log and for whoever looks for a trouble in it.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Finds or installs `OpenCode`, then reads the catalogue if it isn't kept yet.
pub(crate) async fn set_up(app: &App) {
    let kept = tokio::fs::read(app.layout.catalogue()).await.ok().and_then(|b| catalogue::Stored::from_json(&b));
    if let Some(stored) = kept {
        app.catalogue.send_replace(catalogue::CatalogueState::Ready(stored.into()));
    }
    look_for_sandbox(app).await;
    let result = tokio::select! {
        result = find_or_install(app) => result,
        () = app.stopping.cancelled() => return,
    };
    match result {
        Ok(path) => {
            app.program.send_replace(ProgramState::Ready { path: path.clone() });
            let loaded = matches!(&*app.catalogue.borrow(), catalogue::CatalogueState::Ready(_));
            if !loaded {
                let state = read_catalogue(app, &path).await;
                app.catalogue.send_replace(state);
            }
        }
        Err(failure) => {
            tracing::error!(reason = failure.message, "OpenCode is not available");
            let reason = failure.message.clone();
            app.program.send_replace(ProgramState::Failed(failure));
            let loaded = matches!(&*app.catalogue.borrow(), catalogue::CatalogueState::Ready(_));
            if !loaded {
                app.catalogue.send_replace(catalogue::CatalogueState::Failed(reason));
            }
        }
    }
}

/// Looks again for a sandbox that was missing: somebody may have installed it, or allowed it, meanwhile.
async fn look_for_sandbox(app: &App) {
    if !matches!(app.sandbox(), SandboxState::Unavailable { .. }) {
        return;
    }
    let found = match Sandbox::probe(None).await {
        Ok(sandbox) => {
            app.runtime.found(sandbox);
            SandboxState::Active
        }
        Err(e) => SandboxState::unavailable(&e),
    };
    app.sandbox.send_replace(found);
}

fn unavailable(reason: String) -> Failure {
    Failure::new("opencode_unavailable", reason, NextMove::Retry)
}

async fn find_or_install(app: &App) -> Result<Utf8PathBuf, Failure> {
    let path = match &app.config.opencode {
        Some(path) if path.is_file() => path.clone(),
        Some(path) => {
            return Err(unavailable(format!("There is no OpenCode at `{path}`, where DOCE_OPENCODE points.")));
        }
        None => install(app).await?,
    };
    // A path through links would not be there inside the sandbox.
    let path = path.canonicalize_utf8().map_err(|e| unavailable(format!("`{path}` can't be read: {e}.")))?;
    check_version(app, &path).await.map_err(unavailable)?;
    Ok(path)
}

async fn install(app: &App) -> Result<Utf8PathBuf, Failure> {
    let registry = app.config.npm_registry.as_deref().unwrap_or(NPM_REGISTRY);
    let registry = Url::parse(registry)
        .map_err(|_| unavailable(format!("`{registry}` is not the address of an npm registry.")))?;
    let directory = app.layout.opencode();
    let program = app.program.clone();
    let path = install::fetch(&registry, directory.as_std_path(), |got, total| {
        program.send_replace(ProgramState::Installing { got, total });
    })
    .await
    .map_err(|e| match Trouble::find(&e) {
        Some(trouble) => trouble.failure(),
        None => unavailable(format!(
            "OpenCode {} could not be installed: {}. Check the network and try again, or start doce with DOCE_OPENCODE \
             set to a binary of that version.",
            install::VERSION,
            chain(&e)
        )),
    })?;
    Utf8PathBuf::try_from(path).map_err(|e| unavailable(e.to_string()))
}

async fn check_version(app: &App, path: &Utf8Path) -> Result<(), String> {
    if let SandboxState::Unavailable { reason, repair } = app.sandbox() {
        return Err(format!("OpenCode is only run in a sandbox, and there is none: doce could not {reason}. {repair}"));
    }
    let printed = print_version(
        &app.runtime,
        &app.installation,
        "opencode",
        opencode_at(&app.runtime, path),
        Vec::new(),
        VERSION_BOUND,
    )
    .await
    .map_err(|e| format!("`{path}` could not be run: {}.", chain(&e)))?;
    install::check_version(&printed).map_err(|e| {
        format!(
            "`{path}` is OpenCode `{}`, and doce works with {} only: unset DOCE_OPENCODE to let doce install it.",
            e.found,
            install::VERSION
        )
    })
}

/// Returns the `OpenCode` at a path, as a process may start it.
pub(crate) fn opencode_at(runtime: &Runtime, path: &Utf8Path) -> Tool {
    let binary = Bind::read_only(path, "/opt/opencode");
    Tool { program: runtime.isolation().path_of(&binary).to_owned(), binds: vec![binary] }
}

/// Has a program print its version, where everything is run that isn't doce's own. `owner` begins the process's marker.
pub(crate) async fn print_version(
    runtime: &Runtime,
    owner: &str,
    name: &str,
    tool: Tool,
    mut env: Vec<(String, String)>,
    bound: Duration,
) -> Result<String, RunError> {
    env.push(("HOME".to_owned(), "/tmp".to_owned()));
    let mut spec = Spec::new(format!("{name} --version"), format!("{owner}-{name}-version"), tool.program);
    spec.args = vec!["--version".to_owned()];
    spec.env = env;
    spec.cwd = "/tmp".into();
    spec.binds = tool.binds;
    let output = runtime.run(&spec, bound, None).await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the path by which a process knows what a bind shows.
pub(crate) fn program_path(app: &App, bind: &Bind) -> Utf8PathBuf {
    app.runtime.isolation().path_of(bind).to_owned()
}

/// Waits until `OpenCode` is there.
pub(crate) async fn ready(app: &App, on_progress: impl Fn(String)) -> Result<Utf8PathBuf, Failure> {
    let mut state = app.program();
    loop {
        match &*state.borrow_and_update() {
            ProgramState::Ready { path } => return Ok(path.clone()),
            ProgramState::Failed(failure) => return Err(failure.clone()),
            ProgramState::Checking => on_progress("looking for OpenCode".to_owned()),
            ProgramState::Installing { got, total } => on_progress(match total {
                Some(total) => format!("installing OpenCode, {} of {} MB", got / 1_000_000, total / 1_000_000),
                None => format!("installing OpenCode, {} MB", got / 1_000_000),
            }),
        }
        if state.changed().await.is_err() {
            return Err(Failure::new("stopping", "The server is stopping.", doce_model::NextMove::Retry));
        }
    }
}

impl App {
    /// Tries again to set `OpenCode` up, its sandbox first, and to read its catalogue, if the last try failed. Returns
    /// at once.
    pub async fn retry_opencode(&self, ctx: &Ctx) -> Result<(), Error> {
        let mut tx = self.store.write(ctx).await?;
        tx.audit(AuditEvent::ok(AuditAction::RetryOpencode, "server")).await?;
        tx.commit().await?;
        retry(self);
        Ok(())
    }
}

/// Tries again to set `OpenCode` up, and to read its catalogue, if the last try failed.
pub(crate) fn retry(app: &App) {
    let missing = app.catalogue.send_if_modified(|state| match state {
        catalogue::CatalogueState::Failed(_) => {
            *state = catalogue::CatalogueState::Loading;
            true
        }
        catalogue::CatalogueState::Loading | catalogue::CatalogueState::Ready(_) => false,
    });
    let failed = app.program.send_if_modified(|state| match state {
        ProgramState::Failed(_) => {
            *state = ProgramState::Checking;
            true
        }
        ProgramState::Checking | ProgramState::Installing { .. } | ProgramState::Ready { .. } => false,
    });
    if failed || missing {
        let app = app.clone();
        app.clone().tasks.spawn(async move { set_up(&app).await });
    }
}

/// Tells everybody how far it is, until the server stops.
pub(crate) async fn tell_changes(app: &App) {
    let mut state = app.program();
    loop {
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = app.stopping.cancelled() => return,
        }
        let now = state.borrow_and_update().clone();
        let is_progress = matches!(now, ProgramState::Installing { .. });
        app.bus.publish_to_all(Change::Program(now));
        if is_progress {
            // A download says something for every few kilobytes: the newest word is enough.
            tokio::select! {
                () = tokio::time::sleep(PROGRESS_EVERY) => {}
                () = app.stopping.cancelled() => return,
            }
        }
    }
}

/// Reads the catalogue from a server that belongs to no Project, and keeps it.
async fn read_catalogue(app: &App, path: &Utf8Path) -> catalogue::CatalogueState {
    let directory = app.layout.instances().join("catalogue");
    let mut read = ask_for_catalogue(app, path, &directory).await;
    for _ in 1..CATALOGUE_TRIES {
        if read.is_ok() || app.stopping.is_cancelled() {
            break;
        }
        tracing::warn!(reason = ?read.as_ref().err(), "the catalogue was not read; it is tried again");
        read = ask_for_catalogue(app, path, &directory).await;
    }
    let cleaned = tokio::task::spawn_blocking({
        let directory = directory.clone();
        move || std::fs::remove_dir_all(directory)
    })
    .await;
    if !matches!(cleaned, Ok(Ok(()))) {
        tracing::warn!(%directory, "the catalogue server's directory was not removed");
    }
    match read {
        Ok(stored) => {
            let kept = write_beside(&app.layout.catalogue(), &stored.to_json()).await;
            if let Err(e) = kept {
                tracing::warn!(error = %e, "the catalogue was not kept; it is read again at the next start");
            }
            catalogue::CatalogueState::Ready(stored.into())
        }
        Err(reason) => {
            if app.stopping.is_cancelled() {
                tracing::info!("the catalogue is read at the next start");
            } else {
                tracing::error!(reason, "the catalogue was not read");
            }
            catalogue::CatalogueState::Failed(reason)
        }
    }
}

async fn ask_for_catalogue(app: &App, path: &Utf8Path, directory: &Utf8Path) -> Result<catalogue::Stored, String> {
    let password = doce_vault::token().map_err(|e| e.to_string())?;
    let port = doce_runtime::free_port().map_err(|e| e.to_string())?;
    // Every provider is listed only while none is enabled by name, so this one server gets no `enabled_providers`.
    let config = serde_json::json!({ "permission": "deny" }).to_string();
    let spec = agent_spec(
        app,
        &AgentPlace {
            name: "the catalogue's OpenCode".to_owned(),
            marker: format!("{}-catalogue", app.installation),
            program: path,
            instance: directory,
            home: &directory.join("home"),
            workspace: &directory.join("workspace"),
            port,
            password: &password,
            agent_json: &config,
        },
    )
    .await
    .map_err(|e| chain(&*e))?;
    let running = app.runtime.start(&spec, directory.join("agent.log")).await.map_err(|e| chain(&e))?;
    let client = Client::new(port, &password);
    let asked = async {
        client.wait_healthy(CATALOGUE_BOUND).await.map_err(|e| chain(&e))?;
        let catalogue = client.catalogue().await.map_err(|e| chain(&e))?;
        let methods = client.auth_methods().await.map_err(|e| chain(&e))?;
        Ok(catalogue::Stored::new(catalogue, methods))
    };
    // Whatever comes first, the server is ended below: dropping it would leave it running.
    let asked = tokio::select! {
        asked = asked => asked,
        ending = running.exited() => Err(format!("OpenCode {ending}")),
        () = app.stopping.cancelled() => Err("doce is stopping".to_owned()),
    };
    if let Err(e) = running.stop(Duration::from_secs(1)).await {
        tracing::error!(error = chain(&e), "the catalogue's OpenCode did not end");
    }
    asked
}

/// Where one `OpenCode` server runs, and with what.
pub(crate) struct AgentPlace<'a> {
    pub(crate) name: String,
    pub(crate) marker: String,
    pub(crate) program: &'a Utf8Path,
    pub(crate) instance: &'a Utf8Path,
    pub(crate) home: &'a Utf8Path,
    pub(crate) workspace: &'a Utf8Path,
    pub(crate) port: u16,
    pub(crate) password: &'a doce_vault::SecretString,
    pub(crate) agent_json: &'a str,
}

/// The directory that holds [`AGENT_FILE`], in an Instance's directory.
pub(crate) const CONFIG_DIRECTORY: &str = "agent";
/// The directory with what is laid over places of the Workspace.
const MASK_DIRECTORY: &str = "masks";
/// Where an Agent sees its Workspace.
pub(crate) const WORKSPACE: &str = "/workspace";
/// Memory of an Agent and all that it starts. `OpenCode` alone takes 0.8 GB (1.18.33, observed); builds come on top.
const AGENT_MEMORY: u64 = 4 << 30;
/// Processes and threads of an Agent and all that it starts.
const AGENT_PROCESSES: u32 = 1024;

/// Makes the directories of an Agent and says how to start it.
pub(crate) async fn agent_spec(app: &App, place: &AgentPlace<'_>) -> Result<Spec, Cause> {
    let instance = place.instance.to_owned();
    let (home, workspace) = (place.home.to_owned(), place.workspace.to_owned());
    let agent_json = place.agent_json.to_owned();
    tokio::task::spawn_blocking(move || {
        for directory in ["config/opencode", "state", "cache", MASK_DIRECTORY, CONFIG_DIRECTORY] {
            make_private_directory(&instance.join(directory))?;
        }
        for directory in [&home, &workspace] {
            make_private_directory(directory)?;
        }
        for (name, content) in home_files() {
            std::fs::write(instance.join("config/opencode").join(name), content)?;
        }
        let pinned = instance.join(CONFIG_DIRECTORY);
        for (name, content) in pinned_files() {
            std::fs::write(pinned.join(name), content)?;
        }
        std::fs::write(pinned.join(AGENT_FILE), agent_json)?;
        for mask in workspace_masks() {
            let name = match mask {
                Mask::EmptyDirectory(name) => {
                    make_private_directory(&instance.join(MASK_DIRECTORY).join(name))?;
                    name
                }
                Mask::File(name, content) => {
                    std::fs::write(instance.join(MASK_DIRECTORY).join(name), content)?;
                    name
                }
            };
            // A link there would lead the mask elsewhere.
            beneath::remove_link(&workspace, name)?;
        }
        Ok::<(), Cause>(())
    })
    .await??;

    let user_home = doce_runtime::SANDBOX_HOME;
    let binary = Bind::read_only(place.program, "/opt/opencode");
    let data = Bind::read_write(place.home, format!("{user_home}/.local/share"));
    let config = Bind::read_only(place.instance.join("config"), format!("{user_home}/.config"));
    let state = Bind::read_write(place.instance.join("state"), format!("{user_home}/.local/state"));
    let cache = Bind::read_write(place.instance.join("cache"), format!("{user_home}/.cache"));
    // The directory is bound, not the file: a file that is replaced by a rename would stay the old one inside.
    let agent = Bind::read_only(place.instance.join(CONFIG_DIRECTORY), "/opt/doce");
    let workspace = Bind::read_write(place.workspace, WORKSPACE);
    let seen = |bind: &Bind| app.runtime.isolation().path_of(bind).to_owned();
    let home_seen = match app.runtime.isolation() {
        Isolation::Sandboxed(_) | Isolation::Missing => Utf8PathBuf::from(user_home),
        Isolation::Unsandboxed => seen(&cache),
    };
    let mut env = environment(
        &AgentPaths {
            home: home_seen.as_std_path(),
            data: seen(&data).as_std_path(),
            config: seen(&config).as_std_path(),
            state: seen(&state).as_std_path(),
            cache: seen(&cache).as_std_path(),
            pinned: seen(&agent).as_std_path(),
        },
        place.password,
    );
    let mut binds = vec![binary.clone(), data, config, state, cache.clone(), agent, workspace.clone()];
    for mask in workspace_masks() {
        let (Mask::EmptyDirectory(name) | Mask::File(name, _)) = mask;
        let from = place.instance.join(MASK_DIRECTORY).join(name);
        binds.push(Bind::read_only(from, format!("{WORKSPACE}/{name}")));
    }
    env.extend(tool_environment(app, &mut binds, &seen(&cache)));

    let mut spec = Spec::new(place.name.clone(), place.marker.clone(), seen(&binary));
    spec.args = ["serve", "--hostname", "127.0.0.1", "--port", &place.port.to_string()].map(str::to_owned).into();
    spec.env = env;
    spec.cwd = seen(&workspace);
    spec.binds = binds;
    spec.tmpfs = vec![user_home.into()];
    spec.network = true;
    // Who looks at a page doesn't wait for what all the agents compute; previews and installations wait for agents.
    spec.nice = Some(4);
    spec.oom_score_adj = Some(500);
    spec.limits = Limits { memory: Some(AGENT_MEMORY), processes: Some(AGENT_PROCESSES) };
    Ok(spec)
}

/// Shows the sandbox the user's own node, npm and git, and returns the variables that go with them.
pub(crate) fn tool_environment(app: &App, binds: &mut Vec<Bind>, cache: &Utf8Path) -> Vec<(String, String)> {
    let mut path: Vec<String> = Vec::new();
    for name in ["node", "npm", "git"] {
        if let Some(tool) = doce_runtime::find_tool(name, &app.config.outside.search_path) {
            if let Some(directory) = tool.program.parent() {
                path.push(directory.to_string());
            }
            binds.extend(tool.binds);
        }
    }
    path.extend(["/usr/local/bin", "/usr/bin", "/bin"].map(str::to_owned));
    let mut seen = std::collections::HashSet::new();
    path.retain(|directory| seen.insert(directory.clone()));
    let mut seen = std::collections::HashSet::new();
    binds.retain(|bind| seen.insert(bind.inside.clone()));
    let mut env = vec![
        ("PATH".to_owned(), path.join(":")),
        ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ("TERM".to_owned(), "dumb".to_owned()),
        ("SHELL".to_owned(), "/bin/bash".to_owned()),
        ("npm_config_cache".to_owned(), cache.join("npm").to_string()),
        ("npm_config_update_notifier".to_owned(), "false".to_owned()),
        // A registry that is away is asked again after 1 and 10 seconds. By itself npm waits for 10 and 60, in which
        // nothing tells a person that anything is wrong.
        ("npm_config_fetch_retry_mintimeout".to_owned(), "1000".to_owned()),
    ];
    if let Some(registry) = &app.config.npm_registry {
        env.push(("npm_config_registry".to_owned(), registry.clone()));
    }
    for (name, value) in &app.config.outside.variables {
        // OpenCode must not call its own server through a proxy, so it says itself what goes past one.
        if name.eq_ignore_ascii_case("no_proxy") {
            continue;
        }
        let certificates = ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"].contains(&name.as_str());
        let value = if certificates { show(app, binds, name, value) } else { value.clone() };
        env.push((name.clone(), value));
    }
    env
}

/// Shows certificates wherever they lie: a company's own are often in somebody's home.
fn show(app: &App, binds: &mut Vec<Bind>, name: &str, path: &str) -> String {
    let host = Utf8Path::new(path);
    if doce_runtime::is_shown(host) || !host.is_absolute() || !host.exists() {
        return path.to_owned();
    }
    let bind = Bind::read_only(host, format!("/opt/certificates/{name}"));
    let seen = program_path(app, &bind).to_string();
    binds.push(bind);
    seen
}

/// What an Agent's configuration says besides its providers.
pub(crate) fn agent_config(instructions: Vec<String>) -> AgentConfig {
    AgentConfig { providers: Vec::new(), small_model: None, permission: default_permission(), instructions }
}

/// Writes a file so that a reader sees the old one or the new one, whole.
pub(crate) async fn write_beside(path: &Utf8Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    tokio::fs::write(&beside, bytes).await?;
    tokio::fs::rename(&beside, path).await
}
