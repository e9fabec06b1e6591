//! Which Connection pays in a Project, Provider by Provider: the one chosen for it, or else its owner's default.

use doce_model::{
    AuditAction, AuditEvent, Connection, ConnectionId, Ctx, Delivery, DeliveryStatus, JobState, ProjectId, User,
};
use doce_store::{Read, Tx, connection, delivery, instance, job};

use crate::{
    App, Error,
    jobs::{apply_delivery, instance_subject},
    projects::own_project,
    views::ProjectConnectionView,
};

impl App {
    /// Lists the Connections that a Project uses, each with how far its Agent has it.
    pub async fn project_connections(
        &self,
        _ctx: &Ctx,
        user: &User,
        id: ProjectId,
    ) -> Result<Vec<ProjectConnectionView>, Error> {
        let mut read = self.store.read().await?;
        own_project(&mut read, user, id).await?;
        let chosen = connection::chosen(&mut read, id).await?;
        let in_use = connection::of_project(&mut read, id, user.id).await?;
        let held = match instance::find_live(&mut read, id).await? {
            Some(instance) => held(&mut read, instance.id).await?,
            None => Vec::new(),
        };
        let mut views: Vec<_> = in_use
            .into_iter()
            .map(|connection| ProjectConnectionView {
                provider_name: self.provider_name(&connection.provider_id),
                chosen: chosen.iter().any(|(_, id)| *id == connection.id),
                delivery: held.iter().find(|d| d.provider_id == connection.provider_id).cloned(),
                connection,
            })
            .collect();
        views.sort_by(|a, b| a.provider_name.cmp(&b.provider_name));
        Ok(views)
    }

    /// Refuses a choice of Connections that aren't the user's, or not to that Provider.
    pub(crate) async fn check_choice(
        &self,
        read: &mut impl Read,
        user: &User,
        choice: &[(String, ConnectionId)],
    ) -> Result<Vec<Connection>, Error> {
        let mut chosen = Vec::with_capacity(choice.len());
        for (provider_id, id) in choice {
            let connection = self.own_connection(read, user.id, *id).await?;
            if connection.provider_id != *provider_id {
                return Err(Error::Invalid {
                    field: "connections",
                    message: format!("The connection `{}` is not one to `{provider_id}`.", connection.label),
                });
            }
            chosen.push(connection);
        }
        Ok(chosen)
    }

    /// Chooses in the caller's transaction who pays in a Project from here on. Its Agent is told when it is idle: an
    /// answer is paid for by whom it began with.
    pub(crate) async fn switch_connections(
        &self,
        tx: &mut Tx,
        user: &User,
        id: ProjectId,
        choice: &[(String, Option<ConnectionId>)],
    ) -> Result<(), Error> {
        if choice.is_empty() {
            return Ok(());
        }
        let chosen: Vec<_> = choice.iter().filter_map(|(provider, id)| id.map(|id| (provider.clone(), id))).collect();
        for connection in self.check_choice(tx, user, &chosen).await? {
            connection::choose(tx, id, user.id, &connection.provider_id, connection.id).await?;
        }
        for (provider_id, _) in choice.iter().filter(|(_, id)| id.is_none()) {
            connection::unchoose(tx, id, provider_id).await?;
        }
        let mut payers = connection::of_project(tx, id, user.id).await?;
        payers.retain(|payer| choice.iter().any(|(provider_id, _)| *provider_id == payer.provider_id));
        for connection in &payers {
            tx.audit(
                AuditEvent::ok(AuditAction::SwitchConnection, &connection.id)
                    .project(id)
                    .fingerprint(&connection.fingerprint),
            )
            .await?;
        }
        if let Some(instance) = instance::find_live(tx, id).await? {
            for old in delivery::of_instance(tx, instance.id).await? {
                let is_other =
                    payers.iter().any(|new| new.provider_id == old.provider_id && new.id != old.connection_id);
                if is_other && old.status == DeliveryStatus::Delivered {
                    delivery::upsert(tx, &waits_for_other(old, tx.now()), user.id).await?;
                }
            }
        }
        apply_delivery::enqueue_for_project(self, tx, id).await
    }
}

/// What is said of a Delivery while another Connection of its Provider waits to take its place.
pub(crate) fn waits_for_other(old: Delivery, now: doce_model::Ms) -> Delivery {
    Delivery {
        status: DeliveryStatus::Stale,
        reason: Some("another connection waits until the agent is idle".to_owned()),
        updated_at: now,
        ..old
    }
}

/// Lists what an Instance was handed. What waits and was tried in vain is said to have failed, and why.
async fn held(read: &mut impl Read, id: doce_model::InstanceId) -> Result<Vec<Delivery>, Error> {
    let held = delivery::of_instance(read, id).await?;
    // Nothing else has an Instance for its subject.
    let last = job::present(read, &[instance_subject(id)].into()).await?.pop();
    let failure = last.and_then(|job| match job.state {
        JobState::Failed | JobState::Stuck => job.failure,
        JobState::Queued | JobState::Running | JobState::Succeeded | JobState::Cancelled => None,
    });
    let Some(failure) = failure else { return Ok(held) };
    let told = |delivery: Delivery| match delivery.status {
        DeliveryStatus::Pending | DeliveryStatus::Stale => {
            Delivery { status: DeliveryStatus::Failed, reason: Some(failure.message.clone()), ..delivery }
        }
        DeliveryStatus::Delivered | DeliveryStatus::Revoked | DeliveryStatus::Failed => delivery,
    };
    Ok(held.into_iter().map(told).collect())
}
