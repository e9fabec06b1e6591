//! Workspaces: the files that the agent wrote, and what the processes said.
//!
//! All of it is a stranger's text: it goes out as plain text or bytes, never as something that a browser would run.

use axum::{
    Json,
    body::Body,
    extract::State as Extract,
    response::{IntoResponse as _, Response},
};
use doce_app::{FileBytes, LogSource, views::FileView};
use doce_model::ProjectId;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page,
    input::{Id, Query},
};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// What bytes of a workspace may do in a browser: nothing.
const LOCKED_IN: HeaderValue = HeaderValue::from_static("sandbox; default-src 'none'");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// An entry of a directory.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FileEntry {
    /// Its name.
    name: String,
    /// Its path from the workspace.
    path: String,
    /// What it is.
    #[schema(value_type = FileKind)]
    kind: &'static str,
    /// Bytes of a file.
    size: Option<u64>,
}

/// What an entry is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it only describes the words")]
enum FileKind {
    File,
    Directory,
    Link,
    Other,
}

/// Which directory.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DirectoryQuery {
    /// Its path from the workspace; the workspace itself if absent.
    #[serde(default)]
    path: String,
}

/// Which file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct FileQuery {
    /// Its path from the workspace.
    path: String,
}

/// Which log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Whose words.
    #[param(inline)]
    source: Source,
}

/// Whose words.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The agent's.
    Agent,
    /// The preview's.
    Preview,
    /// Those of the installation of the app's packages.
    Install,
}

impl From<FileView> for FileEntry {
    fn from(file: FileView) -> Self {
        Self { name: file.name, path: file.path, kind: file.kind, size: file.size }
    }
}

/// Lists a directory of a workspace.
#[utoipa::path(get, path = "/api/projects/{id}/files", tag = "workspace",
    params(("id" = String, Path, description = "Which project."), DirectoryQuery),
    responses((status = 200, description = "Its entries.", body = Page<FileEntry>)))]
pub(crate) async fn list_files(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
    Query(query): Query<DirectoryQuery>,
) -> Result<Json<Page<FileEntry>>, Problem> {
    let entries = state.app.list_files(&caller.ctx, &caller.user, id, &query.path).await?;
    Ok(Json(Page::whole(entries.into_iter().map(FileEntry::from))))
}

/// Reads a file of a workspace.
#[utoipa::path(get, path = "/api/projects/{id}/file", tag = "workspace",
    params(("id" = String, Path, description = "Which project."), FileQuery),
    responses((status = 200, description = "Its bytes.", content(
        (String = "text/plain"), (Vec<u8> = "application/octet-stream")))))]
pub(crate) async fn get_file(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
    Query(query): Query<FileQuery>,
) -> Result<Response, Problem> {
    let file = state.app.read_file(&caller.ctx, &caller.user, id, &query.path).await?;
    let disposition = (!file.is_text).then(|| attachment(&file.name));
    let FileBytes { bytes, is_text, .. } = file;
    Ok(strangers_words(Body::from(bytes), if is_text { TEXT } else { BYTES }, disposition))
}

/// Reads what a project's processes said, the last 256 KB of it.
#[utoipa::path(get, path = "/api/projects/{id}/logs", tag = "workspace",
    params(("id" = String, Path, description = "Which project."), LogQuery),
    responses((status = 200, description = "Their words.", content((String = "text/plain")))))]
pub(crate) async fn get_logs(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    let source = match query.source {
        Source::Agent => LogSource::Agent,
        Source::Preview => LogSource::Preview,
        Source::Install => LogSource::Install,
    };
    let text = state.app.logs(&caller.ctx, &caller.user, id, source).await?;
    Ok(strangers_words(Body::from(text), TEXT, None))
}

fn strangers_words(body: Body, kind: HeaderValue, disposition: Option<HeaderValue>) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CONTENT_SECURITY_POLICY, LOCKED_IN);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(disposition) = disposition {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

/// Names a download. The name is the agent's: it is written so that no byte of it can end the header's value.
fn attachment(name: &str) -> HeaderValue {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' }).collect();
    let encoded: String = name.bytes().map(percent).collect();
    HeaderValue::from_str(&format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

fn percent(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_can_not_write_headers() {
        for (name, expected) in [
            ("logo.png", "attachment; filename=\"logo.png\"; filename*=UTF-8''logo.png"),
            (
                "a\"; b\r\nset-cookie: x",
                "attachment; filename=\"a__ b__set-cookie_ x\"; filename*=UTF-8''a%22%3B%20b%0D%0Aset-cookie%3A%20x",
            ),
            ("é", "attachment; filename=\"_\"; filename*=UTF-8''%C3%A9"),
        ] {
            assert_eq!(attachment(name).to_str().unwrap(), expected);
        }
    }
}
