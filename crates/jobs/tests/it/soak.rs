//! Eight workers and two thousand Jobs, on a bad day: workers die in the middle of anything, the machine sleeps, its
//! clock is set back, Jobs are cancelled, the queue is paused. None is done twice at once, and none is lost.

#![expect(clippy::unwrap_used, reason = "a test that can not go on ends there")]

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use doce_jobs::{Definition, Jobs, New, Policy, RETENTION, Settings, Step, StepCtx, StepError};
use doce_model::{Job, JobId, JobState, UserId};
use doce_store::job::{Filter, count_live, list};
use tokio::{
    sync::watch,
    task::{AbortHandle, Id, JoinSet},
};

use crate::bench::{Bench, START, code, failure};

/// What everything that is left to chance follows from. What the machine does at the same time doesn't.
const SEED: u64 = 0x000d_0ce4;
const WORKERS: usize = 8;
/// Subjects of each user, and so many Jobs of the kinds that end well, twice.
const SUBJECTS: usize = 330;
/// Users, since one may have only so many Jobs.
const USERS: usize = 3;
/// How many Jobs of each kind that is up to no good.
const BAD: usize = 6;
/// Steps that are begun between two things that go wrong.
const PACE: u64 = 12;
/// How long all of it may take.
const BOUND: Duration = Duration::from_secs(100);

/// Numbers by chance: splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).expect("a small number");
        usize::try_from((z ^ (z >> 31)) % bound).expect("a small number")
    }
}

/// What the steps note.
#[derive(Default)]
struct Notes {
    at_work: HashMap<String, JobId>,
    twice: Vec<String>,
    done: HashMap<JobId, HashSet<&'static str>>,
    undone: HashSet<JobId>,
    slow: Vec<JobId>,
}

#[derive(Clone)]
struct Floor {
    notes: Arc<Mutex<Notes>>,
    begun: watch::Sender<u64>,
    workers: Arc<Mutex<HashMap<Id, AbortHandle>>>,
}

/// A step at work, until it ends or its worker dies.
struct Inside(Floor, String, JobId);

impl Drop for Inside {
    fn drop(&mut self) {
        let mut notes = self.0.notes();
        notes.at_work.remove(&self.1);
        notes.slow.retain(|id| *id != self.2);
    }
}

impl Floor {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().expect("nobody panics here")
    }

    fn enter(&self, step: &StepCtx) -> Inside {
        let (id, subject) = (step.job.id, step.job.subject.clone());
        let mut notes = self.notes();
        if let Some(other) = notes.at_work.insert(subject.clone(), id) {
            notes.twice.push(format!("{subject}: {id} while {other} was at it"));
        }
        drop(notes);
        self.begun.send_modify(|begun| *begun += 1);
        Inside(self.clone(), subject, id)
    }

    /// A step that works for some moments.
    fn works(&self, name: &'static str) -> Step {
        let (floor, undo) = (self.clone(), self.clone());
        Step::new(name, name, move |step| {
            let floor = floor.clone();
            async move {
                let _inside = floor.enter(&step);
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
                floor.notes().done.entry(step.job.id).or_default().insert(name);
                Ok(())
            }
        })
        .undo(move |step| {
            let floor = undo.clone();
            async move {
                let _inside = floor.enter(&step);
                tokio::task::yield_now().await;
                floor.notes().undone.insert(step.job.id);
                Ok(())
            }
        })
        // A worker's death counts as a try.
        .attempts(100)
    }

    /// A step that does `what`.
    fn does<R>(&self, what: impl Fn(Self, StepCtx) -> R + Send + Sync + Clone + 'static) -> Step
    where
        R: Future<Output = Result<(), StepError>> + Send + 'static,
    {
        let floor = self.clone();
        Step::new("two", "two", move |step| {
            let (floor, what) = (floor.clone(), what.clone());
            async move {
                let _inside = floor.enter(&step);
                what(floor, step).await
            }
        })
        .attempts(100)
    }

    fn kinds(&self) -> Vec<Definition> {
        let flaky = self.does(|floor, step| async move {
            tokio::task::yield_now().await;
            let first = floor.notes().done.entry(step.job.id).or_default().insert("two");
            if first { Err(StepError::retry(failure("flaky")).after(Duration::from_secs(9))) } else { Ok(()) }
        });
        let broken = self.does(|_, _| async { Err(StepError::fail(failure("broken"))) });
        let panics = self.does(|_, _| async { panic!("as it should") });
        let kills = self.does(|floor, _| async move {
            let worker = tokio::task::id();
            loop {
                if let Some(worker) = floor.workers.lock().expect("nobody panics here").get(&worker) {
                    worker.abort();
                }
                tokio::task::yield_now().await;
            }
        });
        let slow = self.does(|floor, step| async move {
            floor.notes().slow.push(step.job.id);
            std::future::pending().await
        });
        vec![
            Definition::new("tiny", vec![self.works("one"), self.works("two")]),
            Definition::new("flaky", vec![self.works("one"), flaky]).background(),
            Definition::new("broken", vec![self.works("one"), broken]),
            Definition::new("panics", vec![self.works("one"), panics]),
            Definition::new("kills", vec![self.works("one"), kills]),
            Definition::new("slow", vec![self.works("one"), slow]),
        ]
    }
}

/// The workers of one process.
struct Crew {
    jobs: Jobs,
    floor: Floor,
    tasks: JoinSet<()>,
    living: Vec<AbortHandle>,
}

impl Crew {
    fn hire(&mut self) {
        let jobs = self.jobs.clone();
        let mut look = self.floor.begun.subscribe();
        let worker = self.tasks.spawn(async move {
            loop {
                look.mark_unchanged();
                jobs.drain().await.expect("the database works");
                look.changed().await.expect("the floor stands");
            }
        });
        self.floor.workers.lock().expect("nobody panics here").insert(worker.id(), worker.clone());
        self.living.push(worker);
    }

    /// Buries the dead and hires others. Returns how many there were.
    fn refill(&mut self) -> usize {
        while let Some(ended) = self.tasks.try_join_next() {
            assert!(ended.is_err_and(|e| e.is_cancelled()), "a worker ended that nobody killed");
        }
        let before = self.living.len();
        self.living.retain(|worker| !worker.is_finished());
        let dead = before - self.living.len();
        for _ in 0..dead {
            self.hire();
        }
        dead
    }
}

async fn enqueue(bench: &Bench, users: &[UserId]) -> usize {
    let mut made = 0;
    for (u, user) in users.iter().enumerate() {
        let mut tx = bench.store.write(&bench.ctx()).await.unwrap();
        let mut new = Vec::new();
        for n in 0..SUBJECTS {
            // Two of a subject: one after the other.
            new.extend(["tiny", "flaky"].map(|kind| New::new(kind, format!("{u}-{n}"), *user)));
        }
        if u == 0 {
            for n in 0..BAD {
                let bad = ["broken", "panics", "kills", "slow"];
                new.extend(bad.map(|kind| New::new(kind, format!("{kind}-{n}"), *user)));
            }
        }
        for new in new {
            bench.jobs.enqueue(&mut tx, new.policy(Policy::Coalesce)).await.unwrap();
            made += 1;
        }
        tx.commit().await.unwrap();
    }
    made
}

async fn all(bench: &Bench) -> Vec<Job> {
    let mut read = bench.store.read().await.unwrap();
    let (mut jobs, mut before) = (Vec::new(), None);
    loop {
        let page = list(&mut read, &Filter::default(), before, 500).await.unwrap();
        let Some(last) = page.last() else { return jobs };
        before = Some((last.created_at, last.id));
        jobs.extend(page);
    }
}

/// Some Jobs that nobody has begun.
async fn not_begun(bench: &Bench) -> Vec<JobId> {
    let newest = list(&mut bench.store.read().await.unwrap(), &Filter::default(), None, 100).await.unwrap();
    newest.iter().filter(|job| job.state == JobState::Queued && job.claims == 0).map(|job| job.id).collect()
}

async fn is_over(bench: &Bench, users: &[UserId]) -> bool {
    let mut read = bench.store.read().await.unwrap();
    for user in users {
        if count_live(&mut read, *user).await.unwrap() > 0 {
            return false;
        }
    }
    true
}

/// Looks at how every Job ended, those that somebody cancelled at any time aside.
fn check(notes: &Notes, ended: &[Job], cancelled: &HashSet<JobId>) {
    assert_eq!(notes.twice, [""; 0], "seed {SEED}: done twice at once");
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for job in ended {
        if job.state == JobState::Cancelled && cancelled.contains(&job.id) {
            continue;
        }
        *told.entry(format!("{} {} {}", job.kind, job.state, code(job))).or_default() += 1;
        if job.state == JobState::Succeeded {
            assert_eq!(notes.done[&job.id], HashSet::from(["one", "two"]), "seed {SEED}: {} is half done", job.id);
            assert!(!notes.undone.contains(&job.id), "seed {SEED}: {} was taken back", job.id);
        } else {
            assert!(notes.undone.contains(&job.id), "seed {SEED}: {} was not taken back", job.id);
        }
    }
    let words: Vec<&str> = told.keys().map(String::as_str).collect();
    let expected = [
        "broken failed broken",
        "flaky succeeded ",
        "kills failed poison",
        "panics failed internal",
        "slow cancelled ",
        "tiny succeeded ",
    ];
    assert_eq!(words, expected, "seed {SEED}: {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_a_bad_day_no_job_is_done_twice_at_once_and_none_is_lost() {
    let floor = Floor { notes: Arc::default(), begun: watch::Sender::new(0), workers: Arc::default() };
    let bench = Bench::new(floor.kinds()).await;
    let settings = Settings { cancel_grace: Duration::from_millis(5), ..Settings::default() };
    let jobs = bench.queue(settings, floor.kinds());
    let users: Vec<UserId> = (0..USERS).map(|_| UserId::new(START)).collect();
    let made = enqueue(&bench, &users).await;
    let ids: Vec<JobId> = all(&bench).await.iter().map(|job| job.id).collect();
    assert_eq!(ids.len(), made);

    let mut crew = Crew { jobs: jobs.clone(), floor: floor.clone(), tasks: JoinSet::new(), living: Vec::new() };
    for _ in 0..WORKERS {
        crew.hire();
    }
    let mut chance = Chance(SEED);
    let (mut cancelled, mut stopped, mut deaths) = (HashSet::new(), HashSet::new(), 0);
    let (mut paused, mut held_back) = (None, 0);
    let day = async {
        let mut begun = floor.begun.subscribe();
        while !is_over(&bench, &users).await {
            let enough = *begun.borrow() + PACE;
            // Nothing may be due: then it is time that has to pass.
            let _ = tokio::time::timeout(Duration::from_millis(20), begun.wait_for(|now| *now >= enough)).await;
            deaths += crew.refill();
            if let Some(held) = paused.take() {
                for id in held {
                    assert_eq!(bench.get(id).await.claims, 0, "seed {SEED}: {id} was begun in a pause");
                    held_back += 1;
                }
                bench.end_pause().await;
            }
            match chance.below(8) {
                0..=3 => crew.living[chance.below(WORKERS)].abort(),
                4 => bench.clock.advance(Duration::from_hours(8)),
                5 => bench.clock.set_back(Duration::from_mins(10) * u32::try_from(chance.below(300)).unwrap()),
                6 => {
                    let id = ids[chance.below(ids.len())];
                    cancelled.insert(id);
                    bench.cancel(id).await;
                }
                _ => {
                    bench.pause().await;
                    paused = Some(not_begun(&bench).await);
                }
            }
            let slow = floor.notes().slow.pop();
            if let Some(id) = slow {
                stopped.insert(id);
                bench.cancel(id).await;
            }
            bench.clock.advance(Settings::default().lease);
            jobs.wake();
            floor.begun.send_modify(|_| {});
        }
    };
    tokio::time::timeout(BOUND, day).await.unwrap_or_else(|_| panic!("seed {SEED}: the jobs do not end"));
    crew.tasks.shutdown().await;

    let ended = all(&bench).await;
    assert_eq!(ended.len(), made, "seed {SEED}: a job is lost");
    check(&floor.notes(), &ended, &cancelled);
    assert!(deaths > 50, "seed {SEED}: only {deaths} workers died");
    assert!(held_back > 0, "seed {SEED}: no pause held anything back");
    assert!(!stopped.is_empty(), "seed {SEED}: no job was cancelled while it ran");

    // Some ended on days that are yet to come.
    bench.clock.advance(RETENTION + Duration::from_hours(24 * 3650));
    assert_eq!(bench.jobs.prune(RETENTION).await.unwrap(), u64::try_from(made).unwrap());
    assert!(all(&bench).await.is_empty(), "seed {SEED}: a job is kept for ever");
}
