//! Which database: a file of SQLite, or a database of a PostgreSQL server.
//!
//! What the two don't share is here: how their types are named, and how a transaction begins.

use std::{fmt, path::Path, str::FromStr, time::Duration};

use sqlx::{AnyConnection, Connection as _, postgres::PgConnectOptions};

use crate::{OpenError, REACH_TIMEOUT};

/// Where everything is remembered. Printed, it names the place and no password.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file of SQLite.
    Sqlite(String),
    /// A database of a PostgreSQL server.
    Postgres(PostgresUrl),
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => f.write_str(path),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl Database {
    /// Tells whether something was ever kept here. Nothing is made or changed.
    pub async fn is_there(&self) -> Result<bool, OpenError> {
        match self {
            Self::Sqlite(path) => Ok(Path::new(path).exists()),
            Self::Postgres(url) => {
                sqlx::any::install_default_drivers();
                let failed = |source| OpenError::Connect { database: self.to_string(), source };
                let mut connection = AnyConnection::connect(url.as_str()).await.map_err(failed)?;
                let is_there = sqlx::query_scalar("SELECT to_regclass('schema_version') IS NOT NULL")
                    .fetch_one(&mut connection)
                    .await
                    .map_err(failed)?;
                connection.close().await.map_err(failed)?;
                Ok(is_there)
            }
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }
}

/// The address of a PostgreSQL database, `postgres://user:password@host:5432/name`. Printed, it has no password.
#[derive(Clone)]
pub struct PostgresUrl {
    url: String,
    place: String,
}

/// It is not the address of a PostgreSQL database.
///
/// The text isn't repeated: a password may stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a database's address is like `postgres://user:password@host:5432/name`")]
pub struct NotPostgresUrl;

impl PostgresUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }
}

impl FromStr for PostgresUrl {
    type Err = NotPostgresUrl;

    fn from_str(text: &str) -> Result<Self, NotPostgresUrl> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(NotPostgresUrl);
        }
        let options: PgConnectOptions = text.parse().map_err(|_| NotPostgresUrl)?;
        let name = options.get_database().unwrap_or_default();
        let place = match options.get_socket() {
            Some(socket) => format!("postgres:{name} at {}", socket.display()),
            None => format!("postgres://{}:{}/{name}", options.get_host(), options.get_port()),
        };
        Ok(Self { url: text.to_owned(), place })
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.place).finish()
    }
}

/// How a database is spoken to where the two differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// Begins a transaction that may write.
    pub(crate) const fn begin(self) -> &'static str {
        match self {
            // IMMEDIATE: a transaction that begins by reading and then writes would fail with BUSY_SNAPSHOT whenever
            // another process's write came between, and waiting does not help there (SQLite 3.51, observed).
            Self::Sqlite => "PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
            // One connection writes and no other process may, so no two transactions that write ever meet.
            Self::Postgres => "BEGIN",
        }
    }

    /// Begins a transaction that may write, and whose commit doesn't wait for the disk.
    pub(crate) const fn begin_without_sync(self) -> &'static str {
        match self {
            // The setting is the connection's, so each transaction says its own.
            Self::Sqlite => "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN; SET LOCAL synchronous_commit = off",
        }
    }

    /// Tells whether a connection may be gone when it is used next, and is worth a question beforehand.
    pub(crate) const fn can_lose_connections(self) -> bool {
        match self {
            // A connection is a file of this process. The question would be a way to its thread and back, at each use.
            Self::Sqlite => false,
            Self::Postgres => true,
        }
    }

    /// How long a query waits for a connection.
    pub(crate) const fn acquire_timeout(self) -> Duration {
        match self {
            // Others may wait before it, each as long as a busy file keeps it.
            Self::Sqlite => Duration::from_secs(30),
            Self::Postgres => REACH_TIMEOUT,
        }
    }

    /// Writes the types of a migration as the database spells them.
    pub(crate) fn types(self, migration: &str) -> String {
        match self {
            Self::Sqlite => migration.replace("BIGINT", "INTEGER").replace("BYTEA", "BLOB"),
            // Text is compared byte by byte, as SQLite does, whatever the collation of the database is: pages go on
            // from an id, and it is the same list on both.
            Self::Postgres => migration.replace(" TEXT", " TEXT COLLATE \"C\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_printed_without_what_is_secret() {
        for (url, printed) in [
            ("postgres://ada:planted@db.example:6432/doce", "postgres://db.example:6432/doce"),
            ("postgresql://ada@db.example/doce?password=planted", "postgres://db.example:5432/doce"),
            ("postgres://ada:planted@%2Frun%2Fpg/doce", "postgres:doce at /run/pg"),
        ] {
            let database = Database::Postgres(url.parse().unwrap());
            assert_eq!(database.to_string(), printed);
            assert!(!format!("{database:?}").contains("planted"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for text in ["", "doce.sqlite", "mysql://ada:planted@x/y", "postgres://ada:planted@x:port/y"] {
            let error = text.parse::<PostgresUrl>().unwrap_err();
            assert!(!error.to_string().contains("planted"), "{text}");
        }
    }
}
