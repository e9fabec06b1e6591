//! Changing the master key and exporting keys, whatever interrupts them.

use std::{collections::BTreeMap, ops::ControlFlow, os::unix::fs::PermissionsExt as _, sync::Arc};

use camino::Utf8PathBuf;
use doce_app::{
    App, AuditQuery, Config, ExportError, KeyPlace, NewConnection, OpenError, Outside, Readers, RotateError, Rotated,
    RotationStage, Verdict, export_keys, rotate_keys, verify_audit,
};
use doce_model::{Actor, AuditAction, Clock, Ctx, User};
use doce_server::SystemClock;
use doce_testkit::{ScriptedModel, wait_for};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{BOUND, MODEL, PASSWORD, fake_opencode};

/// More than are wrapped at a time.
const KEYS: usize = 25;

/// An installation whose program is not running.
struct Installation {
    directory: TempDir,
    user: User,
    fingerprints: Vec<String>,
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

fn ctx(actor: Actor) -> Ctx {
    Ctx::new(actor, "test", None, clock())
}

impl Installation {
    fn root(&self) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.directory.path().to_owned()).expect("its path is UTF-8")
    }

    fn place(&self) -> KeyPlace {
        KeyPlace { data_dir: self.root().join("data"), database_url: None, master_key_file: None }
    }

    fn file(&self, name: &str) -> Utf8PathBuf {
        self.root().join("data").join(name)
    }

    async fn try_open(&self) -> Result<App, OpenError> {
        let config = Config {
            data_dir: self.root().join("data"),
            database_url: None,
            master_key_file: None,
            opencode: Some(fake_opencode()),
            unsandboxed: false,
            npm_registry: None,
            outside: Outside::default(),
            token_endpoints: doce_app::TokenEndpoints::default(),
            local_places: Vec::new(),
            agents: doce_app::AgentLimits::default(),
        };
        App::open(config, clock()).await
    }

    async fn open(&self) -> App {
        self.try_open().await.expect("the installation can be opened")
    }

    /// One with connected keys, each with answers beside it.
    async fn make(model: &ScriptedModel) -> Self {
        // It fails only if a provider is there already, which is as good.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let nobody = doce_model::UserId::new(SystemClock.now());
        let user = User {
            id: nobody,
            username: String::new(),
            role: doce_model::Role::Admin,
            created_at: SystemClock.now(),
            disabled_at: None,
        };
        let mut made = Self { directory, user, fingerprints: Vec::new() };
        let app = made.open().await;
        app.run_background();
        let signed_in = app.setup(&ctx(Actor::Nobody), "ada", SecretString::from(PASSWORD), None).await;
        made.user = signed_in.expect("the first account can be made").user;
        for n in 0..KEYS {
            made.connect(&app, model, n).await;
        }
        made.fingerprints = made.fingerprints(&app).await;
        app.shutdown().await;
        made
    }

    async fn connect(&self, app: &App, model: &ScriptedModel, n: usize) {
        let (ctx, answers) =
            (ctx(Actor::User(self.user.id)), BTreeMap::from([("n".to_owned(), format!("answer {n}"))]));
        wait_for("the catalogue", BOUND, async || {
            let new = NewConnection {
                provider_id: MODEL.0.to_owned(),
                label: Some(format!("L{n:02}")),
                key: SecretString::from(format!("sk-planted-{n:02}")),
                base_url: Some(model.anthropic_base_url()),
                metadata: answers.clone(),
                keep_unverified: true,
            };
            app.connect(&ctx, &self.user, new).await.ok()
        })
        .await;
    }

    async fn fingerprints(&self, app: &App) -> Vec<String> {
        let views =
            app.list_connections(&ctx(Actor::User(self.user.id)), &self.user).await.expect("they can be listed");
        views.into_iter().map(|view| view.connection.fingerprint).collect()
    }

    /// Opens the program and uses keys of the first batch and of the last: each is opened and sent to the model.
    async fn works(&self, model: &ScriptedModel) {
        let app = self.open().await;
        app.run_background();
        let caller = ctx(Actor::User(self.user.id));
        let views = app.list_connections(&caller, &self.user).await.expect("they can be listed");
        assert!(views.len() >= KEYS);
        let used = [0, 19, 20, KEYS - 1];
        for id in used.map(|n| views[n].connection.id) {
            let verified =
                wait_for("the catalogue", BOUND, async || app.verify(&caller, &self.user, id).await.ok()).await;
            assert_eq!(verified.connection.status, doce_model::ConnectionStatus::Connected);
        }
        let asked: Vec<_> = model.requests().iter().rev().take(used.len()).filter_map(|r| r.key.clone()).collect();
        let sent: Vec<_> = used.iter().rev().map(|n| format!("sk-planted-{n:02}")).collect();
        assert_eq!(asked, sent);
        let fingerprints = self.fingerprints(&app).await;
        assert_eq!(fingerprints[..KEYS], self.fingerprints[..], "what a log says of a key stays true");
        app.shutdown().await;
    }

    async fn rotate(&self) -> Result<Rotated, RotateError> {
        rotate_keys(&self.place(), clock(), |_| ControlFlow::Continue(())).await
    }
}

/// Where an interrupted rotation stopped, and what of it must be seen then.
fn stages() -> Vec<RotationStage> {
    let total = 2 * i64::try_from(KEYS).expect("it is small");
    vec![
        RotationStage::KeyMade,
        RotationStage::Wrapped { done: 20, total },
        RotationStage::Wrapped { done: 25, total },
        RotationStage::Wrapped { done: 45, total },
        RotationStage::Wrapped { done: 50, total },
        RotationStage::Checked,
        RotationStage::OldKept,
        RotationStage::InForce,
        RotationStage::Done,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_stopped_anywhere_leaves_what_works_and_is_finished_by_the_next() {
    let model = ScriptedModel::start().await;
    let installation = Installation::make(&model).await;
    let mut seen = Vec::new();
    for stage in stages() {
        let before = std::fs::read_to_string(installation.file("master.key")).unwrap();
        let stopped = rotate_keys(&installation.place(), clock(), |reached| {
            seen.push(reached);
            if reached == stage { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await;
        assert!(matches!(stopped, Err(RotateError::Stopped)), "{stage:?}: {stopped:?}, {seen:?}");
        installation.works(&model).await;
        if stage == RotationStage::Done {
            assert!(!installation.file("master.key.next").exists());
            continue;
        }
        let rotated = installation.rotate().await.unwrap();
        // The program was started in between, and has finished what only had a file left to move.
        assert_eq!(rotated.resumed, stage != RotationStage::InForce, "{stage:?}");
        assert_eq!(rotated.values, 2 * 25);
        assert_ne!(std::fs::read_to_string(installation.file("master.key")).unwrap(), before);
        installation.works(&model).await;
        assert!(!installation.file("master.key.next").exists(), "{stage:?}");
        assert!(rotated.old_file.exists(), "{stage:?}");
    }
    assert!(stages().iter().all(|stage| seen.contains(stage)), "{seen:?}");
    let verdict = verify_audit(&installation.place().data_dir, None, None, |_, _| ()).await.unwrap();
    assert!(matches!(verdict, Verdict::Whole(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_swap_of_the_files_is_finished_by_whichever_comes_next() {
    let model = ScriptedModel::start().await;
    let installation = Installation::make(&model).await;
    let stop_before_swap =
        |stage| if stage == RotationStage::InForce { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    rotate_keys(&installation.place(), clock(), stop_before_swap).await.unwrap_err();
    let next = std::fs::read_to_string(installation.file("master.key.next")).unwrap();
    let finished = installation.rotate().await.unwrap();
    assert!(finished.resumed && finished.old_file.exists() && finished.old != finished.new);
    assert_eq!(std::fs::read_to_string(installation.file("master.key")).unwrap(), next, "no third key was made");
    installation.works(&model).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_rotation_leaves_nothing_that_the_old_key_opens() {
    let model = ScriptedModel::start().await;
    let installation = Installation::make(&model).await;
    let rotated = installation.rotate().await.unwrap();
    assert!(!rotated.resumed && rotated.values == 50);
    let kept = std::fs::metadata(&rotated.old_file).unwrap().permissions().mode() & 0o777;
    let made = std::fs::metadata(installation.file("master.key")).unwrap().permissions().mode() & 0o777;
    assert_eq!((kept, made), (0o600, 0o600));
    assert_eq!(rotated.old_file, installation.file(&format!("master.key.old-{}", rotated.old)));
    // The id of the old key, as each envelope names it, is nowhere in the database or beside it.
    let old_id: Vec<u8> =
        (0..8).map(|n| u8::from_str_radix(&rotated.old[2 * n..2 * n + 2], 16).expect("an id is hexadecimal")).collect();
    for entry in std::fs::read_dir(installation.file("")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(memchr::memmem::find(&bytes, &old_id), None, "{}", path.display());
        }
    }
    // The old key in the new one's place is refused by name.
    let new = installation.file("master.key");
    std::fs::rename(&new, installation.file("put-away")).unwrap();
    std::fs::copy(&rotated.old_file, &new).unwrap();
    let Err(OpenError::WrongMasterKey { loaded, sealed_with }) = installation.try_open().await else {
        panic!("it was opened with the old key");
    };
    assert_eq!((loaded, sealed_with), (rotated.old, rotated.new));
    std::fs::rename(installation.file("put-away"), &new).unwrap();
    installation.works(&model).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_does_not_finish_when_something_was_sealed_meanwhile() {
    let model = ScriptedModel::start().await;
    let installation = Installation::make(&model).await;
    let key = std::fs::read_to_string(installation.file("master.key")).unwrap();
    let mut slipped_in = false;
    let result = rotate_keys(&installation.place(), clock(), |stage| {
        if stage == (RotationStage::Wrapped { done: 50, total: 50 }) && !slipped_in {
            slipped_in = true;
            // A server that should not be running seals a key, with the key that is in force.
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(async {
                    let app = installation.open().await;
                    app.run_background();
                    installation.connect(&app, &model, 99).await;
                    app.shutdown().await;
                });
            });
        }
        ControlFlow::Continue(())
    })
    .await;
    assert!(matches!(result, Err(RotateError::Mismatch { total: 52, opened: 51 })), "{result:?}");
    assert_eq!(std::fs::read_to_string(installation.file("master.key")).unwrap(), key, "the old key stays in force");
    assert!(installation.file("master.key.next").exists(), "and so does the one that opens the rest");
    installation.works(&model).await;
    let rotated = installation.rotate().await.unwrap();
    assert!(rotated.resumed && rotated.values == 52);
    installation.works(&model).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_without_an_installation_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
    let place = KeyPlace { data_dir, database_url: None, master_key_file: None };
    let rotated = rotate_keys(&place, clock(), |_| ControlFlow::Continue(())).await;
    assert!(matches!(rotated, Err(RotateError::Open(OpenError::Nothing { .. }))));
    let readers = Readers::passphrase(SecretString::from("correct horse battery")).unwrap();
    export_keys(&place, clock(), &readers, &place.data_dir.join("keys.age")).await.unwrap_err();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_exported_for_their_readers_only_and_each_export_is_told_of() {
    let model = ScriptedModel::start().await;
    let installation = Installation::make(&model).await;
    let holder = age::x25519::Identity::generate();
    let readers = Readers::keys(&[holder.to_public().to_string()]).unwrap();
    let file = installation.root().join("keys.age");
    assert_eq!(export_keys(&installation.place(), clock(), &readers, &file).await.unwrap(), KEYS);

    let encrypted = std::fs::read(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(memchr::memmem::find(&encrypted, b"planted"), None);
    let decrypted = String::from_utf8(age::decrypt(&holder, &encrypted).unwrap()).unwrap();
    let lines: Vec<Value> = decrypted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), KEYS);
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(line["key"], json!(format!("sk-planted-{n:02}")));
        assert_eq!(line["metadata"], json!({"n": format!("answer {n}")}));
        assert_eq!((&line["username"], &line["label"]), (&json!("ada"), &json!(format!("L{n:02}"))));
        assert_eq!((&line["provider_id"], &line["version"]), (&json!("anthropic"), &json!(1)));
        assert_eq!((&line["base_url"], &line["auth_type"]), (&json!(model.anthropic_base_url()), &json!("api")));
        assert_eq!(line["fingerprint"], json!(installation.fingerprints[n]));
    }

    let again = export_keys(&installation.place(), clock(), &readers, &file).await;
    assert!(matches!(again, Err(ExportError::Write { .. })), "what is there is not written over");
    assert_eq!(std::fs::read(&file).unwrap(), encrypted);

    let app = installation.open().await;
    let told = AuditQuery { action: Some(AuditAction::Export), ..AuditQuery::default() };
    let (events, _) = app.list_audit(&ctx(Actor::Cli), &installation.user, &told, None, Some(100)).await.unwrap();
    assert_eq!(events.len(), KEYS, "once for each key, for the export that there is");
    let event = &events[0].entry;
    assert_eq!((event.actor.as_str(), event.user_id), ("cli", Some(installation.user.id)));
    assert_eq!(event.fingerprint.as_ref(), installation.fingerprints.last());
    assert_eq!(event.detail, Some(format!("for {}", holder.to_public())));
    app.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_master_key_nothing_is_exported_and_no_other_is_made() {
    let model = ScriptedModel::start().await;
    let installation = Installation::make(&model).await;
    let file = installation.root().join("keys.age");
    std::fs::remove_file(installation.file("master.key")).unwrap();
    let readers = Readers::passphrase(SecretString::from("correct horse battery")).unwrap();
    let lost = export_keys(&installation.place(), clock(), &readers, &file).await;
    assert!(matches!(lost, Err(ExportError::Open(OpenError::MasterKey(_)))), "{lost:?}");
    assert!(matches!(installation.rotate().await, Err(RotateError::Open(OpenError::MasterKey(_)))));
    assert!(
        !file.exists() && !installation.file("master.key").exists() && !installation.file("master.key.next").exists()
    );
}
