//! Previews: the dev server of each running Project.
//!
//! It has a sandbox and a home of its own, without credentials, and comes up at low priority after the Agent has its
//! first Prompt; nothing waits for it. Whatever goes wrong with it is a reason on the page and never a failure of the
//! Project. Unlike Agents, previews are not adopted after a crash: they hold nothing, and start in a second.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::{AuditAction, AuditEvent, Ctx, Failure, NextMove, PreviewState, Project, ProjectId, User};
use doce_runtime::{Bind, Limits, Log, Running, Spec, Stream};
use doce_store::project;
use tokio_util::sync::CancellationToken;

use crate::{
    App, Error, beneath, chain, make_private_directory,
    program::{WORKSPACE, program_path, tool_environment},
    projects::own_project,
    views::{PreviewTarget, PreviewView},
};

/// How long installing an app's packages may take.
const INSTALL_BOUND: Duration = Duration::from_mins(10);
/// How long a dev server may take to listen.
const LISTEN_BOUND: Duration = Duration::from_mins(1);
/// How often a dev server's port is tried until it listens: it has no way to tell.
const LISTEN_EVERY: Duration = Duration::from_millis(150);
/// Memory of a dev server and all that it starts.
const PREVIEW_MEMORY: u64 = 2 << 30;
/// Memory of a package installation.
const INSTALL_MEMORY: u64 = 3 << 30;
/// Processes and threads of either.
const PREVIEW_PROCESSES: u32 = 512;
/// How long a dev server may take to end.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Lines of an installation's end that go into a reason.
const REASON_LINES: usize = 3;

/// The previews that run or are on their way, by Project.
#[derive(Debug, Default)]
pub(crate) struct Previews {
    by_project: Mutex<HashMap<ProjectId, Preview>>,
}

#[derive(Debug)]
struct Preview {
    state: PreviewState,
    reason: Option<String>,
    port: Option<u16>,
    end: CancellationToken,
    /// Cancelled once the task that runs it has ended and nothing of it is left.
    gone: CancellationToken,
}

/// What the markers of a Project's dev server and of its package installation begin with.
pub(crate) fn marker(app: &App, id: ProjectId) -> String {
    format!("{}-{id}", app.installation)
}

impl Previews {
    pub(crate) fn view(&self, id: ProjectId) -> PreviewView {
        let previews = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        previews.get(&id).map_or(PreviewView { state: PreviewState::Off, reason: None }, |preview| PreviewView {
            state: preview.state,
            reason: preview.reason.clone(),
        })
    }

    fn port(&self, id: ProjectId) -> Option<u16> {
        let previews = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        previews.get(&id).filter(|preview| preview.state == PreviewState::Ready).and_then(|preview| preview.port)
    }

    /// Ends a preview and waits until nothing of it is left.
    pub(crate) async fn stop(&self, id: ProjectId) {
        let gone = {
            let previews = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
            previews.get(&id).map(|preview| {
                preview.end.cancel();
                preview.gone.clone()
            })
        };
        if let Some(gone) = gone {
            gone.cancelled().await;
            let mut previews = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
            previews.remove(&id);
        }
    }

    /// Ends every preview.
    pub(crate) async fn stop_all(&self) {
        let ids: Vec<ProjectId> =
            self.by_project.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        futures::future::join_all(ids.into_iter().map(|id| self.stop(id))).await;
        tracing::debug!("the previews have ended");
    }

    /// Makes room for a preview. `None` if one is on its way or answers.
    fn begin(&self, id: ProjectId) -> Option<(CancellationToken, CancellationToken)> {
        let mut previews = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(preview) = previews.get(&id) {
            match preview.state {
                PreviewState::Installing | PreviewState::Starting | PreviewState::Ready => {
                    return None;
                }
                PreviewState::Off | PreviewState::NotInstalled | PreviewState::Failed => {}
            }
        }
        let (end, gone) = (CancellationToken::new(), CancellationToken::new());
        previews.insert(
            id,
            Preview { state: PreviewState::Installing, reason: None, port: None, end: end.clone(), gone: gone.clone() },
        );
        Some((end, gone))
    }

    fn set(
        &self,
        id: ProjectId,
        gone: &CancellationToken,
        state: PreviewState,
        reason: Option<String>,
        port: Option<u16>,
    ) {
        let mut previews = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        // A newer preview of the same Project has its own token; what an older one still says no longer counts.
        if let Some(preview) = previews.get_mut(&id)
            && !gone.is_cancelled()
        {
            preview.state = state;
            preview.reason = reason;
            preview.port = port;
        }
    }
}

/// Brings up the preview of a Project, unless it is there or on its way. Returns at once.
pub(crate) fn ensure(app: &App, project: &Project) {
    if app.stopping.is_cancelled() {
        return;
    }
    let Some((end, gone)) = app.previews.begin(project.id) else {
        return;
    };
    let (app, project) = (app.clone(), project.clone());
    app.clone().tasks.spawn(async move {
        let run = Run { app: app.clone(), project: project.clone(), gone: gone.clone() };
        // It looks at `end` by itself: dropping it would leave a dev server running.
        if let Err((state, reason)) = run.run(&end).await {
            run.say(state, Some(reason), None).await;
        }
        gone.cancel();
    });
}

/// One attempt to run a preview.
struct Run {
    app: App,
    project: Project,
    gone: CancellationToken,
}

impl Run {
    async fn say(&self, state: PreviewState, reason: Option<String>, port: Option<u16>) {
        self.app.previews.set(self.project.id, &self.gone, state, reason, port);
        self.app.publish_project(self.project.id).await;
    }

    /// Installs, starts and watches. Ends when the dev server ends, with the reason.
    async fn run(&self, end: &CancellationToken) -> Result<(), (PreviewState, String)> {
        let failed = |reason: String| (PreviewState::Failed, reason);
        self.app.require_sandbox().map_err(|failure| failed(failure.message))?;
        let workspace = Utf8PathBuf::from(&self.project.workspace);
        if !is_file(&workspace, "package.json").await {
            let reason = "There is no package.json in the workspace, so there is nothing to run yet.";
            return Err(failed(reason.to_owned()));
        }
        if needs_install(&self.app, &self.project, &workspace).await {
            self.say(PreviewState::Installing, None, None).await;
            // An installation is killed whole when nobody waits for it any more.
            tokio::select! {
                installed = self.install(&workspace) => {
                    installed.map_err(|reason| (PreviewState::NotInstalled, reason))?;
                }
                () = end.cancelled() => return Ok(()),
            }
        }
        self.say(PreviewState::Starting, None, None).await;
        let port = doce_runtime::free_port().map_err(|e| failed(format!("No free port: {e}.")))?;
        let running = self.start(&workspace, port).await.map_err(failed)?;
        let outcome = tokio::select! {
            outcome = self.watch(&running, port) => outcome,
            () = end.cancelled() => Ok(()),
        };
        if let Err(e) = running.stop(STOP_GRACE).await {
            tracing::error!(project = %self.project.id, error = chain(&e), "a dev server did not end");
        }
        outcome.map_err(failed)
    }

    async fn install(&self, workspace: &Utf8Path) -> Result<(), String> {
        let has_lock = is_file(workspace, "package-lock.json").await;
        let node = tool(&self.app, "npm")?;
        // Scripts of packages never run: what a package does at run time happens in the dev server's sandbox only.
        let verb = if has_lock { "ci" } else { "install" };
        let mut spec = self.spec("install", workspace, node, INSTALL_MEMORY)?;
        spec.args = [verb, "--ignore-scripts", "--no-audit", "--no-fund"].map(str::to_owned).into();
        spec.nice = Some(14);
        let path = self.app.layout.log(self.project.id, "install");
        let mut lines: Vec<String> = Vec::new();
        let mut on_line = |_: Stream, line: &str| lines.push(line.to_owned());
        let ran = self.app.runtime.run(&spec, INSTALL_BOUND, Some(&mut on_line)).await;
        let text = lines.join("\n");
        if let Err(e) = write_log(&path, &text).await {
            tracing::warn!(%path, error = %e, "the installation's log was not written");
        }
        match ran {
            Ok(output) if output.ending.success() => {
                remember_install(&self.app, &self.project, workspace).await;
                Ok(())
            }
            Ok(output) => Err(why_npm_failed(&text).unwrap_or_else(|| format!("npm {}.", output.ending))),
            Err(e) => Err(format!("npm could not be run: {}.", chain(&e))),
        }
    }

    async fn start(&self, workspace: &Utf8Path, port: u16) -> Result<Running, String> {
        let vite = "node_modules/vite/bin/vite.js";
        let mut spec;
        if is_file(workspace, vite).await {
            spec = self.spec("preview", workspace, tool(&self.app, "node")?, PREVIEW_MEMORY)?;
            spec.args =
                [vite, "--host", "127.0.0.1", "--port", &port.to_string(), "--strictPort", "--clearScreen", "false"]
                    .map(str::to_owned)
                    .into();
        } else {
            // Another framework: its own `dev` script, told where to listen the way most of them understand.
            spec = self.spec("preview", workspace, tool(&self.app, "npm")?, PREVIEW_MEMORY)?;
            spec.args = ["run", "dev"].map(str::to_owned).into();
            spec.env.push(("PORT".to_owned(), port.to_string()));
            spec.env.push(("HOST".to_owned(), "127.0.0.1".to_owned()));
        }
        spec.nice = Some(9);
        self.app
            .runtime
            .start(&spec, self.app.layout.log(self.project.id, "preview"))
            .await
            .map_err(|e| format!("The dev server could not be started: {}.", chain(&e)))
    }

    /// Waits until the dev server listens, then until it ends.
    async fn watch(&self, running: &Running, port: u16) -> Result<(), String> {
        let listening = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(LISTEN_EVERY).await;
            }
        };
        tokio::select! {
            listens = tokio::time::timeout(LISTEN_BOUND, listening) => {
                if listens.is_err() {
                    return Err(format!(
                        "The dev server did not listen within {} s. {}",
                        LISTEN_BOUND.as_secs(), last_words(running.log())
                    ));
                }
            }
            ending = running.exited() => {
                return Err(format!("The dev server {ending}. {}", last_words(running.log())));
            }
        }
        self.say(PreviewState::Ready, None, Some(port)).await;
        let ending = running.exited().await;
        Err(format!("The dev server {ending}. {}", last_words(running.log())))
    }

    fn spec(&self, what: &str, workspace: &Utf8Path, tool: doce_runtime::Tool, memory: u64) -> Result<Spec, String> {
        let packages = self.app.layout.packages(self.project.id);
        make_private_directory(&packages).map_err(|e| chain(&e))?;
        let work = Bind::read_write(workspace, WORKSPACE);
        let cache = Bind::read_write(packages, "/packages");
        let mut binds = vec![work.clone(), cache.clone()];
        binds.extend(tool.binds);
        let mut env = tool_environment(&self.app, &mut binds, &program_path(&self.app, &cache));
        env.push(("HOME".to_owned(), "/tmp".to_owned()));
        env.push(("NO_COLOR".to_owned(), "1".to_owned()));
        env.push(("NO_PROXY".to_owned(), "127.0.0.1,localhost".to_owned()));
        let mut spec = Spec::new(
            format!("the {what} of {}", self.project.id),
            format!("{}.{what}", marker(&self.app, self.project.id)),
            tool.program,
        );
        spec.env = env;
        spec.cwd = program_path(&self.app, &work);
        spec.binds = binds;
        spec.network = true;
        spec.oom_score_adj = Some(800);
        spec.limits = Limits { memory: Some(memory), processes: Some(PREVIEW_PROCESSES) };
        Ok(spec)
    }
}

fn tool(app: &App, name: &str) -> Result<doce_runtime::Tool, String> {
    doce_runtime::find_tool(name, &app.config.outside.search_path).ok_or_else(|| {
        format!("`{name}` was not found on this server. Install Node.js 20.19 or newer, then start the project again.")
    })
}

async fn is_file(workspace: &Utf8Path, path: &'static str) -> bool {
    let workspace = workspace.to_owned();
    tokio::task::spawn_blocking(move || beneath::is_file(&workspace, path)).await.unwrap_or(false)
}

/// The file that says for which lock file the packages were installed last.
fn stamp_of(app: &App, project: &Project) -> Utf8PathBuf {
    app.layout.packages(project.id).join("installed")
}

/// Reads the lock file, or without one what it would be made from.
async fn lock_of(workspace: &Utf8Path) -> Vec<u8> {
    let workspace = workspace.to_owned();
    tokio::task::spawn_blocking(move || {
        ["package-lock.json", "package.json"]
            .iter()
            .find_map(|name| beneath::read(&workspace, name, 16 << 20).ok())
            .unwrap_or_default()
    })
    .await
    .unwrap_or_default()
}

async fn needs_install(app: &App, project: &Project, workspace: &Utf8Path) -> bool {
    if !is_file(workspace, "node_modules/.package-lock.json").await {
        return true;
    }
    let lock = lock_of(workspace).await;
    let stamp = tokio::fs::read_to_string(stamp_of(app, project)).await.unwrap_or_default();
    stamp != doce_vault::token_hash(&String::from_utf8_lossy(&lock))
}

async fn remember_install(app: &App, project: &Project, workspace: &Utf8Path) {
    let lock = lock_of(workspace).await;
    let stamp = doce_vault::token_hash(&String::from_utf8_lossy(&lock));
    if let Err(e) = tokio::fs::write(stamp_of(app, project), stamp).await {
        tracing::warn!(project = %project.id, error = %e, "the installation is repeated at the next start");
    }
}

async fn write_log(path: &Utf8Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        tokio::fs::create_dir_all(directory).await?;
    }
    tokio::fs::write(path, text).await
}

/// Returns the end of a log, for a reason.
fn last_words(log: &Log) -> String {
    let text = log.tail(4096).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    plain(&lines[lines.len().saturating_sub(REASON_LINES)..].join(" "))
}

/// Takes control characters out of what a process printed.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(400).collect()
}

/// Says in a sentence why npm failed, from what it printed (npm 10 and 11, observed).
fn why_npm_failed(printed: &str) -> Option<String> {
    let said: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("npm error ").or_else(|| line.strip_prefix("npm ERR! ")))
        .filter(|line| !line.trim().is_empty())
        .collect();
    let code = said.iter().find_map(|line| line.strip_prefix("code "));
    let sentence = match code {
        Some(
            code @ ("ECONNREFUSED" | "ECONNRESET" | "EAI_AGAIN" | "ENETUNREACH" | "ENOTFOUND" | "ETIMEDOUT"
            | "ERR_SOCKET_TIMEOUT"),
        ) => format!("npm could not reach its registry ({code}). Check this server's network."),
        Some("ENOSPC") => "The disk is full (ENOSPC).".to_owned(),
        Some("EUSAGE") => {
            "package-lock.json doesn't match package.json (EUSAGE). Ask the agent to run `npm install`.".to_owned()
        }
        code => {
            let rest = said.iter().filter(|line| !line.starts_with("code ") && !line.starts_with("A complete log"));
            let rest: Vec<&str> = rest.take(REASON_LINES).copied().collect();
            match (code, rest.is_empty()) {
                (None, true) => return None,
                (Some(code), true) => format!("npm failed ({code})."),
                (None, false) => plain(&rest.join(" ")),
                (Some(code), false) => plain(&format!("{code}: {}", rest.join(" "))),
            }
        }
    };
    Some(sentence)
}

impl App {
    /// Finds the preview behind an address. The caller checks who may see it.
    pub async fn preview_target(&self, slug: &str) -> Result<Option<PreviewTarget>, Error> {
        let found = project::find_by_slug(&mut self.store.read().await?, slug).await?;
        let target = found.map(|project| self.target_of(&project));
        // Somebody looks at the app, if not at its conversation.
        if let Some(agent) = target.as_ref().and_then(|target| self.agents.find(target.project_id)) {
            agent.used(self.clock.now());
        }
        Ok(target)
    }

    /// Lets a user into the preview of their own Project.
    pub async fn open_preview(&self, ctx: &Ctx, user: &User, id: ProjectId) -> Result<PreviewTarget, Error> {
        let mut tx = self.store.write(ctx).await?;
        let project = own_project(&mut tx, user, id).await?;
        let target = self.target_of(&project);
        if target.port.is_none() {
            let reason = target.view.reason.clone().unwrap_or_else(|| "It is not running yet.".to_owned());
            return Err(Error::Conflict(Failure::new(
                "preview_not_ready",
                format!("The preview is not ready. {reason}"),
                NextMove::None,
            )));
        }
        tx.audit(AuditEvent::ok(AuditAction::OpenPreview, &id)).await?;
        tx.commit().await?;
        Ok(target)
    }

    fn target_of(&self, project: &Project) -> PreviewTarget {
        PreviewTarget {
            project_id: project.id,
            slug: project.slug.clone(),
            port: self.previews.port(project.id),
            view: self.previews.view(project.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_installation_says_its_cause_and_not_all_of_its_output() {
        let cases = [
            (
                "npm error code ECONNREFUSED\nnpm error syscall connect\nnpm error errno ECONNREFUSED",
                "npm could not reach its registry (ECONNREFUSED). Check this server's network.",
            ),
            ("npm ERR! code ENOSPC\nnpm ERR! nospc", "The disk is full (ENOSPC)."),
            (
                "npm warn deprecated x\nnpm error code E404\nnpm error 404 Not Found - GET /nothing\nnpm error\n\
                 npm error A complete log of this run can be found in: /tmp/x",
                "E404: 404 Not Found - GET /nothing",
            ),
            ("npm error something else", "something else"),
        ];
        for (printed, expected) in cases {
            assert_eq!(why_npm_failed(printed).as_deref(), Some(expected));
        }
        assert_eq!(why_npm_failed("added 3 packages"), None);
        let stale = why_npm_failed("npm error code EUSAGE\nnpm error\nnpm error `npm ci` can only install packages");
        assert!(stale.is_some_and(|reason| reason.contains("package-lock.json")));
    }
}
