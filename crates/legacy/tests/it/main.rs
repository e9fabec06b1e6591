//! Installations of every age, whole and broken, read.

mod ages;
mod fixtures;
mod hostile;

use camino::Utf8Path;
use doce_legacy::{Credential, Installation, Key, Owner, Verdict};
use secrecy::ExposeSecret as _;

pub(crate) const ANA: &str = "276b6c4692e78d4799c12ada515bc3e4";
pub(crate) const BERTA: &str = "43d75035f949d7bad66383b46374d2e2";
pub(crate) const BAKERY: &str = "5d0bae2213abb664987af7d0";
pub(crate) const SHOP: &str = "e211940d564e469644eea89d";
/// What the readers don't look into.
pub(crate) const HASH: &str = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g";

pub(crate) async fn read(root: &Utf8Path) -> Installation {
    doce_legacy::read(root, &root.join("volumes")).await.expect("it is an installation")
}

/// The findings as lines: what became of what.
pub(crate) fn findings(installation: &Installation) -> Vec<String> {
    let word = |verdict| match verdict {
        Verdict::Left => "left",
        Verdict::Refused => "refused",
        Verdict::Unreadable => "unreadable",
    };
    let line =
        |f: &doce_legacy::Finding| format!("{} {} {}: {}", word(f.verdict), f.subject.as_str(), f.name, f.reason);
    installation.findings.iter().map(line).collect()
}

pub(crate) fn api_key(key: &Key) -> &str {
    match &key.credential {
        Credential::Api { key, .. } => key.expose_secret(),
        other => panic!("{other:?} is not a key"),
    }
}

pub(crate) fn of(id: &str) -> Owner {
    Owner::User(id.to_owned())
}

pub(crate) fn models(installation: &Installation) -> Vec<String> {
    let shown = |project: &doce_legacy::Project| {
        project.model.as_ref().map_or_else(|| "none".to_owned(), |m| format!("{} {}", m.provider_id, m.model_id))
    };
    installation.projects.iter().map(shown).collect()
}
