//! A database that another program holds.

use camino::Utf8Path;
use sqlx::{Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};

/// Holds the right to write to a SQLite database, as another program might. Dropped, it lets go.
#[derive(Debug)]
pub struct LockedDatabase {
    #[expect(dead_code, reason = "it is closed with this value")]
    connection: SqliteConnection,
}

impl LockedDatabase {
    /// Takes it. Waits for whoever writes at the moment.
    ///
    /// # Panics
    /// If there is no such database, or somebody writes for longer than five seconds.
    pub async fn hold(database: &Utf8Path) -> Self {
        let options = SqliteConnectOptions::new().filename(database);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("the database can be opened");
        connection.execute("BEGIN IMMEDIATE").await.expect("nobody writes for long");
        Self { connection }
    }

    /// Takes it for itself: nobody else so much as reads it. Nobody may have it open.
    ///
    /// # Panics
    /// If there is no such database, or somebody has it open.
    pub async fn hold_alone(database: &Utf8Path) -> Self {
        let options = SqliteConnectOptions::new().filename(database).pragma("locking_mode", "EXCLUSIVE");
        let mut connection = SqliteConnection::connect_with(&options).await.expect("the database can be opened");
        connection.execute("BEGIN IMMEDIATE").await.expect("nobody has it open");
        Self { connection }
    }
}

/// Does something to a database of SQLite that doce doesn't do.
///
/// # Panics
/// If there is no such database, or it refuses.
pub async fn tamper(database: &Utf8Path, sql: &'static str) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("the database can be opened");
    connection.execute(sql).await.expect("the database does what it is told");
    connection.close().await.expect("the database can be closed");
}
