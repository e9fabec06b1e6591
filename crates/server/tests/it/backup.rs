//! The drill: back up while everything runs, restore elsewhere, and find all of it again; and what is not in a backup.

use std::path::Path;

use base64::Engine as _;
use doce_testkit::{BusyDatabase, ScriptedModel, wait_for};
use serde_json::{Value, json};

use crate::{
    cli::{Serving, doce, first_account, run},
    terminal::{connect, json_of, works},
    world::{BOUND, MODEL, PASSWORD},
};

/// The key that `connect` plants.
const KEY: &str = "sk-planted-in-the-test";

/// A server with one project, whose directory is returned.
async fn with_a_project(directory: &Path, model: &ScriptedModel) -> (Serving, std::path::PathBuf) {
    let serving = Serving::start(doce(directory));
    first_account(&serving).await;
    connect(directory, model).await;
    let name = format!("{}/{}", MODEL.0, MODEL.1);
    works(directory, &["project", "create", "[[say: hello]]", "--name", "Bakery", "--watch", "--model", &name]);
    let project = project_of(&directory.join("data"));
    (serving, project)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_written_without_a_pause_is_whole_in_a_backup() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let (_serving, project) = with_a_project(at, &model).await;
    let home = camino::Utf8PathBuf::from_path_buf(project.join("home")).unwrap();
    let busy = BusyDatabase::start(&home.join("busy.db")).await;
    // Its names are an agent's to choose: a link and a pipe beside a database are no logs of it.
    std::fs::write(home.join("other.db"), b"SQLite format 3\0 and no more").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", home.join("other.db-wal")).unwrap();
    let mut last = 0;
    for round in 0..4 {
        let (file, target) = (at.join(format!("{round}.tar.zst")), at.join(format!("target{round}")));
        works(at, &["backup", file.to_str().unwrap()]);
        works(at, &["restore", file.to_str().unwrap(), "--data-dir", target.to_str().unwrap()]);
        let copy = camino::Utf8PathBuf::from_path_buf(project_of(&target).join("home/busy.db")).unwrap();
        let after = BusyDatabase::whole_after(&copy).await;
        assert!(after > last, "{after} and {last}");
        last = after;
        assert!(project_of(&target).join("home/other.db").exists());
    }
    assert!(busy.end().await >= last, "the copies are of commits that were made");
    assert!(!at.join("0.tar.zst.partial.copy").exists());
}

/// The only project's directory.
fn project_of(data: &Path) -> std::path::PathBuf {
    let mut projects = std::fs::read_dir(data.join("projects")).expect("there are projects");
    projects.next().expect("there is one").expect("it can be read").path()
}

fn unpacked(archive: &Path) -> Vec<u8> {
    zstd::decode_all(std::fs::File::open(archive).expect("it is there")).expect("it is compressed")
}

fn has(bytes: &[u8], needle: &str) -> bool {
    memchr::memmem::find(bytes, needle.as_bytes()).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_while_it_ran_is_there_after_a_restore_elsewhere() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let model = ScriptedModel::start().await;
    let serving = Serving::start(doce(here.path()));
    first_account(&serving).await;
    connect(here.path(), &model).await;
    let name = format!("{}/{}", MODEL.0, MODEL.1);
    let say = "[[say: the bakery opens at seven]]";
    works(here.path(), &["project", "create", say, "--name", "Bakery", "--watch", "--model", &name]);
    let project = project_of(&here.path().join("data"));
    let workspace = project.join("workspace");
    std::fs::write(workspace.join("bread.txt"), "sourdough").unwrap();
    std::fs::create_dir_all(workspace.join("node_modules/left")).unwrap();
    std::fs::write(workspace.join("node_modules/left/out.js"), "can be installed again").unwrap();
    std::os::unix::fs::symlink("/etc/hostname", workspace.join("a-link")).unwrap();
    std::os::unix::fs::symlink(here.path().join("data"), workspace.join("up")).unwrap();
    let auth = project.join("home/opencode/auth.json");
    wait_for("the agent's copy of the key", BOUND, async || {
        std::fs::read(&auth).is_ok_and(|bytes| has(&bytes, KEY)).then_some(())
    })
    .await;

    let file = here.path().join("backup.tar.zst");
    let at = file.to_str().unwrap();
    let made = json_of(here.path(), &["backup", at, "--json"]);
    assert_eq!((&made["projects"], &made["file"]), (&json!(1), &json!(at)), "{made}");
    let (code, _, said) = run(doce(here.path()).args(["backup", at]));
    assert_eq!(code, 2);
    assert!(said.contains("there is a file already") && said.contains("nothing is written over"), "{said}");
    let left: Vec<_> = std::fs::read_dir(here.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing else is left beside: {left:?}");

    let bytes = unpacked(&file);
    let master_key = std::fs::read_to_string(here.path().join("data/master.key")).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(KEY);
    for secret in [KEY, encoded.trim_end_matches('='), master_key.trim(), "auth.json", "can be installed again"] {
        assert!(!has(&bytes, secret), "`{secret}` is in the backup");
    }
    assert!(has(&bytes, "sourdough"), "the search would find it");

    let away = there.path().join("data");
    let (code, said, errors) = run(doce(there.path()).args(["restore", at]));
    assert_eq!(code, 0, "{errors}");
    assert!(said.contains("projects    1") && errors.contains("install -m 600 COPY"), "{said}{errors}");
    let (code, _, said) = run(doce(there.path()).args(["restore", at]));
    assert_eq!(code, 2);
    assert!(said.contains("it is not empty"), "{said}");
    let (code, _, said) = run(doce(there.path()).arg("serve"));
    assert_eq!(code, 1);
    assert!(said.contains("master key"), "{said}");
    assert!(!away.join("master.key").exists(), "none was made in its place");

    std::fs::copy(here.path().join("data/master.key"), away.join("master.key")).unwrap();
    // The first goes on meanwhile: neither touches the other's agents.
    let second = Serving::start(doce(there.path()));
    let workspace = project_of(&away).join("workspace");
    assert_eq!(std::fs::read_to_string(workspace.join("bread.txt")).unwrap(), "sourdough");
    assert_eq!(std::fs::read_link(workspace.join("a-link")).unwrap(), Path::new("/etc/hostname"));
    assert!(!workspace.join("node_modules").exists());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sign_in = client.post(format!("{}/api/sign-in", second.url));
    let signed_in = sign_in.json(&json!({"username": "ada", "password": PASSWORD})).send().await.unwrap();
    assert_eq!(signed_in.status(), 200);
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let projects = json_of(there.path(), &["project", "list", "--json"]);
    let id = projects["items"][0]["id"].as_str().unwrap();
    let messages = client.get(format!("{}/api/projects/{id}/messages", second.url)).header("cookie", cookie);
    let messages: Value = messages.send().await.unwrap().json().await.unwrap();
    assert!(messages.to_string().contains("the bakery opens at seven"), "{messages}");
    wait_for("the key to be opened and asked about", BOUND, async || {
        let (code, said, _) = run(doce(there.path()).args(["connection", "verify", "mine"]));
        (code == 0 && said.contains("valid")).then_some(())
    })
    .await;
    let answer = works(there.path(), &["project", "prompt", "bakery", "[[say: still open]]", "--watch"]);
    assert_eq!(answer.trim(), "still open");
    let first = json_of(here.path(), &["project", "list", "--json"]);
    assert_eq!(first["items"][0]["instance"]["observed"], "healthy", "the first one's agent still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_restores_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let (code, _, said) = run(doce(at).args(["backup", "none.tar.zst"]));
    assert_eq!(code, 1);
    assert!(said.contains("there is no") && said.contains("--data-dir"), "{said}");
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    let file = at.join("a.tar.zst");
    works(at, &["backup", file.to_str().unwrap()]);
    assert!(!at.join("a.tar.zst.partial").exists());

    // Its words are the same but for one letter, in a file that is compressed anew.
    let mut bytes = unpacked(&file);
    let place = memchr::memmem::find(&bytes, b"CREATE TABLE").unwrap();
    bytes[place] = b'c';
    let changed = at.join("changed.tar.zst");
    std::fs::write(&changed, zstd::encode_all(&*bytes, 1).unwrap()).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let cut = at.join("cut.tar.zst");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let other = at.join("other.tar.zst");
    std::fs::write(&other, "no archive").unwrap();
    let target = at.join("target");
    for (archive, words) in [
        (&changed, "`doce.sqlite` is missing in it, or not what was backed up"),
        (&cut, "read the backup"),
        (&other, "read the backup"),
    ] {
        let restore = ["restore", archive.to_str().unwrap(), "--data-dir", target.to_str().unwrap()];
        let (code, _, said) = run(doce(at).args(restore));
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(words) && said.contains("try: "), "{said}");
        assert!(!target.exists() && !at.join("target.restoring").exists(), "{words}");
    }
    works(at, &["restore", file.to_str().unwrap(), "--data-dir", target.to_str().unwrap()]);
    assert!(target.join("doce.sqlite").exists());
    // One that is there, and empty, is filled: it may be a file system of its own.
    let there = at.join("there");
    std::fs::create_dir(&there).unwrap();
    works(at, &["restore", file.to_str().unwrap(), "--data-dir", there.to_str().unwrap()]);
    let left: Vec<_> = std::fs::read_dir(&there).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["doce.sqlite"]);
}
