//! What the documents promise is what there is.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What only the fault injection of tests says.
const NEVER_LEAVES: [&str; 1] = ["injected"];

/// The codes in the first column of the tables of `docs/errors.md`.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md is there");
    text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(code, _)| code.to_owned()).collect()
}

/// The codes that the use cases and the crates below them write into failures.
fn written() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["crates/app/src", "crates/jobs/src", "crates/store/src", "crates/runtime/src", "crates/opencode/src"]
    {
        visit(&root().join(folder), &mut found);
    }
    found.retain(|code| !NEVER_LEAVES.contains(&code.as_str()));
    assert!(found.len() > 15, "the search has gone blind: {found:?}");
    found
}

fn visit(path: &Path, found: &mut BTreeSet<String>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).expect("the sources can be read");
        entries.for_each(|entry| visit(&entry.expect("the sources can be read").path(), found));
    } else if path.extension().is_some_and(|end| end == "rs") {
        let text = std::fs::read_to_string(path).expect("the sources can be read");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for mark in ["Failure::new(", "code: "] {
            found.extend(text.split(mark).skip(1).filter_map(literal));
        }
        // `not_found("project", …)` becomes `project_not_found`.
        let nouns = text.split("not_found(").skip(1).filter_map(literal);
        found.extend(nouns.map(|noun| format!("{}_not_found", noun.replace(['-', ' '], "_"))));
    }
}

/// Reads the string that a text begins with, if it is a code.
fn literal(text: &str) -> Option<String> {
    let (code, _) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    let is_code = !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b"_- ".contains(&b));
    is_code.then(|| code.to_owned())
}

#[test]
fn every_code_that_can_leave_is_documented() {
    let documented = documented();
    let mut can_leave = written();
    can_leave.extend(doce_server::CODES.iter().map(|code| (*code).to_owned()));
    let missing: Vec<_> = can_leave.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/errors.md doesn't explain {missing:?}");
}

#[test]
fn no_documented_code_is_a_dead_one() {
    let mut can_leave = written();
    can_leave.extend(doce_server::CODES.iter().map(|code| (*code).to_owned()));
    let dead: Vec<_> = documented().into_iter().filter(|code| !can_leave.contains(code)).collect();
    assert!(dead.is_empty(), "docs/errors.md explains {dead:?}, which nothing says");
}
