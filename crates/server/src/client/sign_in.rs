//! `doce sign-in`: the browsers that are signed in as an account.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use reqwest::Method;

use super::{
    Remote, To,
    remote::{gone, whole},
    words::{Noun, moment, table, text},
};
use crate::{config::Stop, printer::Printer};

const SIGN_IN: Noun = Noun { word: "sign-in", fields: &["id"], list: "doce sign-in list" };

/// The settings of `sign-in`.
#[derive(Debug, Args)]
pub(crate) struct SignInArgs {
    #[command(flatten)]
    to: To,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the browsers that are signed in
    List,
    /// Signs a browser out
    End {
        /// Its id, or the beginning of it
        #[arg(value_name = "SIGN-IN")]
        sign_in: String,
    },
}

/// Does what was asked for.
pub(crate) async fn sign_in(printer: &Printer, arguments: SignInArgs) -> Result<ExitCode, Stop> {
    let SignInArgs { to, command } = arguments;
    let remote = Remote::find(&to)?;
    match command {
        Command::List => list(printer, &remote).await?,
        Command::End { sign_in } => {
            let found = remote.pick(&SIGN_IN, "/api/sign-ins", &sign_in).await?;
            let id = text(&found["id"]);
            remote.ask(format!("end the sign-in {id}"), Method::DELETE, &format!("/api/sign-ins/{id}"), None).await?;
            if remote.json {
                printer.result(gone(&found));
            } else {
                printer.result(format_args!("{id} has ended: that browser is signed out."));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(printer: &Printer, remote: &Remote) -> Result<(), Stop> {
    let items = remote.list("list the sign-ins", "/api/sign-ins").await?;
    if remote.json {
        printer.result(whole(&items));
        return Ok(());
    }
    let rows: Vec<_> = items
        .iter()
        .map(|sign_in| {
            let [id, address, user_agent] =
                ["id", "address", "user_agent"].map(|field| text(&sign_in[field]).to_owned());
            [id, moment(&sign_in["created_at"]), moment(&sign_in["last_seen_at"]), address, user_agent]
        })
        .collect();
    table(printer, ["ID", "SINCE", "LAST SEEN", "FROM", "BROWSER"], &rows, "No browser is signed in.");
    Ok(())
}
