//! `doce import`: brings people, keys and projects over, and tells line by line what became of what.
//!
//! It opens the data directory under its lock, so no server may use it meanwhile. A dry run into a directory that
//! isn't there makes none. `scrub-env` is the only one that changes something old, and asks first.

use std::{process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow};
use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, Subcommand};
use doce_app::{
    App, Config, TokenEndpoints,
    import::{self, ImportError, ImportLine, ImportOptions, ImportOutcome, ImportPlan, ImportProgress},
};
use doce_model::{Actor, Clock, Ctx};
use serde_json::json;

use crate::{
    SystemClock,
    config::{self, DatabaseArgs, Stop},
    lock::DataLock,
    printer::Printer,
    serve,
};

/// What is brought over, and from where.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    command: Option<ImportCommand>,
    /// The old installation: the directory that holds `data`, or that directory itself
    #[arg(required = true, value_name = "DIR")]
    directory: Option<Utf8PathBuf>,
    /// Gives what belonged to a user there to an account here, instead of making one; repeat it for several users
    #[arg(long, value_name = "OLD=ACCOUNT", value_parser = pair)]
    into: Vec<(String, String)>,
    /// Where Docker keeps its volumes: for a while projects lay in them
    #[arg(long, value_name = "DIR", default_value = import::VOLUMES)]
    volumes: Utf8PathBuf,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum ImportCommand {
    /// Brings the keys of an OpenCode over, after showing what they are
    ///
    /// The keys become connections of one account. Logins whose tokens are renewed stay there: two programs can't
    /// share one.
    Opencode {
        /// OpenCode's file [default: `$XDG_DATA_HOME/opencode/auth.json` or
        /// `~/.local/share/opencode/auth.json`]
        #[arg(value_name = "FILE")]
        file: Option<Utf8PathBuf>,
        /// The account that gets the keys [default: the only one]
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Doesn't ask first
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        place: Place,
    },
    /// Takes the keys out of the old installation's .env files, after asking
    ///
    /// Only the line `OPENROUTER_API_KEY` changes: what stands behind its `=` goes. An .env file may hold the only copy
    /// of a key, so import first. The projects of the old installation stop working with it.
    ScrubEnv {
        /// The old installation
        #[arg(value_name = "DIR")]
        directory: Utf8PathBuf,
        /// Doesn't ask first
        #[arg(long)]
        yes: bool,
        /// Prints one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// How much is done, and how it is told.
#[derive(Debug, Args)]
struct How {
    /// Only shows what would happen: nothing is changed
    #[arg(long)]
    dry_run: bool,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

/// What things are brought to.
#[derive(Debug, Args)]
struct Place {
    /// Where doce keeps everything [default: `$XDG_DATA_HOME/doce` or `~/.local/share/doce`]
    #[arg(long, env = "DOCE_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The file that holds the master key [default: master.key in the data directory]
    #[arg(long, env = "DOCE_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<Utf8PathBuf>,
}

/// Brings over what was asked for.
pub(crate) fn import(printer: &Printer, arguments: ImportArgs) -> Result<ExitCode, Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the threads of the import")
        .map_err(Stop::failed)?;
    let ImportArgs { command, directory, into, volumes, how, place } = arguments;
    match (command, directory) {
        (Some(ImportCommand::ScrubEnv { directory, yes, json }), _) => scrub(printer, &directory, yes, json),
        (Some(ImportCommand::Opencode { file, user, yes, how, place }), _) => {
            let file = file.or_else(config::opencode_auth_file).ok_or_else(|| {
                Stop::wrong(anyhow!("find OpenCode's file: HOME is not set")).hint("name it: doce import opencode FILE")
            })?;
            runtime.block_on(async {
                let opened = Opened::open(printer, place).await?;
                let plan = opened.app.plan_import_opencode(&file, user.as_deref()).await.map_err(|e| stop(e, &file));
                let done = match plan {
                    Ok(plan) => opened.bring(printer, plan, &how, !yes).await,
                    Err(stop) => Err(stop),
                };
                opened.app.close().await;
                done
            })
        }
        (None, Some(directory)) => {
            let options = ImportOptions { volumes, into };
            runtime.block_on(installation(printer, &directory, &options, &how, place))
        }
        // Clap asks for one of the two.
        (None, None) => Err(Stop::wrong(anyhow!("import nothing")).hint("doce import DIR; `--help` tells the rest")),
    }
}

async fn installation(
    printer: &Printer,
    directory: &Utf8Path,
    options: &ImportOptions,
    how: &How,
    place: Place,
) -> Result<ExitCode, Stop> {
    let database_url = place.database.url()?;
    let data_dir = config::data_dir(place.data_dir.clone())?;
    refuse_inside(&data_dir, directory)?;
    if how.dry_run && !doce_app::is_there(&data_dir, database_url.as_ref()).await.map_err(serve::cannot_open)? {
        let plan = import::plan_into_nothing(&SystemClock, directory, options).await.map_err(|e| stop(e, directory))?;
        let lines: Vec<ImportLine> = plan.lines().cloned().collect();
        return Ok(tell(printer, plan.title(), &lines, how));
    }
    let opened = Opened::open(printer, place).await?;
    let plan = opened.app.plan_import(directory, options).await.map_err(|e| stop(e, directory));
    let done = match plan {
        Ok(plan) => opened.bring(printer, plan, how, false).await,
        Err(stop) => Err(stop),
    };
    opened.app.close().await;
    done
}

/// doce with nothing running, and the right to its data directory.
struct Opened {
    app: App,
    clock: Arc<dyn Clock>,
    _lock: DataLock,
}

impl Opened {
    async fn open(printer: &Printer, place: Place) -> Result<Self, Stop> {
        let database_url = place.database.url()?;
        let data_dir = config::data_dir(place.data_dir)?;
        let lock = serve::take(&data_dir, "stop that server (Ctrl+C, or `kill` and its pid), then run this again")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = Config {
            data_dir,
            database_url,
            master_key_file: place.master_key_file,
            opencode: None,
            unsandboxed: false,
            npm_registry: None,
            outside: config::outside(),
            token_endpoints: TokenEndpoints::default(),
            local_places: doce_app::local_places(),
            agents: doce_app::AgentLimits::default(),
        };
        let app = App::open(config, Arc::clone(&clock)).await.map_err(serve::cannot_open)?;
        for note in app.notes() {
            printer.note(note);
        }
        Ok(Self { app, clock, _lock: lock })
    }

    /// Carries a plan out, or shows it; asks before, where that is wanted.
    async fn bring(&self, printer: &Printer, plan: ImportPlan, how: &How, ask: bool) -> Result<ExitCode, Stop> {
        let title = plan.title().to_owned();
        if how.dry_run || (ask && !plan.is_empty()) {
            let lines: Vec<ImportLine> = plan.lines().cloned().collect();
            if how.dry_run {
                return Ok(tell(printer, &title, &lines, how));
            }
            printer.line(format_args!("{title}\n"));
            for line in &lines {
                printer.line(shown(line));
            }
            if !printer.asks("\nBring this over?") {
                return Err(Stop::wrong(anyhow!("nobody said yes, so nothing was changed")).hint("--yes doesn't ask"));
            }
        }
        let ctx = Ctx::new(Actor::Cli, "import", None, Arc::clone(&self.clock));
        let mut progress = |progress: ImportProgress<'_>| match progress {
            ImportProgress::Begins(line) if line.subject == "project" => {
                printer.note(format_args!("copying {}: {}", line.name, line.detail));
            }
            ImportProgress::Begins(_) | ImportProgress::Settled(_) => {}
        };
        let lines = self.app.carry_out(&ctx, plan, &mut progress).await;
        Ok(tell(printer, &title, &lines, how))
    }
}

/// Writes the result. Its code says whether something needs a look.
fn tell(printer: &Printer, title: &str, lines: &[ImportLine], how: &How) -> ExitCode {
    let count = |outcome| lines.iter().filter(|line| line.outcome == outcome).count();
    let trouble = lines.iter().filter(|line| line.outcome.is_trouble()).count();
    if how.json {
        let items: Vec<_> = lines
            .iter()
            .map(|line| {
                json!({
                    "outcome": line.outcome.as_str(),
                    "kind": line.subject,
                    "name": line.name,
                    "detail": line.detail,
                })
            })
            .collect();
        printer.result(json!({ "from": title, "dry_run": how.dry_run, "items": items }));
    } else {
        printer.result(format_args!("{title}\n"));
        for line in lines {
            printer.result(shown(line));
        }
        let (new, already, left) =
            (count(ImportOutcome::New), count(ImportOutcome::Already), count(ImportOutcome::Left));
        let (verb, end) =
            if how.dry_run { ("would be", "\nThis was a dry run: nothing changed.") } else { ("are", "") };
        printer.result(format_args!(
            "\n{new} {verb} new, {already} here already, {left} stay behind, {trouble} need a look.{end}"
        ));
    }
    if trouble == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shown(line: &ImportLine) -> String {
    format!("  {:<10} {:<8} {}: {}", line.outcome.as_str(), line.subject, line.name, line.detail)
}

fn scrub(printer: &Printer, directory: &Utf8Path, yes: bool, json: bool) -> Result<ExitCode, Stop> {
    let (files, findings) = import::env_files(directory).map_err(|e| stop(ImportError::from(e), directory))?;
    for finding in &findings {
        printer.note(format_args!("can't look into {}: {}", finding.name, finding.reason));
    }
    if files.is_empty() && !json {
        printer.result("No .env file there holds a key.");
    }
    if !files.is_empty() {
        // Who is asked sees what about; otherwise JSON is all there is.
        if !json {
            for file in &files {
                printer.result(file.path());
            }
        } else if !yes {
            for file in &files {
                printer.line(file.path());
            }
        }
        let question = format!(
            "\nTake the key out of {}? It can't be brought back from there: `doce import` comes first.",
            if files.len() == 1 { "this file".to_owned() } else { format!("these {} files", files.len()) }
        );
        if !yes && !printer.asks(question) {
            return Err(Stop::wrong(anyhow!("nobody said yes, so nothing was changed")).hint("--yes doesn't ask"));
        }
    }
    let mut items = Vec::new();
    let mut left = findings.len();
    for file in &files {
        let done = file.scrub();
        if let Err(e) = &done {
            left += 1;
            printer.note(format_args!("{} was left as it is: {e}", file.path()));
        }
        items.push(json!({"file": file.path(), "scrubbed": done.is_ok(), "detail": done.err().map(|e| e.to_string())}));
    }
    let scrubbed = files.len() + findings.len() - left;
    if json {
        let unread = findings.iter().map(|f| json!({"file": f.name, "scrubbed": false, "detail": f.reason}));
        items.extend(unread);
        printer.result(json!({"from": directory, "scrubbed": scrubbed, "items": items}));
    } else if !files.is_empty() {
        printer.result(format_args!("\n{scrubbed} of {} files no longer hold a key.", files.len()));
    }
    Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Refuses to keep doce's data inside what must not change.
fn refuse_inside(data_dir: &Utf8Path, old: &Utf8Path) -> Result<(), Stop> {
    if import::is_inside(data_dir, old) {
        return Err(Stop::wrong(anyhow!(
            "use `{data_dir}` for doce: it is inside the old installation, which stays as it is"
        ))
        .hint("choose another place with --data-dir or DOCE_DATA_DIR"));
    }
    Ok(())
}

/// Says what to do about an import that can't begin.
fn stop(error: ImportError, place: &Utf8Path) -> Stop {
    let hint = match &error {
        ImportError::Read(import::ReadError::InUse { .. }) => {
            return Stop::failed(error).hint("stop doce.dev, then run this again");
        }
        ImportError::Read(import::ReadError::Interrupted { .. }) | ImportError::App(_) => return Stop::failed(error),
        ImportError::Read(_) => format!("`{place}` has to be the directory that holds doce.dev's `data`"),
        ImportError::AuthFile(_) => "name OpenCode's file: doce import opencode FILE".to_owned(),
        ImportError::NoAccount { .. } => "the accounts are those that sign in to this doce".to_owned(),
        ImportError::WhichAccount { count: 0 } => {
            "start `doce serve`, make the first account, end it, and run this again".to_owned()
        }
        ImportError::WhichAccount { .. } => "name one with --user".to_owned(),
        ImportError::NobodyThere { .. } => "`--dry-run` lists who is there".to_owned(),
    };
    Stop::wrong(error).hint(hint)
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, account)) if !old.is_empty() && !account.is_empty() => Ok((old.to_owned(), account.to_owned())),
        Some(_) | None => Err("it has the form OLD=ACCOUNT".to_owned()),
    }
}
