//! Where a preview is found: origins, host names and the paths that doce keeps for itself.

use std::fmt;

use http::{HeaderValue, Uri};
use url::{Host, Url};

/// The path under which doce answers itself instead of the app.
pub(super) const RESERVED: &str = "/.doce";
/// Where a ticket is turned into a pass.
pub(super) const ENTER: &str = "/.doce/enter";
/// Where a pass is looked for right after it was given.
pub(super) const ENTERED: &str = "/.doce/entered";

/// A text that is not the origin of a web page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an origin like https://host:port")]
pub struct OriginError {
    /// The text, cut to 80 characters.
    pub text: String,
}

/// Scheme, host and port of a web page.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    text: String,
    trustworthy: bool,
}

impl Origin {
    /// Reads an origin as browsers write it. A path, a user or another scheme than http and https is an error.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let error = || OriginError { text: text.chars().take(80).collect() };
        let url = Url::parse(text).map_err(|_| error())?;
        let bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let loopback = match url.host().ok_or_else(error)? {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        if !bare || !matches!(url.scheme(), "http" | "https") {
            return Err(error());
        }
        Ok(Self { text: url.origin().ascii_serialization(), trustworthy: loopback || url.scheme() == "https" })
    }

    /// Returns the origin as browsers write it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Says whether browsers keep `Secure` cookies for it: https, and this machine by any of its names.
    pub fn is_trustworthy(&self) -> bool {
        self.trustworthy
    }

    /// Says whether a header names this origin.
    pub(super) fn is(&self, header: &HeaderValue) -> bool {
        header.as_bytes() == self.text.as_bytes()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How previews are told apart by their addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Each is a host name under one suffix, on doce's own port: `<slug>.preview.localhost`.
    Host {
        /// What follows the slug, without a leading dot.
        suffix: String,
    },
    /// Each has a port of its own on doce's host.
    Port,
}

impl Address {
    /// Returns the addresses that work on this machine without any set-up.
    pub fn local() -> Self {
        Self::Host { suffix: "preview.localhost".to_owned() }
    }

    /// Returns the slug that a `Host` header names, if it is a preview's: one label, then the suffix, then any port.
    pub fn slug_in<'h>(&self, host: &'h str) -> Option<&'h str> {
        let Self::Host { suffix } = self else {
            return None;
        };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            Some(_) => return None,
            None => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        let at = name.len().checked_sub(suffix.len() + 1)?;
        let (label, rest) = (name.get(..at)?, name.get(at..)?);
        let is_suffix = rest.starts_with('.') && rest[1..].eq_ignore_ascii_case(suffix);
        let is_label = (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (is_suffix && is_label).then_some(label)
    }
}

/// Returns where to go after entering: the wanted path if it stays on the preview and isn't doce's own, else `/`.
///
/// It is judged, and returned, as browsers would resolve it: dot segments and backslashes can name another host.
pub(super) fn safe_next(wanted: Option<&str>) -> String {
    let base = Url::parse("http://preview.invalid").expect("it is an address");
    wanted
        .filter(|path| path.starts_with('/'))
        .and_then(|path| base.join(path).ok())
        .filter(|url| url.origin() == base.origin() && url.username().is_empty())
        .filter(|url| !url.path().starts_with("//") && !is_reserved(url.path()))
        .map_or_else(|| "/".to_owned(), |url| url[url::Position::BeforePath..].to_owned())
}

/// Says whether a path is doce's own on a preview's host.
pub(super) fn is_reserved(path: &str) -> bool {
    path.strip_prefix(RESERVED).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns a parameter of a request's query, decoded.
pub(super) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    url::form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, written, trustworthy) in [
            ("http://localhost:4321", "http://localhost:4321", true),
            ("http://127.0.0.1:80/", "http://127.0.0.1", true),
            ("http://[::1]:4321", "http://[::1]:4321", true),
            ("http://A.preview.localhost:1", "http://a.preview.localhost:1", true),
            ("https://doce.example:443", "https://doce.example", true),
            ("http://192.0.2.2:4321", "http://192.0.2.2:4321", false),
            ("http://notlocalhost", "http://notlocalhost", false),
        ] {
            let origin = Origin::parse(text).expect("it is an origin");
            assert_eq!(origin.as_str(), written);
            assert_eq!(origin.is_trustworthy(), trustworthy, "{text}");
        }
    }

    #[test]
    fn what_is_more_than_an_origin_is_refused() {
        for text in [
            "",
            "null",
            "localhost:1",
            "ftp://a",
            "http://a/b",
            "http://u@a",
            "http://u:p@a",
            "http://a?b",
            "http://a#b",
            "javascript:alert(1)",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_slug_is_the_one_label_before_the_suffix() {
        let address = Address::local();
        for (host, slug) in [
            ("bakery-1a2b.preview.localhost:4321", Some("bakery-1a2b")),
            ("bakery.preview.localhost", Some("bakery")),
            ("bakery.preview.localhost.:80", Some("bakery")),
            ("bakery.PREVIEW.localhost", Some("bakery")),
            ("preview.localhost", None),
            (".preview.localhost", None),
            ("a.b.preview.localhost", None),
            ("a_b.preview.localhost", None),
            ("bakerypreview.localhost", None),
            ("bakery.preview.localhost:x", None),
            ("bakery.preview.localhost.evil.example", None),
            ("localhost:4321", None),
            ("", None),
            ("é.preview.localhost", None),
        ] {
            assert_eq!(address.slug_in(host), slug, "{host}");
        }
        assert_eq!(Address::Port.slug_in("bakery.preview.localhost"), None);
    }

    #[test]
    fn the_next_page_stays_on_the_preview() {
        for (wanted, next) in [
            ("/", "/"),
            ("/a/b?c=d#e", "/a/b?c=d#e"),
            ("/a/../b", "/b"),
            ("/a\\..\\b", "/b"),
            ("/é?é", "/%C3%A9?%C3%A9"),
            ("/.docex", "/.docex"),
            ("/\r\nset-cookie: a=b", "/set-cookie:%20a=b"),
        ] {
            assert_eq!(safe_next(Some(wanted)), next, "{wanted}");
        }
        for wanted in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "/\n/evil.example",
            "/x/..//evil.example",
            "/.//evil.example",
            "//u@preview.invalid/",
            "https://evil.example",
            "/.doce",
            "/.doce/enter?ticket=x",
            "/a/../.doce/enter",
            "/%2e/.doce/enter",
        ] {
            assert_eq!(safe_next(Some(wanted)), "/", "{wanted}");
        }
        assert_eq!(safe_next(None), "/");
    }
}
