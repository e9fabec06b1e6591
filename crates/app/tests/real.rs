//! The main job with the real OpenCode, in the real sandbox, against the scripted model.
//!
//! `DOCE_OPENCODE` names the pinned binary; `cargo xtask test` installs it and sets the variable.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use doce_app::{
    App, Config, NewConnection, Outside,
    views::{NewProject, ProjectView},
};
use doce_model::{
    Actor, Clock, Ctx, Message, MessageState, ModelRef, Ms, ProjectId, Speaker, ToolStatus, User, project::ProjectState,
};
use doce_testkit::{ScriptedModel, wait_for};
use doce_vault::SecretString;

/// How long one step of a story may take on a slow machine.
const BOUND: Duration = Duration::from_mins(1);

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Ms {
        let now = jiff_now();
        Ms(now)
    }
}

#[expect(clippy::disallowed_methods, reason = "the tests of the real thing run on the machine's clock")]
fn jiff_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

struct World {
    app: App,
    user: User,
    directory: tempfile::TempDir,
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where the real programs are")]
fn config(data: &std::path::Path) -> Config {
    let variable = |name: &str| std::env::var(name).ok();
    let opencode = variable("DOCE_OPENCODE").map_or_else(
        || Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/opencode/opencode-1.18.33/opencode")),
        Utf8PathBuf::from,
    );
    assert!(opencode.is_file(), "there is no OpenCode at {opencode}: `cargo xtask test` installs it");
    Config {
        data_dir: Utf8PathBuf::try_from(data.to_owned()).unwrap(),
        master_key_file: None,
        opencode: Some(opencode),
        unsandboxed: false,
        npm_registry: None,
        outside: Outside {
            search_path: variable("PATH").unwrap_or_default(),
            variables: ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"]
                .iter()
                .filter_map(|name| Some(((*name).to_owned(), variable(name)?)))
                .collect(),
        },
    }
}

impl World {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let app = App::open(config(directory.path()), Arc::new(SystemClock)).await.unwrap();
        app.run_background();
        let ctx = Ctx::new(Actor::Nobody, "test", None, Arc::new(SystemClock));
        let signed_in = app.setup(&ctx, "ana", SecretString::from("correct horse"), None).await.unwrap();
        Self { app, user: signed_in.user, directory }
    }

    fn ctx(&self) -> Ctx {
        Ctx::new(Actor::User(self.user.id), "test", None, Arc::new(SystemClock))
    }

    async fn connect(&self, provider_id: &str, base_url: String, key: &str) {
        self.app
            .connect(
                &self.ctx(),
                &self.user,
                NewConnection {
                    provider_id: provider_id.to_owned(),
                    label: None,
                    key: SecretString::from(key),
                    base_url: Some(base_url),
                    metadata: BTreeMap::new(),
                    keep_unverified: false,
                },
            )
            .await
            .unwrap();
    }

    async fn create(&self, prompt: &str, provider_id: &str, model_id: &str) -> ProjectView {
        let model = ModelRef { provider_id: provider_id.to_owned(), model_id: model_id.to_owned() };
        let new = NewProject { prompt: prompt.to_owned(), name: None, model, connections: Vec::new() };
        self.app.create_project(&self.ctx(), &self.user, new).await.unwrap().0
    }

    async fn messages(&self, id: ProjectId) -> Vec<Message> {
        self.app.conversation(&self.ctx(), &self.user, id, None, None).await.unwrap().messages
    }

    /// Waits until the last answer of a Project is in one of these states.
    async fn answered(&self, id: ProjectId, states: &[MessageState]) -> Message {
        let found = wait_for("the answer ends", BOUND, || async {
            let view = self.app.get_project(&self.ctx(), &self.user, id).await.unwrap();
            assert_ne!(view.state, ProjectState::Failed, "{:?}", view.job);
            self.messages(id)
                .await
                .into_iter()
                .next_back()
                .filter(|last| last.speaker == Speaker::Assistant && states.contains(&last.state))
        })
        .await;
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_travels_through_the_agent_into_a_file_of_the_workspace() {
    let model = ScriptedModel::start().await;
    model.accept_keys(["sk-ant-real-0123456789abcdef"]);
    let world = World::new().await;
    world.connect("anthropic", model.anthropic_base_url(), "sk-ant-real-0123456789abcdef").await;
    let prompt = "Write it. [[say: I will write it.]] [[write: src/word.txt | papaya-4711]]";
    let project = world.create(prompt, "anthropic", "claude-sonnet-4-5").await;
    let id = project.project.id;
    assert_eq!(project.state, ProjectState::Launching);

    let last = world.answered(id, &[MessageState::Complete, MessageState::Failed]).await;
    assert_eq!(last.state, MessageState::Complete, "{last:?}");
    let messages = world.messages(id).await;
    let tool = messages.iter().flat_map(|m| &m.parts).find_map(|part| part.tool.clone()).unwrap();
    assert_eq!((tool.name.as_str(), tool.status), ("write", ToolStatus::Completed), "{tool:?}");
    let written = world.app.read_file(&world.ctx(), &world.user, id, "src/word.txt").await.unwrap();
    assert_eq!(String::from_utf8(written.bytes).unwrap().trim(), "papaya-4711");
    assert_eq!(messages.iter().filter(|m| m.speaker == Speaker::User).count(), 1);

    let turn = model.agent_turns().into_iter().next().unwrap();
    assert_eq!(turn.headers.get("x-api-key").map(String::as_str), Some("sk-ant-real-0123456789abcdef"));
    assert!(
        turn.mentions("The preview beside the conversation is already running and reloads by itself after every edit."),
        "the template's instructions reach the model"
    );
    world.app.shutdown().await;
    let auth = world.directory.path().join(format!("projects/{id}/home/opencode/auth.json"));
    assert!(!auth.exists(), "a Delivery dies with its Instance");
}
