//! Serving a router for as long as a value lives, and really ending it: axum alone leaves its connections running.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

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
        listener: TcpListener,
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
