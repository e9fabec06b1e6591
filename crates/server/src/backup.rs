//! `doce backup` and `doce restore`: everything in one file, and back.

use std::{process::ExitCode, sync::Arc};

use camino::Utf8PathBuf;
use clap::Args;
use doce_app::{
    OpenError, Trouble,
    backup::{
        Backup, BackupError, LeftOut, back_up,
        restore::{RestoreError, Restored, restore as restore_backup},
    },
};
use doce_model::Clock as _;
use serde_json::json;

use crate::{
    SystemClock,
    config::{self, DatabaseArgs, Stop},
    printer::{Printer, size},
    serve::{MAKE_ROOM, cannot_open},
};

/// How the name of a backup ends.
const ENDING: &str = ".tar.zst";
/// How many bytes are read between two words about it.
const TOLD_EVERY: u64 = 64 * 1024 * 1024;

/// The settings of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The file to write, or a directory for one named after the present moment
    #[arg(value_name = "FILE")]
    file: Utf8PathBuf,
    /// Where everything is kept [default: `$XDG_DATA_HOME/doce` or `~/.local/share/doce`]
    #[arg(long, env = "DOCE_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

/// The settings of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: Utf8PathBuf,
    /// Where it is restored to: an empty directory, or one that isn't there [default: `$XDG_DATA_HOME/doce` or `~/.local/share/doce`]
    #[arg(long, env = "DOCE_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    database: DatabaseArgs,
    /// The file that holds the master key [default: master.key in the data directory]
    #[arg(long, env = "DOCE_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<Utf8PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

/// Writes a backup.
pub(crate) async fn backup(printer: &Printer, arguments: BackupArgs) -> Result<ExitCode, Stop> {
    let database_url = arguments.database.url()?;
    let data_dir = config::data_dir(arguments.data_dir)?;
    let file = if arguments.file.is_dir() { arguments.file.join(name()) } else { arguments.file };
    let (tell, mut told) = tokio::sync::watch::channel(0);
    let mut last = 0;
    let hear = move |bytes: u64| {
        if bytes >= last + TOLD_EVERY {
            last = bytes;
            tell.send_replace(bytes);
        }
    };
    let backing = back_up(&data_dir, database_url.as_ref(), &file, Arc::new(SystemClock), hear);
    let following = async {
        let mut progress = None;
        while told.changed().await.is_ok() {
            let bytes = *told.borrow_and_update();
            progress.get_or_insert_with(|| printer.progress("Backing up")).bytes(bytes, None);
        }
        if let Some(progress) = progress {
            progress.done("done");
        }
    };
    let (made, ()) = tokio::join!(backing, following);
    let made = made.map_err(cannot_back_up)?;
    if arguments.json {
        printer.result(json!(made));
        return Ok(ExitCode::SUCCESS);
    }
    let Backup { file, bytes, files, projects, master_key, left_out } = made;
    printer.result(format_args!("Backed up to {file}."));
    printer.result(format_args!("  size        {}", size(bytes)));
    printer.result(format_args!("  projects    {projects}, with the database {files} files"));
    if let Some(key) = master_key {
        printer.result(format_args!("  master key  {key}, which is not in it"));
    }
    tell_left_out(printer, &left_out);
    printer.line(
        "Keep a copy of the master key somewhere else: without it the connected keys of a backup can't be opened.",
    );
    Ok(ExitCode::SUCCESS)
}

/// Names what could not be read when a backup was made.
fn tell_left_out(printer: &Printer, LeftOut { count, named }: &LeftOut) {
    if *count == 0 {
        return;
    }
    printer.result(format_args!("  left out    {count} that could not be read"));
    for unread in named {
        // Its name is an agent's choice: what would move the cursor is written out.
        printer.result(format_args!("    {}: {}", unread.path.escape_debug(), unread.reason));
    }
    if *count > named.len() {
        printer.result(format_args!("    and {} more", count - named.len()));
    }
}

fn name() -> String {
    let now: String =
        SystemClock.now().rfc3339().chars().take(19).filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    format!("doce-{now}{ENDING}")
}

fn cannot_back_up(error: BackupError) -> Stop {
    match error {
        BackupError::Open(error @ OpenError::Nothing { .. }) => {
            Stop::failed(error).hint("name the data directory with --data-dir or DOCE_DATA_DIR")
        }
        BackupError::Open(error) => cannot_open(error),
        error if Trouble::find(&error) == Some(Trouble::DiskFull) => Stop::failed(error).hint(MAKE_ROOM),
        error @ BackupError::Exists { .. } => {
            Stop::wrong(error).hint("name a file that isn't there yet, or a directory; nothing is written over")
        }
        error @ BackupError::Write { .. } => Stop::failed(error).hint("see that this user may write there"),
        error @ (BackupError::Read { .. } | BackupError::Store(_)) => Stop::failed(error)
            .hint("see that this user may write there: the database is copied beside the backup first"),
    }
}

/// Restores a backup.
pub(crate) async fn restore(printer: &Printer, arguments: RestoreArgs) -> Result<ExitCode, Stop> {
    let database_url = arguments.database.url()?;
    let data_dir = config::data_dir(arguments.data_dir)?;
    let (tell, mut told) = tokio::sync::watch::channel((0, 0));
    let mut last = 0;
    let hear = move |bytes: u64, total: u64| {
        if bytes >= last + TOLD_EVERY {
            last = bytes;
            tell.send_replace((bytes, total));
        }
    };
    let restoring = restore_backup(&arguments.file, &data_dir, database_url.as_ref(), Arc::new(SystemClock), hear);
    let following = async {
        let mut progress = None;
        while told.changed().await.is_ok() {
            let (bytes, total) = *told.borrow_and_update();
            progress.get_or_insert_with(|| printer.progress("Restoring")).bytes(bytes, Some(total));
        }
        if let Some(progress) = progress {
            progress.done("done");
        }
    };
    let (restored, ()) = tokio::join!(restoring, following);
    let restored = restored.map_err(cannot_restore)?;
    if arguments.json {
        printer.result(json!(restored));
        return Ok(ExitCode::SUCCESS);
    }
    let Restored { data_dir, created_at, files, projects, master_key, left_out } = restored;
    let key_file = arguments.master_key_file.unwrap_or_else(|| data_dir.join("master.key"));
    printer.result(format_args!("Restored to {data_dir}, as it was at {created_at}."));
    printer.result(format_args!("  projects    {projects}, with the database {files} files"));
    tell_left_out(printer, &left_out);
    if let Some(key) = master_key {
        printer.result(format_args!("  master key  {key}"));
        if key_file.exists() {
            printer
                .line(format_args!("The master key is read from {key_file}. `doce serve` says if it is another one."));
        } else {
            printer.line(format_args!(
                "Next, put the copy of the master key back: install -m 600 COPY {key_file}\nThen start it: doce serve --data-dir {data_dir}"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn cannot_restore(error: RestoreError) -> Stop {
    match error {
        RestoreError::Open(error) => cannot_open(error),
        error if Trouble::find(&error) == Some(Trouble::DiskFull) => Stop::failed(error).hint(MAKE_ROOM),
        error @ RestoreError::NotEmpty { .. } => Stop::wrong(error)
            .hint("name another directory with --data-dir, or move this one away; nothing of it was changed"),
        error @ RestoreError::DatabaseNotEmpty { .. } => Stop::wrong(error)
            .hint("make another database and name it with DOCE_DATABASE_URL; nothing of this one was changed"),
        error @ RestoreError::Read { .. } => {
            Stop::failed(error).hint("see that it is a file that `doce backup` wrote, and whole: copy it again")
        }
        error @ RestoreError::Damaged { .. } => {
            Stop::failed(error).hint("copy it again from where it was kept, or take an older one; nothing was restored")
        }
        error @ RestoreError::Newer { .. } => Stop::failed(error).hint("install that version of doce"),
        error @ (RestoreError::Write { .. } | RestoreError::Store(_)) => {
            Stop::failed(error).hint("see that this user may write there; nothing was restored")
        }
    }
}
