//! Accepting connections and ending them in order.
//!
//! The HTTP library's own loop has no limits for who connects and says nothing, so this one has: so many connections,
//! so long for the head of a request. Ending: no new connections; each open one is told to end after its request;
//! what has not ended after a while is cut off.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::address::Peer;

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open ones.
    pub connections: usize,
    /// Time for the head of a request, and of rest between two.
    pub head: Duration,
    /// Bytes of the head of a request.
    pub head_bytes: usize,
    /// Time for the requests under way when the server ends.
    pub ending: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 2048, head: Duration::from_mins(1), head_bytes: 64 * 1024, ending: Duration::from_secs(10) }
    }
}

/// How long accepting rests after the system refused, so that it doesn't spin.
const REST: Duration = Duration::from_millis(100);
/// How long the log is spared the same complaint.
const TOLD_AGAIN: Duration = Duration::from_mins(1);

/// Where connections come in: a port, or the control socket.
pub(crate) trait Door: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// What each request of a connection is marked with.
    type Mark: Clone + Send + Sync + 'static;

    /// Waits for the next connection. Both ends are told as if it were a port's.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer, Self::Mark)>> + Send;
}

impl Door for TcpListener {
    type Stream = TcpStream;
    type Mark = ();

    async fn accept(&self) -> io::Result<(TcpStream, Peer, ())> {
        let (stream, remote) = Self::accept(self).await?;
        // Small answers and events must not wait for more.
        stream.set_nodelay(true)?;
        let local = canonical(stream.local_addr()?);
        Ok((stream, Peer { remote: canonical(remote), local }, ()))
    }
}

/// Answers connections until `shutdown`, then waits for those under way.
pub(crate) async fn serve<D: Door>(listener: D, router: Router, limits: Limits, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(limits.head_bytes);
    let mut told: Option<Instant> = None;
    loop {
        let next = async {
            // A place first: who comes when all are taken waits in the system's queue.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, Door::accept(&listener).await)
        };
        let (place, (stream, peer, mark)) = tokio::select! {
            () = shutdown.cancelled() => break,
            (place, accepted) = next => match (place, accepted) {
                (Ok(place), Ok(accepted)) => (place, accepted),
                (Ok(_), Err(error)) => {
                    if is_its_own_fault(&error) {
                        tracing::debug!(%error, "a connection was not accepted");
                    } else {
                        if told.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) {
                            told = Some(Instant::now());
                            tracing::warn!(
                                %error,
                                "no connection is accepted for now; if too many files are open: \
                                 ulimit -n 65536, or LimitNOFILE=65536 in the unit of systemd"
                            );
                        }
                        tokio::time::sleep(REST).await;
                    }
                    continue;
                }
                (Err(_), _) => break,
            },
        };
        let router = router.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(mark.clone());
            router.clone().oneshot(request)
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let (shutdown, cut) = (shutdown.clone(), cut.clone());
        tasks.spawn(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = connection => ended,
                        () = cut.cancelled() => Ok(()),
                    }
                }
            };
            // Browsers break connections off all the time.
            if let Err(error) = ended {
                tracing::trace!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.ending, tasks.wait()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
        cut.cancel();
        tasks.wait().await;
    }
}

/// Writes an IPv4 address that came in over IPv6 as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Says whether the error concerns this one connection; others concern the whole system.
fn is_its_own_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
    )
}
