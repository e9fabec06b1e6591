//! A server that runs: the use cases behind HTTP on one listener.
//!
//! The command `serve` starts one for the machine, a test starts one per test. Ending it is in order: no new
//! connections, the event streams and sockets end, requests under way are answered, and then the caller shuts the
//! use cases down.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use camino::Utf8PathBuf;
use doce_app::App;
use doce_model::Clock;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    address::Names,
    api,
    api::stream::Streams,
    control::ControlListener,
    listen,
    metrics::Metrics,
    preview::{self, Origin, Preview},
    preview_host::ports::Ports,
    setup_code::SetupCode,
    state::{Parts, State},
};

/// What may be asked of the server at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// How long a body may take to arrive.
    pub body_time: Duration,
    /// Event streams of one person.
    pub streams_per_user: usize,
    /// Projects that one stream watches.
    pub watched_projects: usize,
    /// How often an idle stream says that it lives.
    pub keep_alive: Duration,
    /// How often a stream asks whether its sign-in still holds.
    pub recheck_sign_in: Duration,
    /// Previews that have a port of their own.
    pub preview_ports: usize,
    /// Of connections.
    pub listen: listen::Limits,
    /// Of previews.
    pub preview: preview::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 1024 * 1024,
            body_time: Duration::from_secs(30),
            streams_per_user: 32,
            watched_projects: 64,
            keep_alive: Duration::from_secs(15),
            recheck_sign_in: Duration::from_mins(1),
            preview_ports: 64,
            listen: listen::Limits::default(),
            preview: preview::Limits::default(),
        }
    }
}

/// What differs from server to server.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What browsers call it, if that isn't where it listens.
    pub public_url: Option<Origin>,
    /// The domain of previews.
    pub preview_domain: Option<String>,
    /// Where the user that it runs as keeps the keys of an OpenCode.
    pub opencode_auth_file: Option<Utf8PathBuf>,
    /// Where the control socket is made, if there is to be one.
    pub control_socket: Option<Utf8PathBuf>,
    /// What may be asked of it.
    pub limits: Limits,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    state: State,
}

impl Server {
    /// Begins to answer requests on the listener.
    pub fn start(app: App, clock: Arc<dyn Clock>, listener: TcpListener, settings: Settings) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let control = settings.control_socket.as_deref().map(ControlListener::bind).transpose()?;
        let tasks = TaskTracker::new();
        let shutdown = CancellationToken::new();
        let limits = settings.limits;
        let preview = Preview::new(Arc::clone(&clock), limits.preview, tasks.clone(), &shutdown);
        let state = State::new(Parts {
            app,
            clock,
            names: Names { public: settings.public_url, preview_domain: settings.preview_domain },
            opencode_auth_file: settings.opencode_auth_file,
            limits,
            listen: address,
            setup_code: SetupCode::draw(),
            streams: Streams::new(limits.streams_per_user),
            metrics: Metrics::new(),
            preview,
            ports: Ports::new(limits.preview_ports),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        });
        let router = api::router(state.clone());
        if let Some(control) = control {
            tasks.spawn(listen::serve(control, router.clone(), limits.listen, shutdown.clone()));
        }
        tasks.spawn(listen::serve(listener, router, limits.listen, shutdown));
        Ok(Self { address, state })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address to open in a browser.
    pub fn url(&self) -> String {
        if let Some(public) = &self.state.names.public {
            return public.as_str().to_owned();
        }
        let SocketAddr::V6(_) = self.address else {
            let ip = match self.address.ip() {
                ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                ip => ip,
            };
            return format!("http://{ip}:{}", self.address.port());
        };
        let ip =
            if self.address.ip().is_unspecified() { "[::1]".to_owned() } else { format!("[{}]", self.address.ip()) };
        format!("http://{ip}:{}", self.address.port())
    }

    /// Returns the code that the first account needs from another machine, as it is printed.
    pub fn setup_code(&self) -> SecretString {
        self.state.setup_code.printed().into()
    }

    /// Says whether somebody else could reach the server before its owner.
    pub fn setup_code_matters(&self) -> bool {
        !self.address.ip().is_loopback() || self.state.names.public.is_some()
    }

    /// Stops to accept connections, ends streams and sockets, and waits for the requests under way.
    pub async fn stop(self) {
        self.state.shutdown.cancel();
        self.state.tasks.close();
        self.state.tasks.wait().await;
        tracing::debug!("the server has ended");
    }
}
