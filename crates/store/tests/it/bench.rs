//! A database of its own for each test, a clock that the test sets, and a way around the store for whoever tampers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use doce_model::{Actor, AuditAction, AuditEvent, Clock, Ctx, Ms, UserId};
use doce_store::{
    Database, Store,
    audit::chain::{self, Anchor, Verdict},
};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

use crate::backend::Fresh;

/// The moment at which every test begins.
pub(crate) const START: Ms = Ms(1_790_000_000_000);

/// A clock that goes only when it is told to.
#[derive(Debug, Clone)]
pub(crate) struct SetClock(Arc<AtomicI64>);

impl Clock for SetClock {
    fn now(&self) -> Ms {
        Ms(self.0.load(Ordering::SeqCst))
    }
}

pub(crate) struct Bench {
    fresh: Fresh,
    pub(crate) store: Store,
    clock: SetClock,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let fresh = Fresh::new().await;
        let store = Store::open(&fresh.database).await.expect("the database does what it is told");
        Self { fresh, store, clock: SetClock(Arc::new(AtomicI64::new(START.0))) }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.fresh.database
    }

    /// Connects to the database, around the store.
    pub(crate) async fn connect(&self) -> AnyConnection {
        connect(&self.fresh).await
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock
            .0
            .fetch_add(i64::try_from(by.as_millis()).expect("the database does what it is told"), Ordering::SeqCst);
    }

    pub(crate) fn ctx(&self, actor: Actor) -> Ctx {
        Ctx::new(actor, "req_1", Some("192.0.2.7".to_owned()), Arc::new(self.clock.clone()))
    }

    /// Writes an event in a transaction of its own.
    pub(crate) async fn write(&self, actor: Actor, event: AuditEvent) {
        let mut tx = self.store.write(&self.ctx(actor)).await.expect("the database does what it is told");
        tx.audit(event).await.expect("the database does what it is told");
        tx.commit().await.expect("the database does what it is told");
    }

    /// Writes this many events that have every field.
    pub(crate) async fn write_some(&self, count: usize) {
        for n in 0..count {
            self.advance(Duration::from_secs(1));
            let event = AuditEvent::ok(AuditAction::Verify, &format!("noun {n}")).fingerprint("f0").detail("valid");
            self.write(Actor::User(UserId::new(START)), event).await;
        }
    }

    pub(crate) async fn reader(&self) -> doce_store::Reader {
        self.store.read().await.expect("it can be read")
    }

    pub(crate) async fn verify(&self, anchor: Option<&Anchor>) -> Verdict {
        chain::verify(&mut self.reader().await, anchor, |_, _| ()).await.expect("the database does what it is told")
    }

    /// Does something to the database that doce doesn't do.
    pub(crate) async fn tamper(&self, sql: &str) -> u64 {
        tamper(&self.fresh, sql).await
    }
}

/// Connects to a database, around the store.
pub(crate) async fn connect(fresh: &Fresh) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(&fresh.url()).await.expect("the database does what it is told")
}

/// Does something to a database, around the store.
pub(crate) async fn tamper(fresh: &Fresh, sql: &str) -> u64 {
    let mut connection = connect(fresh).await;
    let done = connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("the database does what it is told");
    connection.close().await.expect("the database does what it is told");
    done.rows_affected()
}
