//! Bad days: what goes wrong around doce, what a person is shown then, and what they can do.
//!
//! `docs/bad-days.md` has the table. Each of its rows has a test here with the row's name, or names the test elsewhere
//! that shows it.

pub(crate) mod agents;
mod storage;
mod workspaces;

use std::path::{Path, PathBuf};

/// A row of the table.
pub(super) struct Day {
    /// The test's name.
    pub(super) test: String,
    /// What is shown: a code, or words of the terminal.
    pub(super) shown: String,
    /// What the person is told to do.
    pub(super) next: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of `docs/bad-days.md`: cause, what is shown, what to do, test.
fn days() -> Vec<Day> {
    let text = std::fs::read_to_string(root().join("docs/bad-days.md")).expect("docs/bad-days.md is there");
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.ends_with("` |"));
    let days: Vec<Day> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [_, shown, next, name] = cells[..] else { panic!("a row has four cells: {row}") };
            let plain = |markdown: &str| markdown.replace('`', "");
            Day { test: plain(name), shown: plain(shown), next: plain(next) }
        })
        .collect();
    assert!(days.len() >= 15, "the search has gone blind");
    days
}

/// Finds the row of a test.
pub(super) fn day(test: &str) -> Day {
    let found = days().into_iter().find(|day| day.test == test);
    found.unwrap_or_else(|| panic!("`{test}` has no row in docs/bad-days.md"))
}

#[test]
fn every_row_of_the_table_has_a_test_and_every_test_a_row() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let sources =
        ["agents", "storage", "workspaces"].map(|file| read(&format!("crates/server/tests/it/bad_days/{file}.rs")));
    let here: Vec<&str> = sources
        .iter()
        .flat_map(|text| text.split("async fn ").skip(1))
        .filter_map(|rest| rest.split_once('('))
        .map(|(name, _)| name)
        .collect();
    for day in days() {
        match day.test.split_once("::") {
            None => assert!(here.contains(&day.test.as_str()), "no test is called `{}`", day.test),
            Some((file, name)) => {
                assert!(read(file).contains(&format!("fn {name}(")), "{file} has no test `{name}`");
            }
        }
        assert!(!day.shown.is_empty() && !day.next.is_empty(), "`{}` has an empty cell", day.test);
    }
    for text in &sources {
        for test in text.split("#[tokio::test").skip(1) {
            let (name, _) = test.split_once("async fn ").and_then(|(_, rest)| rest.split_once('(')).expect("a test");
            day(name);
        }
    }
}
