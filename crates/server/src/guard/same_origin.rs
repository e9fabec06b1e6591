//! Refuses changes that another site's page asks for, and bodies that a plain form could send.
//!
//! Browsers say where a request comes from: `Sec-Fetch-Site` where they can, `Origin` (with its port) on every change.
//! A script sends neither, and it has no cookie that a page could ride on. A preview is another origin.

use axum::{
    extract::{Request, State as Extract},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode, header};

use crate::{
    address::Place,
    error::{Problem, code},
    preview::Origin,
    state::State,
};

/// Passes every request to doce itself.
pub(crate) async fn same_origin(Extract(state): Extract<State>, request: Request, next: Next) -> Response {
    match check(&request, state.limits.body) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(request: &Request, most: usize) -> Result<(), Problem> {
    let headers = request.headers();
    let Some(place) = request.extensions().get::<Place>() else {
        return Err(foreign());
    };
    if !is_safe(request.method()) && is_foreign(headers, &place.origin) {
        return Err(foreign());
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > most as u64) {
        return Err(too_large(most));
    }
    let has_body = length.is_some_and(|length| length > 0) || headers.contains_key(header::TRANSFER_ENCODING);
    if has_body && !is_json(headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            code::UNSUPPORTED_MEDIA_TYPE,
            "A request's body is JSON: send it with `Content-Type: application/json`.",
        ));
    }
    Ok(())
}

/// A body is larger than is read.
pub(crate) fn too_large(most: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        code::BODY_TOO_LARGE,
        format!("The request is too large: at most {most} bytes are read."),
    )
}

fn foreign() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        code::CROSS_ORIGIN,
        "This request came from another site's page, so it was not carried out.",
    )
}

/// Says whether a method only asks.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_foreign(headers: &HeaderMap, own: &Origin) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter().peekable();
    if sites.peek().is_some() {
        return !sites.all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    }
    headers.get_all(header::ORIGIN).iter().any(|origin| origin.as_bytes() != own.as_str().as_bytes())
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return false;
    };
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::address::{Named, Names};

    const MOST: usize = 100;

    fn judge(method: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
        let mut request = Request::builder().method(method).uri("/api/x").header("host", "localhost:4321");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let local = "127.0.0.1:4321".parse().unwrap();
        let Some(Named::Doce(place)) = Names::default().read(&request, local) else { panic!() };
        request.extensions_mut().insert(place);
        check(&request, MOST).map_err(|problem| problem.into_response().status().as_u16())
    }

    #[test]
    fn a_change_is_refused_unless_our_own_page_or_a_script_asks_for_it() {
        let site = |value| ("sec-fetch-site", value);
        let origin = |value| ("origin", value);
        for (headers, allowed) in [
            (&[][..], true),
            (&[site("same-origin")], true),
            (&[site("none")], true),
            (&[site("same-site")], false),
            (&[site("cross-site")], false),
            (&[site("anything")], false),
            (&[site("same-origin"), site("cross-site")], false),
            (&[origin("http://localhost:4321")], true),
            (&[origin("http://localhost:4322")], false),
            (&[origin("https://localhost:4321")], false),
            (&[origin("http://bakery.preview.localhost:4321")], false),
            (&[origin("http://127.0.0.1:4321")], false),
            (&[origin("null")], false),
            (&[origin("")], false),
            (&[site("cross-site"), origin("http://localhost:4321")], false),
            (&[site("same-origin"), origin("http://localhost:4321")], true),
        ] {
            for method in ["POST", "PATCH", "PUT", "DELETE"] {
                let expected = if allowed { Ok(()) } else { Err(403) };
                assert_eq!(judge(method, headers), expected, "{method} {headers:?}");
            }
            assert_eq!(judge("GET", headers), Ok(()), "{headers:?}");
        }
    }

    #[test]
    fn a_body_that_a_form_could_send_is_refused() {
        for (kind, expected) in [
            (Some("application/json"), Ok(())),
            (Some("Application/JSON; charset=utf-8"), Ok(())),
            (Some("text/plain"), Err(415)),
            (Some("application/x-www-form-urlencoded"), Err(415)),
            (Some("multipart/form-data; boundary=application/json"), Err(415)),
            (Some("application/jsonp"), Err(415)),
            (None, Err(415)),
        ] {
            let mut headers = vec![("content-length", "2")];
            headers.extend(kind.map(|kind| ("content-type", kind)));
            assert_eq!(judge("POST", &headers), expected, "{kind:?}");
        }
        assert_eq!(judge("POST", &[("transfer-encoding", "chunked")]), Err(415));
        assert_eq!(judge("POST", &[("content-length", "0")]), Ok(()));
        assert_eq!(judge("POST", &[]), Ok(()));
    }

    #[test]
    fn a_body_that_announces_too_much_is_not_read() {
        let json = ("content-type", "application/json");
        assert_eq!(judge("POST", &[json, ("content-length", "100")]), Ok(()));
        assert_eq!(judge("POST", &[json, ("content-length", "101")]), Err(413));
    }
}
