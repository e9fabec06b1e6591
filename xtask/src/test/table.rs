//! The table at the end, and what it means for the exit code.

use std::time::Duration;

use super::counts::Counts;

/// How wide a reason may be in the table; all of it stands above.
const WIDTH: usize = 100;

/// A line of the table.
pub(super) struct Row {
    pub(super) suite: &'static str,
    pub(super) counts: Counts,
    pub(super) skip_allowed: bool,
    pub(super) took: Duration,
}

/// The table *suite, ran, skipped, why*.
pub(super) fn render(rows: &[Row], total: Duration) -> String {
    let mut table = format!("  {:<10} {:>6} {:>7} {:>7}  why\n", "suite", "ran", "skipped", "time");
    for row in rows {
        let mark = if row.counts.failed > 0 { '✗' } else { ' ' };
        let line = format!(
            "{mark} {:<10} {:>6} {:>7} {:>7}  {}",
            row.suite,
            row.counts.ran(),
            row.counts.skips.len(),
            clock(row.took),
            why(row)
        );
        table.push_str(line.trim_end());
        table.push('\n');
    }
    let suites = rows.len();
    let total = clock(total);
    table + &format!("  {suites} suites in {total}")
}

fn why(row: &Row) -> String {
    let mut reasons = Vec::new();
    if row.counts.failed > 0 {
        let first = row.counts.problems.first().map(String::as_str).unwrap_or_default();
        reasons.push(format!("{} failed: {first}", row.counts.failed));
    }
    if let Some(first) = row.counts.skips.first() {
        let allowed = if row.skip_allowed { "skip allowed" } else { "skipped" };
        let more = match row.counts.skips.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        reasons.push(format!("{allowed}: {first}{more}"));
    }
    reasons.extend(row.counts.note.clone());
    let line = reasons.join("; ").lines().next().unwrap_or_default().to_owned();
    if line.chars().count() > WIDTH { line.chars().take(WIDTH).chain(['…']).collect() } else { line }
}

fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// How long the whole is meant to take. It is a goal: a slow machine fails nothing.
const GOAL: Duration = Duration::from_mins(30);

/// The total time beside its goal.
pub(super) fn goal(total: Duration) -> String {
    let word = if total <= GOAL { "met" } else { "missed" };
    format!("total time {}, goal {}: {word}", clock(total), clock(GOAL))
}

/// Why the whole failed, if it did; and the last line.
pub(super) fn verdict(rows: &[Row]) -> (Vec<String>, String) {
    let sum = |number: fn(&Row) -> u64| rows.iter().map(number).sum::<u64>();
    let passed = sum(|row| row.counts.passed);
    let failed = sum(|row| row.counts.failed);
    let skipped = sum(|row| row.counts.skips.len() as u64);
    let mut complaints = Vec::new();
    let bad: Vec<&str> = rows.iter().filter(|row| row.counts.failed > 0).map(|row| row.suite).collect();
    if !bad.is_empty() {
        complaints.push(format!("failed: {}", bad.join(", ")));
    }
    for row in rows.iter().filter(|row| !row.counts.skips.is_empty() && !row.skip_allowed) {
        complaints.push(format!("something of `{0}` was skipped; `--allow-skip {0}` accepts that", row.suite));
    }
    (complaints, format!("{passed} passed, {failed} failed, {skipped} skipped"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(suite: &'static str, passed: u64, failed: u64, skips: &[&str]) -> Row {
        let counts = Counts {
            passed,
            failed,
            skips: skips.iter().map(|why| (*why).to_owned()).collect(),
            problems: vec!["a_test".to_owned(); usize::try_from(failed).unwrap()],
            note: None,
        };
        Row { suite, counts, skip_allowed: false, took: Duration::from_secs(75) }
    }

    #[test]
    fn the_table_says_what_ran_what_was_skipped_and_why() {
        let rows = [row("unit", 10, 0, &[]), row("real", 0, 0, &["no bubblewrap"]), row("web", 3, 1, &[])];
        let expected = "  suite         ran skipped    time  why
  unit           10       0    1:15
  real            0       1    1:15  skipped: no bubblewrap
✗ web             4       0    1:15  1 failed: a_test
  3 suites in 12:05";
        assert_eq!(render(&rows, Duration::from_secs(725)), expected);
    }

    #[test]
    fn the_total_time_is_told_beside_its_goal() {
        assert_eq!(goal(Duration::from_mins(30)), "total time 30:00, goal 30:00: met");
        assert_eq!(goal(Duration::from_secs(1861)), "total time 31:01, goal 30:00: missed");
    }

    #[test]
    fn all_passed_is_no_complaint() {
        let (complaints, line) = verdict(&[row("unit", 10, 0, &[]), row("web", 2, 0, &[])]);
        assert_eq!(complaints, Vec::<String>::new());
        assert_eq!(line, "12 passed, 0 failed, 0 skipped");
    }

    #[test]
    fn a_failure_is_a_complaint() {
        let (complaints, line) = verdict(&[row("unit", 10, 2, &[])]);
        assert_eq!(complaints, ["failed: unit"]);
        assert_eq!(line, "10 passed, 2 failed, 0 skipped");
    }

    #[test]
    fn a_skip_is_a_complaint_unless_it_was_allowed() {
        let mut skipped = row("real", 0, 0, &["no bubblewrap"]);
        assert_eq!(verdict(std::slice::from_ref(&skipped)).0.len(), 1);
        skipped.skip_allowed = true;
        let (complaints, line) = verdict(&[skipped]);
        assert_eq!(complaints, Vec::<String>::new());
        assert_eq!(line, "0 passed, 0 failed, 1 skipped");
    }
}
