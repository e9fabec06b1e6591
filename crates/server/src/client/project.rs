//! `doce project`: makes projects, talks to their agents, and starts, stops and deletes them.

use std::{collections::HashSet, process::ExitCode};

use anyhow::anyhow;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{
    Remote, To,
    remote::whole,
    watch::{self, Answer, End, Watched},
    words::{Noun, harmless, moment, table, text},
};
use crate::{
    config::{self, Stop},
    printer::Printer,
};

pub(super) const PROJECT: Noun = Noun { word: "project", fields: &["id", "slug", "name"], list: "doce project list" };

/// The settings of `project`.
#[derive(Debug, Args)]
pub(crate) struct ProjectArgs {
    #[command(flatten)]
    to: To,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a project from a description, and starts its agent
    Create {
        /// What to build, in words: "a page about bread"
        #[arg(value_name = "PROMPT")]
        prompt: String,
        /// What to call it
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// The model that builds it, such as anthropic/claude-sonnet-4-6 [default: the preferred one, or the one used
        /// last]
        #[arg(long, value_name = "PROVIDER/MODEL", value_parser = model)]
        model: Option<Model>,
        /// The connection to use for a provider instead of your default one; repeat it for several providers
        #[arg(long, value_name = "PROVIDER=ID", value_parser = choice)]
        connection: Vec<(String, String)>,
        /// Prints the steps and the answer as they come. Ctrl+C ends the watching, not the work
        #[arg(long)]
        watch: bool,
    },
    /// Lists projects, the one last used first
    List,
    /// Prints the address of a project's page, and opens it where there is a display
    Open {
        /// Its id or name, or the beginning of one
        #[arg(value_name = "PROJECT")]
        project: String,
    },
    /// Prints a project's log: of its agent, its preview, or the installation of its packages
    Logs {
        /// Its id or name, or the beginning of one
        #[arg(value_name = "PROJECT")]
        project: String,
        /// Whose log
        #[arg(long, value_enum, default_value_t = Source::Agent)]
        source: Source,
    },
    /// Says something to a project's agent; a stopped project is started for it
    Prompt {
        /// Its id or name, or the beginning of one
        #[arg(value_name = "PROJECT")]
        project: String,
        /// What to say
        #[arg(value_name = "PROMPT")]
        prompt: String,
        /// The model that answers, from this prompt on
        #[arg(long, value_name = "PROVIDER/MODEL", value_parser = model)]
        model: Option<Model>,
        /// Prints the answer as it comes. Ctrl+C ends the watching, not the work
        #[arg(long)]
        watch: bool,
    },
    /// Stops the answer that a project's agent writes; the agent runs on, and what it wrote stays
    Abort {
        /// Its id or name, or the beginning of one
        #[arg(value_name = "PROJECT")]
        project: String,
    },
    /// Starts a project's agent
    Start {
        /// Its id or name, or the beginning of one
        #[arg(value_name = "PROJECT")]
        project: String,
        /// Doesn't wait until it has started
        #[arg(long)]
        no_wait: bool,
    },
    /// Stops a project's agent; nothing is lost. `doce project abort` stops an answer alone
    Stop {
        /// Its id or name, or the beginning of one
        #[arg(value_name = "PROJECT")]
        project: String,
        /// Doesn't wait until it has stopped
        #[arg(long)]
        no_wait: bool,
    },
    /// Deletes a project with its files and its conversation
    Delete {
        /// Its id or name, or the beginning of one
        #[arg(value_name = "PROJECT")]
        project: String,
        /// Doesn't ask first
        #[arg(long)]
        yes: bool,
        /// Doesn't wait until it is gone
        #[arg(long)]
        no_wait: bool,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Source {
    /// OpenCode, which runs the agent
    Agent,
    /// The server that shows the app
    Preview,
    /// npm, which installs the app's packages
    Install,
}

/// A model of a provider.
#[derive(Debug, Clone)]
struct Model {
    provider: String,
    model: String,
}

impl Model {
    fn to_json(&self) -> Value {
        json!({"provider_id": self.provider, "model_id": self.model})
    }
}

fn model(text: &str) -> Result<Model, String> {
    match text.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
            Ok(Model { provider: provider.to_owned(), model: model.to_owned() })
        }
        Some(_) | None => Err("a model looks like anthropic/claude-sonnet-4-6".to_owned()),
    }
}

fn choice(text: &str) -> Result<(String, String), String> {
    let (provider, id) = text.split_once('=').ok_or("a choice looks like anthropic=con_…")?;
    Ok((provider.to_owned(), id.to_owned()))
}

/// Does what was asked for.
pub(crate) async fn project(printer: &Printer, arguments: ProjectArgs) -> Result<ExitCode, Stop> {
    let ProjectArgs { to, command } = arguments;
    let remote = Remote::find(&to)?;
    match command {
        Command::Create { prompt, name, model, connection, watch } => {
            let new = New { prompt, name, model, connections: connection };
            create(printer, &remote, new, watch).await
        }
        Command::List => list(printer, &remote).await,
        Command::Open { project } => {
            let project = find(&remote, &project).await?;
            let url = remote.page(&format!("/projects/{}", text(&project["id"])));
            if remote.json {
                printer.result(json!({"url": url}));
            } else {
                printer.result(&url);
                if let Some(environment) = config::desktop() {
                    let search_path = config::variable("PATH").unwrap_or_default();
                    doce_app::open_page(&url, &search_path, environment).await;
                }
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Logs { project, source } => {
            let project = find(&remote, &project).await?;
            let source = match source {
                Source::Agent => "agent",
                Source::Preview => "preview",
                Source::Install => "install",
            };
            let path = format!("/api/projects/{}/logs?source={source}", text(&project["id"]));
            let said = remote.get_text("read the log", &path).await?;
            if remote.json {
                printer.result(json!({"source": source, "text": said}));
            } else if said.is_empty() {
                printer.line(format_args!("The log `{source}` is empty."));
            } else {
                printer.result(harmless(said.trim_end()));
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Prompt { project, prompt, model, watch } => {
            say(printer, &remote, &project, &prompt, model.as_ref(), watch).await
        }
        Command::Abort { project } => abort(printer, &remote, &project).await,
        Command::Start { project, no_wait } => change(printer, &remote, &project, Change::Start, !no_wait).await,
        Command::Stop { project, no_wait } => change(printer, &remote, &project, Change::Stop, !no_wait).await,
        Command::Delete { project, yes, no_wait } => {
            let found = find(&remote, &project).await?;
            let name = text(&found["name"]);
            if !yes && !printer.asks(format_args!("Delete {name} with its files and its conversation?")) {
                return Err(Stop::wrong(anyhow!("delete {name}: nobody said yes")).hint("--yes says it"));
            }
            change(printer, &remote, text(&found["id"]), Change::Delete, !no_wait).await
        }
    }
}

async fn find(remote: &Remote, wanted: &str) -> Result<Value, Stop> {
    remote.pick(&PROJECT, "/api/projects", wanted).await
}

/// A project to make.
struct New {
    prompt: String,
    name: Option<String>,
    model: Option<Model>,
    connections: Vec<(String, String)>,
}

async fn create(printer: &Printer, remote: &Remote, new: New, watch: bool) -> Result<ExitCode, Stop> {
    let model = match &new.model {
        Some(model) => model.to_json(),
        None => usual_model(remote).await?,
    };
    let connections: Map<String, Value> =
        new.connections.into_iter().map(|(provider, id)| (provider, id.into())).collect();
    let body = json!({"prompt": new.prompt, "name": new.name, "model": model, "connections": connections});
    let made = remote.ask("make the project", Method::POST, "/api/projects", Some(&body)).await?;
    let project = &made["project"];
    let id = text(&project["id"]);
    printer.note(format_args!("Made {} ({id}).", text(&project["name"])));
    if watch {
        let made_beside = ("project", project.clone());
        let answer = Answer { project: id.to_owned(), before: HashSet::new(), made: made_beside };
        watch::follow(printer, remote, Watched { job: made["job"].clone(), answer: Some(answer) }).await?;
    } else if remote.json {
        printer.result(&made);
    } else {
        printer.result(remote.page(&format!("/projects/{id}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the model that a new project begins with.
async fn usual_model(remote: &Remote) -> Result<Value, Stop> {
    let preferences = remote.get("look for the preferred model", "/api/models/preferences").await?;
    let model = [&preferences["preferred"], &preferences["recents"][0]].into_iter().find(|model| !model.is_null());
    model.cloned().ok_or_else(|| {
        Stop::wrong(anyhow!("make the project: no model was named, and none was used before"))
            .hint("name one with --model, for example --model anthropic/claude-sonnet-4-6")
    })
}

async fn say(
    printer: &Printer,
    remote: &Remote,
    project: &str,
    prompt: &str,
    model: Option<&Model>,
    watch: bool,
) -> Result<ExitCode, Stop> {
    let project = find(remote, project).await?;
    let (id, name) = (text(&project["id"]), text(&project["name"]));
    let before = remote.get("read the conversation", &format!("/api/projects/{id}/messages")).await?;
    let before = before["items"].as_array().into_iter().flatten().map(|message| text(&message["id"]).to_owned());
    let mut body = json!({"text": prompt});
    if let (Some(model), Some(body)) = (model, body.as_object_mut()) {
        body.insert("model".to_owned(), model.to_json());
    }
    let before = before.collect();
    let path = format!("/api/projects/{id}/prompts");
    let sent = remote.ask(format!("prompt {name}"), Method::POST, &path, Some(&body)).await?;
    printer.note(format_args!("The prompt is on its way to {name}."));
    if watch {
        let answer = Answer { project: id.to_owned(), before, made: ("message", sent["message"].clone()) };
        watch::follow(printer, remote, Watched { job: sent["job"].clone(), answer: Some(answer) }).await?;
    } else if remote.json {
        printer.result(&sent);
    }
    Ok(ExitCode::SUCCESS)
}

async fn abort(printer: &Printer, remote: &Remote, project: &str) -> Result<ExitCode, Stop> {
    let project = find(remote, project).await?;
    let (name, path) = (text(&project["name"]), format!("/api/projects/{}/abort", text(&project["id"])));
    let what = format!("stop the answer of {name}");
    let project = remote.ask(what, Method::POST, &path, Some(&json!({}))).await?;
    if remote.json {
        printer.result(&project);
    } else {
        printer.result(format_args!("The answer of {name} is stopped; its agent runs on."));
    }
    Ok(ExitCode::SUCCESS)
}

/// What to make of a project.
#[derive(Clone, Copy)]
enum Change {
    Start,
    Stop,
    Delete,
}

async fn change(
    printer: &Printer,
    remote: &Remote,
    project: &str,
    change: Change,
    wait: bool,
) -> Result<ExitCode, Stop> {
    let project = find(remote, project).await?;
    let (id, name) = (text(&project["id"]), text(&project["name"]));
    let (method, path, verb, done) = match change {
        Change::Start => (Method::POST, format!("/api/projects/{id}/start"), "start", "Started"),
        Change::Stop => (Method::POST, format!("/api/projects/{id}/stop"), "stop", "Stopped"),
        Change::Delete => (Method::DELETE, format!("/api/projects/{id}"), "delete", "Deleted"),
    };
    let body = json!({});
    let body = (method == Method::POST).then_some(&body);
    let job = remote.ask(format!("{verb} {name}"), method, &path, body).await?;
    if !wait {
        if remote.json {
            printer.result(&job);
        } else {
            printer.result(format_args!("{}: asked for.", text(&job["id"])));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let end = watch::follow(printer, remote, Watched { job, answer: None }).await?;
    if !remote.json && matches!(end, End::Over) {
        printer.result(format_args!("{done} {name}."));
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(printer: &Printer, remote: &Remote) -> Result<ExitCode, Stop> {
    let items = remote.list("list the projects", "/api/projects").await?;
    if remote.json {
        printer.result(whole(&items));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = items
        .iter()
        .map(|item| {
            [
                text(&item["id"]).to_owned(),
                text(&item["slug"]).to_owned(),
                text(&item["name"]).to_owned(),
                text(&item["state"]).to_owned(),
                format!("{}/{}", text(&item["model"]["provider_id"]), text(&item["model"]["model_id"])),
                moment(&item["last_active_at"]),
            ]
        })
        .collect();
    let none = "There is no project yet. `doce project create \"a page about …\"` makes one.";
    table(printer, ["ID", "SLUG", "NAME", "STATE", "MODEL", "LAST USED"], &rows, none);
    Ok(ExitCode::SUCCESS)
}
