//! The master key of a server that runs: what its owner should know of it, and changing it meanwhile.
//!
//! A change is carried out as the command does it ([`super::rotate`]), beside everything else: whatever is sealed from
//! its first moment on is wrapped by the new key, and the old one opens what it wrapped until the server ends. How far it
//! is, is in memory; where it stopped, is on the disk, so that the next one goes on.

use std::{
    fs,
    ops::ControlFlow,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_model::{AuditAction, AuditEvent, Ctx, Failure, Ms, NextMove, Role, User, UserId};
use doce_store::{Read, Trouble, sealed, setting, user};

use super::{
    IN_FORCE, KeyPlace, SINCE,
    rotate::{RotateError, Rotation as Carried, RotationStage},
};
use crate::{App, Error, chain, events::Change, people::admins_only};

/// The setting that names the key of which somebody keeps a copy, and since when.
const COPIED: &str = "master_key_copied";
/// How often browsers are told how far it is.
const TOLD_EVERY: Duration = Duration::from_millis(200);
/// What audit events of the master key name.
const NOUN: &str = "master_key";

/// What the owner of a server should know of its master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKeyView {
    /// Its id, which tells nothing of the key.
    pub id: String,
    /// The files that are needed: one, or two while a change of the key is not finished.
    pub files: Vec<Utf8PathBuf>,
    /// Since when it is in force, if that was written down.
    pub since: Option<Ms>,
    /// How many sealed values there are.
    pub values: i64,
    /// When somebody said that they keep a copy of it.
    pub copied_at: Option<Ms>,
    /// Keys that were in force before and are kept for older backups.
    pub old_files: Vec<Utf8PathBuf>,
    /// How far a change of it is.
    pub rotation: Rotation,
}

/// How far a change of the master key is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// In one word.
    pub state: RotationState,
    /// How many values are wrapped with the new key.
    pub done: i64,
    /// Of how many.
    pub total: i64,
    /// Why it stopped, if it did while this server ran.
    pub reason: Option<String>,
}

/// How far a change of the master key is, in one word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RotationState {
    /// Nothing is under way.
    #[default]
    Idle,
    /// It goes on.
    Running,
    /// It was begun and not finished: both keys stay in use until somebody goes on with it.
    Unfinished,
}

/// The change that this server carries out.
#[derive(Debug, Default)]
pub(crate) struct Rotating {
    state: Mutex<Rotation>,
}

impl Rotating {
    fn change<T>(&self, change: impl FnOnce(&mut Rotation) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self) -> Result<Rotation, Error> {
        self.change(|state| match state.state {
            RotationState::Running => Err(Error::Conflict(Failure::new(
                "key_rotating",
                "The master key is being changed already. Wait until it is done.",
                NextMove::None,
            ))),
            RotationState::Idle | RotationState::Unfinished => {
                *state = Rotation { state: RotationState::Running, ..Rotation::default() };
                Ok(state.clone())
            }
        })
    }
}

impl App {
    /// Tells what its owner should know of the master key. Admins only.
    pub async fn master_key(&self, _ctx: &Ctx, by: &User) -> Result<MasterKeyView, Error> {
        admins_only(by)?;
        // Before what it changes: whoever reads that it is over reads the new key, too.
        let mut rotation = self.rotation.change(|state| state.clone());
        let mut read = self.store.read().await?;
        let id = self.key_in_force(&mut read).await?;
        let since = setting::find(&mut read, SINCE).await?.and_then(|at| at.parse().ok()).map(Ms);
        let copied = setting::find(&mut read, COPIED).await?;
        let values = sealed::count(&mut read).await?;
        drop(read);
        let place = KeyPlace::of(&self.config);
        let found = tokio::task::spawn_blocking(move || files(&place)).await.map_err(Error::internal)?;
        if found.is_unfinished && rotation.state == RotationState::Idle {
            // One may have begun meanwhile.
            rotation = self.rotation.change(|state| state.clone());
            if rotation.state == RotationState::Idle {
                rotation.state = RotationState::Unfinished;
            }
        }
        Ok(MasterKeyView {
            copied_at: copied.and_then(|text| {
                let (copied, at) = text.split_once(' ')?;
                (copied == id).then(|| at.parse().ok().map(Ms))?
            }),
            id,
            files: found.needed,
            since,
            values,
            old_files: found.old,
            rotation,
        })
    }

    /// Records that somebody keeps a copy of the master key of this id. Admins only.
    pub async fn confirm_key_copy(&self, ctx: &Ctx, by: &User, id: &str) -> Result<MasterKeyView, Error> {
        admins_only(by)?;
        let mut tx = self.store.write(ctx).await?;
        let in_force = self.key_in_force(&mut tx).await?;
        if in_force != id {
            return Err(Error::Conflict(Failure::new(
                "other_key",
                "Another master key is in force by now. Look again, and copy that one.",
                NextMove::Retry,
            )));
        }
        setting::set(&mut tx, COPIED, &format!("{in_force} {}", ctx.now().0)).await?;
        tx.audit(AuditEvent::ok(AuditAction::CopyKey, NOUN).detail(in_force)).await?;
        tx.commit().await?;
        self.master_key(ctx, by).await
    }

    /// Begins to change the master key, or goes on where that stopped. Admins only.
    pub async fn begin_rotation(&self, ctx: &Ctx, by: &User) -> Result<MasterKeyView, Error> {
        admins_only(by)?;
        let begun = self.rotation.begin()?;
        let admins = match self.tell_of_rotation(ctx).await {
            Ok(admins) => admins,
            Err(e) => {
                self.rotation.change(|state| *state = Rotation::default());
                return Err(e);
            }
        };
        let (app, ctx_of_task) = (self.clone(), ctx.clone());
        publish(self, &admins, &begun);
        self.tasks.spawn(async move { rotate(&app, &ctx_of_task, &admins).await });
        self.master_key(ctx, by).await
    }

    /// Returns the admins, who are told how it goes.
    async fn tell_of_rotation(&self, ctx: &Ctx) -> Result<Vec<UserId>, Error> {
        let mut tx = self.store.write(ctx).await?;
        let users = user::list(&mut tx).await?;
        tx.audit(AuditEvent::ok(AuditAction::RotateKeys, NOUN).detail("begun")).await?;
        tx.commit().await?;
        Ok(users.into_iter().filter(|user| user.role == Role::Admin).map(|user| user.id).collect())
    }

    async fn key_in_force(&self, read: &mut impl Read) -> Result<String, Error> {
        Ok(setting::find(read, IN_FORCE).await?.unwrap_or_else(|| self.vault.key_id()))
    }
}

async fn rotate(app: &App, ctx: &Ctx, admins: &[UserId]) {
    let place = KeyPlace::of(&app.config);
    let mut told_at = ctx.now();
    let tell = |stage| {
        if let RotationStage::Wrapped { done, total } = stage {
            let state = app.rotation.change(|state| {
                (state.done, state.total) = (done, total);
                state.clone()
            });
            if ctx.now().since(told_at) >= TOLD_EVERY {
                told_at = ctx.now();
                publish(app, admins, &state);
            }
        }
        if app.stopping.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let carried = Carried { place: &place, store: &app.store, ctx: ctx.clone(), vault: Some(&app.vault), tell };
    let over = match carried.run().await {
        Ok(rotated) => {
            tracing::info!(old = rotated.old, new = rotated.new, values = rotated.values, "the master key is changed");
            Rotation { done: rotated.values, total: rotated.values, ..Rotation::default() }
        }
        Err(e) => {
            tracing::error!(error = chain(&e), "the master key was not changed");
            Rotation { state: RotationState::Unfinished, reason: Some(reason(&e)), ..Rotation::default() }
        }
    };
    app.rotation.change(|state| state.clone_from(&over));
    publish(app, admins, &over);
}

fn publish(app: &App, admins: &[UserId], rotation: &Rotation) {
    for admin in admins {
        app.bus.publish(*admin, Change::Rotation(rotation.clone()));
    }
}

/// Says why the key was not changed, and what to do.
fn reason(error: &RotateError) -> String {
    if let Some(trouble) = Trouble::find(error) {
        return format!("{} Both keys stay in use.", trouble.words().message);
    }
    match error {
        RotateError::Mismatch { total, opened } => {
            format!("Only {opened} of {total} sealed values open with the new key, so both keys stay in use.")
        }
        RotateError::Wrap { table, row, .. } => format!(
            "A sealed value could not be wrapped ({row} in {table}), so both keys stay in use. Disconnect what doesn’t \
             work any more, then go on."
        ),
        RotateError::Key(_) | RotateError::NoRandom(_) | RotateError::Open(_) => format!(
            "A file of the keys could not be read or written: {}. See that doce may write beside the master key.",
            chain(error)
        ),
        RotateError::Store(_) => {
            "The database failed in the middle of it; the server’s log says more. Both keys stay in use.".to_owned()
        }
        RotateError::Changed { .. } | RotateError::Stopped => {
            "It was interrupted. Both keys stay in use, and everything opens.".to_owned()
        }
    }
}

/// The files of the keys.
struct Files {
    needed: Vec<Utf8PathBuf>,
    old: Vec<Utf8PathBuf>,
    is_unfinished: bool,
}

fn files(place: &KeyPlace) -> Files {
    let (key, next) = (place.key(), place.next());
    let is_unfinished = next.exists();
    let mut old = Vec::new();
    let beginning = place.old("");
    if let (Some(folder), Some(beginning)) = (key.parent(), beginning.file_name()) {
        let folder = if folder.as_str().is_empty() { Utf8Path::new(".") } else { folder };
        let names = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        old.extend(names.filter(|name| name.starts_with(beginning)).map(|name| folder.join(name)));
    }
    old.sort();
    let needed = if is_unfinished { vec![key, next] } else { vec![key] };
    Files { needed, old, is_unfinished }
}
