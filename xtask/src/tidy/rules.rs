//! Rules about the text of files.

use std::path::Path;

use super::Finding;
use super::source::{Kind, Piece, pieces, without_tests};

/// Whether a path is Rust that runs in the program: not a test, not the kit for tests.
fn is_program(path: &str) -> bool {
    is_rust(path)
        && path.starts_with("crates/")
        && path.contains("/src/")
        && !path.starts_with("crates/testkit/")
        && !path.ends_with("/tests.rs")
        && !path.ends_with("/fuzz.rs")
}

fn is_rust(path: &str) -> bool {
    has_extension(path, &["rs"])
}

fn has_extension(path: &str, extensions: &[&str]) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
}

/// SQL in a string of a crate that isn't the store. Only `legacy` has some, too: it reads another program's database.
pub(super) fn sql_outside_store(path: &str, text: &str) -> Vec<Finding> {
    if !is_program(path) || path.starts_with("crates/store/") || path.starts_with("crates/legacy/") {
        return Vec::new();
    }
    pieces(without_tests(text))
        .iter()
        .filter(|piece| piece.kind == Kind::Text && is_sql(piece.text))
        .map(|piece| Finding::at(path, piece.line, "SQL belongs in doce-store"))
        .collect()
}

/// Keywords are upper case in this project, so prose isn't taken for a statement.
fn is_sql(text: &str) -> bool {
    let words: Vec<&str> = text
        .split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty())
        .collect();
    let has = |word: &str| words.contains(&word);
    let pair = |first: &str, second: &str| words.windows(2).any(|two| two == [first, second]);
    (has("SELECT") && has("FROM"))
        || pair("INSERT", "INTO")
        || pair("DELETE", "FROM")
        || (has("UPDATE") && has("SET"))
        || pair("CREATE", "TABLE")
        || words.first() == Some(&"PRAGMA")
}

/// A process started past the runtime's door.
pub(super) fn processes_outside_runtime(path: &str, text: &str) -> Vec<Finding> {
    if !is_program(path) || path.starts_with("crates/runtime/") {
        return Vec::new();
    }
    code_with(without_tests(text), "Command::new")
        .map(|line| Finding::at(path, line, "only doce-runtime starts processes"))
        .collect()
}

/// A module that doesn't begin by saying what it is for.
pub(super) fn module_documentation(path: &str, text: &str) -> Vec<Finding> {
    let ours = (path.starts_with("crates/") || path.starts_with("xtask/")) && path.contains("/src/");
    if ours && is_rust(path) && !path.ends_with("/tests.rs") && !text.starts_with("//!") {
        vec![Finding::at(path, 1, "doesn't begin with `//!`")]
    } else {
        Vec::new()
    }
}

/// A test that isn't run, or that is content with any panic.
pub(super) fn tests_switched_off(path: &str, text: &str) -> Vec<Finding> {
    if is_rust(path) {
        return ["#[ignore", "#[should_panic"]
            .into_iter()
            .flat_map(|mark| {
                code_with(text, mark).map(move |line| Finding::at(path, line, format!("`{mark}]` is not used here")))
            })
            .collect();
    }
    if !is_browser_test(path) {
        return Vec::new();
    }
    let marks = [
        "test.skip(",
        "test.only(",
        "test.fixme(",
        "it.skip(",
        "it.only(",
        "it.todo(",
        "describe.skip(",
        "describe.only(",
    ];
    lines_with(path, text, &marks, |mark| format!("`{mark}…)` switches tests off"))
}

fn is_browser_test(path: &str) -> bool {
    (path.starts_with("web/") || path.starts_with("e2e/")) && has_extension(path, &["ts", "tsx"])
}

/// A browser test that hopes that a moment is enough.
pub(super) fn waits_by_the_clock(path: &str, text: &str) -> Vec<Finding> {
    if !is_browser_test(path) || !path.starts_with("e2e/") {
        return Vec::new();
    }
    lines_with(path, text, &["waitForTimeout", "networkidle"], |mark| {
        format!("`{mark}` waits by the clock: wait for what should be seen")
    })
}

/// A path that exists only on the machine where it was written: the checkout's own, or one beside it.
pub(super) fn machine_paths(path: &str, text: &str, checkout: &Path) -> Vec<Finding> {
    // Written in two parts, so that this file keeps its own rule.
    let beside = concat!("..", "/shared");
    let mut findings = if path == ".ci/run" {
        Vec::new()
    } else {
        lines_with(path, text, &[beside], |mark| format!("names `{mark}`, which is not in this repository"))
    };
    // A checkout right below the root may be called like anything.
    let own = checkout.to_string_lossy();
    if checkout.components().count() > 2 {
        findings.extend(lines_with(path, text, &[&own], |mark| format!("names `{mark}`, a folder of one machine")));
    }
    findings
}

/// Files that must be there, and files that must not be committed.
pub(super) fn presence(paths: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for needed in ["LICENSE", "README.md", "Cargo.lock", "openapi.json", "deny.toml"] {
        if !paths.contains(&needed) {
            findings.push(Finding::new(needed, "is missing"));
        }
    }
    for manifest in paths.iter().filter(|path| path.rsplit('/').next() == Some("package.json")) {
        let lock = manifest.replace("package.json", "package-lock.json");
        if !paths.contains(&lock.as_str()) {
            findings.push(Finding::new(lock, "is missing: dependencies without a lock file"));
        }
    }
    for path in paths {
        if path.starts_with("web/dist/") || path.split('/').any(|part| part == "node_modules") {
            findings.push(Finding::new(*path, "is generated and must not be committed"));
        }
    }
    findings
}

/// Modules of `tests/it` that have no place in `tests/postgres`: crate, module, reason.
const ONLY_SQLITE: [(&str, &str, &str); 1] =
    [("store", "syncing", "what wasn't waited for PostgreSQL brings to its disk by itself")];

/// Tests of the store and of the queue that run on SQLite alone, because `tests/postgres` doesn't name their module.
pub(super) fn only_on_sqlite(text_of: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for of in ["store", "jobs"] {
        let (here, there) = (format!("crates/{of}/tests/it/main.rs"), format!("crates/{of}/tests/postgres/main.rs"));
        let (Some(sqlite), Some(postgres)) = (text_of(&here), text_of(&there)) else {
            findings.push(Finding::new(here, format!("it or {there} is missing")));
            continue;
        };
        let postgres: Vec<&str> = modules(&postgres).map(|(_, name)| name).collect();
        for (line, name) in modules(&sqlite) {
            let is_excepted = ONLY_SQLITE.iter().any(|(crate_name, module, _)| (*crate_name, *module) == (of, name));
            if !postgres.contains(&name) && !is_excepted {
                findings.push(Finding::at(&here, line, format!("`mod {name}` is not in {there}")));
            }
        }
    }
    findings
}

/// The modules that a file declares, with their lines.
fn modules(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let name = line.trim().strip_prefix("mod ")?.strip_suffix(';')?;
        Some((index + 1, name))
    })
}

fn code_with<'a>(text: &'a str, needle: &'a str) -> impl Iterator<Item = usize> + use<'a> {
    pieces(text).into_iter().filter(|piece| piece.kind == Kind::Code).flat_map(move |Piece { text, line, .. }| {
        text.lines()
            .enumerate()
            .filter(move |(_, row)| row.contains(needle))
            .map(move |(offset, _)| line + offset)
            .collect::<Vec<_>>()
    })
}

fn lines_with(path: &str, text: &str, needles: &[&str], problem: impl Fn(&str) -> String) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for needle in needles.iter().filter(|needle| line.contains(*needle)) {
            findings.push(Finding::at(path, number + 1, problem(needle)));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.place.as_str()).collect()
    }

    #[test]
    fn a_statement_outside_the_store_is_found() {
        let text = "//! Doc.\nfn f() {\n    q(\"SELECT id FROM project\");\n}\n";
        assert_eq!(places(&sql_outside_store("crates/app/src/projects.rs", text)), ["crates/app/src/projects.rs:3"]);
        assert_eq!(sql_outside_store("crates/store/src/project.rs", text), []);
        assert_eq!(sql_outside_store("crates/legacy/src/database.rs", text), []);
        assert_eq!(sql_outside_store("crates/server/tests/it/main.rs", text), []);
    }

    #[test]
    fn each_kind_of_statement_is_found() {
        for sql in [
            "INSERT INTO job VALUES (1)",
            "UPDATE job\\n SET state = 'x'",
            "DELETE FROM job",
            "CREATE TABLE job (id)",
            "PRAGMA journal_mode = WAL",
        ] {
            assert!(is_sql(sql), "{sql}");
        }
    }

    #[test]
    fn prose_and_comments_are_not_statements() {
        let text = "//! Doc: SELECT a FROM b.\nconst A: &str = \"Select a model from the list, or update it\";\n";
        assert_eq!(sql_outside_store("crates/app/src/a.rs", text), []);
    }

    #[test]
    fn a_process_outside_the_runtime_is_found_and_tests_may_start_some() {
        let text = "fn f() { Command::new(\"git\"); }\n#[cfg(test)]\nmod tests { fn g() { Command::new(\"x\"); } }\n";
        assert_eq!(places(&processes_outside_runtime("crates/app/src/a.rs", text)), ["crates/app/src/a.rs:1"]);
        assert_eq!(processes_outside_runtime("crates/runtime/src/a.rs", text), []);
        assert_eq!(processes_outside_runtime("crates/server/tests/it/a.rs", text), []);
    }

    #[test]
    fn a_module_without_its_purpose_is_found() {
        assert_eq!(module_documentation("crates/app/src/a.rs", "use x;\n").len(), 1);
        assert_eq!(module_documentation("crates/app/src/a.rs", "//! Purpose.\n"), []);
        assert_eq!(module_documentation("crates/app/tests/a.rs", "use x;\n"), []);
    }

    #[test]
    fn tests_that_are_switched_off_are_found() {
        let rust = concat!("#[test]\n#[ig", "nore]\nfn a() {}\n");
        assert_eq!(places(&tests_switched_off("crates/app/tests/a.rs", rust)), ["crates/app/tests/a.rs:2"]);
        let browser = "test.only('a', () => {})\n";
        assert_eq!(tests_switched_off("e2e/a.spec.ts", browser).len(), 1);
        assert_eq!(tests_switched_off("crates/app/src/a.rs", "// #[ignore] is not used.\n"), []);
    }

    #[test]
    fn a_browser_test_that_waits_by_the_clock_is_found() {
        let text = concat!("await page.waitFor", "Timeout(500)\n");
        assert_eq!(waits_by_the_clock("e2e/a.spec.ts", text).len(), 1);
        assert_eq!(waits_by_the_clock("docs/a.md", text), []);
    }

    #[test]
    fn folders_of_one_machine_are_found() {
        let checkout = Path::new("/home/ana/doce");
        let beside = concat!("see ..", "/shared/x");
        assert_eq!(machine_paths("README.md", beside, checkout).len(), 1);
        assert_eq!(machine_paths(".ci/run", beside, checkout), []);
        assert_eq!(machine_paths("README.md", "cd /home/ana/doce/web", checkout).len(), 1);
        assert_eq!(machine_paths("README.md", "cd doce/web", checkout), []);
        assert_eq!(machine_paths("README.md", "GET /doce/web", Path::new("/doce")), []);
    }

    #[test]
    fn what_is_missing_or_generated_is_found() {
        let whole = ["LICENSE", "README.md", "Cargo.lock", "openapi.json", "deny.toml"];
        assert_eq!(presence(&whole), []);

        let mut more = whole.to_vec();
        more.extend(["web/package.json", "web/dist/index.html", "e2e/node_modules/a/b.js"]);
        assert_eq!(
            places(&presence(&more)),
            ["web/package-lock.json", "web/dist/index.html", "e2e/node_modules/a/b.js"]
        );
        assert_eq!(places(&presence(&whole[1..])), ["LICENSE"]);
    }

    #[test]
    fn a_test_that_only_sqlite_has_is_found() {
        let text_of = |path: &str| {
            let text = match path {
                "crates/store/tests/postgres/main.rs" => "#[path = \"../it/queries.rs\"]\nmod queries;\nmod locking;\n",
                "crates/store/tests/it/main.rs" => "//! Doc.\n\nmod queries;\nmod usage;\n",
                _ => "mod clocks;\n",
            };
            Some(text.to_owned())
        };
        assert_eq!(places(&only_on_sqlite(&text_of)), ["crates/store/tests/it/main.rs:4"]);
        assert_eq!(only_on_sqlite(&|_| None).len(), 2, "a file that is gone is not a rule that holds");
    }
}
