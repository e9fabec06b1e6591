//! `doce status`: what the page Settings, System shows.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    Remote, To,
    words::{moment, table, text},
};
use crate::{
    config::Stop,
    printer::{Printer, size},
};

/// Shows how the server is doing.
pub(crate) async fn status(printer: &Printer, to: To) -> Result<ExitCode, Stop> {
    let remote = Remote::find(&to)?;
    let what = "look at the server";
    let status = remote.get(what, "/api/system/status").await?;
    let system = remote.get(what, "/api/system").await?;
    let queue = remote.get(what, "/api/queue").await?;
    if remote.json {
        printer.result(json!({"system": system, "status": status, "queue": queue}));
        return Ok(ExitCode::SUCCESS);
    }
    for line in told(&system, &status, &queue) {
        printer.result(line);
    }
    let rows: Vec<_> = status["projects"].as_array().into_iter().flatten().map(row).collect();
    table(printer, ["PROJECT", "OWNER", "MEMORY", "DISK"], &rows, "There is no project yet.");
    Ok(ExitCode::SUCCESS)
}

/// Returns what a person reads above the projects, line by line.
fn told(system: &Value, status: &Value, queue: &Value) -> Vec<String> {
    let word = |noun: &Value| {
        let detail = noun["detail"].as_str().map(|detail| format!(": {detail}")).unwrap_or_default();
        format!("{}{detail}", text(&noun["state"]))
    };
    let bytes = |value: &Value| value.as_u64().map_or_else(|| "unknown".to_owned(), size);
    let (database, agents, jobs) = (&status["database"], &status["agents"], &status["queue"]);
    let tools: Vec<String> = status["tools"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|tool| format!("{} {}", text(&tool["name"]), tool["version"].as_str().unwrap_or("(not there)")))
        .collect();
    let most = agents["most"]
        .as_u64()
        .map_or_else(|| "as many as the memory holds".to_owned(), |most| format!("at most {most}"));
    let paused = match moment(&queue["paused_at"]) {
        since if since.is_empty() => String::new(),
        since => format!("; paused since {since}"),
    };
    vec![
        format!("doce {}, since {}", text(&system["version"]), moment(&status["started_at"])),
        format!("  opencode  {}, {}", text(&system["opencode"]["version"]), word(&system["opencode"])),
        format!("  sandbox   {}", word(&system["sandbox"])),
        format!(
            "  database  {} {}, {}",
            text(&database["kind"]),
            text(&database["version"]),
            bytes(&database["bytes"])
        ),
        format!("  tools     {}", tools.join(", ")),
        format!(
            "  agents    {} run, {} start, {} wait; {most}",
            agents["running"], agents["starting"], agents["waiting"]
        ),
        format!("  memory    {} of {} free", bytes(&agents["memory_available"]), bytes(&agents["memory_total"])),
        format!("  disk      {} of {} free", bytes(&status["disk"]["free"]), bytes(&status["disk"]["total"])),
        format!(
            "  queue     {} due, {} later, {} wait, {} run{paused}",
            jobs["due"], jobs["later"], jobs["waiting"], jobs["running"]
        ),
    ]
}

fn row(project: &Value) -> [String; 4] {
    let bytes = |field: &str| project[field].as_u64().map(size).unwrap_or_default();
    let more = if project["disk_at_least"] == true { " or more" } else { "" };
    [
        project["name"].as_str().unwrap_or_else(|| text(&project["id"])).to_owned(),
        text(&project["owner"]).to_owned(),
        bytes("memory"),
        format!("{}{more}", bytes("disk")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said_to_be_and_a_paused_queue_stands_out() {
        let system = json!({
            "version": "0.1.0",
            "opencode": {"state": "failed", "version": "1.18.33", "detail": "no network"},
            "sandbox": {"state": "active", "detail": "Each agent is locked into its own project."},
        });
        let status = json!({
            "started_at": "2026-01-01T12:00:00Z",
            "database": {"kind": "SQLite", "version": "3.50.2", "bytes": 4096},
            "tools": [{"name": "git", "version": "2.47.2"}, {"name": "npm", "version": null}],
            "agents": {
                "running": 1, "starting": 0, "waiting": 2, "most": null,
                "memory_total": 8_589_934_592_u64, "memory_available": null,
            },
            "disk": null,
            "queue": {"due": 3, "later": 0, "waiting": 2, "running": 1},
        });
        let expected = [
            "doce 0.1.0, since 2026-01-01 12:00",
            "  opencode  1.18.33, failed: no network",
            "  sandbox   active: Each agent is locked into its own project.",
            "  database  SQLite 3.50.2, 4 KiB",
            "  tools     git 2.47.2, npm (not there)",
            "  agents    1 run, 0 start, 2 wait; as many as the memory holds",
            "  memory    unknown of 8192 MiB free",
            "  disk      unknown of unknown free",
            "  queue     3 due, 0 later, 2 wait, 1 run; paused since 2026-01-01 13:00",
        ];
        assert_eq!(told(&system, &status, &json!({"paused_at": "2026-01-01T13:00:00Z"})), expected);
        let project =
            json!({"id": "prj_1", "name": null, "owner": "bob", "memory": null, "disk": 1, "disk_at_least": true});
        assert_eq!(row(&project), ["prj_1", "bob", "", "1 KiB or more"]);
    }
}
