//! The workers: who looks for Jobs, when, and how it ends.

use std::{sync::Arc, time::Duration};

use doce_model::Ms;
use doce_store::{StoreError, Tx, job};
use tokio::sync::{Semaphore, watch};

use crate::{
    Jobs, RETENTION,
    held::Hold,
    queue::Inner,
    run::{Ending, Run},
};

/// The longest the dispatcher sleeps while something is due later: a machine that was suspended, or whose clock was
/// set, is noticed after that.
const MAX_SLEEP: Duration = Duration::from_mins(1);
/// How long to leave a database alone that refused a claim.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);
/// How often Jobs that ended long ago are deleted, at most.
const PRUNE_EVERY: Duration = Duration::from_hours(24);
/// How long steps that were dropped may take to give their leases back.
const RELEASE_BOUND: Duration = Duration::from_secs(5);

impl Jobs {
    /// Gives back every lease that a crash left behind, and starts the workers. Returns at once.
    ///
    /// The caller holds the data directory's lock, so nobody else can be at work.
    pub async fn start(&self) -> Result<(), StoreError> {
        self.recover().await?;
        let inner = Arc::clone(&self.inner);
        self.inner.tracker.spawn(async move { inner.dispatch().await });
        Ok(())
    }

    /// Gives back every lease. Only right while no worker of this database is at work.
    pub async fn recover(&self) -> Result<(), StoreError> {
        let mut tx = self.inner.store.write(&self.inner.ctx()).await?;
        let released = job::release_all(&mut tx).await?;
        tx.commit().await?;
        for id in released {
            tracing::warn!(job = %id, "a job was cut off; it is taken up again");
            self.inner.observe(id);
        }
        self.inner.wake();
        Ok(())
    }

    /// Stops: begins nothing more, lets steps at work finish for `grace`, then drops them. A dropped step's Job is
    /// queued, and repeats that step after the next start.
    pub async fn shutdown(&self, grace: Duration) {
        self.inner.stopping.cancel();
        self.inner.tracker.close();
        if tokio::time::timeout(grace, self.inner.tracker.wait()).await.is_err() {
            self.inner.dropping.cancel();
            if tokio::time::timeout(RELEASE_BOUND, self.inner.tracker.wait()).await.is_err() {
                tracing::error!("steps did not stop; their jobs are taken up again at the next start");
            }
        }
        tracing::debug!("the workers have ended");
    }

    /// Does what is due, one Job after the other on the caller, until nothing is. Returns how many claims that took.
    ///
    /// For tests and tools, instead of [`Jobs::start`].
    pub async fn drain(&self) -> Result<usize, StoreError> {
        let mut claims = 0;
        while let Some((hold, claimed)) = self.inner.claim().await? {
            claims += 1;
            match self.inner.work(hold, claimed).await {
                Ending::Killed => break,
                Ending::Over | Ending::Parked | Ending::Lost | Ending::Stopped | Ending::Broken => {}
            }
        }
        Ok(claims)
    }

    /// Returns when there is next something to do.
    pub async fn next_due(&self) -> Result<Option<Ms>, StoreError> {
        job::next_due(&mut self.inner.store.read().await?, &[]).await
    }
}

impl Inner {
    /// Claims Jobs as long as there are workers free and Jobs due; sleeps until one is.
    async fn dispatch(self: Arc<Self>) {
        let free = Arc::new(Semaphore::new(self.settings.workers));
        let mut wake = self.wake.subscribe();
        let mut pruned: Option<Ms> = None;
        loop {
            let permit = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                permit = Arc::clone(&free).acquire_owned() => permit.expect("nobody closes the semaphore"),
            };
            // Before looking, so that what is committed while looking is seen the next time round.
            wake.mark_unchanged();
            match self.claim().await {
                Ok(Some((hold, claimed))) => {
                    let inner = Arc::clone(&self);
                    self.tracker.spawn(async move {
                        inner.work(hold, claimed).await;
                        drop(permit);
                    });
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(error = %chain(&error), "no job could be claimed");
                    tokio::select! {
                        () = self.stopping.cancelled() => return,
                        () = tokio::time::sleep(DATABASE_PAUSE) => continue,
                    }
                }
            }
            drop(permit);
            if pruned.is_none_or(|at| self.now().since(at) >= PRUNE_EVERY) {
                pruned = Some(self.now());
                if let Err(error) = self.prune(RETENTION).await {
                    tracing::error!(error = %chain(&error), "old jobs could not be deleted");
                }
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = self.due(&mut wake) => {}
            }
        }
    }

    /// Waits until there may be something to claim.
    async fn due(&self, wake: &mut watch::Receiver<()>) {
        let live = self.held.all();
        let next = async { job::next_due(&mut self.store.read().await?, &live).await };
        let sleep = match next.await {
            // Where nobody does anything, too, what ended long ago is deleted.
            Ok(None) => PRUNE_EVERY,
            Ok(Some(at)) => at.since(self.now()).min(MAX_SLEEP),
            Err(error) => {
                tracing::error!(error = %chain(&error), "the next due job could not be read");
                DATABASE_PAUSE
            }
        };
        tokio::select! {
            _ = wake.changed() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }

    /// Takes leases from workers that are gone, then claims one Job, in a transaction that the beginning of its work is
    /// written into.
    ///
    /// It doesn't wait for the disk: after a power cut the Job is queued as it was, and what its step had done by then
    /// is found by its repeat. What a step writes itself waits.
    pub(crate) async fn claim(&self) -> Result<Option<(Hold, Tx)>, StoreError> {
        let mut tx = self.store.write_without_sync(&self.ctx()).await?;
        let expired = job::release_expired(&mut tx, &self.held.all(), self.settings.lease).await?;
        if !expired.is_empty() {
            tx.commit().await?;
            for id in expired {
                tracing::warn!(job = %id, "a worker fell silent; its job is taken up again");
                self.observe(id);
            }
            tx = self.store.write_without_sync(&self.ctx()).await?;
        }
        let Some(lease) = job::claim(&mut tx, self.now().plus(self.settings.lease)).await? else {
            return Ok(None);
        };
        // Before the commit: from there on, others who claim ask whose it is.
        Ok(Some((self.held.hold(lease), tx)))
    }

    /// Does a Job as far as it goes whose claim isn't committed yet.
    pub(crate) async fn work(&self, hold: Hold, claimed: Tx) -> Ending {
        let ending = Run { inner: self, lease: hold.lease }.go(claimed).await;
        drop(hold);
        // Others of its subject, and those who wait for its end.
        self.wake();
        ending
    }
}

/// Returns an error's text with its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
