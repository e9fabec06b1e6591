//! What a database of an earlier version held is still there afterwards.

use doce_model::{Actor, Ms};
use doce_store::{
    OpenError, Store,
    audit::{self, Filter, chain::Verdict},
    connection,
};

use crate::{
    backend::{Fresh, OPEN_AT_ONCE, bytes, types},
    bench::{Bench, connect, tamper},
};

const FIRST: &str = include_str!("../../src/migrations/0001_first.sql");

/// A database of the first version with three events in it, out of order.
async fn first_version() -> Fresh {
    let fresh = Fresh::new().await;
    let sql = format!(
        "CREATE TABLE schema_version (version BIGINT NOT NULL);
         {}
         INSERT INTO schema_version (version) VALUES (1);
         INSERT INTO app_user VALUES ('usr_0198f0000000700080000000000000aa', 'ada', 'ada', 'admin', 'x', 1);
         INSERT INTO project VALUES ('prj_0198f0000000700080000000000000bb', 'usr_0198f0000000700080000000000000aa',
             'Bakery', 'bakery', 'running', 'p', 'm', 'w', 'h', 1, 1, 1);
         INSERT INTO audit_event VALUES ('aud_2', 20, 'reconciler:follower', 'refuse_permission',
             'prj_0198f0000000700080000000000000bb', 'ok', NULL, 'bash', 'req_2', NULL);
         INSERT INTO audit_event VALUES ('aud_3', 30, 'nobody', 'sign_in_refused', 'bob', 'sign_in_failed', NULL, NULL,
             'req_3', '192.0.2.7');
         INSERT INTO audit_event VALUES ('aud_1', 10, 'usr_0198f0000000700080000000000000aa', 'verify',
             'con_0198f0000000700080000000000000cc', 'ok', 'f0', 'valid', 'req_1', '192.0.2.7');",
        types(FIRST)
    );
    tamper(&fresh, &sql).await;
    fresh
}

#[tokio::test]
async fn events_from_before_the_chain_get_their_places_in_it() {
    let fresh = first_version().await;
    let store = Store::open(&fresh.database).await.unwrap();
    let mut read = store.read().await.unwrap();
    let entries = audit::walk(&mut read, &Filter::default(), 0, 10).await.unwrap().entries;
    let told: Vec<_> = entries
        .iter()
        .map(|e| (e.seq, e.id.as_str(), e.user_id.is_some(), e.project_id.is_some(), e.fingerprint.as_deref()))
        .collect();
    assert_eq!(
        told,
        [(1, "aud_1", true, false, Some("f0")), (2, "aud_2", true, true, None), (3, "aud_3", false, false, None)]
    );
    let verdict = audit::chain::verify(&mut read, None, |_, _| ()).await.unwrap();
    assert!(matches!(&verdict, Verdict::Whole(head) if head.seq == 3), "{verdict:?}");
    drop(read);
    store.close().await;
    Store::open(&fresh.database).await.unwrap();
}

#[tokio::test]
async fn a_database_of_another_version_is_not_opened_to_read() {
    let fresh = first_version().await;
    assert!(matches!(Store::open_to_read(&fresh.database).await, Err(OpenError::Older { found: 1, .. })));
    let bench = Bench::new().await;
    bench.tamper("INSERT INTO schema_version (version) VALUES (99)").await;
    assert!(matches!(Store::open_to_read(bench.database()).await, Err(OpenError::Newer { found: 99, .. })));
    drop(bench.store.write(&bench.ctx(Actor::Cli)).await.unwrap());
    bench.store.close().await;
    assert!(matches!(Store::open(bench.database()).await, Err(OpenError::Newer { found: 99, .. })));
    let nowhere = Fresh::nowhere();
    assert!(matches!(Store::open_to_read(&nowhere.database).await, Err(OpenError::Connect { .. })));
    assert!(!matches!(nowhere.database.is_there().await, Ok(true)), "reading makes nothing");
}

#[tokio::test]
async fn an_empty_database_has_nothing_of_doce_in_it() {
    let fresh = Fresh::new().await;
    assert!(!fresh.database.is_there().await.unwrap());
    Store::open(&fresh.database).await.unwrap().close().await;
    assert!(fresh.database.is_there().await.unwrap());
}

#[tokio::test]
async fn a_key_from_before_its_age_was_kept_is_as_old_as_its_credential() {
    let fresh = first_version().await;
    let row = |id: &str, label: &str| {
        format!(
            "INSERT INTO connection VALUES ('{id}', 'usr_0198f0000000700080000000000000aa', 'anthropic', '{label}',
                 'api', 'connected', NULL, NULL, NULL, NULL, NULL, NULL, 0, 'f0', '7890', 2, 10, 10, NULL, NULL);"
        )
    };
    let (replaced, bare) = ("con_0198f0000000700080000000000000cc", "con_0198f0000000700080000000000000dd");
    let sql = format!(
        "{} {}
         INSERT INTO credential VALUES ('cre_1', '{replaced}', 'usr_0198f0000000700080000000000000aa', 1, {}, 'k', 10,
             20);
         INSERT INTO credential VALUES ('cre_2', '{replaced}', 'usr_0198f0000000700080000000000000aa', 2, {}, 'k',
             20, NULL);",
        row(replaced, "main"),
        row(bare, "other"),
        bytes(""),
        bytes("00"),
    );
    tamper(&fresh, &sql).await;
    let store = Store::open(&fresh.database).await.unwrap();
    let mut read = store.read().await.unwrap();
    let found = connection::list(&mut read, "usr_0198f0000000700080000000000000aa".parse().unwrap()).await.unwrap();
    let ages: Vec<_> = found.iter().map(|c| (c.label.as_str(), c.key_since, c.max_age_days, c.kept_version)).collect();
    assert_eq!(ages, [("main", Ms(20), None, None), ("other", Ms(10), None, None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_that_start_at_once_on_an_empty_database_each_table_is_made_by_one() {
    let fresh = Fresh::new().await;
    let open = || Store::open(&fresh.database);
    let (first, second, third, fourth) = tokio::join!(open(), open(), open(), open());
    let mut opened = Vec::new();
    for start in [first, second, third, fourth] {
        match start {
            Ok(store) => opened.push(store),
            Err(error) => assert!(matches!(error, OpenError::InUse { .. }), "{error:?}"),
        }
    }
    assert_eq!(opened.len(), OPEN_AT_ONCE);
    let mut connection = connect(&fresh).await;
    let versions: Vec<i64> = sqlx::query_scalar("SELECT version FROM schema_version ORDER BY version")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let expected: Vec<i64> = (1..).take(versions.len()).collect();
    assert!(!versions.is_empty() && versions == expected, "{versions:?}");
}
