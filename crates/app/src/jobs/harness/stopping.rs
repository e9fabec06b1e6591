//! `stop_project` and `delete_project`: nothing runs any more; and nothing is there any more.
//!
//! Neither has an undo: what was asked for is still wanted. One that failed may have done nothing, half or all of its
//! work, and whoever asks again gets the rest.

use std::time::Duration;

use doce_jobs::{Jobs, harness::World};
use doce_model::{Desired, JobId, JobState, MessageState};
use doce_store::{conversation, job};
use doce_testkit::wait_for;

use super::machine::{BOUND, Machine};

/// Waits until everything runs that is to be stopped: an answer that hangs, and a preview.
async fn everything_runs() -> Machine {
    let machine = Machine::start().await;
    machine.create_project("[[say: It will be]] [[hang]]").await;
    machine.finish().await;
    wait_for("an answer that hangs", BOUND, async || {
        let messages = machine.messages().await;
        (messages.last()?.state == MessageState::Streaming).then_some(())
    })
    .await;
    wait_for("the preview's process", BOUND, async || {
        machine.markers().iter().any(|marker| marker.contains(".preview")).then_some(())
    })
    .await;
    machine
}

pub(super) struct Stop(Machine);

impl World for Stop {
    async fn fresh() -> Self {
        Self(everything_runs().await)
    }

    fn jobs(&self) -> Jobs {
        self.0.jobs()
    }

    async fn drain(&self) {
        self.0.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        let (user, id) = (self.0.user.clone(), self.0.project_id());
        self.0
            .run(|app, ctx| async move { app.stop_project(&ctx, &user, id).await })
            .await
            .expect("it can be stopped")
            .id
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    async fn assert_done(&self) {
        self.0.assert_stands_still().await;
        assert_eq!(self.0.project().await.expect("it is kept").desired, Desired::Stopped);
        // Nothing is lost: what was said, where it was said, what was made.
        self.0.assert_workspace();
        let messages = self.0.messages().await;
        assert_eq!(messages.len(), 2, "{messages:#?}");
        assert_ne!(messages[1].state, MessageState::Streaming, "{messages:#?}");
        let session = self.0.session().await.agent_session_id.expect("the conversation goes on some day");
        assert_eq!(self.0.agent_sessions(), [(session, 1)]);
        assert_eq!(self.0.prompts().len(), 1);
    }

    async fn assert_unwound(&self) {
        self.ask_again().await;
        self.assert_done().await;
    }
}

impl Stop {
    async fn ask_again(&self) {
        let again = self.enqueue().await;
        self.0.finish().await;
        assert_succeeded(&self.0, again).await;
    }
}

pub(super) struct Delete(Machine);

impl World for Delete {
    async fn fresh() -> Self {
        Self(everything_runs().await)
    }

    fn jobs(&self) -> Jobs {
        self.0.jobs()
    }

    async fn drain(&self) {
        self.0.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        let (user, id) = (self.0.user.clone(), self.0.project_id());
        let deletion = self.0.run(|app, ctx| async move { app.delete_project(&ctx, &user, id).await });
        deletion.await.expect("it can be deleted").id
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    async fn assert_done(&self) {
        let id = self.0.project_id();
        assert_eq!(self.0.project().await, None);
        let session =
            self.0.read(|app| async move { conversation::find_session(&mut app.store.read().await?, id).await });
        assert_eq!(session.await, None);
        self.0.assert_stands_still().await;
        assert!(!self.0.app().layout.project(id).exists(), "files are left");
    }

    async fn assert_unwound(&self) {
        // Where the rows were all that was left, there is nothing to ask for any more.
        if self.0.project().await.is_some() {
            let again = self.enqueue().await;
            self.0.finish().await;
            assert_succeeded(&self.0, again).await;
        }
        self.assert_done().await;
    }
}

async fn assert_succeeded(machine: &Machine, id: JobId) {
    let job = machine.read(|app| async move { job::find(&mut app.store.read().await?, id).await }).await;
    let job = job.expect("the job is there");
    assert_eq!(job.state, JobState::Succeeded, "{job:#?}");
}
