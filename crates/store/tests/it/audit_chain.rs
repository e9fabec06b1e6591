//! The chain over the audit events: what is done to it is noticed.

use doce_model::{Actor, AuditAction, AuditEvent, UserId};
use doce_store::audit::{
    self,
    chain::{Anchor, Fault, GENESIS, Verdict, link},
};

use crate::bench::{Bench, START};

fn broken(seq: i64, fault: Fault) -> Verdict {
    Verdict::Broken { seq, fault }
}

async fn head(bench: &Bench) -> Anchor {
    audit::head(&mut bench.reader().await).await.expect("there is a head")
}

#[tokio::test]
async fn an_untouched_log_is_whole_and_numbered_without_gaps() {
    let bench = Bench::new().await;
    assert_eq!(bench.verify(None).await, Verdict::Whole(Anchor { seq: 0, hash: GENESIS.to_owned() }));
    // More than a page.
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.unwrap();
    for n in 0..2_100 {
        tx.audit(AuditEvent::ok(AuditAction::Verify, &n)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let head = head(&bench).await;
    assert_eq!(head.seq, 2_100);
    assert_eq!(bench.verify(None).await, Verdict::Whole(head.clone()));
    assert_eq!(bench.verify(Some(&head)).await, Verdict::Whole(head));
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_leaves_no_gap() {
    let bench = Bench::new().await;
    bench.write_some(2).await;
    let mut tx = bench.store.write(&bench.ctx(Actor::Cli)).await.unwrap();
    tx.audit(AuditEvent::ok(AuditAction::Verify, "never")).await.unwrap();
    drop(tx);
    bench.write_some(1).await;
    assert_eq!(head(&bench).await.seq, 3);
    assert!(matches!(bench.verify(None).await, Verdict::Whole(_)));
}

#[tokio::test]
async fn events_written_at_the_same_time_are_one_chain() {
    let bench = Bench::new().await;
    let write = || bench.write_some(20);
    tokio::join!(write(), write(), write(), write());
    assert_eq!(head(&bench).await.seq, 80);
    assert!(matches!(bench.verify(None).await, Verdict::Whole(_)));
}

#[tokio::test]
async fn a_changed_field_is_noticed_whichever_it_is() {
    for change in [
        "id = 'aud_other'",
        "at = at + 1",
        "actor = 'cli'",
        "user_id = NULL",
        "user_id = 'not an id'",
        "action = 'connect'",
        "noun = 'another'",
        "project_id = 'prj_0198f0000000700080000000000000aa'",
        "outcome = 'refused'",
        "fingerprint = NULL",
        "fingerprint = ''",
        "detail = 'invalid'",
        "request_id = 'req_2'",
        "address = '192.0.2.8'",
        "hash = '0000'",
        // The same characters, in the other field.
        "fingerprint = 'f0valid', detail = ''",
    ] {
        let bench = Bench::new().await;
        bench.write_some(5).await;
        assert_eq!(bench.tamper(&format!("UPDATE audit_event SET {change} WHERE seq = 3")).await, 1);
        assert_eq!(bench.verify(None).await, broken(3, Fault::Changed), "{change}");
    }
}

#[tokio::test]
async fn a_removed_event_is_named_wherever_it_was() {
    for (removed, named) in
        [("seq = 1", 1), ("seq = 3", 3), ("seq IN (2, 4)", 2), ("seq = 5", 5), ("seq > 3", 4), ("seq > 0", 1)]
    {
        let bench = Bench::new().await;
        bench.write_some(5).await;
        assert!(bench.tamper(&format!("DELETE FROM audit_event WHERE {removed}")).await > 0);
        assert_eq!(bench.verify(None).await, broken(named, Fault::Missing), "{removed}");
    }
}

#[tokio::test]
async fn events_that_change_places_are_noticed() {
    let bench = Bench::new().await;
    bench.write_some(4).await;
    bench.tamper("UPDATE audit_event SET seq = -1 WHERE seq = 2").await;
    bench.tamper("UPDATE audit_event SET seq = 2 WHERE seq = 3").await;
    bench.tamper("UPDATE audit_event SET seq = 3 WHERE seq = -1").await;
    assert_eq!(bench.verify(None).await, broken(2, Fault::Changed));
}

#[tokio::test]
async fn an_event_that_was_put_in_is_noticed_even_if_its_hash_is_right() {
    let copy = "INSERT INTO audit_event SELECT {seq}, id, at, actor, user_id, action, noun, project_id, outcome,
        fingerprint, detail, request_id, address, {hash} FROM audit_event WHERE seq = 3";
    for (seq, expected) in [("-4", -4), ("0", 0), ("4", 4)] {
        let bench = Bench::new().await;
        bench.write_some(3).await;
        let last = audit::list(&mut bench.reader().await, &audit::Filter::default(), None, 1).await;
        let mut forged = last.unwrap().entries.remove(0);
        let before = forged.hash.clone();
        forged.seq = seq.parse().unwrap();
        let hash = format!("'{}'", link(&before, &forged));
        bench.tamper(&copy.replace("{seq}", seq).replace("{hash}", &hash)).await;
        assert_eq!(bench.verify(None).await, broken(expected, Fault::Inserted), "{seq}");
    }
}

#[tokio::test]
async fn a_head_that_says_something_else_is_noticed() {
    for (change, verdict) in [
        ("UPDATE audit_head SET seq = 4", broken(4, Fault::Missing)),
        ("UPDATE audit_head SET seq = 2", broken(3, Fault::Inserted)),
        ("UPDATE audit_head SET hash = 'x'", broken(3, Fault::Changed)),
        ("DELETE FROM audit_head", broken(3, Fault::Changed)),
    ] {
        let bench = Bench::new().await;
        bench.write_some(3).await;
        assert_eq!(bench.tamper(change).await, 1);
        assert_eq!(bench.verify(None).await, verdict, "{change}");
    }
}

#[tokio::test]
async fn a_log_that_was_written_anew_is_not_the_one_that_was_noted_down() {
    let bench = Bench::new().await;
    bench.write_some(4).await;
    let noted = head(&bench).await;
    // Somebody who can write to the database takes the last two off and fits the head to what is left …
    let third = audit::walk(&mut bench.reader().await, &audit::Filter::default(), 1, 1).await.unwrap();
    let hash = &third.entries[0].hash;
    bench.tamper("DELETE FROM audit_event WHERE seq > 2").await;
    bench.tamper(&format!("UPDATE audit_head SET seq = 2, hash = '{hash}'")).await;
    // … which by itself looks whole: that is the limit of a chain without a key.
    assert!(matches!(bench.verify(None).await, Verdict::Whole(_)));
    assert_eq!(bench.verify(Some(&noted)).await, broken(3, Fault::Missing));
    bench.write(Actor::User(UserId::new(START)), AuditEvent::ok(AuditAction::Verify, "other")).await;
    bench.write(Actor::User(UserId::new(START)), AuditEvent::ok(AuditAction::Verify, "events")).await;
    assert_eq!(bench.verify(Some(&noted)).await, broken(4, Fault::NotTheAnchor));
}

#[tokio::test]
async fn what_is_read_only_can_be_verified_while_it_is_written() {
    let bench = Bench::new().await;
    bench.write_some(3).await;
    let reading = doce_store::Store::open_to_read(bench.database()).await.unwrap();
    bench.write_some(2).await;
    let verdict = audit::chain::verify(&mut reading.read().await.unwrap(), None, |_, _| ()).await.unwrap();
    assert_eq!(verdict, Verdict::Whole(head(&bench).await));
    let refused = reading.write(&bench.ctx(Actor::Cli)).await;
    assert!(refused.is_err() || refused.unwrap().audit(AuditEvent::ok(AuditAction::Verify, "x")).await.is_err());
}

#[test]
fn an_anchor_reads_back_what_it_prints() {
    let anchor = Anchor { seq: 7, hash: "ab".repeat(32) };
    assert_eq!(anchor.to_string().parse(), Ok(anchor.clone()));
    assert_eq!(format!(" 7:{}\n", "AB".repeat(32)).parse(), Ok(anchor));
    for text in ["", "7", "7:", "7:xy", &format!("-1:{}", "ab".repeat(32)), &format!("7:{}", "zz".repeat(32))] {
        assert!(text.parse::<Anchor>().is_err(), "{text}");
    }
}

#[test]
fn the_form_of_the_chain_is_the_one_that_is_documented() {
    // Computed by the script in docs/audit.md. A change here breaks every log that exists.
    let entry = audit::Entry {
        seq: 1,
        id: "aud_0198f0000000700080000000000000aa".to_owned(),
        at: START,
        actor: "cli".to_owned(),
        user_id: None,
        action: "verify".to_owned(),
        noun: "con_0198f0000000700080000000000000aa".to_owned(),
        project_id: Some("prj_0198f0000000700080000000000000aa".parse().unwrap()),
        outcome: "ok".to_owned(),
        fingerprint: Some("f0".to_owned()),
        detail: None,
        request_id: "req_1".to_owned(),
        address: None,
        hash: String::new(),
    };
    assert_eq!(link(GENESIS, &entry), "ff5ef3f2e03065829bd33182cc14e004052bee9da553f1319335db49ba74732a");
}
