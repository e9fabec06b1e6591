//! A PostgreSQL database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};

use doce_store::Database;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};

/// An empty database, which goes with this.
pub(crate) struct Fresh {
    pub(crate) database: Database,
    pub(crate) name: String,
}

impl Fresh {
    pub(crate) async fn new() -> Self {
        let fresh = Self::nowhere();
        // Nobody is ever connected to template0, which a copy would wait for.
        on_server(&format!("CREATE DATABASE {} TEMPLATE template0", fresh.name)).await;
        fresh
    }

    /// A database that isn't there.
    pub(crate) fn nowhere() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("doce_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { database: Database::Postgres(url_of(&name).parse().expect("DOCE_TEST_PG is an address")), name }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let drop_it = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(on_server(&drop_it));
        });
        drop(dropping.join());
    }
}

/// Returns the address of a database of the server.
pub(crate) fn url_of(name: &str) -> String {
    let (server, options) = server();
    let (address, _) = server.rsplit_once('/').expect("DOCE_TEST_PG ends with the name of a database");
    format!("{address}/{name}{options}")
}

/// Returns the address in `DOCE_TEST_PG`, and what stands behind it from the question mark on.
#[expect(clippy::disallowed_methods, reason = "which server the tests use is no setting of the program")]
fn server() -> (String, String) {
    let url = std::env::var("DOCE_TEST_PG").expect("DOCE_TEST_PG names a server; `cargo xtask test postgres` does it");
    match url.split_once('?') {
        Some((address, options)) => (address.to_owned(), format!("?{options}")),
        None => (url, String::new()),
    }
}

async fn on_server(sql: &str) {
    sqlx::any::install_default_drivers();
    let (server, options) = server();
    let mut connection = AnyConnection::connect(&format!("{server}{options}")).await.expect("the server answers");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.expect("the server does what it is told");
    connection.close().await.expect("the server says goodbye");
}
