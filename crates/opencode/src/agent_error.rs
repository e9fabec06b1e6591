//! What went wrong inside the Agent, without what must not travel on.
//!
//! OpenCode passes the upstream's headers and body along with an error; they are dropped here. Its messages may quote
//! a rejected key or hold a stack trace, so they are cut to one line, cleaned and capped.

use serde::Deserialize;
use serde_json::Value;

/// Messages are cut at this many characters.
const MESSAGE_LIMIT: usize = 500;

/// An error that a run of the Agent ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentError {
    /// There is no key for the provider in the Agent. A key that was *rejected* is an [`AgentError::Api`] of 401.
    ProviderAuth {
        /// The provider that lacks a key.
        provider_id: String,
        /// What the Agent said.
        message: String,
    },
    /// The provider answered with an error, or could not be reached.
    Api {
        /// Its HTTP status; none when there was no answer.
        status: Option<u16>,
        /// Whether OpenCode thinks that a repeat may help (it has repeated five times itself by then).
        retryable: bool,
        /// What the provider said.
        message: String,
        /// In how many seconds it wants to be asked again, if it says so.
        retry_after: Option<u64>,
    },
    /// Somebody stopped the run.
    Aborted,
    /// The conversation is longer than the model can read.
    ContextOverflow {
        /// What the provider said.
        message: String,
    },
    /// The answer reached the model's longest output.
    OutputLength,
    /// The provider withheld the answer.
    ContentFilter {
        /// What the provider said.
        message: String,
    },
    /// The Agent doesn't know the model, or has neither key nor configuration for its provider.
    ModelNotFound {
        /// What the Agent said, with its suggestions.
        message: String,
    },
    /// Anything else.
    Unknown {
        /// What the Agent said.
        message: String,
        /// Under which reference the reason is in the Agent's own log.
        reference: Option<String>,
    },
}

impl AgentError {
    /// Returns what was said, in one line of at most 500 characters, without anything that looks like a key.
    pub fn message(&self) -> &str {
        match self {
            Self::ProviderAuth { message, .. }
            | Self::Api { message, .. }
            | Self::ContextOverflow { message }
            | Self::ContentFilter { message }
            | Self::ModelNotFound { message }
            | Self::Unknown { message, .. } => message,
            Self::Aborted => "aborted",
            Self::OutputLength => "the answer reached the model's longest output",
        }
    }

    /// Reads an error object; anything unreadable becomes [`AgentError::Unknown`].
    pub(crate) fn from_value(value: Value) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            name: String,
            #[serde(default)]
            data: Data,
        }
        #[derive(Deserialize, Default)]
        struct Data {
            #[serde(default)]
            message: String,
            #[serde(rename = "providerID", default)]
            provider_id: String,
            #[serde(rename = "statusCode")]
            status: Option<u16>,
            #[serde(rename = "isRetryable", default)]
            retryable: bool,
            r#ref: Option<String>,
            #[serde(rename = "responseHeaders", default)]
            headers: Value,
        }
        let Ok(Wire { name, data }) = serde_json::from_value::<Wire>(value) else {
            return Self::Unknown { message: "an error that can't be read".to_owned(), reference: None };
        };
        let message = clean(&data.message);
        let retry_after = data.headers.get("retry-after").and_then(|wait| wait.as_str()?.trim().parse().ok());
        match name.as_str() {
            "ProviderAuthError" => Self::ProviderAuth { provider_id: clean(&data.provider_id), message },
            "APIError" => Self::Api { status: data.status, retryable: data.retryable, message, retry_after },
            "MessageAbortedError" => Self::Aborted,
            "ContextOverflowError" => Self::ContextOverflow { message },
            "MessageOutputLengthError" => Self::OutputLength,
            "ContentFilterError" => Self::ContentFilter { message },
            _ if data.message.starts_with("Model not found:") => Self::ModelNotFound { message },
            _ => Self::Unknown { message, reference: data.r#ref.map(|reference| clean(&reference)) },
        }
    }
}

/// Cuts a text to one capped line without control characters and without what looks like a key.
pub(crate) fn clean(text: &str) -> String {
    let line = text.trim_start().lines().next().unwrap_or_default();
    let is_whole = line.chars().nth(MESSAGE_LIMIT).is_none();
    let mut out = String::new();
    let mut word = String::new();
    for (count, char) in line.chars().chain(std::iter::once(' ')).enumerate() {
        if !is_whole && count == MESSAGE_LIMIT - 1 {
            // Secret: the word at the cut is dropped, or half a key would not look like one.
            out.push('…');
            return out;
        }
        let char = if char.is_control() { ' ' } else { char };
        if char.is_alphanumeric() || matches!(char, '-' | '_' | '*') {
            word.push(char);
        } else {
            push_word(&mut out, &mut word);
            out.push(char);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn push_word(out: &mut String, word: &mut String) {
    if looks_like_a_key(word) {
        out.push_str("[…]");
    } else {
        out.push_str(word);
    }
    word.clear();
}

/// Whether a word could be a credential: a known beginning, or long and mixed.
fn looks_like_a_key(word: &str) -> bool {
    const BEGINNINGS: [&str; 16] = [
        "sk-", "sk_", "pk-", "gsk_", "xai-", "AIza", "ghp_", "gho_", "glpat-", "hf_", "nvapi-", "pplx-", "r8_", "csk-",
        "fw_", "tgp_",
    ];
    let mixed = word.chars().any(char::is_numeric) && word.chars().any(char::is_alphabetic);
    (word.len() >= 10 && BEGINNINGS.iter().any(|beginning| word.starts_with(beginning))) || (word.len() >= 32 && mixed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_upstream_s_headers_and_body_are_dropped() {
        let error = AgentError::from_value(json!({"name": "APIError", "data": {
            "message": "invalid x-api-key", "statusCode": 401, "isRetryable": false,
            "responseHeaders": {"set-cookie": "planted=1", "retry-after": "planted"}, "responseBody": "planted",
            "metadata": {"url": "https://planted.test"},
        }}));
        assert_eq!(
            error,
            AgentError::Api {
                status: Some(401),
                retryable: false,
                message: "invalid x-api-key".to_owned(),
                retry_after: None
            }
        );
        assert!(!format!("{error:?}").contains("planted"));
    }

    #[test]
    fn a_limit_says_how_long_to_wait() {
        let wait = |header: Value| {
            let data = json!({"message": "m", "statusCode": 429, "isRetryable": true, "responseHeaders": header});
            match AgentError::from_value(json!({"name": "APIError", "data": data})) {
                AgentError::Api { retry_after, .. } => retry_after,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wait(json!({"retry-after": "600"})), Some(600));
        assert_eq!(wait(json!({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})), None);
        assert_eq!(wait(json!(null)), None);
    }

    #[test]
    fn a_rejected_key_is_not_repeated() {
        for key in [
            "sk-ant-api03-abcdefghijk",
            "AIzaSyA1234567890",
            "0123456789abcdef0123456789abcdef",
            "sk-proj-********************1234",
        ] {
            let text = clean(&format!("Incorrect API key provided: {key}. You can find it at https://x.test."));
            assert_eq!(text, "Incorrect API key provided: […]. You can find it at https://x.test.");
        }
        let harmless = "Model not found: fireworks-ai/accounts/fireworks/models/qwen3-235b-a22b-instruct-2507.";
        assert_eq!(clean(harmless), harmless);
    }

    #[test]
    fn a_message_is_one_capped_line() {
        assert_eq!(clean("first\u{7}line\n    at stack (file.ts:1)"), "first line");
        let long = clean(&"word ".repeat(1_000));
        assert!(long.chars().count() <= MESSAGE_LIMIT, "{}", long.chars().count());
        assert!(long.ends_with('…'));
        assert_eq!(clean(&".".repeat(501)).chars().count(), MESSAGE_LIMIT);
        assert_eq!(clean(&".".repeat(500)), ".".repeat(500));
        let key_at_the_cut = format!("{}{}", "x ".repeat(245), "a1".repeat(40));
        assert!(!clean(&key_at_the_cut).contains("a1a1a1a1"), "a key may not survive by being cut");
    }

    #[test]
    fn an_unknown_model_has_a_kind_of_its_own() {
        let error = AgentError::from_value(json!({"name": "UnknownError",
            "data": {"message": "Model not found: nope/fake-1. Did you mean: fake-2?\n    at x", "ref": "err_1"}}));
        assert_eq!(
            error,
            AgentError::ModelNotFound { message: "Model not found: nope/fake-1. Did you mean: fake-2?".to_owned() }
        );
    }

    #[test]
    fn every_documented_error_has_its_kind() {
        let of = |name: &str| AgentError::from_value(json!({"name": name, "data": {"message": "m"}}));
        assert_eq!(of("MessageAbortedError"), AgentError::Aborted);
        assert_eq!(of("MessageOutputLengthError"), AgentError::OutputLength);
        assert_eq!(of("ContextOverflowError"), AgentError::ContextOverflow { message: "m".to_owned() });
        assert_eq!(of("ContentFilterError"), AgentError::ContentFilter { message: "m".to_owned() });
        assert!(matches!(of("StructuredOutputError"), AgentError::Unknown { .. }));
        assert!(matches!(AgentError::from_value(json!("text")), AgentError::Unknown { .. }));
    }
}
