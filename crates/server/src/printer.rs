//! The one place that writes to the terminal: results, progress, errors and the log's lines.
//!
//! Progress redraws its line, so everything else has to go around it; that is why the log writes through here too.
//! Where no person watches, progress becomes a plain line now and then.

use std::{
    fmt::Display,
    io::{self, BufRead as _, IsTerminal as _, Read as _, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tracing_subscriber::fmt::{
    MakeWriter,
    format::Writer,
    time::{FormatTime as _, SystemTime},
};

use crate::config::Stop;

/// How far plain progress moves between two lines, in percent.
const PLAIN_STEP: u64 = 10;
/// How long plain progress without an end in sight says nothing.
const PLAIN_PAUSE: Duration = Duration::from_secs(10);
/// Most bytes of an answer that are read.
const ANSWER_MAX: u64 = 100;

/// Writes to the terminal. Clones write to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Printer {
    bars: MultiProgress,
    interactive: bool,
    /// Whether whoever reads wants JSON and nothing else.
    json: bool,
    /// Whether the log is in JSON, so that every line beside it has to be, too.
    json_log: Arc<AtomicBool>,
}

impl Printer {
    /// Makes one for this process's standard streams.
    pub(crate) fn new(json: bool) -> Self {
        let interactive = io::stderr().is_terminal() && !json;
        let target = if interactive { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), interactive, json, json_log: Arc::default() }
    }

    /// Has every line on standard error look like those of a log in JSON: whoever collects them reads one kind of line.
    pub(crate) fn log_in_json(&self) {
        self.json_log.store(true, Ordering::Relaxed);
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn is_log_in_json(&self) -> bool {
        self.json_log.load(Ordering::Relaxed)
    }

    /// Writes what was asked for, to standard output.
    pub(crate) fn result(&self, text: impl Display) {
        self.bars.suspend(|| {
            // Nobody reads any more: there is nothing left to tell and nobody to tell it to.
            drop(writeln!(io::stdout().lock(), "{text}"));
        });
    }

    /// Writes a piece of what was asked for, without ending the line.
    pub(crate) fn words(&self, text: impl AsRef<[u8]>) {
        self.bars.suspend(|| {
            let mut out = io::stdout().lock();
            // As for a result: nobody may read any more.
            drop(out.write_all(text.as_ref()).and_then(|()| out.flush()));
        });
    }

    /// Writes a line about what is going on, to standard error.
    pub(crate) fn line(&self, text: impl Display) {
        if self.is_log_in_json() {
            // Columns are for people.
            let message: Vec<String> = text.to_string().split_whitespace().map(str::to_owned).collect();
            self.log_line("INFO", json!({ "message": message.join(" ") }));
        } else {
            self.write_line(text);
        }
    }

    fn write_line(&self, text: impl Display) {
        self.bars.suspend(|| drop(writeln!(io::stderr().lock(), "{text}")));
    }

    /// Writes a line as the log does in JSON.
    fn log_line(&self, level: &str, mut line: Value) {
        let mut timestamp = String::new();
        // Writing into a string doesn't fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
        line["timestamp"] = json!(timestamp);
        line["level"] = json!(level);
        line["target"] = json!("doce");
        self.write_line(line);
    }

    /// Writes a line about what is going on, unless JSON was asked for.
    pub(crate) fn note(&self, text: impl Display) {
        if !self.json {
            self.line(text);
        }
    }

    /// Tells whether JSON was asked for.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Asks a question on standard error and waits for its answer. Only a clear yes is one; the end of input is no.
    pub(crate) fn asks(&self, question: impl Display) -> bool {
        self.bars.suspend(|| {
            drop(write!(io::stderr().lock(), "{question} [y/N] "));
            drop(io::stderr().lock().flush());
            let mut answer = String::new();
            let read = io::stdin().lock().take(ANSWER_MAX).read_line(&mut answer);
            if !io::stdin().is_terminal() {
                // Nobody pressed return here.
                drop(writeln!(io::stderr().lock()));
            }
            read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
        })
    }

    /// Writes an error: its name, the reasons below it, the next move, and by what it is found in the server's log.
    pub(crate) fn error(&self, stop: &Stop) {
        let Stop { error, hint, reference, code, by_user } = stop;
        let mut because: Vec<String> = error.chain().map(ToString::to_string).collect();
        // Some errors repeat their source's words as their own.
        because.dedup();
        because.remove(0);
        let code = code.as_deref().unwrap_or(if *by_user { "wrong" } else { "failed" });
        if self.is_log_in_json() {
            let message = error.to_string();
            self.log_line("ERROR", json!({ "message": message, "because": because, "hint": hint, "code": code }));
            return;
        }
        if self.json {
            self.write_line(json!({
                "error": error.to_string(), "because": because, "hint": hint, "reference": reference, "code": code,
            }));
            return;
        }
        self.line(format_args!("error: {error}"));
        for cause in because {
            self.line(format_args!("  because: {cause}"));
        }
        if let Some(hint) = hint {
            self.line(format_args!("  try: {hint}"));
        }
        if let Some(reference) = reference {
            self.line(format_args!("  reference: {reference}"));
        }
    }

    /// Begins to show how far something is.
    pub(crate) fn progress(&self, what: &'static str) -> Progress {
        let bar = (self.interactive && !self.is_log_in_json()).then(|| {
            let bar = self.bars.add(ProgressBar::no_length());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Progress { printer: self.clone(), what, bar, plain: Plain::default() }
    }
}

/// Something under way.
#[derive(Debug)]
pub(crate) struct Progress {
    printer: Printer,
    what: &'static str,
    bar: Option<ProgressBar>,
    plain: Plain,
}

/// What plain progress has said.
#[derive(Debug, Default)]
struct Plain {
    percent: Option<u64>,
    at: Option<Instant>,
}

impl Plain {
    /// Says how far it is in percent, if that is news.
    fn percent(&mut self, got: u64, total: u64) -> Option<String> {
        let percent = got.saturating_mul(100).checked_div(total).unwrap_or(0) / PLAIN_STEP * PLAIN_STEP;
        let is_news = self.percent.is_none_or(|last| percent > last);
        is_news.then(|| {
            self.percent = Some(percent);
            format!("{percent} %")
        })
    }

    /// Says how much there is, if nothing was said for a while.
    fn so_far(&mut self, got: u64, now: Instant) -> Option<String> {
        let is_news = self.at.is_none_or(|last| now.duration_since(last) >= PLAIN_PAUSE);
        is_news.then(|| {
            self.at = Some(now);
            size(got)
        })
    }
}

/// Writes a number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let (kib, mib) = (bytes.div_ceil(1024), bytes / (1024 * 1024));
    match mib {
        0..10 => format!("{kib} KiB"),
        10..10_240 => format!("{mib} MiB"),
        _ => format!("{} GiB", mib / 1024),
    }
}

impl Progress {
    /// Tells how many bytes there are, of how many.
    pub(crate) fn bytes(&mut self, got: u64, total: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.what);
            if let Some(total) = total {
                bar.set_length(total);
                bar.set_style(style("{msg} {wide_bar} {bytes}/{total_bytes}"));
            } else {
                bar.set_style(style("{spinner} {msg} {bytes}"));
            }
            bar.set_position(got);
            return;
        }
        let news = match total {
            Some(total) => self.plain.percent(got, total),
            None => self.plain.so_far(got, Instant::now()),
        };
        self.tell(news);
    }

    fn tell(&self, news: Option<String>) {
        if let Some(news) = news {
            self.printer.note(format_args!("{}: {news}", self.what));
        }
    }

    /// Tells how many are done, of how many.
    pub(crate) fn count(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.what);
            bar.set_length(total);
            bar.set_style(style("{msg} {wide_bar} {pos}/{len}"));
            bar.set_position(done);
        } else {
            let news = self.plain.percent(done, total);
            self.tell(news);
        }
    }

    /// Ends it with what came of it.
    pub(crate) fn done(self, came_of_it: impl Display) {
        let Self { printer, what, bar, .. } = self;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        printer.note(format_args!("{what}: {came_of_it}"));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl<'a> MakeWriter<'a> for Printer {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(self.clone())
    }
}

/// Where the log writes a line to.
#[derive(Debug)]
pub(crate) struct LogLine(Printer);

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bars.suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_sees_a_bar_progress_is_a_line_each_tenth_or_each_ten_seconds() {
        let mut plain = Plain::default();
        let told: Vec<String> = (0..=100).filter_map(|got| plain.percent(got, 100)).collect();
        assert_eq!((told.len(), told[0].as_str(), told[10].as_str()), (11, "0 %", "100 %"));
        let (mut plain, begun) = (Plain::default(), Instant::now());
        let mut told = |seconds: u64, mib: u64| plain.so_far(mib * 1024 * 1024, begun + Duration::from_secs(seconds));
        assert_eq!(told(0, 64).as_deref(), Some("64 MiB"));
        assert_eq!(told(9, 640), None);
        assert_eq!(told(10, 20 * 1024).as_deref(), Some("20 GiB"));
    }
}
