//! The Agents that run: how to reach each, what its Session is doing, and what happens when it ends.
//!
//! The rows say which Instances there should be; this registry holds what can't be in a row: the client, the process,
//! the gate before prompts. It is empty after a start, and filled by adoption and by Jobs.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use doce_model::{Actor, InstanceId, MessageState, Ms, Observed, ProjectId, SessionId, SessionStatus, UserId};
use doce_opencode::Client;
use doce_runtime::{Ending, Running};
use doce_store::{conversation, delivery, instance};
use tokio::{
    sync::{RwLock, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{App, beneath, follower::Live, reconcilers::restarts, retry::until_done};

/// How long an Agent may take to end before it is killed.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(4);

/// How long after a Prompt its answer may take to begin. Beyond that, an idle Agent has let go of it.
pub(crate) const ANSWER_BEGINS_WITHIN: Duration = Duration::from_secs(5);

/// How an Instance ended that doce stopped.
pub(crate) const STOPPED: &str = "stopped";
/// How an Instance ended whose Agent never answered.
pub(crate) const DID_NOT_START: &str = "did not start";

/// How an Instance ended whose Agent gave no usable answer any more. That is its own end: it is started again.
const UNANSWERING: &str = "gave no usable answer any more and was ended";

/// Tells whether an Instance ended by doce's doing, rather than by itself.
pub(crate) fn is_ours(ending: &str) -> bool {
    ending == STOPPED || ending == DID_NOT_START
}

/// An Agent that runs.
pub(crate) struct Agent {
    pub(crate) instance_id: InstanceId,
    pub(crate) project_id: ProjectId,
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) client: Client,
    pub(crate) running: Running,
    /// Prompts pass while nobody changes what the Agent holds.
    pub(crate) gate: RwLock<()>,
    pub(crate) status: watch::Sender<SessionStatus>,
    /// The Parts that are being written.
    pub(crate) live: Mutex<Live>,
    /// Fires when the Agent has ended, or is not to be followed any more.
    pub(crate) ended: CancellationToken,
    /// Whether somebody of ours is ending it: then its end is no surprise.
    pub(crate) stopping: AtomicBool,
    /// Whether it is being ended because it answers nothing.
    unanswering: AtomicBool,
    /// Whether the user stopped the present answer.
    pub(crate) aborted: AtomicBool,
    /// When a Prompt passed whose answer hasn't begun: the Agent calls itself idle until then.
    prompted: Mutex<Option<Instant>>,
    following: AtomicBool,
    /// When it was last of use to somebody, in milliseconds.
    last_used: AtomicI64,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Agent({})", self.instance_id)
    }
}

impl Agent {
    pub(crate) fn status(&self) -> SessionStatus {
        self.status.borrow().clone()
    }

    pub(crate) fn is_idle(&self) -> bool {
        match &*self.status.borrow() {
            SessionStatus::None | SessionStatus::Idle => true,
            SessionStatus::Busy | SessionStatus::Retry { .. } => false,
        }
    }

    /// Notes that it was of use to somebody.
    pub(crate) fn used(&self, now: Ms) {
        self.last_used.fetch_max(now.0, Ordering::SeqCst);
    }

    /// Returns when it was last of use to somebody.
    pub(crate) fn last_used(&self) -> Ms {
        Ms(self.last_used.load(Ordering::SeqCst))
    }

    /// Notes that a Prompt passed. Call it while the gate is held.
    pub(crate) fn note_prompt(&self) {
        *self.prompted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Notes that an answer has begun.
    pub(crate) fn note_answer(&self) {
        *self.prompted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns until when an answer may still begin, if a Prompt passed and none has.
    fn awaits_answer(&self) -> Option<Instant> {
        let prompted = *self.prompted.lock().unwrap_or_else(PoisonError::into_inner);
        prompted.map(|at| at + ANSWER_BEGINS_WITHIN).filter(|until| *until > Instant::now())
    }

    /// Tells whether nothing is being answered, nor about to be.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.is_idle() && self.awaits_answer().is_none()
    }

    /// Waits until the answer to a Prompt that passed has begun, or will not any more.
    pub(crate) async fn answer_begun(&self) {
        let mut status = self.status.subscribe();
        while let Some(until) = self.awaits_answer().filter(|_| self.is_idle()) {
            tokio::select! {
                // An error means that the sender is gone, and with it the Agent.
                changed = status.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until) => {}
                () = self.ended.cancelled() => return,
            }
        }
    }

    /// Waits until the Session does nothing, or the Agent has ended.
    pub(crate) async fn idle(&self) {
        let mut status = self.status.subscribe();
        let idle = status.wait_for(|status| match status {
            SessionStatus::None | SessionStatus::Idle => true,
            SessionStatus::Busy | SessionStatus::Retry { .. } => false,
        });
        tokio::select! {
            // An error means that the sender is gone, and with it the Agent.
            result = idle => drop(result),
            () = self.ended.cancelled() => {}
        }
    }

    /// Returns whether this call is the first: one follower per Agent.
    pub(crate) fn begin_following(&self) -> bool {
        !self.following.swap(true, Ordering::SeqCst)
    }
}

/// The Agents that run, by Project.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    by_project: Mutex<HashMap<ProjectId, Arc<Agent>>>,
    /// How the last one ended by itself, where none has come since: a step that looks for it says so.
    endings: Mutex<HashMap<ProjectId, String>>,
}

/// What is needed to register an Agent.
pub(crate) struct Arrival {
    pub(crate) instance_id: InstanceId,
    pub(crate) project_id: ProjectId,
    pub(crate) user_id: UserId,
    pub(crate) session_id: SessionId,
    pub(crate) client: Client,
    pub(crate) running: Running,
}

impl Agents {
    pub(crate) fn find(&self, project_id: ProjectId) -> Option<Arc<Agent>> {
        self.by_project.lock().unwrap_or_else(PoisonError::into_inner).get(&project_id).cloned()
    }

    pub(crate) fn find_instance(&self, id: InstanceId) -> Option<Arc<Agent>> {
        let agents = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        agents.values().find(|agent| agent.instance_id == id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Agent>> {
        self.by_project.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Returns how the last Agent of a Project ended, if it did so by itself while this server ran; once.
    pub(crate) fn take_ending(&self, project_id: ProjectId) -> Option<String> {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner).remove(&project_id)
    }

    fn add(&self, agent: &Arc<Agent>) {
        drop(self.take_ending(agent.project_id));
        let mut agents = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        agents.insert(agent.project_id, Arc::clone(agent));
    }

    fn remove(&self, agent: &Agent, ending: &str) {
        let mut agents = self.by_project.lock().unwrap_or_else(PoisonError::into_inner);
        if agents.get(&agent.project_id).is_some_and(|found| found.instance_id == agent.instance_id) {
            // Before it is gone: who finds no Agent must find its ending.
            if !is_ours(ending) {
                let mut endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
                endings.insert(agent.project_id, ending.to_owned());
            }
            agents.remove(&agent.project_id);
        }
    }
}

/// Takes note of an Agent whose process runs, and watches for its end.
pub(crate) fn register(app: &App, arrival: Arrival) -> Arc<Agent> {
    let agent = Arc::new(Agent {
        instance_id: arrival.instance_id,
        project_id: arrival.project_id,
        user_id: arrival.user_id,
        session_id: arrival.session_id,
        client: arrival.client,
        running: arrival.running,
        gate: RwLock::new(()),
        status: watch::Sender::new(SessionStatus::Idle),
        live: Mutex::default(),
        ended: CancellationToken::new(),
        stopping: AtomicBool::new(false),
        unanswering: AtomicBool::new(false),
        aborted: AtomicBool::new(false),
        prompted: Mutex::new(None),
        following: AtomicBool::new(false),
        last_used: AtomicI64::new(app.clock.now().0),
    });
    app.agents.add(&agent);
    note_rest(app, &agent);
    let (app, watched) = (app.clone(), Arc::clone(&agent));
    app.clone().tasks.spawn(async move {
        let ending = tokio::select! {
            ending = watched.running.exited() => ending,
            // At our own end the Agent is stopped by `stop_all`, or outlives us.
            () = app.stopping.cancelled() => return,
        };
        ended(&app, &watched, ending).await;
    });
    agent
}

/// Notes each time that an answer ends: from then on the Agent rests.
fn note_rest(app: &App, agent: &Arc<Agent>) {
    let (app, agent) = (app.clone(), Arc::clone(agent));
    let mut status = agent.status.subscribe();
    app.clone().tasks.spawn(async move {
        loop {
            app.room.rests();
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                () = agent.ended.cancelled() => return,
                () = app.stopping.cancelled() => return,
            }
            agent.used(app.clock.now());
        }
    });
}

/// Stops an Agent: its answer is aborted, its process tree ends, and what it held is gone.
pub(crate) async fn stop(app: &App, agent: &Arc<Agent>) -> Result<(), crate::Error> {
    agent.stopping.store(true, Ordering::SeqCst);
    // OpenCode has no graceful way to end on SIGTERM: an answer that runs would stay "running" for ever in its files.
    if !agent.is_idle() {
        let session = {
            let mut read = app.store.read().await?;
            conversation::find_session(&mut read, agent.project_id).await?.and_then(|s| s.agent_session_id)
        };
        if let Some(session) = session {
            let aborted = tokio::time::timeout(Duration::from_secs(2), async {
                agent.client.abort(&session).await?;
                agent.idle().await;
                Ok::<(), doce_opencode::CallError>(())
            })
            .await;
            if !matches!(aborted, Ok(Ok(()))) {
                tracing::info!(instance = %agent.instance_id, "the agent did not abort its answer in time");
            }
        }
    }
    let ending = agent.running.stop(STOP_GRACE).await.map_err(crate::Error::internal)?;
    ended(app, agent, ending).await;
    Ok(())
}

/// Ends an Agent that gives no usable answer any more. To everybody else it ended by itself.
pub(crate) async fn end_unanswering(agent: &Agent) {
    if agent.stopping.load(Ordering::SeqCst) {
        return;
    }
    agent.unanswering.store(true, Ordering::SeqCst);
    tracing::error!(instance = %agent.instance_id, "the agent gives no usable answer any more: it is ended");
    if let Err(e) = agent.running.stop(STOP_GRACE).await {
        tracing::error!(instance = %agent.instance_id, error = crate::chain(&e), "the agent could not be ended");
    }
}

/// Records whether an Agent answers, if that is news.
pub(crate) async fn observe(app: &App, agent: &Agent, observed: Observed) {
    let recorded = async {
        let row = instance::find(&mut app.store.read().await?, agent.instance_id).await?;
        if row.is_none_or(|row| row.observed == observed) {
            return Ok(());
        }
        let ctx = app.ctx(Actor::Reconciler("follower"), &agent.instance_id.to_string());
        let mut tx = app.store.write(&ctx).await?;
        instance::observe(&mut tx, agent.instance_id, observed).await?;
        tx.commit().await?;
        app.publish_project(agent.project_id).await;
        Ok::<(), crate::Error>(())
    };
    if let Err(e) = recorded.await {
        tracing::error!(instance = %agent.instance_id, error = crate::chain(&e), "whether an agent answers was not recorded");
    }
}

/// Stops every Agent, at a clean end of the server.
pub(crate) async fn stop_all(app: &App, grace: Duration) {
    let stops = app.agents.all().into_iter().map(|agent| async move {
        if let Err(e) = stop(app, &agent).await {
            tracing::error!(instance = %agent.instance_id, error = crate::chain(&e), "the agent could not be stopped");
        }
    });
    if tokio::time::timeout(grace, futures::future::join_all(stops)).await.is_err() {
        tracing::error!("some agents did not end in time");
    }
    tracing::debug!("the agents have ended");
}

/// Records the end of an Agent that was registered. Does nothing the second time.
async fn ended(app: &App, agent: &Arc<Agent>, ending: Ending) {
    agent.ended.cancel();
    let words = if agent.stopping.load(Ordering::SeqCst) {
        STOPPED.to_owned()
    } else if agent.unanswering.load(Ordering::SeqCst) {
        UNANSWERING.to_owned()
    } else {
        ending.to_string()
    };
    app.agents.remove(agent, &words);
    app.room.look();
    agent.status.send_replace(SessionStatus::None);
    app.previews.stop(agent.project_id).await;
    note_end(app, agent.project_id, agent.instance_id, words).await;
}

/// Records the end of an Instance and what follows from it: at once, or as soon as the database takes it. Until then its
/// row would keep the Project from being started again.
pub(crate) async fn note_end(app: &App, project_id: ProjectId, instance_id: InstanceId, words: String) {
    if let Err(e) = record_end(app, project_id, instance_id, &words).await {
        tracing::error!(instance = %instance_id, error = crate::chain(&e), "the end of an agent was not recorded");
        let app = app.clone();
        app.clone().tasks.spawn(async move {
            let record = || record_end(&app, project_id, instance_id, &words);
            if until_done(&app, "the end of an agent was not recorded", record).await.is_some() {
                follow_end(&app, project_id).await;
            }
        });
        return;
    }
    follow_end(app, project_id).await;
}

async fn follow_end(app: &App, project_id: ProjectId) {
    restarts::look(app, project_id).await;
    app.publish_project(project_id).await;
}

/// Records the end of an Instance: its credential file goes, its Deliveries die, its answers are interrupted. Does
/// nothing where that is on record.
pub(crate) async fn record_end(
    app: &App,
    project_id: ProjectId,
    instance_id: InstanceId,
    ending: &str,
) -> Result<(), crate::Error> {
    let row = async { instance::find(&mut app.store.read().await?, instance_id).await };
    // Invariant: what is recorded late touches nothing of the Agent that came after it.
    if matches!(row.await, Ok(Some(row)) if row.ended_at.is_some()) {
        return Ok(());
    }
    forget_credentials(app, project_id).await;
    // Crash: before the row, which is all by which the directory is found again.
    let directory = app.layout.instance(instance_id);
    tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&directory) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%directory, error = %e, "an instance's directory was not removed");
        }
        Ok(()) | Err(_) => {}
    })
    .await
    .map_err(crate::Error::internal)?;
    let ctx = app.ctx(Actor::Reconciler("instances"), &instance_id.to_string());
    let mut tx = app.store.write(&ctx).await?;
    if !instance::end(&mut tx, instance_id, ending).await? {
        return Ok(());
    }
    delivery::end_all(&mut tx, instance_id).await?;
    let mut interrupted = Vec::new();
    if let Some(session) = conversation::find_session(&mut tx, project_id).await? {
        for mut message in conversation::in_states(&mut tx, session.id, &[MessageState::Streaming]).await? {
            message.state = MessageState::Interrupted;
            message.completed_at = Some(tx.now());
            conversation::update_message(&mut tx, &message).await?;
            interrupted.push(message);
        }
        // A Prompt that the Agent took and never answered.
        if let Some(mut last) = conversation::last(&mut tx, session.id).await?
            && last.state == MessageState::Sent
        {
            last.state = MessageState::Interrupted;
            conversation::update_message(&mut tx, &last).await?;
            interrupted.push(last);
        }
    }
    tx.commit().await?;
    for message in interrupted {
        app.publish_message(project_id, message.id).await;
    }
    if let Ok(project) = app.find_project(project_id).await {
        app.publish_connections(project.user_id).await?;
    }
    Ok(())
}

/// Removes the file in which an Agent keeps credentials. A Delivery dies with its Instance.
pub(crate) async fn forget_credentials(app: &App, project_id: ProjectId) {
    let home = app.layout.project(project_id).join("home");
    let removed = tokio::task::spawn_blocking(move || {
        if !home.exists() {
            return Ok(());
        }
        // Links that the Agent may have put there are not followed: only a file of this very home is removed.
        for name in ["auth.json", "auth.json.tmp"] {
            beneath::remove(&home, "opencode", name)?;
        }
        Ok::<(), beneath::BeneathError>(())
    })
    .await;
    match removed {
        Ok(Ok(())) => {}
        Ok(Err(e)) => {
            tracing::error!(project = %project_id, error = crate::chain(&e), "auth.json was not removed");
        }
        Err(e) => tracing::error!(project = %project_id, error = %e, "auth.json was not removed"),
    }
}
