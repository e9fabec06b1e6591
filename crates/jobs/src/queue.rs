//! The queue's own door: enqueue, cancel, retry, wake.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use doce_model::{Clock, Ctx, Direction, Job, JobId, JobState, JobStep, Ms, ProjectId, StepState, UserId};
use doce_store::{
    Store, StoreError, Tx,
    job::{self, CancelRequest},
};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Definition, MAX_RETRY_AFTER, fault::Faults, held::Held};

/// Characters that a payload may have: it names nouns, it doesn't carry them.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Jobs that one user may have waiting or running.
pub const MAX_LIVE_PER_USER: i64 = 1000;
/// How long a Job that ended is kept.
pub const RETENTION: Duration = Duration::from_hours(30 * 24);

/// Is told of each Job after a change of it was committed.
pub type Observer = Arc<dyn Fn(JobId) + Send + Sync>;

/// How the workers behave.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Jobs at work at a time.
    pub workers: usize,
    /// How long a worker may be silent before its Job is given to another.
    pub lease: Duration,
    /// How often a worker says that it lives.
    pub renew_every: Duration,
    /// How long a step may take to notice that its Job was cancelled.
    pub cancel_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 8,
            lease: Duration::from_secs(30),
            renew_every: Duration::from_secs(10),
            cancel_grace: Duration::from_secs(5),
        }
    }
}

/// What to do when the subject already has a Job that hasn't ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Refuse, with [`EnqueueError::Busy`].
    Reject,
    /// Let one of the same kind that hasn't begun do it, with this payload; else queue behind what is there.
    Coalesce,
    /// Cancel what is there, and queue behind its end.
    Supersede,
}

/// A Job to be made.
#[derive(Debug, Clone)]
pub struct New {
    kind: String,
    subject: String,
    user_id: UserId,
    project_id: Option<ProjectId>,
    payload: serde_json::Value,
    policy: Policy,
    after: Option<JobId>,
    run_at: Option<Ms>,
    retry_of: Option<JobId>,
}

impl New {
    /// Describes a Job of `kind` that works on `subject` for a user; refused if the subject is busy.
    #[expect(clippy::self_named_constructors, reason = "`New` is an adjective here: a new Job, about to be enqueued")]
    pub fn new(kind: impl Into<String>, subject: impl Into<String>, user_id: UserId) -> Self {
        Self {
            kind: kind.into(),
            subject: subject.into(),
            user_id,
            project_id: None,
            payload: serde_json::Value::Object(serde_json::Map::new()),
            policy: Policy::Reject,
            after: None,
            run_at: None,
            retry_of: None,
        }
    }

    /// Says to which Project it belongs.
    #[must_use]
    pub fn project(mut self, project_id: ProjectId) -> Self {
        self.project_id = Some(project_id);
        self
    }

    /// Sets its input, without secrets.
    ///
    /// # Panics
    /// If the value can't be written as JSON: a map whose keys aren't text.
    #[must_use]
    pub fn payload(mut self, payload: &impl Serialize) -> Self {
        self.payload = serde_json::to_value(payload).expect("a payload is plain data with text keys");
        self
    }

    /// Sets what happens when the subject is busy.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Makes it wait until another Job has ended, however that ends.
    #[must_use]
    pub fn after(mut self, job_id: JobId) -> Self {
        self.after = Some(job_id);
        self
    }

    /// Makes it wait until a moment, at most [`MAX_RETRY_AFTER`] from now.
    #[must_use]
    pub fn run_at(mut self, run_at: Ms) -> Self {
        self.run_at = Some(run_at);
        self
    }
}

/// What [`Jobs::enqueue`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueued {
    /// The Job that does it.
    pub id: JobId,
    /// It was there before: [`Policy::Coalesce`].
    pub joined: bool,
    /// Jobs that were asked to end: [`Policy::Supersede`].
    pub superseded: Vec<JobId>,
}

/// Why a Job was not enqueued.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The subject has a Job that hasn't ended.
    #[error("enqueue a job: its subject is busy with `{0}`")]
    Busy(JobId),
    /// Nobody defined this kind.
    #[error("enqueue a job: no kind is named `{0}`")]
    UnknownKind(String),
    /// The payload is longer than [`MAX_PAYLOAD`].
    #[error("enqueue a job: its payload has {0} characters")]
    PayloadTooLong(usize),
    /// The user has [`MAX_LIVE_PER_USER`] Jobs that haven't ended.
    #[error("enqueue a job: its user has too many already")]
    TooMany,
    /// The database failed.
    #[error("enqueue a job")]
    Store(#[from] StoreError),
}

/// Why a Job was not taken up again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// There is no such Job.
    #[error("retry `{0}`: there is no such job")]
    NotFound(JobId),
    /// It has not ended, or it ended well.
    #[error("retry a job that is {0}")]
    NotFailed(JobState),
    /// It could not be enqueued.
    #[error("retry a job")]
    Enqueue(#[from] EnqueueError),
    /// The database failed.
    #[error("retry a job")]
    Store(#[from] StoreError),
}

/// The queue. Clones are the same queue.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) faults: Faults,
    pub(crate) held: Held,
    pub(crate) tracker: TaskTracker,
    /// No more Jobs are begun.
    pub(crate) stopping: CancellationToken,
    /// Steps at work are dropped.
    pub(crate) dropping: CancellationToken,
    /// Counts the reasons to look at the rows again.
    /// There may be something to begin, or something that somebody waits for has ended.
    pub(crate) wake: watch::Sender<()>,
    /// Somebody may want a Job to end. Apart from `wake`, so that an end doesn't make every Job at work look.
    pub(crate) asked: watch::Sender<()>,
    definitions: OnceLock<BTreeMap<&'static str, Definition>>,
    observer: Observer,
}

impl Jobs {
    /// Makes a queue over a database. [`Jobs::define`] says what it can do, [`Jobs::start`] lets it begin.
    pub fn new(store: Store, clock: Arc<dyn Clock>, settings: Settings, observer: Observer) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                clock,
                settings,
                faults: Faults::default(),
                held: Held::default(),
                tracker: TaskTracker::new(),
                stopping: CancellationToken::new(),
                dropping: CancellationToken::new(),
                wake: watch::Sender::new(()),
                asked: watch::Sender::new(()),
                definitions: OnceLock::new(),
                observer,
            }),
        }
    }

    /// Says which kinds of Jobs there are. Steps may hold what holds this queue, hence after its making.
    ///
    /// # Panics
    /// If called twice, or if two kinds, or two steps of one kind, have the same name: an error in the program.
    pub fn define(&self, definitions: Vec<Definition>) {
        let mut kinds = BTreeMap::new();
        for definition in definitions {
            let kind = definition.kind;
            for (index, step) in definition.steps.iter().enumerate() {
                assert!(
                    definition.steps[..index].iter().all(|other| other.name != step.name),
                    "`{kind}` has two steps named `{}`",
                    step.name
                );
            }
            assert!(kinds.insert(kind, definition).is_none(), "two kinds are named `{kind}`");
        }
        assert!(self.inner.definitions.set(kinds).is_ok(), "the kinds of Jobs are defined once");
    }

    /// Returns the names of all kinds, in order.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.inner.definitions.get().map(|kinds| kinds.keys().copied().collect()).unwrap_or_default()
    }

    /// Returns the definition of a kind.
    pub fn definition(&self, kind: &str) -> Option<&Definition> {
        self.inner.definition(kind)
    }

    /// Writes a Job into the caller's transaction. After the commit the caller says [`Jobs::changed`].
    pub async fn enqueue(&self, tx: &mut Tx, new: New) -> Result<Enqueued, EnqueueError> {
        let mut enqueued = self.enqueue_all(tx, vec![new]).await?;
        Ok(enqueued.pop().expect("one comes to one"))
    }

    /// Writes Jobs, each of another subject, into the caller's transaction. Returns what each came to, in their order.
    /// After the commit the caller says [`Jobs::changed`].
    pub async fn enqueue_all(&self, tx: &mut Tx, new: Vec<New>) -> Result<Vec<Enqueued>, EnqueueError> {
        let subjects: BTreeSet<String> = new.iter().map(|new| new.subject.clone()).collect();
        debug_assert_eq!(subjects.len(), new.len(), "no two are of the same subject");
        let mut live: BTreeMap<String, Vec<Job>> = BTreeMap::new();
        for job in job::live_for_subjects(tx, &subjects).await? {
            live.entry(job.subject.clone()).or_default().push(job);
        }
        let mut enqueued = Vec::with_capacity(new.len());
        let mut added: Vec<(Job, Duration)> = Vec::new();
        let mut by_user: BTreeMap<UserId, i64> = BTreeMap::new();
        for new in new {
            let definition = self.definition(&new.kind).ok_or_else(|| EnqueueError::UnknownKind(new.kind.clone()))?;
            let payload = new.payload.to_string();
            if payload.len() > MAX_PAYLOAD {
                return Err(EnqueueError::PayloadTooLong(payload.len()));
            }
            let now = tx.now();
            let run_at = new.run_at.unwrap_or(now).min(now.plus(MAX_RETRY_AFTER));
            let live = live.remove(&new.subject).unwrap_or_default();
            let (joined, superseded) = make_way(tx, &new, &live, &payload, run_at).await?;
            if let Some(id) = joined {
                enqueued.push(Enqueued { id, joined: true, superseded });
                continue;
            }
            let count = match by_user.entry(new.user_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(job::count_live(tx, new.user_id).await?),
            };
            if *count >= MAX_LIVE_PER_USER {
                return Err(EnqueueError::TooMany);
            }
            *count += 1;
            let job = queued(definition, new, payload, run_at, now);
            enqueued.push(Enqueued { id: job.id, joined: false, superseded });
            added.push((job, definition.head_start));
        }
        job::insert(tx, &added).await?;
        Ok(enqueued)
    }

    /// Asks a Job to end without finishing. After the commit the caller says [`Jobs::changed`].
    pub async fn cancel(&self, tx: &mut Tx, id: JobId) -> Result<CancelRequest, StoreError> {
        job::request_cancel(tx, id).await
    }

    /// Lets a Job go on that waits for a person. Returns whether it did. After the commit the caller says
    /// [`Jobs::changed`].
    pub async fn resume(&self, tx: &mut Tx, id: JobId) -> Result<bool, StoreError> {
        job::resume(tx, id).await
    }

    /// Does a Job again that failed, was cancelled or is stuck: as a Job of its own, so that what happened stays told.
    ///
    /// Refused while the subject is busy. After the commit the caller says [`Jobs::changed`].
    pub async fn retry(&self, tx: &mut Tx, id: JobId) -> Result<JobId, RetryError> {
        let ended = job::find(tx, id).await?.ok_or(RetryError::NotFound(id))?;
        match ended.state {
            JobState::Failed | JobState::Cancelled | JobState::Stuck => {}
            JobState::Queued | JobState::Running | JobState::Succeeded => {
                return Err(RetryError::NotFailed(ended.state));
            }
        }
        let payload = serde_json::from_str(&ended.payload).map_err(|_| StoreError::Inconsistent {
            table: "job",
            column: "payload",
            value: ended.payload.chars().take(80).collect(),
        })?;
        let new = New {
            kind: ended.kind,
            subject: ended.subject,
            user_id: ended.user_id,
            project_id: ended.project_id,
            payload,
            policy: Policy::Reject,
            after: None,
            run_at: None,
            retry_of: Some(id),
        };
        Ok(self.enqueue(tx, new).await?.id)
    }

    /// Lets no Job begin from here on, over restarts too; what has begun goes on to its end. Returns whether the queue
    /// wasn't paused before.
    pub async fn pause(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        job::pause::begin(tx).await
    }

    /// Ends a pause. Returns whether there was one. After the commit the caller says [`Jobs::wake`].
    pub async fn end_pause(&self, tx: &mut Tx) -> Result<bool, StoreError> {
        job::pause::end(tx).await
    }

    /// Makes the workers look: something they may do, or should stop doing, was committed.
    pub fn wake(&self) {
        self.inner.asked.send_replace(());
        self.inner.wake();
    }

    /// Tells the observer that these Jobs' rows were changed and committed, and wakes the workers.
    pub fn changed(&self, ids: impl IntoIterator<Item = JobId>) {
        for id in ids {
            self.inner.observe(id);
        }
        self.wake();
    }

    /// Waits until a Job has ended, and returns it; at once if there is no such Job.
    pub async fn ended(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let mut wake = self.inner.wake.subscribe();
        loop {
            wake.mark_unchanged();
            let found = job::find(&mut self.inner.store.read().await?, id).await?;
            if found.as_ref().is_none_or(|job| !job.state.is_live()) {
                return Ok(found);
            }
            if wake.changed().await.is_err() {
                return Ok(found);
            }
        }
    }

    /// Deletes the Jobs that ended longer than `age` ago. Returns how many.
    pub async fn prune(&self, age: Duration) -> Result<u64, StoreError> {
        self.inner.prune(age).await
    }
}

impl Enqueued {
    /// Returns every Job whose row was changed, for [`Jobs::changed`].
    pub fn changed(&self) -> impl Iterator<Item = JobId> + use<'_> {
        self.superseded.iter().copied().chain([self.id])
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("kinds", &self.kinds()).finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn definition(&self, kind: &str) -> Option<&Definition> {
        self.definitions.get()?.get(kind)
    }

    pub(crate) fn now(&self) -> Ms {
        self.clock.now()
    }

    /// Returns the context of what the queue does of its own accord.
    pub(crate) fn ctx(&self) -> Ctx {
        Ctx::new(doce_model::Actor::Reconciler("jobs"), "jobs", None, Arc::clone(&self.clock))
    }

    pub(crate) fn wake(&self) {
        self.wake.send_replace(());
    }

    pub(crate) fn observe(&self, id: JobId) {
        (self.observer)(id);
    }

    pub(crate) async fn prune(&self, age: Duration) -> Result<u64, StoreError> {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let mut tx = self.store.write(&self.ctx()).await?;
        let deleted = job::delete_finished_before(&mut tx, Ms(self.now().0.saturating_sub(age))).await?;
        tx.commit().await?;
        Ok(deleted)
    }
}

/// Does what a Job's policy says with those of its subject that are there already. Returns the one that it joins, and
/// those that were asked to end.
async fn make_way(
    tx: &mut Tx,
    new: &New,
    live: &[Job],
    payload: &str,
    run_at: Ms,
) -> Result<(Option<JobId>, Vec<JobId>), EnqueueError> {
    let mut superseded = Vec::new();
    match new.policy {
        Policy::Reject => {
            if let Some(busy) = live.first() {
                return Err(EnqueueError::Busy(busy.id));
            }
        }
        Policy::Coalesce => {
            // One that waits for less than the caller wants to wait for would come too early.
            let same = |waiting: &&Job| waiting.kind == new.kind && (new.after.is_none() || waiting.after == new.after);
            for waiting in live.iter().filter(same) {
                if job::join(tx, waiting.id, payload, run_at).await? {
                    return Ok((Some(waiting.id), superseded));
                }
            }
        }
        Policy::Supersede => {
            for other in live {
                match job::request_cancel(tx, other.id).await? {
                    CancelRequest::Cancelled | CancelRequest::Requested => superseded.push(other.id),
                    CancelRequest::Ended => {}
                }
            }
        }
    }
    Ok((None, superseded))
}

/// Makes the Job that waits to be begun.
fn queued(definition: &Definition, new: New, payload: String, run_at: Ms, now: Ms) -> Job {
    let steps = definition.steps.iter().zip(0_i64..).map(|(step, position)| JobStep {
        position,
        name: step.name.to_owned(),
        label: step.label.to_owned(),
        state: StepState::Pending,
        attempts: 0,
        undo_attempts: 0,
        started_at: None,
        ended_at: None,
        undone_at: None,
        detail: None,
    });
    Job {
        id: JobId::new(now),
        kind: new.kind,
        subject: new.subject,
        user_id: new.user_id,
        project_id: new.project_id,
        payload,
        state: JobState::Queued,
        direction: Direction::Forward,
        after: new.after,
        retry_of: new.retry_of,
        run_at,
        claims: 0,
        crashes: 0,
        cancel_requested_at: None,
        failure: None,
        created_at: now,
        started_at: None,
        finished_at: None,
        steps: steps.collect(),
    }
}
