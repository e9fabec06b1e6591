//! `doce job`: shows what is being done, takes it back, does it again, or lets nothing begin for a while.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Remote, To,
    project::PROJECT,
    remote::whole,
    words::{Noun, harmless, moment, table, text},
};
use crate::{config::Stop, printer::Printer};

const JOB: Noun = Noun { word: "job", fields: &["id"], list: "doce job list" };

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
        /// Only those in this state: queued, running, succeeded, failed, cancelled, stuck
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Most jobs that are listed
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: u32,
    },
    /// Shows a job and its steps
    Show {
        /// Its id, or the beginning of it
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Cancels a job: what it did is taken back
    Cancel {
        /// Its id, or the beginning of it
        #[arg(value_name = "JOB")]
        job: String,
    },
    /// Does a job that failed again
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

/// Does what was asked for.
pub(crate) async fn job(printer: &Printer, arguments: JobArgs) -> Result<ExitCode, Stop> {
    let JobArgs { to, command } = arguments;
    let remote = Remote::find(&to)?;
    match command {
        Command::List { project, state, limit } => {
            let mut path = format!("/api/jobs?limit={limit}");
            if let Some(project) = project {
                let project = remote.pick(&PROJECT, "/api/projects", &project).await?;
                path = format!("{path}&project_id={}", text(&project["id"]));
            }
            if let Some(state) = state {
                let state: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
                path = format!("{path}&state={state}");
            }
            let page = remote.get("list the jobs", &path).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            if remote.json {
                printer.result(whole(&items));
            } else {
                let rows: Vec<_> = items.iter().map(row).collect();
                table(printer, ["ID", "KIND", "STATE", "STEP", "ASKED FOR"], &rows, "There is no such job.");
            }
        }
        Command::Show { job } => {
            let job = find(&remote, &job).await?;
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
    printer.result(format_args!("{} ({}): {}", text(&job["kind"]), text(&job["id"]), text(&job["state"])));
    for step in job["steps"].as_array().into_iter().flatten() {
        let detail = step["detail"].as_str().map(|detail| format!(": {}", harmless(detail))).unwrap_or_default();
        printer.result(format_args!("  {:<9}  {}{detail}", text(&step["state"]), text(&step["label"])));
    }
    for (word, field) in [("failed", "error"), ("waits", "waits_for")] {
        if let Some(message) = job[field]["message"].as_str() {
            printer.result(format_args!("  {word:<9}  {}", harmless(message)));
        }
    }
}
