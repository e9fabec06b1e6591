//! `doce audit list` and `export`: who did what, as the page Audit shows it and downloads it.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    process::ExitCode,
};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, builder::PossibleValuesParser};
use doce_model::AuditAction;
use futures::StreamExt as _;
use reqwest::Response;
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::{
    Remote, To,
    connection::CONNECTION,
    project::PROJECT,
    user::USER,
    words::{moment, table, text},
};
use crate::{config::Stop, printer::Printer};

/// Which events. All that are given must hold.
#[derive(Debug, Args)]
struct Filter {
    /// Only what happened in this project: its id or name, or the beginning of one; of one that is gone, the id
    #[arg(long, value_name = "PROJECT", conflicts_with = "connection")]
    project: Option<String>,
    /// Only what is about this connection: its id, name or provider, or the beginning of one; of one that is gone, the
    /// id
    #[arg(long, value_name = "CONNECTION")]
    connection: Option<String>,
    /// Only what was done by this one: an account, an API token's id, or `cli`, `nobody`
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only what was done in this way, such as `connect` or `deliver`
    #[arg(long, value_name = "ACTION", hide_possible_values = true, value_parser = actions())]
    action: Option<String>,
}

/// The settings of `audit list`.
#[derive(Debug, Args)]
pub(crate) struct AuditListArgs {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    filter: Filter,
    /// Most events that are listed
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    limit: usize,
    /// Only events before this number: the `next` of a list
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
}

/// The settings of `audit export`.
#[derive(Debug, Args)]
pub(crate) struct AuditExportArgs {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    filter: Filter,
    /// The file to write, which must not be there yet [default: standard output]
    #[arg(value_name = "FILE")]
    file: Option<Utf8PathBuf>,
}

fn actions() -> PossibleValuesParser {
    PossibleValuesParser::new(AuditAction::ALL.iter().map(|action| action.as_str()))
}

/// Lists what was done.
pub(crate) async fn list(printer: &Printer, arguments: AuditListArgs) -> Result<ExitCode, Stop> {
    let AuditListArgs { to, filter, limit, before } = arguments;
    let remote = Remote::find(&to)?;
    let query = query(&remote, &filter).await?;
    let mut next = before.map(|before| before.to_string());
    let mut items = Vec::new();
    loop {
        let mut page = Serializer::new(query.clone());
        page.append_pair("limit", &(limit - items.len()).to_string());
        if let Some(before) = &next {
            page.append_pair("before", before);
        }
        let mut page = remote.get("list what was done", &format!("/api/audit?{}", page.finish())).await?;
        if let Some(found) = page["items"].as_array_mut() {
            items.append(found);
        }
        next = page["next"].as_str().map(str::to_owned);
        // A page may be short although there are more.
        if items.len() >= limit || next.is_none() {
            break;
        }
    }
    if remote.json {
        printer.result(json!({"items": items, "next": next}));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = items.iter().map(row).collect();
    let titles = ["NUMBER", "WHEN", "WHO", "WHAT", "ABOUT", "OUTCOME", "FROM"];
    table(printer, titles, &rows, "There is no such event.");
    if let Some(next) = next {
        printer.line(format_args!("There are more: `--before {next}` goes on."));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(event: &Value) -> [String; 7] {
    let named = |noun: &Value| noun["name"].as_str().unwrap_or_else(|| text(&noun["id"])).to_owned();
    [
        event["seq"].to_string(),
        moment(&event["at"]),
        named(&event["actor"]),
        text(&event["action"]).to_owned(),
        named(&event["noun"]),
        text(&event["outcome"]).to_owned(),
        text(&event["address"]).to_owned(),
    ]
}

/// Writes what was done, as it stands in the log.
pub(crate) async fn export(printer: &Printer, arguments: AuditExportArgs) -> Result<ExitCode, Stop> {
    let AuditExportArgs { to, filter, file } = arguments;
    let remote = Remote::find(&to)?;
    let path = format!("/api/audit/export?{}", query(&remote, &filter).await?);
    let Some(file) = file else {
        let response = remote.stream("export the audit log", &path).await?;
        copy(response, |bytes| {
            printer.words(bytes);
            Ok(())
        })
        .await?;
        return Ok(ExitCode::SUCCESS);
    };
    let cannot = |error: io::Error| {
        let error = anyhow::Error::new(error).context(format!("write `{file}`"));
        Stop::failed(error).hint("name a file that isn't there yet, where you may write")
    };
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file).map_err(cannot)?;
    let mut events = 0;
    let copied = async {
        let response = remote.stream("export the audit log", &path).await?;
        copy(response, |bytes| {
            events += bytes.split(|byte| *byte == b'\n').count() - 1;
            written.write_all(bytes).map_err(cannot)
        })
        .await?;
        written.sync_all().map_err(cannot)
    };
    if let Err(stop) = copied.await {
        remove(&file);
        return Err(stop);
    }
    if remote.json {
        printer.result(json!({"file": file, "events": events}));
    } else {
        printer.result(format_args!("Events written to {file}: {events}."));
    }
    Ok(ExitCode::SUCCESS)
}

/// A part of a log looks like a whole one.
fn remove(file: &Utf8Path) {
    // What can't be removed was told as not finished all the same.
    drop(std::fs::remove_file(file));
}

async fn copy(response: Response, mut write: impl FnMut(&[u8]) -> Result<(), Stop>) -> Result<(), Stop> {
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(reqwest::Error::without_url).context("export the audit log: it broke off");
        write(&piece.map_err(Stop::failed)?)?;
    }
    Ok(())
}

/// Returns the query that asks for these events alone.
async fn query(remote: &Remote, filter: &Filter) -> Result<String, Stop> {
    let mut query = Serializer::new(String::new());
    if let Some(project) = &filter.project {
        let id = id_of(project, "prj_", async || remote.pick(&PROJECT, "/api/projects", project).await).await?;
        query.append_pair("noun", &id);
    }
    if let Some(connection) = &filter.connection {
        let find = async || remote.pick(&CONNECTION, "/api/connections", connection).await;
        query.append_pair("connection", &id_of(connection, "con_", find).await?);
    }
    match filter.actor.as_deref() {
        Some(actor @ ("cli" | "nobody")) => drop(query.append_pair("actor", actor)),
        Some(actor) if actor.contains(['_', ':']) => drop(query.append_pair("actor", actor)),
        Some(name) => drop(query.append_pair("actor", text(&remote.pick(&USER, "/api/users", name).await?["id"]))),
        None => {}
    }
    if let Some(action) = &filter.action {
        query.append_pair("action", action);
    }
    Ok(query.finish())
}

/// Returns the id of what is there, and of what is gone as it was given: the log still speaks of it.
async fn id_of(wanted: &str, prefix: &str, find: impl AsyncFnOnce() -> Result<Value, Stop>) -> Result<String, Stop> {
    match find().await {
        Ok(found) => Ok(text(&found["id"]).to_owned()),
        Err(_) if wanted.starts_with(prefix) => Ok(wanted.to_owned()),
        Err(stop) => Err(stop),
    }
}
