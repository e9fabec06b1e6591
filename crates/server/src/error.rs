//! How a failure is told: problem details (RFC 9457), made in one place.
//!
//! A handler returns a [`Problem`]; the outermost guard writes it, because only there is the request id known.
//! `docs/errors.md` explains every `code`; a test compares. What failed inside is logged once, with all its causes,
//! and told as "internal error" and the request id.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use doce_app::Error;
use doce_model::{Failure, IdError, NextMove};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// Defines the codes of the failures that are found here rather than in a use case.
macro_rules! codes {
    ($($(#[$meta:meta])* $name:ident = $code:literal),+ $(,)?) => {
        /// The names of failures.
        pub(crate) mod code {
            $($(#[$meta])* pub(crate) const $name: &str = $code;)+
        }
        /// Every code that the server gives out by itself; those of the use cases come beside them.
        pub const CODES: &[&str] = &[$($code),+];
    };
}

codes! {
    /// An admin's route, and the caller isn't one.
    ADMINS_ONLY = "admins_only",
    /// The body is larger than is read.
    BODY_TOO_LARGE = "body_too_large",
    /// The body took too long to arrive.
    BODY_TOO_SLOW = "body_too_slow",
    /// Another site's page sent a request that changes something.
    CROSS_ORIGIN = "cross_origin",
    /// It failed inside.
    INTERNAL = "internal",
    /// A value can't be accepted.
    INVALID = "invalid",
    /// The body isn't JSON.
    MALFORMED_JSON = "malformed_json",
    /// The path exists, the method doesn't.
    METHOD_NOT_ALLOWED = "method_not_allowed",
    /// There is no such route.
    NOT_FOUND = "not_found",
    /// The page's address leaves no room for previews.
    PREVIEW_ADDRESS = "preview_address",
    /// The API token may do less than this needs.
    SCOPE_MISSING = "scope_missing",
    /// The code that `serve` printed is missing or wrong.
    SETUP_CODE_WRONG = "setup_code_wrong",
    /// Too many wrong codes.
    THROTTLED = "throttled",
    /// Nobody with this name and password.
    SIGN_IN_FAILED = "sign_in_failed",
    /// Nobody is signed in.
    SIGN_IN_REQUIRED = "sign_in_required",
    /// There is no such API token.
    TOKEN_INVALID = "token_invalid",
    /// No API token may do this.
    TOKEN_REFUSED = "token_refused",
    /// More streams than one person may have.
    TOO_MANY_STREAMS = "too_many_streams",
    /// The body is of another type than JSON.
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type",
    /// The request's `Host` isn't one of ours.
    WRONG_HOST = "wrong_host",
}

/// The media type of problem details.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request was not fulfilled.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Fields>);

#[derive(Debug, Clone)]
struct Fields {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    hint: Option<String>,
    field: Option<String>,
    retry_after: Option<Duration>,
    cause: Option<Arc<Error>>,
}

/// Problem details, as they are sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDetails<'a> {
    /// Names the kind of problem: `urn:doce:error:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// What went wrong, for a person.
    detail: &'a str,
    /// Stable name of the problem, documented in `docs/errors.md`.
    code: &'a str,
    /// What to do about it, if there is something.
    hint: Option<&'a str>,
    /// The field of the request that it is about.
    field: Option<&'a str>,
    /// By which this request can be found in the server's log.
    request_id: &'a str,
}

impl Problem {
    /// Makes a problem.
    pub(crate) fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self(Box::new(Fields {
            status,
            code: code.into(),
            detail: detail.into(),
            hint: None,
            field: None,
            retry_after: None,
            cause: None,
        }))
    }

    /// A value of the request can't be accepted.
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, code::INVALID, detail);
        problem.0.field = Some(field.into());
        problem
    }

    /// There is no such thing, or it is somebody else's.
    pub(crate) fn no_such(noun: &str) -> Self {
        let words = noun.replace(['_', '-'], " ");
        let code = format!("{}_not_found", noun.replace([' ', '-'], "_"));
        Self::new(StatusCode::NOT_FOUND, code, format!("There is no such {words}."))
    }

    /// Nobody is signed in.
    pub(crate) fn sign_in_required() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code::SIGN_IN_REQUIRED, "Sign in first.")
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Returns what failed inside, if this is such a problem.
    pub(crate) fn cause(&self) -> Option<&Error> {
        self.0.cause.as_deref()
    }

    /// Writes the problem into the response that stands for it.
    pub(crate) fn write(&self, response: &mut Response, request_id: &str) {
        let fields = &*self.0;
        let details = ProblemDetails {
            kind: format!("urn:doce:error:{}", fields.code),
            title: fields.status.canonical_reason().unwrap_or("Error"),
            status: fields.status.as_u16(),
            detail: &fields.detail,
            code: &fields.code,
            hint: fields.hint.as_deref(),
            field: fields.field.as_deref(),
            request_id,
        };
        let text = serde_json::to_vec(&details).expect("these fields are text and a number");
        *response.status_mut() = fields.status;
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = fields.retry_after {
            // Rounded up: who comes at this second is let in.
            let seconds = after.as_millis().div_ceil(1000).max(1).to_string();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(&seconds).expect("a number is a header value"));
        }
        *response.body_mut() = Body::from(text);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { field, message } => Self::invalid(field, message),
            Error::NotFound { noun, .. } => Self::no_such(noun),
            Error::Conflict(failure) => Self::from_failure(StatusCode::CONFLICT, failure),
            Error::Refused(failure) => Self::from_failure(StatusCode::UNPROCESSABLE_ENTITY, failure),
            Error::Forbidden { code, message } => Self::new(StatusCode::FORBIDDEN, code, message),
            Error::NotSignedIn => {
                Self::new(StatusCode::UNAUTHORIZED, code::SIGN_IN_FAILED, "The username or the password is wrong.")
            }
            Error::Unavailable { code, message, retry_after } => {
                let status = if code == code::THROTTLED {
                    StatusCode::TOO_MANY_REQUESTS
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                Self::new(status, code, message).retry_after(retry_after)
            }
            error @ Error::Internal(_) => {
                let mut problem = Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    code::INTERNAL,
                    "An internal error. The server's log says more, under this request id.",
                );
                problem.0.cause = Some(Arc::new(error));
                problem
            }
        }
    }
}

impl From<IdError> for Problem {
    fn from(error: IdError) -> Self {
        // What isn't an id of this noun names nothing, like an id that doesn't exist.
        Self::no_such(match error.prefix {
            "prj" => "project",
            "con" => "connection",
            "job" => "job",
            "sin" => "sign-in",
            "usr" => "user",
            _ => "thing",
        })
    }
}

impl Problem {
    fn from_failure(status: StatusCode, failure: Failure) -> Self {
        let problem = Self::new(status, failure.code, failure.message);
        match hint_of(failure.next) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

/// Says the next move as a sentence; a failure of a Job has a button instead.
fn hint_of(next: NextMove) -> Option<&'static str> {
    match next {
        NextMove::ConnectProvider => Some("Connect the provider first."),
        NextMove::ReplaceKey => Some("Copy the key again, or make another one with the provider."),
        NextMove::Retry => Some("Try again."),
        NextMove::Continue => Some("Continue the answer."),
        NextMove::Start => Some("Start the project first."),
        NextMove::TopUp => Some("Top up at the provider, or choose another model."),
        NextMove::SwitchModel => Some("Choose another model."),
        NextMove::OpenLogs => Some("The project's logs say more."),
        NextMove::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(problem: Problem) -> (Response<()>, serde_json::Value) {
        let mut response = problem.clone().into_response();
        problem.write(&mut response, "req_1");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 10_000).await.unwrap();
        (Response::from_parts(parts, ()), serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_problem_has_every_member_and_its_own_media_type() {
        let (head, body) = written(Problem::invalid("label", "Too long.").hint("Shorten it.")).await;
        assert_eq!(head.status(), 422);
        assert_eq!(head.headers()["content-type"], "application/problem+json");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:doce:error:invalid", "title": "Unprocessable Entity", "status": 422,
                "detail": "Too long.", "code": "invalid", "hint": "Shorten it.", "field": "label", "request_id": "req_1",
            })
        );
    }

    #[tokio::test]
    async fn what_failed_inside_is_not_told() {
        let (head, body) = written(Error::internal("the planted cause").into()).await;
        assert_eq!(head.status(), 500);
        assert_eq!(body["code"], "internal");
        assert!(!body.to_string().contains("planted"));
    }

    #[tokio::test]
    async fn a_wait_is_told_in_whole_seconds_rounded_up() {
        let error = Error::Unavailable {
            code: "throttled",
            message: "Later.".to_owned(),
            retry_after: Duration::from_millis(1_001),
        };
        let (head, _) = written(error.into()).await;
        assert_eq!(head.status(), 429);
        assert_eq!(head.headers()["retry-after"], "2");
    }

    #[tokio::test]
    async fn a_failure_is_told_with_its_code_and_its_next_move() {
        let failure = Failure::new("key_rejected", "Anthropic rejected the key.", NextMove::ReplaceKey);
        let (head, body) = written(Error::Refused(failure).into()).await;
        assert_eq!((head.status().as_u16(), body["code"].as_str()), (422, Some("key_rejected")));
        assert!(body["hint"].as_str().unwrap().contains("another one"));
        let failure = Failure::new("busy", "An answer is being written.", NextMove::None);
        let (head, body) = written(Error::Conflict(failure).into()).await;
        assert_eq!((head.status().as_u16(), &body["hint"]), (409, &serde_json::Value::Null));
    }

    #[tokio::test]
    async fn what_is_absent_is_named_by_its_noun() {
        let error = Error::NotFound { noun: "sign-in", id: "sin_x".to_owned() };
        let (head, body) = written(error.into()).await;
        assert_eq!((head.status().as_u16(), body["code"].as_str()), (404, Some("sign_in_not_found")));
    }
}
