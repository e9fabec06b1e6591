//! The commands that ask a server: one file per noun.
//!
//! [`Remote`] is the way to it: the control socket of this machine's data directory, or an address and an API token.
//! What a person sees is made here from the API's JSON; with `--json` that JSON is all there is.

pub(crate) mod audit;
pub(crate) mod connection;
pub(crate) mod job;
pub(crate) mod project;
mod remote;
pub(crate) mod sign_in;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod user;
mod watch;
mod words;

use std::{io::BufRead as _, process::ExitCode};

use anyhow::{Context as _, anyhow};
use camino::Utf8PathBuf;
use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) use self::remote::Remote;
use crate::{config::Stop, prompt};

/// Which server is asked, for whom, and how the answer is told.
#[derive(Debug, Args)]
pub(crate) struct To {
    /// Where the server of this machine keeps everything [default: `$XDG_DATA_HOME/doce` or `~/.local/share/doce`]
    #[arg(long, global = true, env = "DOCE_DATA_DIR", value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<Utf8PathBuf>,
    /// The server to ask instead, with the API token in `DOCE_TOKEN`
    #[arg(long, global = true, env = "DOCE_URL", value_name = "URL", value_parser = address)]
    pub(crate) url: Option<url::Url>,
    /// The account to act for on this machine [default: the only admin]
    #[arg(long, global = true, env = "DOCE_USER", value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Prints what the API answers, as JSON, and an error as JSON, too
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

fn address(text: &str) -> Result<url::Url, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) | Err(_) => Err("a server's address begins with http:// or https://".to_owned()),
    }
}

/// Runs a command that waits for answers.
pub(crate) fn run(command: impl Future<Output = Result<ExitCode, Stop>>) -> Result<ExitCode, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("start a thread").map_err(Stop::failed)?;
    let ended = runtime.block_on(command);
    // A question that still waits for its answer must not hold the process back.
    runtime.shutdown_background();
    ended
}

/// Reads a secret: the first line of standard input, or what is typed without being shown.
pub(crate) fn secret(what: &str, from_stdin: bool, option: &str) -> Result<SecretString, Stop> {
    let secret = if from_stdin {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        read.with_context(|| format!("read the {what}")).map_err(Stop::failed)?;
        prompt::hide(line)
    } else {
        let mut question = what.to_owned();
        if let Some(first) = question.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        prompt::secret(&format!("{question}: "))
            .with_context(|| format!("ask for the {what}: there is no terminal"))
            .map_err(|e| Stop::wrong(e).hint(format!("give it on standard input, with {option}")))?
    };
    if secret.expose_secret().is_empty() {
        return Err(Stop::wrong(anyhow!("read the {what}: it is empty")));
    }
    Ok(secret)
}

/// Reads a new password: twice where it is typed.
pub(crate) fn new_password(from_stdin: bool) -> Result<SecretString, Stop> {
    let password = secret("new password", from_stdin, "--password-stdin")?;
    if !from_stdin {
        let again = secret("same once more", false, "--password-stdin")?;
        if password.expose_secret() != again.expose_secret() {
            return Err(Stop::wrong(anyhow!("use the password: the two are different")));
        }
    }
    Ok(password)
}
