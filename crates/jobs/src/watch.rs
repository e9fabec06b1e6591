//! The watch beside a step at work: renews the lease, writes what the step says, hears of a cancel or a shutdown.

use doce_model::{Direction, Ms};
use doce_store::job::{self, LeaseError};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{
    live::{DETAIL_EVERY, DETAIL_FIRST},
    run::{Run, Tried, Work},
    worker::chain,
};

impl Run<'_> {
    /// Watches over a step at work. Returns only when the step must be dropped.
    pub(crate) async fn watch(
        &self,
        work: &Work,
        cancel: &CancellationToken,
        asked: &mut watch::Receiver<()>,
    ) -> Tried {
        let settings = &self.inner.settings;
        let mut renew = interval_at(Instant::now() + settings.renew_every, settings.renew_every);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held_until = self.lease_until();
        let mut written: Option<Instant> = None;
        let mut write_at: Option<Instant> = None;
        let mut drop_at: Option<Instant> = None;
        loop {
            tokio::select! {
                () = self.inner.dropping.cancelled() => return Tried::Stopped,
                () = at(drop_at) => return Tried::Cancelled,
                _ = renew.tick() => match self.renew().await {
                    Ok(until) => held_until = until,
                    Err(LeaseError::Lost(_)) => return Tried::Lost,
                    Err(LeaseError::Store(error)) => {
                        tracing::warn!(job = %work.job.id, error = %chain(&error), "a lease can't be renewed");
                        if self.inner.now() >= held_until {
                            return Tried::Lost;
                        }
                    }
                },
                _ = asked.changed() => match self.check().await {
                    Ok(Some(_)) if work.job.direction == Direction::Forward && !cancel.is_cancelled() => {
                        cancel.cancel();
                        drop_at = Some(Instant::now() + settings.cancel_grace);
                    }
                    Ok(_) => {}
                    Err(LeaseError::Lost(_)) => return Tried::Lost,
                    Err(LeaseError::Store(error)) => {
                        tracing::warn!(job = %work.job.id, error = %chain(&error), "a lease can't be checked");
                    }
                },
                () = work.live.changed.notified() => {
                    let now = Instant::now();
                    write_at = write_at.or(Some(written.map_or(now + DETAIL_FIRST, |at| (at + DETAIL_EVERY).max(now))));
                }
                () = at(write_at) => {
                    write_at = None;
                    written = Some(Instant::now());
                    match self.write_live(work).await {
                        Ok(()) => {}
                        Err(LeaseError::Lost(_)) => return Tried::Lost,
                        Err(LeaseError::Store(error)) => {
                            tracing::warn!(job = %work.job.id, error = %chain(&error), "progress can't be written");
                        }
                    }
                }
            }
        }
    }

    async fn renew(&self) -> Result<Ms, LeaseError> {
        let until = self.lease_until();
        let mut tx = self.inner.store.write(&self.inner.ctx()).await?;
        job::renew(&mut tx, self.lease, until).await?;
        tx.commit().await?;
        Ok(until)
    }

    async fn check(&self) -> Result<Option<Ms>, LeaseError> {
        job::check(&mut self.inner.store.read().await?, self.lease).await
    }

    async fn write_live(&self, work: &Work) -> Result<(), LeaseError> {
        let said = work.live.unwritten();
        let mut tx = self.inner.store.write(&work.ctx).await?;
        if let Some(detail) = &said.detail {
            job::set_detail(&mut tx, self.lease, work.position(), Some(detail)).await?;
        }
        job::append_log(&mut tx, self.lease, &said.lines).await?;
        self.commit(tx).await?;
        work.live.written(&said);
        Ok(())
    }
}

/// Sleeps until a moment; for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
