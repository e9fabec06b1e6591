//! `cargo xtask generate`: what is written down twice is written by a program.
//!
//! The server's routes are the source; `openapi.json` is printed by the server, and the web
//! client's types are made from it. Both are checked in, so that a change of the contract is seen
//! in review.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::build::{self, Profile};
use crate::prerequisites;
use crate::process::{self, Deadline};
use crate::project::Project;
use crate::web;

const LIMIT: Duration = Duration::from_mins(40);
const DESCRIPTION: &str = "openapi.json";
const TYPES: &str = "web/src/api/schema.d.ts";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    /// Leave the files as they are; a difference is an error.
    Check,
}

/// Makes `openapi.json` and the web client's types; returns how many files were made.
pub(crate) fn generate(project: &Project, mode: Mode) -> Result<u32> {
    let node = prerequisites::check()?;
    let deadline = Deadline::after(LIMIT);
    let doce = match mode {
        Mode::Check => build::test_programs(project)?,
        Mode::Write => without_pages(project, deadline)?,
    };
    web::install(project, "web", &node, deadline)?;

    let before = [Kept::read(project, DESCRIPTION)?, Kept::read(project, TYPES)?];
    let mut print = process::command(doce, project.root());
    let mut description = process::read(print.arg("openapi"), deadline).context("ask the server")?;
    if !description.ends_with('\n') {
        description.push('\n');
    }
    let path = project.path(DESCRIPTION);
    fs::write(&path, description).with_context(|| format!("write {}", path.display()))?;
    let types = process::run(web::npm(&project.path("web")).args(["run", "generate"]), deadline);

    let mut stale = Vec::new();
    for kept in &before {
        if kept.changed() {
            stale.push(kept.name);
            if mode == Mode::Check {
                kept.put_back()?;
            }
        }
    }
    types.context("make the web client's types")?;
    match mode {
        Mode::Write => println!("{DESCRIPTION} and {TYPES} are up to date"),
        Mode::Check if stale.is_empty() => {}
        Mode::Check => bail!("{} no longer matches the server: run `cargo xtask generate`", stale.join(" and ")),
    }
    Ok(2)
}

/// Builds the server; returns where it is. The pages are made from what is generated here, so it has none.
fn without_pages(project: &Project, deadline: Deadline) -> Result<PathBuf> {
    let mut build = build::cargo(project);
    build.args(["build", "--locked", "--package", "doce-server", "--bin", "doce"]);
    process::run(&mut build, deadline).context("build the server")?;
    Ok(build::program(project, Profile::Debug))
}

/// A file as it was.
struct Kept {
    name: &'static str,
    path: PathBuf,
    content: Option<Vec<u8>>,
}

impl Kept {
    fn read(project: &Project, name: &'static str) -> Result<Self> {
        let path = project.path(name);
        let content = if path.is_file() {
            Some(fs::read(&path).with_context(|| format!("read {}", path.display()))?)
        } else {
            None
        };
        Ok(Self { name, path, content })
    }

    fn changed(&self) -> bool {
        current(&self.path) != self.content
    }

    fn put_back(&self) -> Result<()> {
        match &self.content {
            Some(content) => fs::write(&self.path, content),
            None => fs::remove_file(&self.path),
        }
        .with_context(|| format!("put {} back", self.path.display()))
    }
}

fn current(path: &Path) -> Option<Vec<u8>> {
    fs::read(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &Path, content: Option<&str>) -> Kept {
        let path = folder.join("file");
        if let Some(text) = content {
            fs::write(&path, text).unwrap();
        }
        Kept { name: "file", path, content: content.map(|text| text.as_bytes().to_vec()) }
    }

    #[test]
    fn a_changed_file_is_seen_and_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = kept(folder.path(), Some("before"));
        assert!(!file.changed());
        fs::write(&file.path, "after").unwrap();
        assert!(file.changed());
        file.put_back().unwrap();
        assert!(!file.changed());
    }

    #[test]
    fn a_file_that_was_not_there_is_removed_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = kept(folder.path(), None);
        fs::write(&file.path, "made").unwrap();
        assert!(file.changed());
        file.put_back().unwrap();
        assert!(!file.path.exists());
    }
}
