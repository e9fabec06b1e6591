//! The `OpenCode` that a login runs in: it belongs to no Project, and its home is in memory.
//!
//! A login's tokens are written into that home and nowhere else. They are read once, and the home is removed with the
//! server, however the login ends.

use std::{io, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::OAuthAttemptId;
use doce_opencode::{
    Client,
    login::{self, Harvest},
};
use doce_runtime::Running;

use crate::{
    App, chain, make_private_directory,
    program::{self, AgentPlace},
};

/// How long it may take to come up.
const HEALTHY_WITHIN: Duration = Duration::from_mins(1);
/// How long it may take to end by itself.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Bytes of `auth.json` that are read at most.
const FILE_MAX: u64 = 1 << 20;

/// A server for one login. End it with [`LoginServer::end`].
pub(crate) struct LoginServer {
    pub(crate) client: Client,
    pub(crate) running: Running,
    directory: Utf8PathBuf,
}

impl LoginServer {
    /// Starts one; the reason of a failure is a sentence.
    pub(crate) async fn start(app: &App, id: OAuthAttemptId, program: &Utf8Path) -> Result<Self, String> {
        let directory = home_of(app, id);
        make_private_directory(&directory).map_err(|e| format!("{}.", chain(&e)))?;
        let started = Self::start_in(app, id, program, &directory).await;
        if started.is_err() {
            remove(&directory).await;
        }
        started
    }

    async fn start_in(app: &App, id: OAuthAttemptId, program: &Utf8Path, directory: &Utf8Path) -> Result<Self, String> {
        let password = doce_vault::token().map_err(|e| e.to_string())?;
        let port = doce_runtime::free_port().map_err(|e| format!("No free port: {e}."))?;
        // A login needs no model, no tool and no plugin.
        let config = serde_json::json!({ "permission": "deny", "enabled_providers": [] }).to_string();
        let spec = program::agent_spec(
            app,
            &AgentPlace {
                name: format!("the sign-in {id}"),
                marker: format!("{}-{id}.login", app.installation),
                program,
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
        let running = app.runtime.start(&spec, directory.join("login.log")).await.map_err(|e| chain(&e))?;
        let client = Client::new(port, &password);
        let server = Self { client, running, directory: directory.to_owned() };
        if let Err(e) = server.client.wait_healthy(HEALTHY_WITHIN).await {
            server.stop().await;
            return Err(format!("OpenCode did not come up for the sign-in: {}.", chain(&e)));
        }
        Ok(server)
    }

    /// Reads what the finished login left.
    pub(crate) async fn harvest(&self, provider_id: &str) -> Option<Harvest> {
        let path = self.directory.join("home").join(login::AUTH_FILE);
        let provider_id = provider_id.to_owned();
        // Secret: the file's bytes live as long as this closure.
        let read = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut bytes = doce_vault::Zeroizing::new(Vec::new());
            std::fs::File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
            login::harvest(&provider_id, &bytes).map_err(io::Error::other)
        });
        match read.await {
            Ok(Ok(harvest)) => Some(harvest),
            Ok(Err(e)) => {
                tracing::error!(error = %e, "a finished login left no tokens");
                None
            }
            Err(e) => {
                tracing::error!(error = %e, "the tokens of a finished login were not read");
                None
            }
        }
    }

    /// Ends the server and removes its home.
    pub(crate) async fn end(self) {
        self.stop().await;
        remove(&self.directory).await;
    }

    async fn stop(&self) {
        if let Err(e) = self.running.stop(STOP_GRACE).await {
            tracing::error!(error = chain(&e), "the server of a sign-in did not end");
        }
    }
}

/// The name of every login's home begins with this; it ends with the attempt.
fn prefix(app: &App) -> String {
    format!("doce-login-{}-", app.installation)
}

fn home_of(app: &App, id: OAuthAttemptId) -> Utf8PathBuf {
    memory(app).join(format!("{}{id}", prefix(app)))
}

/// Returns a directory in memory. A machine without one keeps a login's home on disk for the minutes that it takes.
fn memory(app: &App) -> Utf8PathBuf {
    /// `TMPFS_MAGIC` of `statfs(2)`.
    const TMPFS: i64 = 0x0102_1994;
    let shared = Utf8PathBuf::from("/dev/shm");
    let in_memory = rustix::fs::statfs(shared.as_std_path()).is_ok_and(|found| found.f_type == TMPFS);
    let writable = rustix::fs::access(shared.as_std_path(), rustix::fs::Access::WRITE_OK).is_ok();
    if in_memory && writable { shared } else { app.layout.instances() }
}

/// Removes the homes of logins that a crash cut off.
pub(crate) async fn remove_leftovers(app: &App) {
    let (base, prefix) = (memory(app), prefix(app));
    let Ok(mut entries) = tokio::fs::read_dir(&base).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if name.starts_with(&prefix) {
            tracing::info!(name, "the home of a sign-in that was cut off is removed");
            remove(&base.join(name)).await;
        }
    }
}

async fn remove(directory: &Utf8Path) {
    match tokio::fs::remove_dir_all(directory).await {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => tracing::error!(%directory, error = %e, "the home of a sign-in was not removed"),
    }
}
