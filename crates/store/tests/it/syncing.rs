//! What doesn't wait for the disk is there a moment later.

use std::time::{Duration, Instant};

use doce_model::Actor;
use doce_store::{Database, SYNC_WITHIN, setting};
use sqlx::Connection as _;

use crate::bench::Bench;

/// Reads a setting from the database's file alone, without the log beside it: as it would be after a power cut.
async fn in_file(bench: &Bench, key: &str) -> Option<String> {
    let Database::Sqlite(path) = bench.database() else { panic!("this is about SQLite") };
    let directory = tempfile::tempdir().expect("a directory can be made");
    let copy = directory.path().join("copy.sqlite");
    std::fs::copy(path, &copy).expect("it can be read");
    let url = format!("sqlite://{}?mode=rwc", copy.display());
    let mut connection = sqlx::AnyConnection::connect(&url).await.expect("it is a database");
    let found = sqlx::query_scalar("SELECT value FROM setting WHERE name = $1").bind(key);
    let found: Result<Option<String>, _> = found.fetch_optional(&mut connection).await;
    found.ok().flatten()
}

/// Writes a setting without waiting for the disk, and then waits until it is there.
async fn write(bench: &Bench, value: &str) {
    let mut tx = bench.store.write_without_sync(&bench.ctx(Actor::Cli)).await.expect("a transaction begins");
    setting::set(&mut tx, "written", value).await.expect("it is written");
    tx.commit().await.expect("it is kept");
    assert_ne!(in_file(bench, "written").await.as_deref(), Some(value), "nobody waited for the disk");
    let since = Instant::now();
    while in_file(bench, "written").await.as_deref() != Some(value) {
        assert!(since.elapsed() < SYNC_WITHIN + Duration::from_secs(20), "it is never synced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_commit_that_does_not_wait_for_the_disk_is_there_soon() {
    let bench = Bench::new().await;
    write(&bench, "first").await;
    write(&bench, "and the next one, too").await;
}
