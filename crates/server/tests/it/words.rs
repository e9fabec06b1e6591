//! What a person sees: the help of every command, and the errors that come most often.
//!
//! The words are kept in `words/`. Where they are meant to change, `INSTA_UPDATE=always cargo nextest run` writes them
//! anew, and the difference is read in the commit.

use crate::cli::{doce, run};

/// Every command that has a help of its own.
const COMMANDS: [&str; 40] = [
    "",
    "serve",
    "doctor",
    "backup",
    "restore",
    "import",
    "import opencode",
    "import scrub-env",
    "completions",
    "audit",
    "audit verify",
    "keys",
    "keys rotate",
    "keys export",
    "project",
    "project create",
    "project list",
    "project open",
    "project logs",
    "project prompt",
    "project start",
    "project stop",
    "project delete",
    "connection",
    "connection add",
    "connection list",
    "connection verify",
    "connection replace",
    "connection remove",
    "job",
    "job list",
    "job show",
    "job cancel",
    "job retry",
    "job pause",
    "job resume",
    "user",
    "user add",
    "user disable",
    "user reset-password",
];

fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("words");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn the_help_of_every_command_is_what_was_read_last() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = Vec::new();
    for command in COMMANDS {
        let mut doce = doce(directory.path());
        // A value that is set would be shown.
        for name in ["DOCE_DATA_DIR", "DOCE_LISTEN", "DOCE_OPENCODE"] {
            doce.env_remove(name);
        }
        let (code, said, errors) = run(doce.args(command.split_whitespace()).arg("--help"));
        assert_eq!((code, errors.as_str()), (0, ""), "{command}");
        text.push(format!("$ doce {command} --help\n{said}\n").replace("doce  --help", "doce --help"));
    }
    settings().bind(|| insta::assert_snapshot!("help", text.concat()));
}

#[test]
fn the_errors_that_come_most_often_say_what_where_and_what_next() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut text = Vec::new();
    for (command, variables) in [
        ("project list", &[][..]),
        ("project list --url http://127.0.0.1:9", &[("DOCE_TOKEN", "planted-token")]),
        ("project list --url http://127.0.0.1:9", &[]),
        ("project list --url ftp://x", &[]),
        ("project list --user ada --url http://127.0.0.1:9", &[("DOCE_TOKEN", "planted-token")]),
        ("project create", &[]),
        ("project create x --model gpt", &[]),
        ("connection add anthropic --key sk-planted", &[]),
        ("connection add anthropic", &[]),
        ("job show job_x", &[]),
        ("user reset-password ada", &[]),
        ("backup there.tar.zst", &[]),
        ("backup there.tar.zst", &[("DOCE_DATABASE_URL", "postgres://planted")]),
        ("restore there.tar.zst", &[]),
        ("keys rotate", &[]),
        ("completions powershell-7", &[]),
        ("serv", &[]),
    ] {
        let mut doce = doce(at);
        doce.current_dir(at).envs(variables.iter().copied());
        let (code, said, errors) = run(doce.args(command.split_whitespace()));
        assert_eq!(said, "", "{command}");
        assert!(!errors.contains("planted"), "{command}: {errors}");
        text.push(format!("$ doce {command}\n{errors}[{code}]\n\n").replace("sk-planted", "KEY"));
    }
    let text = text.concat().replace(at.to_str().unwrap(), "/somewhere");
    settings().bind(|| insta::assert_snapshot!("errors", text));
}
