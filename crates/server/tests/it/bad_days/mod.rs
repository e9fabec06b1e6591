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
    /// What helps: words that the person is told, or what they can do, and then what comes of it.
    pub(super) next: String,
    /// The words of both cells that are told as they stand there.
    quoted: Vec<String>,
}

impl Day {
    /// What helps, without what comes of it.
    pub(super) fn advice(&self) -> &str {
        self.next.split([':', ';']).next().unwrap_or_default()
    }
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
            let quoted = [shown, next].into_iter().flat_map(|cell| cell.split('`').skip(1).step_by(2));
            let quoted = quoted.map(str::to_owned).collect();
            Day { test: plain(name), shown: plain(shown), next: plain(next), quoted }
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
    for day in days() {
        assert!(!day.shown.is_empty() && !day.next.is_empty(), "`{}` has an empty cell", day.test);
        let Some((file, name)) = day.test.split_once("::") else {
            let body = sources.iter().find_map(|text| body_of(text, &day.test));
            let body = body.unwrap_or_else(|| panic!("no test is called `{}`", day.test));
            // Each compares both cells, by itself or where the rows that are alike are compared.
            let has = |words: &str| body.contains(words);
            let both = ["assert_refused(", "assert_told(&day", "assert_told_until_it_works("].into_iter().any(has);
            let next = has("day.next") || has("day.advice()") || has("assert_stopped_and_of_use(&day");
            assert!(both || has("day.shown") && next, "`{}` doesn't compare what is shown with its row", day.test);
            continue;
        };
        let text = read(file);
        let body = body_of(&text, name).unwrap_or_else(|| panic!("{file} has no test `{name}`"));
        assert!(!day.quoted.is_empty(), "`{name}` has nothing in its row that could be compared");
        for words in &day.quoted {
            assert!(body.contains(words), "`{name}` says nothing of `{words}`");
        }
    }
    for text in &sources {
        for test in text.split("#[tokio::test").skip(1) {
            let (name, _) = test.split_once("async fn ").and_then(|(_, rest)| rest.split_once('(')).expect("a test");
            day(name);
        }
    }
}

/// Finds the function with this name.
fn body_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("fn {name}("))?;
    rest.split("\n}\n").next()
}
