//! Changing the master key.
//!
//! 1. A new key is written beside the old one.
//! 2. The data key of each sealed value is wrapped with it, a few at a time. Values are not opened.
//! 3. Every value is opened with the new key alone, and counted. A difference ends it here: both keys stay.
//! 4. The old key is kept as `master.key.old-<id>`, for older backups.
//! 5. The database names the new key as the one in force.
//! 6. The new key's file takes the old one's place.
//!
//! It can be killed at any point: [`super::load`] finds what opens everything, and the next call goes on.
//! A server that runs does the same (`super::live`); its vault seals with the new key from step 1 on.

use std::{ops::ControlFlow, path::PathBuf, sync::Arc};

use camino::Utf8PathBuf;
use doce_model::{Actor, AuditAction, AuditEvent, Clock, Ctx};
use doce_store::{
    Store, StoreError,
    sealed::{self, Column},
    setting,
};
use doce_vault::{MasterKey, MasterKeyError, NoRandom, RewrapError, Vault};

use super::{IN_FORCE, KeyPlace, Loaded, SINCE, identity, load, std_path};
use crate::OpenError;

/// Values wrapped in one transaction.
const BATCH: i64 = 20;

/// How often what a running server stores meanwhile is waited out before it counts as a difference.
const ROUNDS: usize = 5;

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStage {
    /// The new key is there.
    KeyMade,
    /// So many values of so many are wrapped with it.
    Wrapped {
        /// How many are.
        done: i64,
        /// How many there are.
        total: i64,
    },
    /// Every one was opened with it.
    Checked,
    /// The old key is kept beside.
    OldKept,
    /// The database names the new key.
    InForce,
    /// Its file is in its place.
    Done,
}

/// What a rotation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The key until now, by id.
    pub old: String,
    /// The key from now on, by id.
    pub new: String,
    /// How many sealed values it wraps.
    pub values: i64,
    /// Where the old key is kept.
    pub old_file: Utf8PathBuf,
    /// Whether it went on with a rotation that was interrupted.
    pub resumed: bool,
}

/// Why the master key was not changed. Whatever there is opens with the keys that are there.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The installation can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A key's file can't be read or written.
    #[error(transparent)]
    Key(#[from] MasterKeyError),
    /// A value can't be wrapped.
    #[error("wrap `{column}` of `{row}` in `{table}` with the new key")]
    Wrap {
        /// In which table.
        table: &'static str,
        /// In which column.
        column: &'static str,
        /// In which row.
        row: String,
        /// Why.
        #[source]
        source: RewrapError,
    },
    /// Something else writes to the database.
    #[error("wrap `{column}` of `{row}` in `{table}`: it changed at the same moment; is a server running?")]
    Changed {
        /// In which table.
        table: &'static str,
        /// In which column.
        column: &'static str,
        /// In which row.
        row: String,
    },
    /// Not everything opens with the new key.
    #[error("finish: {opened} of {total} sealed values open with the new key, so both keys stay in use")]
    Mismatch {
        /// How many there are.
        total: i64,
        /// How many open.
        opened: i64,
    },
    /// The caller said to stop.
    #[error("finish: it was stopped")]
    Stopped,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// Makes a new master key and wraps everything with it, or goes on with a rotation that was interrupted. `tell` hears
/// how far it is, and may stop it.
pub async fn rotate_keys(
    place: &KeyPlace,
    clock: Arc<dyn Clock>,
    tell: impl FnMut(RotationStage) -> ControlFlow<()>,
) -> Result<Rotated, RotateError> {
    let store = place.open_store().await?;
    let ctx = Ctx::new(Actor::Cli, "keys rotate", None, clock);
    let rotated = Rotation { place, store: &store, ctx, vault: None, tell }.run().await;
    // Also folds the write-ahead log into the database: envelopes of the old key don't stay behind in it.
    store.close().await;
    rotated
}

pub(super) struct Rotation<'a, F> {
    pub(super) place: &'a KeyPlace,
    pub(super) store: &'a Store,
    pub(super) ctx: Ctx,
    /// What seals meanwhile, if a server runs.
    pub(super) vault: Option<&'a Vault>,
    pub(super) tell: F,
}

impl<F: FnMut(RotationStage) -> ControlFlow<()>> Rotation<'_, F> {
    pub(super) async fn run(mut self) -> Result<Rotated, RotateError> {
        let ctx = self.ctx.clone();
        let Loaded { key: old, next, finished, .. } = load(self.place, self.store, &ctx.clock()).await?;
        let total = sealed::count(&mut self.store.read().await?).await?;
        if finished {
            let before = setting::find(&mut self.store.read().await?, REPLACED).await?.unwrap_or_default();
            return Ok(Rotated {
                old_file: self.place.old(&before),
                old: before,
                new: old.id(),
                values: total,
                resumed: true,
            });
        }
        let resumed = next.is_some();
        let new = match next {
            Some(next) => next,
            None => self.make(&old)?,
        };
        if let Some(vault) = self.vault {
            // Invariant: a value is sealed inside the transaction that stores it, and one transaction writes at a time.
            // With this one over, nothing that the old key wraps can be stored any more.
            let tx = self.store.write(&ctx).await?;
            vault.seal_with(new.clone());
            tx.commit().await?;
        }
        self.at(RotationStage::KeyMade)?;

        let total = self.wrap_and_check(&ctx, &old, &new, total).await?;
        self.at(RotationStage::Checked)?;

        let old_file = self.place.old(&old.id());
        if MasterKey::read(old_file.as_std_path())?.is_none() {
            old.write(old_file.as_std_path())?;
        }
        self.at(RotationStage::OldKept)?;

        let mut tx = self.store.write(&ctx).await?;
        setting::set(&mut tx, IN_FORCE, &new.id()).await?;
        setting::set(&mut tx, REPLACED, &old.id()).await?;
        setting::set(&mut tx, SINCE, &ctx.now().0.to_string()).await?;
        let what = format!("{} → {}, {total} sealed values", old.id(), new.id());
        tx.audit(AuditEvent::ok(AuditAction::RotateKeys, "master_key").detail(what)).await?;
        tx.commit().await?;
        self.at(RotationStage::InForce)?;

        doce_vault::replace(&std_path(&self.place.next()), &std_path(&self.place.key()))?;
        self.at(RotationStage::Done)?;
        Ok(Rotated { old: old.id(), new: new.id(), values: total, old_file, resumed })
    }

    fn at(&mut self, stage: RotationStage) -> Result<(), RotateError> {
        match (self.tell)(stage) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(RotateError::Stopped),
        }
    }

    fn make(&self, old: &MasterKey) -> Result<MasterKey, RotateError> {
        let new = old.successor()?;
        let path: PathBuf = std_path(&self.place.next());
        new.write(&path)?;
        // What is in memory and what is on the disk must be the same before anything depends on it.
        match MasterKey::read(&path)? {
            Some(read) if read.id() == new.id() => Ok(read),
            Some(_) | None => Err(MasterKeyError::Malformed { path }.into()),
        }
    }

    /// Wraps everything and checks it. Returns how many values there are.
    async fn wrap_and_check(
        &mut self,
        ctx: &Ctx,
        old: &MasterKey,
        new: &MasterKey,
        total: i64,
    ) -> Result<i64, RotateError> {
        for _ in 1..ROUNDS {
            self.wrap_all(ctx, old, new, total).await?;
            if self.vault.is_none() {
                return self.check(new, total).await.map(|()| total);
            }
            let total = sealed::count(&mut self.store.read().await?).await?;
            match self.check(new, total).await {
                Ok(()) => return Ok(total),
                // Something was connected or disconnected while it was counted.
                Err(RotateError::Mismatch { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        self.wrap_all(ctx, old, new, total).await?;
        let total = sealed::count(&mut self.store.read().await?).await?;
        self.check(new, total).await.map(|()| total)
    }

    async fn wrap_all(&mut self, ctx: &Ctx, old: &MasterKey, new: &MasterKey, total: i64) -> Result<(), RotateError> {
        let (vault, new_id) = (Vault::new(new.clone()).and_opens(old.clone()), new.id());
        let mut done = 0;
        for column in Column::ALL {
            let ((table, name), mut after) = (column.place(), String::new());
            loop {
                let mut tx = self.store.write(ctx).await?;
                let values = sealed::list(&mut tx, *column, &after, BATCH).await?;
                let Some(last) = values.last() else { break };
                after.clone_from(&last.row);
                for value in &values {
                    let place = || (table, name, value.row.clone());
                    if doce_vault::wrapped_by(&value.bytes).is_ok_and(|id| id == new_id) {
                        continue;
                    }
                    let wrapped = vault.rewrap(&identity(value), &value.bytes).map_err(|source| {
                        let (table, column, row) = place();
                        RotateError::Wrap { table, column, row, source }
                    })?;
                    if !sealed::replace(&mut tx, value, &wrapped.bytes, &wrapped.key_id).await? {
                        let (table, column, row) = place();
                        return Err(RotateError::Changed { table, column, row });
                    }
                }
                tx.commit().await?;
                done += i64::try_from(values.len()).unwrap_or(0);
                self.at(RotationStage::Wrapped { done, total })?;
            }
        }
        Ok(())
    }

    /// Opens every value with the new key alone. What was wrapped and what there is, before and now, must be as many.
    async fn check(&self, new: &MasterKey, total: i64) -> Result<(), RotateError> {
        let vault = Vault::new(new.clone());
        let mut read = self.store.read().await?;
        let mut opened = 0;
        for column in Column::ALL {
            let mut after = String::new();
            loop {
                let values = sealed::list(&mut read, *column, &after, BATCH).await?;
                let Some(last) = values.last() else { break };
                after.clone_from(&last.row);
                // Secret: each value is open for this comparison, one at a time, and dropped.
                opened += values.iter().map(|v| i64::from(vault.open(&identity(v), &v.bytes).is_ok())).sum::<i64>();
            }
        }
        let now = sealed::count(&mut read).await?;
        if opened == total && now == total { Ok(()) } else { Err(RotateError::Mismatch { total: now, opened }) }
    }
}

/// The setting that names the key whose place was taken last.
const REPLACED: &str = "master_key_replaced";
