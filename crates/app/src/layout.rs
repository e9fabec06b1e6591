//! Where things are in the data directory.
//!
//! ```text
//! <data>/
//!   doce.sqlite  master.key  catalogue.json  lock
//!   opencode/                      the pinned OpenCode
//!   runtime/                       notes of the runtime about running processes
//!   projects/<project>/workspace   the Workspace, a git repository
//!   projects/<project>/home        the part of the Agent's home that persists
//!   projects/<project>/packages    the package manager's cache of the preview
//!   projects/<project>/logs        agent.log  preview.log  install.log
//!   instances/<instance>/          config, state, cache and agent.json of one Instance; removed with it
//! ```

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::{InstanceId, ProjectId};
use doce_store::{Database, PostgresUrl};

/// The data directory.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: Utf8PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Utf8Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns the database: the one at `url`, or the data directory's own.
    pub(crate) fn database(&self, url: Option<&PostgresUrl>) -> Database {
        match url {
            Some(url) => Database::Postgres(url.clone()),
            None => Database::Sqlite(self.database_file().into_string()),
        }
    }

    /// Returns the data directory's own database.
    pub(crate) fn database_file(&self) -> Utf8PathBuf {
        self.root.join("doce.sqlite")
    }

    pub(crate) fn master_key(&self) -> Utf8PathBuf {
        self.root.join("master.key")
    }

    pub(crate) fn catalogue(&self) -> Utf8PathBuf {
        self.root.join("catalogue.json")
    }

    pub(crate) fn opencode(&self) -> Utf8PathBuf {
        self.root.join("opencode")
    }

    pub(crate) fn runtime(&self) -> Utf8PathBuf {
        self.root.join("runtime")
    }

    pub(crate) fn instances(&self) -> Utf8PathBuf {
        self.root.join("instances")
    }

    pub(crate) fn project(&self, id: ProjectId) -> Utf8PathBuf {
        self.root.join("projects").join(id.to_string())
    }

    pub(crate) fn packages(&self, id: ProjectId) -> Utf8PathBuf {
        self.project(id).join("packages")
    }

    pub(crate) fn log(&self, id: ProjectId, name: &str) -> Utf8PathBuf {
        self.project(id).join("logs").join(format!("{name}.log"))
    }

    pub(crate) fn instance(&self, id: InstanceId) -> Utf8PathBuf {
        self.instances().join(id.to_string())
    }
}
