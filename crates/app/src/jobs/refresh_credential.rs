//! Renews the tokens of a login: doce alone does, so that a rotating refresh token is never used twice.
//!
//! The queue runs one Job per Connection at a time, on however many servers share the database. The new pair is stored
//! before anybody is told of it. A crash between the provider's answer and the commit loses the login: the provider
//! counts the old token as used, and the person is asked to sign in again.

use std::time::Duration;

use doce_jobs::{Backoff, Definition, New, Policy, Step, StepCtx, StepError};
use doce_model::{
    AuditAction, AuditEvent, AuthType, Connection, ConnectionId, ConnectionStatus, Failure, NextMove, Outcome, Role,
    Verification,
};
use doce_store::{Tx, connection, user};
use serde::{Deserialize, Serialize};

use crate::{
    App, Error,
    connections::Secret,
    jobs::{connection_subject, step_error},
    logins::{
        renewal::{self, RenewalError},
        tokens,
    },
};

pub(crate) const KIND: &str = "refresh_credential";

/// What the Job is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The Connection.
    pub(crate) connection_id: String,
    /// The version to be renewed: a newer one needs nothing.
    pub(crate) version: i64,
}

pub(crate) fn definition(app: &App) -> Definition {
    let a = app.clone();
    let renew = Step::new("renew_tokens", "Renew the sign-in", move |step| {
        let app = a.clone();
        async move { renew(&app, &step).await }
    })
    .attempts(6)
    .backoff(Backoff { first: Duration::from_secs(5), ..Backoff::default() })
    .timeout(Duration::from_mins(2));
    Definition::new(KIND, vec![renew]).background()
}

/// Enqueues a renewal of a Connection's present tokens in the caller's transaction.
pub(crate) async fn enqueue(app: &App, tx: &mut Tx, record: &Connection) -> Result<(), Error> {
    let payload = Payload { connection_id: record.id.to_string(), version: record.version };
    let new = New::new(KIND, connection_subject(record.id), record.user_id).payload(&payload).policy(Policy::Coalesce);
    app.jobs.enqueue(tx, new).await.map_err(crate::projects::enqueue_error)?;
    Ok(())
}

async fn renew(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let payload: Payload = step.payload()?;
    let Ok(id) = payload.connection_id.parse::<ConnectionId>() else {
        return Ok(());
    };
    let Some((record, role)) = present(app, id, payload.version).await? else {
        return Ok(());
    };
    let opened = app.open_credential(&record).await.map_err(step_error)?;
    let Secret::Tokens(old) = opened.secret else {
        return Ok(());
    };
    let renewed = renewal::renew(&app.config.token_endpoints, &record.provider_id, &old, role, app.clock.now()).await;
    let name = app.provider_name(&record.provider_id);
    match renewed {
        Ok(new) => {
            let secret = tokens::to_secret(&new).map_err(step_error)?;
            let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
            let found = connection::find(&mut tx, id).await.map_err(StepError::internal)?;
            // Disconnected, or signed in anew, while the provider answered: what it gave belongs to nobody.
            let Some(mut record) = found.filter(|found| is_present(found, payload.version)) else {
                return Ok(());
            };
            let verification =
                Verification { outcome: Outcome::Valid, at: tx.now(), detail: format!("{name} renewed the sign-in.") };
            app.write_version(&mut tx, &mut record, &new, &secret, verification).await.map_err(step_error)?;
            tx.audit(AuditEvent::ok(AuditAction::Refresh, &record.id).fingerprint(&record.fingerprint))
                .await
                .map_err(StepError::internal)?;
            tx.commit().await.map_err(StepError::internal)?;
            app.jobs.wake();
            app.renewals.notify_one();
            app.publish_connections(record.user_id).await.map_err(step_error)
        }
        Err(RenewalError::Later { reason }) => Err(StepError::retry(Failure::new(
            "not_renewed",
            format!("{name} could not renew the sign-in: {reason}."),
            NextMove::Retry,
        ))),
        Err(RenewalError::Final { word }) => {
            // Somebody else may have won the race: then there is a newer version, and nothing is lost.
            let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
            let found = connection::find(&mut tx, id).await.map_err(StepError::internal)?;
            let Some(mut record) = found.filter(|found| is_present(found, payload.version)) else {
                return Ok(());
            };
            let message = if word == "not_renewable" {
                format!("The sign-in at {name} has run out. Sign in again.")
            } else {
                format!("{name} doesn't renew this sign-in any more ({word}). Sign in again.")
            };
            record.status = ConnectionStatus::Expired;
            record.error_message = Some(message.clone());
            connection::update(&mut tx, &record).await.map_err(StepError::internal)?;
            tx.audit(AuditEvent::refused(AuditAction::Refresh, &record.id, &word).fingerprint(&record.fingerprint))
                .await
                .map_err(StepError::internal)?;
            tx.commit().await.map_err(StepError::internal)?;
            app.publish_connections(record.user_id).await.map_err(step_error)?;
            Err(StepError::fail(Failure::new("login_expired", message, NextMove::ReplaceKey).about(id)))
        }
    }
}

/// Returns the Connection if its tokens are still those that were to be renewed, and what its owner may do. Nothing is
/// done for one who was disabled since: their tokens are due again when they are enabled.
async fn present(app: &App, id: ConnectionId, version: i64) -> Result<Option<(Connection, Role)>, StepError> {
    let mut read = app.store.read().await.map_err(StepError::internal)?;
    let found = connection::find(&mut read, id).await.map_err(StepError::internal)?;
    let Some(record) = found.filter(|found| is_present(found, version)) else {
        return Ok(None);
    };
    let owner = user::find(&mut read, record.user_id).await.map_err(StepError::internal)?;
    Ok(owner.filter(|owner| owner.disabled_at.is_none()).map(|owner| (record, owner.role)))
}

fn is_present(record: &Connection, version: i64) -> bool {
    record.version == version && record.auth_type == AuthType::OAuth && record.status != ConnectionStatus::Revoked
}
