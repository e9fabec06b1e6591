//! The Workspace: made from the template, and removed.

use std::{
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_jobs::{Step, StepCtx, StepError};
use doce_model::{Failure, NextMove, Project};
use doce_opencode::config::Mask;
use doce_runtime::{Bind, Spec};
use doce_store::{Trouble, project};
use rust_embed::RustEmbed;

use crate::{
    App, beneath, chain,
    jobs::{project_id, step_error},
    make_private_directory,
    program::{WORKSPACE, program_path, tool_environment},
    removal,
};

/// What a new Project starts from.
#[derive(RustEmbed)]
#[folder = "../../templates/vite-react/"]
#[exclude = "node_modules/*"]
#[exclude = "dist/*"]
struct Template;

/// How long a git command may take on a template.
const GIT_BOUND: Duration = Duration::from_secs(30);

pub(crate) fn prepare_step(app: &App) -> Step {
    let (a, b) = (app.clone(), app.clone());
    Step::new("prepare_workspace", "Prepare the workspace", move |step| {
        let app = a.clone();
        async move { prepare(&app, &step).await }
    })
    .undo(move |step| {
        let app = b.clone();
        async move { remove_made(&app, &step).await }
    })
    .timeout(Duration::from_mins(1))
}

/// Effect: the Workspace's directory holds the template, and a git repository with a first commit. A repeat finds it
/// and does nothing: it is made beside and renamed, so it is whole once it is there. Undo: [`remove_made`].
pub(crate) async fn prepare(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let project = app.find_project(project_id(step)?).await.map_err(step_error)?;
    let workspace = Utf8PathBuf::from(&project.workspace);
    if workspace.exists() {
        return Ok(());
    }
    app.require_sandbox().map_err(StepError::fail)?;
    step.detail("copying the template");
    let beside = workspace.with_extension("new");
    let home = Utf8PathBuf::from(&project.home);
    let made = beside.clone();
    tokio::task::spawn_blocking(move || {
        make_private_directory(&home).map_err(io::Error::other)?;
        copy_template(&made)
    })
    .await
    .map_err(StepError::internal)?
    .map_err(|e| disk_error(&beside, e))?;
    step.detail("making the first commit");
    first_commit(app, &project, &beside, "Start from the template").await?;
    tokio::fs::rename(&beside, &workspace).await.map_err(|e| disk_error(&workspace, e))
}

/// Undo of [`prepare`]: the directory goes, if no Agent ever worked in it.
async fn remove_made(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let id = project_id(step)?;
    let Ok(project) = app.find_project(id).await else {
        return Ok(());
    };
    let session = crate::conversations::session_of(&mut app.store.read().await.map_err(StepError::internal)?, id)
        .await
        .map_err(step_error)?;
    // Where an Agent has worked there may be something to lose.
    if session.agent_session_id.is_some() {
        return Ok(());
    }
    let workspace = Utf8PathBuf::from(&project.workspace);
    remove_directory(&workspace.with_extension("new")).await?;
    remove_directory(&workspace).await
}

/// Effect: the Project's directory is gone. A repeat finds nothing. No undo: its owner confirmed the deletion.
pub(crate) async fn remove_all(app: &App, step: &StepCtx) -> Result<(), StepError> {
    remove_directory(&app.layout.project(project_id(step)?)).await
}

/// Effect: the Project's rows are gone. A repeat finds none. No undo, as above.
pub(crate) async fn remove_rows(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
    project::delete(&mut tx, project_id(step)?).await.map_err(StepError::internal)?;
    tx.commit().await.map_err(StepError::internal)
}

fn copy_template(to: &Utf8Path) -> io::Result<()> {
    match std::fs::remove_dir_all(to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(to)?;
    for name in Template::iter() {
        let Some(file) = Template::get(&name) else {
            continue;
        };
        let path = to.join(&*name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, &file.data)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Makes a git repository of what is in a directory.
pub(crate) async fn first_commit(
    app: &App,
    project: &Project,
    directory: &Utf8Path,
    message: &str,
) -> Result<(), StepError> {
    let git = doce_runtime::find_tool("git", &app.config.outside.search_path).ok_or_else(|| {
        StepError::fail(Failure::new(
            "git_missing",
            "`git` was not found on this server. Install it, then try again.",
            NextMove::Retry,
        ))
    })?;
    let work = Bind::read_write(directory, WORKSPACE);
    // What is laid over the Agent's view of these places leaves empty mount points behind, which are nobody's work.
    let exclude = doce_opencode::config::workspace_masks()
        .map(|mask| {
            let (Mask::EmptyDirectory(name) | Mask::File(name, _)) = mask;
            format!("/{name}")
        })
        .join("\n");
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &["commit", "--quiet", "--message", message],
    ] {
        let mut binds = vec![work.clone()];
        binds.extend(git.binds.clone());
        let mut env = tool_environment(app, &mut binds, "/tmp".into());
        env.push(("HOME".to_owned(), "/tmp".to_owned()));
        for (name, value) in [
            ("GIT_AUTHOR_NAME", "doce"),
            ("GIT_AUTHOR_EMAIL", "doce@localhost"),
            ("GIT_COMMITTER_NAME", "doce"),
            ("GIT_COMMITTER_EMAIL", "doce@localhost"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ] {
            env.push((name.to_owned(), value.to_owned()));
        }
        let mut spec = Spec::new(
            format!("git in {}", project.id),
            format!("{}-{}.git", app.installation, project.id),
            git.program.clone(),
        );
        spec.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        spec.env = env;
        spec.cwd = program_path(app, &work);
        spec.binds = binds;
        spec.nice = Some(4);
        let output = app.runtime.run(&spec, GIT_BOUND, None).await.map_err(|e| {
            StepError::retry(Failure::new(
                "git_failed",
                format!("git could not be run: {}.", chain(&e)),
                NextMove::Retry,
            ))
            .source(e)
        })?;
        if args[0] == "init" {
            let path = directory.join(".git/info/exclude");
            tokio::fs::create_dir_all(directory.join(".git/info")).await.map_err(|e| disk_error(&path, e))?;
            tokio::fs::write(&path, &exclude).await.map_err(|e| disk_error(&path, e))?;
        }
        if !output.ending.success() {
            let errors = output.errors();
            if tells_of_full_disk(&errors) {
                return Err(disk_error(directory, io::ErrorKind::StorageFull.into()));
            }
            return Err(StepError::fail(Failure::new(
                "git_failed",
                format!("`git {}` failed: {}", args[0], errors.chars().take(300).collect::<String>()),
                NextMove::Retry,
            )));
        }
    }
    Ok(())
}

/// Tells whether git had no room for what it wrote: it ends with the system's own words then (git 2.47, observed at each
/// write of these commands). They aren't translated, as its environment names no language.
fn tells_of_full_disk(errors: &str) -> bool {
    ["No space left on device", "Disk quota exceeded"].iter().any(|words| errors.contains(words))
}

async fn remove_directory(path: &Utf8Path) -> Result<(), StepError> {
    let owned = path.to_owned();
    let removed =
        tokio::task::spawn_blocking(move || removal::remove_directory(&owned)).await.map_err(StepError::internal)?;
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(disk_error(path, e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says what a disk's error means for a person.
pub(crate) fn disk_error(path: &Utf8Path, error: io::Error) -> StepError {
    if Trouble::find(&error).is_some() {
        return StepError::internal(error);
    }
    let message = format!("`{path}` could not be written: {error}.");
    StepError::retry(Failure::new("disk", message, NextMove::Retry)).source(error)
}

/// Tells whether the Workspace has instructions for the Agent.
pub(crate) fn has_instructions(workspace: &Utf8Path) -> bool {
    beneath::is_file(workspace, "AGENTS.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures_of_git() {
        let full = "error: unable to write loose object file: No space left on device\nfatal: updating files failed";
        assert!(tells_of_full_disk(full));
        assert!(!tells_of_full_disk("fatal: not a git repository (or any of the parent directories): .git"));
        let error = disk_error(Utf8Path::new("/w"), io::ErrorKind::StorageFull.into());
        assert!(error.is_retry());
        assert_eq!(error.failure(), &Trouble::DiskFull.failure());
        let error = disk_error(Utf8Path::new("/w"), io::ErrorKind::PermissionDenied.into());
        assert!(error.failure().code == "disk" && error.failure().message.contains("`/w`"), "{error:?}");
    }
}
