//! `apply_delivery`: a running Agent holds what its owner's Connections say now.
//!
//! It has no undo: what changed stays changed. After one that failed, the next one brings about what it did not; the
//! follower enqueues it when the Agent is idle.

use std::time::Duration;

use doce_jobs::{Jobs, harness::World};
use doce_model::{DeliveryStatus, JobId, JobState};
use doce_opencode::ReadBack;
use doce_store::{delivery, job};
use doce_vault::SecretString;
use serde_json::json;

use super::machine::{KEY, Machine};
use crate::{
    ConnectionChange,
    jobs::{apply_delivery, instance_subject},
};

const NEW_KEY: &str = "sk-second-9876543210";

/// The Job that waits for the Agent.
async fn waiting(machine: &Machine) -> JobId {
    let agent = machine.agent().expect("the agent runs");
    let subject = instance_subject(agent.instance_id);
    let live = machine.read(|app| async move { job::live_for_subject(&mut app.store.read().await?, &subject).await });
    let live = live.await;
    assert_eq!(live.len(), 1, "{live:#?}");
    live[0].id
}

async fn connection(machine: &Machine) -> doce_model::ConnectionId {
    machine.connections().await[0].id
}

/// The key was replaced.
pub(super) struct Replace(Machine);

impl World for Replace {
    async fn fresh() -> Self {
        let mut world = Self(Machine::with_a_running_project("[[say: It is done.]]").await);
        // Who begins to follow during an answer is told of it twice, by what there is and by what happens, and takes the
        // Agent for busy once more after the end. A doce that comes later finds it idle, and that is all there is to it.
        world.restart().await;
        world
    }

    fn jobs(&self) -> Jobs {
        self.0.jobs()
    }

    async fn drain(&self) {
        self.0.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        let (user, id) = (self.0.user.clone(), connection(&self.0).await);
        let change = ConnectionChange { key: Some(SecretString::from(NEW_KEY)), ..ConnectionChange::default() };
        let changed = self.0.run(|app, ctx| async move { app.change_connection(&ctx, &user, id, change).await });
        changed.await.expect("the key is replaced");
        waiting(&self.0).await
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
        // Until it is followed again it isn't known to be idle, and the Job leaves the rest to the one after it.
        if let Some(agent) = self.0.agent() {
            self.0.run(|_, _| async move { agent.idle().await }).await;
        }
    }

    async fn assert_done(&self) {
        self.0.assert_runs(NEW_KEY, 2).await;
        assert_eq!(self.0.prompts().len(), 1, "handing over says nothing");
    }

    async fn assert_unwound(&self) {
        let agent = self.0.agent().expect("the agent goes on");
        let again = self.0.run(|app, _| async move { apply_delivery::enqueue_if_stale(&app, &agent).await });
        again.await;
        self.0.finish().await;
        self.assert_done().await;
    }
}

/// The provider was disconnected.
pub(super) struct Disconnect(Machine);

impl World for Disconnect {
    // What the Agent has, what it uses and what the rows say change one after the other.
    const KILLED_AT_EVERY_WAIT: bool = true;

    async fn fresh() -> Self {
        Self(Machine::with_a_running_project("[[say: It is done.]]").await)
    }

    fn jobs(&self) -> Jobs {
        self.0.jobs()
    }

    async fn drain(&self) {
        self.0.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        let (user, id) = (self.0.user.clone(), connection(&self.0).await);
        let disconnected = self.0.run(|app, ctx| async move { app.disconnect(&ctx, &user, id).await });
        disconnected.await.expect("it is disconnected");
        waiting(&self.0).await
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    async fn assert_done(&self) {
        let agent = self.0.agent().expect("the agent goes on");
        let id = agent.instance_id;
        let held =
            self.0.read(|app| async move { delivery::of_instance(&mut app.store.read().await?, id).await }).await;
        assert!(held.iter().all(|delivery| delivery.status == DeliveryStatus::Revoked), "{held:#?}");
        assert_eq!(held.len(), 1, "{held:#?}");
        assert_eq!(self.0.keys(), Some(json!({})));
        assert_eq!(self.0.held(KEY).await, ReadBack::Unknown, "the agent still works with the key");
    }

    async fn assert_unwound(&self) {
        // Here the user presses *Retry*.
        let filter = job::Filter { state: Some(JobState::Failed), ..job::Filter::default() };
        let failed = self.0.read(|app| async move { job::list(&mut app.store.read().await?, &filter, None, 1).await });
        let (user, id) = (self.0.user.clone(), failed.await[0].id);
        let again = self.0.run(|app, ctx| async move { app.retry_job(&ctx, &user, id).await });
        again.await.expect("it can be retried");
        self.0.finish().await;
        self.assert_done().await;
    }
}
