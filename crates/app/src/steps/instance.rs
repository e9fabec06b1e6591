//! The Instance: its Agent is started, waited for, and stopped.

use std::{sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use doce_jobs::{Step, StepCtx, StepError};
use doce_model::{Desired, Failure, Instance, InstanceId, NextMove, Observed, Project, ProjectId};
use doce_opencode::{Client, HealthError};
use doce_store::{Trouble, instance};
use doce_vault::Identity;

use crate::{
    App,
    agents::{self, Agent, Arrival},
    chain,
    conversations::session_of,
    jobs::{project_id, step_error},
    keys::AGENT_PASSWORD,
    program::{self, AgentPlace, WORKSPACE},
    reconcilers::restarts,
    room,
    steps::{delivery, workspace},
};

/// How long an Agent may take until it answers. Warm it takes 1.5 s, the first time 3.7 s (OpenCode 1.18.33, observed).
const HEALTHY_BOUND: Duration = Duration::from_mins(1);
/// How long `OpenCode`'s installation may hold a launch back: 60 MB over a slow line.
const START_BOUND: Duration = Duration::from_mins(15);

pub(crate) fn start_step(app: &App) -> Step {
    let (a, b) = (app.clone(), app.clone());
    Step::new("start_instance", "Start the agent", move |step| {
        let app = a.clone();
        async move {
            restarts::note_or_give_up(&step)?;
            start(&app, &step).await
        }
    })
    .undo(move |step| {
        let app = b.clone();
        async move { stop(&app, &step).await }
    })
    .timeout(START_BOUND)
}

pub(crate) fn healthy_step(app: &App) -> Step {
    let a = app.clone();
    Step::new("wait_healthy", "Wait for the agent to answer", move |step| {
        let app = a.clone();
        async move { wait_healthy(&app, &step).await }
    })
    .attempts(1)
    .timeout(START_BOUND)
}

/// Effect: the Project has an Instance whose Agent's process runs. A repeat finds it in the registry. Undo: [`stop`].
async fn start(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let id = project_id(step)?;
    let project = app.find_project(id).await.map_err(step_error)?;
    app.require_sandbox().map_err(StepError::fail)?;
    if app.agents.find(id).is_some() {
        return Ok(());
    }
    // Until the Agent is registered; from then on it counts itself.
    let _place = room::take(app, step, &project).await?;
    let binary = program::ready(app, |progress| step.detail(progress)).await.map_err(StepError::fail)?;
    step.detail("starting");
    // Crash: a row without a process, or a process without a row, is what an attempt that died leaves behind. Neither
    // is adopted: the row is ended, and the process is found by its marker and killed.
    let left = instance::find_live(&mut app.store.read().await.map_err(StepError::internal)?, id)
        .await
        .map_err(StepError::internal)?;
    if let Some(left) = left {
        app.runtime.sweep(&marker(app, left.id), &[]).await;
        agents::record_end(app, id, left.id, agents::DID_NOT_START).await.map_err(step_error)?;
    }
    // A Delivery dies with its Instance: whatever an earlier one left in the home goes before a new one reads it.
    agents::forget_credentials(app, id).await;

    let record = Instance {
        id: InstanceId::new(step.ctx.now()),
        project_id: id,
        observed: Observed::Starting,
        pid: None,
        pid_started: None,
        boot_id: None,
        port: None,
        password_sealed: None,
        created_at: step.ctx.now(),
        ended_at: None,
        ending: None,
    };
    let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
    step.fence(&mut tx).await.map_err(StepError::internal)?;
    instance::insert(&mut tx, &record, project.user_id).await.map_err(StepError::internal)?;
    tx.commit().await.map_err(StepError::internal)?;

    match run_agent(app, step, &project, record.clone(), &binary).await {
        Ok(()) => Ok(()),
        Err(e) => {
            app.runtime.sweep(&marker(app, record.id), &[]).await;
            agents::record_end(app, id, record.id, agents::DID_NOT_START).await.map_err(step_error)?;
            Err(e)
        }
    }
}

/// What an Instance's processes are marked with.
pub(crate) fn marker(app: &App, id: InstanceId) -> String {
    format!("{}-{id}.agent", app.installation)
}

async fn run_agent(
    app: &App,
    step: &StepCtx,
    project: &Project,
    mut record: Instance,
    binary: &camino::Utf8Path,
) -> Result<(), StepError> {
    let password = doce_vault::token().map_err(StepError::internal)?;
    let port = doce_runtime::free_port().map_err(StepError::internal)?;
    let config = delivery::agent_config(app, project).await.map_err(step_error)?;
    let place = AgentPlace {
        name: format!("the agent of {}", project.id),
        marker: marker(app, record.id),
        program: binary,
        instance: &app.layout.instance(record.id),
        home: &Utf8PathBuf::from(&project.home),
        workspace: &Utf8PathBuf::from(&project.workspace),
        port,
        password: &password,
        agent_json: &config.to_json(),
    };
    let spec = program::agent_spec(app, &place).await.map_err(start_failed)?;
    let log = app.layout.log(project.id, "agent");
    if let Some(directory) = log.parent() {
        crate::make_private_directory(directory).map_err(StepError::internal)?;
    }
    let running = app.runtime.start(&spec, log).await.map_err(|e| start_failed(e.into()))?;

    let identity = running.identity();
    record.pid = Some(i64::from(identity.pid));
    record.pid_started = i64::try_from(identity.start_time).ok();
    record.boot_id = Some(identity.boot_id.clone());
    record.port = Some(port);
    let (id, user) = (record.id.to_string(), project.user_id.to_string());
    let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
    // Invariant: sealed inside the transaction that stores it, so a change of the master key is before it or after it.
    let sealed = app
        .vault
        .seal(&Identity { noun: AGENT_PASSWORD, id: &id, user: &user, version: 1 }, &password)
        .map_err(StepError::internal)?;
    record.password_sealed = Some(sealed.bytes);
    step.fence(&mut tx).await.map_err(StepError::internal)?;
    instance::set_process(&mut tx, &record).await.map_err(StepError::internal)?;
    let session = session_of(&mut tx, project.id).await.map_err(step_error)?;
    tx.commit().await.map_err(StepError::internal)?;
    agents::register(
        app,
        Arrival {
            instance_id: record.id,
            project_id: project.id,
            user_id: project.user_id,
            session_id: session.id,
            client: Client::new(port, &password),
            running,
        },
    );
    Ok(())
}

fn start_failed(cause: program::Cause) -> StepError {
    if Trouble::find(&*cause).is_some() {
        return StepError::internal(cause);
    }
    let message = format!("The agent could not be started: {}.", chain(&*cause));
    StepError::retry(Failure::new("agent_not_started", message, NextMove::OpenLogs)).source(cause)
}

/// Returns the Project's Agent for a step that needs one.
///
/// Crash: a step is repeated after a crash, and the Agent of the steps before it may have died with the machine, or
/// have been too slow to be adopted. Then those steps are done again; each is harmless to repeat.
pub(crate) async fn ready(app: &App, step: &StepCtx) -> Result<Arc<Agent>, StepError> {
    let id = project_id(step)?;
    if let Some(agent) = app.agents.find(id) {
        return Ok(agent);
    }
    let project = app.find_project(id).await.map_err(step_error)?;
    if project.desired != Desired::Running {
        return Err(StepError::fail(Failure::new(
            "project_not_running",
            "The project was stopped before the prompt was sent. Nothing is lost.",
            NextMove::Continue,
        )));
    }
    workspace::prepare(app, step).await?;
    start(app, step).await?;
    wait_healthy(app, step).await?;
    app.agents.find(id).ok_or_else(|| gone(app, id))
}

/// Effect: none; it waits until the Agent answers. Only `/global/health` is asked: anything more would make the Agent
/// load without its credentials. A repeat only reads. Nothing to undo.
async fn wait_healthy(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let id = project_id(step)?;
    if app.agents.find(id).is_none() {
        // One that ended since it was started is not started again: that would hide why.
        if let Some(ending) = app.agents.take_ending(id) {
            return Err(agent_exited(&ending));
        }
        start(app, step).await?;
    }
    let agent = app.agents.find(id).ok_or_else(|| gone(app, id))?;
    let healthy = tokio::select! {
        healthy = agent.client.wait_healthy(HEALTHY_BOUND) => healthy,
        ending = agent.running.exited() => return Err(agent_exited(&ending.to_string())),
        () = step.cancel.cancelled() => return Err(StepError::fail(Failure::new("cancelled", "Cancelled.", NextMove::Retry))),
    };
    match healthy {
        Ok(_) => {}
        Err(e @ HealthError::TimedOut { .. }) => {
            return Err(StepError::fail(Failure::new(
                "agent_silent",
                format!("The agent did not answer within {} s. Its log may say why.", HEALTHY_BOUND.as_secs()),
                NextMove::OpenLogs,
            ))
            .source(e));
        }
        Err(e @ (HealthError::Unauthorized | HealthError::WrongVersion { .. })) => {
            return Err(StepError::fail(Failure::new(
                "agent_wrong",
                format!("Something else answers in the agent's place: {}.", chain(&e)),
                NextMove::Retry,
            ))
            .source(e));
        }
    }
    let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
    instance::observe(&mut tx, agent.instance_id, Observed::Healthy).await.map_err(StepError::internal)?;
    tx.commit().await.map_err(StepError::internal)
}

/// The Agent ended in the moment since it was last seen.
pub(crate) fn gone(app: &App, id: ProjectId) -> StepError {
    agent_exited(app.agents.take_ending(id).as_deref().unwrap_or("ended"))
}

fn agent_exited(ending: &str) -> StepError {
    let message = format!("The agent {ending} before it was ready. Its log says why.");
    StepError::fail(Failure::new("agent_exited", message, NextMove::OpenLogs))
}

/// Effect: the Project has no Instance: its processes ended whole, its credential file is gone. A repeat finds nothing.
/// Undo of [`start`] as well; by itself it has none.
pub(crate) async fn stop(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let id = project_id(step)?;
    app.previews.stop(id).await;
    if let Some(agent) = app.agents.find(id) {
        agents::stop(app, &agent).await.map_err(step_error)?;
    }
    // It would be told of a later Agent, or kept for a Project that is gone.
    drop(app.agents.take_ending(id));
    let left = instance::find_live(&mut app.store.read().await.map_err(StepError::internal)?, id)
        .await
        .map_err(StepError::internal)?;
    if let Some(left) = left {
        app.runtime.sweep(&marker(app, left.id), &[]).await;
        agents::record_end(app, id, left.id, agents::STOPPED).await.map_err(step_error)?;
    }
    agents::forget_credentials(app, id).await;
    Ok(())
}

/// Returns the instructions that every prompt of a Project begins with, by the path that its Agent knows.
pub(crate) fn instructions(app: &App, project: &Project) -> Vec<String> {
    let host = Utf8PathBuf::from(&project.workspace);
    if !workspace::has_instructions(&host) {
        return Vec::new();
    }
    let bind = doce_runtime::Bind::read_write(host, WORKSPACE);
    vec![app.runtime.isolation().path_of(&bind).join("AGENTS.md").to_string()]
}
