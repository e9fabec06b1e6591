//! Bringing over while the server runs: what is noticed, what would happen, and one import at a time, shown as it goes.
//!
//! A run is in memory, for who began it: it survives a reload of the page and not a restart, after which the same import
//! goes on with what is missing. A directory that somebody names is looked at as the command does, and what is told of it
//! is what the importer recognises; an error says nothing else of the disk.

use std::{
    collections::HashMap,
    fs,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_legacy::AuthFileError;
use doce_model::{AuditAction, AuditEvent, Ctx, Failure, Ms, NextMove, User, UserId};

use crate::{
    App, Error, chain,
    events::Change,
    import::{ImportError, ImportLine, ImportOptions, ImportPlan, ImportProgress, ReadError, is_inside},
    people::admins_only,
};

/// Entries of the folder around the data directory that are looked at.
const LOOKED_AT: usize = 200;
/// Installations that are told of at most.
const NOTICED: usize = 5;
/// How often a browser is told how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// What tells an installation of doce.dev from afar.
const DATABASES: [&str; 2] = ["data/db.sqlite", "db.sqlite"];

/// From where something is brought over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportSource {
    /// A data directory of doce.dev.
    Installation {
        /// Where it is.
        directory: Utf8PathBuf,
        /// Accounts here that are given what belonged to a user there: their name there, the account's name here.
        into: Vec<(String, String)>,
    },
    /// The `auth.json` of an `OpenCode`; its keys become the caller's.
    OpenCode {
        /// Where it is.
        file: Utf8PathBuf,
    },
}

/// What was noticed beside the data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Directories that look like installations of doce.dev.
    pub directories: Vec<Utf8PathBuf>,
    /// The `auth.json` of the user that the server runs as, if there is one.
    pub opencode: Option<Utf8PathBuf>,
}

/// An import that is under way, or the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRun {
    /// What it comes from, in words.
    pub title: String,
    /// When it was begun.
    pub began_at: Ms,
    /// When it was over.
    pub ended_at: Option<Ms>,
    /// How much of it is settled.
    pub done: usize,
    /// Of how much.
    pub total: usize,
    /// What is being brought over.
    pub doing: Option<String>,
    /// What became of everything, once it is over.
    pub lines: Vec<ImportLine>,
}

/// The imports of this run of the server.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    busy: bool,
    last: HashMap<UserId, ImportRun>,
}

impl Imports {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The right to bring something over. Plans are made with it: two could make the same thing twice.
struct Turn {
    app: App,
}

impl Turn {
    fn take(app: &App) -> Result<Self, Error> {
        let is_taken = app.imports.change(|state| std::mem::replace(&mut state.busy, true));
        if is_taken {
            return Err(Error::Conflict(Failure::new(
                "import_busy",
                "Something is being brought over already. Wait until it is done.",
                NextMove::None,
            )));
        }
        Ok(Self { app: app.clone() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.app.imports.change(|state| state.busy = false);
    }
}

impl App {
    /// Looks for installations in the folder that the data directory is in, no deeper, and for `OpenCode`'s file. Admins
    /// only.
    pub async fn notice_imports(&self, _ctx: &Ctx, by: &User, opencode: Option<&Utf8Path>) -> Result<Noticed, Error> {
        admins_only(by)?;
        let (data_dir, opencode) = (self.config.data_dir.clone(), opencode.map(Utf8Path::to_owned));
        let look = move || Noticed { directories: notice(&data_dir), opencode: opencode.filter(|file| is_file(file)) };
        tokio::task::spawn_blocking(look).await.map_err(Error::internal)
    }

    /// Returns the caller's import that is under way, or the last one. Admins only.
    pub fn import_run(&self, _ctx: &Ctx, by: &User) -> Result<Option<ImportRun>, Error> {
        admins_only(by)?;
        Ok(self.imports.change(|state| state.last.get(&by.id).cloned()))
    }

    /// Says what would come over. Nothing changes but the audit log. Admins only.
    pub async fn preview_import(&self, ctx: &Ctx, by: &User, from: &ImportSource) -> Result<ImportPlan, Error> {
        let plan = self.plan_from(by, from).await?;
        let mut tx = self.store.write(ctx).await?;
        tx.audit(AuditEvent::ok(AuditAction::PreviewImport, &plan.source)).await?;
        tx.commit().await?;
        Ok(plan)
    }

    /// Begins to bring over what a preview shows. How it goes is told on the event stream. Admins only.
    pub async fn begin_import(&self, ctx: &Ctx, by: &User, from: &ImportSource) -> Result<ImportRun, Error> {
        admins_only(by)?;
        let turn = Turn::take(self)?;
        let plan = self.plan_from(by, from).await?;
        if self.config.unsandboxed && plan.makes_accounts() {
            return Err(Error::Conflict(Failure::new(
                "unsandboxed_single_user",
                "This server runs agents without a sandbox, so it serves one person. Set the sandbox up first, or give \
                 everything there to your own account.",
                NextMove::None,
            )));
        }
        let mut tx = self.store.write(ctx).await?;
        tx.audit(AuditEvent::ok(AuditAction::Import, &plan.source).detail(BEGUN)).await?;
        tx.commit().await?;
        let run = ImportRun {
            title: plan.title().to_owned(),
            began_at: ctx.now(),
            ended_at: None,
            done: 0,
            total: plan.lines().count(),
            doing: None,
            lines: Vec::new(),
        };
        self.imports.change(|state| state.last.insert(by.id, run.clone()));
        let (ctx, user_id, begun) = (ctx.clone(), by.id, run.clone());
        self.tasks.spawn(async move { carry_out(&turn, &ctx, user_id, plan, begun).await });
        Ok(run)
    }

    async fn plan_from(&self, by: &User, from: &ImportSource) -> Result<ImportPlan, Error> {
        admins_only(by)?;
        let plan = match from {
            ImportSource::OpenCode { file } => self.plan_import_opencode(file, Some(&by.username)).await,
            ImportSource::Installation { directory, into } => {
                if !directory.is_absolute() {
                    return Err(no_directory("Name the whole path of the directory, from `/` on."));
                }
                if is_inside(&self.config.data_dir, directory) {
                    return Err(no_directory("That is where this doce keeps its own data."));
                }
                let options = ImportOptions { into: into.clone(), ..ImportOptions::default() };
                self.plan_import(directory, &options).await
            }
        };
        plan.map_err(refusal)
    }
}

/// What the audit log says of an import that was begun; its end is an event for each noun.
const BEGUN: &str = "begun";

async fn carry_out(turn: &Turn, ctx: &Ctx, user_id: UserId, plan: ImportPlan, mut run: ImportRun) {
    let app = &turn.app;
    let mut told_at = ctx.now();
    let mut tell = |progress: ImportProgress<'_>| {
        match progress {
            ImportProgress::Begins(line) => run.doing = Some(format!("{} {}", line.subject, line.name)),
            ImportProgress::Settled(_) => run.done += 1,
        }
        // A line that came on top, as one about a repository, is not counted.
        run.done = run.done.min(run.total);
        app.imports.change(|state| state.last.insert(user_id, run.clone()));
        if ctx.now().since(told_at) >= TOLD_EVERY {
            told_at = ctx.now();
            app.bus.publish(user_id, Change::Import(Box::new(run.clone())));
        }
    };
    let lines = app.carry_out(ctx, plan, &mut tell).await;
    run.ended_at = Some(ctx.now());
    run.doing = None;
    run.done = run.total;
    let over = run.clone();
    run.lines = lines;
    app.imports.change(|state| state.last.insert(user_id, run));
    // The lines are read once; a stream is no place for thousands of them.
    app.bus.publish(user_id, Change::Import(Box::new(over)));
}

fn notice(data_dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let Some(around) = data_dir.canonicalize_utf8().ok().and_then(|real| real.parent().map(Utf8Path::to_owned)) else {
        return Vec::new();
    };
    let entries = fs::read_dir(&around).into_iter().flatten().take(LOOKED_AT).filter_map(Result::ok);
    let mut folders: Vec<Utf8PathBuf> = entries
        // A link leads somewhere else, which is not beside the data directory.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Utf8PathBuf::from_path_buf(entry.path()).ok())
        .collect();
    folders.sort();
    // One whose `data` is noticed is not noticed twice.
    let is_one = |folder: &Utf8Path| DATABASES.iter().any(|database| is_file(&folder.join(database)));
    if is_one(&around) {
        folders = vec![around];
    }
    folders.retain(|folder| is_one(folder) && !is_inside(data_dir, folder));
    folders.truncate(NOTICED);
    folders
}

fn is_file(path: &Utf8Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

fn no_directory(message: &str) -> Error {
    Error::Invalid { field: "directory", message: message.to_owned() }
}

/// Says why there is no plan, without repeating what was typed.
fn refusal(error: ImportError) -> Error {
    match error {
        ImportError::App(error) => error,
        ImportError::Read(ReadError::Open { source, .. }) => {
            no_directory(&format!("That directory can't be opened: {}.", source.kind()))
        }
        ImportError::Read(ReadError::NotOne { .. }) => {
            no_directory("doce.dev was not here: there is neither `data/db.sqlite` nor `db.sqlite` in that directory.")
        }
        ImportError::Read(ReadError::InUse { .. }) => Error::Conflict(Failure::new(
            "import_in_use",
            "doce.dev still writes to its database. Stop it first.",
            NextMove::Retry,
        )),
        ImportError::AuthFile(AuthFileError::Absent { .. }) => Error::Conflict(Failure::new(
            "no_opencode_keys",
            "The user that doce runs as has no keys in an OpenCode.",
            NextMove::None,
        )),
        ImportError::AuthFile(AuthFileError::Unusable { reason, .. }) => Error::Conflict(Failure::new(
            "no_opencode_keys",
            format!("OpenCode's file can't be read: {reason}."),
            NextMove::None,
        )),
        ImportError::NoAccount { .. } => {
            Error::Invalid { field: "into", message: "This server has no such account.".to_owned() }
        }
        ImportError::NobodyThere { .. } => {
            Error::Invalid { field: "into", message: "The old installation has no such user.".to_owned() }
        }
        error @ (ImportError::Read(ReadError::Interrupted { .. }) | ImportError::WhichAccount { .. }) => {
            tracing::error!(error = chain(&error), "an import could not be planned");
            Error::internal(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn while_something_is_brought_over_nothing_else_is_planned() {
        let directory = tempfile::tempdir().unwrap();
        let config = crate::Config {
            data_dir: Utf8PathBuf::from_path_buf(directory.path().join("data")).unwrap(),
            database_url: None,
            master_key_file: None,
            opencode: None,
            unsandboxed: false,
            npm_registry: None,
            outside: crate::Outside::default(),
            token_endpoints: crate::TokenEndpoints::default(),
            local_places: Vec::new(),
            agents: crate::AgentLimits::default(),
        };
        let clock = std::sync::Arc::new(doce_testkit::MockClock::default());
        let app = App::open(config, clock.clone()).await.unwrap();
        let id = UserId::new(Ms(1));
        let by = User {
            id,
            username: "ada".to_owned(),
            role: doce_model::Role::Admin,
            created_at: Ms(1),
            disabled_at: None,
        };
        let ctx = Ctx::new(doce_model::Actor::User(id), "test", None, clock);
        let nowhere = ImportSource::OpenCode { file: "/nowhere/auth.json".into() };
        let turn = Turn::take(&app).unwrap();
        let code = |result: Result<ImportRun, Error>| match result {
            Err(Error::Conflict(failure)) => failure.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(app.begin_import(&ctx, &by, &nowhere).await), "import_busy");
        drop(turn);
        // Whoever was refused has not taken the turn.
        assert_eq!(code(app.begin_import(&ctx, &by, &nowhere).await), "no_opencode_keys");
        assert_eq!(code(app.begin_import(&ctx, &by, &nowhere).await), "no_opencode_keys");
        app.close().await;
    }

    #[test]
    fn installations_beside_the_data_directory_are_noticed_and_nothing_deeper_or_linked() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
        let data = root.join("doce");
        for folder in ["doce", "old/data", "older", "deep/under/data", "mine"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["old/data/db.sqlite", "older/db.sqlite", "deep/under/data/db.sqlite", "doce/doce.sqlite"] {
            fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(root.join("older"), root.join("linked")).unwrap();
        std::os::unix::fs::symlink(root.join("older/db.sqlite"), root.join("mine/db.sqlite")).unwrap();
        assert_eq!(notice(&data), [root.join("old"), root.join("older")]);
    }

    #[test]
    fn a_folder_that_holds_both_is_noticed_once_unless_doce_is_inside_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(directory.path().canonicalize().unwrap()).unwrap();
        fs::create_dir_all(root.join("data")).unwrap();
        fs::create_dir_all(root.join("doce")).unwrap();
        fs::write(root.join("data/db.sqlite"), "").unwrap();
        assert_eq!(notice(&root.join("doce")), std::slice::from_ref(&root));
        assert_eq!(notice(&root.join("data")), Vec::<Utf8PathBuf>::new());
    }
}
