//! Reading requests: ids, queries and bodies, and what is wrong with them.
//!
//! A value that can't be accepted is never repeated in the answer: it may be a key that was pasted into the wrong field.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use doce_model::IdError;
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::{
    error::{Problem, code},
    guard::same_origin::too_large,
    state::State,
};

/// The id in a path. What isn't one of this noun is not found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr<Err = IdError> + Send> FromRequestParts<State> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = text.map_err(|_| Problem::invalid("id", "The path can't be read."))?;
        Ok(Self(text.parse::<T>()?))
    }
}

/// A query string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<State> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &State) -> Result<Self, Problem> {
        axum::extract::Query::<T>::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|_| Problem::invalid("query", "The query has a field or a value that this route doesn't take."))
    }
}

/// A body of JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<State> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        let most = state.limits.body;
        let read = axum::body::to_bytes(request.into_body(), most);
        let bytes = match tokio::time::timeout(state.limits.body_time, read).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) if is_length_limit(&error) => return Err(too_large(most)),
            Ok(Err(_)) => return Err(malformed("The body ended early.")),
            Err(_) => {
                let text = "The body took too long to arrive.";
                return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, code::BODY_TOO_SLOW, text));
            }
        };
        parse(&bytes).map(Self)
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // What has fields would also be read from an array, in their order, and without those at its end.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::invalid("body", "The body is a JSON object, not an array."));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        if error.is_data() { unacceptable(&path, &error) } else { syntax(&error) }
    })?;
    reader.end().map_err(|error| syntax(&error))?;
    Ok(value)
}

fn syntax(error: &serde_json::Error) -> Problem {
    malformed(format!("The body isn't JSON: see line {}, column {}.", error.line(), error.column()))
}

fn malformed(text: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, code::MALFORMED_JSON, text)
}

/// Says which field can't be accepted. Of the parser's own words only names of fields are repeated, never values.
fn unacceptable(path: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    if let Some(name) = quoted_after(&text, "missing field `") {
        return Problem::invalid(joined(path, name), format!("`{name}` is missing."));
    }
    if let Some(name) = quoted_after(&text, "unknown field `") {
        let name: String = name.chars().take(80).collect();
        return Problem::invalid(path, format!("`{name}` is not a field of this request."));
    }
    Problem::invalid(path, format!("The value of `{path}` is of the wrong type, or not one of those allowed."))
}

fn quoted_after<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    text.strip_prefix(before)?.split('`').next()
}

fn joined(path: &str, name: &str) -> String {
    if path == "." { name.to_owned() } else { format!("{path}.{name}") }
}

/// Tells a field that is null from one that is absent.
#[expect(clippy::option_option, reason = "absent and null are different wishes")]
pub(crate) fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use axum::response::{IntoResponse as _, Response};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Form {
        #[expect(dead_code, reason = "only its type matters here")]
        key: String,
        #[serde(default, deserialize_with = "present")]
        #[expect(clippy::option_option, reason = "absent and null are different wishes")]
        base_url: Option<Option<String>>,
        #[expect(dead_code, reason = "only its type matters here")]
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its type matters here")]
        flag: bool,
    }

    async fn refusal(body: &str) -> (u16, serde_json::Value) {
        let problem = parse::<Form>(body.as_bytes()).unwrap_err();
        let mut response: Response = problem.clone().into_response();
        problem.write(&mut response, "req");
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_by_its_field() {
        for (body, status, code, field) in [
            ("", 400, "malformed_json", None),
            ("{", 400, "malformed_json", None),
            ("{\"key\":\"a\"} x", 400, "malformed_json", None),
            ("{}", 422, "invalid", Some("key")),
            ("{\"key\":1}", 422, "invalid", Some("key")),
            ("{\"key\":\"a\",\"more\":1}", 422, "invalid", Some("more")),
            ("{\"key\":\"a\",\"inner\":{}}", 422, "invalid", Some("inner.flag")),
            ("{\"key\":\"a\",\"inner\":{\"flag\":\"planted\"}}", 422, "invalid", Some("inner.flag")),
            ("[]", 422, "invalid", None),
        ] {
            let (got, problem) = refusal(body).await;
            assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{body}");
            if field.is_some() {
                assert_eq!(problem["field"].as_str(), field, "{body}");
            }
            assert!(!problem.to_string().contains("planted"));
        }
    }

    #[test]
    fn null_is_not_the_same_as_absent() {
        let parse = |text: &str| parse::<Form>(text.as_bytes()).unwrap().base_url;
        assert_eq!(parse("{\"key\":\"\"}"), None);
        assert_eq!(parse("{\"key\":\"\",\"base_url\":null}"), Some(None));
        assert_eq!(parse("{\"key\":\"\",\"base_url\":\"x\"}"), Some(Some("x".to_owned())));
    }
}
