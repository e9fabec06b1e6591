//! A database of SQLite that a program writes to without a pause, and a look at whether a copy of it is whole.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use camino::Utf8Path;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::task::JoinSet;

/// Rows of it, each large enough that they are in many places of the file.
const ROWS: i64 = 300;

/// A database in whose commit number `n` the row `n % 300` became `n`; a checkpoint follows each commit.
pub struct BusyDatabase {
    stop: Arc<AtomicBool>,
    writer: JoinSet<i64>,
}

impl BusyDatabase {
    /// Makes it, and goes on writing to it.
    ///
    /// # Panics
    /// If it can't be made.
    pub async fn start(path: &Utf8Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off);
        let mut connection = options.connect().await.expect("the database can be made");
        let tables = "CREATE TABLE entry (number INTEGER PRIMARY KEY, value INTEGER NOT NULL, filler BLOB NOT NULL);
            CREATE INDEX entry_value ON entry (value);
            CREATE TABLE last (value INTEGER NOT NULL);
            INSERT INTO last (value) VALUES (0);";
        connection.execute(tables).await.expect("the tables can be made");
        let mut number = 0;
        while number < 2 * ROWS {
            number += 1;
            commit(&mut connection, number).await;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let mut writer = JoinSet::new();
        writer.spawn(async move {
            while !told.load(Ordering::Relaxed) {
                number += 1;
                commit(&mut connection, number).await;
            }
            connection.close().await.expect("it can be closed");
            number
        });
        Self { stop, writer }
    }

    /// Ends the writing; returns the number of the last commit.
    ///
    /// # Panics
    /// If a write failed.
    pub async fn end(mut self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        self.writer.join_next().await.expect("it writes").expect("every write worked")
    }

    /// Opens a copy; returns after which commit it was made.
    ///
    /// # Panics
    /// If it is not what the database was after one commit.
    pub async fn whole_after(path: &Utf8Path) -> i64 {
        let options = SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.expect("the copy can be opened");
        let check: String = sqlx::query_scalar("PRAGMA integrity_check")
            .fetch_one(&mut connection)
            .await
            .expect("the copy can be read");
        assert_eq!(check, "ok");
        let last: i64 =
            sqlx::query_scalar("SELECT value FROM last").fetch_one(&mut connection).await.expect("there is a row");
        let rows = sqlx::query("SELECT number, value FROM entry").fetch_all(&mut connection).await;
        let rows = rows.expect("the copy can be read");
        assert_eq!(i64::try_from(rows.len()), Ok(ROWS));
        for row in rows {
            let (number, value): (i64, i64) = (row.get("number"), row.get("value"));
            let expected = last - (last - number).rem_euclid(ROWS);
            assert_eq!(value, expected, "row {number} after commit {last}");
        }
        connection.close().await.expect("it can be closed");
        last
    }
}

async fn commit(connection: &mut SqliteConnection, number: i64) {
    let sql = "BEGIN IMMEDIATE;
        INSERT INTO entry (number, value, filler) VALUES ($1, $2, randomblob(3000))
        ON CONFLICT (number) DO UPDATE SET value = excluded.value, filler = excluded.filler;
        UPDATE last SET value = $2;
        COMMIT;
        PRAGMA wal_checkpoint(PASSIVE);";
    let done = sqlx::query(sql).bind(number % ROWS).bind(number).execute(connection).await;
    done.expect("it can be written");
}
