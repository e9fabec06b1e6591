//! Keys are verified again, each about once a day.
//!
//! It only enqueues: the Job asks. It sleeps until the next key is due. Nobody has to wake it: a key that is connected,
//! replaced or checked meanwhile is due a day later, and it looks at the rows more often than that.

use std::time::Duration;

use doce_model::{Actor, Connection, Ms, Outcome};
use doce_store::{connection, job};

use crate::{
    App, Error, chain,
    jobs::{connection_subject, verify_connection},
};

/// How long after a check a key is checked again, at the latest.
const DAY: Duration = Duration::from_hours(24);
/// How much earlier than that it may be: keys that were connected together are not checked together.
const SPREAD: Duration = Duration::from_hours(2);
/// Over how long checks that are overdue, because doce did not run, are spread.
const CATCH_UP: Duration = Duration::from_mins(10);
/// How long to sleep when nothing is due. A clock that was set is noticed after this.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);
/// How long after a failure to look again.
const AFTER_FAILURE: Duration = Duration::from_mins(5);

/// Enqueues checks until the server stops.
pub(crate) async fn follow(app: &App) {
    loop {
        let sleep = match enqueue_due(app).await {
            Ok(next) => next,
            Err(e) => {
                tracing::error!(error = chain(&e), "the keys that are to be verified could not be read");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// Enqueues what is due. Returns how long nothing more will be.
pub(crate) async fn enqueue_due(app: &App) -> Result<Duration, Error> {
    let mut read = app.store.read().await?;
    let connections = connection::verifiable(&mut read).await?;
    drop(read);
    let now = app.clock.now();
    let mut next = LONGEST_SLEEP;
    for record in connections.iter().filter(|record| verify_connection::is_possible(record)) {
        // Who lists models to anybody does so tomorrow, too.
        if record.verification.as_ref().is_some_and(|last| last.outcome == Outcome::Unsupported) {
            continue;
        }
        let due = due(record);
        if due > now {
            next = next.min(due.since(now));
            continue;
        }
        if let Err(e) = enqueue(app, record, now).await {
            // One user's full queue holds nobody else's keys back.
            tracing::warn!(connection = %record.id, error = chain(&e), "a key is not verified now");
        }
    }
    app.jobs.wake();
    Ok(next)
}

async fn enqueue(app: &App, record: &Connection, now: Ms) -> Result<(), Error> {
    let ctx = app.ctx(Actor::Reconciler("verifications"), &record.id.to_string());
    let mut tx = app.store.write(&ctx).await?;
    // A check or a renewal is under way, or waits for its time.
    if !job::live_for_subject(&mut tx, &connection_subject(record.id)).await?.is_empty() {
        return Ok(());
    }
    verify_connection::enqueue(app, &mut tx, record, now.plus(share(record, CATCH_UP))).await?;
    Ok(tx.commit().await?)
}

/// Returns when a key is to be checked again.
fn due(record: &Connection) -> Ms {
    let asked = record.verification.as_ref().map_or(record.created_at, |last| last.at);
    asked.plus(DAY.saturating_sub(share(record, SPREAD)))
}

/// Returns a part of a time, always the same for a Connection and different among them.
fn share(record: &Connection, whole: Duration) -> Duration {
    let hex = record.id.hex();
    let chance = hex.get(hex.len().saturating_sub(4)..).and_then(|end| u32::from_str_radix(end, 16).ok());
    whole * (chance.unwrap_or_default() % 1000) / 1000
}

#[cfg(test)]
mod tests {
    use doce_model::{AuthType, ConnectionId, ConnectionStatus, UserId, Verification};

    use super::*;

    const EARLIEST: Duration = DAY.saturating_sub(SPREAD);

    fn connection() -> Connection {
        Connection {
            id: ConnectionId::new(Ms(0)),
            user_id: UserId::new(Ms(0)),
            provider_id: "anthropic".to_owned(),
            label: "main".to_owned(),
            auth_type: AuthType::Api,
            status: ConnectionStatus::Connected,
            error_message: None,
            verification: None,
            base_url: None,
            is_default: true,
            fingerprint: String::new(),
            last_four: String::new(),
            version: 1,
            created_at: Ms(5),
            updated_at: Ms(5),
            expires_at: None,
            last_used_at: None,
            key_since: Ms(5),
            max_age_days: None,
            kept_version: None,
        }
    }

    #[test]
    fn a_key_is_due_within_a_day_of_its_last_check_and_not_when_its_neighbours_are() {
        let at = Ms(1_000_000);
        let dues: Vec<Duration> = (0..200)
            .map(|_| {
                let checked = Verification { outcome: Outcome::Valid, at, detail: String::new() };
                due(&Connection { verification: Some(checked), ..connection() }).since(at)
            })
            .collect();
        assert!(dues.iter().all(|due| (EARLIEST..=DAY).contains(due)), "{dues:?}");
        let halfway = EARLIEST + SPREAD / 2;
        let early = dues.iter().filter(|due| **due < halfway).count();
        assert!((50..150).contains(&early), "{early} of 200 are in the first half");
    }

    #[test]
    fn a_key_that_nobody_asked_about_is_due_within_a_day_of_its_connection() {
        assert!((EARLIEST..=DAY).contains(&due(&connection()).since(Ms(5))));
    }
}
