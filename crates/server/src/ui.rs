//! The web client, embedded in the program by the feature `ui`.
//!
//! Files under `/assets/` carry their hash in their name and never change; the page itself is asked for every time.
//! A path without an extension is the page's own business. Files come brotli-packed from the build and are sent as
//! they are to whoever takes that. Without the feature there is one sentence instead.

use axum::{extract::Request, response::Response};

#[cfg(feature = "ui")]
pub(crate) use embedded::{inline_script, serve};

/// What a policy calls the script that the page has inside: without pages there is none.
#[cfg(not(feature = "ui"))]
pub(crate) fn inline_script() -> Option<&'static str> {
    None
}

/// Answers a request for a file of the web client.
#[cfg(not(feature = "ui"))]
pub(crate) fn serve(request: &Request) -> Response {
    use axum::response::IntoResponse as _;
    use http::StatusCode;
    let text = "This doce was built without its pages: build it with `cargo xtask build`. Its API is at /api.\n";
    let status = if request.uri().path() == "/" { StatusCode::OK } else { StatusCode::NOT_FOUND };
    (status, text).into_response()
}

#[cfg(feature = "ui")]
mod embedded {
    use std::{fmt::Write as _, sync::LazyLock};

    use axum::body::Body;
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
    use rust_embed::{EmbeddedFile, RustEmbed};
    use sha2::{Digest as _, Sha256};

    use super::{Request, Response};

    /// The built web client.
    #[derive(RustEmbed)]
    #[folder = "../../web/dist"]
    struct Dist;

    const PAGE: &str = "index.html";
    const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
    const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

    /// What a policy calls the one script that the page has inside, which sets the colours before the first paint:
    /// the hash of its text, so that no other text is run.
    pub(crate) fn inline_script() -> Option<&'static str> {
        static SOURCE: LazyLock<Option<String>> = LazyLock::new(|| {
            let page = Dist::get(PAGE)?;
            let page = std::str::from_utf8(&page.data).ok()?;
            let (_, script) = page.split_once("<script>")?;
            let (script, _) = script.split_once("</script>")?;
            Some(format!("'sha256-{}'", STANDARD.encode(Sha256::digest(script))))
        });
        SOURCE.as_deref()
    }

    /// Answers a request for a file of the web client.
    pub(crate) fn serve(request: &Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return bare(StatusCode::METHOD_NOT_ALLOWED);
        }
        let path = request.uri().path().trim_start_matches('/');
        let is_route = !path.rsplit('/').next().is_some_and(|name| name.contains('.'));
        let name = if is_route { PAGE } else { path };
        // The packed files are there for the plain ones, not to be asked for.
        let has_own_name = !has_extension(name, "br");
        let Some(plain) = Dist::get(name).filter(|_| has_own_name) else {
            return bare(StatusCode::NOT_FOUND);
        };
        let packed = takes_brotli(request.headers()).then(|| Dist::get(&format!("{name}.br"))).flatten();
        file(request.headers(), name, plain, packed)
    }

    fn file(asked: &HeaderMap, name: &str, plain: EmbeddedFile, packed: Option<EmbeddedFile>) -> Response {
        let tag = tag(&plain);
        let is_known = asked
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|tags| tags.as_bytes().split(|b| *b == b',').any(|known| known.trim_ascii() == tag.as_bytes()));
        let mut response = if is_known { bare(StatusCode::NOT_MODIFIED) } else { Response::new(Body::empty()) };
        let headers = response.headers_mut();
        let keep = if name.starts_with("assets/") { FOR_EVER } else { ASK_AGAIN };
        headers.insert(header::CACHE_CONTROL, keep);
        headers.insert(header::ETAG, tag);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if is_known {
            return response;
        }
        let kind = plain.metadata.mimetype();
        let kind = if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind.to_owned() };
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_str(&kind).unwrap_or(HeaderValue::from_static("application/octet-stream")),
        );
        let data = if let Some(packed) = packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
            packed.data
        } else {
            plain.data
        };
        *response.body_mut() = match data {
            std::borrow::Cow::Borrowed(bytes) => Body::from(bytes),
            std::borrow::Cow::Owned(bytes) => Body::from(bytes),
        };
        response
    }

    /// A tag that is the same however the file is packed.
    fn tag(plain: &EmbeddedFile) -> HeaderValue {
        let hash = plain.metadata.sha256_hash();
        let mut tag = "W/\"".to_owned();
        for byte in &hash[..16] {
            // Writing into a string doesn't fail.
            let _ = write!(tag, "{byte:02x}");
        }
        tag.push('"');
        HeaderValue::from_str(&tag).expect("hexadecimal digits make a header value")
    }

    fn takes_brotli(headers: &HeaderMap) -> bool {
        headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok()).any(|line| {
            line.split(',').any(|coding| {
                let mut parts = coding.split(';').map(str::trim);
                let is_brotli = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("br"));
                is_brotli && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        })
    }

    fn has_extension(name: &str, extension: &str) -> bool {
        name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case(extension))
    }

    fn bare(status: StatusCode) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        response
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn ask(path: &str, headers: &[(&str, &str)]) -> Response {
            let mut request = Request::builder().uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            serve(&request.body(Body::empty()).unwrap())
        }

        fn asset() -> String {
            let found = Dist::iter().find(|name| name.starts_with("assets/") && has_extension(name, "js"));
            found.expect("the built client has a script").into_owned()
        }

        #[test]
        fn a_path_of_the_page_answers_the_page_and_is_asked_for_again() {
            for path in ["/", "/projects/prj_1", "/settings/providers"] {
                let response = ask(path, &[]);
                assert_eq!(response.status(), 200, "{path}");
                assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
                assert_eq!(response.headers()["cache-control"], "no-cache");
            }
        }

        #[test]
        fn the_page_has_one_script_inside_and_the_policy_may_name_it() {
            let page = Dist::get(PAGE).unwrap();
            let page = std::str::from_utf8(&page.data).unwrap();
            assert_eq!(page.matches("<script>").count(), 1, "{page}");
            assert!(inline_script().is_some_and(|source| source.starts_with("'sha256-")), "{page}");
        }

        #[test]
        fn what_is_not_there_is_not_the_page() {
            for path in ["/nothing.js", "/assets/nothing.css", "/index.html.br", "/../Cargo.toml", "/.env"] {
                assert_eq!(ask(path, &[]).status(), 404, "{path}");
            }
        }

        #[test]
        fn an_asset_is_kept_for_ever_and_packed_for_who_takes_it() {
            let path = format!("/{}", asset());
            let packed = ask(&path, &[("accept-encoding", "gzip, br;q=0.9")]);
            assert_eq!(packed.headers()["content-encoding"], "br");
            assert!(packed.headers()["cache-control"].to_str().unwrap().contains("immutable"));
            let plain = ask(&path, &[("accept-encoding", "gzip, br;q=0")]);
            assert!(!plain.headers().contains_key("content-encoding"));
            assert_eq!(plain.headers()["etag"], packed.headers()["etag"]);
        }

        #[test]
        fn what_the_browser_has_is_not_sent_again() {
            let tag = ask("/", &[]).headers()["etag"].to_str().unwrap().to_owned();
            let known = format!("\"other\", {tag}");
            assert_eq!(ask("/", &[("if-none-match", &known)]).status(), 304);
            assert_eq!(ask("/", &[("if-none-match", "\"other\"")]).status(), 200);
        }
    }
}
