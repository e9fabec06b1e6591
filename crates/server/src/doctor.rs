//! `doce doctor`: looks at the whole set-up, and says of what is wrong why, and which command repairs it.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::Args;
use doce_app::doctor::{Health, Surroundings, examine};
use serde_json::json;

use crate::{
    SystemClock,
    config::{self, ServeArgs, Stop},
    control,
    lock::DataLock,
    printer::Printer,
};

/// The settings of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Looks at everything.
pub(crate) async fn doctor(printer: &Printer, arguments: DoctorArgs) -> Result<ExitCode, Stop> {
    let DoctorArgs { json, serve } = arguments;
    let data_dir: Utf8PathBuf = config::data_dir(serve.data_dir)?;
    let running = control::is_answered(&data_dir).then(|| DataLock::address_of(&data_dir)).flatten();
    let around = Surroundings {
        data_dir,
        database_url: serve.database.url()?,
        master_key_file: serve.master_key_file,
        opencode: serve.opencode,
        unsandboxed: serve.unsandboxed.is_some(),
        npm_registry: serve.npm_registry,
        outside: config::outside(),
        listen: serve.listen,
        public_url: serve.public_url.map(|url| url.as_str().to_owned()),
        running,
    };
    let findings = examine(&around, &SystemClock).await;
    let worst = findings.iter().map(|finding| finding.health).max().unwrap_or(Health::Ok);
    if json {
        printer.result(json!({"health": worst, "findings": findings}));
    } else {
        for finding in &findings {
            let word = match finding.health {
                Health::Ok => "ok",
                Health::Warning => "warning",
                Health::Problem => "problem",
            };
            printer.result(format_args!("{word:<8}  {:<12}  {}", finding.check, finding.text));
            if let Some(repair) = &finding.repair {
                printer.result(format_args!("          {:<12}  try: {repair}", ""));
            }
        }
        let count = |health| findings.iter().filter(|finding| finding.health == health).count();
        printer.line(match (count(Health::Problem), count(Health::Warning)) {
            (0, 0) => "Everything is as it should be.".to_owned(),
            (0, warnings) => format!("Nothing is in the way. Warnings: {warnings}."),
            (problems, warnings) => format!("Problems: {problems}. Warnings: {warnings}."),
        });
    }
    Ok(if worst == Health::Problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
