//! Databases of a PostgreSQL server, and a way to it that can be cut.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, postgres::PgConnectOptions};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    task::JoinSet,
};

/// An empty database of a server. It goes with this value.
pub struct PostgresDatabase {
    server: String,
    name: String,
}

impl PostgresDatabase {
    /// Makes one on the server with this address.
    ///
    /// # Panics
    /// If the server doesn't do it.
    pub async fn make(server: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("kit_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Nobody is ever connected to template0, which a copy would wait for.
        on_server(server, &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        Self { server: server.to_owned(), name }
    }

    /// Its address.
    ///
    /// # Panics
    /// If the server's has no name of a database.
    pub fn url(&self) -> String {
        let (address, _) = self.server.rsplit_once('/').expect("the address ends with the name of a database");
        format!("{address}/{}", self.name)
    }
}

impl Drop for PostgresDatabase {
    fn drop(&mut self) {
        let (server, drop_it) = (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(on_server(&server, &drop_it));
        });
        drop(dropping.join());
    }
}

async fn on_server(server: &str, sql: &str) {
    let options: PgConnectOptions = server.parse().expect("the address is one of PostgreSQL");
    let mut connection = options.connect().await.expect("the server answers");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("the server does what it is told");
    connection.close().await.expect("the server says goodbye");
}

/// A way to a server over a port of this machine, that can be cut and opened again.
pub struct Relay {
    to: PathBuf,
    address: SocketAddr,
    url: String,
    tasks: JoinSet<()>,
}

impl Relay {
    /// Opens a way to a database, whose server listens on a socket in a directory.
    ///
    /// # Panics
    /// If its address names no such directory, or there is no free port.
    pub async fn open_to(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().expect("the address is one of PostgreSQL");
        let directory = options.get_socket().expect("the server listens on a socket").clone();
        let to = directory.join(format!(".s.PGSQL.{}", options.get_port()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        let (user, name) = (options.get_username(), options.get_database().unwrap_or_default());
        let url = format!("postgres://{user}@{address}/{name}?sslmode=disable");
        let mut relay = Self { to, address, url, tasks: JoinSet::new() };
        relay.tasks.spawn(forward(listener, relay.to.clone()));
        relay
    }

    /// The database's address by this way.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection, and takes no other.
    pub async fn cut(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Cuts every connection; others are taken, and nothing is ever answered.
    ///
    /// # Panics
    /// If the port was taken by somebody else meanwhile.
    pub async fn fall_silent(&mut self) {
        self.cut().await;
        let listener = TcpListener::bind(self.address).await.expect("the port is still ours");
        self.tasks.spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
    }

    /// Opens the way again.
    ///
    /// # Panics
    /// If the port was taken by somebody else meanwhile.
    pub async fn open(&mut self) {
        self.cut().await;
        let listener = TcpListener::bind(self.address).await.expect("the port is still ours");
        self.tasks.spawn(forward(listener, self.to.clone()));
    }
}

/// Takes connections and brings them on; all of them end with the future.
async fn forward(listener: TcpListener, to: PathBuf) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(bring_on(stream, to.clone()));
    }
}

async fn bring_on(mut stream: TcpStream, to: impl AsRef<Path>) {
    if let Ok(mut server) = UnixStream::connect(to).await {
        // An end of either side is an end of both.
        drop(copy_bidirectional(&mut stream, &mut server).await);
    }
}
