//! Tokens of logins are renewed before they run out.
//!
//! It only enqueues: the Job asks. It sleeps until the next tokens are due, and is woken when newer ones appear.

use std::time::Duration;

use doce_model::{Actor, Ms};
use doce_store::{connection, connection::Expiring};

use crate::{App, Error, chain, jobs::refresh_credential, logins::renewal};

/// How long to sleep when nothing is due. A clock that was set is noticed after this.
const LONGEST_SLEEP: Duration = Duration::from_hours(1);
/// How long after a failure to look again: of the database, or of a provider that could not be reached.
const AFTER_FAILURE: Duration = Duration::from_mins(5);

/// Enqueues renewals until the server stops.
pub(crate) async fn follow(app: &App) {
    loop {
        let sleep = match enqueue_due(app).await {
            Ok(next) => next,
            Err(e) => {
                tracing::error!(error = chain(&e), "the logins that run out could not be read");
                AFTER_FAILURE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            () = app.renewals.notified() => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// Returns how long nothing will be due.
async fn enqueue_due(app: &App) -> Result<Duration, Error> {
    let expiring = connection::expiring(&mut app.store.read().await?).await?;
    let now = app.clock.now();
    let mut next = LONGEST_SLEEP;
    for tokens in expiring {
        let due = due(&tokens);
        if due > now {
            next = next.min(due.since(now));
            continue;
        }
        let ctx = app.ctx(Actor::Reconciler("renewals"), &tokens.connection_id.to_string());
        let mut tx = app.store.write(&ctx).await?;
        let found = connection::find(&mut tx, tokens.connection_id).await?;
        // Renewed since it was read above: the newer tokens are not due, and have a line of their own the next time.
        let Some(record) = found.filter(|found| found.version == tokens.version) else {
            continue;
        };
        if !renewal::is_possible(&record.provider_id) && tokens.expires_at > now {
            // Nothing can be done before they have run out; then it is said.
            next = next.min(tokens.expires_at.since(now));
            continue;
        }
        refresh_credential::enqueue(app, &mut tx, &record).await?;
        tx.commit().await?;
        app.jobs.wake();
        next = next.min(AFTER_FAILURE);
    }
    Ok(next)
}

/// Returns when tokens are to be renewed: when four fifths of their life have passed, and up to a twentieth earlier, so
/// that the logins of one evening don't all come due at once.
fn due(tokens: &Expiring) -> Ms {
    let life = tokens.expires_at.since(tokens.issued_at);
    let spread = u32::from(tokens.connection_id.hex().bytes().last().unwrap_or_default() % 16);
    tokens.issued_at.plus(life * (256 - spread) / 320)
}

#[cfg(test)]
mod tests {
    use doce_model::{ConnectionId, UserId};

    use super::*;

    #[test]
    fn tokens_are_due_between_three_and_four_fifths_of_their_life() {
        for _ in 0..64 {
            let tokens = Expiring {
                connection_id: ConnectionId::new(Ms(0)),
                user_id: UserId::new(Ms(0)),
                version: 1,
                issued_at: Ms(1_000_000),
                expires_at: Ms(1_000_000 + 3_600_000),
            };
            let due = due(&tokens).0 - 1_000_000;
            assert!((2_700_000..=2_880_000).contains(&due), "{due}");
        }
    }
}
