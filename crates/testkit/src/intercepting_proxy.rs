//! A proxy that ends TLS for the hosts that it knows, so that a program believes that it talks to them.
//!
//! A program that is given its address as `HTTPS_PROXY`, and its certificate to trust, reaches no host but these: what it
//! asks for beside them is refused and kept for the test to see.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::serve::Listener;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio_rustls::server::TlsStream;

use crate::serve::Served;

/// Bytes of a request's head that are read.
const HEAD_MAX: usize = 8 * 1024;

/// A running proxy. Dropping it closes its port.
pub(crate) struct InterceptingProxy {
    address: SocketAddr,
    certificate: String,
    refused: Arc<Mutex<Vec<String>>>,
    _tunnels: JoinSet<()>,
    _served: Served,
}

impl InterceptingProxy {
    /// Starts one on a free port of 127.0.0.1; `app` answers for every host that `knows` says yes to.
    ///
    /// # Panics
    /// When no port can be opened.
    pub(crate) async fn start(app: Router, knows: fn(&str) -> bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port can be opened");
        let address = listener.local_addr().expect("a bound socket has an address");
        let authority = Arc::new(authority());
        let certificate = authority.pem();
        let refused = Arc::new(Mutex::new(Vec::new()));
        let (opened, open) = mpsc::channel(16);
        let mut tunnels = JoinSet::new();
        let told = Arc::clone(&refused);
        tunnels.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (authority, refused, opened) = (Arc::clone(&authority), Arc::clone(&told), opened.clone());
                tunnels.spawn(async move {
                    if let Some(tunnel) = tunnel(stream, knows, &authority, &refused).await {
                        // Nobody takes it once the test is over.
                        let _ = opened.send(tunnel).await;
                    }
                });
            }
        });
        let served = Served::start(Open { open, address }, app, || {}).expect("its address is known");
        Self { address, certificate, refused, _tunnels: tunnels, _served: served }
    }

    /// Its address, as a program is told it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The certificate, as PEM, that signs those which it shows.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What it was asked for and does not know.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The tunnels as a listener: what comes through them is served like any other connection.
struct Open {
    open: mpsc::Receiver<TlsStream<TcpStream>>,
    address: SocketAddr,
}

impl Listener for Open {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.open.recv().await {
            Some(stream) => (stream, self.address),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        Ok(self.address)
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.distinguished_name.push(DnType::CommonName, "doce's tests");
    let key = KeyPair::generate().expect("a key can be made");
    CertifiedIssuer::self_signed(params, key).expect("a certificate can be made")
}

/// Reads which host a connection is for, and ends its TLS.
async fn tunnel(
    mut stream: TcpStream,
    knows: fn(&str) -> bool,
    authority: &CertifiedIssuer<'static, KeyPair>,
    refused: &Mutex<Vec<String>>,
) -> Option<TlsStream<TcpStream>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_MAX {
            return None;
        }
        // A client says nothing after the head before it was answered.
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next().unwrap_or_default();
    let asked = line.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next());
    let host = asked.and_then(|asked| asked.strip_suffix(":443")).filter(|host| knows(host));
    let Some(host) = host else {
        refused.lock().unwrap_or_else(PoisonError::into_inner).push(asked.unwrap_or(line).to_owned());
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        return None;
    };
    let acceptor = acceptor(host, authority);
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    acceptor.accept(stream).await.ok()
}

fn acceptor(host: &str, authority: &CertifiedIssuer<'static, KeyPair>) -> TlsAcceptor {
    let key = KeyPair::generate().expect("a key can be made");
    let mut params = CertificateParams::new([host.to_owned()]).expect("a host's name is one");
    params.distinguished_name.push(DnType::CommonName, host);
    let certificate = params.signed_by(&key, authority).expect("a certificate can be made");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key))
        .expect("the certificate fits its key");
    TlsAcceptor::from(Arc::new(config))
}
