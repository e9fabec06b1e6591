//! A Prompt reaches its Agent exactly once.
//!
//! OpenCode keeps the message id that we choose, but it answers 204 up to half a second before the message exists, and
//! a second POST with the same id adds the text again (1.18.33, observed). So the attempt is committed before the
//! first byte leaves, and a repeat asks before it sends.

use std::{sync::Arc, time::Duration};

use doce_jobs::{StepCtx, StepError};
use doce_model::{Failure, Message, MessageId, MessageState, NextMove};
use doce_opencode::{CallError, Prompt};
use doce_store::conversation;

use crate::{
    App,
    agents::Agent,
    conversations::session_of,
    jobs::{project_id, send_prompt, step_error},
    previews,
    steps::{delivery, session},
};

/// How long a Prompt that was sent may take to exist before it counts as never arrived.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// How often a Prompt is asked for until it exists: OpenCode has no answer that waits for it.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Effect: the Agent has the Prompt. A repeat finds the recorded attempt and asks the Agent for it; it sends again only
/// where the first one can't have arrived. Undo: [`abort`].
pub(crate) async fn send(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let payload: send_prompt::Payload = step.payload()?;
    let id: MessageId = payload.message_id.parse().map_err(StepError::internal)?;
    let project_id = project_id(step)?;
    if app.agents.find(project_id).is_none() {
        session::create(app, step).await?;
    }
    let agent = app.agents.find(project_id).ok_or_else(not_running)?;
    let mut read = app.store.read().await.map_err(StepError::internal)?;
    let session = session_of(&mut read, project_id).await.map_err(step_error)?;
    let message = conversation::find_message(&mut read, id)
        .await
        .map_err(StepError::internal)?
        .ok_or_else(|| StepError::fail(Failure::new("gone", "This prompt is gone.", NextMove::None)))?;
    let attempt = conversation::find_send(&mut read, id).await.map_err(StepError::internal)?;
    drop(read);
    let Some(agent_session) = session.agent_session_id else {
        return Err(not_running());
    };
    match message.state {
        MessageState::Waiting | MessageState::Sending => {}
        // It arrived, and more may have happened since.
        MessageState::Sent
        | MessageState::Streaming
        | MessageState::Complete
        | MessageState::Interrupted
        | MessageState::Failed
        | MessageState::Aborted => return Ok(()),
    }

    if let Some(attempt) = attempt {
        step.detail("asking whether the prompt arrived");
        // Only a new Agent process makes "not there" final at once; the same one may still be about to write it down.
        let wait = if attempt.instance_id == agent.instance_id {
            ARRIVES_WITHIN.saturating_sub(step.ctx.now().since(attempt.at))
        } else {
            Duration::ZERO
        };
        if arrived(&agent, &agent_session, &message, wait).await? {
            return mark_sent(app, step, &agent, &message).await;
        }
        // Whoever is busy may be busy with it.
        agent.idle().await;
        if arrived(&agent, &agent_session, &message, Duration::ZERO).await? {
            return mark_sent(app, step, &agent, &message).await;
        }
    }

    if let Some(model) = &message.model {
        delivery::declare_model(app, step, &agent, model).await?;
    }
    // Nobody changes what the Agent holds while a Prompt passes.
    let _gate = agent.gate.read().await;
    if step.cancel.is_cancelled() {
        return Err(StepError::fail(Failure::new("cancelled", "Cancelled.", NextMove::Continue)));
    }
    // Crash: from here on a repeat finds the attempt and asks before it sends.
    let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
    step.fence(&mut tx).await.map_err(StepError::internal)?;
    conversation::record_send(&mut tx, id, agent.instance_id).await.map_err(StepError::internal)?;
    tx.commit().await.map_err(StepError::internal)?;

    let model = message.model.clone().ok_or_else(|| {
        StepError::fail(Failure::new("no_model", "This prompt names no model.", NextMove::SwitchModel))
    })?;
    let prompt = Prompt {
        message_id: message.agent_message_id.clone(),
        provider_id: model.provider_id,
        model_id: model.model_id,
        text: message.parts.iter().filter_map(|part| part.text.as_deref()).collect::<Vec<_>>().join("\n\n"),
    };
    agent.note_prompt();
    agent.client.prompt(&agent_session, &prompt).await.map_err(failed)?;
    if !arrived(&agent, &agent_session, &message, ARRIVES_WITHIN).await? {
        return Err(StepError::retry(Failure::new(
            "prompt_not_taken",
            "The agent answered and did not take the prompt.",
            NextMove::Retry,
        )));
    }
    mark_sent(app, step, &agent, &message).await
}

/// Effect: as [`send`], and the preview begins to come up: its installation must not slow the first answer's start.
pub(crate) async fn send_and_show(app: &App, step: &StepCtx) -> Result<(), StepError> {
    send(app, step).await?;
    let project = app.find_project(project_id(step)?).await.map_err(step_error)?;
    previews::ensure(app, &project);
    Ok(())
}

/// Undo of [`send`]: the answer is aborted, if there is one.
pub(crate) async fn abort(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let id = project_id(step)?;
    let Some(agent) = app.agents.find(id) else {
        return Ok(());
    };
    let session =
        session_of(&mut app.store.read().await.map_err(StepError::internal)?, id).await.map_err(step_error)?;
    match session.agent_session_id {
        Some(session) => agent.client.abort(&session).await.map_err(failed),
        None => Ok(()),
    }
}

/// Tells whether the Agent has the Prompt, for as long as `wait`.
async fn arrived(agent: &Arc<Agent>, session: &str, message: &Message, wait: Duration) -> Result<bool, StepError> {
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        let found = agent.client.find_message(session, &message.agent_message_id).await.map_err(failed)?;
        if found.is_some() {
            return Ok(true);
        }
        if tokio::time::Instant::now() >= deadline {
            return Ok(false);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn mark_sent(app: &App, step: &StepCtx, agent: &Agent, message: &Message) -> Result<(), StepError> {
    let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
    let news = conversation::mark_sent(&mut tx, message.id).await.map_err(StepError::internal)?;
    tx.commit().await.map_err(StepError::internal)?;
    if news {
        app.publish_message(agent.project_id, message.id).await;
    }
    Ok(())
}

fn not_running() -> StepError {
    StepError::fail(Failure::new(
        "project_not_running",
        "The project did not start, so the prompt was not sent. Nothing is lost.",
        NextMove::Continue,
    ))
}

fn failed(error: CallError) -> StepError {
    let why = crate::chain(&error);
    if error.is_transient() {
        let message =
            format!("The agent did not take the prompt: {why}. If it goes on so, stop the project, then continue.");
        return StepError::retry(Failure::new("agent_not_answering", message, NextMove::Continue)).source(error);
    }
    let message = format!("The agent did not take the prompt: {why}.");
    StepError::fail(Failure::new("agent_failed", message, NextMove::Continue)).source(error)
}
