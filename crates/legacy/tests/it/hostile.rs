//! Rows, files and databases that are broken or mean harm: each is named, and nothing else is lost.

use std::os::unix::fs::symlink;

use doce_legacy::{ReadError, Sources, Verdict};
use doce_testkit::old_installation::{Age, OldInstallation};

use crate::{ANA, BAKERY, BERTA, HASH, SHOP, api_key, findings, read};

/// An installation with one whole person, key and project, which have to come through whatever lies beside them.
async fn with_bakery(age: Age) -> OldInstallation {
    let old = OldInstallation::make(age).await;
    old.user(ANA, "ana", HASH).await;
    old.settings(ANA, Some("sk-or-planted"), None).await;
    old.project(BAKERY, ANA, "Bakery", &[]).await;
    old
}

fn assert_bakery(read: &doce_legacy::Installation) {
    assert!(read.users.iter().any(|user| user.id == ANA), "{:?}", read.findings);
    assert!(read.keys.iter().any(|key| api_key(key) == "sk-or-planted"), "{:?}", read.findings);
    assert!(read.projects.iter().any(|project| project.id == BAKERY), "{:?}", read.findings);
    assert!(!format!("{read:?}").contains("planted"), "{read:?}");
}

#[tokio::test]
async fn a_path_that_leaves_the_directory_is_refused() {
    let old = with_bakery(Age::H6).await;
    let paths = [
        "/etc",
        "../../../etc",
        "data/projects/../../../etc",
        "/app/data/projects/../../secret",
        "data/projects",
        "data/projects/",
        "data/projects/.",
        "data/projects/a/b",
        "/app/data",
        "",
        "data/projects/a\u{1b}[2J",
        "data/opencode",
    ];
    for (index, path) in paths.into_iter().enumerate() {
        old.project(&format!("{index:024x}"), ANA, &format!("P{index}"), &[("path_on_disk", path)]).await;
    }
    let read = read(old.root()).await;
    assert_bakery(&read);
    assert_eq!(read.projects.len(), 1);
    let said = findings(&read);
    assert_eq!(said.len(), paths.len(), "{said:?}");
    assert!(said.iter().all(|line| line.starts_with("refused project P")), "{said:?}");
    assert!(!said.concat().contains('\u{1b}'), "{said:?}");
}

#[tokio::test]
async fn a_folder_that_is_a_link_or_gone_or_somebody_elses_is_not_taken() {
    let old = with_bakery(Age::L2).await;
    std::fs::create_dir(old.root().join("outside")).unwrap();
    std::fs::write(old.root().join("outside/.env"), "OPENROUTER_API_KEY=sk-outside").unwrap();
    for (index, name) in ["Linked", "Gone", "Twin", "File"].into_iter().enumerate() {
        let id = format!("{index:024x}");
        let path = if name == "Twin" { format!("data/projects/{BAKERY}") } else { format!("data/projects/{id}") };
        old.project(&id, ANA, name, &[("path_on_disk", &path)]).await;
        let folder = old.root().join("data/projects").join(&id);
        std::fs::remove_dir_all(&folder).unwrap();
        match name {
            "Linked" => symlink(old.root().join("outside"), folder).unwrap(),
            "File" => std::fs::write(folder, "").unwrap(),
            _ => {}
        }
    }
    let read = read(old.root()).await;
    assert_bakery(&read);
    assert_eq!((read.projects.len(), read.keys.len()), (1, 1));
    let said = findings(&read);
    assert_eq!(said.len(), 4, "{said:?}");
    assert!(said[0].starts_with("refused project Linked: its folder") && said[0].ends_with("is a link"), "{said:?}");
    assert!(said[1].starts_with("unreadable project Gone") && said[1].contains("is not there"), "{said:?}");
    assert!(said[2].starts_with("refused project Twin") && said[2].contains("another project's"), "{said:?}");
    assert!(said[3].starts_with("refused project File") && said[3].contains("is a file"), "{said:?}");
}

#[tokio::test]
async fn rows_of_any_type_are_read_or_named_one_by_one() {
    let old = with_bakery(Age::L2).await;
    old.sql("INSERT INTO users VALUES (x'00ff', 1, 'blob', 'h'), ('n', 'not a time', 'untimely', 'h')").await;
    old.sql("INSERT INTO users VALUES ('e', 1, '', 'h'), ('t', 1, CAST(x'ff41' AS TEXT), 'h'), ('f', 1, x'00', 'h')")
        .await;
    old.sql("INSERT INTO users VALUES ('p', 1, 'keyless', ''), ('z', 9223372036854775807, 'late', 'h')").await;
    old.sql("INSERT INTO user_settings (user_id, openrouter_api_key) VALUES ('e', x'0102'), ('f', 'sk planted key')")
        .await;
    old.sql(
        "INSERT INTO projects (id, owner_user_id, created_at, name, slug, prompt, path_on_disk)
         VALUES ('../../x', 'a', 1, 'Escaping', 's1', 'p', 'data/projects/x'),
                (x'00', 'a', 1, 'Blob', 's2', 'p', 'data/projects/y'),
                ('ok', x'00', 1, 'Unowned', 's3', 'p', 'data/projects/z'),
                ('ok2', 'a', 1, x'00', 's4', 'p', x'00')",
    )
    .await;
    let read = read(old.root()).await;
    assert_bakery(&read);
    let names: Vec<_> = read.users.iter().map(|user| user.username.as_str()).collect();
    assert_eq!(names, ["ana", "untimely", "late"]);
    let said = findings(&read).join("\n");
    for words in [
        "unreadable user blob: its `id` is bytes",
        "its `username` is no UTF-8",
        "its `username` is bytes",
        "unreadable user keyless: it has no `password_hash`",
        "its `openrouter_api_key` is bytes",
        "character 3 is none that a key may have",
        "refused project Escaping: its id is none that doce.dev makes",
        "unreadable project Blob: its `id` is bytes",
        "unreadable project Unowned: its `owner_user_id` is bytes",
        "its `path_on_disk` is bytes",
    ] {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
}

#[tokio::test]
async fn a_database_that_breaks_off_gives_what_can_be_reached() {
    let old = with_bakery(Age::L2).await;
    let filler = "x".repeat(900);
    for index in 0..400 {
        old.user(&format!("{index:032x}"), &format!("user{index}"), &filler).await;
    }
    old.sql("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let whole = read(old.root()).await;
    assert_eq!((whole.users.len(), whole.findings.len()), (401, 0));
    // One page in the middle is lost, as on a failing disk.
    let mut bytes = std::fs::read(old.database()).unwrap();
    let page = 4096;
    let middle = bytes.len() / page / 2 * page;
    bytes[middle..middle + page].fill(0xff);
    std::fs::write(old.database(), &bytes).unwrap();
    let broken = read(old.root()).await;
    assert_bakery(&broken);
    assert!((200..401).contains(&broken.users.len()), "{}", broken.users.len());
    let (first, last) = ("user0", "user399");
    assert!([first, last].iter().all(|name| broken.users.iter().any(|user| user.username == *name)));
    let said = findings(&broken);
    assert!(said.len() == 1 && said[0].starts_with("unreadable table users: it breaks off"), "{said:?}");
}

#[tokio::test]
async fn half_a_database_costs_only_what_was_in_the_other_half() {
    let old = with_bakery(Age::H6).await;
    old.write("opencode/auth.json", r#"{"groq": {"type": "api", "key": "gsk"}}"#);
    let whole = std::fs::read(old.database()).unwrap();
    for len in [whole.len() / 2, 5000, 100, 16, 0] {
        std::fs::write(old.database(), &whole[..len]).unwrap();
        for rest in ["-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{}{rest}", old.database())));
        }
        let read = read(old.root()).await;
        assert!(read.keys.iter().any(|key| key.provider_id == "groq"), "{len}: {:?}", read.findings);
        // An empty file is an empty database, which SQLite finds nothing wrong with.
        assert!(len == 0 || !read.findings.is_empty(), "{len}");
    }
    std::fs::write(old.database(), "this is a text file, and long enough to be looked at as a database header")
        .unwrap();
    let said = findings(&read(old.root()).await);
    assert!(said.iter().any(|line| line.starts_with("unreadable file db.sqlite: file is not a database")), "{said:?}");
}

#[tokio::test]
async fn a_missing_table_or_column_is_named() {
    let old = with_bakery(Age::L2).await;
    old.sql("DROP TABLE users").await;
    let first = read(old.root()).await;
    assert_eq!(findings(&first), ["unreadable table users: the database has no such table"]);
    assert_eq!(first.projects.len(), 1);

    let old = with_bakery(Age::L2).await;
    old.sql("ALTER TABLE users RENAME COLUMN password_hash TO secret").await;
    let second = read(old.root()).await;
    assert_eq!(findings(&second), ["unreadable user ana: it has no `password_hash`"]);
    assert_eq!((second.projects.len(), second.keys.len()), (1, 1));
}

#[tokio::test]
async fn a_view_in_a_tables_place_is_not_run() {
    let old = with_bakery(Age::L2).await;
    old.sql("DROP TABLE user_settings").await;
    old.sql(
        "CREATE VIEW user_settings AS
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
         SELECT i AS user_id, 'k' AS openrouter_api_key FROM n",
    )
    .await;
    let read = read(old.root()).await;
    assert_eq!((read.users.len(), read.projects.len(), read.keys.len()), (1, 1, 0));
}

#[tokio::test]
async fn broken_files_of_a_project_cost_it_nothing_else() {
    let old = with_bakery(Age::L3).await;
    old.project(SHOP, ANA, "Shop", &[]).await;
    old.write(&old.source_of(BAKERY, "opencode.json"), "{ // comment\n \"model\": sk-or-planted");
    std::fs::create_dir(old.root().join(format!("data/projects/{SHOP}/.env"))).unwrap();
    symlink("/etc/passwd", old.root().join(format!("data/projects/{SHOP}/opencode.json"))).unwrap();
    old.write("opencode/auth.json", "{\"groq\": {\"type\": \"api\", \"key\": \"gsk-planted");
    let read = read(old.root()).await;
    assert_bakery(&read);
    assert_eq!(read.projects.len(), 2);
    let said = findings(&read).join("\n");
    for words in [
        "unreadable file opencode.json of Bakery: it is not JSON (line 1)",
        ".env: it is a directory, not a file",
        "opencode.json of Shop: it is a link, not a file",
        "auth.json: it is not JSON",
    ] {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
}

#[tokio::test]
async fn the_database_itself_is_not_followed_out_of_the_directory() {
    let (old, other) = (with_bakery(Age::L2).await, with_bakery(Age::L2).await);
    std::fs::remove_file(old.database()).unwrap();
    symlink(other.database(), old.database()).unwrap();
    let read = read(old.root()).await;
    assert!(read.users.is_empty() && read.projects.is_empty());
    assert_eq!(findings(&read), ["unreadable file db.sqlite: it is a link, not a file"]);
}

#[tokio::test]
async fn something_else_is_not_taken_for_an_installation() {
    let temporary = tempfile::tempdir().unwrap();
    let root = camino::Utf8Path::from_path(temporary.path()).unwrap();
    assert!(matches!(doce_legacy::read(root, root).await, Err(ReadError::NotOne { .. })));
    let absent = root.join("absent");
    assert!(matches!(doce_legacy::read(&absent, root).await, Err(ReadError::Open { .. })));
}

#[tokio::test]
async fn two_users_of_one_name_both_come_and_two_of_one_id_do_not() {
    let old = with_bakery(Age::L2).await;
    old.user(BERTA, "ana", HASH).await;
    assert_eq!(read(old.root()).await.users.len(), 2);
    old.sql("CREATE TABLE u AS SELECT * FROM users; DROP TABLE users; ALTER TABLE u RENAME TO users").await;
    old.user(ANA, "thief", HASH).await;
    let read = read(old.root()).await;
    assert_eq!(read.users.len(), 2);
    assert_eq!(findings(&read), ["refused user thief: another user has the same id"]);
    assert!(read.findings.iter().all(|finding| finding.verdict == Verdict::Refused));
}

#[test]
fn what_may_hold_a_secret_does_not_print_it() {
    fn prints<T: std::fmt::Debug>() {}
    prints::<Sources>();
    let user = doce_legacy::User {
        id: "u".to_owned(),
        username: "ana".to_owned(),
        password_hash: secrecy::SecretString::from("planted"),
        created_at: None,
        preferred: None,
        favourites: Vec::new(),
    };
    assert!(!format!("{user:?}").contains("planted"));
}
