//! The network: the port, the address that browsers use, proxies and certificates, and the clock of the rest of the world.

use std::{fs, io, net::TcpListener, time::Duration};

use doce_model::Ms;
use url::Url;

use super::{Finding, Surroundings};
use crate::{chain, program::NPM_REGISTRY};

/// How long the registry may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How far the clock may be off before sign-ins and certificates are at risk.
const CLOCK_OFF: Duration = Duration::from_mins(2);

/// Looks whether the server could listen where it is told to.
pub(super) fn port(around: &Surroundings) -> Finding {
    const CHECK: &str = "port";
    let listen = around.listen;
    if let Some(running) = &around.running {
        return Finding::ok(CHECK, format!("doce runs at {running}"));
    }
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(CHECK, format!("{listen} is free")),
        Err(error) => {
            let kind = error.kind();
            let (why, repair) = if kind == io::ErrorKind::AddrInUse {
                let repair = format!(
                    "ss -ltnp sport = :{}; or DOCE_LISTEN={}:ANOTHER-PORT doce serve",
                    listen.port(),
                    listen.ip()
                );
                ("another program has it".to_owned(), repair)
            } else if kind == io::ErrorKind::PermissionDenied {
                let repair = format!("DOCE_LISTEN={}:4321 doce serve, behind a proxy", listen.ip());
                ("only root may listen on ports below 1024".to_owned(), repair)
            } else if kind == io::ErrorKind::AddrNotAvailable {
                let repair = format!("DOCE_LISTEN=0.0.0.0:{} doce serve", listen.port());
                ("this machine doesn't have that address".to_owned(), repair)
            } else {
                (error.to_string(), "DOCE_LISTEN=127.0.0.1:4321 doce serve".to_owned())
            };
            Finding::problem(CHECK, format!("doce can't listen on {listen}: {why}"), repair)
        }
    }
}

/// Looks at the address that browsers use.
pub(super) fn address(around: &Surroundings) -> Option<Finding> {
    const CHECK: &str = "address";
    match &around.public_url {
        Some(url) if url.starts_with("https://") => Some(Finding::ok(CHECK, format!("browsers use {url}"))),
        Some(url) => Some(Finding::warning(
            CHECK,
            format!("browsers use {url}: whoever is in between reads passwords and keys"),
            "export DOCE_PUBLIC_URL=https://NAME, and put a proxy with TLS before doce",
        )),
        None if around.listen.ip().is_loopback() => None,
        None => Some(Finding::warning(
            CHECK,
            format!(
                "{} is open to the network without TLS: whoever is in between reads passwords and keys",
                around.listen
            ),
            "export DOCE_PUBLIC_URL=https://NAME, and put a proxy with TLS before doce",
        )),
    }
}

/// Looks at the variables about proxies and certificates.
pub(super) fn settings(around: &Surroundings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, value) in &around.outside.variables {
        match name.to_ascii_uppercase().as_str() {
            "HTTP_PROXY" | "HTTPS_PROXY" | "ALL_PROXY" => {
                let is_proxy = Url::parse(value)
                    .is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") && url.has_host());
                if !is_proxy {
                    findings.push(Finding::problem(
                        "proxy",
                        format!("{name} is not the address of a proxy, so nothing outside is reached"),
                        format!("export {name}=http://HOST:PORT"),
                    ));
                }
            }
            "SSL_CERT_FILE" | "NODE_EXTRA_CA_CERTS" => {
                let holds_some = fs::read_to_string(value).map(|text| text.contains("-----BEGIN CERTIFICATE-----"));
                let wrong = match holds_some {
                    Ok(true) => continue,
                    Ok(false) => "has no certificate in it".to_owned(),
                    Err(error) => format!("can't be read: {error}"),
                };
                findings.push(Finding::problem(
                    "certificates",
                    format!("{value}, which {name} names, {wrong}"),
                    format!("unset {name}, or export {name}=FILE-WITH-CERTIFICATES.pem"),
                ));
            }
            "SSL_CERT_DIR" if !std::path::Path::new(value).is_dir() => findings.push(Finding::problem(
                "certificates",
                format!("{value}, which {name} names, is not a directory"),
                format!("unset {name}"),
            )),
            _ => {}
        }
    }
    findings
}

/// What asking the npm registry told.
pub(super) struct Reach {
    pub(super) is_reachable: bool,
    pub(super) findings: Vec<Finding>,
}

/// Asks the npm registry for its date: whether there is a way out, and whether the clock is right.
pub(super) async fn reach(around: &Surroundings, now: Ms) -> Reach {
    let registry = around.npm_registry.as_deref().unwrap_or(NPM_REGISTRY);
    let host = Url::parse(registry).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER)
        .user_agent(concat!("doce/", env!("CARGO_PKG_VERSION")))
        .build();
    let asked = match client {
        Ok(client) => client.head(registry).send().await,
        Err(error) => Err(error),
    };
    let response = match asked {
        Ok(response) => response,
        Err(error) => {
            let reason = chain(&error.without_url());
            let text = format!("{host} can't be reached: {reason}. Without it nothing can be installed");
            let repair = if reason.contains("certificate") {
                "export SSL_CERT_FILE=FILE-WITH-THE-PROXYS-CERTIFICATE.pem".to_owned()
            } else {
                format!("curl -I {registry}; behind a proxy, export HTTPS_PROXY=http://HOST:PORT")
            };
            let clock = unknown(&format!("{host} can't be reached"));
            return Reach { is_reachable: false, findings: vec![Finding::warning("network", text, repair), clock] };
        }
    };
    let date =
        response.headers().get(reqwest::header::DATE).and_then(|date| date.to_str().ok()).and_then(Ms::from_http);
    let clock = date.map_or_else(|| unknown(&format!("{host} tells no time")), |there| compare(now, there));
    Reach { is_reachable: true, findings: vec![Finding::ok("network", format!("{host} answers")), clock] }
}

fn unknown(why: &str) -> Finding {
    Finding::warning("clock", format!("it could not be checked: {why}"), "timedatectl")
}

fn compare(here: Ms, there: Ms) -> Finding {
    let off = Duration::from_millis(here.0.abs_diff(there.0));
    if off < CLOCK_OFF {
        return Finding::ok("clock", "it is right");
    }
    let way = if here.0 > there.0 { "ahead" } else { "behind" };
    let text = format!("it is {} min {way}: certificates and sign-ins at providers fail", off.as_secs() / 60);
    Finding::problem("clock", text, "sudo timedatectl set-ntp true")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Health;

    #[test]
    fn a_clock_that_is_off_is_told_with_its_direction() {
        assert_eq!(compare(Ms(1_000_000), Ms(1_060_000)).health, Health::Ok);
        let behind = compare(Ms(1_000_000), Ms(1_000_000 + 3_600_000));
        assert_eq!((behind.health, behind.text.starts_with("it is 60 min behind")), (Health::Problem, true));
        assert!(compare(Ms(4_600_000), Ms(1_000_000)).text.contains("ahead"));
    }
}
