//! `verify_connection`: a Connection says what its Provider says about the key.
//!
//! It has no undo: a question changes nothing at the Provider. After one that failed, the next day's brings about what it
//! did not.

use std::time::Duration;

use doce_jobs::{Jobs, harness::World};
use doce_model::{ConnectionStatus, JobId, Outcome};
use doce_store::job;
use doce_testkit::ScriptedModel;

use super::machine::Machine;
use crate::{jobs::connection_subject, reconcilers::verifications};

const DAY: Duration = Duration::from_hours(24);

/// The provider has withdrawn the key since it was connected.
pub(super) struct Withdrawn(Machine);

impl Withdrawn {
    /// Lets a day pass. Returns the Job that asks then.
    async fn next_day(&self) -> JobId {
        self.0.advance(DAY);
        self.0.run(|app, _| async move { verifications::enqueue_due(&app).await }).await.expect("the database works");
        let subject = connection_subject(self.0.connections().await[0].id);
        let live =
            self.0.read(|app| async move { job::live_for_subject(&mut app.store.read().await?, &subject).await });
        let live = live.await;
        assert_eq!(live.len(), 1, "{live:#?}");
        live[0].id
    }
}

impl World for Withdrawn {
    async fn fresh() -> Self {
        let machine = Machine::start().await;
        machine.model.accept_keys(["sk-another-key-altogether"]);
        Self(machine)
    }

    fn jobs(&self) -> Jobs {
        self.0.jobs()
    }

    async fn drain(&self) {
        self.0.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        self.next_day().await
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    async fn assert_done(&self) {
        let connections = self.0.connections().await;
        let said = &connections[0];
        assert_eq!(said.status, ConnectionStatus::Error, "{said:#?}");
        assert_eq!(said.verification.as_ref().map(|last| last.outcome), Some(Outcome::Invalid), "{said:#?}");
        assert_eq!(said.version, 1, "a question makes no new version");
    }

    async fn assert_unwound(&self) {
        self.next_day().await;
        self.0.finish().await;
        self.assert_done().await;
    }
}

/// What the only Connection says, once everything that is due was done.
async fn asked_again(machine: &Machine) -> (ConnectionStatus, Outcome) {
    machine.advance(DAY);
    machine.run(|app, _| async move { verifications::enqueue_due(&app).await }).await.expect("the database works");
    machine.finish().await;
    let connections = machine.connections().await;
    (connections[0].status, connections[0].verification.as_ref().expect("it was asked").outcome)
}

/// Whether anything is to be asked.
async fn is_due(machine: &Machine) -> bool {
    machine.run(|app, _| async move { verifications::enqueue_due(&app).await }).await.expect("the database works");
    machine.jobs().next_due().await.expect("the database works").is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_asked_about_once_a_day_and_its_status_follows_the_answers() {
    let machine = Machine::start().await;
    let asked = machine.model.count();
    machine.advance(DAY.saturating_sub(Duration::from_hours(3)));
    assert!(!is_due(&machine).await, "nobody is asked twice a day");
    assert_eq!(asked_again(&machine).await, (ConnectionStatus::Connected, Outcome::Valid));
    assert_eq!(machine.model.count(), asked + 1, "the provider was asked once");
    assert!(!is_due(&machine).await, "what was just checked isn't due");

    machine.model.accept_keys(["sk-another-key-altogether"]);
    assert_eq!(asked_again(&machine).await, (ConnectionStatus::Error, Outcome::Invalid));
    machine.model.accept_keys([super::machine::KEY]);
    assert_eq!(asked_again(&machine).await, (ConnectionStatus::Connected, Outcome::Valid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_can_not_be_reached_takes_nobodys_key_away() {
    let mut machine = Machine::start().await;
    std::mem::replace(&mut machine.model, ScriptedModel::start().await).stop().await;
    assert_eq!(asked_again(&machine).await, (ConnectionStatus::Connected, Outcome::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_requests_of_agents_bring_about_one_check_and_the_next_some_minutes_later() {
    let machine = Machine::start().await;
    let id = machine.connections().await[0].id;
    let rejected = || machine.run(move |app, _| async move { app.mark_rejected(id, 1, "It rejected this key.").await });
    machine.advance(Duration::from_hours(1));
    rejected().await.expect("it is written down");
    assert_eq!(machine.connections().await[0].status, ConnectionStatus::Error);
    machine.drain().await;
    // The key is good: only what was asked for was refused.
    let asked = &machine.connections().await[0];
    assert_eq!(asked.status, ConnectionStatus::Connected, "{asked:#?}");
    let checks = machine.model.count();
    for _ in 0..3 {
        rejected().await.expect("it is written down");
        machine.drain().await;
    }
    assert_eq!(machine.model.count(), checks, "nobody is asked again at once");
    assert_eq!(machine.connections().await[0].status, ConnectionStatus::Error);
    machine.advance(Duration::from_mins(6));
    machine.drain().await;
    assert_eq!(machine.model.count(), checks + 1);
    assert_eq!(machine.connections().await[0].status, ConnectionStatus::Connected);
}
