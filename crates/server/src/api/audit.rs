//! The audit log: pages of it, and the whole as a file.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::State as Extract,
    response::{IntoResponse as _, Response},
};
use doce_app::{
    AuditEntry, AuditQuery,
    views::{AuditNoun as ModelNoun, AuditView},
};
use doce_model::ConnectionId;
use futures::TryStreamExt as _;
use http::{HeaderValue, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page,
    input::Query,
    words::{AuditAction, NounKind, Time},
};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// One JSON object per line.
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const FILE: HeaderValue = HeaderValue::from_static("attachment; filename=\"doce-audit.jsonl\"");

/// Something that was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditEvent {
    /// Its number in the log: 1, 2, 3, without gaps.
    seq: i64,
    /// When.
    at: Time,
    /// Who did it.
    actor: AuditNoun,
    /// What was done.
    #[schema(value_type = AuditAction)]
    action: String,
    /// To what.
    noun: AuditNoun,
    /// In which project.
    project: Option<AuditNoun>,
    /// Whose it is.
    owner: Option<AuditNoun>,
    /// `ok`, or the code of the failure.
    outcome: String,
    /// The fingerprint of the key concerned.
    fingerprint: Option<String>,
    /// A few words more.
    detail: Option<String>,
    /// In which request or job.
    request_id: String,
    /// From which address.
    address: Option<String>,
    /// The hash over the event before it and this one.
    hash: String,
}

/// Something that an event speaks of.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditNoun {
    /// What kind of thing.
    kind: NounKind,
    /// Which.
    id: String,
    /// Its name, where the caller may know it.
    name: Option<String>,
    /// Whether the caller can still open it.
    open: bool,
}

/// An event as it stands in the log, for a file.
#[derive(Debug, Serialize)]
struct AuditLine {
    seq: i64,
    id: String,
    at: Time,
    actor: String,
    user_id: Option<String>,
    action: String,
    noun: String,
    project_id: Option<String>,
    outcome: String,
    fingerprint: Option<String>,
    detail: Option<String>,
    request_id: String,
    address: Option<String>,
    hash: String,
}

/// Which events. All that are given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditListQuery {
    /// About which noun, by id; a project stands for all that happened in it.
    noun: Option<String>,
    /// About which connection.
    connection: Option<String>,
    /// By whom: an id, or `cli`, `nobody`, `reconciler:…`.
    actor: Option<String>,
    /// What was done.
    action: Option<AuditAction>,
    /// Only events before this number.
    before: Option<i64>,
    /// Most events of the page.
    limit: Option<i64>,
}

/// Which events. All that are given must hold.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditExportQuery {
    /// About which noun, by id; a project stands for all that happened in it.
    noun: Option<String>,
    /// About which connection.
    connection: Option<String>,
    /// By whom: an id, or `cli`, `nobody`, `reconciler:…`.
    actor: Option<String>,
    /// What was done.
    action: Option<AuditAction>,
}

impl From<&ModelNoun> for AuditNoun {
    fn from(noun: &ModelNoun) -> Self {
        Self { kind: noun.kind.into(), id: noun.id.clone(), name: noun.name.clone(), open: noun.open }
    }
}

impl From<&AuditView> for AuditEvent {
    fn from(view: &AuditView) -> Self {
        let entry = view.entry.clone();
        Self {
            seq: entry.seq,
            at: entry.at.into(),
            actor: (&view.actor).into(),
            action: entry.action,
            noun: (&view.noun).into(),
            project: view.project.as_ref().map(AuditNoun::from),
            owner: view.owner.as_ref().map(AuditNoun::from),
            outcome: entry.outcome,
            fingerprint: entry.fingerprint,
            detail: entry.detail,
            request_id: entry.request_id,
            address: entry.address,
            hash: entry.hash,
        }
    }
}

impl From<AuditEntry> for AuditLine {
    fn from(entry: AuditEntry) -> Self {
        Self {
            seq: entry.seq,
            id: entry.id,
            at: entry.at.into(),
            actor: entry.actor,
            user_id: entry.user_id.map(|id| id.to_string()),
            action: entry.action,
            noun: entry.noun,
            project_id: entry.project_id.map(|id| id.to_string()),
            outcome: entry.outcome,
            fingerprint: entry.fingerprint,
            detail: entry.detail,
            request_id: entry.request_id,
            address: entry.address,
            hash: entry.hash,
        }
    }
}

fn query(
    noun: Option<String>,
    connection: Option<&str>,
    actor: Option<String>,
    action: Option<AuditAction>,
) -> Result<AuditQuery, Problem> {
    let connection_id = connection.map(str::parse::<ConnectionId>).transpose()?;
    Ok(AuditQuery { noun, connection_id, actor, action: action.map(|action| action.0) })
}

/// Lists what was done, the newest first: an admin sees everything, others what is theirs.
#[utoipa::path(get, path = "/api/audit", tag = "audit", params(AuditListQuery),
    responses((status = 200, description = "The events; `next` is the `before` of the page after. A page may be short although there are more.", body = Page<AuditEvent>)))]
pub(crate) async fn list_audit(
    Extract(state): Extract<State>,
    caller: Caller,
    Query(asked): Query<AuditListQuery>,
) -> Result<Json<Page<AuditEvent>>, Problem> {
    let Caller { user, ctx, .. } = &caller;
    let query = query(asked.noun, asked.connection.as_deref(), asked.actor, asked.action)?;
    let (events, next) = state.app.list_audit(ctx, user, &query, asked.before, asked.limit).await?;
    Ok(Json(Page { items: events.iter().map(AuditEvent::from).collect(), next: next.map(|before| before.to_string()) }))
}

/// Downloads what was done, the oldest first, one JSON object per line. The download itself is an event.
#[utoipa::path(get, path = "/api/audit/export", tag = "audit", params(AuditExportQuery),
    responses((status = 200, description = "The events, as they stand in the log.", content((String = "application/x-ndjson")))))]
pub(crate) async fn export_audit(
    Extract(state): Extract<State>,
    caller: Caller,
    Query(asked): Query<AuditExportQuery>,
) -> Result<Response, Problem> {
    let query = query(asked.noun, asked.connection.as_deref(), asked.actor, asked.action)?;
    let pages = state.app.export_audit(&caller.ctx, &caller.user, &query).await?;
    let lines = pages.inspect_err(|error| {
        tracing::error!(error = error as &dyn std::error::Error, "an export of the audit log broke off");
    });
    let mut response = Body::from_stream(lines.map_ok(lines_of)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, LINES);
    headers.insert(header::CONTENT_DISPOSITION, FILE);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn lines_of(entries: Vec<AuditEntry>) -> Bytes {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, &AuditLine::from(entry)).expect("its fields are text and numbers");
        text.push(b'\n');
    }
    text.into()
}
