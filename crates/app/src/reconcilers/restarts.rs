//! Agents that ended by themselves are started again, a few times.
//!
//! What is wanted is in the Project's row, what happened in its last Job and its last Instance: the count of starts is
//! in the Job that starts, so it outlives this server, and any start that a person asks for begins a new count. After
//! [`MOST_STARTS`] in a row one more Job says why there are no more of them, and that is what the page shows.
//! Only the Agent is started. Nothing is ever prompted from here.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use doce_jobs::{Backoff, New, StepCtx, StepError};
use doce_model::{
    Actor, AuditAction, AuditEvent, Desired, Failure, Instance, Job, JobState, LogLevel, Ms, NextMove, Project,
    ProjectId,
};
use doce_store::{Read, conversation, instance, job, project};

use crate::{
    App, Error, agents, chain,
    jobs::{self, start_project},
    projects::enqueue_error,
    retry::until_done,
};

/// How often an Agent is started again in a row.
pub(crate) const MOST_STARTS: u32 = 5;
/// An Agent that lived for so long was well: its end begins a new count.
pub(crate) const WELL_AFTER: Duration = Duration::from_mins(10);
/// An end that nobody did anything about for so long is history: what was left so by an earlier doce, or before a night
/// without power, is started when somebody wants it.
const HISTORY_AFTER: Duration = Duration::from_hours(1);
/// How long to wait before it is started again.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(2), max: Duration::from_mins(1) };
/// Most characters of a reason that are kept.
const REASON_MAX: usize = 400;

/// Looks at every Project that is to run, once, at a start.
pub(crate) async fn look_at_all(app: &App) {
    let wanted = async || Ok::<_, Error>(project::list_desired(&mut app.store.read().await?, Desired::Running).await?);
    for id in until_done(app, "the projects that are to run were not looked at", wanted).await.unwrap_or_default() {
        look(app, id).await;
    }
}

/// Starts a Project's Agent again if it ended by itself and is wanted: at once, or as soon as the database takes it.
/// Harmless to call at any time.
pub(crate) async fn look(app: &App, id: ProjectId) {
    let Err(e) = start_again(app, id).await else { return };
    tracing::error!(project = %id, error = chain(&e), "an agent that ended was not looked at");
    let app = app.clone();
    app.clone().tasks.spawn(async move {
        until_done(&app, "an agent that ended was not looked at", || start_again(&app, id)).await;
    });
}

async fn start_again(app: &App, id: ProjectId) -> Result<(), Error> {
    if app.stopping.is_cancelled() || app.agents.find(id).is_some() {
        return Ok(());
    }
    // Most looks find nothing to do; those take no turn at writing.
    if next(&mut app.store.read().await?, id, app.clock.now()).await?.is_none() {
        return Ok(());
    }
    let ctx = app.ctx(Actor::Reconciler("restarts"), &id.to_string());
    let mut tx = app.store.write(&ctx).await?;
    let now = tx.now();
    let Some((project, restart)) = next(&mut tx, id, now).await? else { return Ok(()) };
    let gives_up = restart.number > MOST_STARTS;
    let wait = if gives_up { Duration::ZERO } else { wait(id, now, restart.number) };
    let new = New::new(start_project::KIND, jobs::project_subject(id), project.user_id)
        .project(id)
        .payload(&start_project::Payload { restart: Some(restart.clone()) })
        .run_at(now.plus(wait));
    let enqueued = app.jobs.enqueue(&mut tx, new).await.map_err(enqueue_error)?;
    if !gives_up {
        let detail = format!("start {} of {MOST_STARTS}: {}", restart.number, restart.because);
        tx.audit(AuditEvent::ok(AuditAction::StartProject, &id).of(project.user_id).detail(detail)).await?;
    }
    tx.commit().await?;
    app.jobs.changed(enqueued.changed());
    tracing::warn!(project = %id, start = restart.number, because = restart.because, gives_up, "an agent ended by itself");
    Ok(())
}

/// Returns which start is next for a Project whose Agent ended by itself. `None` if it didn't, or something else is
/// about to happen in the Project.
async fn next(
    read: &mut impl Read,
    id: ProjectId,
    now: Ms,
) -> Result<Option<(Project, start_project::Restart)>, Error> {
    let Some(project) = project::find(read, id).await?.filter(|project| project.desired == Desired::Running) else {
        return Ok(None);
    };
    let Some(session) = conversation::find_session(read, id).await? else { return Ok(None) };
    if instance::find_live(read, id).await?.is_some() {
        return Ok(None);
    }
    // A Prompt on its way brings its Agent itself; this is looked at again when its Job has ended.
    for subject in [jobs::project_subject(id), jobs::session_subject(session.id)] {
        if !job::live_for_subject(read, &subject).await?.is_empty() {
            return Ok(None);
        }
    }
    let Some(last) = job::present(read, &[jobs::project_subject(id)].into()).await?.pop() else { return Ok(None) };
    let instance = instance::find_last(read, id).await?;
    Ok(restart_after(&last, instance.as_ref(), now).map(|restart| (project, restart)))
}

/// Says which start follows what happened last. `None` if nothing is to be done about it by itself.
fn restart_after(last: &Job, instance: Option<&Instance>, now: Ms) -> Option<start_project::Restart> {
    let before = restart_of(last).map_or(0, |restart| restart.number);
    let (number, because) = match last.state {
        // Its start went well, and it ended later.
        JobState::Succeeded => {
            let instance = instance?;
            let (ending, ended_at) = (instance.ending.as_deref()?, instance.ended_at?);
            if agents::is_ours(ending) || now.since(ended_at) >= HISTORY_AFTER {
                return None;
            }
            let was_well = ended_at.since(instance.created_at) >= WELL_AFTER;
            (if was_well { 1 } else { before + 1 }, format!("The agent {ending}. Its log may say why."))
        }
        // A start that a person asked for and that failed is theirs to repeat; only our own are.
        JobState::Failed if before > 0 => {
            let failure = last.failure.as_ref().filter(|failure| ended_by_itself(failure))?;
            (before + 1, failure.message.clone())
        }
        JobState::Failed | JobState::Stuck | JobState::Cancelled | JobState::Queued | JobState::Running => return None,
    };
    Some(start_project::Restart { number, because: because.chars().take(REASON_MAX).collect() })
}

/// Tells whether a start failed in a way that another may not.
fn ended_by_itself(failure: &Failure) -> bool {
    ["agent_exited", "agent_silent", "agent_not_started"].contains(&failure.code.as_str())
}

/// Reads which start in a row a Job is. One that a person had repeated is theirs.
fn restart_of(job: &Job) -> Option<start_project::Restart> {
    if job.kind != start_project::KIND || job.retry_of.is_some() {
        return None;
    }
    serde_json::from_str::<start_project::Payload>(&job.payload).ok()?.restart
}

/// Notes why a Job starts an Agent again; fails the one that comes after [`MOST_STARTS`] of them, with the reason of the
/// last.
pub(crate) fn note_or_give_up(step: &StepCtx) -> Result<(), StepError> {
    match restart_of(&step.job) {
        Some(restart) if restart.number > MOST_STARTS => Err(StepError::fail(Failure::new(
            "agent_gave_up",
            format!("Gave up after {MOST_STARTS} starts. {}", restart.because),
            NextMove::Start,
        ))),
        Some(restart) => {
            step.log(
                LogLevel::Warn,
                format!("Start {} of {MOST_STARTS} in a row. {}", restart.number, restart.because),
            );
            Ok(())
        }
        None => Ok(()),
    }
}

/// How long to wait before a start: between half and all of a time that doubles, so that many that ended together
/// don't come back together.
fn wait(id: ProjectId, now: Ms, number: u32) -> Duration {
    let mut hasher = DefaultHasher::new();
    (id, now.0).hash(&mut hasher);
    let ceiling = BACKOFF.ceiling(number);
    let half = u64::try_from(ceiling.as_millis() / 2).unwrap_or(u64::MAX);
    ceiling / 2 + Duration::from_millis(hasher.finish() % half.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use doce_model::{Direction, InstanceId, JobId, Observed, UserId};

    use super::*;

    fn a_job(state: JobState, payload: &str, failure: Option<&str>) -> Job {
        Job {
            id: JobId::new(Ms(1)),
            kind: start_project::KIND.to_owned(),
            subject: "project:x".to_owned(),
            user_id: UserId::new(Ms(1)),
            project_id: Some(ProjectId::new(Ms(1))),
            payload: payload.to_owned(),
            state,
            direction: Direction::Forward,
            after: None,
            retry_of: None,
            run_at: Ms(1),
            claims: 1,
            crashes: 0,
            cancel_requested_at: None,
            failure: failure.map(|code| Failure::new(code, "It failed.", NextMove::Retry)),
            created_at: Ms(1),
            started_at: None,
            finished_at: None,
            steps: Vec::new(),
        }
    }

    fn an_instance(ending: &str, lived: Duration) -> Instance {
        Instance {
            id: InstanceId::new(Ms(1)),
            project_id: ProjectId::new(Ms(1)),
            observed: Observed::Exited,
            pid: None,
            pid_started: None,
            boot_id: None,
            port: None,
            password_sealed: None,
            created_at: Ms(1000),
            ended_at: Some(Ms(1000).plus(lived)),
            ending: Some(ending.to_owned()),
        }
    }

    /// A little after the ends.
    const NOW: Ms = Ms(1_000_000);
    const THIRD: &str = r#"{"restart":{"number":3,"because":"The agent ended."}}"#;

    fn number_after(last: &Job, instance: &Instance) -> Option<u32> {
        restart_after(last, Some(instance), NOW).map(|restart| restart.number)
    }

    #[test]
    fn each_end_soon_after_a_start_counts_and_a_person_or_a_long_life_begins_anew() {
        let soon = an_instance("exited with code 1", Duration::from_mins(1));
        let late = an_instance("exited with code 1", WELL_AFTER);
        assert_eq!(number_after(&a_job(JobState::Succeeded, "{}", None), &soon), Some(1));
        assert_eq!(number_after(&a_job(JobState::Succeeded, THIRD, None), &soon), Some(4));
        assert_eq!(number_after(&a_job(JobState::Succeeded, THIRD, None), &late), Some(1));
        let repeated = Job { retry_of: Some(JobId::new(Ms(2))), ..a_job(JobState::Succeeded, THIRD, None) };
        assert_eq!(number_after(&repeated, &soon), Some(1), "a person had it repeated");
    }

    #[test]
    fn a_failed_start_is_followed_by_another_only_where_that_may_help() {
        let soon = an_instance("did not start", Duration::ZERO);
        assert_eq!(number_after(&a_job(JobState::Failed, THIRD, Some("agent_silent")), &soon), Some(4));
        assert_eq!(number_after(&a_job(JobState::Failed, THIRD, Some("sandbox_unavailable")), &soon), None);
        assert_eq!(number_after(&a_job(JobState::Failed, THIRD, Some("agent_gave_up")), &soon), None);
        assert_eq!(number_after(&a_job(JobState::Failed, "{}", Some("agent_silent")), &soon), None, "a person's");
        assert_eq!(number_after(&a_job(JobState::Cancelled, THIRD, None), &soon), None);
    }

    #[test]
    fn an_agent_that_doce_ended_is_left_alone() {
        for ending in ["stopped", "did not start"] {
            let ours = an_instance(ending, Duration::from_mins(1));
            assert_eq!(number_after(&a_job(JobState::Succeeded, "{}", None), &ours), None, "{ending}");
        }
    }

    #[test]
    fn an_end_of_long_ago_is_history() {
        let soon = an_instance("exited with code 1", Duration::from_mins(1));
        let last = a_job(JobState::Succeeded, "{}", None);
        let ended = soon.ended_at.expect("it has");
        let restarts = |after| restart_after(&last, Some(&soon), ended.plus(after)).is_some();
        assert!(restarts(HISTORY_AFTER / 2) && !restarts(HISTORY_AFTER));
    }

    #[test]
    fn the_wait_doubles_and_keeps_half_of_it_at_least() {
        for (number, ceiling) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (9, 60)] {
            let waited = wait(ProjectId::new(Ms(1)), Ms(7), number);
            let ceiling = Duration::from_secs(ceiling);
            assert!(waited >= ceiling / 2 && waited <= ceiling, "{number}: {waited:?}");
        }
    }
}
