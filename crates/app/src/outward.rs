//! The client with which doce itself asks providers and other hosts that are not its own.
//!
//! It follows no redirect, because a key may be in the request. Which addresses may be asked is the caller's to check.

use std::sync::{Arc, OnceLock};

use reqwest::redirect::Policy;
use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// What a connection is encrypted with, and the machine's certificates that it trusts.
///
/// They are some hundred files, read once: that takes longer than the rest of a check of a key (4 ms, measured). A
/// certificate that the machine's owner adds is trusted after a restart.
static TLS: OnceLock<ClientConfig> = OnceLock::new();

/// Begins a client. The caller adds how long an answer may take.
pub(crate) fn client() -> reqwest::ClientBuilder {
    let builder =
        reqwest::Client::builder().redirect(Policy::none()).user_agent(concat!("doce/", env!("CARGO_PKG_VERSION")));
    match tls() {
        Some(tls) => builder.tls_backend_preconfigured(tls),
        // It tries by itself, and fails with the reason if that fails, too.
        None => builder,
    }
}

fn tls() -> Option<ClientConfig> {
    if let Some(tls) = TLS.get() {
        return Some(tls.clone());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    let mut tls = builder.with_platform_verifier().ok()?.with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Some(TLS.get_or_init(|| tls).clone())
}
