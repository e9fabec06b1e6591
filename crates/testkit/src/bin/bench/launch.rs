//! From *create* to the first word of the answer, with the real OpenCode, against a script that does the same by hand.
//!
//! Both sides start OpenCode in a fresh home with the same configuration and environment, hand it the key, open a session
//! and send the prompt; then npm installs the packages of the template for the preview, with the same words and priority.
//! What doce does more is its own: a sandbox, its records, the stream to the browser.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

use doce_testkit::{ScriptedModel, free_port};
use serde_json::{Value, json};

use super::{
    Options,
    agents::Agent,
    doce::{Doce, Start},
    figure::{Figure, median, median_difference, median_ratio, ms, ours_first},
};

const PROMPT: &str = "[[say: Hello, here is your page.]]";
const KEY: &str = "sk-bench-launch-0000000";
const PASSWORD: &str = "bench-password";

/// What one launch took.
struct Took {
    /// To the first word, in milliseconds.
    word: f64,
    /// To hand over the key and read it back.
    key: f64,
}

pub(crate) async fn measure(options: &Options) -> Vec<Figure> {
    let doce = Doce::start(Start { doce: &options.doce, opencode: &options.opencode, npm: true }).await;
    let model = ScriptedModel::start().await;
    doce.connect(&model.anthropic_base_url(), KEY).await;
    let hand = Hand::new(options, &model);
    // Once each without measuring: npm's cache and the disk's are warm for both.
    by_doce(&doce).await;
    hand.launch().await;
    let (mut words, mut keys) = (Vec::new(), Vec::new());
    for pair in 0..usize::from(options.pairs) {
        let (ours, raw) = if ours_first(pair) {
            let ours = by_doce(&doce).await;
            (ours, hand.launch().await)
        } else {
            let raw = hand.launch().await;
            (by_doce(&doce).await, raw)
        };
        eprintln!("  pair {}: {:.0} ms to {:.0} ms by hand", pair + 1, ours.word, raw.word);
        words.push((ours.word, raw.word));
        keys.push((ours.key, raw.key));
    }
    let of = |pairs: &[(f64, f64)]| {
        let ours: Vec<f64> = pairs.iter().map(|(ours, _)| *ours).collect();
        let raw: Vec<f64> = pairs.iter().map(|(_, raw)| *raw).collect();
        format!("{:.0} ms to {:.0} ms, {} pairs", median(&ours), median(&raw), pairs.len())
    };
    vec![
        Figure::new(
            "create to the first word of the answer",
            (median_ratio(&words), "×"),
            1.1,
            format!("the same by a script: {}", of(&words)),
            json!(words),
        ),
        Figure::new(
            "deliver_credentials",
            (median_difference(&keys), "ms"),
            10.0,
            format!("PUT and the same read-back by a script: {}", of(&keys)),
            json!(keys),
        ),
    ]
}

/// Creates a project and waits for the first word.
async fn by_doce(doce: &Doce) -> Took {
    let started = Instant::now();
    let (project, job) = doce.create(PROMPT).await;
    let mut events = doce.stream(&format!("?project_id={project}")).await;
    loop {
        let event = events.next().await;
        let is_word = event["delta"].is_string()
            || (event["part"]["kind"] == "text"
                && event["part"]["text"].as_str().is_some_and(|text| text.starts_with("Hello")));
        if is_word {
            break;
        }
    }
    let word = ms(started.elapsed());
    let job = doce.wait_for_job(&job).await;
    let steps = job["steps"].as_array().expect("a job has steps");
    let step = steps.iter().find(|step| step["name"] == "deliver_credentials").expect("a launch delivers");
    let at = |name: &str| -> jiff::Timestamp {
        step[name].as_str().and_then(|text| text.parse().ok()).expect("a step that ended has times")
    };
    let key = at("ended_at").duration_since(at("started_at")).as_secs_f64() * 1000.0;
    doce.delete(&project).await;
    Took { word, key }
}

/// Does by hand what a launch does.
struct Hand {
    opencode: PathBuf,
    template: PathBuf,
    npm_cache: tempfile::TempDir,
    config: Value,
}

impl Hand {
    fn new(options: &Options, model: &ScriptedModel) -> Self {
        let base_url = model.anthropic_base_url();
        let config = json!({
            "enabled_providers": ["anthropic"],
            "provider": { "anthropic": { "npm": "@ai-sdk/anthropic", "options": { "baseURL": base_url } } },
            "small_model": "anthropic/claude-sonnet-4-6",
            "permission": { "*": "allow", "question": "deny", "external_directory": "deny", "doom_loop": "deny" },
        });
        Self {
            opencode: options.opencode.clone(),
            template: options.template.clone(),
            npm_cache: tempfile::tempdir().expect("a temporary directory can be made"),
            config,
        }
    }

    async fn launch(&self) -> Took {
        let home = tempfile::tempdir().expect("a temporary directory can be made");
        let started = Instant::now();
        let workspace = home.path().join("workspace");
        run(Command::new("cp").arg("-r").arg(&self.template).arg(&workspace));
        for arguments in [&["init", "--quiet"][..], &["add", "--all"], &["commit", "--quiet", "--message", "first"]] {
            let mut git = Command::new("git");
            git.current_dir(&workspace).args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"]);
            run(git.args(arguments));
        }
        let port = free_port();
        let mut agent = Ends(self.start(home.path(), &workspace, port));
        let hands = Agent::new(port, "opencode", PASSWORD);
        hands.wait_healthy().await;
        let handing_over = Instant::now();
        hands.put_key(KEY).await;
        assert_eq!(hands.key().await.as_deref(), Some(KEY));
        let key = ms(handing_over.elapsed());
        let mut events = hands.events().await;
        let session = hands.create_session().await;
        hands.prompt(&session, PROMPT).await;
        let mut npm = Ends(self.install(&workspace));
        loop {
            let event = events.next().await;
            if is_word(&event) {
                break;
            }
        }
        let word = ms(started.elapsed());
        agent.end();
        npm.end();
        Took { word, key }
    }

    fn start(&self, home: &Path, workspace: &Path, port: u16) -> Child {
        let mut opencode = Command::new(&self.opencode);
        opencode.args(["serve", "--hostname", "127.0.0.1", "--port", &port.to_string()]).current_dir(workspace);
        opencode.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, folder) in [
            ("HOME", "home"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_STATE_HOME", "state"),
        ] {
            let folder = home.join(folder);
            std::fs::create_dir_all(&folder).expect("a directory can be made");
            opencode.env(name, folder);
        }
        // Where it finds these, OpenCode installs no plugins of its own.
        let (global, pinned) = (home.join("config/opencode"), home.join("pinned"));
        for folder in [&global, &pinned] {
            std::fs::create_dir_all(folder).expect("a directory can be made");
            for (name, content) in [
                (".npmrc", "registry=http://127.0.0.1:1/\nfetch-retries=0\nupdate-notifier=false\n"),
                (".gitignore", "node_modules\npackage.json\npackage-lock.json\nbun.lock\n.gitignore\n"),
            ] {
                std::fs::write(folder.join(name), content).expect("a file can be written");
            }
        }
        let empty = "{\n  \"$schema\": \"https://opencode.ai/config.json\"\n}\n";
        std::fs::write(global.join("opencode.jsonc"), empty).expect("a file can be written");
        let mut config = self.config.clone();
        config["instructions"] = json!([workspace.join("AGENTS.md")]);
        std::fs::write(pinned.join("opencode.json"), config.to_string()).expect("a file can be written");
        opencode.env("OPENCODE_CONFIG_DIR", &pinned).env("OPENCODE_SERVER_PASSWORD", PASSWORD);
        opencode.env("OPENCODE_CONFIG_CONTENT", r#"{"share":"disabled","autoupdate":false}"#);
        for switch in [
            "OPENCODE_DISABLE_PROJECT_CONFIG",
            "OPENCODE_PURE",
            "OPENCODE_DISABLE_AUTOUPDATE",
            "OPENCODE_DISABLE_MODELS_FETCH",
            "OPENCODE_DISABLE_LSP_DOWNLOAD",
            "OPENCODE_DISABLE_CLAUDE_CODE",
            "OPENCODE_DISABLE_EXTERNAL_SKILLS",
        ] {
            opencode.env(switch, "1");
        }
        quiet(&mut opencode).spawn().expect("OpenCode starts")
    }

    fn install(&self, workspace: &Path) -> Child {
        let mut npm = Command::new("nice");
        npm.args(["-n", "14", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(workspace);
        npm.env("npm_config_cache", self.npm_cache.path());
        quiet(&mut npm).spawn().expect("npm starts")
    }
}

/// Whether an event of OpenCode carries words of the answer.
fn is_word(event: &Value) -> bool {
    let payload = if event["payload"].is_object() { &event["payload"] } else { event };
    let part = &payload["properties"]["part"];
    payload["properties"]["delta"].is_string()
        || (part["type"] == "text" && part["text"].as_str().is_some_and(|text| text.starts_with("Hello")))
}

/// A process that ends with this value, and what it started with it.
struct Ends(Child);

impl Ends {
    fn end(&mut self) {
        // A group of its own: npm has children.
        drop(Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).stderr(Stdio::null()).status());
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.end();
    }
}

fn quiet(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().expect("the program starts");
    assert!(status.success(), "{command:?} failed");
}
