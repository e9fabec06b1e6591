//! One server at a time has the database, also while it makes the tables.

use doce_model::Actor;
use doce_store::{Database, OpenError, Store, setting};
use sqlx::Executor as _;

use crate::bench::Bench;

#[tokio::test]
async fn a_second_server_is_refused_by_name_until_the_first_has_closed() {
    let bench = Bench::new().await;
    let error = Store::open(bench.database()).await.unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&bench.database().to_string()), "{error}");
    bench.store.close().await;
    Store::open(bench.database()).await.unwrap().close().await;
}

#[tokio::test]
async fn a_server_whose_connections_were_cut_goes_on_and_has_the_lock_again() {
    let bench = Bench::new().await;
    let mut connection = bench.connect().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    connection.execute(cut).await.unwrap();
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.unwrap();
    setting::set(&mut tx, "name", "value").await.unwrap();
    tx.commit().await.unwrap();
    let found = setting::find(&mut bench.reader().await, "name").await.unwrap();
    assert_eq!(found.as_deref(), Some("value"));
    assert!(matches!(Store::open(bench.database()).await, Err(OpenError::InUse { .. })));
}

#[tokio::test]
async fn an_address_where_nothing_answers_is_told_without_its_password() {
    let url = "postgres://ada:planted@127.0.0.1:1/doce";
    let error = Store::open(&Database::Postgres(url.parse().unwrap())).await.unwrap_err();
    let said = format!("{error}: {error:?}");
    assert!(said.contains("postgres://127.0.0.1:1/doce") && !said.contains("planted"), "{said}");
}
