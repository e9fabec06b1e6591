//! What a person is told about an Agent's errors: the provider, the reason, and the one next move.

use doce_model::{ConnectionId, Failure, NextMove};
use doce_opencode::AgentError;

/// Says what an answer's error means. `None` if the user stopped it: that is no failure.
pub(crate) fn of_answer(error: &AgentError, provider: &str, connection: Option<ConnectionId>) -> Option<Failure> {
    let failure = match error {
        AgentError::Aborted => return None,
        AgentError::ProviderAuth { .. } => Failure::new(
            "provider_not_connected",
            format!("The agent has no key for {provider}: connect it, then continue."),
            NextMove::ConnectProvider,
        ),
        AgentError::Api { status: Some(401), .. } => Failure::new(
            "key_rejected_in_use",
            format!("{provider} rejected the key (401): replace it, then continue."),
            NextMove::ReplaceKey,
        ),
        AgentError::Api { status: Some(402), .. } => Failure::new(
            "no_credit",
            format!("{provider} says there is no credit left (402). Top it up and continue, or choose another model."),
            NextMove::SwitchModel,
        ),
        AgentError::Api { status: Some(403), message, .. } => Failure::new(
            "provider_refused_request",
            format!("{provider} refused this request (403): {message}"),
            NextMove::SwitchModel,
        ),
        AgentError::Api { status: Some(404), message, .. } => Failure::new(
            "model_not_found",
            format!("{provider} doesn't offer this model (404): {message}"),
            NextMove::SwitchModel,
        ),
        AgentError::Api { status: Some(429), .. } => Failure::new(
            "rate_limited",
            format!(
                "{provider} is limiting requests (429), and still did after several tries. Wait a little, then continue."
            ),
            NextMove::Continue,
        ),
        AgentError::Api { status: Some(status), message, .. } => {
            Failure::new("provider_failed", format!("{provider} failed ({status}): {message}"), NextMove::Continue)
        }
        AgentError::Api { status: None, message, .. } => Failure::new(
            "provider_unreachable",
            format!("{provider} could not be reached, or broke off, after several tries: {message}"),
            NextMove::Continue,
        ),
        AgentError::ContextOverflow { .. } => Failure::new(
            "context_overflow",
            "The conversation is longer than this model can read. Choose a model with a larger context.".to_owned(),
            NextMove::SwitchModel,
        ),
        AgentError::OutputLength => Failure::new(
            "output_length",
            "The answer reached the model's longest output.".to_owned(),
            NextMove::Continue,
        ),
        AgentError::ContentFilter { message } => {
            Failure::new("content_filter", format!("{provider} withheld the answer: {message}"), NextMove::SwitchModel)
        }
        AgentError::ModelNotFound { message } => Failure::new(
            "model_not_found",
            format!("The agent doesn't know this model: {message}"),
            NextMove::SwitchModel,
        ),
        AgentError::Unknown { message, .. } => {
            Failure::new("agent_failed", format!("The agent failed: {message}"), NextMove::Continue)
        }
    };
    Some(match connection {
        Some(connection) => failure.about(connection),
        None => failure,
    })
}

/// Tells whether an error says that the provider rejected the key itself.
pub(crate) fn rejects_key(error: &AgentError) -> bool {
    match error {
        AgentError::Api { status: Some(401), .. } => true,
        AgentError::Api { .. }
        | AgentError::ProviderAuth { .. }
        | AgentError::Aborted
        | AgentError::ContextOverflow { .. }
        | AgentError::OutputLength
        | AgentError::ContentFilter { .. }
        | AgentError::ModelNotFound { .. }
        | AgentError::Unknown { .. } => false,
    }
}
