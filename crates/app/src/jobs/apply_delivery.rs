//! Changes what a running Agent holds, after its owner changed a Connection.
//!
//! A replaced key never cuts an answer: while the Agent is busy nothing is enqueued, the Delivery is shown as *stale*,
//! and the follower enqueues this Job when the Agent is idle. A disconnected one is taken back at once.

use std::{collections::BTreeSet, slice, sync::Arc, time::Duration};

use doce_jobs::{Backoff, Definition, New, Policy, Step};
use doce_model::{Actor, DeliveryStatus, ProjectId, UserId};
use doce_store::{Tx, delivery, project};
use serde::{Deserialize, Serialize};

use crate::{App, Error, agents::Agent, chain, jobs::instance_subject, steps};

pub(crate) const KIND: &str = "apply_delivery";
/// How often it is tried again to hand over what an Agent did not take.
const MORE_TRIES: u32 = 5;
/// How long to wait before it is tried again: what ails an Agent may take minutes to pass.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(5), max: Duration::from_mins(5) };

/// What the Job is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The Instance.
    pub(crate) instance_id: String,
}

pub(crate) fn definition(app: &App) -> Definition {
    let a = app.clone();
    let apply = Step::new("apply_delivery", "Hand over the changed keys", move |step| {
        let app = a.clone();
        async move { steps::delivery::apply(&app, &step).await }
    })
    .timeout(Duration::from_mins(3))
    .attempts(1 + MORE_TRIES)
    .backoff(BACKOFF);
    Definition::new(KIND, vec![apply])
}

/// Enqueues, in the caller's transaction, a Job for each Agent of a user.
pub(crate) async fn enqueue_for_user(app: &App, tx: &mut Tx, user_id: UserId) -> Result<(), Error> {
    let agents: Vec<_> = app.agents.all().into_iter().filter(|agent| agent.user_id == user_id).collect();
    enqueue(app, tx, user_id, &agents).await
}

/// Enqueues, in the caller's transaction, a Job for the Agent of a Project, if it has one.
pub(crate) async fn enqueue_for_project(app: &App, tx: &mut Tx, id: ProjectId) -> Result<(), Error> {
    match app.agents.find(id) {
        Some(agent) => enqueue(app, tx, agent.user_id, &[agent]).await,
        None => Ok(()),
    }
}

async fn enqueue(app: &App, tx: &mut Tx, user_id: UserId, agents: &[Arc<Agent>]) -> Result<(), Error> {
    // Those of Projects that were deleted a moment ago are about to end.
    let projects = project::named(tx, &agents.iter().map(|agent| agent.project_id).collect(), user_id).await?;
    let projects: BTreeSet<ProjectId> = projects.into_iter().map(|project| project.id).collect();
    let new = agents.iter().filter(|agent| projects.contains(&agent.project_id)).map(|agent| {
        New::new(KIND, instance_subject(agent.instance_id), user_id)
            .project(agent.project_id)
            .payload(&Payload { instance_id: agent.instance_id.to_string() })
            .policy(Policy::Coalesce)
    });
    app.jobs.enqueue_all(tx, new.collect()).await.map_err(crate::projects::enqueue_error)?;
    Ok(())
}

/// Enqueues a Job if the Agent holds an older version than there is, be it that it could not be handed another. Called
/// when it becomes idle.
pub(crate) async fn enqueue_if_stale(app: &App, agent: &Arc<Agent>) {
    let enqueued = async {
        let deliveries = delivery::of_instance(&mut app.store.read().await?, agent.instance_id).await?;
        let stale = deliveries.iter().any(|delivery| match delivery.status {
            DeliveryStatus::Stale | DeliveryStatus::Pending | DeliveryStatus::Failed => true,
            DeliveryStatus::Delivered | DeliveryStatus::Revoked => false,
        });
        if stale {
            let ctx = app.ctx(Actor::Reconciler("deliveries"), &agent.instance_id.to_string());
            let mut tx = app.store.write(&ctx).await?;
            enqueue(app, &mut tx, agent.user_id, slice::from_ref(agent)).await?;
            tx.commit().await?;
            app.jobs.wake();
        }
        Ok::<(), Error>(())
    };
    if let Err(e) = enqueued.await {
        tracing::error!(instance = %agent.instance_id, error = chain(&e), "a stale delivery was not taken up");
    }
}
