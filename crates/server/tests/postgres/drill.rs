//! The drill with PostgreSQL: back up while everything runs, restore elsewhere, from one kind of database into the other.

use std::path::Path;

use doce_testkit::{PostgresDatabase, ScriptedModel};
use serde_json::json;

use crate::person::{KEY, Person, doce, run, server};

fn works(data: &Path, database: Option<&str>, arguments: &[&str]) -> String {
    let (code, said) = run(doce(data, database).args(arguments));
    assert_eq!(code, 0, "{arguments:?}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_in_postgresql_is_restored_into_either_kind_of_database() {
    let (first, second) = (PostgresDatabase::make(&server()).await, PostgresDatabase::make(&server()).await);
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let place = |name: &str| at.join(name);
    let model = ScriptedModel::start().await;
    model.accept_keys([KEY]);
    let mut person = Person::start(&place("here"), Some(&first.url()));
    person.come_in("/api/setup").await;
    let connection = person.connect(&model).await;
    let project = person.build("[[say: the bakery opens at seven]]").await;
    let said = person.messages(&project).await;

    let archive = |name: &str| at.join(name).to_str().expect("the path is text").to_owned();
    let from_postgres = archive("first.tar.zst");
    let told = works(&place("here"), Some(&first.url()), &["backup", &from_postgres]);
    assert!(told.contains("projects    1"), "{told}");
    let bytes = zstd::decode_all(std::fs::File::open(&from_postgres).unwrap()).unwrap();
    for secret in [KEY, "auth.json", "password@"] {
        assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "`{secret}` is in the backup");
    }
    assert!(memchr::memmem::find(&bytes, b"the bakery opens").is_some(), "the search would find it");

    // A database that has something in it stays as it is, and no directory is made.
    let (code, refused) = run(doce(&place("nowhere"), Some(&first.url())).args(["restore", &from_postgres]));
    assert!(code == 2 && refused.contains("it is not empty"), "{refused}");
    assert!(!place("nowhere").exists());
    drop(person);

    let from_file = archive("second.tar.zst");
    // Into a file of SQLite, and from there into PostgreSQL again.
    let ways = [("file", None, &from_postgres), ("there", Some(second.url()), &from_file)];
    for (name, database, from) in &ways {
        let (data, database) = (place(name), database.as_deref());
        works(&data, database, &["restore", from]);
        assert_eq!(data.join("doce.sqlite").exists(), database.is_none());
        std::fs::copy(place("here").join("master.key"), data.join("master.key")).unwrap();
        assert!(works(&data, database, &["audit", "verify"]).contains("is whole"));
        let mut person = Person::start(&data, database);
        person.come_in("/api/sign-in").await;
        assert_eq!(person.messages(&project).await, said);
        let (status, verified) = person.ask("POST", &format!("/api/connections/{connection}/verify"), None).await;
        assert_eq!((status, &verified["verification"]["outcome"]), (200, &json!("valid")), "{verified}");
        person.build("[[say: It goes on.]]").await;
        if database.is_none() {
            works(&data, None, &["backup", &from_file]);
        }
    }
}
