//! The drill: back up while everything runs, restore elsewhere, and find all of it again; and what is not in a backup.

use std::{
    ffi::OsStr,
    io::Write as _,
    os::{
        fd::OwnedFd,
        unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    },
    path::Path,
};

use base64::Engine as _;
use doce_testkit::{BusyDatabase, ScriptedModel, wait_for};
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use crate::{
    cli::{Serving, bound_by_modes, doce, first_account, run},
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
    // Its names are an agent's to choose: a link, a pipe and a socket beside a database are no logs of it.
    for name in ["one", "two", "three"] {
        std::fs::write(home.join(format!("{name}.db")), b"SQLite format 3\0 and no more").unwrap();
    }
    std::os::unix::fs::symlink("/etc/hostname", home.join("one.db-wal")).unwrap();
    make_pipe(home.join("two.db-wal").as_std_path());
    let _socket = std::os::unix::net::UnixListener::bind(home.join("three.db-wal")).unwrap();
    let mut last = 0;
    for round in 0..4 {
        let (file, target) = (at.join(format!("{round}.tar.zst")), at.join(format!("target{round}")));
        works(at, &["backup", file.to_str().unwrap()]);
        works(at, &["restore", file.to_str().unwrap(), "--data-dir", target.to_str().unwrap()]);
        let copy = camino::Utf8PathBuf::from_path_buf(project_of(&target).join("home/busy.db")).unwrap();
        let after = BusyDatabase::whole_after(&copy).await;
        assert!(after > last, "{after} and {last}");
        last = after;
        let home = project_of(&target).join("home");
        assert!(["one.db", "two.db", "three.db"].iter().all(|name| home.join(name).exists()));
        assert!(["two.db-wal", "three.db-wal"].iter().all(|name| !home.join(name).exists()));
    }
    assert!(busy.end().await >= last, "the copies are of commits that were made");
    assert_eq!(scraps(at), 0);
}

#[expect(clippy::disallowed_methods, reason = "there is no other way to make one without unsafe code")]
pub(crate) fn make_pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("there is a mkfifo").success());
}

/// How many directories of backups that aren't finished are in this one.
fn scraps(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory).expect("it is ours").flatten();
    names.filter(|entry| entry.file_name().to_string_lossy().starts_with(".doce-backup-")).count()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Makes directories in each other, as deep as asked for, around the limits of a path; returns the last one.
fn make_deep(directory: &Path, name: &str, depth: usize) -> OwnedFd {
    let mut at = rustix::fs::open(directory, OFlags::PATH, Mode::empty()).expect("it is there");
    for _ in 0..depth {
        rustix::fs::mkdirat(&at, name, Mode::RWXU).expect("a directory can be made");
        at = rustix::fs::openat(&at, name, OFlags::PATH, Mode::empty()).expect("it was made");
    }
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_left_out_and_named_and_ends_no_backup() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let (_serving, project) = with_a_project(at, &model).await;
    let workspace = project.join("workspace");
    let left_out = ["closed.txt", "closed", "half.db", "listed", "\u{1b}[2J"];
    for name in ["closed", "listed"] {
        std::fs::create_dir(workspace.join(name)).unwrap();
    }
    for name in ["open.txt", "closed.txt", "closed/file", "listed/file", "half.db-wal", "\u{1b}[2J"] {
        std::fs::write(workspace.join(name), "words").unwrap();
    }
    std::fs::write(workspace.join("half.db"), b"SQLite format 3\0 and no more").unwrap();
    std::fs::write(workspace.join(OsStr::from_bytes(b"\xff")), "words").unwrap();
    std::os::unix::fs::symlink("open.txt", workspace.join("link")).unwrap();
    make_pipe(&workspace.join("pipe"));
    let _socket = std::os::unix::net::UnixListener::bind(workspace.join("socket")).unwrap();
    let deep = make_deep(&workspace, "d", 300);
    drop(rustix::fs::openat(deep, "deep.txt", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
    make_deep(&workspace, &"e".repeat(250), 20);
    for name in ["closed.txt", "closed", "half.db-wal", "\u{1b}[2J"] {
        set_mode(&workspace.join(name), 0);
    }
    set_mode(&workspace.join("listed"), 0o400);

    let (file, other, target) = (at.join("a.tar.zst"), at.join("b.tar.zst"), at.join("target"));
    let (code, said, errors) = run(bound_by_modes(doce(at)).arg("backup").arg(&file));
    assert_eq!(code, 0, "{said}{errors}");
    // The database that has such a log, the name that isn't text, and the path that is too long.
    assert!(said.contains("left out    7 that could not be read"), "{said}");
    for words in ["workspace/closed.txt: Permission denied", "its name is not UTF-8", "its path is too long"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let (code, said, _) = run(bound_by_modes(doce(at)).arg("backup").arg(&other).arg("--json"));
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["left_out"]["count"]), (0, &json!(7)));
    for name in left_out {
        let named = told["left_out"]["named"].as_array().unwrap();
        let is_named = named.iter().any(|one| one["path"].as_str().unwrap().ends_with(&format!("workspace/{name}")));
        assert!(is_named, "{name}: {told}");
    }
    for (name, mode) in [("closed.txt", 0), ("closed", 0), ("listed", 0o400)] {
        let found = workspace.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{name} is its owner's, and stays as it was");
    }

    let said = works(at, &["restore", file.to_str().unwrap(), "--data-dir", target.to_str().unwrap()]);
    assert!(said.contains("left out    7"), "it is in the manifest: {said}");
    let restored = project_of(&target).join("workspace");
    let bottom = format!("{}deep.txt", "d/".repeat(300));
    for name in ["open.txt", "link", "listed", &bottom] {
        assert!(restored.join(name).exists(), "{name}");
    }
    for name in ["closed.txt", "closed", "half.db", "half.db-wal", "listed/file", "pipe", "socket"] {
        assert!(!restored.join(name).exists(), "{name}");
    }

    set_mode(&workspace, 0);
    let (code, said, errors) = run(bound_by_modes(doce(at)).arg("backup").arg(at.join("c.tar.zst")));
    assert!(code == 0 && said.contains("workspace: Permission denied"), "{said}{errors}");
    set_mode(&workspace, 0o700);
    // What is doce's own is not left out.
    set_mode(&at.join("data/doce.sqlite"), 0);
    let (code, _, errors) = run(bound_by_modes(doce(at)).arg("backup").arg(at.join("d.tar.zst")));
    assert!(code == 1 && errors.contains("doce.sqlite"), "{errors}");
    set_mode(&at.join("data/doce.sqlite"), 0o600);
    assert!(!at.join("d.tar.zst").exists());
    for name in ["closed", "listed"] {
        set_mode(&workspace.join(name), 0o700);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_left_that_was_killed_is_removed_by_the_next_and_never_by_one_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let (_serving, project) = with_a_project(at, &model).await;
    let large = project.join("workspace/large");
    std::fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
    let first = at.join("first.tar.zst");
    let mut killed = doce(at).arg("backup").arg(&first).spawn().unwrap();
    wait_for("the archive to be begun", BOUND, async || (scraps(at) == 1).then_some(())).await;
    // The one that is killed still has to read most of a terabyte.
    let elsewhere = tempfile::tempdir().unwrap();
    drop(Serving::start(doce(elsewhere.path())));
    works(elsewhere.path(), &["backup", at.join("beside.tar.zst").to_str().unwrap()]);
    assert_eq!(scraps(at), 1, "the one that runs keeps its own");
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(scraps(at), 1, "killed, it could not tidy its `.doce-backup-` up");
    std::fs::remove_file(large).unwrap();
    works(at, &["backup", first.to_str().unwrap()]);
    assert_eq!(scraps(at), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_directories_that_were_closed_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let serving = Serving::start(bound_by_modes(doce(at)));
    first_account(&serving).await;
    connect(at, &model).await;
    let name = format!("{}/{}", MODEL.0, MODEL.1);
    works(at, &["project", "create", "[[say: hello]]", "--name", "Bakery", "--watch", "--model", &name]);
    let (project, kept) = (project_of(&at.join("data")), at.join("kept"));
    let workspace = project.join("workspace");
    std::fs::create_dir(&kept).unwrap();
    std::fs::write(kept.join("file"), "kept").unwrap();
    set_mode(&kept, 0o500);
    for (name, mode) in [("closed/inner", 0), ("closed", 0), ("full", 0o500), ("listed", 0o400)] {
        std::fs::create_dir_all(workspace.join(name).join("inner")).unwrap();
        std::fs::write(workspace.join(name).join("file"), "words").unwrap();
        set_mode(&workspace.join(name), mode);
    }
    std::os::unix::fs::symlink(&kept, workspace.join("link")).unwrap();
    set_mode(&workspace, 0o500);
    let said = works(at, &["project", "delete", "bakery", "--yes"]);
    assert!(said.contains("Deleted Bakery."), "{said}");
    assert!(!project.exists());
    assert_eq!(std::fs::read_to_string(kept.join("file")).unwrap(), "kept");
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o500, "a link leads nowhere");
    set_mode(&kept, 0o700);
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
    assert_eq!(scraps(at), 0);

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
        assert!(!target.exists() && scraps(at) == 0, "{words}");
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

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restore_left_that_was_killed_is_removed_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let model = ScriptedModel::start().await;
    let (serving, _) = with_a_project(at, &model).await;
    let archive = at.join("archive");
    works(at, &["backup", archive.to_str().unwrap()]);
    drop(serving);
    let whole = std::fs::read(&archive).unwrap();
    let there = at.join("there");
    std::fs::create_dir(&there).unwrap();
    for (target, around) in [(at.join("new"), at.to_owned()), (there.clone(), there)] {
        // It gets half of the archive, and waits for the rest.
        let slow = target.with_extension("pipe");
        make_pipe(&slow);
        let arguments = |file: &Path| {
            ["restore", file.to_str().unwrap(), "--data-dir", target.to_str().unwrap()].map(str::to_owned)
        };
        let mut killed = doce(at).args(arguments(&slow)).spawn().unwrap();
        let mut half = std::fs::File::options().write(true).open(&slow).unwrap();
        half.write_all(&whole[..whole.len() / 2]).unwrap();
        assert_eq!(scraps(&around), 1);
        // Another one into the same place leaves it alone.
        let (code, _, said) = run(doce(at).args(arguments(&archive)));
        if around == target {
            assert!(code != 0 && said.contains("it is not empty"), "{said}");
        } else {
            assert_eq!(code, 0, "{said}");
            std::fs::remove_dir_all(&target).unwrap();
        }
        assert_eq!(scraps(&around), 1);
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert_eq!(scraps(&around), 1, "killed, it could not tidy up");
        let (code, _, said) = run(doce(at).args(arguments(&archive)));
        assert_eq!(code, 0, "{said}");
        assert_eq!(scraps(&around), 0);
        assert!(target.join("doce.sqlite").exists());
    }
}
