//! `doce keys`: changes the master key, and writes the connected keys to an encrypted file.
//!
//! Both hold the lock of the data directory, so no server runs meanwhile.

use std::{io::BufRead as _, ops::ControlFlow, process::ExitCode, sync::Arc};

use anyhow::{Context as _, anyhow};
use doce_app::{
    ExportError, KeyPlace, Readers, RotateError, Rotated, RotationStage, Trouble, export_keys, rotate_keys,
};
use futures::FutureExt as _;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{
    SystemClock,
    config::{ExportArgs, Stop},
    lock::{DataLock, LockError},
    printer::Printer,
    prompt,
    serve::{MAKE_ROOM, cannot_open},
};

/// Makes a new master key and wraps everything with it.
pub(crate) fn rotate(printer: &Printer, place: &KeyPlace, json: bool) -> Result<ExitCode, Stop> {
    let _lock = lock(place)?;
    let rotated = runtime()?.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt()).context("listen for signals").map_err(Stop::failed)?;
        let mut progress = None;
        let tell = |stage| {
            if let RotationStage::Wrapped { done, total } = stage {
                let (done, total) = (u64::try_from(done).unwrap_or(0), u64::try_from(total).unwrap_or(0));
                progress.get_or_insert_with(|| printer.progress("Wrapping with the new key")).count(done, total);
            }
            match interrupts.recv().now_or_never() {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        };
        let rotated = rotate_keys(place, Arc::new(SystemClock), tell).await.map_err(cannot_rotate);
        if let Some(progress) = progress {
            progress.done(if rotated.is_ok() { "done" } else { "not finished" });
        }
        rotated
    })?;
    let Rotated { old, new, values, old_file, resumed } = rotated;
    if json {
        printer.result(json!({"old": old, "new": new, "values": values, "old_file": old_file, "resumed": resumed}));
        return Ok(ExitCode::SUCCESS);
    }
    let begun = if resumed { " It went on with a change that was interrupted." } else { "" };
    printer.result(format_args!("The master key is changed: {}.{begun}", count(values, "sealed value")));
    printer.result(format_args!("  new key   {new}; keep a copy of its file somewhere else"));
    printer.result(format_args!("  old key   {old_file}: older backups need it, delete it when there are none"));
    Ok(ExitCode::SUCCESS)
}

/// Writes the connected keys to an encrypted file.
pub(crate) fn export(printer: &Printer, place: &KeyPlace, arguments: &ExportArgs) -> Result<ExitCode, Stop> {
    let readers = readers(arguments)?;
    let _lock = lock(place)?;
    let exported = export_keys(place, Arc::new(SystemClock), &readers, &arguments.file);
    let keys = runtime()?.block_on(exported).map_err(cannot_export)?;
    if arguments.keys.json {
        let file = (keys > 0).then_some(&arguments.file);
        printer.result(json!({"keys": keys, "file": file}));
    } else if keys == 0 {
        printer.result("Nothing is connected, so nothing was written.");
    } else {
        let keys = count(i64::try_from(keys).unwrap_or(i64::MAX), "key");
        printer.result(format_args!("{keys} written to {}, for {readers}.", arguments.file));
        printer.line("`age --decrypt` opens it. Whoever can has the keys in clear: keep it as safe as they are.");
    }
    Ok(ExitCode::SUCCESS)
}

fn readers(arguments: &ExportArgs) -> Result<Readers, Stop> {
    if !arguments.to.is_empty() {
        return Readers::keys(&arguments.to).map_err(|e| Stop::wrong(e).hint("`age-keygen` makes a pair of keys"));
    }
    let passphrase = if arguments.passphrase_stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("read the passphrase").map_err(Stop::failed)?;
        prompt::hide(line)
    } else {
        let ask = |question| {
            prompt::secret(question)
                .context("ask for a passphrase")
                .map_err(|e| Stop::wrong(e).hint("give it with --passphrase-stdin, or a public key with --to"))
        };
        let passphrase = ask("Passphrase of the file: ")?;
        if passphrase.expose_secret() != ask("The same once more: ")?.expose_secret() {
            return Err(Stop::wrong(anyhow!("use the passphrase: the two are different")));
        }
        passphrase
    };
    Readers::passphrase(passphrase).map_err(|e| Stop::wrong(e).hint("a few words in a row are long and easy to type"))
}

fn lock(place: &KeyPlace) -> Result<DataLock, Stop> {
    DataLock::take(&place.data_dir).map_err(|error| {
        let hint = match &error {
            LockError::Held { .. } => "end that server first; projects go on where they were when it is started again",
            LockError::Io { .. } => "name the data directory with --data-dir or DOCE_DATA_DIR",
        };
        Stop::failed(error).hint(hint)
    })
}

fn runtime() -> Result<Runtime, Stop> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start a thread").map_err(Stop::failed)
}

fn count(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

fn cannot_rotate(error: RotateError) -> Stop {
    let hint = match error {
        RotateError::Open(error) => return cannot_open(error),
        RotateError::Key(_) | RotateError::NoRandom(_) => {
            "nothing that matters was changed; see that this user may write beside the master key's file"
        }
        RotateError::Wrap { .. } => "both keys stay in use; disconnect what can't be opened and connect it again",
        RotateError::Changed { .. } | RotateError::Mismatch { .. } | RotateError::Store(_) => {
            "both keys stay in use and everything opens; run it again"
        }
        RotateError::Stopped => "both keys stay in use and everything opens; the same command goes on",
    };
    Stop::failed(error).hint(hint)
}

fn cannot_export(error: ExportError) -> Stop {
    match error {
        ExportError::Open(error) => cannot_open(error),
        error if Trouble::find(&error) == Some(Trouble::DiskFull) => Stop::failed(error).hint(MAKE_ROOM),
        error @ ExportError::Write { .. } => {
            Stop::failed(error).hint("name a file that isn't there yet, where you may write")
        }
        error @ (ExportError::Encrypt(_) | ExportError::Store(_)) => Stop::failed(error),
    }
}
