//! A PostgreSQL server that is away for a while.

use std::time::{Duration, Instant};

use doce_testkit::{PostgresDatabase, Relay, ScriptedModel, wait_for};
use serde_json::json;

use crate::person::{BOUND, Person, doce, run, server};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_named_at_once_and_doce_goes_on_when_it_is_back() {
    let database = PostgresDatabase::make(&server()).await;
    let mut relay = Relay::open_to(&database.url()).await;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let model = ScriptedModel::start().await;
    let mut person = Person::start(&data, Some(relay.url()));
    person.come_in("/api/setup").await;
    person.connect(&model).await;
    let add = json!({"username": "bob", "password": "correct horse battery", "role": "member"});

    // Down: nothing listens. Then worse: what listens doesn't answer.
    for is_silent in [false, true] {
        if is_silent {
            relay.fall_silent().await;
        } else {
            relay.cut().await;
        }
        for (method, body) in [("GET", None), ("POST", Some(add.clone()))] {
            let begun = Instant::now();
            let (status, problem) = person.ask(method, "/api/users", body).await;
            assert_eq!((status, &problem["code"]), (503, &json!("database_unreachable")), "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains("See that it runs"), "{problem}");
            // A request asks the database several times at most, one after the other; the first that fails ends it.
            assert!(begun.elapsed() < Duration::from_secs(15), "{method}: it took {:?}", begun.elapsed());
        }
        let other = directory.path().join("other");
        let begun = Instant::now();
        let (code, said) = run(doce(&other, Some(relay.url())).arg("serve"));
        assert!(code == 1 && said.contains("see that PostgreSQL runs there"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(20), "it took {:?}", begun.elapsed());
    }

    relay.open().await;
    wait_for("a change is taken", BOUND, async || {
        (person.ask("POST", "/api/users", Some(add.clone())).await.0 == 201).then_some(())
    })
    .await;
    person.build("[[say: Still here.]]").await;
}
