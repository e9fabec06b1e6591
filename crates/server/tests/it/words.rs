//! What a person sees: the help of every command, and the errors that come most often.
//!
//! The words are kept in `words/`. Where they are meant to change, `INSTA_UPDATE=always cargo nextest run` writes them
//! anew, and the difference is read in the commit.

use std::path::Path;

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::Value;

use crate::{
    cli::{Serving, doce, first_account, run},
    terminal::{connect, json_of, run_with, works},
    world::{BOUND, MODEL, PASSWORD},
};

/// Lists every command that has a help of its own, as its words.
pub(crate) fn commands(command: &clap::Command, words: &str, found: &mut Vec<String>) {
    found.push(words.to_owned());
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        commands(below, format!("{words} {}", below.get_name()).trim_start(), found);
    }
}

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
    let mut all = Vec::new();
    commands(&doce_server::command(), "", &mut all);
    for known in ["", "user invite", "token revoke", "import scrub-env"] {
        assert!(all.iter().any(|command| command == known), "{known}: {all:?}");
    }
    for command in all {
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
        ("backup there.tar.zst", &[("DOCE_DATABASE_URL", "postgres://ada:planted@127.0.0.1:9/doce")]),
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
    let text = text.concat().replace(at.to_str().expect("its path is UTF-8"), "/somewhere");
    settings().bind(|| insta::assert_snapshot!("errors", text));
}

#[test]
fn an_error_is_one_json_object_where_json_was_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut text = Vec::new();
    for command in [
        "project list --json",
        "project list --json --url http://127.0.0.1:9",
        "project create --json",
        "project --json",
        "connection add anthropic --key sk-planted --json",
        "serv --json",
        "backup there.tar.zst --json",
        "restore there.tar.zst --json",
        "keys rotate --json",
        "audit verify --json",
        "import --dry-run --json /nothing/here",
        "import scrub-env --json /nothing/here",
        "user reset-password ada --json",
    ] {
        let mut doce = doce(at);
        doce.current_dir(at).env("DOCE_TOKEN", "planted-token");
        let (code, said, errors) = run(doce.args(command.split_whitespace()));
        assert_eq!(said, "", "{command}");
        assert!(!errors.contains("planted"), "{command}: {errors}");
        let error: Value = serde_json::from_str(&errors).unwrap_or_else(|e| panic!("{command}: {e}: {errors}"));
        let names: Vec<&String> = error.as_object().unwrap().keys().collect();
        assert_eq!(names, ["error", "because", "hint", "reference", "code"], "{command}");
        let error = serde_json::to_string_pretty(&error).unwrap();
        text.push(format!("$ doce {command}\n{error}\n[{code}]\n\n").replace("sk-planted", "KEY"));
    }
    let text = text.concat().replace(at.to_str().expect("its path is UTF-8"), "/somewhere");
    settings().bind(|| insta::assert_snapshot!("errors_json", text));
}

/// So many characters in a row are no word.
const LONGER_THAN_WORDS: usize = 32;

/// Puts the same in the place of what differs from run to run, as wide where it stands in a table.
fn redacted(text: &str, at: &Path) -> String {
    let text = text.replace(at.to_str().expect("its path is UTF-8"), "/somewhere");
    let mut told = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let ids = [
            "prj_",
            "job_",
            "con_",
            "usr_",
            "sin_",
            "tok_",
            "inv_",
            "req_",
            "bakery-",
            "master key  ",
            "new key   ",
            ".old-",
        ];
        let id = ids.into_iter().find(|prefix| rest.starts_with(prefix) && !rest[prefix.len()..].starts_with('/'));
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        // No word is so long: a token, a hash, or what stands behind the `#` of a link.
        let whole = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)).count();
        let (kept, gone) = if let Some(prefix) = id {
            let length = rest[prefix.len()..].bytes().take_while(u8::is_ascii_alphanumeric).count();
            (format!("{prefix}{}", "x".repeat(length)), prefix.len() + length)
        } else if whole >= LONGER_THAN_WORDS {
            ("x".repeat(whole), whole)
        } else if digits == 4 && rest[4..].starts_with('-') && rest.as_bytes().get(13) == Some(&b':') {
            // With its seconds, where somebody may need them.
            let seconds =
                if rest.as_bytes().get(16) == Some(&b':') { rest.find('Z').map_or(0, |end| end - 16) } else { 0 };
            ("2026-01-01 12:00".to_owned(), 16 + seconds)
        } else if told.ends_with("127.0.0.1:") && digits > 0 {
            ("PORT".to_owned(), digits)
        } else if digits > 0 && ["KiB", "files"].iter().any(|unit| rest[digits..].trim_start().starts_with(unit)) {
            ("N".to_owned(), digits)
        } else {
            (first.to_string(), first.len_utf8())
        };
        told.push_str(&kept);
        rest = &rest[gone..];
    }
    told
}

/// Ends each line.
fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_story_in_the_terminal_is_what_was_read_last() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    let mut story = vec![format!("$ doce connection add anthropic --label Mine\n{}\n", connect(at, &model).await)];
    let mut tell = |arguments: &[&str], input: &str| {
        let (code, said, errors) = run_with(at, arguments, input);
        assert_eq!(code, 0, "{arguments:?}: {said}{errors}");
        // That a step has begun, or waits, is told only if somebody looked in that moment.
        let errors = errors.lines().filter(|line| !line.starts_with("  begun ") && !line.starts_with("  waits "));
        let errors = lines(errors);
        let words =
            arguments.iter().map(|word| if word.contains(' ') { format!("{word:?}") } else { word.to_string() });
        let words: Vec<String> = words.collect();
        story.push(format!("$ doce {}\n{errors}{said}\n", words.join(" ")));
    };
    tell(&["connection", "list"], "");
    tell(&["connection", "verify", "mine"], "");
    let (provider, name) = MODEL;
    let model_name = format!("{provider}/{name}");
    let prompt = "[[say: Here is your page about bread.]]";
    tell(&["project", "create", prompt, "--name", "Bakery", "--model", &model_name, "--watch"], "");
    let at_rest = async || {
        let project = json_of(at, &["project", "list", "--json"])["items"][0].clone();
        (project["job"].is_null() && project["session"]["kind"] == "idle").then_some(())
    };
    wait_for("a project at rest", BOUND, at_rest).await;
    tell(&["project", "list"], "");
    tell(&["project", "logs", "bakery", "--source", "install"], "");
    tell(&["job", "list", "--project", "bakery"], "");
    let jobs = json_of(at, &["job", "list", "--project", "bakery", "--json"]);
    let launch = jobs["items"].as_array().unwrap().iter().find(|job| job["kind"] == "launch_project").unwrap();
    let job = launch["id"].as_str().unwrap();
    tell(&["job", "show", job], "");
    tell(&["user", "add", "bob", "--password-stdin"], &format!("{PASSWORD}\n"));
    tell(&["user", "list"], "");
    tell(&["backup", at.join("doce.tar.zst").to_str().unwrap()], "");
    tell(&["project", "stop", "bakery"], "");
    // The rest of it is about the machine.
    let (_, said, _) = run(doce(at).env("DOCE_NPM_REGISTRY", "http://127.0.0.1:9/").arg("doctor"));
    let ours = ["data", "database", "master key", "port"];
    let check =
        |line: &str| line.get(10..).is_some_and(|rest| ours.iter().any(|name| rest.starts_with(&format!("{name} "))));
    let said = lines(said.lines().filter(|line| check(line)));
    story.push(format!("$ doce doctor\n{said}[…]\n"));
    let text = redacted(&story.concat(), at);
    settings().bind(|| insta::assert_snapshot!("story", text));
}

/// What a person types and reads, one command after the other.
struct Story<'a> {
    at: &'a Path,
    told: Vec<String>,
}

impl Story<'_> {
    /// Runs a command and keeps what it says; with the code, where it is another than 0.
    fn tell(&mut self, arguments: &[&str], input: &str) {
        let (code, said, errors) = run_with(self.at, arguments, input);
        // That a step has begun is told only if somebody looked in that moment; that it was done, too, where it was undone.
        let has_failed = errors.contains("  failed  ");
        let is_passing = |line: &str| {
            line.starts_with("  begun ")
                || has_failed && ["  done ", "  undone "].iter().any(|word| line.starts_with(word))
        };
        let errors = lines(errors.lines().filter(|line| !is_passing(line)));
        let words =
            arguments.iter().map(|word| if word.contains(' ') { format!("{word:?}") } else { (*word).to_owned() });
        let words: Vec<String> = words.collect();
        let code = if code == 0 { String::new() } else { format!("[{code}]\n") };
        self.told.push(format!("$ doce {}\n{errors}{said}{code}\n", words.join(" ")));
    }

    /// Takes a name as it stands in an answer.
    fn id(&self, arguments: &[&str]) -> String {
        json_of(self.at, arguments)["items"][0]["id"].as_str().expect("there is one").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_answers_to_the_other_commands_is_what_was_read_last() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    connect(at, &model).await;
    let mut story = Story { at, told: Vec::new() };
    let password = format!("{PASSWORD}\n");

    story.tell(&["user", "add", "bob", "--role", "admin", "--password-stdin"], &password);
    story.tell(&["project", "list"], "");
    story.tell(&["user", "role", "bob", "member", "--user", "ada"], "");
    story.tell(&["user", "disable", "bob"], "");
    story.tell(&["user", "enable", "bob"], "");
    story.tell(&["user", "disable", "ada"], "");
    story.tell(&["user", "reset-password", "bob", "--password-stdin"], &password);
    story.tell(&["user", "invite"], "");
    story.tell(&["user", "invites"], "");
    story.tell(&["user", "uninvite", &story.id(&["user", "invites", "--json"])], "");
    story.tell(&["user", "invites"], "");
    story.tell(&["token", "create", "laptop"], "");
    story.tell(&["token", "create", "script", "--days", "never", "--scope", "read"], "");
    story.tell(&["token", "create", "script", "--days", "soon"], "");
    story.tell(&["token", "list"], "");
    story.tell(&["token", "revoke", "laptop"], "");

    model.accept_keys(["sk-planted-in-the-test", "sk-another"]);
    let base = model.anthropic_base_url();
    let add = ["connection", "add", "anthropic", "--label", "Other", "--base-url", &base, "--key-stdin"];
    story.tell(&add, "sk-wrong\n");
    story.tell(&["connection", "replace", "mine", "--key-stdin"], "sk-another\n");

    let (provider, name) = MODEL;
    let model_name = format!("{provider}/{name}");
    for name in ["Bakery", "Bank"] {
        let create = ["project", "create", "[[say: Here it is.]]", "--name", name, "--model", &model_name, "--watch"];
        works(at, &create);
    }
    // An agent that ends before it answers: it has no directory of its own any more.
    let projects = json_of(at, &["project", "list", "--json"]);
    let bank = projects["items"].as_array().unwrap().iter().find(|project| project["name"] == "Bank").unwrap();
    let own = at.join("data/projects").join(bank["id"].as_str().unwrap()).join("home/opencode");
    works(at, &["project", "stop", "bank"]);
    std::fs::remove_dir_all(&own).unwrap();
    std::fs::write(&own, "").unwrap();
    story.tell(&["project", "start", "bank"], "");
    story.tell(&["project", "prompt", "bank", "Go on.", "--watch"], "");
    std::fs::remove_file(&own).unwrap();
    story.tell(&["project", "stop", "ba"], "");
    story.tell(&["project", "prompt", "bakery", "[[status: 401]]", "--watch"], "");
    story.tell(&["project", "prompt", "bakery", "[[hang]]"], "");
    let is_busy = async || {
        let projects = json_of(at, &["project", "list", "--json"]);
        let is = |project: &Value| project["session"]["kind"] == "busy" && project["job"].is_null();
        projects["items"].as_array()?.iter().any(is).then_some(())
    };
    wait_for("an answer that is written", BOUND, is_busy).await;
    story.tell(&["project", "prompt", "bakery", "and more"], "");
    story.tell(&["project", "abort", "bakery"], "");
    story.tell(&["job", "pause"], "");
    story.tell(&["project", "stop", "bakery", "--no-wait"], "");
    let job = story.id(&["job", "list", "--json"]);
    story.tell(&["job", "show", &job], "");
    story.tell(&["job", "resume"], "");
    let has_ended = async || (json_of(at, &["job", "show", &job, "--json"])["state"] == "succeeded").then_some(());
    wait_for("a project that is stopped", BOUND, has_ended).await;
    story.tell(&["job", "cancel", &job], "");
    story.tell(&["job", "retry", &job], "");
    story.tell(&["project", "delete", "bank"], "n\n");
    story.tell(&["project", "delete", "bank", "--yes"], "");
    story.tell(&["connection", "remove", "mine"], "");
    story.tell(&["connection", "remove", "mine", "--yes"], "");
    story.tell(&["audit", "list", "--limit", "2", "--action", "create_token"], "");
    works(at, &["backup", at.join("doce.tar.zst").to_str().unwrap()]);

    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    let archive = at.join("doce.tar.zst");
    let restored = at.join("restored");
    let restore = ["restore", archive.to_str().unwrap(), "--data-dir", restored.to_str().unwrap()];
    story.tell(&restore, "");
    story.tell(&restore, "");
    let keys = at.join("keys.age");
    story.tell(&["keys", "export", keys.to_str().unwrap(), "--passphrase-stdin"], "four words in a row\n");
    story.tell(&["keys", "rotate"], "");
    let key = at.join("data/master.key");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, said, _) = run(doce(at).env("DOCE_NPM_REGISTRY", "http://127.0.0.1:9/").arg("doctor"));
    let mut rest = said.lines().skip_while(|line| !line.contains(" master key "));
    story.told.push(format!("$ doce doctor\n[…]\n{}[…]\n[{code}]\n", lines(rest.by_ref().take(2))));
    let text = redacted(&story.told.concat(), at);
    settings().bind(|| insta::assert_snapshot!("answers", text));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_each_noun_has_this_shape_in_json() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    connect(at, &model).await;
    let create = ["project", "create", "[[say: Here it is.]]", "--name", "Bakery", "--watch"];
    let model_name = format!("{}/{}", MODEL.0, MODEL.1);
    works(at, &[&create[..], &["--model", &model_name]].concat());
    works(at, &["token", "create", "laptop"]);
    works(at, &["user", "invite"]);
    let mut text = Vec::new();
    for command in [
        "project list",
        "connection list",
        "job list",
        "user list",
        "user invites",
        "sign-in list",
        "token list",
        "audit list --limit 1",
        "status",
    ] {
        let arguments: Vec<&str> = command.split(' ').chain(["--json"]).collect();
        let answer = json_of(at, &arguments);
        let (what, noun) = if command == "status" { ("", &answer) } else { ("items[0]: ", &answer["items"][0]) };
        let names: Vec<&str> = noun.as_object().expect("it is an object").keys().map(String::as_str).collect();
        text.push(format!("$ doce {command} --json\n{what}{}\n\n", names.join(", ")));
    }
    settings().bind(|| insta::assert_snapshot!("shapes", text.concat()));
}
