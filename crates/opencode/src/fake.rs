//! Small HTTP servers for tests: what stands in for an Agent or a registry that misbehaves.

use axum::Router;
use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt};
use secrecy::SecretString;
use tokio::net::TcpListener;

use crate::Client;

/// Serves `router` on a free port of this machine, until the test ends.
pub(crate) async fn serve(router: Router) -> u16 {
    let listener = listen().await;
    let port = listener.local_addr().expect("a bound socket has an address").port();
    background(async move {
        axum::serve(listener, router).await.expect("a test's server runs until the test ends");
    });
    port
}

/// Makes a client for an Agent on `port`.
pub(crate) fn client(port: u16) -> Client {
    Client::new(port, &password())
}

/// The password that [`client`] uses.
pub(crate) fn password() -> SecretString {
    SecretString::from("pw")
}

/// Opens a socket on a free port.
pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has free ports")
}

/// Runs `task` until the test ends.
#[expect(clippy::disallowed_methods, reason = "a test has no shutdown that could wait for it")]
pub(crate) fn background(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// A body of these chunks, each sent by itself; it ends as `end` says.
pub(crate) fn chunks(chunks: Vec<Vec<u8>>, end: End) -> Body {
    let sent = futures::stream::iter(chunks).map(|chunk| Ok(Bytes::from(chunk)));
    let end: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>> = match end {
        End::Clean => Box::pin(futures::stream::empty()),
        End::Cut => Box::pin(futures::stream::once(async { Err(std::io::Error::other("cut")) })),
        End::Hang => Box::pin(futures::stream::pending()),
    };
    // A pause between chunks makes hyper send each of them as a frame of its own.
    let sent = sent.then(|chunk| async {
        tokio::task::yield_now().await;
        chunk
    });
    Body::from_stream(sent.chain(end))
}

/// How a body ends.
#[derive(Clone, Copy)]
pub(crate) enum End {
    Clean,
    Cut,
    Hang,
}
