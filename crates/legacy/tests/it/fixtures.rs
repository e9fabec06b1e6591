//! Directories that doce.dev's own migrations made, where `DOCE_LEGACY_FIXTURES` names a folder of them.

use camino::Utf8PathBuf;
use doce_legacy::{Credential, Era};
use doce_testkit::old_installation;

use crate::{api_key, findings, models, read};

#[tokio::test]
async fn an_installation_of_january_2026_is_read_whole() {
    let Some(root) = old_installation::fixture("2026-01-per-project") else { return };
    let before = old_installation::snapshot(&root);
    let read = read(&root).await;
    assert_eq!(read.era, Some(Era::L2));
    assert_eq!(read.users.iter().map(|user| user.username.as_str()).collect::<Vec<_>>(), ["ana"]);
    assert_eq!(read.projects.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["Bakery 0", "Bakery 1"]);
    assert_eq!(models(&read), ["openrouter anthropic/claude-haiku-4.5"; 2]);
    let [key] = read.keys.as_slice() else { panic!("{:?}", read.keys) };
    assert!(api_key(key).starts_with("sk-or-v1-legacyfixture"));
    assert_eq!(key.projects.len(), 2);
    let said = findings(&read).join("\n");
    assert!(said.contains("left project Bakery 2: it was deleted") && said.contains("release abcd1234"), "{said}");
    assert_eq!(old_installation::snapshot(&root), before);
}

#[tokio::test]
async fn an_installation_of_may_2026_is_read_whole() {
    let Some(root) = old_installation::fixture("2026-05-central") else { return };
    let before = old_installation::snapshot(&root);
    let read = read(&root).await;
    assert_eq!(read.era, Some(Era::H6));
    assert_eq!(read.users.iter().map(|user| user.username.as_str()).collect::<Vec<_>>(), ["berta"]);
    assert_eq!(read.projects.len(), 2);
    assert_eq!(models(&read), ["anthropic claude-sonnet-4-5"; 2]);
    let keys: Vec<_> = read.keys.iter().map(|key| key.provider_id.as_str()).collect();
    assert_eq!(keys, ["anthropic", "github-copilot", "groq"]);
    assert!(matches!(read.keys[1].credential, Credential::OAuth { expires: Some(1_767_600_000_000), .. }));
    let place: Utf8PathBuf = read.projects[0].sources.place().into();
    assert!(place.ends_with("preview"));
    let said = findings(&read).join("\n");
    assert!(said.contains("tailscale_auth_key") && !said.contains("tskey"), "{said}");
    assert_eq!(old_installation::snapshot(&root), before);
}
