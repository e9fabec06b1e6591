//! The rules of this project that neither the compiler nor clippy can check.
//!
//! Each rule is a pure function from a file (or the packages) to findings, and is tested below
//! with a text that breaks it. ARCHITECTURE.md says why the rules are what they are.

mod rules;
mod source;
mod walls;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::build;
use crate::process::{self, Deadline};
use crate::project::Project;

/// One place where a rule is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) place: String,
    pub(crate) problem: String,
}

impl Finding {
    fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }

    fn at(path: &str, line: usize, problem: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), problem)
    }
}

/// A file of the repository: committed, or about to be.
struct File {
    path: String,
    text: String,
}

/// What a rule is called, and where it is broken.
pub(crate) struct Checked {
    pub(crate) rule: &'static str,
    pub(crate) findings: Vec<Finding>,
}

/// Checks every rule.
pub(crate) fn check(project: &Project) -> Result<Vec<Checked>> {
    let files = files(project)?;
    let packages = packages(project)?;
    let per_file = |rule, check: fn(&str, &str) -> Vec<Finding>| Checked {
        rule,
        findings: files.iter().flat_map(|file| check(&file.path, &file.text)).collect(),
    };
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    Ok(vec![
        Checked { rule: "crates depend only on crates below them", findings: walls::arrows(&packages) },
        Checked { rule: "each outside crate stays behind its wall", findings: walls::confined(&packages) },
        Checked { rule: "every crate takes the workspace's lints", findings: walls::lints(&packages) },
        per_file("SQL is only in the store", rules::sql_outside_store),
        per_file("processes are started only by the runtime", rules::processes_outside_runtime),
        per_file("every module says what it is for", rules::module_documentation),
        per_file("no test is switched off or expects a panic", rules::tests_switched_off),
        per_file("no browser test waits by the clock", rules::waits_by_the_clock),
        Checked {
            rule: "no path of one machine is named",
            findings: files
                .iter()
                .flat_map(|file| rules::machine_paths(&file.path, &file.text, project.root()))
                .collect(),
        },
        Checked { rule: "what has to be there is, and what is generated isn't", findings: rules::presence(&paths) },
        Checked {
            rule: "what SQLite is tested with, PostgreSQL is, too",
            findings: rules::only_on_sqlite(&|path| {
                files.iter().find(|file| file.path == path).map(|file| file.text.clone())
            }),
        },
        Checked { rule: "scripts can be run", findings: scripts(project)? },
    ])
}

fn files(project: &Project) -> Result<Vec<File>> {
    let mut list = process::command("git", project.root());
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let names = process::read(&mut list, Deadline::after(Duration::from_mins(1)))
        .context("list the files of the repository")?;
    let mut files = Vec::new();
    for path in names.split('\0').filter(|name| !name.is_empty()) {
        // Deleted but not yet committed, or a picture.
        if let Ok(bytes) = fs::read(project.path(path))
            && let Ok(text) = String::from_utf8(bytes)
        {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn packages(project: &Project) -> Result<Vec<walls::Package>> {
    let mut metadata = build::cargo(project);
    metadata.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let text = process::read(&mut metadata, Deadline::after(Duration::from_mins(2)))?;
    let document = serde_json::from_str(&text).context("read the output of `cargo metadata`")?;
    walls::Package::all(&document)
}

fn scripts(project: &Project) -> Result<Vec<Finding>> {
    use std::os::unix::fs::PermissionsExt as _;

    let script = ".ci/run";
    let metadata = fs::metadata(project.path(script)).with_context(|| format!("look at {script}"))?;
    Ok(if metadata.permissions().mode() & 0o111 == 0 {
        vec![Finding::new(script, "isn't executable")]
    } else {
        Vec::new()
    })
}
