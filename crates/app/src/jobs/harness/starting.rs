//! `start_project`: a stopped Project runs again, with the conversation it had, if it had one.

use std::time::Duration;

use doce_jobs::{
    Jobs,
    harness::{Fault, Kind, World},
};
use doce_model::{Direction, JobId};
use doce_store::instance;

use super::machine::{KEY, Machine};
use crate::{App, agents};

async fn start(machine: &Machine) -> JobId {
    let (user, id) = (machine.user.clone(), machine.project_id());
    let start = machine.run(|app, ctx| async move { app.start_project(&ctx, &user, id).await });
    start.await.expect("it can be started").id
}

pub(super) struct Start {
    machine: Machine,
    /// The Agent's session before the stop.
    session: String,
}

impl World for Start {
    async fn fresh() -> Self {
        let machine = Machine::with_a_running_project("[[say: It is done.]]").await;
        let session = machine.session().await.agent_session_id.expect("it has a session");
        let (user, id) = (machine.user.clone(), machine.project_id());
        let stop = machine.run(|app, ctx| async move { app.stop_project(&ctx, &user, id).await });
        stop.await.expect("it can be stopped");
        machine.finish().await;
        machine.assert_stands_still().await;
        Self { machine, session }
    }

    fn jobs(&self) -> Jobs {
        self.machine.jobs()
    }

    async fn drain(&self) {
        self.machine.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        start(&self.machine).await
    }

    fn advance(&self, by: Duration) {
        self.machine.advance(by);
    }

    async fn restart(&mut self) {
        self.machine.restart().await;
    }

    async fn assert_done(&self) {
        self.machine.assert_runs(KEY, 1).await;
        self.assert_kept().await;
    }

    async fn assert_unwound(&self) {
        self.machine.assert_stands_still().await;
        self.machine.assert_workspace();
        self.assert_kept().await;
    }
}

impl Start {
    /// Asserts that the conversation is the one before the stop.
    async fn assert_kept(&self) {
        assert_eq!(self.machine.session().await.agent_session_id.as_ref(), Some(&self.session));
        assert_eq!(self.machine.agent_sessions(), [(self.session.clone(), 1)]);
        assert_eq!(self.machine.prompts().len(), 1, "a start says nothing");
        assert_eq!(self.machine.messages().await.len(), 2);
    }
}

/// The Project's launch failed before anything was said, and was undone.
pub(super) struct StartAnew(Machine);

impl World for StartAnew {
    async fn fresh() -> Self {
        let machine = Machine::start().await;
        let fault =
            Fault { job: None, step: "create_session".to_owned(), way: Direction::Forward, kind: Kind::FailBefore };
        machine.jobs().inject(fault);
        machine.create_project("[[say: Never said.]]").await;
        machine.finish().await;
        machine.assert_no_workspace();
        Self(machine)
    }

    fn jobs(&self) -> Jobs {
        self.0.jobs()
    }

    async fn drain(&self) {
        self.0.drain().await;
    }

    async fn enqueue(&self) -> JobId {
        start(&self.0).await
    }

    fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    async fn restart(&mut self) {
        self.0.restart().await;
    }

    async fn assert_done(&self) {
        self.0.assert_runs(KEY, 1).await;
        let session = self.0.session().await.agent_session_id.expect("there is a session");
        assert_eq!(self.0.agent_sessions(), [(session, 0)]);
        assert_eq!(self.0.prompts(), [], "a start says nothing");
    }

    async fn assert_unwound(&self) {
        self.0.assert_stands_still().await;
        self.0.assert_no_workspace();
        assert_eq!(self.0.session().await.agent_session_id, None);
        assert_eq!(self.0.agent_sessions(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_recorded_late_touches_nothing_of_the_agent_that_came_after_it() {
    let Start { machine, .. } = Start::fresh().await;
    let project = machine.project_id();
    let last = |app: App| async move { instance::find_last(&mut app.store.read().await?, project).await };
    let old = machine.read(last).await.expect("there was one");
    start(&machine).await;
    machine.finish().await;
    machine.assert_runs(KEY, 1).await;

    let id = old.id;
    let recorded = machine.run(move |app, _| async move { agents::record_end(&app, project, id, "ended late").await });
    recorded.await.expect("there is nothing to record");

    machine.assert_runs(KEY, 1).await;
    let row = machine.read(move |app| async move { instance::find(&mut app.store.read().await?, id).await }).await;
    assert_eq!(row, Some(old));
}
