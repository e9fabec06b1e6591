//! The Agent's Session.

use doce_jobs::{Step, StepCtx, StepError};
use doce_model::{Failure, NextMove};
use doce_opencode::CallError;
use doce_store::conversation;

use crate::{
    App,
    conversations::session_of,
    follower,
    jobs::{project_id, step_error},
    steps::{delivery, instance},
};

pub(crate) fn create_step(app: &App) -> Step {
    let (a, b) = (app.clone(), app.clone());
    Step::new("create_session", "Open the conversation", move |step| {
        let app = a.clone();
        async move { create(&app, &step).await }
    })
    .undo(move |step| {
        let app = b.clone();
        async move { undo(&app, &step).await }
    })
}

/// Effect: the Agent has a Session for the Project, its id is stored, and it is followed. A repeat looks it up first:
/// Sessions outlive Instances in the Agent's home. Undo: [`undo`].
pub(crate) async fn create(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let id = project_id(step)?;
    if app.agents.find(id).is_none() {
        delivery::deliver(app, step).await?;
    }
    let agent = app.agents.find(id).ok_or_else(|| instance::gone(app, id))?;
    let session =
        session_of(&mut app.store.read().await.map_err(StepError::internal)?, id).await.map_err(step_error)?;
    let found = match &session.agent_session_id {
        Some(known) => agent.client.find_session(known).await.map_err(failed)?,
        None => None,
    };
    let agent_session = if let Some(found) = found {
        found.id
    } else {
        // Crash: a Session made and not recorded stays empty in the Agent's home; nobody is shown it.
        let made = agent.client.create_session(None).await.map_err(failed)?;
        let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
        step.fence(&mut tx).await.map_err(StepError::internal)?;
        conversation::set_agent_session(&mut tx, session.id, Some(&made.id)).await.map_err(StepError::internal)?;
        tx.commit().await.map_err(StepError::internal)?;
        made.id
    };
    follower::follow(app, &agent, agent_session);
    Ok(())
}

/// Undo of [`create`]: a Session that never had a Prompt is deleted. One that had keeps its history.
async fn undo(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let id = project_id(step)?;
    let mut read = app.store.read().await.map_err(StepError::internal)?;
    let session = session_of(&mut read, id).await.map_err(step_error)?;
    let Some(agent_session) = &session.agent_session_id else {
        return Ok(());
    };
    let page = conversation::page(&mut read, session.id, None, 2).await.map_err(StepError::internal)?;
    drop(read);
    for message in &page.messages {
        let sent = conversation::find_send(&mut app.store.read().await.map_err(StepError::internal)?, message.id)
            .await
            .map_err(StepError::internal)?;
        if sent.is_some() || page.messages.len() > 1 {
            return Ok(());
        }
    }
    if let Some(agent) = app.agents.find(id) {
        agent.client.delete_session(agent_session).await.map_err(failed)?;
    }
    let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
    conversation::set_agent_session(&mut tx, session.id, None).await.map_err(StepError::internal)?;
    tx.commit().await.map_err(StepError::internal)
}

fn failed(error: CallError) -> StepError {
    let failure = Failure::new(
        "agent_failed",
        format!("The agent could not open the conversation: {}.", crate::chain(&error)),
        NextMove::OpenLogs,
    );
    if error.is_transient() { StepError::retry(failure).source(error) } else { StepError::fail(failure).source(error) }
}
