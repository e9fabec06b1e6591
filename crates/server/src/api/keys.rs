//! The master key: what its owner should know of it, changing it, and taking one's own keys away in an encrypted file.
//!
//! Nothing here answers a key in clear. A password or passphrase goes into a type that doesn't print.

use axum::{
    Json,
    body::Body as Bytes,
    extract::State as Extract,
    response::{IntoResponse as _, Response},
};
use camino::Utf8PathBuf;
use doce_app::{MasterKeyView, Readers, ReadersError, Rotation, RotationState};
use http::{HeaderValue, StatusCode, header};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{input::Body, words::Time};
use crate::{
    error::Problem,
    state::{Caller, State},
};

const FILE: HeaderValue = HeaderValue::from_static("attachment; filename=\"doce-keys.age\"");

/// The master key, without the key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MasterKey {
    /// Its id, which tells nothing of it.
    id: String,
    /// The files that are needed: two while a change of it is not finished.
    files: Vec<String>,
    /// Since when it is in force, if that was written down.
    since: Option<Time>,
    /// How many sealed values there are.
    values: i64,
    /// When somebody said that they keep a copy of it.
    copied_at: Option<Time>,
    /// Keys from before, kept for older backups.
    old_files: Vec<String>,
    /// How far a change of it is.
    rotation: KeyRotation,
}

/// How far a change of the master key is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyRotation {
    /// In one word.
    state: KeyRotationState,
    /// How many sealed values are wrapped with the new key.
    done: i64,
    /// Of how many.
    total: i64,
    /// Why it stopped, if it did.
    reason: Option<String>,
}

/// How far a change of the master key is, in one word.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyRotationState {
    /// Nothing is under way.
    Idle,
    /// It goes on.
    Running,
    /// It was begun and not finished: both keys are in use until it is gone on with.
    Unfinished,
}

impl From<&Rotation> for KeyRotation {
    fn from(rotation: &Rotation) -> Self {
        let state = match rotation.state {
            RotationState::Idle => KeyRotationState::Idle,
            RotationState::Running => KeyRotationState::Running,
            RotationState::Unfinished => KeyRotationState::Unfinished,
        };
        Self { state, done: rotation.done, total: rotation.total, reason: rotation.reason.clone() }
    }
}

impl From<MasterKeyView> for MasterKey {
    fn from(view: MasterKeyView) -> Self {
        let texts = |paths: Vec<Utf8PathBuf>| paths.into_iter().map(Utf8PathBuf::into_string).collect();
        Self {
            id: view.id,
            files: texts(view.files),
            since: view.since.map(Time::from),
            values: view.values,
            copied_at: view.copied_at.map(Time::from),
            old_files: texts(view.old_files),
            rotation: (&view.rotation).into(),
        }
    }
}

/// That somebody keeps a copy of the master key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyCopy)]
pub(crate) struct CopyRequest {
    /// The id of the key that was copied.
    id: String,
}

/// For whom the keys are encrypted: one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyExport)]
pub(crate) struct ExportRequest {
    /// The caller's password, once more.
    #[schema(value_type = String)]
    password: SecretString,
    /// For whoever knows this passphrase.
    #[schema(value_type = Option<String>)]
    passphrase: Option<SecretString>,
    /// For whoever holds the secret half of one of these public keys of age.
    #[serde(default)]
    recipients: Vec<String>,
}

impl ExportRequest {
    fn readers(passphrase: Option<SecretString>, recipients: &[String]) -> Result<Readers, Problem> {
        let (field, readers) = match (passphrase, recipients) {
            (Some(passphrase), []) => ("passphrase", Readers::passphrase(passphrase)),
            (None, recipients) => ("recipients", Readers::keys(recipients)),
            (Some(_), _) => return Err(Problem::invalid("recipients", "Give a passphrase or public keys, not both.")),
        };
        readers.map_err(|error| Problem::invalid(field, said(&error)))
    }
}

fn said(error: &ReadersError) -> String {
    match error {
        ReadersError::Nobody => "Give a passphrase, or a public key of age.".to_owned(),
        ReadersError::SecretKey => "That is a secret key. Give the public one, which begins with age1.".to_owned(),
        ReadersError::NoKey => "That is not a public key of age, which begins with age1.".to_owned(),
        ReadersError::TooShort => {
            format!("A passphrase has at least {} characters: a few words in a row.", doce_app::PASSPHRASE_MIN)
        }
    }
}

/// Tells what there is to know of the master key.
#[utoipa::path(get, path = "/api/keys", tag = "keys",
    responses((status = 200, description = "The master key, without the key.", body = MasterKey)))]
pub(crate) async fn get_master_key(Extract(state): Extract<State>, caller: Caller) -> Result<Json<MasterKey>, Problem> {
    Ok(Json(state.app.master_key(&caller.ctx, &caller.user).await?.into()))
}

/// Records that somebody keeps a copy of the master key.
#[utoipa::path(post, path = "/api/keys/copy", tag = "keys", request_body = CopyRequest,
    responses((status = 200, description = "It is recorded.", body = MasterKey)))]
pub(crate) async fn confirm_key_copy(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<CopyRequest>,
) -> Result<Json<MasterKey>, Problem> {
    Ok(Json(state.app.confirm_key_copy(&caller.ctx, &caller.user, &request.id).await?.into()))
}

/// Begins to change the master key, or goes on with a change that stopped.
#[utoipa::path(post, path = "/api/keys/rotate", tag = "keys",
    responses((status = 202, description = "It goes on beside; the event stream tells how.", body = MasterKey)))]
pub(crate) async fn rotate_master_key(
    Extract(state): Extract<State>,
    caller: Caller,
) -> Result<(StatusCode, Json<MasterKey>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(state.app.begin_rotation(&caller.ctx, &caller.user).await?.into())))
}

/// Downloads the caller's own keys in a file that only its readers can open. It is kept nowhere.
#[utoipa::path(post, path = "/api/keys/export", tag = "keys", request_body = ExportRequest,
    responses((status = 200, description = "The file, encrypted as `age` does it: one JSON object per key.",
        content((String = "application/octet-stream")))))]
pub(crate) async fn export_keys(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(request): Body<ExportRequest>,
) -> Result<Response, Problem> {
    let ExportRequest { password, passphrase, recipients } = request;
    let readers = ExportRequest::readers(passphrase, &recipients)?;
    let file = state.app.export_own_keys(&caller.ctx, &caller.user, password, readers).await?;
    let mut response = Bytes::from(file).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CONTENT_DISPOSITION, FILE);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}
