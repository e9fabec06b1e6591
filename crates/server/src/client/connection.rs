//! `doce connection`: connects providers, and shows, checks, replaces and disconnects what is connected.

use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::{
    Remote, To,
    remote::{gone, whole},
    secret,
    words::{Noun, moment, table, text},
};
use crate::{config::Stop, printer::Printer};

pub(super) const CONNECTION: Noun =
    Noun { word: "connection", fields: &["id", "label", "provider_id"], list: "doce connection list" };

/// The settings of `connection`.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    #[command(flatten)]
    to: To,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connects a provider with a key
    ///
    /// The key is asked for without being shown, or read from standard input with --key-stdin. It is never an argument,
    /// where other programs of this machine could read it. The provider is asked whether the key is good.
    ///
    /// A provider with a sign-in instead of a key, such as GitHub Copilot, is connected on the page Connections.
    Add {
        /// The provider's id: anthropic, openai, openrouter, … The page Connections lists all of them
        #[arg(value_name = "PROVIDER")]
        provider: String,
        /// What to call it
        #[arg(long, value_name = "NAME")]
        label: Option<String>,
        /// Where requests go instead of the provider's default
        #[arg(long, value_name = "URL")]
        base_url: Option<String>,
        /// An answer to what the provider needs to know beside the key, such as region=eu; repeat it for several. Their
        /// names are in `GET /api/providers?q=PROVIDER`, as `prompts`
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        answer: Vec<(String, String)>,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Lists what is connected
    List,
    /// Asks the provider whether the key is good
    ///
    /// It ends with 1 if the provider rejects the key, and with 0 if it accepts it or nothing is known, because the
    /// provider can't be reached or has no way to ask: `outcome` in the JSON tells which.
    Verify {
        /// Its id, name or provider, or the beginning of one
        #[arg(value_name = "CONNECTION")]
        connection: String,
    },
    /// Gives a connection another key, and hands it to every agent that uses it
    Replace {
        /// Its id, name or provider, or the beginning of one
        #[arg(value_name = "CONNECTION")]
        connection: String,
        /// Another answer to what the provider needs to know beside the key, such as region=eu; the others stay
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        answer: Vec<(String, String)>,
        #[command(flatten)]
        key: KeyArgs,
    },
    /// Disconnects: the key is taken from every agent and destroyed
    Remove {
        /// Its id, name or provider, or the beginning of one
        #[arg(value_name = "CONNECTION")]
        connection: String,
        /// Doesn't ask first
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct KeyArgs {
    /// Reads the key from standard input, its first line
    #[arg(long)]
    key_stdin: bool,
    /// Keeps a key that the provider rejected
    #[arg(long)]
    keep_unverified: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("an answer looks like region=eu")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Does what was asked for.
pub(crate) async fn connection(printer: &Printer, arguments: ConnectionArgs) -> Result<ExitCode, Stop> {
    let ConnectionArgs { to, command } = arguments;
    let remote = Remote::find(&to)?;
    match command {
        Command::Add { provider, label, base_url, answer, key } => {
            let mut body = json!({"provider_id": provider, "auth_type": "api", "keep_unverified": key.keep_unverified});
            put(&mut body, "label", label.map(Value::from));
            put(&mut body, "base_url", base_url.map(Value::from));
            put(&mut body, "metadata", answers(answer));
            // Secret: the key goes into the request's body and nowhere else.
            put(&mut body, "key", Some(secret("key", key.key_stdin, "--key-stdin")?.expose_secret().into()));
            let what = format!("connect {provider}");
            let made = remote.ask(what, Method::POST, "/api/connections", Some(&body)).await?;
            tell(printer, &remote, "Connected", &made);
        }
        Command::List => list(printer, &remote).await?,
        Command::Verify { connection } => {
            let found = remote.pick(&CONNECTION, "/api/connections", &connection).await?;
            let path = format!("/api/connections/{}/verify", text(&found["id"]));
            let what = format!("verify {}", text(&found["label"]));
            let verified = remote.ask(what, Method::POST, &path, Some(&json!({}))).await?;
            tell(printer, &remote, "Verified", &verified);
            if verified["verification"]["outcome"] == "invalid" {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Replace { connection, answer, key } => {
            let found = remote.pick(&CONNECTION, "/api/connections", &connection).await?;
            let mut body = json!({"keep_unverified": key.keep_unverified});
            put(&mut body, "metadata", answers(answer));
            // Secret: the key goes into the request's body and nowhere else.
            put(&mut body, "key", Some(secret("new key", key.key_stdin, "--key-stdin")?.expose_secret().into()));
            let path = format!("/api/connections/{}", text(&found["id"]));
            let what = format!("replace the key of {}", text(&found["label"]));
            let changed = remote.ask(what, Method::PATCH, &path, Some(&body)).await?;
            tell(printer, &remote, "Replaced", &changed);
        }
        Command::Remove { connection, yes } => {
            let found = remote.pick(&CONNECTION, "/api/connections", &connection).await?;
            let name = named(&found);
            let projects = &found["project_count"];
            let question = format!("Disconnect {name}? Projects that use it: {projects}. Its key is destroyed.");
            if !yes && !printer.asks(question) {
                return Err(Stop::wrong(anyhow!("disconnect {name}: nobody said yes")).hint("--yes says it"));
            }
            let path = format!("/api/connections/{}", text(&found["id"]));
            remote.ask(format!("disconnect {name}"), Method::DELETE, &path, None).await?;
            if remote.json {
                printer.result(gone(&found));
            } else {
                printer.result(format_args!("Disconnected {name}."));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn put(body: &mut Value, field: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (body.as_object_mut(), value) {
        object.insert(field.to_owned(), value);
    }
}

fn answers(given: Vec<(String, String)>) -> Option<Value> {
    let answers: Map<String, Value> = given.into_iter().map(|(name, value)| (name, value.into())).collect();
    (!answers.is_empty()).then_some(Value::Object(answers))
}

fn named(connection: &Value) -> String {
    format!("{} ({})", text(&connection["provider_name"]), text(&connection["label"]))
}

fn tell(printer: &Printer, remote: &Remote, done: &str, connection: &Value) {
    if remote.json {
        printer.result(connection);
        return;
    }
    printer.result(format_args!("{done}: {}.", named(connection)));
    printer.result(format_args!("  id        {}", text(&connection["id"])));
    printer.result(format_args!("  key       …{}, version {}", text(&connection["last_four"]), connection["version"]));
    let verification = &connection["verification"];
    if !verification.is_null() {
        printer.result(format_args!(
            "  provider  {}: {}",
            text(&verification["outcome"]),
            text(&verification["detail"])
        ));
    }
}

async fn list(printer: &Printer, remote: &Remote) -> Result<(), Stop> {
    let items = remote.list("list the connections", "/api/connections").await?;
    if remote.json {
        printer.result(whole(&items));
        return Ok(());
    }
    let rows: Vec<_> = items
        .iter()
        .map(|item| {
            [
                text(&item["id"]).to_owned(),
                text(&item["provider_id"]).to_owned(),
                text(&item["label"]).to_owned(),
                text(&item["status"]).to_owned(),
                text(&item["verification"]["outcome"]).to_owned(),
                format!("…{}", text(&item["last_four"])),
                item["project_count"].to_string(),
                moment(&item["last_used_at"]),
            ]
        })
        .collect();
    let titles = ["ID", "PROVIDER", "NAME", "STATUS", "CHECKED", "KEY", "PROJECTS", "LAST USED"];
    table(printer, titles, &rows, "Nothing is connected. `doce connection add anthropic` connects a provider.");
    Ok(())
}
