//! `doce job`: shows what is being done, takes it back, does it again, or lets nothing begin for a while.

use std::process::ExitCode;

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use doce_app::JOB_KINDS;
use doce_model::JobState;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Remote, To,
    project::PROJECT,
    words::{Noun, harmless, moment, table, text},
};
use crate::{config::Stop, printer::Printer};

const JOB: Noun = Noun { word: "job", fields: &["id"], list: "doce job list" };
/// Most lines of a job's log that a person is shown; `--json` has all that the server keeps at hand.
const LOG_LINES: usize = 12;

/// The settings of `job`.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    to: To,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists jobs, the newest first
    List {
        /// Only those of this project
        #[arg(long, value_name = "PROJECT")]
        project: Option<String>,
        /// Only those in this state
        #[arg(long, value_name = "STATE", value_parser = states())]
        state: Option<String>,
        /// Only those of this kind
        #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(JOB_KINDS))]
        kind: Option<String>,
        /// Most jobs that are listed, 200 at a time
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: u32,
        /// Goes on where a list ended: its `next`
        #[arg(long, value_name = "NEXT")]
        cursor: Option<String>,
    },
    /// Shows a job: its steps, why it failed or waits, and the end of its log
    Show {
        /// Its id, or the beginning of it
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Cancels a job that has not ended: what it did is taken back
    Cancel {
        /// Its id, or the beginning of it
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Does again what a job that failed or was cancelled was to do, as a job of its own
    Retry {
        /// Its id, or the beginning of it
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Pauses the queue: no job begins, those that have begun go on to their end. For admins
    #[command(after_help = "While the queue is paused, a project does not start or stop, a prompt is not sent, \
        and a key is not handed over or taken back. Restarting doce does not end the pause: `doce job resume` does.")]
    Pause,
    /// Resumes the queue: jobs begin again. For admins
    Resume,
}

fn states() -> PossibleValuesParser {
    PossibleValuesParser::new(JobState::ALL.iter().map(|state| state.as_str()))
}

/// Does what was asked for.
pub(crate) async fn job(printer: &Printer, arguments: JobArgs) -> Result<ExitCode, Stop> {
    let JobArgs { to, command } = arguments;
    let remote = Remote::find(&to)?;
    match command {
        Command::List { project, state, kind, limit, cursor } => {
            let mut path = format!("/api/jobs?limit={limit}");
            if let Some(project) = project {
                let project = remote.pick(&PROJECT, "/api/projects", &project).await?;
                path = format!("{path}&project_id={}", text(&project["id"]));
            }
            for (name, value) in [("state", state), ("kind", kind), ("cursor", cursor)] {
                if let Some(value) = value {
                    let value: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
                    path = format!("{path}&{name}={value}");
                }
            }
            let page = remote.get("list the jobs", &path).await?;
            if remote.json {
                printer.result(&page);
            } else {
                let rows: Vec<_> = page["items"].as_array().into_iter().flatten().map(row).collect();
                table(printer, ["ID", "KIND", "STATE", "STEP", "ASKED FOR"], &rows, "There is no such job.");
                if let Some(next) = page["next"].as_str() {
                    printer.line(format_args!("There are more: `--cursor {next}` goes on."));
                }
            }
        }
        Command::Show { job } => {
            let mut job = find(&remote, &job).await?;
            let path = format!("/api/jobs/{}/log", text(&job["id"]));
            let mut log = remote.get("read the job's log", &path).await?;
            job["log"] = log["items"].take();
            tell(printer, &remote, &job);
        }
        Command::Cancel { job } => {
            let job = find(&remote, &job).await?;
            let path = format!("/api/jobs/{}/cancel", text(&job["id"]));
            let job = remote.ask("cancel the job", Method::POST, &path, Some(&json!({}))).await?;
            tell(printer, &remote, &job);
        }
        Command::Retry { job } => {
            let job = find(&remote, &job).await?;
            let path = format!("/api/jobs/{}/retry", text(&job["id"]));
            let job = remote.ask("do the job again", Method::POST, &path, Some(&json!({}))).await?;
            tell(printer, &remote, &job);
        }
        Command::Pause => pause(printer, &remote, true).await?,
        Command::Resume => pause(printer, &remote, false).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn pause(printer: &Printer, remote: &Remote, paused: bool) -> Result<(), Stop> {
    let what = if paused { "pause the queue" } else { "resume the queue" };
    let queue = remote.ask(what, Method::PUT, "/api/queue", Some(&json!({"paused": paused}))).await?;
    if remote.json {
        printer.result(&queue);
    } else if queue["paused_at"].is_string() {
        let since = moment(&queue["paused_at"]);
        printer.result(format_args!("The queue is paused since {since}: no job begins. `doce job resume` ends that."));
    } else {
        printer.result("The queue is not paused: jobs begin.");
    }
    Ok(())
}

async fn find(remote: &Remote, wanted: &str) -> Result<Value, Stop> {
    remote.pick(&JOB, "/api/jobs?limit=100", wanted).await
}

fn row(job: &Value) -> [String; 5] {
    let steps = job["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_over = |step: &&Value| matches!(text(&step["state"]), "succeeded" | "skipped" | "undone");
    let done = steps.iter().filter(is_over).count();
    [
        text(&job["id"]).to_owned(),
        text(&job["kind"]).to_owned(),
        text(&job["state"]).to_owned(),
        format!("{done} of {}", steps.len()),
        moment(&job["created_at"]),
    ]
}

fn tell(printer: &Printer, remote: &Remote, job: &Value) {
    if remote.json {
        printer.result(job);
        return;
    }
    for line in told(job) {
        printer.result(&line);
    }
}

/// Returns what a person reads of a job, line by line.
fn told(job: &Value) -> Vec<String> {
    let mut lines = vec![format!("{} ({}): {}", text(&job["kind"]), text(&job["id"]), text(&job["state"]))];
    for step in job["steps"].as_array().into_iter().flatten() {
        let state = text(&step["state"]);
        // What a step was doing is of no interest any more when it has done it.
        let detail = step["detail"].as_str().filter(|_| state != "succeeded");
        let detail = detail.map(|detail| format!(": {}", harmless(detail))).unwrap_or_default();
        let attempts = step["attempts"].as_i64().unwrap_or(0);
        let attempts = if attempts > 1 { format!(" (attempt {attempts})") } else { String::new() };
        lines.push(format!("  {state:<9}  {}{attempts}{detail}", text(&step["label"])));
    }
    for (word, field) in [("failed", "error"), ("waits", "waits_for")] {
        if let Some(message) = job[field]["message"].as_str() {
            lines.push(format!("  {word:<9}  {}", harmless(message)));
        }
    }
    let log = job["log"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = log.get(log.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
    if !shown.is_empty() {
        let title = if shown.len() < log.len() { "Its log, the last lines:" } else { "Its log:" };
        lines.push(title.to_owned());
    }
    for line in shown {
        let said = harmless(text(&line["text"]));
        lines.push(format!("  {}  {:<5}  {}", moment(&line["at"]), text(&line["level"]), said.trim_end()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_with_its_attempts_and_the_end_of_its_log() {
        let line = |number: usize| json!({"sequence": number, "at": "2026-01-01T12:00:00Z", "level": "warn", "text": format!("line {number}")});
        let mut job = json!({
            "id": "job_1", "kind": "launch_project", "state": "queued", "error": null,
            "waits_for": {"message": "Number 1 in the queue."},
            "steps": [
                {"state": "succeeded", "label": "Prepare the workspace", "attempts": 1, "detail": "copying"},
                {"state": "pending", "label": "Start the agent", "attempts": 3, "detail": "it ended\u{1b}[2J"},
            ],
            "log": [line(1)],
        });
        let expected = [
            "launch_project (job_1): queued",
            "  succeeded  Prepare the workspace",
            "  pending    Start the agent (attempt 3): it ended[2J",
            "  waits      Number 1 in the queue.",
            "Its log:",
            "  2026-01-01 12:00  warn   line 1",
        ];
        assert_eq!(told(&job), expected);
        job["log"] = (1..=LOG_LINES + 1).map(line).collect();
        let lines = told(&job);
        assert_eq!(lines[4], "Its log, the last lines:");
        assert_eq!((lines[5].ends_with("line 2"), lines.len()), (true, 5 + LOG_LINES));
        job["log"] = json!([]);
        assert_eq!(told(&job).len(), 4, "nothing is said of an empty log");
    }
}
