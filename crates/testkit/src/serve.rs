//! Serving a router for as long as a value lives, and really ending it: axum alone leaves its connections running.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};

/// A server that ends with this value.
pub(crate) struct Served {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    task: JoinSet<()>,
    close: Box<dyn Fn() + Send + Sync>,
}

impl Served {
    /// Serves the router. `close` must make every answer that is still open end.
    pub(crate) fn start(
        listener: impl Listener<Addr = SocketAddr>,
        app: Router,
        close: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (end, ended) = oneshot::channel::<()>();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let until = async move {
                // A dropped sender is an end too.
                let _ = ended.await;
            };
            // Serving a TCP listener never fails: axum retries its accept errors.
            let _ = axum::serve(listener, app).with_graceful_shutdown(until).await;
        });
        Ok(Self { address, end: Some(end), task, close: Box::new(close) })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port and every connection and waits for it.
    pub(crate) async fn stop(mut self) {
        (self.close)();
        self.end.take();
        while self.task.join_next().await.is_some() {}
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        (self.close)();
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A listener that speaks TLS, with a certificate of its own for `localhost`.
pub(crate) struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl TlsListener {
    /// Makes the certificate; returns it as PEM beside the listener.
    pub(crate) fn new(listener: TcpListener) -> (Self, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let rcgen::CertifiedKey { cert, signing_key } = made.expect("a certificate can be made");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
            .expect("the certificate fits its key");
        (Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) }, cert.pem())
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.listener).await;
            // Who breaks off, or doesn't trust the certificate, is none of a test server's business.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
