//! `send_prompt`: a running Agent has the Prompt, exactly once.

use std::time::Duration;

use doce_jobs::{Jobs, harness::World};
use doce_model::{JobId, Message, MessageState, SessionStatus};
use doce_testkit::wait_for;

use super::machine::{BOUND, KEY, Machine};

/// The answer hangs, so that there is something to abort.
pub(super) struct Send(Machine);

impl World for Send {
    // Exactly once, wherever it is cut off.
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
        let (user, id) = (self.0.user.clone(), self.0.project_id());
        let prompt = "Now a shop [[hang]]".to_owned();
        let prompted = self.0.run(|app, ctx| async move { app.prompt(&ctx, &user, id, prompt, None).await });
        prompted.await.expect("the prompt is accepted").1.id
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    async fn assert_done(&self) {
        wait_for("a busy agent", BOUND, async || (self.0.agent()?.status() == SessionStatus::Busy).then_some(())).await;
        let message = self.message().await;
        assert_eq!(message.state, MessageState::Sent, "{message:#?}");
        self.assert_sent(1).await;
    }

    async fn assert_unwound(&self) {
        wait_for("an idle agent", BOUND, async || self.0.agent()?.is_idle().then_some(())).await;
        let settled = wait_for("the prompt's fate", BOUND, async || {
            let messages = self.0.messages().await;
            let open = [MessageState::Waiting, MessageState::Sending, MessageState::Streaming];
            let settled = messages.iter().all(|message| !open.contains(&message.state));
            settled.then(|| messages[2].clone())
        });
        let settled = settled.await;
        if settled.state == MessageState::Failed {
            assert_eq!(settled.failure.map(|failure| failure.code).as_deref(), Some("injected"));
            self.assert_sent(0).await;
        } else {
            self.assert_sent(1).await;
        }
    }
}

impl Send {
    /// The Prompt, behind the first one and its answer.
    async fn message(&self) -> Message {
        self.0.messages().await.remove(2)
    }

    /// Asserts that the Agent, which goes on, was given the Prompt so often, whole.
    async fn assert_sent(&self, count: usize) {
        let message = self.message().await;
        let prompts = self.0.prompts();
        assert_eq!(prompts.len(), 1 + count, "{prompts:#?}");
        assert!(prompts[1..].iter().all(|prompt| prompt.message_id == message.agent_message_id), "{prompts:#?}");
        let session = self.0.session().await.agent_session_id.expect("there is a session");
        assert_eq!(self.0.agent_sessions(), [(session, 1 + count)]);
        self.0.assert_runs(KEY, 1).await;
    }
}
