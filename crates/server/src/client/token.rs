//! `doce token`: API tokens, with which scripts and the command line of other machines ask this server.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Remote, To,
    remote::{gone, whole},
    words::{Noun, moment, table, text},
};
use crate::{config::Stop, printer::Printer};

const TOKEN: Noun = Noun { word: "token", fields: &["id", "name"], list: "doce token list" };

/// The settings of `token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    to: To,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the tokens
    List,
    /// Makes a token and prints it, this once
    ///
    /// Put it into `DOCE_TOKEN`, beside the server's address in `DOCE_URL`, or send it as `Authorization: Bearer …`.
    Create {
        /// What to call it, such as the machine that uses it
        #[arg(value_name = "NAME")]
        name: String,
        /// What it may do; each may also do what those before it may
        #[arg(long, value_enum, default_value_t = Scope::Build)]
        scope: Scope,
        /// After how many days it ends by itself, or `never`
        #[arg(long, value_name = "NUMBER", default_value = "90", value_parser = life)]
        days: Life,
    },
    /// Revokes a token, at once
    Revoke {
        /// Its name or id, or the beginning of it
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Scope {
    /// Read the server's figures
    Metrics,
    /// Look at all that its owner sees
    Read,
    /// Make, prompt, start, stop and delete projects
    Build,
    /// Connect providers, and look after the server if its owner does
    Full,
}

/// After how many days a token ends by itself, if it does.
#[derive(Debug, Clone, Copy)]
struct Life(Option<u32>);

fn life(text: &str) -> Result<Life, String> {
    match text.parse() {
        Ok(days) => Ok(Life(Some(days))),
        Err(_) if text == "never" => Ok(Life(None)),
        Err(_) => Err("it is a number of days, or `never`".to_owned()),
    }
}

impl Scope {
    const fn word(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Read => "read",
            Self::Build => "build",
            Self::Full => "full",
        }
    }
}

/// Does what was asked for.
pub(crate) async fn token(printer: &Printer, arguments: TokenArgs) -> Result<ExitCode, Stop> {
    let TokenArgs { to, command } = arguments;
    let remote = Remote::find(&to)?;
    match command {
        Command::List => list(printer, &remote).await?,
        Command::Create { name, scope, days } => {
            let body = json!({"name": name, "scope": scope.word(), "days": days.0});
            let made = remote.ask(format!("make the token {name}"), Method::POST, "/api/tokens", Some(&body)).await?;
            if remote.json {
                printer.result(&made);
            } else {
                // Secret: whoever asked for the token gets it here, and nowhere else.
                printer.result(text(&made["secret"]));
                printer.line("Keep it like a password: it is not shown again.");
            }
        }
        Command::Revoke { token } => {
            let found = remote.pick(&TOKEN, "/api/tokens", &token).await?;
            let name = text(&found["name"]);
            let path = format!("/api/tokens/{}", text(&found["id"]));
            remote.ask(format!("revoke the token {name}"), Method::DELETE, &path, None).await?;
            if remote.json {
                printer.result(gone(&found));
            } else {
                printer.result(format_args!("{name} is revoked."));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(printer: &Printer, remote: &Remote) -> Result<(), Stop> {
    let items = remote.list("list the tokens", "/api/tokens").await?;
    if remote.json {
        printer.result(whole(&items));
        return Ok(());
    }
    let rows: Vec<_> = items.iter().map(row).collect();
    table(printer, ["ID", "NAME", "SCOPE", "LAST USED", "ENDS"], &rows, "There is no token.");
    Ok(())
}

fn row(token: &Value) -> [String; 5] {
    let at = |field: &str, none: &str| match text(&token[field]) {
        "" => none.to_owned(),
        _ => moment(&token[field]),
    };
    [
        text(&token["id"]).to_owned(),
        text(&token["name"]).to_owned(),
        text(&token["scope"]).to_owned(),
        at("last_used_at", "never"),
        at("expires_at", "never"),
    ]
}
