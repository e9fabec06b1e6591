//! What a try came to, as rows: done, cancelled, waiting, turned round, stuck.

use doce_model::{Direction, Failure, Job, JobState, LogLevel, StepState};
use doce_store::{
    Tx,
    job::{self, LeaseError},
};

use crate::{
    StepError,
    live::Line,
    run::{Ending, Run, Work},
    step::{self, Verdict},
    worker::chain,
};

impl Run<'_> {
    /// Records that a step or an undo is done, in a transaction that the beginning of the next move is written into.
    /// Returns the Job as its rows say then.
    pub(crate) async fn done(&self, work: Work) -> Result<(Tx, Job), LeaseError> {
        // A power cut undoes it: the step is repeated then, as after the end of the process before this was written.
        let mut tx = self.inner.store.write_without_sync(&work.ctx).await?;
        job::append_log(&mut tx, self.lease, &work.live.unwritten().lines).await?;
        let position = work.position();
        let Work { mut job, index, .. } = work;
        match job.direction {
            Direction::Forward => {
                job.cancel_requested_at =
                    job::end_step(&mut tx, self.lease, position, StepState::Succeeded, None).await?;
                let row = &mut job.steps[index];
                // What it was doing is over.
                (row.state, row.ended_at, row.detail) = (StepState::Succeeded, Some(tx.now()), None);
                job.crashes = 0;
            }
            Direction::Undo => {
                job::undone_step(&mut tx, self.lease, position).await?;
                job = self.read(&mut tx).await?;
            }
        }
        Ok((tx, job))
    }

    /// Turns a Job round whose step stopped, or was dropped, because somebody cancelled it.
    pub(crate) async fn cancelled(&self, work: &Work) -> Result<(), LeaseError> {
        let line = (self.inner.now(), LogLevel::Info, format!("Cancelled during “{}”.", work.step.label));
        let mut tx = self.end(work, Some(line)).await?;
        job::turn(&mut tx, self.lease, None).await?;
        self.commit(tx).await
    }

    /// Records that a try failed, and what follows. Returns whether the Job waits for its next try.
    pub(crate) async fn failed(&self, work: &Work, error: &StepError) -> Result<bool, LeaseError> {
        let failure = &error.failure;
        if error.verdict == Verdict::Wait && work.job.direction == Direction::Forward {
            let text = format!("“{}” waits: {} ({})", work.step.label, failure.message, failure.code);
            let mut tx = self.end(work, Some((self.inner.now(), LogLevel::Info, text))).await?;
            job::wait(&mut tx, self.lease, work.position(), failure).await?;
            self.commit(tx).await?;
            return Ok(true);
        }
        let again = error.verdict == Verdict::Retry && work.attempt < work.step.attempts;
        let undo = match work.job.direction {
            Direction::Forward => "",
            Direction::Undo => "Taking back ",
        };
        let level = if again { LogLevel::Warn } else { LogLevel::Error };
        let text = format!("{undo}“{}”, try {}: {} ({})", work.step.label, work.attempt, failure.message, failure.code);
        tracing::warn!(
            job = %work.job.id, kind = %work.job.kind, step = work.step.name, way = %work.job.direction,
            attempt = work.attempt, again, code = %failure.code, cause = %chain(error), "a step failed"
        );
        let mut tx = self.end(work, Some((self.inner.now(), level, text))).await?;
        if again {
            if work.job.direction == Direction::Forward {
                let why = Some(failure.message.as_str());
                job::end_step(&mut tx, self.lease, work.position(), StepState::Pending, why).await?;
            }
            let wait = error.after.unwrap_or_else(|| work.step.backoff.wait(work.job.id, work.step.name, work.attempt));
            job::park(&mut tx, self.lease, self.inner.now().plus(wait)).await?;
        } else {
            match work.job.direction {
                Direction::Forward => {
                    let why = Some(failure.message.as_str());
                    job::end_step(&mut tx, self.lease, work.position(), StepState::Failed, why).await?;
                    job::turn(&mut tx, self.lease, Some(failure)).await?;
                }
                Direction::Undo => self.stick(&mut tx, &work.job, work.index, failure).await?,
            }
        }
        self.commit(tx).await?;
        Ok(again)
    }

    /// Gives the Job back because the server stops. A step that was at work is repeated after the next start.
    pub(crate) async fn stop(&self, work: &Work) -> Result<Ending, LeaseError> {
        let mut tx = self.end(work, None).await?;
        job::release(&mut tx, self.lease).await?;
        self.commit(tx).await?;
        Ok(Ending::Stopped)
    }

    /// Fails a step that was not even called.
    pub(crate) async fn fail(&self, tx: &mut Tx, job: &Job, index: usize, failure: &Failure) -> Result<(), LeaseError> {
        let row = &job.steps[index];
        job::end_step(tx, self.lease, row.position, StepState::Failed, Some(&failure.message)).await?;
        job::turn(tx, self.lease, Some(failure)).await?;
        self.note(tx, LogLevel::Error, failure.message.clone()).await
    }

    /// Ends a Job whose undo failed for good: a person must look.
    pub(crate) async fn stick(&self, tx: &mut Tx, job: &Job, index: usize, undo: &Failure) -> Result<(), LeaseError> {
        let failure = step::undo_failed(&job.steps[index].label, job.failure.as_ref(), undo);
        self.note(tx, LogLevel::Error, failure.message.clone()).await?;
        job::finish(tx, self.lease, JobState::Stuck, Some(&failure)).await
    }

    /// Begins the transaction that records how a try ended, with what the step said last.
    async fn end(&self, work: &Work, line: Option<Line>) -> Result<Tx, LeaseError> {
        let mut lines = work.live.unwritten().lines;
        lines.extend(line);
        let mut tx = self.inner.store.write(&work.ctx).await?;
        job::append_log(&mut tx, self.lease, &lines).await?;
        Ok(tx)
    }

    pub(crate) async fn note(&self, tx: &mut Tx, level: LogLevel, text: String) -> Result<(), LeaseError> {
        job::append_log(tx, self.lease, &[(self.inner.now(), level, text)]).await
    }
}
