//! Bringing over: what is noticed, what would happen, and one import at a time.
//!
//! The directory is the server's, and admins alone name one. What is told of it is what the importer recognises.

use std::collections::BTreeMap;

use axum::{Json, extract::State as Extract};
use camino::Utf8PathBuf;
use doce_app::import::{self, ImportSource};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{input::Body, words::Time};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// What could be brought over, and what was last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Imports {
    /// Directories beside the data directory that look like doce.dev's.
    directories: Vec<String>,
    /// The file with the keys of an OpenCode of the user that the server runs as, if there is one.
    opencode_file: Option<String>,
    /// The caller's import that is under way, or the last one since the server was started.
    run: Option<ImportRun>,
}

/// An import that is under way, or over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportRun {
    /// What it comes from.
    title: String,
    /// When it was begun.
    began_at: Time,
    /// When it was over.
    ended_at: Option<Time>,
    /// How much of it is settled.
    done: usize,
    /// Of how much.
    total: usize,
    /// What is being brought over.
    doing: Option<String>,
    /// What became of everything, once it is over.
    lines: Vec<ImportLine>,
}

/// What would come over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportPreview {
    /// What it comes from.
    title: String,
    /// Whether an import would change anything.
    changes: bool,
    /// The people there whose things may go to an account here instead.
    people: Vec<String>,
    /// What would become of everything.
    lines: Vec<ImportLine>,
}

/// What becomes of a thing, or became of it. No secret is in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ImportLine {
    /// What becomes of it.
    outcome: ImportOutcome,
    /// What kind of thing it is.
    kind: &'static str,
    /// Which.
    name: String,
    /// What to know about it.
    detail: String,
}

/// What becomes of a thing.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImportOutcome {
    /// It comes over.
    New,
    /// It came over before, or is here anyway.
    Already,
    /// It stays behind, by a rule.
    Left,
    /// It must not come over.
    Refused,
    /// It can't be read.
    Unreadable,
    /// It was to come over, and that failed.
    Failed,
}

impl From<&import::ImportLine> for ImportLine {
    fn from(line: &import::ImportLine) -> Self {
        let outcome = match line.outcome {
            import::ImportOutcome::New => ImportOutcome::New,
            import::ImportOutcome::Already => ImportOutcome::Already,
            import::ImportOutcome::Left => ImportOutcome::Left,
            import::ImportOutcome::Refused => ImportOutcome::Refused,
            import::ImportOutcome::Unreadable => ImportOutcome::Unreadable,
            import::ImportOutcome::Failed => ImportOutcome::Failed,
        };
        Self { outcome, kind: line.subject, name: line.name.clone(), detail: line.detail.clone() }
    }
}

impl From<&import::ImportRun> for ImportRun {
    fn from(run: &import::ImportRun) -> Self {
        Self {
            title: run.title.clone(),
            began_at: run.began_at.into(),
            ended_at: run.ended_at.map(Time::from),
            done: run.done,
            total: run.total,
            doing: run.doing.clone(),
            lines: run.lines.iter().map(ImportLine::from).collect(),
        }
    }
}

impl From<&import::ImportPlan> for ImportPreview {
    fn from(plan: &import::ImportPlan) -> Self {
        Self {
            title: plan.title().to_owned(),
            changes: !plan.is_empty(),
            people: plan.people().to_vec(),
            lines: plan.lines().map(ImportLine::from).collect(),
        }
    }
}

/// From where to bring over.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewImport)]
pub(crate) struct ImportRequest {
    /// From what.
    from: ImportFrom,
    /// The directory that holds doce.dev's `data`, or that directory itself, for `doce_dev`.
    directory: Option<String>,
    /// Which accounts here are given what was somebody's there, by their names there, for `doce_dev`.
    #[serde(default)]
    into: BTreeMap<String, String>,
}

/// From what something is brought over.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImportFrom {
    /// An installation of doce.dev.
    DoceDev,
    /// The OpenCode of the user that the server runs as.
    Opencode,
}

impl ImportRequest {
    fn source(self, state: &State) -> Result<ImportSource, Problem> {
        match self.from {
            ImportFrom::DoceDev => {
                let directory = self.directory.as_deref().map(str::trim).filter(|directory| !directory.is_empty());
                let Some(directory) = directory else {
                    return Err(Problem::invalid("directory", "Name the directory of the old installation."));
                };
                Ok(ImportSource::Installation {
                    directory: Utf8PathBuf::from(directory),
                    into: self.into.into_iter().collect(),
                })
            }
            ImportFrom::Opencode => {
                if self.directory.is_some() || !self.into.is_empty() {
                    return Err(Problem::invalid("from", "An import from OpenCode takes nothing else."));
                }
                let Some(file) = state.opencode_auth_file.clone() else {
                    return Err(Problem::invalid("from", "The user that doce runs as has no home directory."));
                };
                Ok(ImportSource::OpenCode { file })
            }
        }
    }
}

/// Tells what could be brought over, and what was last.
#[utoipa::path(get, path = "/api/imports", tag = "imports",
    responses((status = 200, description = "What was noticed, and the caller's last import.", body = Imports)))]
pub(crate) async fn get_imports(Extract(state): Extract<State>, caller: Caller) -> Result<Json<Imports>, Problem> {
    let Caller { ctx, user, .. } = caller;
    let noticed = state.app.notice_imports(&ctx, &user, state.opencode_auth_file.as_deref()).await?;
    let run = state.app.import_run(&ctx, &user)?;
    Ok(Json(Imports {
        directories: noticed.directories.into_iter().map(Utf8PathBuf::into_string).collect(),
        opencode_file: noticed.opencode.map(Utf8PathBuf::into_string),
        run: run.as_ref().map(ImportRun::from),
    }))
}

/// Says what would come over. Nothing changes.
#[utoipa::path(post, path = "/api/imports/preview", tag = "imports", request_body = ImportRequest,
    responses((status = 200, description = "What would become of everything.", body = ImportPreview)))]
pub(crate) async fn preview_import(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<ImportRequest>,
) -> Result<Json<ImportPreview>, Problem> {
    let source = request.source(&state)?;
    let plan = state.app.preview_import(&caller.ctx, &caller.user, &source).await?;
    Ok(Json((&plan).into()))
}

/// Begins to bring over what a preview shows. What came over before doesn't come again.
#[utoipa::path(post, path = "/api/imports", tag = "imports", request_body = ImportRequest,
    responses((status = 202, description = "It goes on beside; the event stream tells how.", body = ImportRun)))]
pub(crate) async fn begin_import(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<ImportRequest>,
) -> Result<(StatusCode, Json<ImportRun>), Problem> {
    let source = request.source(&state)?;
    let run = state.app.begin_import(&caller.ctx, &caller.user, &source).await?;
    Ok((StatusCode::ACCEPTED, Json((&run).into())))
}
