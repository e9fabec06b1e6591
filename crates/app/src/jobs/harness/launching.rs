//! `launch_project`: a Project is there, runs, and has its first Prompt exactly once; also where it waited for a key.

use std::time::Duration;

use doce_jobs::{
    Jobs,
    harness::{Fault, Kind, World},
};
use doce_model::{Direction, JobId, MessageState, project::ProjectState};
use doce_store::{instance, job};
use doce_testkit::wait_for;

use super::machine::{BOUND, KEY, Machine};

pub(super) struct Launch(Machine);

impl World for Launch {
    async fn fresh() -> Self {
        Self(Machine::start().await)
    }

    fn jobs(&self) -> Jobs {
        self.0.jobs()
    }

    async fn drain(&self) {
        self.0.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        self.0.create_project("A bakery [[say: It is done.]]").await
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    async fn assert_done(&self) {
        self.0.wait_for_answer().await;
        self.0.assert_runs(KEY, 1).await;
        let messages = self.0.messages().await;
        assert_eq!(messages.len(), 2, "{messages:#?}");
        assert_eq!(messages[0].state, MessageState::Sent, "{messages:#?}");
        assert_eq!(messages[1].parts[0].text.as_deref(), Some("It is done."));
        self.assert_prompts(1).await;
    }

    async fn cancel(&self, id: JobId) {
        let user = self.0.user.clone();
        let cancelled = self.0.run(move |app, ctx| async move { app.cancel_job(&ctx, &user, id).await }).await;
        cancelled.expect("it can be cancelled");
    }

    async fn assert_unwound(&self) {
        self.assert_taken_back("injected").await;
        assert_eq!(self.0.project_state().await, ProjectState::Failed);
    }

    async fn assert_cancelled(&self) {
        self.assert_taken_back("not_sent").await;
        assert_eq!(self.0.project_state().await, ProjectState::Stopped);
    }
}

impl Launch {
    /// Asserts that nothing is left of the launch, and that the Prompt says so with this code if it was never sent.
    async fn assert_taken_back(&self, code: &str) {
        assert!(self.0.project().await.is_some(), "the project is kept, to be started again");
        self.0.assert_stands_still().await;
        let session = self.0.session().await;
        let message = self.0.messages().await.remove(0);
        if self.0.prompts().is_empty() {
            assert_eq!(session.agent_session_id, None);
            self.0.assert_no_workspace();
            let unsent = wait_for("the prompt's fate", BOUND, async || {
                let message = self.0.messages().await.remove(0);
                (message.state == MessageState::Failed).then_some(message)
            });
            assert_eq!(unsent.await.failure.map(|failure| failure.code).as_deref(), Some(code));
        } else {
            // What an Agent worked on stays.
            assert_ne!(session.agent_session_id, None);
            self.0.assert_workspace();
            self.assert_prompts(1).await;
            let open = [MessageState::Waiting, MessageState::Sending, MessageState::Streaming];
            assert!(!open.contains(&message.state), "{message:?}");
        }
    }

    /// Asserts that the Agent was prompted so often, in one session, which is the one that doce knows.
    async fn assert_prompts(&self, count: usize) {
        let prompts = self.0.prompts();
        assert_eq!(prompts.len(), count, "{prompts:#?}");
        let session = self.0.session().await.agent_session_id.expect("it was prompted in a session");
        assert!(prompts.iter().all(|prompt| prompt.session_id == session), "{prompts:#?}");
        // A session that was made when doce was killed stays behind empty.
        for (id, prompts) in self.0.agent_sessions() {
            assert_eq!(prompts, if id == session { count } else { 0 });
        }
    }
}

/// Its provider was disconnected when nobody had begun yet, and is connected again as soon as the launch waits for it.
pub(super) struct LaunchWithoutKey(Launch);

impl World for LaunchWithoutKey {
    async fn fresh() -> Self {
        Self(Launch::fresh().await)
    }

    fn jobs(&self) -> Jobs {
        self.0.jobs()
    }

    async fn drain(&self) {
        self.0.drain().await;
        let Machine { user, .. } = &self.0.0;
        let user = user.id;
        let waiting =
            self.0.0.read(|app| async move { job::waiting(&mut app.store.read().await?, Some(user)).await }).await;
        if waiting.is_empty() {
            return;
        }
        assert_eq!(waiting[0].waits_for().map(|needed| needed.code.as_str()), Some("needs_key"), "{waiting:#?}");
        assert!(self.0.0.prompts().is_empty(), "nothing was said without a key");
        self.0.0.connect().await;
        self.0.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        let id = self.0.enqueue().await;
        let (user, connection) = (self.0.0.user.clone(), self.0.0.connections().await[0].id);
        let disconnected = self.0.0.run(|app, ctx| async move { app.disconnect(&ctx, &user, connection).await }).await;
        disconnected.expect("it is disconnected");
        id
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    async fn assert_done(&self) {
        self.0.assert_done().await;
    }

    async fn assert_unwound(&self) {
        self.0.assert_unwound().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ends_between_two_steps_is_told_as_one_that_ends_in_one() {
    let machine = Machine::start().await;
    let fault =
        Fault { job: None, step: "wait_healthy".to_owned(), way: Direction::Forward, kind: Kind::KillInside(1) };
    machine.jobs().inject(fault);
    let id = machine.create_project("[[say: Never said.]]").await;
    machine.drain().await;
    let agent = machine.agent().expect("it was started, and nobody has waited for it yet");
    let instance_id = agent.instance_id;
    machine.run(|_, _| async move { agent.running.stop(BOUND).await }).await.expect("it ends");
    wait_for("its end is known", BOUND, async || machine.agent().is_none().then_some(())).await;

    machine.jobs().recover().await.expect("the database works");
    machine.finish().await;

    let project = machine.project_id();
    let last = machine.read(move |app| async move { instance::find_last(&mut app.store.read().await?, project).await });
    let last = last.await.expect("there was one");
    assert_eq!(last.id, instance_id, "it was started again");
    let job = machine.read(move |app| async move { job::find(&mut app.store.read().await?, id).await }).await;
    let failure = job.and_then(|job| job.failure).expect("it failed");
    let ending = last.ending.expect("its end is on record");
    assert_eq!(failure.code, "agent_exited");
    assert_eq!(failure.message, format!("The agent {ending} before it was ready. Its log says why."));
    machine.assert_stands_still().await;
}
