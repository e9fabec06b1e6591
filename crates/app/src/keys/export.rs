//! Writing the connected Providers' secrets to a file that only its readers can open.
//!
//! The file holds one JSON object per line, encrypted as `age` does it, so that it is of use without doce. Each
//! Connection's export is an audit event, committed before the file is there.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::{Actor, AuditAction, AuditEvent, Clock, Connection, Ctx, Failure, NextMove, User, UserId};
use doce_store::{
    Store, StoreError,
    connection::{self, SealedCredential},
    user,
};
use doce_vault::{ExposeSecret as _, SecretString, Vault, export::Readers};
use serde::Serialize;

use super::{KeyPlace, load};
use crate::{
    App, Error, OpenError,
    connections::{Secret, open_sealed},
    logins::tokens,
};

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The installation can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file can't be written, or is there already.
    #[error("write `{path}`")]
    Write {
        /// Where.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A Credential doesn't open, or can't be encrypted.
    #[error("encrypt the credentials")]
    Encrypt(#[source] io::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A Credential doesn't open.
#[derive(Debug, thiserror::Error)]
#[error("open the credential of {connection}")]
struct OpenCredential {
    connection: String,
    #[source]
    source: Error,
}

/// A line of the file.
///
/// Secret: the one place where a Credential is written out; what it is written to encrypts it.
#[derive(Serialize)]
struct Line<'a> {
    connection_id: String,
    username: &'a str,
    provider_id: &'a str,
    label: &'a str,
    auth_type: &'a str,
    key: &'a str,
    metadata: &'a BTreeMap<String, String>,
    base_url: Option<&'a str>,
    version: i64,
    fingerprint: &'a str,
}

/// What is written of a Connection, still sealed.
struct Kept {
    connection: Connection,
    username: String,
    credential: SealedCredential,
    metadata_sealed: Option<Vec<u8>>,
}

/// Writes everybody's Credentials that are in force to a new file that only its readers can open. Returns how many they
/// are; without any, there is no file.
pub async fn export_keys(
    place: &KeyPlace,
    clock: Arc<dyn Clock>,
    readers: &Readers,
    file: &Utf8Path,
) -> Result<usize, ExportError> {
    let write = |source| ExportError::Write { path: file.to_owned(), source };
    // Asked before the work, and again by how the file is made.
    if fs::exists(file).map_err(write)? {
        return Err(write(io::ErrorKind::AlreadyExists.into()));
    }
    let store = place.open_store().await?;
    let exported = export(place, &store, clock, readers, file).await;
    store.close().await;
    exported
}

async fn export(
    place: &KeyPlace,
    store: &Store,
    clock: Arc<dyn Clock>,
    readers: &Readers,
    file: &Utf8Path,
) -> Result<usize, ExportError> {
    let vault = load(place, store, &clock).await?.vault();
    let all = kept(store, None).await?;
    if all.is_empty() {
        return Ok(0);
    }
    let encrypted = encrypt(&vault, &all, readers).map_err(ExportError::Encrypt)?;
    let ctx = Ctx::new(Actor::Cli, "keys export", None, clock);
    tell(store, &ctx, &all, readers).await?;
    write_file(file, &encrypted).map_err(|source| ExportError::Write { path: file.to_owned(), source })?;
    Ok(all.len())
}

impl App {
    /// Encrypts the caller's own Credentials for readers, after their password was given again.
    ///
    /// Only their own, whoever they are: an admin has no way to other people's keys but the command line.
    pub async fn export_own_keys(
        &self,
        ctx: &Ctx,
        user: &User,
        password: SecretString,
        readers: Readers,
    ) -> Result<Vec<u8>, Error> {
        if !self.is_password(ctx, user, password).await? {
            let mut tx = self.store.write(ctx).await?;
            tx.audit(AuditEvent::refused(AuditAction::Export, "keys", "wrong_password")).await?;
            tx.commit().await?;
            return Err(Error::Invalid { field: "password", message: "That is not your password.".to_owned() });
        }
        let all = kept(&self.store, Some(user.id)).await?;
        if all.is_empty() {
            return Err(Error::Conflict(Failure::new(
                "nothing_connected",
                "You have no connection, so there is no key to export.",
                NextMove::ConnectProvider,
            )));
        }
        let app = self.clone();
        let _turn = self.gatekeeper.turn().await?;
        let encrypting = tokio::task::spawn_blocking(move || {
            let encrypted = encrypt(&app.vault, &all, &readers);
            (encrypted, all, readers)
        });
        let (encrypted, all, readers) = encrypting.await.map_err(Error::internal)?;
        let encrypted = encrypted.map_err(Error::internal)?;
        tell(&self.store, ctx, &all, &readers).await?;
        Ok(encrypted)
    }
}

fn encrypt(vault: &Vault, all: &[Kept], readers: &Readers) -> io::Result<Vec<u8>> {
    readers.encrypt(|out| all.iter().try_for_each(|kept| write_line(vault, kept, out)))
}

/// Tells of an export.
///
/// Crash: one that is told of and has no file is better than a file that nobody was told of.
async fn tell(store: &Store, ctx: &Ctx, all: &[Kept], readers: &Readers) -> Result<(), StoreError> {
    let mut tx = store.write(ctx).await?;
    for Kept { connection, .. } in all {
        tx.audit(
            AuditEvent::ok(AuditAction::Export, &connection.id)
                .of(connection.user_id)
                .fingerprint(&connection.fingerprint)
                .detail(format!("for {readers}")),
        )
        .await?;
    }
    tx.commit().await
}

/// Reads one person's, or everybody's.
async fn kept(store: &Store, whose: Option<UserId>) -> Result<Vec<Kept>, StoreError> {
    let mut read = store.read().await?;
    let mut connections = connection::list_all(&mut read).await?;
    connections.retain(|connection| whose.is_none_or(|user_id| user_id == connection.user_id));
    let names = user::names(&mut read, &connections.iter().map(|c| c.user_id).collect()).await?;
    let mut all = Vec::with_capacity(connections.len());
    for connection in connections {
        let Some((credential, metadata_sealed)) = connection::find_credential(&mut read, connection.id).await? else {
            continue;
        };
        let username = names.get(&connection.user_id).cloned().unwrap_or_default();
        all.push(Kept { connection, username, credential, metadata_sealed });
    }
    Ok(all)
}

fn write_line(vault: &Vault, kept: &Kept, out: &mut dyn Write) -> io::Result<()> {
    let connection = &kept.connection;
    let opened = open_sealed(vault, connection.auth_type, &kept.credential, kept.metadata_sealed.as_deref())
        .map_err(|source| io::Error::other(OpenCredential { connection: connection.id.to_string(), source }))?;
    // Secret: it is in memory until its line has been encrypted.
    let key = match opened.secret {
        Secret::Key(key) => key,
        Secret::Tokens(tokens) => tokens::to_secret(&tokens)
            .map_err(|source| io::Error::other(OpenCredential { connection: connection.id.to_string(), source }))?,
    };
    let line = Line {
        connection_id: connection.id.to_string(),
        username: &kept.username,
        provider_id: &connection.provider_id,
        label: &connection.label,
        auth_type: connection.auth_type.as_str(),
        key: key.expose_secret(),
        metadata: &opened.metadata,
        base_url: connection.base_url.as_deref(),
        version: opened.version,
        fingerprint: &connection.fingerprint,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

fn write_file(path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file opens for nobody, and stands in the way of the next one.
        drop(fs::remove_file(path));
    }
    written
}
