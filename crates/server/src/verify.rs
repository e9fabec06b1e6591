//! `doce audit verify`: walks along the audit log and says whether it is whole.

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use camino::Utf8Path;
use doce_app::{AuditFault, OpenError, PostgresUrl, Verdict, verify_audit};
use serde_json::json;

use crate::{
    config::{Stop, VerifyArgs},
    printer::Printer,
};

/// Below this many events it is done before anybody could want to know how far it is.
const WORTH_TELLING: u64 = 50_000;

/// Checks the log of a data directory.
pub(crate) fn verify(
    printer: &Printer,
    data_dir: &Utf8Path,
    database_url: Option<&PostgresUrl>,
    arguments: &VerifyArgs,
) -> Result<ExitCode, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a thread")
        .map_err(Stop::failed)?;
    let mut progress = None;
    let tell = |done: i64, total: i64| {
        let (done, total) = (u64::try_from(done).unwrap_or(0), u64::try_from(total).unwrap_or(0));
        if total >= WORTH_TELLING {
            progress.get_or_insert_with(|| printer.progress("Checking")).count(done, total);
        }
    };
    let verdict =
        runtime.block_on(verify_audit(data_dir, database_url, arguments.anchor.as_ref(), tell)).map_err(cannot_read)?;
    if let Some(progress) = progress.take() {
        progress.done("done");
    }
    match verdict {
        Verdict::Whole(head) => {
            if arguments.json {
                printer.result(json!({"whole": true, "events": head.seq, "anchor": head.to_string()}));
            } else {
                let events = if head.seq == 1 { "1 event".to_owned() } else { format!("{} events", head.seq) };
                printer.result(format_args!("The audit log is whole: {events}."));
                printer.result(format_args!("  anchor    {head}"));
                printer.line("Note the anchor down somewhere else: with --anchor the next check shows that nothing before it was written anew.");
            }
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Broken { seq, fault } => {
            if arguments.json {
                printer.result(json!({"whole": false, "event": seq, "fault": word(fault)}));
                return Ok(ExitCode::FAILURE);
            }
            let error = anyhow!("check the audit log: event {seq} is broken: {fault}");
            Err(Stop::failed(error)
                .hint("keep a copy of the data directory as it is, then compare with an older backup or export"))
        }
    }
}

/// Names what is wrong, for a script.
fn word(fault: AuditFault) -> &'static str {
    match fault {
        AuditFault::Missing => "missing",
        AuditFault::Changed => "changed",
        AuditFault::Inserted => "inserted",
        AuditFault::NotTheAnchor => "not_the_anchor",
    }
}

fn cannot_read(error: OpenError) -> Stop {
    Stop::failed(error)
        .hint("name the data directory with --data-dir or DOCE_DATA_DIR, or the database with DOCE_DATABASE_URL")
}
