//! What browsers are told about every answer of doce's own: what it may load, who may frame it, how it is read.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    address::{Names, Place},
    ui,
};

/// The policy of answers that aren't pages.
const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// The same for every answer.
const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static(
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), hid=(), midi=(), display-capture=()",
        ),
    ),
];

/// Adds what the answer doesn't say by itself.
pub(super) fn add(headers: &mut HeaderMap, is_api: bool, names: &Names, place: &Place) {
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert_with(|| if is_api { NOTHING } else { page_policy(names, place) });
    if is_api {
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    if place.is_https() {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(HeaderValue::from_static("max-age=31536000"));
    }
}

/// What a page of doce may do: load its own files, run the one script that is in it, talk to its own server, show previews.
fn page_policy(names: &Names, place: &Place) -> HeaderValue {
    let previews = names.preview_source(place);
    let previews = previews.as_deref();
    let framed = previews.unwrap_or("'none'");
    let pictures = previews.map_or_else(String::new, |source| format!(" {source}"));
    let scripts = ui::inline_script().map_or_else(String::new, |script| format!(" {script}"));
    let policy = format!(
        "default-src 'none'; script-src 'self'{scripts}; style-src 'self'; font-src 'self'; img-src 'self' data: blob:{pictures}; \
         connect-src 'self'; manifest-src 'self'; frame-src {framed}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("host names and these words make a header value")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::{address::Named, preview::Origin};

    fn headers(names: &Names, host: &str, is_api: bool) -> HeaderMap {
        let request = Request::builder().header("host", host).body(()).unwrap();
        let Some(Named::Doce(place)) = names.read(&request, "192.0.2.7:1".parse().unwrap()) else {
            panic!("{host} is not doce");
        };
        let mut headers = HeaderMap::new();
        add(&mut headers, is_api, names, &place);
        headers
    }

    #[test]
    fn a_page_may_load_nothing_from_elsewhere_and_nothing_inline_but_its_own_script() {
        let headers = headers(&Names::default(), "localhost:4321", false);
        let policy = headers["content-security-policy"].to_str().unwrap();
        let script = ui::inline_script().map_or_else(String::new, |script| format!(" {script}"));
        let start = format!("default-src 'none'; script-src 'self'{script}; style-src 'self';");
        assert!(policy.starts_with(&start), "{policy}");
        assert!(policy.contains("frame-src http://*.preview.localhost:4321;"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn transport_security_is_only_promised_over_https() {
        let names = Names { public: Some(Origin::parse("https://doce.example").unwrap()), preview_domain: None };
        assert!(headers(&names, "doce.example", true).contains_key("strict-transport-security"));
        assert!(!headers(&names, "localhost", true).contains_key("strict-transport-security"));
    }

    #[test]
    fn an_answer_of_the_api_does_nothing_and_is_not_kept() {
        let headers = headers(&Names::default(), "192.0.2.7", true);
        assert_eq!(headers["content-security-policy"], "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}
