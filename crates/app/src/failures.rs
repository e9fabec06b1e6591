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
            format!("{provider} rejected the key (401): replace it, or sign in again, then continue."),
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
        AgentError::Api { status: Some(429), retry_after, .. } => Failure::new(
            "rate_limited",
            format!(
                "{provider} is limiting requests (429), and still did after several tries. Wait {}, then continue.",
                how_long(*retry_after)
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

/// Says how long a provider wants to be left alone.
fn how_long(seconds: Option<u64>) -> String {
    match seconds {
        None | Some(0) => "a little".to_owned(),
        Some(seconds @ ..60) => format!("{seconds} s"),
        Some(seconds @ ..3600) => format!("{} min", seconds.div_ceil(60)),
        Some(seconds) => format!("{} h", seconds.div_ceil(3600)),
    }
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

#[cfg(test)]
mod tests {
    use doce_model::Ms;

    use super::*;

    #[test]
    fn each_failure_of_a_provider_has_the_one_move_that_helps() {
        let api = |status: Option<u16>| AgentError::Api {
            status,
            retryable: false,
            message: "It said so.".to_owned(),
            retry_after: None,
        };
        let id = ConnectionId::new(Ms(1));
        for (error, code, next) in [
            (api(Some(401)), "key_rejected_in_use", NextMove::ReplaceKey),
            (api(Some(402)), "no_credit", NextMove::SwitchModel),
            (api(Some(403)), "provider_refused_request", NextMove::SwitchModel),
            (api(Some(404)), "model_not_found", NextMove::SwitchModel),
            (api(Some(429)), "rate_limited", NextMove::Continue),
            (api(Some(500)), "provider_failed", NextMove::Continue),
            (api(None), "provider_unreachable", NextMove::Continue),
            (
                AgentError::ProviderAuth { provider_id: "p".to_owned(), message: String::new() },
                "provider_not_connected",
                NextMove::ConnectProvider,
            ),
        ] {
            let failure = of_answer(&error, "Acme", Some(id)).expect("it is a failure");
            assert_eq!((failure.code.as_str(), failure.next), (code, next));
            assert_eq!(failure.connection_id, Some(id));
            assert!(failure.message.contains("Acme"), "{}", failure.message);
        }
        assert_eq!(of_answer(&AgentError::Aborted, "Acme", None), None);
    }

    #[test]
    fn a_limit_says_how_long_to_wait() {
        for (seconds, words) in
            [(None, "a little"), (Some(0), "a little"), (Some(20), "20 s"), (Some(90), "2 min"), (Some(7000), "2 h")]
        {
            assert_eq!(how_long(seconds), words);
        }
    }
}
