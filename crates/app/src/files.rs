//! Looking into a Workspace and at logs. Nothing here writes.

use camino::Utf8PathBuf;
use doce_model::{Ctx, ProjectId, User};
use doce_runtime::Log;

use crate::{App, BeneathError, Error, beneath, projects::own_project, views::FileView};

/// Bytes of a file that are shown.
pub const FILE_MAX: u64 = 5 * 1024 * 1024;
/// Entries of a directory that are listed.
pub(crate) const ENTRIES_MAX: usize = 5000;
/// Bytes of a log that are shown, from its end.
const LOG_TAIL: u64 = 256 * 1024;

/// A file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBytes {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether they are text, in UTF-8 without control characters that no text has.
    pub is_text: bool,
    /// The file's name.
    pub name: String,
}

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// What the Agent printed.
    Agent,
    /// What the preview's dev server printed.
    Preview,
    /// What the installation of the app's packages printed.
    Install,
}

impl LogSource {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Preview => "preview",
            Self::Install => "install",
        }
    }
}

impl App {
    /// Lists a directory of a Workspace: directories first, then by name, and of those the first 5000.
    pub async fn list_files(&self, _ctx: &Ctx, user: &User, id: ProjectId, path: &str) -> Result<Vec<FileView>, Error> {
        let project = own_project(&mut self.store.read().await?, user, id).await?;
        let workspace = Utf8PathBuf::from(project.workspace);
        let at = path.to_owned();
        let (prefix, entries) = blocking(path, move || {
            let prefix = beneath::relative(&at)?;
            Ok((prefix, beneath::list(&workspace, &at, ENTRIES_MAX)?))
        })
        .await?;
        Ok(entries
            .into_iter()
            .map(|entry| FileView {
                path: if prefix == "." { entry.name.clone() } else { format!("{prefix}/{}", entry.name) },
                name: entry.name,
                kind: entry.kind,
                size: entry.size,
            })
            .collect())
    }

    /// Reads a file of a Workspace.
    pub async fn read_file(&self, _ctx: &Ctx, user: &User, id: ProjectId, path: &str) -> Result<FileBytes, Error> {
        let project = own_project(&mut self.store.read().await?, user, id).await?;
        let workspace = Utf8PathBuf::from(project.workspace);
        let at = path.to_owned();
        let bytes = blocking(path, move || beneath::read(&workspace, &at, FILE_MAX)).await?;
        let is_text = std::str::from_utf8(&bytes).is_ok_and(|text| {
            !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{1b}'))
        });
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(FileBytes { bytes, is_text, name })
    }

    /// Reads the end of a Project's log; empty if there is none yet.
    pub async fn logs(&self, _ctx: &Ctx, user: &User, id: ProjectId, source: LogSource) -> Result<String, Error> {
        own_project(&mut self.store.read().await?, user, id).await?;
        let log = Log::new(self.layout.log(id, source.name()));
        let tail = tokio::task::spawn_blocking(move || log.tail(LOG_TAIL)).await.map_err(Error::internal)?;
        match tail {
            Ok(text) => Ok(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(Error::internal(e)),
        }
    }
}

async fn blocking<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> Result<T, BeneathError> + Send + 'static,
) -> Result<T, Error> {
    let shown: String = path.chars().take(200).collect();
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?.map_err(|e| match e {
        BeneathError::Absent => Error::not_found("file", shown),
        BeneathError::Refused => Error::Forbidden {
            code: "path_refused",
            message: format!("`{shown}` leads through a link or out of the workspace, so it isn't opened."),
        },
        BeneathError::OtherKind { what } => Error::Invalid { field: "path", message: format!("`{shown}` is {what}.") },
        BeneathError::TooLarge { size, limit } => Error::Invalid {
            field: "path",
            message: format!("`{shown}` has {} MB; up to {} MB are shown.", size / 1_000_000, limit / 1_000_000),
        },
        BeneathError::Io(e) => Error::internal(e),
    })
}
