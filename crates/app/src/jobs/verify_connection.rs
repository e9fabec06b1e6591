//! Asks a Provider again about a key that is connected: daily, and after it rejected an Agent's request.
//!
//! What comes of it is an outcome like any other: rejected, the Connection says so; good again, it is connected again;
//! a Provider that can't be reached changes nothing about it.

use std::time::Duration;

use doce_jobs::{Definition, New, Policy, Step, StepCtx, StepError};
use doce_model::{AuthType, Connection, ConnectionId, ConnectionStatus, Ms, custom_provider::CUSTOM_PREFIX};
use doce_opencode::endpoints;
use doce_store::{Tx, connection, user};
use serde::{Deserialize, Serialize};

use crate::{
    App, Error,
    jobs::{connection_subject, step_error},
    probe,
    projects::enqueue_error,
};

pub(crate) const KIND: &str = "verify_connection";

/// How long after a check an Agent's rejected request brings about the next one: a loop of such requests asks no more
/// often than this.
const ASKED_AGAIN_AFTER: Duration = Duration::from_mins(5);

/// What the Job is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The Connection.
    pub(crate) connection_id: String,
    /// The version to be checked: a newer one was checked when it came.
    pub(crate) version: i64,
}

pub(crate) fn definition(app: &App) -> Definition {
    let a = app.clone();
    let ask = Step::new("ask_provider", "Ask the provider about the key", move |step| {
        let app = a.clone();
        async move { ask(&app, &step).await }
    });
    Definition::new(KIND, vec![ask]).background()
}

/// Whether there is an honest question to ask about this Connection's key or login.
pub(crate) fn is_possible(record: &Connection) -> bool {
    if record.auth_type == AuthType::OAuth {
        return probe::is_possible_of_login(&record.provider_id);
    }
    // An endpoint of a user's own lists its models.
    record.provider_id.starts_with(CUSTOM_PREFIX)
        || endpoints::find(&record.provider_id)
            .is_some_and(|found| found.refusal().is_none() && probe::is_possible(found))
}

/// Enqueues a check in the caller's transaction, to be done at `run_at`.
pub(crate) async fn enqueue(app: &App, tx: &mut Tx, record: &Connection, run_at: Ms) -> Result<(), Error> {
    let payload = Payload { connection_id: record.id.to_string(), version: record.version };
    let new = New::new(KIND, connection_subject(record.id), record.user_id)
        .payload(&payload)
        .policy(Policy::Coalesce)
        .run_at(run_at);
    app.jobs.enqueue(tx, new).await.map_err(enqueue_error)?;
    Ok(())
}

/// Enqueues a check because an Agent's request was rejected: at once, unless there was one a moment ago.
pub(crate) async fn enqueue_after_rejection(app: &App, tx: &mut Tx, record: &Connection) -> Result<(), Error> {
    if !is_possible(record) {
        return Ok(());
    }
    let asked = record.verification.as_ref().map(|last| last.at.plus(ASKED_AGAIN_AFTER));
    let run_at = asked.map_or(tx.now(), |again| again.max(tx.now()));
    enqueue(app, tx, record, run_at).await
}

/// Effect: the Connection says what its Provider says. A repeat asks again, which costs nothing. No undo: it was only
/// a question.
async fn ask(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let payload: Payload = step.payload()?;
    let Ok(id) = payload.connection_id.parse::<ConnectionId>() else {
        return Ok(());
    };
    let mut read = app.store.read().await.map_err(StepError::internal)?;
    let found = connection::find(&mut read, id).await.map_err(StepError::internal)?;
    let Some(record) =
        found.filter(|found| found.version == payload.version && found.status != ConnectionStatus::Revoked)
    else {
        return Ok(());
    };
    let Some(owner) = user::find(&mut read, record.user_id).await.map_err(StepError::internal)? else {
        return Ok(());
    };
    drop(read);
    let answer = match app.ask_again(&record, owner.role).await {
        Ok(answer) => answer,
        // Disconnected in this very moment.
        Err(Error::NotFound { noun: "connection", .. }) => return Ok(()),
        Err(e) => return Err(step_error(e)),
    };
    app.settle_answer(&step.ctx, &record, &answer).await.map_err(step_error)?;
    Ok(())
}
