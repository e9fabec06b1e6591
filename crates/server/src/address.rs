//! Where a request was sent, as the browser sees it: doce's own page, a preview, or a name that isn't ours.
//!
//! A page of another site can make a browser send requests here under that site's name (DNS rebinding), so a name that
//! nobody configured is refused. An address is accepted only if the connection really arrived at it.
//! A port is never compared: it may be mapped on the way. Where it matters (`Origin`) it is part of the text.

use std::net::{IpAddr, SocketAddr};

use http::{Request, header, uri::Authority};

use crate::preview::{self, Origin};

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Who connected.
    pub(crate) remote: SocketAddr,
    /// At which of our addresses.
    pub(crate) local: SocketAddr,
}

/// By which kind of name doce was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// `localhost` or a loopback address.
    Loopback,
    /// An address of this machine in a network.
    Address,
    /// The configured public address.
    Public,
}

/// Doce's own address in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Scheme, host and port, as the browser writes them.
    pub(crate) origin: Origin,
    /// The name or address alone, as it stands in an address.
    pub(crate) host: String,
    /// The port, if it isn't the scheme's own.
    pub(crate) port: Option<u16>,
    /// By which kind of name.
    pub(crate) via: Via,
}

/// What a request's address names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    /// Doce itself.
    Doce(Place),
    /// A preview, with its own origin.
    Preview {
        /// The Project's name in the address.
        slug: String,
        /// The preview's origin.
        origin: Origin,
    },
}

/// How the preview of a Project is reached from a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PreviewPlace {
    /// At this origin.
    Origin(Origin),
    /// On a port of its own of the page's host, without TLS.
    Port,
    /// Not at all: the page has TLS, and no domain for previews was configured.
    None,
}

/// The names that lead here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// What browsers call doce, if that was configured.
    pub(crate) public: Option<Origin>,
    /// The domain of previews, if that was configured.
    pub(crate) preview_domain: Option<String>,
}

impl Names {
    /// Says what a request's address names; nothing if the name isn't one of ours.
    pub(crate) fn read<B>(&self, request: &Request<B>, local: SocketAddr) -> Option<Named> {
        let authority = authority(request)?;
        let (host, port) = (authority.host(), authority.port_u16());
        if let Some(place) = self.public_place(host, port) {
            return Some(Named::Doce(place));
        }
        if let Some(named) = self.preview(&authority) {
            return Some(named);
        }
        Self::own_place(&authority, local).map(Named::Doce)
    }

    /// Says under which origin and host a preview with a port of its own was called; nothing if it isn't one of ours.
    pub(crate) fn read_at_port<B>(&self, request: &Request<B>, local: SocketAddr) -> Option<(Origin, String)> {
        let authority = authority(request)?;
        if self.public_host().is_some_and(|host| host.eq_ignore_ascii_case(authority.host())) {
            let origin = Origin::parse(&format!("http://{authority}")).ok()?;
            return Some((origin, authority.host().to_owned()));
        }
        Self::own_place(&authority, local).map(|place| (place.origin, place.host))
    }

    /// Returns where doce is, seen from a preview with a host name of its own.
    pub(crate) fn home_of(&self, preview: &Origin) -> String {
        let url = url::Url::parse(preview.as_str()).ok();
        let is_local = url.as_ref().and_then(url::Url::domain).is_some_and(|name| name.ends_with(".localhost"));
        match &self.public {
            Some(public) if !is_local => public.as_str().to_owned(),
            Some(_) | None => {
                let port = url.and_then(|url| url.port());
                format!("http://localhost{}", port.map_or_else(String::new, |port| format!(":{port}")))
            }
        }
    }

    fn own_place(authority: &Authority, local: SocketAddr) -> Option<Place> {
        let (host, port) = (authority.host(), authority.port_u16());
        let via = match ip(host) {
            Some(ip) if ip.is_loopback() => Via::Loopback,
            Some(ip) if ip == local.ip().to_canonical() => Via::Address,
            None if host.eq_ignore_ascii_case("localhost") => Via::Loopback,
            Some(_) | None => return None,
        };
        let origin = Origin::parse(&format!("http://{authority}")).ok()?;
        let port = port.filter(|port| *port != 80);
        Some(Place { origin, host: host.to_ascii_lowercase(), port, via })
    }

    fn public_host(&self) -> Option<String> {
        let url = url::Url::parse(self.public.as_ref()?.as_str()).ok()?;
        url.host_str().map(str::to_owned)
    }

    fn public_place(&self, host: &str, port: Option<u16>) -> Option<Place> {
        let origin = self.public.as_ref()?;
        let url = url::Url::parse(origin.as_str()).ok()?;
        let named = url.host_str()?;
        let same_port = port.is_none_or(|port| Some(port) == url.port_or_known_default());
        (named.eq_ignore_ascii_case(host) && same_port).then(|| Place {
            origin: origin.clone(),
            host: named.to_owned(),
            port: url.port(),
            via: Via::Public,
        })
    }

    fn preview(&self, authority: &Authority) -> Option<Named> {
        let slug_under = |suffix: &str| {
            let address = preview::Address::Host { suffix: suffix.to_owned() };
            address.slug_in(authority.as_str()).map(str::to_ascii_lowercase)
        };
        let local = || {
            let preview::Address::Host { suffix } = preview::Address::local() else { return None };
            slug_under(&suffix).map(|slug| (slug, "http"))
        };
        let configured = || {
            let slug = slug_under(self.preview_domain.as_ref()?)?;
            Some((slug, self.public.as_ref().map_or("http", scheme)))
        };
        let (slug, scheme) = local().or_else(configured)?;
        let origin = Origin::parse(&format!("{scheme}://{authority}")).ok()?;
        Some(Named::Preview { slug, origin })
    }

    /// Says where a page finds the preview of a Project.
    pub(crate) fn preview_of(&self, place: &Place, slug: &str) -> PreviewPlace {
        let Some(suffix) = self.preview_suffix(place) else {
            return if scheme(&place.origin) == "https" { PreviewPlace::None } else { PreviewPlace::Port };
        };
        let port = place.port.map_or_else(String::new, |port| format!(":{port}"));
        let origin = format!("{}://{slug}.{suffix}{port}", scheme(&place.origin));
        Origin::parse(&origin).map_or(PreviewPlace::None, PreviewPlace::Origin)
    }

    /// Returns the origins that a page may frame, as a source of a content security policy.
    pub(crate) fn preview_source(&self, place: &Place) -> Option<String> {
        let scheme = scheme(&place.origin);
        match self.preview_suffix(place) {
            Some(suffix) => {
                let port = place.port.map_or_else(String::new, |port| format!(":{port}"));
                Some(format!("{scheme}://*.{suffix}{port}"))
            }
            None if scheme == "https" => None,
            None => Some(format!("{scheme}://{}:*", place.host)),
        }
    }

    fn preview_suffix(&self, place: &Place) -> Option<&str> {
        match place.via {
            Via::Loopback => Some("preview.localhost"),
            Via::Address | Via::Public => self.preview_domain.as_deref(),
        }
    }
}

impl Place {
    /// Says whether the way from the browser can't be listened to: TLS, or no way at all.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.via == Via::Loopback || scheme(&self.origin) == "https"
    }

    /// Says whether the browser came by https.
    pub(crate) fn is_https(&self) -> bool {
        scheme(&self.origin) == "https"
    }
}

fn scheme(origin: &Origin) -> &str {
    origin.as_str().split(':').next().unwrap_or("http")
}

/// The one authority that a request names. Two that differ name nothing.
fn authority<B>(request: &Request<B>) -> Option<Authority> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return None;
    }
    let host = host.map(|host| Authority::try_from(host.as_bytes())).transpose().ok()?;
    let authority = match (request.uri().authority(), host) {
        (Some(target), Some(host)) if *target != host => return None,
        (Some(target), _) => target.clone(),
        (None, Some(host)) => host,
        (None, None) => return None,
    };
    (!authority.as_str().contains('@')).then_some(authority)
}

/// Reads an address as it stands in an authority.
fn ip(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &Names, host: &str, local: &str) -> Option<Named> {
        let request = Request::builder().uri("/").header("host", host).body(()).unwrap();
        names.read(&request, local.parse().unwrap())
    }

    fn place(names: &Names, host: &str) -> Place {
        match named(names, host, "192.0.2.7:4321") {
            Some(Named::Doce(place)) => place,
            other => panic!("{host}: {other:?}"),
        }
    }

    fn public(url: &str, domain: Option<&str>) -> Names {
        Names { public: Some(Origin::parse(url).unwrap()), preview_domain: domain.map(str::to_owned) }
    }

    #[test]
    fn doce_is_called_by_loopback_names_and_by_the_address_that_was_reached() {
        let names = Names::default();
        for (host, via) in [
            ("localhost:4321", Via::Loopback),
            ("LocalHost", Via::Loopback),
            ("127.0.0.1:9", Via::Loopback),
            ("[::1]:4321", Via::Loopback),
            ("192.0.2.7:4321", Via::Address),
        ] {
            assert_eq!(place(&names, host).via, via, "{host}");
        }
    }

    #[test]
    fn a_name_that_nobody_configured_is_nobody() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "192.0.2.8:4321",
            "127.0.0.1.nip.io",
            "u@localhost",
            "preview.localhost",
            "a.b.preview.localhost",
            "doce.example",
            "0.0.0.0:4321",
        ] {
            assert_eq!(named(&Names::default(), host, "192.0.2.7:4321"), None, "{host}");
        }
    }

    #[test]
    fn a_request_that_names_two_hosts_or_none_is_nobodys() {
        let local = "127.0.0.1:1".parse().unwrap();
        let two = Request::builder().header("host", "localhost").header("host", "localhost").body(());
        assert_eq!(Names::default().read(&two.unwrap(), local), None);
        let none = Request::builder().body(()).unwrap();
        assert_eq!(Names::default().read(&none, local), None);
        let differing = Request::builder().uri("http://evil.example/").header("host", "localhost").body(());
        assert_eq!(Names::default().read(&differing.unwrap(), local), None);
    }

    #[test]
    fn the_public_address_is_known_by_name_and_port() {
        let names = public("https://doce.example", None);
        for host in ["doce.example", "doce.example:443", "DOCE.example"] {
            let place = place(&names, host);
            assert_eq!((place.via, place.origin.as_str()), (Via::Public, "https://doce.example"));
        }
        assert_eq!(named(&names, "doce.example:444", "192.0.2.7:1"), None);
        assert_eq!(named(&names, "a.doce.example", "192.0.2.7:1"), None);
    }

    #[test]
    fn a_preview_is_a_label_under_the_local_suffix_or_the_configured_domain() {
        let names = public("https://doce.apps.example", Some("apps.example"));
        for (host, origin) in [
            ("bakery.preview.localhost:4321", "http://bakery.preview.localhost:4321"),
            ("bakery.apps.example", "https://bakery.apps.example"),
        ] {
            let expected = Named::Preview { slug: "bakery".to_owned(), origin: Origin::parse(origin).unwrap() };
            assert_eq!(named(&names, host, "192.0.2.7:1"), Some(expected));
        }
        // Doce's own name under that domain stays doce's.
        assert_eq!(place(&names, "doce.apps.example").via, Via::Public);
    }

    #[test]
    fn each_way_to_doce_has_its_way_to_previews() {
        let origin = |text: &str| PreviewPlace::Origin(Origin::parse(text).unwrap());
        let bare = Names::default();
        let with_domain = public("https://doce.example:8443", Some("apps.example"));
        let without = public("https://doce.example", None);
        for (names, host, preview, source) in [
            (
                &bare,
                "localhost:4321",
                origin("http://b.preview.localhost:4321"),
                Some("http://*.preview.localhost:4321"),
            ),
            (&bare, "127.0.0.1", origin("http://b.preview.localhost"), Some("http://*.preview.localhost")),
            (&bare, "192.0.2.7:4321", PreviewPlace::Port, Some("http://192.0.2.7:*")),
            (
                &with_domain,
                "doce.example:8443",
                origin("https://b.apps.example:8443"),
                Some("https://*.apps.example:8443"),
            ),
            (&with_domain, "localhost:1", origin("http://b.preview.localhost:1"), Some("http://*.preview.localhost:1")),
            (&without, "doce.example", PreviewPlace::None, None),
        ] {
            let place = place(names, host);
            assert_eq!(names.preview_of(&place, "b"), preview, "{host}");
            assert_eq!(names.preview_source(&place).as_deref(), source, "{host}");
        }
    }

    #[test]
    fn a_preview_knows_the_way_back_to_doce() {
        let home = |names: &Names, preview: &str| names.home_of(&Origin::parse(preview).unwrap());
        assert_eq!(home(&Names::default(), "http://b.preview.localhost:4321"), "http://localhost:4321");
        let names = public("https://doce.example", Some("apps.example"));
        assert_eq!(home(&names, "https://b.apps.example"), "https://doce.example");
        assert_eq!(home(&names, "http://b.preview.localhost:1"), "http://localhost:1");
    }

    #[test]
    fn a_preview_with_a_port_of_its_own_is_called_by_doces_own_names() {
        let names = public("http://doce.lan:8080", None);
        let read = |host: &str| {
            let request = Request::builder().header("host", host).body(()).unwrap();
            names
                .read_at_port(&request, "192.0.2.7:5000".parse().unwrap())
                .map(|(origin, host)| (origin.to_string(), host))
        };
        let expected = |origin: &str, host: &str| Some((origin.to_owned(), host.to_owned()));
        assert_eq!(read("doce.lan:5000"), expected("http://doce.lan:5000", "doce.lan"));
        assert_eq!(read("192.0.2.7:5000"), expected("http://192.0.2.7:5000", "192.0.2.7"));
        assert_eq!(read("evil.example:5000"), None);
    }

    #[test]
    fn only_plain_http_over_a_network_is_not_encrypted() {
        assert!(place(&Names::default(), "localhost").is_encrypted());
        assert!(!place(&Names::default(), "192.0.2.7").is_encrypted());
        assert!(place(&public("https://doce.example", None), "doce.example").is_encrypted());
        assert!(!place(&public("http://doce.example", None), "doce.example").is_encrypted());
    }
}
