//! What a person is told about an Agent's errors: the provider, the reason, and the one next move.

use std::time::Duration;

use doce_model::{ConnectionId, Failure, Ms, NextMove};
use doce_opencode::AgentError;

/// Says what an answer's error means. `None` if the user stopped it: that is no failure.
pub(crate) fn of_answer(
    error: &AgentError,
    provider: &str,
    connection: Option<ConnectionId>,
    now: Ms,
) -> Option<Failure> {
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
        AgentError::Api { status: Some(status), message, .. } if *status == 402 || says_no_credit(message) => {
            Failure::new(
                "no_credit",
                format!(
                    "{provider} says there is no credit left ({status}). Top it up and continue, or choose another \
                     model."
                ),
                NextMove::TopUp,
            )
        }
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
            format!("{provider} is limiting requests (429), and still did after several tries. Wait, then continue."),
            NextMove::Continue,
        )
        .until(retry_after.filter(|wait| *wait > 0).map(|wait| now.plus(Duration::from_secs(wait)))),
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

/// Says what a rejected token of a sign-in means that doce renews by itself: the person only goes on.
pub(crate) fn of_renewed_sign_in(provider: &str, connection: ConnectionId) -> Failure {
    Failure::new(
        "sign_in_renewed",
        format!(
            "{provider} rejected the sign-in's token (401). doce asks for a new one by itself: continue in a moment."
        ),
        NextMove::Continue,
    )
    .about(connection)
}

/// Tells whether a provider's words are about money, whatever number stands before them: `OpenAI` says it with 429,
/// Anthropic with 400.
fn says_no_credit(message: &str) -> bool {
    const WORDS: [&str; 5] = [
        "credit balance is too low",
        "insufficient_quota",
        "exceeded your current quota",
        "insufficient balance",
        "insufficient credits",
    ];
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|words| message.contains(words))
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
            (api(Some(402)), "no_credit", NextMove::TopUp),
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
            let failure = of_answer(&error, "Acme", Some(id), Ms(1)).expect("it is a failure");
            assert_eq!((failure.code.as_str(), failure.next), (code, next));
            assert_eq!(failure.connection_id, Some(id));
            assert!(failure.message.contains("Acme"), "{}", failure.message);
        }
        assert_eq!(of_answer(&AgentError::Aborted, "Acme", None, Ms(1)), None);
    }

    fn api(status: u16, message: &str, retry_after: Option<u64>) -> AgentError {
        AgentError::Api { status: Some(status), retryable: false, message: message.to_owned(), retry_after }
    }

    #[test]
    fn a_limit_says_until_when() {
        let until = |wait| of_answer(&api(429, "Slow down.", wait), "Acme", None, Ms(1000)).expect("it is one").until;
        assert_eq!([None, Some(0), Some(600)].map(until), [None, None, Some(Ms(601_000))]);
    }

    #[test]
    fn words_about_money_count_more_than_the_number_before_them() {
        for (status, words) in [
            (429, "You exceeded your current quota, please check your plan and billing details."),
            (400, "Your credit balance is too low to access the Anthropic API."),
            (402, "Insufficient Balance"),
            (403, "INSUFFICIENT_QUOTA"),
        ] {
            let failure = of_answer(&api(status, words, None), "Acme", None, Ms(1)).expect("it is one");
            assert_eq!((failure.code.as_str(), failure.next), ("no_credit", NextMove::TopUp), "{words}");
        }
    }
}
