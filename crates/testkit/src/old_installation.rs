//! A data directory as doce.dev left it behind, of any age, made from its tables.
//!
//! [`OldInstallation::make`] has the schema and no rows; what a test needs it adds. [`OldInstallation::snapshot`] is
//! how a test sees that nothing of it changed. The tables are those that doce.dev's migrations make, with the columns
//! of the age; docs/importing.md lists the ages.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt as _, path::Path};

use camino::{Utf8Path, Utf8PathBuf};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

/// How old an installation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// 2025-12-30.
    L2,
    /// 2026-01-05, patched by hand: no column for the key.
    L2b,
    /// 2026-01-09.
    L3,
    /// 2026-02-20.
    L5,
    /// 2026-03-18.
    H0,
    /// 2026-05-14.
    H6,
}

impl Age {
    /// Every age, oldest first.
    pub const ALL: [Self; 6] = [Self::L2, Self::L2b, Self::L3, Self::L5, Self::H0, Self::H6];

    fn is_central(self) -> bool {
        matches!(self, Self::H0 | Self::H6)
    }

    fn has_settings(self) -> bool {
        !matches!(self, Self::L2 | Self::L2b | Self::L3)
    }

    /// The definitions of a project's columns.
    fn project_columns(self) -> Vec<&'static str> {
        let mut columns = vec![
            "id text PRIMARY KEY NOT NULL",
            "owner_user_id text NOT NULL REFERENCES users (id) ON DELETE CASCADE",
            "created_at integer NOT NULL",
            "deleted_at integer",
            "name text NOT NULL",
            "slug text NOT NULL UNIQUE",
            "prompt text NOT NULL",
            "dev_port integer NOT NULL DEFAULT 5001",
            "status text DEFAULT 'created' NOT NULL",
            "path_on_disk text NOT NULL",
            "initial_prompt_sent integer DEFAULT false NOT NULL",
            "initial_prompt_completed integer DEFAULT false NOT NULL",
            "bootstrap_session_id text",
            "user_prompt_message_id text",
            "user_prompt_completed integer DEFAULT false NOT NULL",
            "production_port integer",
            "production_url text",
            "production_status text DEFAULT 'stopped'",
            "production_hash text",
        ];
        columns.extend_from_slice(match self {
            Self::L2 => &["model text", "current_model_provider_id text", "current_model_id text"],
            Self::L2b => &["current_model text"],
            Self::L3 => &[],
            Self::L5 | Self::H0 => &["opencode_error_category text", "opencode_error_at integer"],
            Self::H6 => &[
                "opencode_error_category text",
                "preferred_model text",
                "icon text DEFAULT '✨' NOT NULL",
                "desired_status text DEFAULT 'created' NOT NULL",
                "observed_status text DEFAULT 'unknown' NOT NULL",
                "description text DEFAULT '' NOT NULL",
            ],
        });
        if !self.is_central() {
            columns.push("opencode_port integer NOT NULL DEFAULT 11001");
        }
        columns
    }

    fn tables(self) -> Vec<String> {
        let mut settings = vec!["user_id text PRIMARY KEY NOT NULL", "default_model text", "updated_at integer"];
        if self != Self::L2b {
            settings.push("openrouter_api_key text");
        }
        if self.has_settings() {
            settings.push("fast_model text");
        }
        let mut tables = vec![
            "CREATE TABLE __drizzle_migrations (id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric)".into(),
            "CREATE TABLE users (id text PRIMARY KEY NOT NULL, created_at integer NOT NULL, username text NOT NULL,
                 password_hash text NOT NULL)"
                .into(),
            "CREATE TABLE sessions (id text PRIMARY KEY NOT NULL, user_id text NOT NULL, token_hash text NOT NULL,
                 created_at integer NOT NULL, expires_at integer NOT NULL)"
                .into(),
            format!("CREATE TABLE user_settings ({})", settings.join(", ")),
            format!("CREATE TABLE projects ({})", self.project_columns().join(", ")),
            "CREATE TABLE queue_jobs (id text PRIMARY KEY NOT NULL, type text NOT NULL, state text NOT NULL)".into(),
            "CREATE TABLE queue_settings (id integer PRIMARY KEY NOT NULL, paused integer DEFAULT false NOT NULL,
                 concurrency integer DEFAULT 2 NOT NULL)"
                .into(),
        ];
        if self.has_settings() {
            let tailscale = if self == Self::H6 { ", tailscale_auth_key text" } else { "" };
            tables.push(format!(
                "CREATE TABLE instance_settings (id integer PRIMARY KEY NOT NULL, base_url text{tailscale})"
            ));
            tables.push(
                "CREATE TABLE model_favorites (id text PRIMARY KEY NOT NULL, user_id text NOT NULL,
                     provider text NOT NULL, model_id text NOT NULL)"
                    .into(),
            );
        }
        if self == Self::H6 {
            tables.push("CREATE TABLE system_health_snapshots (id text PRIMARY KEY NOT NULL)".into());
        }
        tables
    }
}

/// A file as a snapshot sees it: its kind and mode, when it was last written, and its bytes or what it links to.
pub type FileState = (u32, i64, i64, Vec<u8>);

/// A data directory of doce.dev. A temporary one goes with this value.
#[derive(Debug)]
pub struct OldInstallation {
    #[expect(dead_code, reason = "it is removed with the installation")]
    directory: Option<TempDir>,
    root: Utf8PathBuf,
    age: Age,
}

impl OldInstallation {
    /// Makes one of this age, with nobody and nothing in it.
    pub async fn make(age: Age) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let root = directory.path().canonicalize().expect("it was just made");
        let root = Utf8PathBuf::from_path_buf(root).expect("temporary directories have plain names");
        Self { directory: Some(directory), ..Self::make_in(root, age).await }
    }

    /// Makes one of this age in a directory of the caller's, which stays.
    pub async fn make_in(root: Utf8PathBuf, age: Age) -> Self {
        fs::create_dir_all(root.join("data/projects")).expect("the directory is ours");
        let made = Self { directory: None, root, age };
        for table in age.tables() {
            made.sql(&table).await;
        }
        made
    }

    /// Returns where it is: the directory that holds `data`.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Returns where its database is.
    pub fn database(&self) -> Utf8PathBuf {
        self.root.join("data/db.sqlite")
    }

    /// Opens its database, as doce.dev did.
    pub async fn open(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(self.database())
            .create_if_missing(true)
            .foreign_keys(false)
            .pragma("journal_mode", "WAL");
        SqliteConnection::connect_with(&options).await.expect("the database can be opened")
    }

    /// Changes its database.
    pub async fn sql(&self, text: &str) {
        let mut connection = self.open().await;
        connection.execute(AssertSqlSafe(text.to_owned())).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        connection.close().await.expect("the database can be closed");
    }

    /// Adds a user.
    pub async fn user(&self, id: &str, username: &str, password_hash: &str) {
        self.insert(
            "users",
            &[("id", id), ("created_at", "1767520000"), ("username", username), ("password_hash", password_hash)],
        )
        .await;
    }

    /// Adds a user's settings.
    pub async fn settings(&self, user_id: &str, key: Option<&str>, default_model: Option<&str>) {
        let mut values = vec![("user_id", user_id), ("updated_at", "1767520000")];
        values.extend(key.map(|key| ("openrouter_api_key", key)));
        values.extend(default_model.map(|model| ("default_model", model)));
        self.insert("user_settings", &values).await;
    }

    /// Adds a project with one file, in the layout of the age. `more` are columns beyond what every project has.
    pub async fn project(&self, id: &str, owner_id: &str, name: &str, more: &[(&str, &str)]) {
        let path =
            if self.age.is_central() { format!("/app/data/projects/{id}") } else { format!("data/projects/{id}") };
        let (slug, prompt) =
            (format!("{}-{}", name.to_lowercase().replace(' ', "-"), &id[..4]), format!("Build {name}"));
        let mut values = vec![
            ("id", id),
            ("owner_user_id", owner_id),
            ("created_at", "1767520000"),
            ("name", name),
            ("slug", slug.as_str()),
            ("prompt", prompt.as_str()),
            ("status", "running"),
            ("path_on_disk", path.as_str()),
            ("initial_prompt_sent", "1"),
        ];
        values.retain(|(column, _)| !more.iter().any(|(other, _)| other == column));
        values.extend_from_slice(more);
        self.insert("projects", &values).await;
        self.write(&self.source_of(id, "package.json"), "{\"name\": \"bakery\", \"private\": true}\n");
    }

    /// Returns where a project's source lies, relative to the root.
    pub fn source_of(&self, id: &str, file: &str) -> String {
        let layout = if self.age.is_central() { "preview/" } else { "" };
        format!("data/projects/{id}/{layout}{file}")
    }

    /// Writes a file, given by its path from the root.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("it is beneath the root")).expect("the directory is ours");
        fs::write(path, text).expect("the directory is ours");
    }

    async fn insert(&self, table: &str, values: &[(&str, &str)]) {
        let columns: Vec<&str> = values.iter().map(|(column, _)| *column).collect();
        let places: Vec<String> = (1..=values.len()).map(|n| format!("${n}")).collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), places.join(", "));
        let mut connection = self.open().await;
        let mut query = sqlx::query(AssertSqlSafe(sql.clone()));
        for (_, value) in values {
            query = query.bind((*value).to_owned());
        }
        query.execute(&mut connection).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        connection.close().await.expect("the database can be closed");
    }

    /// Looks at every file of it.
    pub fn snapshot(&self) -> BTreeMap<String, FileState> {
        snapshot(&self.root)
    }
}

/// Looks at every file of a directory, and at what can be changed about it.
pub fn snapshot(root: &Utf8Path) -> BTreeMap<String, FileState> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![root.as_std_path().to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).expect("it was just listed");
        let bytes = if metadata.is_dir() {
            waiting
                .extend(fs::read_dir(&path).expect("it can be listed").map(|entry| entry.expect("it is there").path()));
            Vec::new()
        } else if metadata.is_symlink() {
            fs::read_link(&path).expect("it is a link").into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            fs::read(&path).expect("it can be read")
        } else {
            Vec::new()
        };
        let name = path.strip_prefix(Path::new(root.as_str())).expect("it is beneath").display().to_string();
        files.insert(name, (metadata.mode(), metadata.mtime(), metadata.mtime_nsec(), bytes));
    }
    files
}

/// Returns a directory that doce.dev itself made, by its name in the folder that `DOCE_LEGACY_FIXTURES` names.
///
/// Nobody has that folder by default: every way is tried on directories that the tests make themselves, and those of
/// doce.dev come on top. `cargo xtask test` says when it ran without them.
pub fn fixture(name: &str) -> Option<Utf8PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where the fixtures are is not a setting of doce")]
    let folder = std::env::var("DOCE_LEGACY_FIXTURES").ok().filter(|folder| !folder.is_empty());
    let path = Utf8PathBuf::from(folder?).join(name);
    assert!(path.is_dir(), "DOCE_LEGACY_FIXTURES has no `{name}`");
    Some(path)
}

/// Changes a SQLite database behind the back of whoever uses it.
pub async fn change(database: &Utf8Path, sql: &str) {
    let options = SqliteConnectOptions::new().filename(database).busy_timeout(std::time::Duration::from_secs(10));
    let mut connection = SqliteConnection::connect_with(&options).await.expect("the database can be opened");
    connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    connection.close().await.expect("the database can be closed");
}

/// Returns every row of every table of a SQLite database, each as SQL would write it.
pub async fn dump(database: &Utf8Path) -> BTreeMap<String, Vec<String>> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("the database can be opened");
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        .fetch_all(&mut connection)
        .await
        .expect("a database has a schema");
    let mut tables = BTreeMap::new();
    for name in names {
        let columns: Vec<String> = sqlx::query_scalar("SELECT 'quote(' || name || ')' FROM pragma_table_info($1)")
            .bind(&name)
            .fetch_all(&mut connection)
            .await
            .expect("a table has columns");
        let sql = format!("SELECT {} FROM {name} ORDER BY 1", columns.join(" || ', ' || "));
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await;
        tables.insert(name, rows.expect("a table can be read"));
    }
    connection.close().await.expect("the database can be closed");
    tables
}
