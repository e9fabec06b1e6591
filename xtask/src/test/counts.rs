//! How many tests ran, and how each runner reports it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// A line with which a test says that it could not run.
const SKIP_MARK: &str = "skipped: ";

/// What came out of a suite.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
    /// Why something was left out, once for each thing.
    pub(super) skips: Vec<String>,
    /// What failed, as far as one line can say.
    pub(super) problems: Vec<String>,
    /// Something good to know about what passed.
    pub(super) note: Option<String>,
}

impl Counts {
    /// A suite that could not run at all.
    pub(super) fn skipped(why: String) -> Self {
        Self { skips: vec![why], ..Self::default() }
    }

    pub(super) fn ran(&self) -> u64 {
        self.passed + self.failed
    }

    pub(super) fn fail(&mut self, problem: String) {
        self.failed += 1;
        self.problems.push(problem);
    }

    /// Counts one check.
    pub(super) fn check(&mut self, result: Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => self.fail(format!("{error:#}")),
        }
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.add(Ok(other), Ok(()));
        self
    }

    /// Adds what a runner reported. Its exit code must agree: a runner that broke down before or
    /// after the tests is a failure too.
    pub(super) fn add(&mut self, reported: Result<Self>, exit: Result<()>) {
        match reported {
            Ok(report) => {
                let explained = report.failed > 0;
                self.passed += report.passed;
                self.failed += report.failed;
                self.skips.extend(report.skips);
                self.problems.extend(report.problems);
                if let Err(error) = exit
                    && !explained
                {
                    self.fail(format!("{error:#}"));
                }
            }
            Err(no_report) => self.fail(match exit {
                Ok(()) => format!("{no_report:#}"),
                Err(error) => format!("{error:#}"),
            }),
        }
    }
}

/// Reads a report of the kind that is written for build servers, by nextest or by schemathesis.
pub(super) fn junit_file(report: &Path) -> Result<Counts> {
    let text = fs::read_to_string(report).with_context(|| format!("read {}", report.display()))?;
    Ok(junit(&text))
}

fn junit(text: &str) -> Counts {
    let mut counts = Counts::default();
    for case in text.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or(case);
        let name = format!("{} {}", attribute(case, "classname"), attribute(case, "name")).trim().to_owned();
        if case.contains("<failure") || case.contains("<error") {
            counts.failed += 1;
            counts.problems.push(name);
        } else if let Some(why) = skip_reason(case) {
            counts.skips.push(format!("{name}: {why}"));
        } else {
            counts.passed += 1;
        }
    }
    counts
}

fn attribute(tag: &str, name: &str) -> String {
    let start = format!("{name}=\"");
    let words = tag.split('>').next().unwrap_or(tag);
    let value = words
        .match_indices(&start)
        .find(|(at, _)| *at == 0 || words.as_bytes().get(at - 1) == Some(&b' '))
        .and_then(|(at, _)| words.get(at + start.len()..))
        .and_then(|rest| rest.split('"').next());
    plain(value.unwrap_or_default())
}

/// Undoes XML's escapes.
fn plain(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

fn skip_reason(case: &str) -> Option<String> {
    case.split("<system-").skip(1).find_map(|output| {
        let (_, text) = output.split_once('>')?;
        let text = text.split("</system-").next()?;
        text.lines().find_map(|line| line.trim().strip_prefix(SKIP_MARK)).map(plain)
    })
}

/// Reads the JSON report of vitest.
pub(super) fn vitest(report: &Path) -> Result<Counts> {
    let document = json(report)?;
    let number = |field: &str| document[field].as_u64().with_context(|| format!("vitest's report has no `{field}`"));
    let mut counts =
        Counts { passed: number("numPassedTests")?, failed: number("numFailedTests")?, ..Counts::default() };
    // A file that can't be loaded has no tests to fail.
    let broken = number("numFailedTestSuites")?;
    if broken > 0 && counts.failed == 0 {
        counts.fail(format!("{broken} files could not be run"));
    }
    for _ in 0..number("numPendingTests")? + number("numTodoTests")? {
        counts.skips.push("switched off in its file".to_owned());
    }
    Ok(counts)
}

/// Reads the JSON report of Playwright.
pub(super) fn playwright(report: &Path) -> Result<Counts> {
    let document = json(report)?;
    let number = |field: &str| {
        document["stats"][field].as_u64().with_context(|| format!("Playwright's report has no `{field}`"))
    };
    let mut counts = Counts { passed: number("expected")?, ..Counts::default() };
    counts.failed = number("unexpected")? + number("flaky")?;
    for _ in 0..number("skipped")? {
        counts.skips.push("switched off in its file, or not reached".to_owned());
    }
    collect_failures(&document["suites"], &mut counts.problems);
    Ok(counts)
}

fn collect_failures(suites: &Value, problems: &mut Vec<String>) {
    for suite in suites.as_array().into_iter().flatten() {
        collect_failures(&suite["suites"], problems);
        for spec in suite["specs"].as_array().into_iter().flatten() {
            if spec["ok"] == Value::Bool(false) {
                let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
                problems.push(format!("{}: {}", text("file"), text("title")));
            }
        }
    }
}

fn json(report: &Path) -> Result<Value> {
    let text = fs::read_to_string(report).with_context(|| format!("read {}", report.display()))?;
    serde_json::from_str(&text).with_context(|| format!("read {}", report.display()))
}

/// Reads what `cargo test` prints for each crate.
pub(super) fn libtest(output: &str) -> Counts {
    let mut counts = Counts::default();
    for line in output.lines().filter(|line| line.starts_with("test result: ")) {
        let number = |what: &str| -> u64 {
            let before = line.split(what).next().unwrap_or_default();
            before.split_whitespace().next_back().and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        counts.passed += number(" passed");
        counts.failed += number(" failed");
        for _ in 0..number(" ignored") {
            counts.skips.push("switched off in its file".to_owned());
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUNIT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0">
    <testsuite name="doce-app" tests="3" failures="1">
        <testcase name="it::a" classname="doce-app" time="0.1">
        </testcase>
        <testcase name="it::b&lt;T&gt;" classname="doce-app" time="0.1">
            <failure type="test failure">skipped: no</failure>
        </testcase>
        <testcase name="it::c" classname="doce-app::real" time="0.1">
            <system-out>running 1 test
test it::c ... ok</system-out>
            <system-err>skipped: no `docker` here</system-err>
        </testcase>
    </testsuite>
</testsuites>"#;

    #[test]
    fn the_report_of_nextest_is_read() {
        let counts = junit(JUNIT);
        assert_eq!((counts.passed, counts.failed), (1, 1));
        assert_eq!(counts.problems, ["doce-app it::b<T>"]);
        assert_eq!(counts.skips, ["doce-app::real it::c: no `docker` here"]);
    }

    #[test]
    fn a_test_that_only_prints_the_word_is_not_skipped() {
        let text = r#"<testcase name="a" classname="b"><system-out>2 skipped: never</system-out></testcase>"#;
        assert_eq!(junit(text).passed, 1);
    }

    fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn the_report_of_vitest_is_read() {
        let (_folder, path) = written(
            r#"{"numPassedTests":7,"numFailedTests":1,"numPendingTests":1,"numTodoTests":1,"numFailedTestSuites":1}"#,
        );
        let counts = vitest(&path).unwrap();
        assert_eq!((counts.passed, counts.failed, counts.skips.len()), (7, 1, 2));
    }

    #[test]
    fn a_file_that_vitest_could_not_load_is_a_failure() {
        let (_folder, path) = written(
            r#"{"numPassedTests":7,"numFailedTests":0,"numPendingTests":0,"numTodoTests":0,"numFailedTestSuites":1}"#,
        );
        assert_eq!(vitest(&path).unwrap().failed, 1);
    }

    #[test]
    fn the_report_of_playwright_is_read_and_a_flaky_test_failed() {
        let (_folder, path) = written(
            r#"{"stats":{"expected":4,"unexpected":1,"flaky":1,"skipped":2},
                "suites":[{"suites":[{"specs":[{"ok":false,"title":"t","file":"f.spec.ts"}]}],"specs":[{"ok":true}]}]}"#,
        );
        let counts = playwright(&path).unwrap();
        assert_eq!((counts.passed, counts.failed, counts.skips.len()), (4, 2, 2));
        assert_eq!(counts.problems, ["f.spec.ts: t"]);
    }

    #[test]
    fn the_lines_of_cargo_test_are_added_up() {
        let counts = libtest(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
             noise\ntest result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!((counts.passed, counts.failed, counts.skips.len()), (5, 1, 1));
    }

    #[test]
    fn a_runner_that_broke_down_failed_even_if_its_tests_passed() {
        let mut counts = Counts::default();
        counts.add(Ok(Counts { passed: 3, ..Counts::default() }), Err(anyhow::anyhow!("ended with 101")));
        assert_eq!((counts.passed, counts.failed), (3, 1));
        assert_eq!(counts.problems, ["ended with 101"]);
    }

    #[test]
    fn a_failed_test_is_counted_once() {
        let mut counts = Counts::default();
        let report = Counts { passed: 3, failed: 1, ..Counts::default() };
        counts.add(Ok(report), Err(anyhow::anyhow!("ended with 100")));
        assert_eq!((counts.passed, counts.failed), (3, 1));
    }

    #[test]
    fn a_missing_report_is_a_failure() {
        let mut counts = Counts::default();
        counts.add(junit_file(Path::new("/no/report")), Ok(()));
        assert_eq!(counts.failed, 1);
    }
}
