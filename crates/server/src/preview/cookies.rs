//! Cookies: the pass that opens a preview, what of a browser's cookies the app may see, and what it may set.

use doce_model::ProjectId;
use http::{HeaderMap, HeaderValue, header};

use super::{Origin, access::PASS_LIFE};

/// The name of a Project's pass. It names the Project because cookies don't tell ports apart, and has the `__Host-`
/// prefix wherever browsers allow it: then no other preview can plant one.
pub(super) fn pass_name(project: ProjectId, origin: &Origin) -> String {
    let prefix = if origin.is_trustworthy() { "__Host-" } else { "" };
    format!("{prefix}doce-preview-{}", project.hex())
}

/// The `Set-Cookie` that gives a browser its pass.
///
/// Where the origin takes `Secure` cookies it is for a frame within another site, and kept apart by that site.
/// Elsewhere (plain http to another machine) the frame is on doce's own host, so `Lax` arrives.
pub(super) fn pass_cookie(project: ProjectId, origin: &Origin, token: &str) -> String {
    let name = pass_name(project, origin);
    let age = PASS_LIFE.as_secs();
    let site = if origin.is_trustworthy() { "Secure; SameSite=None; Partitioned" } else { "SameSite=Lax" };
    format!("{name}={token}; Path=/; Max-Age={age}; HttpOnly; {site}")
}

/// Returns the values that a browser sent under one name. There may be several: any that is good will do.
pub(super) fn values<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h str> {
    headers.get_all(header::COOKIE).iter().flat_map(|line| line.as_bytes().split(|b| *b == b';')).filter_map(
        move |pair| {
            let (key, value) = split(pair)?;
            (key == name.as_bytes()).then(|| str::from_utf8(value).ok())?
        },
    )
}

/// Takes doce's own cookies out of what the app will see.
pub(super) fn strip_ours(headers: &mut HeaderMap) {
    let kept: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|b| *b == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && !is_ours(split(pair).map_or(*pair, |(key, _)| key)))
        .collect();
    let line = HeaderValue::from_bytes(&kept.join(&b"; "[..])).expect("parts of header values make a header value");
    if line.is_empty() {
        headers.remove(header::COOKIE);
    } else {
        headers.insert(header::COOKIE, line);
    }
}

/// Narrows the cookies that the app sets to its own host, and lets none of them pass for doce's.
///
/// In a frame within another site browsers keep only what is `Secure; SameSite=None; Partitioned`, so that is what the
/// app's cookies become where the origin allows it. What `SameSite` would have guarded against, requests made by other
/// pages, is refused by the proxy.
pub(super) fn narrow(headers: &mut HeaderMap, origin: &Origin) {
    let lines: Vec<HeaderValue> =
        headers.get_all(header::SET_COOKIE).iter().filter_map(|line| narrowed(line.as_bytes(), origin)).collect();
    headers.remove(header::SET_COOKIE);
    for line in lines {
        headers.append(header::SET_COOKIE, line);
    }
}

fn narrowed(line: &[u8], origin: &Origin) -> Option<HeaderValue> {
    let mut parts = line.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let pair = parts.next()?;
    // A cookie without a name is sent back as its value alone, which could read as one of ours.
    let (name, _) = split(pair).filter(|(name, _)| !name.is_empty() && !is_ours(name))?;
    if name.iter().any(u8::is_ascii_control) {
        return None;
    }
    let mut kept = vec![pair];
    for part in parts {
        let attribute = split(part).map_or(part, |(key, _)| key).to_ascii_lowercase();
        let of_the_site = matches!(attribute.as_slice(), b"samesite" | b"secure" | b"partitioned");
        if part.is_empty() || attribute == b"domain" || (of_the_site && origin.is_trustworthy()) {
            continue;
        }
        kept.push(part);
    }
    if origin.is_trustworthy() {
        kept.extend([&b"Secure"[..], b"SameSite=None", b"Partitioned"]);
    }
    HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok()
}

/// Says whether a cookie of this name is doce's. Browsers read prefixes in any case, so names are too.
fn is_ours(name: &[u8]) -> bool {
    let name = name.trim_ascii().to_ascii_lowercase();
    let bare = name.strip_prefix(b"__host-").or_else(|| name.strip_prefix(b"__secure-")).unwrap_or(&name);
    bare == b"doce" || bare.starts_with(b"doce-") || name.starts_with(b"__host-doce")
}

fn split(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|b| *b == b'=')?;
    Some((pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()))
}

#[cfg(test)]
mod tests {
    use doce_model::Ms;

    use super::*;

    fn origin(text: &str) -> Origin {
        Origin::parse(text).expect("it is an origin")
    }

    fn with(name: &header::HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_str(line).expect("it is a header value");
            headers.append(name.clone(), line);
        }
        headers
    }

    fn seen_by_the_app(lines: &[&str]) -> Option<String> {
        let mut headers = with(&header::COOKIE, lines);
        strip_ours(&mut headers);
        assert!(headers.get_all(header::COOKIE).iter().count() <= 1);
        let line = headers.get(header::COOKIE)?;
        Some(line.to_str().expect("it is ASCII").to_owned())
    }

    fn set_by_the_app(line: &str, at: &str) -> Option<String> {
        let mut headers = with(&header::SET_COOKIE, &[line]);
        narrow(&mut headers, &origin(at));
        let line = headers.get(header::SET_COOKIE)?;
        Some(line.to_str().expect("it is ASCII").to_owned())
    }

    #[test]
    fn a_pass_fits_the_origin_it_is_for() {
        let project = ProjectId::new(Ms(1));
        let hex = project.hex();
        assert_eq!(
            pass_cookie(project, &origin("http://a.preview.localhost:1"), "t"),
            format!("__Host-doce-preview-{hex}=t; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=None; Partitioned")
        );
        assert_eq!(
            pass_cookie(project, &origin("http://192.0.2.2:1"), "t"),
            format!("doce-preview-{hex}=t; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax")
        );
    }

    #[test]
    fn doces_cookies_are_not_shown_to_the_app() {
        assert_eq!(
            seen_by_the_app(&[
                "a=1; __Host-doce=secret; doce=secret; b=x=y",
                "__Host-doce-preview-00=secret; doce-preview-00=secret;;  c",
                "__HOST-DOCE=secret; Doce=secret; __Secure-doce=secret; doced=2",
            ]),
            Some("a=1; b=x=y; c; doced=2".to_owned())
        );
        assert_eq!(seen_by_the_app(&["doce=secret", " __Host-doce = secret ;"]), None);
    }

    #[test]
    fn bytes_that_are_no_text_pass_through() {
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_bytes(b"a=\xff\xfe; doce=1").expect("it is a header value");
        headers.insert(header::COOKIE, line);
        strip_ours(&mut headers);
        assert_eq!(headers[header::COOKIE].as_bytes(), b"a=\xff\xfe");
    }

    #[test]
    fn every_value_of_a_name_is_found() {
        let headers = with(&header::COOKIE, &["n=1; m=2", "n = 3 ; nn=4; n"]);
        assert_eq!(values(&headers, "n").collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn the_apps_cookies_are_kept_to_its_own_host() {
        let at = "http://192.0.2.2:5001";
        assert_eq!(
            set_by_the_app("s=1; Domain=localhost; Path=/; HttpOnly; domain = .example ;SameSite=Lax", at),
            Some("s=1; Path=/; HttpOnly; SameSite=Lax".to_owned())
        );
    }

    #[test]
    fn the_apps_cookies_work_within_a_frame() {
        let at = "http://a.preview.localhost:4321";
        let site = "Secure; SameSite=None; Partitioned";
        assert_eq!(
            set_by_the_app("s=1; Path=/; samesite=strict; secure; Max-Age=5", at),
            Some(format!("s=1; Path=/; Max-Age=5; {site}"))
        );
        assert_eq!(set_by_the_app("s=1", at), Some(format!("s=1; {site}")));
    }

    #[test]
    fn the_app_cannot_set_what_would_pass_for_doces() {
        for line in [
            "doce=x",
            "__Host-doce=x; Path=/; Secure",
            "__host-DOCE-preview-0=x",
            "doce-preview-0=x; Domain=localhost",
            "__Host-docest=x",
            "=doce=x",
            "=__Host-doce=x",
            "doce",
            "novalue",
            "",
            "; Path=/",
        ] {
            for at in ["http://a.preview.localhost:1", "http://192.0.2.2:1"] {
                assert_eq!(set_by_the_app(line, at), None, "{line}");
            }
        }
    }
}
