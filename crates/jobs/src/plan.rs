//! Which move comes next: a pure function of what is recorded.

use doce_model::{Direction, Job, StepState};

/// The next move of a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Do the step at this index.
    Do(usize),
    /// Take back the step at this index.
    Undo(usize),
    /// Every step is done.
    Succeed,
    /// Everything is taken back.
    Unwound,
}

/// Returns the next move. `undoable` tells of a step's name whether there is something to call.
///
/// Every step that was ever begun is undone, the one that failed and one that a crash cut off included: each may have
/// done half of its work.
pub(crate) fn next(job: &Job, undoable: impl Fn(&str) -> bool) -> Next {
    match job.direction {
        Direction::Forward => {
            job.steps.iter().position(|step| step.state != StepState::Succeeded).map_or(Next::Succeed, Next::Do)
        }
        Direction::Undo => job
            .steps
            .iter()
            .rposition(|step| step.attempts > 0 && step.undone_at.is_none() && undoable(&step.name))
            .map_or(Next::Unwound, Next::Undo),
    }
}

#[cfg(test)]
mod tests {
    use doce_model::{JobId, JobState, JobStep, Ms, UserId};

    use super::*;

    fn job(direction: Direction, steps: &[(StepState, i64, bool)]) -> Job {
        Job {
            id: JobId::new(Ms(1)),
            kind: "toy".to_owned(),
            subject: "s".to_owned(),
            user_id: UserId::new(Ms(1)),
            project_id: None,
            payload: "{}".to_owned(),
            state: JobState::Running,
            direction,
            after: None,
            retry_of: None,
            run_at: Ms(1),
            claims: 1,
            crashes: 0,
            cancel_requested_at: None,
            failure: None,
            created_at: Ms(1),
            started_at: Some(Ms(1)),
            finished_at: None,
            steps: steps
                .iter()
                .enumerate()
                .map(|(n, (state, attempts, undone))| JobStep {
                    position: i64::try_from(n).expect("few steps"),
                    name: format!("s{n}"),
                    label: String::new(),
                    state: *state,
                    attempts: *attempts,
                    undo_attempts: 0,
                    started_at: None,
                    ended_at: None,
                    undone_at: undone.then_some(Ms(1)),
                    detail: None,
                })
                .collect(),
        }
    }

    use StepState::{Failed, Pending, Running, Succeeded, Undone};

    #[test]
    fn forward_goes_to_the_first_step_that_is_not_done() {
        let go = |steps: &[_]| next(&job(Direction::Forward, steps), |_| true);
        assert_eq!(go(&[(Pending, 0, false), (Pending, 0, false)]), Next::Do(0));
        assert_eq!(go(&[(Succeeded, 1, false), (Running, 1, false)]), Next::Do(1));
        assert_eq!(go(&[(Succeeded, 1, false), (Succeeded, 2, false)]), Next::Succeed);
        assert_eq!(go(&[]), Next::Succeed);
    }

    #[test]
    fn undo_goes_back_through_every_step_that_was_begun() {
        let back = |steps: &[_]| next(&job(Direction::Undo, steps), |name| name != "s1");
        assert_eq!(back(&[(Succeeded, 1, false), (Succeeded, 1, false), (Failed, 3, false)]), Next::Undo(2));
        assert_eq!(back(&[(Succeeded, 1, false), (Succeeded, 1, false), (Failed, 3, true)]), Next::Undo(0));
        assert_eq!(back(&[(Succeeded, 1, false), (Running, 1, false), (Pending, 0, false)]), Next::Undo(0));
        assert_eq!(back(&[(Running, 1, false), (Pending, 0, false)]), Next::Undo(0));
        assert_eq!(back(&[(Undone, 1, true), (Succeeded, 1, false)]), Next::Unwound);
        assert_eq!(back(&[(Pending, 0, false)]), Next::Unwound);
    }
}
