//! `TRAPS.md` tells the truth: every test that it names exists, and every row names one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Rows that must be there.
const ROWS: [&str; 29] = [
    "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "0.10", "4", "6.1", "6.2", "6.3", "6.4", "6.5",
    "6.6", "7.1", "7.2", "7.3", "7.4", "13.1", "13.2", "13.3", "13.4", "13.5", "13.6", "13.7", "13.8",
];

struct Row {
    number: String,
    tests: Vec<String>,
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rows() -> Vec<Row> {
    let text = fs::read_to_string(here().join("TRAPS.md")).expect("TRAPS.md is beside Cargo.toml");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells = cells(line);
        let [number, _trap, _handled, tests] = &cells[..] else { panic!("a row has four cells: {line}") };
        let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Row { number: number.clone(), tests }
    };
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| #");
    text.lines().filter(is_row).map(row).collect()
}

/// All sources that can hold a test, beneath the workspace's own folders.
fn sources() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("entries have names").to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | "node_modules" | "dist") {
                    walk(&path, found);
                }
            } else if [".rs", ".spec.ts", ".spec.tsx"].iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    let root = here().join("../..");
    for folder in ["crates", "xtask", "web", "e2e"] {
        walk(&root.join(folder), &mut found);
    }
    found
}

/// The names of all tests: functions under a test attribute, and the titles of browser tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in sources() {
        let text = fs::read_to_string(&path).expect("sources are text");
        if path.extension().is_some_and(|extension| extension == "rs") {
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test && !line.starts_with("//")) {
                    names.insert(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
                    is_test = false;
                }
            }
        } else {
            for quote in ['"', '\'', '`'] {
                names.extend(text.split(quote).skip(1).step_by(2).map(str::to_owned));
            }
        }
    }
    names
}

#[test]
fn every_test_that_the_table_names_exists() {
    let tests = tests();
    let named: Vec<_> = rows().into_iter().flat_map(|row| row.tests).collect();
    assert!(named.len() > 30, "the table is read: {named:?}");
    let missing: Vec<_> =
        named.iter().filter(|name| !tests.contains(name.rsplit("::").next().unwrap_or_default())).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
}

#[test]
fn every_row_is_there_and_names_a_test() {
    let rows = rows();
    let numbers: Vec<_> = rows.iter().map(|row| row.number.as_str()).collect();
    assert_eq!(numbers, ROWS);
    let without: Vec<_> = rows.iter().filter(|row| row.tests.is_empty()).map(|row| row.number.as_str()).collect();
    assert_eq!(without, Vec::<&str>::new(), "rows without a test");
}

#[test]
fn a_name_that_is_no_test_is_not_found() {
    let tests = tests();
    assert!(tests.contains("a_name_that_is_no_test_is_not_found"));
    assert!(!tests.contains("rows") && !tests.contains("walk"), "helpers are no tests");
}

#[test]
fn the_client_has_no_route_that_changes_configuration() {
    let code: String = ["src/client.rs", "src/client/login.rs"]
        .map(|path| fs::read_to_string(here().join(path)).expect("the client's source"))
        .concat()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    assert!(code.contains("\"prompt_async\"") && code.contains("\"callback\""), "the code is what is searched");
    for forbidden in ["PATCH", "\"wellknown\"", "\"global\", \"config\""] {
        assert!(!code.contains(forbidden), "{forbidden}");
    }
}
