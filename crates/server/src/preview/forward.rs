//! Carries one request to an app and its answer back, as it comes; for a WebSocket, both directions until one side ends.
//!
//! Nothing is buffered, no redirect is followed, no answer is tried twice once the app may have seen the request.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, response::Response};
use doce_model::ProjectId;
use http::{Request, StatusCode, Uri, Version, uri::PathAndQuery};
use hyper::upgrade::OnUpgrade;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::{io::copy_bidirectional, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Origin, access::Access, headers};

/// What a preview may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a dev server may take to accept a connection.
    pub connect: Duration,
    /// How long it may take from there to the head of its answer: the first build of a large app is slow.
    pub answer: Duration,
    /// Most bytes of a request's header names and values.
    pub request_headers: usize,
    /// Most headers of an answer.
    pub answer_headers: usize,
    /// Most bytes of an answer's header names and values.
    pub answer_head: usize,
    /// Most open sockets of one Project.
    pub sockets: usize,
    /// How long an unused connection to a dev server is kept.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            answer: Duration::from_mins(3),
            request_headers: 32 * 1024,
            answer_headers: 128,
            answer_head: 64 * 1024,
            sockets: 64,
            idle: Duration::from_secs(30),
        }
    }
}

/// Why there is no answer of the app's.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForwardError {
    /// It took no connection.
    #[error("connect to the app at {app}")]
    Connect {
        /// Where it should be.
        app: SocketAddr,
        /// What went wrong.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// It took one and broke it off, or spoke something else than HTTP.
    #[error("exchange a request with the app at {app}")]
    Exchange {
        /// Where it is.
        app: SocketAddr,
        /// What went wrong.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// It took a request and didn't answer in time.
    #[error("get an answer from the app at {app} within {limit:?}")]
    Slow {
        /// Where it is.
        app: SocketAddr,
        /// How long it had.
        limit: Duration,
    },
    /// The head of its answer is too large.
    #[error("take the answer of the app at {app}: its headers have {size} bytes")]
    TooLarge {
        /// Where it is.
        app: SocketAddr,
        /// How large it is.
        size: usize,
    },
    /// It changed protocols without being asked.
    #[error("understand the app at {app}: it switched protocols unasked")]
    Unasked {
        /// Where it is.
        app: SocketAddr,
    },
    /// The Project has as many sockets as it may have.
    #[error("open one more than {limit} sockets to a preview")]
    Crowded {
        /// How many it may have.
        limit: usize,
    },
}

/// The way to every app.
#[derive(Debug)]
pub(super) struct Forwarder {
    client: Client<HttpConnector, Body>,
    limits: Limits,
    sockets: Arc<Sockets>,
    tasks: TaskTracker,
}

impl Forwarder {
    pub(super) fn new(limits: Limits, tasks: TaskTracker) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limits.connect));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle)
            .http1_max_headers(limits.answer_headers)
            .http1_max_buf_size(limits.answer_head)
            .build(connector);
        Self { client, limits, sockets: Arc::default(), tasks }
    }

    /// Asks the app and returns its answer, made fit for the browser.
    pub(super) async fn forward(
        &self,
        mut request: Request<Body>,
        app: SocketAddr,
        own: &Origin,
        access: Access,
    ) -> Result<Response, ForwardError> {
        let socket = if headers::is_websocket(request.method(), request.headers()) {
            let seat = self
                .sockets
                .take(access.grant.project, self.limits.sockets)
                .ok_or(ForwardError::Crowded { limit: self.limits.sockets })?;
            Some((seat, hyper::upgrade::on(&mut request)))
        } else {
            None
        };
        let answered = self.client.request(towards(request, app, own, socket.is_some()));
        let mut answer = timeout(self.limits.answer, answered)
            .await
            .map_err(|_| ForwardError::Slow { app, limit: self.limits.answer })?
            .map_err(|source| {
                if source.is_connect() {
                    ForwardError::Connect { app, source }
                } else {
                    ForwardError::Exchange { app, source }
                }
            })?;

        // The client's own limit counts what it reads at once, so it only keeps memory bounded.
        let size = headers::size(answer.headers());
        if size > self.limits.answer_head {
            return Err(ForwardError::TooLarge { app, size });
        }

        *answer.version_mut() = Version::HTTP_11;
        headers::for_browser(answer.headers_mut(), app, own, &access.grant.opener);
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some((seat, browser)) = socket else {
                return Err(ForwardError::Unasked { app });
            };
            headers::upgrade_to_websocket(answer.headers_mut());
            let upstream = hyper::upgrade::on(&mut answer);
            self.tasks.spawn(tunnel(browser, upstream, access.ended, seat));
        }
        Ok(answer.map(Body::new))
    }
}

/// Returns the request as the app gets it.
fn towards(request: Request<Body>, app: SocketAddr, own: &Origin, socket: bool) -> Request<Body> {
    let (from, body) = request.into_parts();
    let path = from.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let uri = Uri::builder()
        .scheme("http")
        .authority(app.to_string())
        .path_and_query(path)
        .build()
        .expect("an address and a path that was parsed make a URI");
    let mut request = Request::new(body);
    *request.method_mut() = from.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = from.headers;
    headers::for_app(request.headers_mut(), app, own);
    if socket {
        headers::upgrade_to_websocket(request.headers_mut());
    }
    request
}

/// Copies both ways until either side ends or access does.
async fn tunnel(browser: OnUpgrade, upstream: OnUpgrade, ended: CancellationToken, seat: Seat) {
    let copy = async {
        let (browser, upstream) = tokio::try_join!(browser, upstream)?;
        let (mut browser, mut upstream) = (TokioIo::new(browser), TokioIo::new(upstream));
        // An end without a farewell is how sockets of closed tabs end: worth no word.
        let _ = copy_bidirectional(&mut browser, &mut upstream).await;
        Ok::<_, hyper::Error>(())
    };
    tokio::select! {
        () = ended.cancelled() => {}
        copied = copy => if let Err(error) = copied {
            tracing::debug!(%error, "a preview's socket was not opened");
        }
    }
    drop(seat);
}

/// How many sockets each Project has open.
#[derive(Debug, Default)]
struct Sockets(Mutex<HashMap<ProjectId, usize>>);

/// One open socket, until dropped.
#[derive(Debug)]
struct Seat {
    of: Arc<Sockets>,
    project: ProjectId,
}

impl Sockets {
    fn take(self: &Arc<Self>, project: ProjectId, limit: usize) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = taken.entry(project).or_default();
        if *taken >= limit {
            return None;
        }
        *taken += 1;
        Some(Seat { of: Arc::clone(self), project })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.project) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.project);
            }
        }
    }
}
