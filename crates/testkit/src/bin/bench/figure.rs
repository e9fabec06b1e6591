//! A figure, its goal, and the table of all.

use std::{fmt::Write as _, path::Path, time::Duration};

use serde_json::{Value, json};

/// Something measured.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What it is.
    what: String,
    /// The value that is held against the goal.
    value: f64,
    unit: &'static str,
    /// The most that it should be.
    goal: f64,
    /// What it was compared to, and how often.
    against: String,
    raw: Value,
}

impl Figure {
    pub(crate) fn new(
        what: impl Into<String>,
        (value, unit): (f64, &'static str),
        goal: f64,
        against: impl Into<String>,
        raw: Value,
    ) -> Self {
        Self { what: what.into(), value, unit, goal, against: against.into(), raw }
    }

    fn met(&self) -> &'static str {
        if self.value <= self.goal { "met" } else { "missed" }
    }
}

/// Writes the table that a person reads, as Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text = String::from("| figure | measured | goal | | compared to |\n|---|---|---|---|---|\n");
    for figure in figures {
        let Figure { what, value, unit, goal, against, .. } = figure;
        writeln!(
            text,
            "| {what} | {} {unit} | ≤ {} {unit} | {} | {against} |",
            short(*value),
            short(*goal),
            figure.met()
        )
        .expect("a String takes everything");
    }
    text
}

fn short(value: f64) -> String {
    let digits = match value {
        _ if value.fract() == 0.0 => 0,
        _ if value < 10.0 => 2,
        _ if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// Writes every single measurement to a file, in place of older ones of the same figures.
pub(crate) fn keep(path: &Path, figures: &[Figure]) -> std::io::Result<()> {
    let older: Vec<Value> =
        std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let is_new = |kept: &Value| figures.iter().any(|figure| kept["figure"] == figure.what);
    let mut all: Vec<Value> = older.into_iter().filter(|kept| !is_new(kept)).collect();
    let now = jiff::Timestamp::now().to_string();
    all.extend(figures.iter().map(|figure| {
        json!({
            "figure": figure.what, "value": figure.value, "unit": figure.unit, "goal": figure.goal,
            "result": figure.met(), "compared_to": figure.against, "at": now, "raw": figure.raw,
        })
    }));
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, serde_json::to_string_pretty(&all).expect("figures are JSON"))
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

pub(crate) fn p99(values: &[f64]) -> f64 {
    quantile(values, 0.99)
}

/// The value below which this share lies, of the nearest rank.
fn quantile(values: &[f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank of a short list"
    )]
    let rank = (share * (sorted.len() - 1) as f64).round() as usize;
    sorted[rank]
}

/// The median of what one side took over the other, pair by pair.
pub(crate) fn median_ratio(pairs: &[(f64, f64)]) -> f64 {
    median(&pairs.iter().map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
}

/// The median of what one side took more than the other, pair by pair.
pub(crate) fn median_difference(pairs: &[(f64, f64)]) -> f64 {
    median(&pairs.iter().map(|(ours, theirs)| ours - theirs).collect::<Vec<_>>())
}

/// Says in which order the sides of a pair are measured: ours first in every other one.
pub(crate) const fn ours_first(pair: usize) -> bool {
    matches!(pair % 4, 0 | 3)
}
