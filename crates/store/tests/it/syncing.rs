//! What doesn't wait for the disk is there a moment later.

use std::time::{Duration, Instant};

use doce_model::Actor;
use doce_store::{Database, SYNC_WITHIN, setting};
use sqlx::Connection as _;

use crate::bench::Bench;

/// Reads a setting from the database's file alone, without the log beside it: as it would be after a power cut.
async fn in_file(bench: &Bench, key: &str) -> Option<String> {
    let Database::Sqlite(path) = bench.database() else { panic!("this is about SQLite") };
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.sqlite");
    std::fs::copy(path, &copy).unwrap();
    let mut connection = sqlx::AnyConnection::connect(&format!("sqlite://{}?mode=rwc", copy.display())).await.unwrap();
    let found = sqlx::query_scalar("SELECT value FROM setting WHERE name = $1").bind(key);
    let found: Result<Option<String>, _> = found.fetch_optional(&mut connection).await;
    found.ok().flatten()
}

#[tokio::test]
async fn a_commit_that_does_not_wait_for_the_disk_is_there_soon() {
    let bench = Bench::new().await;
    let mut tx = bench.store.write_without_sync(&bench.ctx(Actor::Cli)).await.unwrap();
    setting::set(&mut tx, "written", "soon").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(in_file(&bench, "written").await, None, "nobody waited for the disk");
    let since = Instant::now();
    while in_file(&bench, "written").await.as_deref() != Some("soon") {
        assert!(since.elapsed() < SYNC_WITHIN + Duration::from_secs(20), "it is never synced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // And the next one, too.
    let mut tx = bench.store.write_without_sync(&bench.ctx(Actor::Cli)).await.unwrap();
    setting::set(&mut tx, "written", "again").await.unwrap();
    tx.commit().await.unwrap();
    let since = Instant::now();
    while in_file(&bench, "written").await.as_deref() != Some("again") {
        assert!(since.elapsed() < SYNC_WITHIN + Duration::from_secs(20), "it is never synced again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
