//! Makes a data directory of doce.dev, for browser tests and for trying things by hand.
//!
//! Berta is in it, who signs in with `correct horse`, with the project Bakery and a key of `OpenRouter` in its `.env`.

use camino::Utf8PathBuf;
use clap::Parser;
use doce_testkit::old_installation::{Age, OldInstallation};

/// Makes a data directory as doce.dev left it behind.
#[derive(Debug, Parser)]
#[command(name = "old-installation")]
struct Options {
    /// Where it is made.
    directory: Utf8PathBuf,
}

const BERTA: &str = "43d75035f949d7bad66383b46374d2e2";
const BAKERY: &str = "5d0bae2213abb664987af7d0";
/// What Node's `scryptSync` makes of `correct horse`.
const PASSWORD: &str = "000102030405060708090a0b0c0d0e0f:5840f2841249294a51f654db7224551cfcf1600bc79b5f32f5e2dd856ce221fc4f1ff6dad64b9fab6d4fb8f13bdd8bea4db17fbf92c730afd5eaee0cc42249af";
const KEY: &str = "sk-or-v1-planted00000000000000000000000000000000000000000000001";

#[tokio::main]
async fn main() {
    let old = OldInstallation::make_in(Options::parse().directory, Age::H6).await;
    old.user(BERTA, "berta", PASSWORD).await;
    old.project(BAKERY, BERTA, "Bakery", &[]).await;
    old.write(&format!("data/projects/{BAKERY}/.env"), &format!("DEV_PORT=5001\nOPENROUTER_API_KEY={KEY}\n"));
    old.write(&old.source_of(BAKERY, "src/pages/index.astro"), "<h1>Bakery</h1>\n");
}
