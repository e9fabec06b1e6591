//! The pages that stand in for an app: why it isn't shown, and the way back.
//!
//! Each is complete in itself, loads nothing, and tells the page that frames it its kind. Where a person doesn't read the
//! answer it is one line of text.

use std::sync::LazyLock;

use axum::{body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use doce_model::PreviewState;
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// What a reader may do next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Way<'a> {
    /// Go to the Project's page in doce.
    Home(&'a str),
    /// Ask for the same page again; its path and query.
    Again(&'a str),
    /// Nothing: it comes by itself, or not at all.
    None,
}

/// Why the app isn't shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'a> {
    /// The status of the answer.
    pub(super) status: StatusCode,
    /// The word that the framing page is told.
    pub(super) kind: &'static str,
    /// What is the case.
    pub(super) title: &'static str,
    /// What that means.
    pub(super) text: &'static str,
    /// What was reported, in words that nobody here wrote.
    pub(super) detail: Option<&'a str>,
    /// What a reader may do next.
    pub(super) way: Way<'a>,
}

/// Most characters of a detail that are shown.
const DETAIL_MAX: usize = 2_000;

impl<'a> Page<'a> {
    /// Nobody may see this without a pass.
    pub(super) fn locked(home: &'a str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            kind: "locked",
            title: "This preview is private",
            text: "Open it from its project in doce. An address that was copied from there works once, and for half a minute.",
            detail: None,
            way: Way::Home(home),
        }
    }

    /// The pass that was just given didn't come back.
    pub(super) fn cookie_refused(home: &'a str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            kind: "cookie_refused",
            title: "Your browser didn't keep the preview's cookie",
            text: "A preview is private, so it needs one. Allow cookies for this address, or open the preview in its own tab.",
            detail: None,
            way: Way::Home(home),
        }
    }

    /// Another page wanted something of the preview.
    pub(super) fn foreign() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            kind: "foreign",
            title: "Another page may not use this preview",
            text: "The request came from a page of another origin. Only the app's own pages may ask for its files and data.",
            detail: None,
            way: Way::None,
        }
    }

    /// There is no app to ask yet, or none any more.
    pub(super) fn not_ready(state: PreviewState, reason: Option<&'a str>, again: &'a str) -> Self {
        let (title, text, way) = match state {
            PreviewState::Off => ("The preview is off", "It starts with its project.", Way::None),
            PreviewState::Installing => (
                "Installing the app's packages",
                "The agent is at work already. The app appears here when its packages are in place.",
                Way::None,
            ),
            PreviewState::Starting | PreviewState::Ready => {
                ("Starting the app", "It appears here in a moment.", Way::Again(again))
            }
            PreviewState::NotInstalled => (
                "The app's packages could not be installed",
                "Start the preview again in doce when the cause is gone. The agent works meanwhile.",
                Way::Again(again),
            ),
            PreviewState::Failed => (
                "The app doesn't start",
                "The project's logs in doce tell more. Its agent may be able to put it right: ask it to.",
                Way::Again(again),
            ),
        };
        Self { status: StatusCode::SERVICE_UNAVAILABLE, kind: "not_ready", title, text, detail: reason, way }
    }

    /// The dev server took no connection, or broke one off.
    pub(super) fn unreachable(again: &'a str) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            kind: "unreachable",
            title: "The app isn't answering",
            text: "Its dev server is restarting, or has stopped. The project in doce shows which.",
            detail: None,
            way: Way::Again(again),
        }
    }

    /// The dev server took a request and gave no answer.
    pub(super) fn slow(again: &'a str) -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            kind: "slow",
            title: "The app took too long",
            text: "Its dev server accepted the request and sent no answer.",
            detail: None,
            way: Way::Again(again),
        }
    }

    /// The preview has as many open sockets as it may have.
    pub(super) fn crowded() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            kind: "crowded",
            title: "Too many open connections",
            text: "Close some tabs that show this preview.",
            detail: None,
            way: Way::None,
        }
    }

    /// Whose preview it is could not be found out.
    pub(super) fn broken(again: &'a str) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "broken",
            title: "doce could not open this preview",
            text: "It failed inside. The server's log says why, under the reference below.",
            detail: None,
            way: Way::Again(again),
        }
    }

    /// The request is not one that a preview takes.
    pub(super) fn refused(status: StatusCode, title: &'static str) -> Self {
        Self {
            status,
            kind: "refused",
            title,
            text: "A preview doesn't take this request.",
            detail: None,
            way: Way::None,
        }
    }

    /// Renders it: as a page if a person reads it, else as a line. Both name the request.
    pub(super) fn render(self, for_a_person: bool, id: &str) -> Response {
        let (kind, body) = if for_a_person {
            ("text/html; charset=utf-8", self.html(id))
        } else {
            ("text/plain; charset=utf-8", format!("{} (reference: {id})\n", self.title))
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
        response
    }

    fn html(self, id: &str) -> String {
        let way = match self.way {
            Way::Home(to) => link(to, " target=\"_top\"", "Open it in doce"),
            Way::Again(to) => link(to, "", "Try again"),
            Way::None => String::new(),
        };
        let detail = self.detail.map_or_else(String::new, |detail| {
            let detail: String = detail.chars().take(DETAIL_MAX).collect();
            format!("<pre>{}</pre>", escape(&detail))
        });
        let Self { kind, title, text, .. } = self;
        format!(
            "<!doctype html><html lang=\"en\" data-kind=\"{kind}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main><h1>{title}</h1><p>{text}</p>{detail}{way}\
             <p class=\"reference\">reference: <code>{id}</code></p></main>\
             <script>{SCRIPT}</script></body></html>"
        )
    }
}

fn link(to: &str, attributes: &str, words: &str) -> String {
    format!("<a href=\"{}\"{attributes}>{words}</a>", escape(to))
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

const STYLE: &str = ":root{color-scheme:light dark;--page:#fafafa;--ink:#18181b;--soft:#71717a;--line:#e4e4e7}\
@media(prefers-color-scheme:dark){:root{--page:#09090b;--ink:#f4f4f5;--soft:#a1a1aa;--line:#27272a}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;min-height:100dvh;display:grid;place-items:center;padding:24px;background:var(--page);color:var(--ink);\
font:15px/1.6 system-ui,-apple-system,'Segoe UI',sans-serif;-webkit-font-smoothing:antialiased}\
main{max-width:26rem;text-align:center}\
h1{margin:0 0 8px;font-size:18px;font-weight:600;letter-spacing:-.01em;text-wrap:balance}\
p{margin:0;color:var(--soft);text-wrap:pretty}\
pre{margin:20px 0 0;padding:12px 14px;max-height:40vh;overflow:auto;border:1px solid var(--line);border-radius:8px;text-align:left;\
font:12.5px/1.55 ui-monospace,SFMono-Regular,Menlo,monospace;white-space:pre-wrap;overflow-wrap:anywhere}\
.reference{margin-top:24px;font-size:12px}\
code{font:12px/1.55 ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere;user-select:all}\
a{display:inline-block;margin-top:20px;padding:6px 14px;border:1px solid var(--line);border-radius:8px;color:inherit;text-decoration:none}\
.framed a[target]{display:none}a:hover{border-color:var(--soft)}a:focus-visible{outline:2px solid currentColor;outline-offset:2px}";

// A frame may not move its page, and whoever reads it there is in doce already: the way home is for a tab of its own.
const SCRIPT: &str = "if(parent!==self){const root=document.documentElement;root.classList.add('framed');\
parent.postMessage({source:'doce-preview',kind:root.dataset.kind},'*')}";

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    HeaderValue::from_str(&policy).expect("base64 and these words make a header value")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text_on_the_page() {
        let reason = "<script>alert(1)</script> & \"quotes\"";
        let html = Page::not_ready(PreviewState::Failed, Some(reason), "/a\"><b>?x='y'").html("req_1");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot;"));
        assert!(html.contains("href=\"/a&quot;&gt;&lt;b&gt;?x=&#39;y&#39;\""));
        assert_eq!(html.matches("<script>").count(), 1);
    }

    #[test]
    fn a_long_detail_is_cut() {
        let reason = "é".repeat(DETAIL_MAX + 1);
        let html = Page::not_ready(PreviewState::Failed, Some(&reason), "/").html("req_1");
        assert_eq!(html.matches('é').count(), DETAIL_MAX);
    }

    #[test]
    fn each_state_has_words_of_its_own() {
        let titles: std::collections::BTreeSet<_> = [
            PreviewState::Off,
            PreviewState::Installing,
            PreviewState::Starting,
            PreviewState::NotInstalled,
            PreviewState::Failed,
        ]
        .map(|state| Page::not_ready(state, None, "/").title)
        .into();
        assert_eq!(titles.len(), 5);
    }
}
