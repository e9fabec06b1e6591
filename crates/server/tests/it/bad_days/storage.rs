//! The disk, the database, the master key, the port and the descriptors.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use camino::Utf8PathBuf;
use doce_testkit::{LockedDatabase, ScriptedModel, old_installation::Age, wait_for};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Day, day};
use crate::{
    cli::{Serving, doce, first_account, run, through},
    import::ana,
    terminal::{connect, works},
    world::{BOUND, MODEL, World, make_tools},
};

/// A data directory that a server has used and left in order.
async fn used() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let serving = Serving::start(doce(directory.path()));
    first_account(&serving).await;
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    directory
}

/// Asserts that a server doesn't start, says what the row says, and soon.
fn assert_refused(name: &str, command: &mut Command) {
    let day = day(name);
    let begun = Instant::now();
    let (code, _, said) = run(command.arg("serve"));
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(&day.shown) && said.contains(&day.next), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_database_is_refused_and_left_as_it_is() {
    let directory = used().await;
    let database = directory.path().join("data/doce.sqlite");
    let whole = std::fs::read(&database).unwrap();
    let middle = whole.len() / 2;
    // Its head, its middle, and its end.
    for damage in [0..4096, middle..middle + 4096, whole.len() - 4096..whole.len()] {
        let mut bytes = whole.clone();
        bytes[damage.clone()].fill(0xa5);
        std::fs::write(&database, &bytes).unwrap();
        assert_refused("a_damaged_database_is_refused_and_left_as_it_is", &mut doce(directory.path()));
        assert_eq!(std::fs::read(&database).unwrap(), bytes, "{damage:?}: something was written over it");
    }
    std::fs::write(&database, whole).unwrap();
    drop(Serving::start(doce(directory.path())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_takes_no_change_and_is_read_meanwhile() {
    let day = day("a_locked_database_takes_no_change_and_is_read_meanwhile");
    let world = World::start().await;
    let admin = world.admin().await;
    let held = LockedDatabase::hold(&world.data().join("doce.sqlite")).await;
    let add = json!({"username": "bob", "password": "correct horse battery", "role": "member"});
    let (refused, list) = tokio::join!(admin.post("/api/users", &add), admin.get("/api/users"));
    assert_eq!(list.expect(200)["items"].as_array().unwrap().len(), 1);
    assert!(refused.problem(503, &day.shown)["detail"].as_str().unwrap().contains(&day.next));
    // Also once it would be written down again that somebody is here.
    world.clock.advance(Duration::from_mins(2));
    admin.get("/api/users").await.expect(200);
    drop(held);
    admin.post("/api/users", &add).await.expect(201);
}

/// A `doce` whose data directory is a disk of `size` bytes in memory, seen by it alone.
fn on_a_small_disk(directory: &Path, size: u64) -> Command {
    with_a_small_disk(&doce(directory), &directory.join("data"), size)
}

/// A command that sees a disk of `size` bytes in memory, and is the only one that does.
fn with_a_small_disk(original: &Command, disk: &Path, size: u64) -> Command {
    std::fs::create_dir_all(disk).expect("a directory can be made");
    let (size, disk) = (size.to_string(), disk.to_str().expect("its path is UTF-8"));
    through("bwrap", &["--dev-bind", "/", "/", "--die-with-parent", "--size", &size, "--tmpfs", disk, "--"], original)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_is_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    for kilobytes in [64, 128, 256, 384] {
        assert_refused(
            "a_disk_without_room_is_named_at_the_start",
            &mut on_a_small_disk(directory.path(), kilobytes * 1024),
        );
    }
}

/// Where the disk of a server is, as others see it: the data directory of its process.
fn disk_of(directory: &Path) -> PathBuf {
    let data = directory.join("data").display().to_string();
    let processes = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let own = processes.filter(|process| {
        let read = |name: &str| std::fs::read(process.path().join(name)).unwrap_or_default();
        let (program, variables) = (read("cmdline"), read("environ"));
        program.ends_with(b"/doce\0serve\0")
            && !program.starts_with(b"bwrap")
            && memchr::memmem::find(&variables, format!("DOCE_DATA_DIR={data}\0").as_bytes()).is_some()
    });
    let pid = own.map(|process| process.file_name()).next().expect("doce runs");
    Path::new("/proc").join(pid).join("root").join(data.trim_start_matches('/'))
}

/// A server whose disk is small, and the hands of its first account.
struct Small {
    _directory: tempfile::TempDir,
    log: PathBuf,
    serving: Serving,
    client: reqwest::Client,
    cookie: String,
    disk: PathBuf,
}

impl Small {
    async fn start(megabytes: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let log = directory.path().join("log");
        let mut command = on_a_small_disk(directory.path(), megabytes * 1024 * 1024);
        let root = Utf8PathBuf::from_path_buf(directory.path().to_owned()).expect("its path is UTF-8");
        // An installation would fill the disk by itself.
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", make_tools(&root)));
        command.stderr(std::fs::File::create(&log).expect("it is ours"));
        let serving = Serving::start(command);
        let (client, cookie) = first_account(&serving).await;
        let disk = disk_of(directory.path());
        Self { _directory: directory, log, serving, client, cookie, disk }
    }

    /// Ends the server in order, and with it the agents that it has started: what lies around it is not told to end.
    #[expect(clippy::disallowed_methods, reason = "it ends a process of this test by its id")]
    async fn end(self) {
        let pid = self.disk.iter().nth(2).and_then(|pid| pid.to_str()).expect("a path below /proc");
        let process = Path::new("/proc").join(pid);
        assert!(Command::new("kill").args(["-s", "TERM", pid]).status().expect("there is a kill").success());
        wait_for("the end of doce", BOUND, async || (!process.exists()).then_some(())).await;
    }

    /// Fills the disk up to so many pages.
    fn fill(&self, room: u64) {
        let mut file = std::fs::File::create(self.disk.join("filler")).expect("it is ours");
        while file.write_all(&[7; 4096]).is_ok() {}
        let size = file.metadata().expect("it is ours").len();
        file.set_len(size.saturating_sub(room * 4096)).expect("it is ours");
    }

    /// Renames a connection until that is refused. On a full disk the database's log may still have room, from writes
    /// that are in the database by now.
    async fn fill_log(&self, day: &Day) {
        let list = self.get("/api/connections").await;
        let path = format!("/api/connections/{}", list["items"][0]["id"].as_str().expect("there is one"));
        for name in 0..2000 {
            let answer = self.ask("PATCH", &path, Some(json!({"label": format!("renamed {name}")}))).await;
            if answer.0 != 200 {
                self.assert_told(day, &answer);
                return;
            }
        }
        panic!("the disk is never full");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.disk.join("filler")).expect("it is ours");
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse().expect("it is a method");
        let url = format!("{}{path}", self.serving.url);
        let mut request = self.client.request(method, url).header("cookie", &self.cookie);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.timeout(BOUND).send().await.expect("it answers");
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, found) = self.ask("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {found}: {}", self.said());
        found
    }

    /// Asserts that an answer is the one of the row: the disk is full, and what to do.
    fn assert_told(&self, day: &Day, (status, problem): &(u16, Value)) {
        assert_eq!((*status, &problem["code"]), (503, &json!(day.shown)), "{problem}: {}", self.said());
        assert!(problem["detail"].as_str().expect("a sentence").contains(day.advice()), "{problem}");
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("it is ours")
    }

    /// Connects a model, as soon as it is known which there are.
    async fn connect(&self, model: &ScriptedModel, label: &str) -> (u16, Value) {
        let new = json!({
            "provider_id": MODEL.0, "auth_type": "api", "key": "sk-planted", "label": label,
            "base_url": model.anthropic_base_url(),
        });
        wait_for("the catalogue", BOUND, async || {
            let answer = self.ask("POST", "/api/connections", Some(new.clone())).await;
            // Without a catalogue it says so.
            (answer.1["code"] != "catalogue_unavailable" && answer.0 != 404 && answer.0 != 422).then_some(answer)
        })
        .await
    }

    async fn create(&self, prompt: &str) -> (u16, Value) {
        let new = json!({"prompt": prompt, "model": {"provider_id": MODEL.0, "model_id": MODEL.1}});
        self.ask("POST", "/api/projects", Some(new)).await
    }

    /// Waits until a project's last message is an answer with these words.
    async fn answered(&self, project: &str, words: &str) {
        wait_for("the answer", BOUND, async || {
            let page = self.get(&format!("/api/projects/{project}/messages")).await;
            let last = page["items"].as_array()?.last()?.clone();
            let view = self.get(&format!("/api/projects/{project}")).await;
            let is_there = last["role"] == "assistant" && last["state"] == "complete";
            let at_rest = view["session"]["kind"] == "idle" && view["job"].is_null();
            (is_there && at_rest && last.to_string().contains(words)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_takes_no_change_and_loses_none() {
    let day = day("a_disk_that_fills_up_takes_no_change_and_loses_none");
    let small = Small::start(6).await;
    let mut names = vec!["ada".to_owned()];
    let mut refused = 0;
    // From a disk with a little room down to one that has none, so that each write meets its end once.
    for room in (0..48_u64).rev() {
        small.fill(room);
        let name = format!("person{room}");
        let add = json!({"username": name, "password": "correct horse battery", "role": "member"});
        let answer = small.ask("POST", "/api/users", Some(add)).await;
        if answer.0 == 201 {
            names.push(name);
        } else {
            small.assert_told(&day, &answer);
            refused += 1;
        }
        // What there is can be read all the time.
        small.get("/api/users").await;
        small.make_room();
    }
    assert!(refused > 0, "the disk was never full");
    let list = small.get("/api/users").await;
    let mut found: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect();
    found.sort_unstable();
    names.sort_unstable();
    assert_eq!(found, names, "what was taken is there, and what was refused is not");
    let add = json!({"username": "later", "password": "correct horse battery", "role": "member"});
    assert_eq!(small.ask("POST", "/api/users", Some(add)).await.0, 201, "with room it goes on by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_refuses_a_key_whole_and_changes_none_by_halves() {
    let day = day("a_disk_that_fills_up_refuses_a_key_whole_and_changes_none_by_halves");
    let small = Small::start(8).await;
    let model = ScriptedModel::start().await;
    assert_eq!(small.connect(&model, "first").await.0, 201);
    let mut labels = vec!["first".to_owned()];
    let (mut refused, mut unchanged) = (0, 0);
    for room in (0..24_u64).rev().step_by(2) {
        small.fill(room);
        let label = format!("with {room}");
        let answer = small.connect(&model, &label).await;
        if answer.0 == 201 {
            labels.push(label);
        } else {
            small.assert_told(&day, &answer);
            refused += 1;
        }
        // The master key: everything opens afterwards, with the old one or with the new.
        let answer = small.ask("POST", "/api/keys/rotate", None).await;
        if answer.0 == 202 {
            let key = wait_for("the end of the change", BOUND, async || {
                let key = small.get("/api/keys").await;
                (key["rotation"]["state"] != "running").then_some(key)
            })
            .await;
            if key["rotation"]["state"] != "idle" {
                let reason = key["rotation"]["reason"].as_str().unwrap_or_default();
                assert!(reason.contains("Make room"), "{room}: {key}: {}", small.said());
                unchanged += 1;
            }
        } else {
            small.assert_told(&day, &answer);
            unchanged += 1;
        }
        small.make_room();
        let list = small.get("/api/connections").await;
        for connection in list["items"].as_array().unwrap() {
            let path = format!("/api/connections/{}/verify", connection["id"].as_str().unwrap());
            let (status, verified) = small.ask("POST", &path, None).await;
            assert_eq!((status, &verified["verification"]["outcome"]), (200, &json!("valid")), "{verified}");
        }
        let found: Vec<&str> =
            list["items"].as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap()).collect();
        assert_eq!(found.len(), labels.len(), "{found:?} and {labels:?}");
    }
    assert!(refused > 0 && unchanged > 0, "{refused} and {unchanged}: the disk was never full");
    assert_eq!(small.ask("POST", "/api/keys/rotate", None).await.0, 202, "with room it works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_during_an_answer_loses_none() {
    let day = day("a_disk_that_fills_up_during_an_answer_loses_none");
    let small = Small::start(24).await;
    let model = ScriptedModel::start().await;
    assert_eq!(small.connect(&model, "Mine").await.0, 201);
    let made = small.create("[[say: before]]").await.1;
    let project = made["project"]["id"].as_str().unwrap();
    small.answered(project, "before").await;
    let mut refused = 0;
    for room in [0_u64, 2, 4, 8, 16, 32] {
        small.fill(room);
        if room == 0 {
            small.fill_log(&day).await;
        }
        let words = format!("answered with {room}");
        let prompt = json!({"text": format!("[[say: {words}]]")});
        let path = format!("/api/projects/{project}/prompts");
        let answer = small.ask("POST", &path, Some(prompt.clone())).await;
        let is_taken = answer.0 < 300;
        if !is_taken {
            small.assert_told(&day, &answer);
            refused += 1;
        }
        small.make_room();
        if !is_taken {
            let (status, told) = small.ask("POST", &path, Some(prompt)).await;
            assert!(status < 300, "{status} {told}");
        }
        small.answered(project, &words).await;
        let page = small.get(&format!("/api/projects/{project}/messages")).await.to_string();
        assert_eq!(page.matches(&words).count(), 2, "a prompt and its answer, once: {page}");
    }
    assert!(refused > 0, "the disk was never full");
    small.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_while_a_project_is_made_is_told_and_it_is_made_with_room() {
    let day = day("a_disk_that_fills_up_while_a_project_is_made_is_told_and_it_is_made_with_room");
    let small = Small::start(24).await;
    let model = ScriptedModel::start().await;
    assert_eq!(small.connect(&model, "Mine").await.0, 201);
    let mut told = 0;
    for room in [0_u64, 24, 48, 72] {
        small.fill(room);
        if room == 0 {
            small.fill_log(&day).await;
        }
        let words = format!("made with {room}");
        let answer = small.create(&format!("[[say: {words}]]")).await;
        if answer.0 != 202 {
            small.assert_told(&day, &answer);
            told += 1;
            small.make_room();
            continue;
        }
        let id = |of: &str| answer.1[of]["id"].as_str().expect("it has an id").to_owned();
        let (project, mut job) = (id("project"), id("job"));
        let before = small.said().len();
        // By its job, by whoever asks for it, or, where even that can't be written, in the log.
        let is_told = wait_for("it is told, or made", BOUND, async || {
            let found = small.ask("GET", &format!("/api/jobs/{job}"), None).await;
            if found.0 != 200 {
                small.assert_told(&day, &found);
                return Some(true);
            }
            let text = found.1.to_string();
            for wrong in ["git_failed", "agent_not_started", "\"disk\"", "\"internal\""] {
                assert!(!text.contains(wrong), "{room}: {text}: {}", small.said());
            }
            let said = small.said();
            let is_told = [text.as_str(), &said[before..]]
                .iter()
                .any(|text| text.contains(day.advice()) || text.contains("database or disk is full"));
            (is_told || found.1["state"] == "succeeded").then_some(is_told)
        })
        .await;
        told += i32::from(is_told);
        small.make_room();
        wait_for("the project", BOUND * 2, async || {
            let found = small.get(&format!("/api/jobs/{job}")).await;
            if found["state"] == "failed" {
                assert_eq!(found["error"]["code"], json!(day.shown), "{room}: {found}");
                let (status, again) = small.ask("POST", &format!("/api/jobs/{job}/retry"), None).await;
                assert!(status < 300, "{room}: {status}: {again}");
                again["id"].as_str().expect("a job has an id").clone_into(&mut job);
            }
            (found["state"] == "succeeded").then_some(())
        })
        .await;
        small.answered(&project, &words).await;
        let (status, deleted) = small.ask("DELETE", &format!("/api/projects/{project}"), None).await;
        assert!(status < 300, "{room}: {status}: {deleted}");
    }
    assert!(told > 0, "the disk was never full");
    small.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_room_is_told_and_takes_nothing_from_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    let name = "a_backup_without_room_is_told_and_takes_nothing_from_a_server";
    assert_told_until_it_works(name, &[16, 64, 128, 256, 8192], |size| {
        let (away, mut backup) = (at.join("away"), doce(at));
        backup.arg("backup").arg(away.join("backup.tar.zst"));
        with_a_small_disk(&backup, &away, size)
    });
    let (code, _, said) = run(doce(at).args(["user", "list"]));
    assert_eq!(code, 0, "{said}");
    drop(serving);
}

/// Asserts that a command that has no room, on disks that grow, fails as the row says until it works.
fn assert_told_until_it_works(name: &str, kilobytes: &[u64], make: impl Fn(u64) -> Command) {
    let day = day(name);
    let mut codes = Vec::new();
    for room in kilobytes {
        let (code, printed, said) = run(&mut make(room * 1024));
        let said = format!("{printed}{said}");
        assert!(code == 0 || said.contains(&day.shown) && said.contains(&day.next), "{room}: {said}");
        codes.push(code);
    }
    assert!(codes[0] == 1 && codes.ends_with(&[0]), "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_without_room_is_told() {
    let directory = used().await;
    let at = directory.path();
    let file = at.join("backup.tar.zst");
    works(at, &["backup", file.to_str().unwrap()]);
    assert_told_until_it_works("a_restore_without_room_is_told", &[16, 128, 384, 16384], |size| {
        let (away, mut restore) = (at.join("away"), doce(at));
        restore.arg("restore").arg(&file).arg("--data-dir").arg(away.join("data"));
        with_a_small_disk(&restore, &away, size)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_without_room_is_told() {
    let (directory, old) = (tempfile::tempdir().unwrap(), ana(Age::H6).await);
    let at = directory.path();
    assert_told_until_it_works("an_import_without_room_is_told", &[64, 512, 1024, 65536], |size| {
        let mut import = doce(at);
        import.arg("import").arg(old.root());
        with_a_small_disk(&import, &at.join("data"), size)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_of_the_keys_without_room_is_told_and_leaves_no_half_of_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    connect(at, &model).await;
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    let reader = age::x25519::Identity::generate().to_public().to_string();
    let away = at.join("away");
    let file = away.join("keys.age");
    // One page is the least that such a disk can have; something else has it.
    let name = "an_export_of_the_keys_without_room_is_told_and_leaves_no_half_of_a_file";
    assert_told_until_it_works(name, &[4, 16], |size| {
        let mut export = doce(at);
        export.args(["keys", "export", "--to", &reader]).arg(&file);
        let script = "echo words > \"$1/words\"; shift; \"$@\"; code=$?; test $code = 0 || ls \"$0\" && exit $code";
        let export = through("sh", &["-c", script, away.to_str().unwrap(), away.to_str().unwrap()], &export);
        with_a_small_disk(&export, &away, size)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opencode_that_cannot_be_installed_for_want_of_room_is_told() {
    let day = day("an_opencode_that_cannot_be_installed_for_want_of_room_is_told");
    let directory = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let registry = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(&stream).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            drop((&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 67108864\r\n\r\n"));
            // Until whoever asked has no room.
            while (&stream).write_all(&[7; 4096]).is_ok() {}
        }
    });
    let mut original = doce(directory.path());
    original.env("DOCE_NPM_REGISTRY", registry).env_remove("DOCE_OPENCODE");
    let mut command = with_a_small_disk(&original, &directory.path().join("data"), 16 * 1024 * 1024);
    let log = directory.path().join("log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let serving = Serving::start(command);
    let said = || std::fs::read_to_string(&log).unwrap();
    wait_for("the reason", BOUND, async || said().contains("not there, so no project starts").then_some(())).await;
    assert!(said().contains(&day.shown) && said().contains(&day.next), "{}", said());
    drop(serving);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_another_program_has_at_the_start_is_named() {
    let directory = used().await;
    let database = Utf8PathBuf::from_path_buf(directory.path().join("data/doce.sqlite")).unwrap();
    let held = LockedDatabase::hold_alone(&database).await;
    assert_refused("a_database_that_another_program_has_at_the_start_is_named", &mut doce(directory.path()));
    drop(held);
    drop(Serving::start(doce(directory.path())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_master_key_is_not_replaced() {
    let directory = used().await;
    let key = directory.path().join("data/master.key");
    std::fs::remove_file(&key).unwrap();
    assert_refused("a_lost_master_key_is_not_replaced", &mut doce(directory.path()));
    assert!(!key.exists(), "another one was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_master_key_is_told_by_its_id() {
    let (directory, other) = (used().await, used().await);
    let place = |of: &tempfile::TempDir| of.path().join("data/master.key");
    let before = std::fs::read(place(&other)).unwrap();
    std::fs::copy(place(&other), place(&directory)).unwrap();
    assert_refused("a_wrong_master_key_is_told_by_its_id", &mut doce(directory.path()));
    assert_eq!(std::fs::read(place(&directory)).unwrap(), before, "the file is left as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    assert_refused("a_taken_port_is_named", doce(directory.path()).env("DOCE_LISTEN", &address));
}

/// Asks once more over a connection that is open, and reads the answer.
async fn ask_for_health(stream: &mut TcpStream) {
    stream.write_all(b"GET /api/health HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it is open");
    let mut answer = Vec::new();
    let whole = async {
        while !answer.ends_with(b"}") {
            assert_ne!(stream.read_buf(&mut answer).await.expect("it is open"), 0, "the connection was ended");
        }
    };
    tokio::time::timeout(BOUND, whole).await.expect("it answers");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_descriptors_hold_up_those_who_come_and_nobody_else() {
    let directory = used().await;
    let few = ["-c", "ulimit -n 96; exec \"$0\" \"$@\""];
    let mut command = through("sh", &few, &doce(directory.path()));
    let log = directory.path().join("log");
    command.stderr(std::fs::File::create(&log).unwrap());
    let said = || std::fs::read_to_string(&log).unwrap();
    let serving = Serving::start(command);
    let port = serving.port();
    // Somebody who came in time.
    let mut early = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    ask_for_health(&mut early).await;
    let crowd: Vec<_> = (0..120).filter_map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).ok()).collect();
    assert!(crowd.len() > 96, "only {} connections", crowd.len());
    let day = day("too_few_descriptors_hold_up_those_who_come_and_nobody_else");
    wait_for("the complaint", BOUND, async || said().contains(&day.shown).then_some(())).await;
    ask_for_health(&mut early).await;
    drop(crowd);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let health = client.get(format!("{}/api/health", serving.url)).timeout(BOUND).send().await;
    assert_eq!(health.expect("it answers again").status(), 200);
    drop(serving);
    assert_eq!(said().matches(&day.next).count(), 1, "the log says how to repair it, once: {}", said());
}
