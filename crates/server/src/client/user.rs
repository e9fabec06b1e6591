//! `doce user`: accounts, and a way back in for somebody who forgot a password.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use doce_app::{KeyPlace, NotPostgresUrl};
use reqwest::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{
    Remote, To, new_password,
    remote::{gone, whole},
    words::{Noun, moment, table, text},
};
use crate::{
    config::{self, Stop},
    control,
    printer::Printer,
    recover,
};

const INVITE: Noun = Noun { word: "invite", fields: &["id"], list: "doce user invites" };
pub(super) const USER: Noun = Noun { word: "user", fields: &["id", "username"], list: "doce user list" };

/// The settings of `user`.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    #[command(flatten)]
    to: To,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the accounts
    List,
    /// Makes an account
    ///
    /// Its first password is asked for without being shown, or read from standard input with --password-stdin.
    Add {
        /// The name to sign in with
        #[arg(value_name = "NAME")]
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value_t = Role::Member)]
        role: Role,
        /// Reads the password from standard input, its first line
        #[arg(long)]
        password_stdin: bool,
    },
    /// Makes a link with which somebody makes an account of their own
    ///
    /// It can be used once, within seven days. `doce user uninvite` takes it back before.
    Invite {
        /// What the account may do
        #[arg(long, value_enum, default_value_t = Role::Member)]
        role: Role,
    },
    /// Lists the invites that can still be used
    Invites,
    /// Takes an invite back: its link is of no use any more
    Uninvite {
        /// Its id, or the beginning of it
        #[arg(value_name = "INVITE")]
        invite: String,
    },
    /// Changes what an account may do
    Role {
        /// Its name, or the beginning of it
        #[arg(value_name = "NAME")]
        name: String,
        /// What it may do from here on
        #[arg(value_enum, value_name = "ROLE")]
        role: Role,
    },
    /// Signs an account out everywhere and lets it in no more
    ///
    /// Its projects stop and its API tokens are of no use. Nothing of it is deleted: `doce user enable` lets it in again.
    Disable {
        /// Its name, or the beginning of it
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Lets a disabled account in again
    ///
    /// It has its password and its API tokens as before. Its projects stay stopped until somebody starts them.
    Enable {
        /// Its name, or the beginning of it
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Gives an account another password, and signs it out everywhere
    ///
    /// It asks the server if one runs. If none does, it works on the data directory, or on the database that
    /// `DOCE_DATABASE_URL` names.
    ResetPassword {
        /// Its name, or the beginning of it
        #[arg(value_name = "NAME")]
        name: String,
        /// Reads the password from standard input, its first line
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    /// Sees and changes only what is theirs
    Member,
    /// Also looks after people and the server
    Admin,
}

impl Role {
    /// Its word, and the article that goes with it.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Member => ("member", "a"),
            Self::Admin => ("admin", "an"),
        }
    }
}

/// Does what was asked for.
pub(crate) async fn user(printer: &Printer, arguments: UserArgs) -> Result<ExitCode, Stop> {
    let UserArgs { to, command } = arguments;
    match command {
        Command::List => list(printer, &Remote::find(&to)?).await?,
        Command::Add { name, role, password_stdin } => {
            let remote = Remote::find(&to)?;
            let (role, article) = role.words();
            let password = new_password(password_stdin)?;
            // Secret: the password goes into the request's body and nowhere else.
            let body = json!({"username": name, "password": password.expose_secret(), "role": role});
            let made = remote.ask(format!("make the account {name}"), Method::POST, "/api/users", Some(&body)).await?;
            done(printer, to.json, &made, &format!("{name} is {article} {role} and can sign in."));
        }
        Command::Invite { role } => {
            let remote = Remote::find(&to)?;
            let body = json!({"role": role.words().0});
            let made = remote.ask("make a link".to_owned(), Method::POST, "/api/invites", Some(&body)).await?;
            // Secret: whoever asked for the link gets it here, and nowhere else.
            done(printer, to.json, &made, &remote.page(text(&made["path"])));
        }
        Command::Invites => list_invites(printer, &Remote::find(&to)?).await?,
        Command::Uninvite { invite } => {
            let remote = Remote::find(&to)?;
            let found = remote.pick(&INVITE, "/api/invites", &invite).await?;
            let id = text(&found["id"]);
            let what = format!("take the invite {id} back");
            remote.ask(what, Method::DELETE, &format!("/api/invites/{id}"), None).await?;
            done(printer, to.json, &gone(&found), &format!("{id} is taken back: its link is of no use any more."));
        }
        Command::Role { name, role } => {
            let (word, article) = role.words();
            let (name, changed) = change(&to, &name, "change the role of", &json!({"role": word})).await?;
            done(printer, to.json, &changed, &format!("{name} is {article} {word}."));
        }
        Command::Disable { name } => disable(printer, &to, &name, true).await?,
        Command::Enable { name } => disable(printer, &to, &name, false).await?,
        Command::ResetPassword { name, password_stdin } => {
            let changed = reset(&to, &name, password_stdin).await?;
            let name = text(&changed["username"]);
            let said = format!("{name} has the new password and is signed out everywhere.");
            done(printer, to.json, &changed, &said);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes the account that somebody named; returns its whole name, and how it is then.
async fn change(to: &To, wanted: &str, verb: &str, body: &Value) -> Result<(String, Value), Stop> {
    let remote = Remote::find(to)?;
    let found = remote.pick(&USER, "/api/users", wanted).await?;
    let name = text(&found["username"]);
    let path = format!("/api/users/{}", text(&found["id"]));
    let changed = remote.ask(format!("{verb} {name}"), Method::PATCH, &path, Some(body)).await?;
    Ok((name.to_owned(), changed))
}

async fn disable(printer: &Printer, to: &To, name: &str, disabled: bool) -> Result<(), Stop> {
    let verb = if disabled { "disable" } else { "enable" };
    let (name, changed) = change(to, name, verb, &json!({"disabled": disabled})).await?;
    let said = if disabled {
        format!(
            "{name} is signed out everywhere and can't sign in. Projects of this account stop; nothing is deleted. \
             `doce user enable {name}` undoes it."
        )
    } else {
        format!("{name} can sign in again. Projects of this account stay stopped until they are started.")
    };
    done(printer, to.json, &changed, &said);
    Ok(())
}

async fn reset(to: &To, name: &str, password_stdin: bool) -> Result<Value, Stop> {
    let data_dir = config::data_dir(to.data_dir.clone())?;
    let runs = to.url.is_some() || control::is_answered(&data_dir);
    if !runs {
        let database = config::variable("DOCE_DATABASE_URL").map(|url| url.parse()).transpose();
        let database_url = database
            .map_err(|error: NotPostgresUrl| Stop::wrong(anyhow::Error::new(error).context("use DOCE_DATABASE_URL")))?;
        let place = KeyPlace { data_dir, database_url, master_key_file: None };
        return recover::reset_password(&place, name, || new_password(password_stdin)).await;
    }
    let remote = Remote::find(to)?;
    let found = remote.pick(&USER, "/api/users", name).await?;
    let password = new_password(password_stdin)?;
    let path = format!("/api/users/{}", text(&found["id"]));
    // Secret: the password goes into the request's body and nowhere else.
    let body = json!({"password": password.expose_secret()});
    remote.ask(format!("reset the password of {name}"), Method::PATCH, &path, Some(&body)).await
}

fn done(printer: &Printer, json: bool, answer: &Value, said: &str) {
    if json {
        printer.result(answer);
    } else {
        printer.result(said);
    }
}

async fn list_invites(printer: &Printer, remote: &Remote) -> Result<(), Stop> {
    let items = remote.list("list the invites", "/api/invites").await?;
    if remote.json {
        printer.result(whole(&items));
        return Ok(());
    }
    let row = |invite: &Value| {
        let [id, role, by] = ["id", "role", "by"].map(|field| text(&invite[field]).to_owned());
        [id, role, by, moment(&invite["created_at"]), moment(&invite["expires_at"])]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    table(printer, ["ID", "ROLE", "BY", "MADE", "ENDS"], &rows, "No invite is open.");
    Ok(())
}

async fn list(printer: &Printer, remote: &Remote) -> Result<(), Stop> {
    let items = remote.list("list the accounts", "/api/users").await?;
    if remote.json {
        printer.result(whole(&items));
        return Ok(());
    }
    let rows: Vec<_> = items
        .iter()
        .map(|user| {
            let role = text(&user["role"]);
            let role = if user["disabled_at"].is_null() { role.to_owned() } else { format!("{role}, disabled") };
            [text(&user["id"]).to_owned(), text(&user["username"]).to_owned(), role, moment(&user["created_at"])]
        })
        .collect();
    table(printer, ["ID", "NAME", "ROLE", "SINCE"], &rows, "There is no account yet.");
    Ok(())
}
