//! Playing a prompt: the events, messages and parts of OpenCode 1.18.33 in their order (observed), without a model.
//!
//! The answer comes from a script or from the prompt's directives. Tools really run: `write` writes, `bash` runs.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::runs::Stop;
use super::sessions::Due;
use super::turn::{End, Turn, api_error};
use crate::directives::{self, Refusal};
use crate::script::{self, Script};

/// Answers what the session owes, until it owes nothing.
pub(super) async fn drive(agent: &Agent, session: &str, stop: Stop) {
    let mut stop = stop;
    agent.set_status(session, &json!({ "type": "busy" }));
    loop {
        let mut is_idle = false;
        while let Some(due) = agent.due(session).filter(|_| !is_idle) {
            match turn(agent, session, &due, &stop.wanted).await {
                End::Next => agent.set_status(session, &json!({ "type": "busy" })),
                End::Over => is_idle = true,
            }
        }
        if !is_idle {
            agent.emit_idle(session);
            agent.emit_in(session, "session.diff", &json!({ "sessionID": session, "diff": [] }));
        }
        let next = agent.end_run(session);
        stop.happened.cancel();
        match next {
            Some(next) => stop = next,
            None => return,
        }
    }
}

async fn turn(agent: &Agent, session: &str, due: &Due, cancel: &CancellationToken) -> End {
    let directory = agent.session(session).map(|session| session.directory()).unwrap_or_default();
    let Ok(instance) = agent.instance(&directory) else {
        fail_twice(agent, session, "Unexpected server error. Check server logs for details.");
        return End::Over;
    };
    let provider = instance.providers().into_iter().find(|provider| provider["id"] == *due.provider_id);
    let model = provider.as_ref().map(|provider| &provider["models"][&due.model_id]).filter(|model| !model.is_null());
    let Some(model) = model else {
        let message = format!("Model not found: {}/{}. Did you mean: something else?", due.provider_id, due.model_id);
        fail_twice(agent, session, &message);
        return End::Over;
    };
    // The session may be gone.
    let Some(answer) = agent.add_answer(session, due) else {
        return End::Over;
    };
    let turn =
        Turn { agent, session, message: answer["id"].as_str().unwrap_or_default(), cancel, directory: &directory };
    turn.give_title(due);
    agent.emit_in(session, "session.diff", &json!({ "sessionID": session, "diff": [] }));
    agent.update_message(session, &due.message_id, |info| {
        info["summary"] = json!({ "diffs": [] });
    });
    agent.set_status(session, &json!({ "type": "busy" }));
    match instance.key(&due.provider_id) {
        None if model["api"]["npm"] == "@ai-sdk/anthropic" => {
            let message = format!(
                "{} API key is missing. Pass it using the 'apiKey' parameter or an environment variable.",
                due.provider_id
            );
            turn.fail(
                &json!({ "name": "ProviderAuthError", "data": { "providerID": due.provider_id, "message": message } }),
            );
            return End::Over;
        }
        Some(key) if agent.is_rejected(key) => {
            turn.fail(&api_error(&Refusal::new(401)));
            return End::Over;
        }
        _ => {}
    }
    match script_of(agent, due) {
        Ok(script) => turn.play(script, due).await,
        Err(error) => {
            let message = format!("The fake Agent failed to {error}.");
            turn.fail(&json!({ "name": "UnknownError", "data": { "message": message } }));
            End::Over
        }
    }
}

/// What is told when there is no message to carry the error: twice, the second time with a stack trace.
fn fail_twice(agent: &Agent, session: &str, message: &str) {
    agent.skip_waiting(session);
    for text in [
        message.to_owned(),
        format!("ProviderModelNotFoundError: {message}\n    at SessionPrompt.run (/$bunfs/root/chunk.js:1:1)"),
    ] {
        let error = json!({ "name": "UnknownError", "data": { "message": text } });
        agent.emit_in(session, "session.error", &json!({ "sessionID": session, "error": error }));
        agent.emit_idle(session);
    }
}

fn script_of(agent: &Agent, due: &Due) -> Result<Script, directives::DirectiveError> {
    if let Some(script) = agent.next_script() {
        return Ok(script);
    }
    let directives = directives::parse(&due.text)?;
    let mut turns = script::turns(&directives);
    if directives.is_empty() {
        // Without directions it echoes, so that a test sees its own words come back.
        return Ok(Script::say(format!("You said: {}", due.text.trim())));
    }
    let turn = due.turn.min(turns.len() - 1);
    Ok(turns.swap_remove(turn))
}
