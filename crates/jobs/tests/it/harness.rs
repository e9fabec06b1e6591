//! The harness itself: a good Job passes, and each kind of bad one is caught.

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use doce_jobs::{
    Definition, Jobs, Step, StepResult,
    harness::{
        World, every_step_cancelled_unwinds, every_step_failed_unwinds, every_step_repeated_succeeds,
        every_undo_repeated_unwinds, killed_after_every_step_resumes, killed_after_every_undo_unwinds,
    },
};
use doce_model::JobId;
use futures::FutureExt as _;

use crate::bench::Bench;

/// What the toy's steps change: things, and how many there are of each.
#[derive(Clone, Default)]
struct Things(Arc<Mutex<BTreeMap<&'static str, i32>>>);

impl Things {
    fn count(&self, name: &'static str) -> i32 {
        self.0.lock().expect("nobody panics here").get(name).copied().unwrap_or(0)
    }

    fn add(&self, name: &'static str, by: i32) {
        *self.0.lock().expect("nobody panics here").entry(name).or_default() += by;
    }

    /// A step that makes a thing, waits in the middle, and may look whether it is there already.
    fn makes(&self, name: &'static str, looks: bool, undo_looks: bool) -> Step {
        let (things, undo) = (self.clone(), self.clone());
        Step::new(name, name, move |_| {
            let things = things.clone();
            async move {
                tokio::task::yield_now().await;
                if !looks || things.count(name) == 0 {
                    things.add(name, 1);
                }
                tokio::task::yield_now().await;
                StepResult::Ok(())
            }
        })
        .undo(move |_| {
            let things = undo.clone();
            async move {
                if !undo_looks || things.count(name) > 0 {
                    things.add(name, -1);
                }
                Ok(())
            }
        })
    }
}

struct Toy<const FLAW: u8> {
    bench: Bench,
    things: Things,
}

const GOOD: u8 = 0;
const NOT_REPEATABLE: u8 = 1;
const UNDO_NOT_REPEATABLE: u8 = 2;
const NO_UNDO: u8 = 3;
const FORGETFUL: u8 = 4;

impl<const FLAW: u8> World for Toy<FLAW> {
    async fn fresh() -> Self {
        let things = Things::default();
        let first = things.makes("first", true, true);
        let second = things.makes("second", FLAW != NOT_REPEATABLE, FLAW != UNDO_NOT_REPEATABLE);
        let noted = things.clone();
        let third = Step::new("third", "third", move |step| {
            let things = noted.clone();
            async move {
                // A job that keeps in memory that it was here, and does not do it again.
                let been = FLAW == FORGETFUL && things.count("been") > 0;
                things.add("been", 1);
                if !been {
                    tokio::task::yield_now().await;
                    if things.count("third") == 0 {
                        things.add("third", 1);
                    }
                }
                step.detail("done");
                Ok(())
            }
        });
        let noted = things.clone();
        let third = if FLAW == NO_UNDO {
            third
        } else {
            third.undo(move |_| {
                let things = noted.clone();
                async move {
                    things.add("third", -things.count("third"));
                    Ok(())
                }
            })
        };
        let bench = Bench::new(vec![Definition::new("toy", vec![first, second, third])]).await;
        Self { bench, things }
    }

    fn jobs(&self) -> Jobs {
        self.bench.jobs.clone()
    }

    async fn enqueue(&self) -> JobId {
        self.bench.enqueue(self.bench.job("toy", "s")).await.id
    }

    fn advance(&self, by: Duration) {
        self.bench.clock.advance(by);
    }

    async fn assert_done(&self) {
        for name in ["first", "second", "third"] {
            assert_eq!(self.things.count(name), 1, "{name}");
        }
    }

    async fn assert_unwound(&self) {
        for name in ["first", "second", "third"] {
            assert_eq!(self.things.count(name), 0, "{name}");
        }
    }
}

/// Tells whether a test of the harness objects.
async fn objects(test: impl Future<Output = ()>) -> bool {
    AssertUnwindSafe(test).catch_unwind().await.is_err()
}

#[tokio::test]
async fn a_good_job_passes_every_step_repeated() {
    every_step_repeated_succeeds::<Toy<GOOD>>().await;
}

#[tokio::test]
async fn a_good_job_passes_every_step_failed() {
    every_step_failed_unwinds::<Toy<GOOD>>().await;
}

#[tokio::test]
async fn a_good_job_passes_every_undo_repeated() {
    every_undo_repeated_unwinds::<Toy<GOOD>>().await;
}

#[tokio::test]
async fn a_good_job_passes_killed_after_every_step() {
    killed_after_every_step_resumes::<Toy<GOOD>>().await;
}

#[tokio::test]
async fn a_good_job_passes_killed_after_every_undo() {
    killed_after_every_undo_unwinds::<Toy<GOOD>>().await;
}

#[tokio::test]
async fn a_good_job_passes_every_step_cancelled() {
    every_step_cancelled_unwinds::<Toy<GOOD>>().await;
}

#[tokio::test]
async fn a_step_that_can_not_be_repeated_is_caught() {
    assert!(objects(every_step_repeated_succeeds::<Toy<NOT_REPEATABLE>>()).await);
    assert!(objects(killed_after_every_step_resumes::<Toy<NOT_REPEATABLE>>()).await);
}

#[tokio::test]
async fn an_undo_that_can_not_be_repeated_is_caught() {
    assert!(objects(every_undo_repeated_unwinds::<Toy<UNDO_NOT_REPEATABLE>>()).await);
    assert!(objects(killed_after_every_undo_unwinds::<Toy<UNDO_NOT_REPEATABLE>>()).await);
}

#[tokio::test]
async fn a_step_that_is_not_undone_is_caught() {
    assert!(objects(every_step_failed_unwinds::<Toy<NO_UNDO>>()).await);
    assert!(objects(every_step_cancelled_unwinds::<Toy<NO_UNDO>>()).await);
}

#[tokio::test]
async fn a_step_that_a_kill_inside_leaves_half_done_is_caught() {
    every_step_repeated_succeeds::<Toy<FORGETFUL>>().await;
    assert!(objects(killed_after_every_step_resumes::<Toy<FORGETFUL>>()).await);
}
