//! How answers are told: tables, a noun found by what a person typed, and text that can't harm a terminal.

use anyhow::anyhow;
use serde_json::Value;

use crate::{config::Stop, printer::Printer};

/// What a person gives to name a thing, and where all of them can be seen.
pub(super) struct Noun {
    /// Its word.
    pub(super) word: &'static str,
    /// The fields by which it is known, the id first.
    pub(super) fields: &'static [&'static str],
    /// The command that lists them.
    pub(super) list: &'static str,
}

/// Finds the one thing that somebody named, whole or by its beginning.
pub(super) fn pick(noun: &Noun, items: &[Value], wanted: &str) -> Result<Value, Stop> {
    let names = |item: &Value| -> Vec<String> {
        noun.fields.iter().filter_map(|field| item[*field].as_str()).map(str::to_lowercase).collect()
    };
    let wanted_low = wanted.to_lowercase();
    let whole: Vec<&Value> = items.iter().filter(|item| names(item).contains(&wanted_low)).collect();
    let found = if whole.is_empty() {
        items.iter().filter(|item| names(item).iter().any(|name| name.starts_with(&wanted_low))).collect()
    } else {
        whole
    };
    let word = noun.word;
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Stop::wrong(anyhow!("find the {word} `{wanted}`: there is none"))
            .hint(format!("`{}` shows all of them", noun.list))),
        several => {
            let ids: Vec<&str> = several.iter().take(5).map(|item| text(&item["id"])).collect();
            Err(Stop::wrong(anyhow!("find the {word} `{wanted}`: it names {} of them", several.len()))
                .hint(format!("say which: {}", ids.join(", "))))
        }
    }
}

/// Returns a field that is text; nothing for one that is null.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns a moment to the minute as the clock on the wall shows it, as it stands in a table; nothing for one that is null.
pub(super) fn moment(value: &Value) -> String {
    on_the_wall(text(value), "%Y-%m-%d %H:%M").unwrap_or_default()
}

/// Returns a moment in the time zone of this machine.
pub(super) fn on_the_wall(moment: &str, format: &str) -> Option<String> {
    let moment: jiff::Timestamp = moment.parse().ok()?;
    Some(moment.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string())
}

/// Takes out what a terminal would obey: the text may be an agent's.
pub(super) fn harmless(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Makes a text one line of a table.
fn cell(text: &str, most: usize) -> String {
    let line: String = harmless(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Most characters of a cell.
const CELL_MAX: usize = 48;

/// Prints rows below their titles, aligned; `none` if there is no row.
pub(super) fn table<const N: usize>(printer: &Printer, titles: [&str; N], rows: &[[String; N]], none: &str) {
    if rows.is_empty() {
        printer.result(none);
        return;
    }
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|text| cell(text, CELL_MAX))).collect();
    let titles = titles.map(str::to_owned);
    let mut widths = titles.each_ref().map(|title| title.chars().count());
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    for row in std::iter::once(&titles).chain(&rows) {
        let line: Vec<String> = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}")).collect();
        printer.result(line.join("  ").trim_end());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PROJECT: Noun = Noun { word: "project", fields: &["id", "slug", "name"], list: "doce project list" };

    #[test]
    fn a_thing_is_found_by_id_name_or_a_beginning_that_only_it_has() {
        let items = || {
            vec![
                json!({"id": "prj_1a", "slug": "bakery", "name": "The Bakery"}),
                json!({"id": "prj_1b", "slug": "bakery-2", "name": "Bakery Two"}),
                json!({"id": "prj_2c", "slug": "shop", "name": "Shop"}),
            ]
        };
        for (wanted, id) in [
            ("bakery", "prj_1a"),
            ("BAKERY TWO", "prj_1b"),
            ("prj_2", "prj_2c"),
            ("sh", "prj_2c"),
            ("prj_1a", "prj_1a"),
        ] {
            assert_eq!(pick(&PROJECT, &items(), wanted).unwrap()["id"], id, "{wanted}");
        }
        let stop = pick(&PROJECT, &items(), "prj_1").unwrap_err();
        assert!(stop.by_user && stop.hint.unwrap().contains("prj_1a, prj_1b"));
        let stop = pick(&PROJECT, &items(), "none").unwrap_err();
        assert_eq!(stop.error.to_string(), "find the project `none`: there is none");
    }

    #[test]
    fn an_agents_words_can_not_command_a_terminal() {
        assert_eq!(harmless("a\u{1b}]0;owned\u{7}b\r\n\tc\u{9b}31m"), "a]0;ownedb\n\tc31m");
        assert_eq!(cell("one\n two\u{1b}[2J", 48), "one two[2J");
        assert_eq!(cell("abcdef", 4), "abc…");
    }
}
