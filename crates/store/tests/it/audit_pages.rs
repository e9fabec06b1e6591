//! Pages of the audit log: what is on them, whose they are, and that none costs more than another.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use doce_model::{Actor, AuditAction, AuditEvent, ConnectionId, JobId, Ms, ProjectId, UserId};
use doce_store::audit::{self, Entry, Filter, Page, list::LOOKED_AT_MAX};

use crate::bench::{Bench, START};

/// Two people, their nouns, and what happens to them.
struct People {
    ada: UserId,
    bob: UserId,
    con: ConnectionId,
    other: ConnectionId,
    project: ProjectId,
}

impl People {
    fn new() -> Self {
        let at = |n| Ms(START.0 + n);
        Self {
            ada: UserId::new(at(0)),
            bob: UserId::new(at(1)),
            con: ConnectionId::new(at(0)),
            other: ConnectionId::new(at(1)),
            project: ProjectId::new(at(0)),
        }
    }

    /// The `n`th event of a long life: mostly use of one key, now and then something else, rarely somebody else.
    fn event(&self, n: usize) -> (Actor, AuditEvent) {
        match n % 1_000 {
            7 => (Actor::User(self.bob), AuditEvent::ok(AuditAction::Connect, &self.other)),
            500 => (Actor::User(self.ada), AuditEvent::ok(AuditAction::Verify, &self.con).fingerprint("f0")),
            900 => (Actor::Nobody, AuditEvent::refused(AuditAction::SignInRefused, "mallory", "sign_in_failed")),
            n if n % 20 == 3 => {
                let job =
                    Actor::Job(JobId::new(Ms(START.0 + i64::try_from(n).expect("it is below a thousand"))), self.ada);
                (job, AuditEvent::ok(AuditAction::Deliver, &self.con).project(self.project).fingerprint("f0"))
            }
            _ => {
                let event = AuditEvent::ok(AuditAction::Use, &self.con).of(self.ada).project(self.project);
                (Actor::Reconciler("follower"), event.fingerprint("f0").detail("3 answers"))
            }
        }
    }

    /// Writes events through the chain.
    async fn live(&self, bench: &Bench, count: usize) {
        let mut n = 0;
        while n < count {
            let (actor, event) = self.event(n);
            let mut tx = bench.store.write(&bench.ctx(actor.clone())).await.expect("it can be written");
            tx.audit(event).await.expect("it can be written");
            n += 1;
            // A transaction holds what one actor does in a row; each event goes through the chain all the same.
            while n < count {
                let (next, event) = self.event(n);
                if next != actor {
                    break;
                }
                tx.audit(event).await.expect("it can be written");
                n += 1;
            }
            tx.commit().await.expect("it can be written");
        }
    }
}

async fn page(bench: &Bench, filter: &Filter, before: Option<i64>, limit: usize) -> Page {
    audit::list(&mut bench.reader().await, filter, before, limit).await.expect("a page can be read")
}

/// All events that a filter lets through, read page by page, newest first.
async fn all(bench: &Bench, filter: &Filter, limit: usize) -> Vec<Entry> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = page(bench, filter, before, limit).await;
        assert!(page.entries.len() <= limit);
        found.extend(page.entries);
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn every_way_to_ask_finds_exactly_what_it_asks_for() {
    let bench = Bench::new().await;
    let people = People::new();
    people.live(&bench, 1_100).await;
    let whole = all(&bench, &Filter::default(), 100).await;
    assert_eq!(whole.len(), 1_100);
    assert!(whole.windows(2).all(|pair| pair[0].seq == pair[1].seq + 1));
    let mut ways = 0;
    for bits in 0_u32..64 {
        let given = |bit: u32| bits & (1 << bit) != 0;
        let filter = Filter {
            user_id: given(0).then_some(people.ada),
            noun: given(1).then(|| people.con.to_string()),
            connection_id: given(2).then_some(people.con),
            project_id: given(3).then_some(people.project),
            actor: given(4).then(|| people.ada.to_string()),
            action: given(5).then_some(AuditAction::Verify),
        };
        let expected: Vec<i64> = whole
            .iter()
            .filter(|e| !given(0) || e.user_id == Some(people.ada))
            .filter(|e| !(given(1) || given(2)) || e.noun == people.con.to_string())
            .filter(|e| !given(3) || e.project_id == Some(people.project))
            .filter(|e| !given(4) || e.actor == people.ada.to_string())
            .filter(|e| !given(5) || e.action == "verify")
            .map(|e| e.seq)
            .collect();
        let found: Vec<i64> = all(&bench, &filter, 7).await.iter().map(|e| e.seq).collect();
        assert_eq!(found, expected, "{filter:?}");
        let mut walked = Vec::new();
        let mut after = Some(0);
        while let Some(from) = after {
            let page = audit::walk(&mut bench.reader().await, &filter, from, 50).await.unwrap();
            walked.extend(page.entries.iter().map(|e| e.seq));
            after = page.next;
        }
        walked.reverse();
        assert_eq!(walked, expected, "{filter:?}, oldest first");
        ways += usize::from(!expected.is_empty());
    }
    assert!(ways > 20, "most ways found nothing to compare");
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_not_even_counted() {
    let bench = Bench::new().await;
    let people = People::new();
    people.live(&bench, 1_100).await;
    for filter in [
        Filter { noun: Some(people.con.to_string()), ..Filter::default() },
        Filter { connection_id: Some(people.con), ..Filter::default() },
        Filter { project_id: Some(people.project), ..Filter::default() },
        Filter { connection_id: Some(people.con), action: Some(AuditAction::Use), ..Filter::default() },
        Filter { noun: Some("mallory".to_owned()), ..Filter::default() },
    ] {
        let of_bob = Filter { user_id: Some(people.bob), ..filter };
        // No event, and no hint by a `next` that there would be some to look at.
        assert_eq!(page(&bench, &of_bob, None, 5).await, Page { entries: Vec::new(), next: None }, "{of_bob:?}");
    }
    let own = page(&bench, &Filter { user_id: Some(people.bob), ..Filter::default() }, None, 5).await;
    assert_eq!(own.entries.len(), 2);
    assert!(own.entries.iter().all(|e| e.noun == people.other.to_string()));
}

#[tokio::test]
async fn a_page_that_would_look_at_too_much_ends_early_and_says_where_to_go_on() {
    let bench = Bench::new().await;
    let people = People::new();
    people.live(&bench, 2 * LOOKED_AT_MAX + 2_000).await;
    // Nobody used this key by the command line: no index has both.
    let filter = Filter { connection_id: Some(people.con), actor: Some("cli".to_owned()), ..Filter::default() };
    let first = page(&bench, &filter, None, 50).await;
    let second = page(&bench, &filter, first.next, 50).await;
    assert!(first.entries.is_empty() && second.entries.is_empty());
    assert!(first.next.unwrap() > second.next.unwrap());
    assert_eq!(all(&bench, &filter, 50).await, []);
}

/// How many events the measurement writes; a million with `DOCE_TEST_AUDIT_EVENTS=1000000`.
#[expect(clippy::disallowed_methods, reason = "a test reads its own setting")]
fn measured_events() -> usize {
    std::env::var("DOCE_TEST_AUDIT_EVENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(4_000)
}

async fn cost(bench: &Bench, filter: &Filter, before: Option<i64>) -> Duration {
    let begun = Instant::now();
    page(bench, filter, before, 1_000).await;
    begun.elapsed()
}

#[tokio::test]
async fn any_page_costs_at_most_twice_the_first_page_of_a_thousand() {
    let count = measured_events();
    let (small, large, people) = (Bench::new().await, Bench::new().await, People::new());
    people.live(&small, 1_000).await;
    people.live(&large, count).await;
    let count = i64::try_from(count).unwrap();
    let ways = [
        Filter::default(),
        Filter { user_id: Some(people.ada), ..Filter::default() },
        Filter { connection_id: Some(people.con), ..Filter::default() },
        Filter { project_id: Some(people.project), ..Filter::default() },
        Filter { actor: Some("reconciler:follower".to_owned()), ..Filter::default() },
        Filter { action: Some(AuditAction::Use), ..Filter::default() },
        Filter { action: Some(AuditAction::Verify), ..Filter::default() },
        Filter { connection_id: Some(people.con), action: Some(AuditAction::Verify), ..Filter::default() },
        Filter { project_id: Some(people.project), action: Some(AuditAction::Deliver), ..Filter::default() },
        Filter { user_id: Some(people.ada), action: Some(AuditAction::Use), ..Filter::default() },
        Filter { user_id: Some(people.bob), ..Filter::default() },
        Filter { noun: Some("mallory".to_owned()), ..Filter::default() },
    ];
    let mut table = String::new();
    for filter in ways {
        for before in [None, Some(count / 2), Some(1_100)] {
            // Side by side, and the best of each: whatever else the machine does, it does to both.
            let (mut first, mut this) = (Duration::MAX, Duration::MAX);
            for round in 0..40 {
                first = first.min(cost(&small, &Filter::default(), None).await);
                this = this.min(cost(&large, &filter, before).await);
                if round > 1 && this <= 2 * first {
                    break;
                }
            }
            let ratio = this.as_secs_f64() / first.as_secs_f64();
            writeln!(table, "{ratio:.2} ({this:?} to {first:?}) before {before:?} {filter:?}").unwrap();
            assert!(this <= 2 * first, "of {count} events:\n{table}");
        }
    }
    // Shown with --nocapture.
    eprintln!("of {count} events:\n{table}");
}
