//! Sealed values are all found, whichever column they are in.

use std::collections::BTreeSet;

use doce_model::Actor;
use doce_store::sealed::{self, Column};
use sqlx::Row as _;

use crate::{
    backend::{BYTES_COLUMNS, NO_FOREIGN_KEYS, bytes},
    bench::Bench,
};

#[tokio::test]
async fn every_column_of_bytes_is_one_of_sealed_values() {
    let bench = Bench::new().await;
    let mut connection = bench.connect().await;
    let rows = sqlx::query(BYTES_COLUMNS).fetch_all(&mut connection).await.unwrap();
    let found: BTreeSet<(String, String)> = rows.iter().map(|row| (row.get("place"), row.get("name"))).collect();
    let known: BTreeSet<_> =
        Column::ALL.iter().map(|column| column.place()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    // A column that is missing on the right would keep the old master key in use after a rotation, or lose its values.
    assert_eq!(found, known);
}

#[tokio::test]
async fn what_is_erased_is_not_listed_and_what_changed_meanwhile_is_not_replaced() {
    let bench = Bench::new().await;
    bench
        .tamper(&format!(
            "{NO_FOREIGN_KEYS};
             INSERT INTO credential VALUES ('crd_1', 'con_1', 'usr_1', 1, {}, 'k1', 1, 2);
             INSERT INTO credential VALUES ('crd_2', 'con_1', 'usr_1', 2, {}, 'k1', 1, NULL);
             INSERT INTO credential VALUES ('crd_3', 'con_2', 'usr_2', 7, {}, 'k1', 1, NULL);",
            bytes(""),
            bytes("0102"),
            bytes("03"),
        ))
        .await;
    assert_eq!(sealed::count(&mut bench.reader().await).await.unwrap(), 2);
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.unwrap();
    let first = sealed::list(&mut tx, Column::Credential, "", 1).await.unwrap().remove(0);
    assert_eq!((first.row.as_str(), first.noun.as_str(), first.user_id.as_str()), ("crd_2", "con_1", "usr_1"));
    assert_eq!((first.version, first.bytes.as_slice()), (2, [1, 2].as_slice()));
    let rest = sealed::list(&mut tx, Column::Credential, "crd_2", 9).await.unwrap();
    assert_eq!(rest.iter().map(|value| value.row.as_str()).collect::<Vec<_>>(), ["crd_3"]);
    assert!(sealed::replace(&mut tx, &first, &[9], "k2").await.unwrap());
    assert!(!sealed::replace(&mut tx, &first, &[8], "k3").await.unwrap(), "it is not what was read any more");
    tx.commit().await.unwrap();
    let mut connection = bench.connect().await;
    let row = sqlx::query("SELECT sealed, key_id FROM credential WHERE id = 'crd_2'").fetch_one(&mut connection).await;
    let row = row.unwrap();
    assert_eq!((row.get::<Vec<u8>, _>("sealed"), row.get::<String, _>("key_id")), (vec![9], "k2".to_owned()));
    for column in [Column::Metadata, Column::AgentPassword] {
        assert!(sealed::list(&mut bench.reader().await, column, "", 9).await.unwrap().is_empty());
    }
}
