//! The command line and the environment, read once.
//!
//! Every setting is an option and a variable; `--help` of each command says which. What can't be is said here, before
//! anything is opened. Exit codes: 0 it worked, 1 it failed, 2 it was asked for wrongly.

use std::{convert::Infallible, ffi::OsString, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::anyhow;
use camino::Utf8PathBuf;
use clap::{
    Args, CommandFactory as _, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;
use doce_app::{AgentLimits, Anchor, KeyPlace, NotPostgresUrl, Outside, PostgresUrl};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    backup::{self, BackupArgs, RestoreArgs},
    client::{
        self, To,
        audit::{self, AuditExportArgs, AuditListArgs},
        connection::{self, ConnectionArgs},
        job::{self, JobArgs},
        project::{self, ProjectArgs},
        sign_in::{self, SignInArgs},
        status,
        token::{self, TokenArgs},
        user::{self, UserArgs},
    },
    doctor::{self, DoctorArgs},
    import::{self, ImportArgs},
    keys, logs,
    preview::Origin,
    printer::Printer,
    serve, verify,
};

/// What `DOCE_UNSANDBOXED` has to say.
const TRUST: &str = "i-trust-every-prompt";

/// A self-hosted AI app builder: describe an app, and watch an agent build it, live, on your own machine.
#[derive(Debug, Parser)]
#[command(
    name = "doce",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Begin with `doce doctor`, which says what is missing, and `doce serve`, which prints the address to \
        open. `doce COMMAND --help` tells more about each.\n\nA server on another machine is asked with its address in \
        DOCE_URL and an API token in DOCE_TOKEN. The token is no option: other programs could read it there."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is logged: error, warn, info, debug or trace, or `part=level` for a part; several with commas
    #[arg(long, global = true, env = "DOCE_LOG", default_value = logs::DEFAULT_FILTER, value_name = "FILTER")]
    log: String,
    /// How the log is written
    #[arg(long, global = true, env = "DOCE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the server and prints its address
    ///
    /// One server uses a data directory at a time. Ctrl+C (or SIGTERM) ends it in order: open requests are answered,
    /// agents are stopped, the database is closed. A second Ctrl+C ends it at once.
    Serve(ServeArgs),
    /// Looks at the whole set-up and says how to repair what is wrong
    ///
    /// The data directory and its permissions, the database, the master key, the port, the sandbox, the limits of
    /// agents, OpenCode, git and npm, the disk, the limits of files, proxies and certificates, the network and the
    /// clock. Give it the settings that `doce serve` is given. Nothing is changed. It ends with 1 if there is a problem.
    #[command(
        mut_arg("max_agents", |unused| unused.hide(true)),
        mut_arg("idle_stop", |unused| unused.hide(true)),
        mut_arg("preview_domain", |unused| unused.hide(true)),
    )]
    Doctor(DoctorArgs),
    /// Shows how the server is doing: versions, agents, the queue, and what each project takes. For admins
    Status(To),
    /// Makes projects and talks to their agents
    Project(ProjectArgs),
    /// Connects providers
    Connection(ConnectionArgs),
    /// Shows what is being done, takes it back, or does it again
    Job(JobArgs),
    /// Looks after accounts
    User(UserArgs),
    /// Shows where you are signed in, and signs browsers out
    SignIn(SignInArgs),
    /// Makes and revokes API tokens, for scripts and other machines
    Token(TokenArgs),
    /// Looks after the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Looks after the master key and what it protects
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Writes everything to one file, while the server runs or not
    ///
    /// In it are the database, each project's files and its conversation with its agent. Not in it are the master key,
    /// what agents hold of keys in clear, and what can be installed again. It is written beside and renamed when it is
    /// whole; a file that is there is not written over.
    Backup(BackupArgs),
    /// Restores a backup into an empty data directory
    ///
    /// Each file is compared with the sum that was taken of it, and the database is checked, before anything is put in
    /// its place. The master key is put back by hand: it is in no backup.
    Restore(RestoreArgs),
    /// Brings people, keys and projects over from doce.dev, or keys from OpenCode
    ///
    /// Stop doce first: the import works on its data directory. Nothing of the old directory changes. What came over
    /// is remembered, so a second run brings only what is new, and nothing twice.
    ///
    /// It ends with 0 if everything came over or stays behind by a rule, and with 1 if something needs a look; the
    /// rest has come over all the same.
    Import(ImportArgs),
    /// Prints what makes a shell complete these commands
    ///
    /// For bash: `doce completions bash > ~/.local/share/bash-completion/completions/doce`.
    ///
    /// For fish: `doce completions fish > ~/.config/fish/completions/doce.fish`.
    ///
    /// For zsh: `doce completions zsh > ~/.zfunc/_doce`, with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc.
    Completions {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: Shell,
    },
    /// Prints the description of the HTTP API
    #[command(hide = true)]
    Openapi,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Lists what was done, the newest first: an admin sees everything, others what is theirs
    List(AuditListArgs),
    /// Writes what was done to a file, the oldest first, one JSON object per line
    ///
    /// An admin gets everything, others what is theirs. The export itself is an event, too.
    Export(AuditExportArgs),
    /// Checks that no event of the audit log was changed, removed or put in
    ///
    /// It only reads; a server may be running. The log has no secret key: who can write to the database could write the
    /// whole log anew. So note down what is printed, somewhere else, and give it as --anchor the next time.
    Verify(VerifyArgs),
}

/// The settings of `audit verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Where everything is kept [default: `$XDG_DATA_HOME/doce` or `~/.local/share/doce`]
    #[arg(long, env = "DOCE_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// The event that was noted down after an earlier check: its number and its hash
    #[arg(long, value_name = "NUMBER:HASH")]
    pub(crate) anchor: Option<Anchor>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Makes a new master key and wraps everything sealed with it
    ///
    /// The server must not run. The new key is written beside the old one, each sealed value is wrapped with it and
    /// opened again to see that it is right, and only when none is missing does it take the old one's place. It can be
    /// stopped or killed at any moment: everything still opens, and the same command goes on. The old key is kept
    /// beside the new one, because older backups need it.
    Rotate(RotateArgs),
    /// Writes the connected keys to an encrypted file
    ///
    /// The server must not run. The file has one JSON object per line, encrypted with age; `age --decrypt` opens it.
    /// Without --to, a passphrase is asked for.
    Export(ExportArgs),
}

/// Which database.
#[derive(Debug, Args)]
pub(crate) struct DatabaseArgs {
    /// A PostgreSQL database to use instead of doce.sqlite: `postgres://user:password@host:5432/name`
    #[arg(
        long,
        env = "DOCE_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        // What is wrong with it is said later: clap would repeat it, password and all.
        value_parser = |text: &str| Ok::<_, Infallible>(SecretString::from(text))
    )]
    database_url: Option<SecretString>,
}

impl DatabaseArgs {
    /// Returns the database's address, if one was given.
    pub(crate) fn url(&self) -> Result<Option<PostgresUrl>, Stop> {
        let given = self.database_url.as_ref().map(ExposeSecret::expose_secret).filter(|url| !url.is_empty());
        given.map(str::parse).transpose().map_err(|error: NotPostgresUrl| {
            Stop::wrong(anyhow::Error::new(error).context("use DOCE_DATABASE_URL or --database-url"))
                .hint("unset it to keep everything in doce.sqlite in the data directory")
        })
    }
}

/// Where the keys are.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// Where everything is kept [default: `$XDG_DATA_HOME/doce` or `~/.local/share/doce`]
    #[arg(long, env = "DOCE_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// The file that holds the master key [default: master.key in the data directory]
    #[arg(long, env = "DOCE_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<Utf8PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl KeyArgs {
    fn place(&self) -> Result<KeyPlace, Stop> {
        Ok(KeyPlace {
            database_url: self.database.url()?,
            data_dir: data_dir(self.data_dir.clone())?,
            master_key_file: self.master_key_file.clone(),
        })
    }
}

/// The settings of `keys rotate`.
#[derive(Debug, Args)]
struct RotateArgs {
    #[command(flatten)]
    keys: KeyArgs,
}

/// The settings of `keys export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
    /// The file to write; it must not be there yet
    #[arg(value_name = "FILE")]
    pub(crate) file: Utf8PathBuf,
    /// The public key of age of somebody who may read it; several times for several
    #[arg(long, value_name = "AGE1…")]
    pub(crate) to: Vec<String>,
    /// Reads the passphrase from standard input, its first line
    #[arg(long, conflicts_with = "to")]
    pub(crate) passphrase_stdin: bool,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object per line
    Json,
}

/// The settings of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where everything is kept [default: `$XDG_DATA_HOME/doce` or `~/.local/share/doce`]
    #[arg(long, env = "DOCE_DATA_DIR", value_name = "DIRECTORY")]
    pub(crate) data_dir: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// The address and port to listen on; port 0 takes a free one
    #[arg(long, env = "DOCE_LISTEN", default_value = "127.0.0.1:4321", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// The address that browsers use, if it is another one: behind a TLS proxy or a mapped port
    #[arg(long, env = "DOCE_PUBLIC_URL", value_name = "URL", value_parser = origin)]
    pub(crate) public_url: Option<Origin>,
    /// The domain whose subdomains all lead here, for previews: `apps.example.com`
    #[arg(long, env = "DOCE_PREVIEW_DOMAIN", value_name = "DOMAIN", value_parser = domain)]
    pub(crate) preview_domain: Option<String>,
    /// An OpenCode to use instead of the one that doce installs
    #[arg(long, env = "DOCE_OPENCODE", value_name = "FILE")]
    pub(crate) opencode: Option<Utf8PathBuf>,
    /// The file that holds the master key [default: master.key in the data directory, made at the first start]
    #[arg(long, env = "DOCE_MASTER_KEY_FILE", value_name = "FILE")]
    pub(crate) master_key_file: Option<Utf8PathBuf>,
    /// The npm registry to install from [default: npm's own setting]
    #[arg(long, env = "DOCE_NPM_REGISTRY", hide_env_values = true, value_name = "URL", value_parser = registry)]
    pub(crate) npm_registry: Option<String>,
    #[command(flatten)]
    pub(crate) agents: AgentArgs,
    /// Runs agents without a sandbox: they can then read everything that this user can
    #[arg(long, env = "DOCE_UNSANDBOXED", value_name = TRUST, value_parser = trust)]
    pub(crate) unsandboxed: Option<Trust>,
}

/// How many agents run, and how long.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AgentArgs {
    /// Most agents at a time; more projects wait in a queue [default: as many as the memory holds, 0.8 GB each]
    #[arg(long, env = "DOCE_MAX_AGENTS", value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    max_agents: Option<u16>,
    /// Minutes until an agent that nobody uses is stopped; 0 is never
    #[arg(long, env = "DOCE_IDLE_STOP", value_name = "MINUTES", default_value_t = 15)]
    idle_stop: u32,
}

impl AgentArgs {
    pub(crate) fn limits(self) -> AgentLimits {
        let idle_stop = Duration::from_secs(u64::from(self.idle_stop) * 60);
        AgentLimits {
            most: self.max_agents.map(usize::from),
            idle_stop: Some(idle_stop).filter(|time| !time.is_zero()),
            ..AgentLimits::default()
        }
    }
}

/// The owner's word that every prompt is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trust;

/// An error as the command line tells it.
#[derive(Debug)]
pub(crate) struct Stop {
    /// What failed, and why.
    pub(crate) error: anyhow::Error,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The number of the request that failed, for whoever looks into the server's log.
    pub(crate) reference: Option<String>,
    /// The word by which a script knows it, if it has one of its own.
    pub(crate) code: Option<String>,
    /// Whether it was asked for wrongly, rather than failed.
    pub(crate) by_user: bool,
}

impl Stop {
    /// Something failed.
    pub(crate) fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hint: None, reference: None, code: None, by_user: false }
    }

    /// Something was asked for that can't be.
    pub(crate) fn wrong(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hint: None, reference: None, code: None, by_user: true }
    }

    /// Says what to do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Says which request it was.
    pub(crate) fn reference(self, id: Option<&str>) -> Self {
        Self { reference: id.map(str::to_owned), ..self }
    }

    /// Gives it the word by which a script knows it.
    pub(crate) fn code(self, code: impl Into<String>) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// Says that the command line can't be understood.
    fn usage(answer: &clap::Error) -> Self {
        let said = answer.render().to_string();
        let mut paragraphs = said.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        let first = paragraphs.next().unwrap_or_default();
        let error = match answer.kind() {
            // Clap answers with the help, which is no error's text.
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "no command was named",
            _ => first.strip_prefix("error: ").unwrap_or(&first),
        };
        let tip = paragraphs.find_map(|text| text.strip_prefix("tip: ").map(str::to_owned));
        let hint = tip.unwrap_or_else(|| "`--help` tells how it is used".to_owned());
        Self::wrong(anyhow!(error.to_owned())).hint(hint).code("usage")
    }
}

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    // Before anything may want TLS. It fails only if a provider is there already, which is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let json = is_json_wanted(std::env::args_os());
    let printer = Printer::new(json);
    match run(&printer, &std::env::args_os().collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(stop) => {
            printer.error(&stop);
            ExitCode::from(if stop.by_user { 2 } else { 1 })
        }
    }
}

/// Tells whether JSON was asked for. An error of the command line itself is told in it, too, so it is seen before that
/// is understood; no option takes a value that begins with a hyphen.
fn is_json_wanted(arguments: impl IntoIterator<Item = OsString>) -> bool {
    arguments.into_iter().skip(1).take_while(|argument| argument != "--").any(|argument| argument == "--json")
}

/// Puts the usage of the command in the place of clap's, which names what the environment gave and leaves out the rest.
fn with_whole_usage(mut answer: clap::Error, arguments: &[OsString]) -> clap::Error {
    if answer.get(ContextKind::Usage).is_some() {
        let mut command = Cli::command();
        command.build();
        for word in arguments.iter().skip(1) {
            if let Some(below) = command.find_subcommand(word).cloned() {
                command = below;
            }
        }
        answer.insert(ContextKind::Usage, ContextValue::StyledStr(command.render_usage()));
    }
    answer
}

/// Returns the command line, as it can be asked about itself.
#[doc(hidden)]
pub fn command() -> clap::Command {
    Cli::command()
}

fn run(printer: &Printer, arguments: &[OsString]) -> Result<ExitCode, Stop> {
    let cli = match Cli::try_parse_from(arguments).map_err(|answer| with_whole_usage(answer, arguments)) {
        Ok(cli) => cli,
        // Help and version come this way, too; clap knows which stream and which code each has.
        Err(answer) if answer.use_stderr() && printer.is_json() => return Err(Stop::usage(&answer)),
        Err(answer) => {
            drop(answer.print());
            return Ok(ExitCode::from(if answer.use_stderr() { 2 } else { 0 }));
        }
    };
    // The other commands are for people, even where a variable says how the server logs.
    if cli.log_format == LogFormat::Json && matches!(cli.command, Command::Serve(_)) {
        printer.log_in_json();
    }
    logs::start(&cli.log, cli.log_format, printer)
        .map_err(|error| Stop::wrong(error).hint("DOCE_LOG=info, or DOCE_LOG=warn,doce=debug"))?;
    match cli.command {
        Command::Openapi => {
            printer.result(crate::api::description_text());
            Ok(ExitCode::SUCCESS)
        }
        Command::Import(arguments) => import::import(printer, arguments),
        Command::Doctor(arguments) => client::run(doctor::doctor(printer, arguments)),
        Command::Backup(arguments) => client::run(backup::backup(printer, arguments)),
        Command::Restore(arguments) => client::run(backup::restore(printer, arguments)),
        Command::Project(arguments) => client::run(project::project(printer, arguments)),
        Command::Connection(arguments) => client::run(connection::connection(printer, arguments)),
        Command::Job(arguments) => client::run(job::job(printer, arguments)),
        Command::Status(to) => client::run(status::status(printer, to)),
        Command::SignIn(arguments) => client::run(sign_in::sign_in(printer, arguments)),
        Command::Audit(AuditCommand::List(arguments)) => client::run(audit::list(printer, arguments)),
        Command::Audit(AuditCommand::Export(arguments)) => client::run(audit::export(printer, arguments)),
        Command::User(arguments) => client::run(user::user(printer, arguments)),
        Command::Token(arguments) => client::run(token::token(printer, arguments)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "doce", &mut script);
            printer.words(script);
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve(arguments) => {
            let database_url = arguments.database.url()?;
            let data_dir = data_dir(arguments.data_dir.clone())?;
            serve::serve(printer, data_dir, database_url, arguments)
        }
        Command::Keys(KeysCommand::Rotate(RotateArgs { keys })) => keys::rotate(printer, &keys.place()?, keys.json),
        Command::Keys(KeysCommand::Export(arguments)) => keys::export(printer, &arguments.keys.place()?, &arguments),
        Command::Audit(AuditCommand::Verify(arguments)) => {
            let database_url = arguments.database.url()?;
            let data_dir = data_dir(arguments.data_dir.clone())?;
            verify::verify(printer, &data_dir, database_url.as_ref(), &arguments)
        }
    }
}

/// Returns where everything is kept: as given, or where the system keeps people's data.
pub(crate) fn data_dir(given: Option<Utf8PathBuf>) -> Result<Utf8PathBuf, Stop> {
    let named = |name| variable(name).map(Utf8PathBuf::from).filter(|path| path.is_absolute());
    given
        .or_else(|| named("XDG_DATA_HOME").map(|base| base.join("doce")))
        .or_else(|| named("HOME").map(|home| home.join(".local/share/doce")))
        .ok_or_else(|| {
            Stop::wrong(anyhow!("find a place for the data: neither XDG_DATA_HOME nor HOME is set"))
                .hint("name one with --data-dir or DOCE_DATA_DIR")
        })
}

/// Variables about proxies and certificates, that sandboxed programs need as much as this one.
const NETWORK: [&str; 11] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
];

/// Returns what sandboxed programs get to know of the system around this one.
pub(crate) fn outside() -> Outside {
    let network = NETWORK.into_iter().filter_map(|name| Some((name.to_owned(), variable(name)?)));
    Outside { search_path: variable("PATH").unwrap_or_default(), variables: network.collect() }
}

/// Variables that a program with windows needs.
const DESKTOP: [&str; 10] = [
    "PATH",
    "HOME",
    "LANG",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "XDG_CURRENT_DESKTOP",
    "DBUS_SESSION_BUS_ADDRESS",
    "BROWSER",
];

/// Returns what a program with windows gets to know, if there is a display to show them on.
pub(crate) fn desktop() -> Option<Vec<(String, String)>> {
    variable("DISPLAY").or_else(|| variable("WAYLAND_DISPLAY"))?;
    Some(DESKTOP.into_iter().filter_map(|name| Some((name.to_owned(), variable(name)?))).collect())
}

/// Returns where OpenCode keeps its credentials.
pub(crate) fn opencode_auth_file() -> Option<Utf8PathBuf> {
    let named = |name| variable(name).map(Utf8PathBuf::from).filter(|path| path.is_absolute());
    let base = named("XDG_DATA_HOME").or_else(|| named("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("opencode/auth.json"))
}

#[expect(clippy::disallowed_methods, reason = "this module is where settings are read")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text.trim_end_matches('/')).map_err(|error| error.to_string())
}

fn domain(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text).to_ascii_lowercase();
    let is_label =
        |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if name.len() <= 189 && name.contains('.') && name.split('.').all(is_label) {
        Ok(name)
    } else {
        Err(format!("`{text}` is not a domain like apps.example.com"))
    }
}

fn registry(text: &str) -> Result<String, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err("a registry's address begins with http:// or https://".to_owned()),
    }
}

fn trust(text: &str) -> Result<Trust, String> {
    if text == TRUST { Ok(Trust) } else { Err(format!("agents run in a sandbox unless this is `{TRUST}`")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<ServeArgs, clap::Error> {
        let cli = Cli::try_parse_from(line.split_whitespace())?;
        match cli.command {
            Command::Serve(arguments) => Ok(arguments),
            other => panic!("`{line}` is not serve: {other:?}"),
        }
    }

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn json_is_wanted_where_the_option_stands_and_not_where_it_is_a_prompt() {
        let wanted = |line: &str| is_json_wanted(line.split(' ').map(OsString::from));
        assert!(wanted("doce project list --json") && wanted("doce --json"));
        assert!(!wanted("doce project list") && !wanted("doce project create -- --json"));
    }

    #[test]
    fn without_arguments_there_is_help_and_a_user_error() {
        let answer = Cli::try_parse_from(["doce"]).unwrap_err();
        assert!(answer.to_string().contains("serve"), "{answer}");
        assert!(answer.use_stderr());
    }

    #[test]
    fn only_the_exact_words_switch_the_sandbox_off() {
        assert!(parse("doce serve --unsandboxed i-trust-every-prompt").unwrap().unsandboxed.is_some());
        for value in ["1", "true", "I-trust-every-prompt", "yes"] {
            assert!(parse(&format!("doce serve --unsandboxed {value}")).is_err(), "{value}");
        }
    }

    #[test]
    fn an_agent_that_nobody_uses_is_stopped_after_a_quarter_of_an_hour_or_as_the_owner_says() {
        let idle_stop = |line: &str| parse(line).unwrap().agents.limits().idle_stop;
        assert_eq!(idle_stop("doce serve"), Some(Duration::from_mins(15)));
        assert_eq!(idle_stop("doce serve"), AgentLimits::default().idle_stop);
        assert_eq!(idle_stop("doce serve --idle-stop 90"), Some(Duration::from_mins(90)));
        assert_eq!(idle_stop("doce serve --idle-stop 0"), None, "0 is never");
    }

    #[test]
    fn a_public_address_is_an_origin_and_nothing_more() {
        let public = |url: &str| parse(&format!("doce serve --public-url {url}"));
        assert_eq!(public("https://doce.example/").unwrap().public_url.unwrap().as_str(), "https://doce.example");
        for url in ["doce.example", "https://doce.example/path", "ftp://doce.example"] {
            assert!(public(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_preview_domain_may_be_written_with_a_star() {
        assert_eq!(domain("*.Apps.example.com"), Ok("apps.example.com".to_owned()));
        for text in ["", "*", "localhost", "a..b", "https://a.b", "a.b:1", "a_b.c"] {
            assert!(domain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_database_address_is_one_of_postgresql_and_is_never_repeated() {
        let database = |url: &str| parse(&format!("doce serve --database-url {url}")).unwrap().database;
        let given = database("postgres://ada:planted@db.example/doce");
        assert!(!format!("{given:?}").contains("planted"));
        assert_eq!(given.url().unwrap().unwrap().to_string(), "postgres://db.example:5432/doce");
        let stop = database("mysql://ada:planted@db.example/doce").url().unwrap_err();
        assert!(stop.by_user && !format!("{:?}", stop.error).contains("planted"));
        assert!(parse("doce serve").unwrap().database.url().unwrap().is_none());
    }
}
