//! `doce doctor`: what is wrong is named with its reason and the command that repairs it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use camino::Utf8Path;
use doce_testkit::{AuthorizationServer, LockedDatabase, tamper};
use serde_json::Value;

use crate::{
    cli::{Serving, bound_by_modes, doce, first_account, run, through},
    terminal::run_with,
};

/// Runs it, with some settings; returns its code and its findings.
fn examine(directory: &Path, settings: &[(&str, &str)]) -> (i32, Vec<Value>) {
    findings_of(&mut doctor(directory, settings))
}

fn doctor(directory: &Path, settings: &[(&str, &str)]) -> Command {
    let mut command = doce(directory);
    // Nobody answers there, and at once.
    command.env("DOCE_NPM_REGISTRY", "http://127.0.0.1:9/").args(["doctor", "--json"]);
    command.envs(settings.iter().copied());
    command
}

fn findings_of(command: &mut Command) -> (i32, Vec<Value>) {
    let (code, said, errors) = run(command);
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{errors}"));
    (code, said["findings"].as_array().expect("there are findings").clone())
}

/// A registry whose answers have these lines in their heads; returns its address.
fn registry(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be opened");
    let url = format!("http://{}/", listener.local_addr().expect("it has an address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("somebody came");
            let mut lines = BufReader::new(stream.try_clone().expect("it is open")).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            drop(stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}content-length: 0\r\n\r\n").as_bytes()));
        }
    });
    url
}

/// Asks the server itself, over its control socket.
async fn serving_doctor(serving: &Serving, directory: &Path) -> Vec<Value> {
    let socket = directory.join("data/control.sock");
    let client = reqwest::Client::builder().unix_socket(socket).build().expect("a client can be made");
    let answer = client.get("http://localhost/api/system/doctor").send().await.expect("it answers");
    assert_eq!(answer.status(), 200, "{}", serving.url);
    let answer: Value = answer.json().await.expect("it is JSON");
    answer["items"].as_array().expect("there are findings").clone()
}

#[track_caller]
fn assert_found(findings: &[Value], check: &str, health: &str, words: &str) {
    let of_check: Vec<&Value> = findings.iter().filter(|finding| finding["check"] == check).collect();
    let is_it = |f: &Value| f["health"] == health && format!("{} {}", f["text"], f["repair"]).contains(words);
    assert!(of_check.iter().any(|found| is_it(found)), "{check} is not {health} with `{words}`: {of_check:?}");
    for finding in findings {
        match finding["repair"].as_str() {
            None => assert_eq!(finding["health"], "ok", "what is wrong can be repaired: {finding}"),
            Some(repair) => assert!(is_command(repair), "no command: {finding}"),
        }
    }
}

/// Tells whether what repairs something begins with a command, or with a setting of one.
fn is_command(repair: &str) -> bool {
    const PROGRAMS: [&str; 16] = [
        "bwrap",
        "chmod",
        "curl",
        "df",
        "doce",
        "du",
        "export",
        "fuser",
        "install",
        "ls",
        "psql",
        "ss",
        "sudo",
        "timedatectl",
        "ulimit",
        "unset",
    ];
    // The sandbox's is a sentence around one; which Node.js is there to be had, no command tells for every system.
    let first = repair.split(' ').next().unwrap_or_default();
    PROGRAMS.contains(&first) || first.contains('=') || repair.contains('`') || repair.contains("nodejs.org")
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_without_data_and_beside_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let (_, findings) = examine(directory.path(), &[]);
    assert_found(&findings, "data", "ok", "the first start makes it");
    assert_found(&findings, "master key", "ok", "the first start makes it");
    assert_found(&findings, "opencode", "ok", "DOCE_OPENCODE");
    assert_found(&findings, "network", "warning", "HTTPS_PROXY");
    assert!(!directory.path().join("data").exists(), "looking makes nothing");

    let serving = Serving::start(doce(directory.path()));
    first_account(&serving).await;
    let address = serving.url.trim_start_matches("http://").to_owned();
    let (code, findings) = examine(directory.path(), &[("DOCE_LISTEN", &address)]);
    assert_found(&findings, "port", "ok", &serving.url);
    assert_found(&findings, "data", "ok", "its owner's alone");
    assert_found(&findings, "database", "ok", "opens");
    assert_found(&findings, "master key", "ok", "the one in use");
    let told = serving_doctor(&serving, directory.path()).await;
    assert_found(&told, "master key", "ok", "the one in use");
    let problems: Vec<_> = findings.iter().filter(|finding| finding["health"] == "problem").collect();
    assert_eq!(code, i32::from(!problems.is_empty()), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_setting_is_found_and_the_way_out_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let port = taken.rsplit(':').next().unwrap();
    let empty = at.join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    let empty = empty.to_str().unwrap();
    let untrusted = AuthorizationServer::start_tls().await;
    for (variable, value, check, health, words) in [
        ("DOCE_LISTEN", taken.as_str(), "port", "problem", &*format!("ss -ltnp sport = :{port}")),
        ("DOCE_LISTEN", "192.0.2.1:4321", "port", "problem", "DOCE_LISTEN=0.0.0.0:4321"),
        ("DOCE_LISTEN", "0.0.0.0:0", "address", "warning", "DOCE_PUBLIC_URL"),
        ("DOCE_PUBLIC_URL", "http://doce.example", "address", "warning", "TLS"),
        ("DOCE_UNSANDBOXED", "i-trust-every-prompt", "sandbox", "warning", "unset DOCE_UNSANDBOXED"),
        ("DOCE_OPENCODE", "/nothing/here", "opencode", "problem", "unset DOCE_OPENCODE"),
        ("PATH", "/nothing/here", "git", "problem", "apt-get install git"),
        ("PATH", "/nothing/here", "npm", "warning", "nodejs"),
        ("PATH", "/nothing/here", "sandbox", "problem", "bubblewrap"),
        ("HTTPS_PROXY", "proxy", "proxy", "problem", "export HTTPS_PROXY="),
        ("all_proxy", "proxy", "proxy", "problem", "export all_proxy="),
        ("DOCE_NPM_REGISTRY", &untrusted.url(), "network", "warning", "export SSL_CERT_FILE="),
        ("DOCE_NPM_REGISTRY", "http://127.0.0.1:9/", "clock", "warning", "127.0.0.1 can't be reached"),
        ("DOCE_NPM_REGISTRY", &registry(""), "clock", "warning", "127.0.0.1 tells no time"),
        ("DOCE_NPM_REGISTRY", &registry("date: Sat, 01 Jan 2000 00:00:00 GMT\r\n"), "clock", "problem", "min ahead"),
        ("DOCE_NPM_REGISTRY", &registry("date: Fri, 01 Jan 2100 00:00:00 GMT\r\n"), "clock", "problem", "set-ntp"),
        ("SSL_CERT_FILE", empty, "certificates", "problem", "has no certificate in it"),
        ("SSL_CERT_DIR", "/nothing/here", "certificates", "problem", "unset SSL_CERT_DIR"),
        ("NODE_EXTRA_CA_CERTS", "/nothing/here", "certificates", "problem", "can't be read"),
        (
            "DOCE_DATABASE_URL",
            "postgres://ada:planted@127.0.0.1:9/doce",
            "database",
            "problem",
            "psql postgres://127.0.0.1:9/doce",
        ),
        ("DOCE_DATA_DIR", empty, "data", "problem", "DOCE_DATA_DIR=ANOTHER-DIRECTORY doce serve"),
    ] {
        let (code, findings) = examine(at, &[(variable, value)]);
        assert_found(&findings, check, health, words);
        if health == "problem" {
            assert_eq!(code, 1, "{variable}={value}");
        }
        assert!(!format!("{findings:?}").contains("planted"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_exposed_wrong_or_gone_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for data in ["data", "other/data"] {
        let mut command = doce(at);
        std::fs::create_dir_all(at.join("other")).unwrap();
        command.env("DOCE_DATA_DIR", at.join(data));
        let serving = Serving::start(command);
        serving.signal("TERM");
        assert_eq!(serving.end().await.0, 0);
    }
    let (data, key) = (at.join("data"), at.join("data/master.key"));
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&data, 0o755);
    mode(&key, 0o644);
    let (code, findings) = examine(at, &[]);
    assert_eq!(code, 1);
    assert_found(&findings, "data", "warning", "chmod 700");
    assert_found(&findings, "master key", "problem", "chmod 600");
    std::fs::copy(at.join("other/data/master.key"), &key).unwrap();
    mode(&key, 0o600);
    assert_found(&examine(at, &[]).1, "master key", "problem", "was sealed with");
    std::fs::remove_file(&key).unwrap();
    assert_found(&examine(at, &[]).1, "master key", "problem", "is gone");
    std::fs::write(at.join("data/doce.sqlite"), "no database").unwrap();
    assert_found(&examine(at, &[]).1, "database", "problem", "doce.sqlite");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_are_too_old_are_named_with_the_version_that_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    for (name, says) in [("node", "v18.19.0"), ("npm", "9.2.0"), ("opencode", "1.0.0")] {
        let program = at.join(name);
        std::fs::write(&program, format!("#!/bin/sh\necho {says}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", at.display());
    let opencode = at.join("opencode");
    let settings = [
        // They are scripts of ours, and a machine without a sandbox has the same question.
        ("DOCE_UNSANDBOXED", "i-trust-every-prompt"),
        ("DOCE_OPENCODE", opencode.to_str().unwrap()),
        ("PATH", &path),
    ];
    let (code, findings) = examine(at, &settings);
    assert_eq!(code, 1);
    assert_found(&findings, "opencode", "problem", "is version 1.0.0, and doce needs");
    assert_found(&findings, "npm", "warning", "is Node.js v18.19.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_a_second_account_is_a_problem_because_the_server_will_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    let (code, _, errors) = run_with(at, &["user", "add", "bob", "--password-stdin"], "correct horse battery\n");
    assert_eq!(code, 0, "{errors}");
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    assert!(examine(at, &[]).1.iter().all(|finding| finding["check"] != "accounts"));
    let (code, findings) = examine(at, &[("DOCE_UNSANDBOXED", "i-trust-every-prompt")]);
    assert_found(&findings, "accounts", "problem", "unset DOCE_UNSANDBOXED");
    assert_eq!(code, 1);
}

#[test]
fn what_another_user_left_in_the_data_directory_is_named_with_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(data.join("left"), "").unwrap();
    if let Err(error) = std::os::unix::fs::chown(data.join("left"), Some(12345), None) {
        println!("skipped: only root may give files away ({error})");
        return;
    }
    let (code, findings) = examine(directory.path(), &[]);
    assert_eq!(code, 1);
    assert_found(&findings, "data", "problem", "/left belongs to the user 12345");
}

/// Fills the data directory's own disk with as many files as it can have.
const NO_MORE_FILES: &str = "mount -t tmpfs -o size=8g,nr_inodes=200 none \"$DOCE_DATA_DIR\" || exit; n=0
    while touch \"$DOCE_DATA_DIR/$n\" 2>&-; do n=$((n + 1)); done; exec \"$0\" \"$@\"";

#[test]
fn what_the_machine_is_short_of_is_found_and_the_way_out_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (at, few) = (directory.path(), directory.path().join("few"));
    std::fs::create_dir(at.join("data")).unwrap();
    std::fs::write(&few, "100\n").unwrap();
    let (data, few) = (at.join("data"), few.to_str().unwrap());
    let all = ["--dev-bind", "/", "/"];
    let disk = |size| [&all[..], &["--size", size, "--tmpfs", data.to_str().unwrap(), "--"]].concat();
    let with = |more: &[&'static str]| [&all[..], more, &["--"]].concat();
    let watches = [&all[..], &["--ro-bind", few, "/proc/sys/fs/inotify/max_user_watches", "--"]].concat();
    let files = vec!["--user", "--map-root-user", "--mount", "sh", "-c", NO_MORE_FILES];
    for (program, arguments, check, health, words) in [
        ("bwrap", disk("536870912"), "disk", "problem", "only 0.5 GiB are free"),
        ("bwrap", disk("2147483648"), "disk", "warning", "du -xh"),
        ("unshare", files, "disk", "problem", "only 0 more files can be made"),
        ("sh", vec!["-c", "ulimit -n 256; exec \"$0\" \"$@\""], "file limits", "warning", "only 256 files"),
        ("bwrap", watches, "file limits", "warning", "fs.inotify.max_user_watches="),
        ("bwrap", with(&["--tmpfs", "/sys/fs/cgroup"]), "agent limits", "warning", "Delegate=memory pids"),
    ] {
        let (code, findings) = findings_of(&mut through(program, &arguments, &doctor(at, &[])));
        assert_found(&findings, check, health, words);
        assert!(health != "problem" || code == 1, "{check}");
    }
    let low = bound_by_modes(doctor(at, &[("DOCE_LISTEN", "127.0.0.1:80")]));
    let (_, findings) = findings_of(&mut through("bwrap", &with(&["--unshare-net"]), &low));
    assert_found(&findings, "port", "problem", "only root may listen on ports below 1024");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_newer_held_or_without_room_is_told_from_a_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let serving = Serving::start(doce(at));
    first_account(&serving).await;
    serving.signal("TERM");
    assert_eq!(serving.end().await.0, 0);
    let database = at.join("data/doce.sqlite");
    let database = Utf8Path::from_path(&database).unwrap();
    let held = LockedDatabase::hold_alone(database).await;
    assert_found(&examine(at, &[]).1, "database", "problem", "fuser -v");
    drop(held);
    // A reader, too, makes a file beside it.
    let (data, kept) = (at.join("data"), at.join("kept"));
    std::fs::create_dir(&kept).unwrap();
    std::fs::copy(database, kept.join("doce.sqlite")).unwrap();
    let script = "cp \"$1\" \"$DOCE_DATA_DIR\"; cat /dev/zero > \"$DOCE_DATA_DIR/filler\" 2>&-; shift; exec \"$@\"";
    let (data, kept) = (data.to_str().unwrap(), kept.join("doce.sqlite"));
    let full = ["--dev-bind", "/", "/", "--size", "4194304", "--tmpfs", data, "--", "sh", "-c", script, "sh"];
    let full = [&full[..], &[kept.to_str().unwrap()]].concat();
    let (_, findings) = findings_of(&mut through("bwrap", &full, &doctor(at, &[])));
    assert_found(&findings, "database", "problem", "df -h");
    tamper(database, "INSERT INTO schema_version (version) VALUES (99)").await;
    assert_found(&examine(at, &[]).1, "database", "problem", "THE-NEWER-DOCE");
}
