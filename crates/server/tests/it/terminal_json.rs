//! `--json`: every line is one object, and the last is what the command was about, as it is in the end.

use std::{collections::BTreeSet, path::Path};

use doce_testkit::{ScriptedModel, wait_for};
use serde_json::{Value, json};

use crate::{
    cli::{Serving, doce, first_account},
    terminal::{connect, json_of, run_with},
    words::commands,
    world::{BOUND, MODEL, PASSWORD},
};

/// The commands that change nothing, run until they are ended, or have their own tests: an import needs what is to come
/// over.
const OTHERS: [&str; 18] = [
    "serve",
    "doctor",
    "status",
    "project list",
    "project open",
    "project logs",
    "connection list",
    "job list",
    "job show",
    "user list",
    "user invites",
    "sign-in list",
    "token list",
    "audit list",
    "audit verify",
    "import opencode",
    "import scrub-env",
    "completions",
];

/// Runs commands and keeps in mind which.
struct Walk<'a> {
    at: &'a Path,
    known: BTreeSet<String>,
    walked: BTreeSet<String>,
}

impl Walk<'_> {
    /// Runs a command, and returns its code and the last of its lines, which must look as they do everywhere.
    fn ends(&mut self, arguments: &[&str], input: &str) -> (i32, Value) {
        let words = arguments.join(" ");
        let named = self
            .known
            .iter()
            .filter(|name| format!("{words} ").starts_with(&format!("{name} ")))
            .max_by_key(|name| name.len());
        self.walked.insert(named.unwrap_or_else(|| panic!("`{words}` is no command")).clone());
        let (code, said, errors) = run_with(self.at, &[arguments, &["--json"]].concat(), input);
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{words}: {e}: {line}"));
        let errors: Vec<Value> = errors.lines().map(parse).collect();
        assert_eq!(errors.len(), usize::from(code != 0), "{words}: {errors:?}");
        let mut lines: Vec<Value> = said.lines().map(parse).collect();
        let last = lines.pop().unwrap_or_else(|| panic!("{words} says nothing: {errors:?}"));
        assert!(last.is_object() && last["event"].is_null(), "{words}: {last}");
        for line in lines {
            assert!(line["event"].is_string() && line["data"].is_object(), "{words}: {line}");
        }
        (code, last)
    }

    /// Runs a command that works.
    fn works(&mut self, arguments: &[&str], input: &str) -> Value {
        let (code, last) = self.ends(arguments, input);
        assert_eq!(code, 0, "{arguments:?}: {last}");
        last
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_json_the_last_line_is_the_thing_as_it_is_in_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    let mut all = Vec::new();
    commands(&doce_server::command(), "", &mut all);
    // Those that have others below them do nothing by themselves, but for `import`.
    let is_leaf = |name: &String| !all.iter().any(|other| other.starts_with(&format!("{name} ")));
    let known = all.iter().filter(|name| !name.is_empty() && is_leaf(name)).cloned().collect();
    let mut walk = Walk { at, known, walked: BTreeSet::new() };

    connect(at, &model).await;
    walk.works(&["connection", "remove", "mine", "--yes"], "");
    let base = model.anthropic_base_url();
    let add = ["connection", "add", MODEL.0, "--label", "Mine", "--base-url", &base, "--key-stdin"];
    let connection = walk.works(&add, "sk-planted-in-the-test\n");
    assert_eq!((&connection["status"], &connection["version"]), (&json!("connected"), &json!(1)));
    assert_eq!(walk.works(&["connection", "verify", "mine"], "")["verification"]["outcome"], "valid");
    assert_eq!(walk.works(&["connection", "replace", "mine", "--key-stdin"], "sk-another\n")["version"], 2);

    let name = format!("{}/{}", MODEL.0, MODEL.1);
    let create = ["project", "create", "[[say: hello]]", "--name", "Bakery", "--model", &name, "--watch"];
    let made = walk.works(&create, "");
    assert_eq!((&made["job"]["state"], &made["project"]["session"]["kind"]), (&json!("succeeded"), &json!("idle")));
    let said = walk.works(&["project", "prompt", "bakery", "[[say: again]]", "--watch"], "");
    assert_eq!((&said["job"]["state"], &said["message"]["role"]), (&json!("succeeded"), &json!("user")));
    for (verb, kind) in [("stop", "stop_project"), ("start", "start_project")] {
        let job = walk.works(&["project", verb, "bakery"], "");
        assert_eq!((&job["kind"], &job["state"]), (&json!(kind), &json!("succeeded")));
    }
    // It takes the key out of use, so a project that starts would wait for another.
    let (code, failed) = walk.ends(&["project", "prompt", "bakery", "[[status: 401]]", "--watch"], "");
    assert_eq!((code, &failed["job"]["kind"]), (1, &json!("send_prompt")), "{failed}");
    assert_eq!(walk.works(&["project", "abort", "bakery"], "")["session"]["kind"], "idle");

    assert!(walk.works(&["job", "pause"], "")["paused_at"].is_string());
    let accepted = walk.works(&["project", "stop", "bakery", "--no-wait"], "");
    assert_eq!(accepted["state"], "queued");
    let job = accepted["id"].as_str().unwrap();
    assert_eq!(walk.works(&["job", "cancel", job], "")["id"], job);
    assert_eq!(walk.works(&["job", "resume"], "")["paused_at"], Value::Null);
    wait_for("a job that is cancelled", BOUND, async || {
        (json_of(at, &["job", "show", job, "--json"])["state"] == "cancelled").then_some(())
    })
    .await;
    assert_ne!(walk.works(&["job", "retry", job], "")["id"], job);
    let deleted = walk.works(&["project", "delete", "bakery", "--yes"], "");
    assert_eq!((&deleted["kind"], &deleted["state"]), (&json!("delete_project"), &json!("succeeded")));
    let gone = |noun: &Value| json!({"id": noun["id"], "gone": true});
    assert_eq!(walk.works(&["connection", "remove", "mine", "--yes"], ""), gone(&connection));

    let password = format!("{PASSWORD}\n");
    let bob = walk.works(&["user", "add", "bob", "--password-stdin"], &password);
    assert!(walk.works(&["user", "disable", "bob"], "")["disabled_at"].is_string());
    assert_eq!(walk.works(&["user", "enable", "bob"], ""), bob);
    assert_eq!(walk.works(&["user", "reset-password", "bob", "--password-stdin"], &password), bob);
    let invite = walk.works(&["user", "invite"], "")["invite"].clone();
    assert_eq!(walk.works(&["user", "uninvite", invite["id"].as_str().unwrap()], ""), gone(&invite));
    let token = walk.works(&["token", "create", "laptop", "--days", "never"], "")["token"].clone();
    assert_eq!(token["expires_at"], Value::Null);
    assert_eq!(walk.works(&["token", "revoke", "laptop"], ""), gone(&token));
    let sign_in = json_of(at, &["sign-in", "list", "--json"])["items"][0].clone();
    assert_eq!(walk.works(&["sign-in", "end", sign_in["id"].as_str().unwrap()], ""), gone(&sign_in));
    let file = |name: &str| at.join(name).to_str().unwrap().to_owned();
    assert_eq!(walk.works(&["audit", "export", &file("audit.jsonl")], "")["file"], file("audit.jsonl"));
    let admin = walk.works(&["user", "role", "bob", "admin"], "");
    assert_eq!((&admin["id"], &admin["role"]), (&bob["id"], &json!("admin")));
    assert_eq!(walk.works(&["backup", &file("a.tar.zst")], "")["file"], file("a.tar.zst"));

    // What works on the data directory: a password is reset with the same answer.
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    assert_eq!(walk.works(&["user", "reset-password", "bob", "--password-stdin"], &password), admin);
    let restored = walk.works(&["restore", &file("a.tar.zst"), "--data-dir", &file("restored")], "");
    assert_eq!(restored["data_dir"], file("restored"));
    let exported = walk.works(&["keys", "export", &file("keys.age"), "--passphrase-stdin"], "four words in a row\n");
    assert_eq!(exported["keys"], 0);
    assert!(walk.works(&["keys", "rotate"], "")["new"].is_string());

    let others = OTHERS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(walk.known.difference(&walk.walked).cloned().collect::<BTreeSet<String>>(), others);
}
