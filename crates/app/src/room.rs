//! Room for Agents: how many run at a time, who waits for a place, and which ones are stopped because nobody needs them.
//!
//! An Agent takes up to 0.8 GB (OpenCode 1.18.33, observed), so a machine holds a few. A Job that would start one more
//! waits, without a worker, and its message says its place in the queue; the next place goes to whoever has the fewest
//! Agents, and among those to the one who asked first. An Agent that rests, while no page shows its Project, is stopped
//! after [`AgentLimits::idle_stop`], or sooner if somebody waits for its place. Nothing of a Project is lost thereby.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use camino::Utf8Path;
use doce_jobs::{New, Policy, StepCtx, StepError};
use doce_model::{
    Actor, AuditAction, AuditEvent, Desired, Failure, Job, JobId, Ms, NextMove, Project, ProjectId, UserId,
};
use doce_store::{job, project};
use tokio::sync::Notify;

use crate::{
    App, Error,
    agents::Agent,
    chain,
    jobs::{self, step_error, stop_project},
    projects::enqueue_error,
    system::AgentRoom,
};

/// What an Agent takes when it has worked for a while.
const AGENT_MEMORY: u64 = 800 << 20;
/// What is left to everything else on the machine.
const OTHERS_MEMORY: u64 = 1 << 30;
/// How often memory is looked at while somebody waits for it: the system can't tell when there is more.
const MEMORY_EVERY: Duration = Duration::from_secs(10);
/// How long an Agent rests before it is stopped for somebody who waits.
const IDLE_STOP_WHEN_WANTED: Duration = Duration::from_mins(1);
/// How long an Agent may answer nothing before it is ended: longer than any pause of a machine that is short of memory.
const UNANSWERED_MAX: Duration = Duration::from_mins(2);
/// The longest sleep: a machine that was suspended is noticed after that.
const MAX_SLEEP: Duration = Duration::from_mins(1);

/// How many Agents run, and how long.
#[derive(Debug, Clone, Copy)]
pub struct AgentLimits {
    /// Most Agents at a time. `None` is as many as the memory holds.
    pub most: Option<usize>,
    /// How long an Agent rests before it is stopped. `None` is for ever.
    pub idle_stop: Option<Duration>,
    /// How long an Agent may say nothing, not even a heartbeat, before its events are asked for anew.
    pub silence: Duration,
    /// How long an Agent may answer nothing before it is ended.
    pub unanswered: Duration,
}

impl Default for AgentLimits {
    fn default() -> Self {
        Self {
            most: None,
            idle_stop: Some(Duration::from_mins(15)),
            silence: doce_opencode::SILENCE_LIMIT,
            unanswered: UNANSWERED_MAX,
        }
    }
}

/// Who has a place, and who looks on.
#[derive(Debug, Default)]
pub(crate) struct Room {
    state: Mutex<State>,
    /// Rung when there may be a place more, or somebody more who wants one.
    changed: Notify,
    /// Rung when an Agent began to rest, or a page was closed.
    rested: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Jobs that start an Agent at this moment, or were told that they may.
    starting: BTreeMap<JobId, UserId>,
    /// Pages that show a Project.
    pages: HashMap<ProjectId, usize>,
    somebody_waits: bool,
}

/// A place that is taken until the Agent is registered, or its start failed.
pub(crate) struct Place<'a> {
    room: &'a Room,
    job: JobId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.room.lock().starting.remove(&self.job);
        self.room.changed.notify_one();
    }
}

/// Says that a page shows some Projects, as long as it is held.
pub struct Watching {
    app: App,
    projects: Vec<ProjectId>,
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching").field("projects", &self.projects).finish_non_exhaustive()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        {
            let mut state = self.app.room.lock();
            for id in &self.projects {
                if let Some(pages) = state.pages.get_mut(id) {
                    *pages -= 1;
                    if *pages == 0 {
                        state.pages.remove(id);
                    }
                }
            }
        }
        let now = self.app.clock.now();
        self.projects.iter().filter_map(|id| self.app.agents.find(*id)).for_each(|agent| agent.used(now));
        self.app.room.rested.notify_one();
    }
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that an Agent ended, or that somebody waits.
    pub(crate) fn look(&self) {
        self.changed.notify_one();
    }

    /// Takes a Job out that ended, perhaps without starting the Agent that it was to start.
    pub(crate) fn forget(&self, job: JobId) {
        let mut state = self.lock();
        let had_place = state.starting.remove(&job).is_some();
        if had_place || state.somebody_waits {
            drop(state);
            self.look();
        }
    }

    /// Says that an Agent began to rest.
    pub(crate) fn rests(&self) {
        self.rested.notify_one();
    }
}

impl App {
    /// Notes that a page shows these Projects, until what is returned is dropped.
    pub fn watching(&self, projects: impl IntoIterator<Item = ProjectId>) -> Watching {
        let projects: Vec<ProjectId> = projects.into_iter().collect();
        let mut state = self.room.lock();
        for id in &projects {
            *state.pages.entry(*id).or_default() += 1;
        }
        drop(state);
        Watching { app: self.clone(), projects }
    }
}

/// Takes the place of an Agent for a Job that is about to start one; makes the Job wait if there is none.
pub(crate) async fn take<'a>(app: &'a App, step: &StepCtx, project: &Project) -> Result<Place<'a>, StepError> {
    let id = step.job.id;
    let waiting = waiting(app).await.map_err(step_error)?;
    let mut state = app.room.lock();
    let was_told = state.starting.contains_key(&id);
    // Who comes later doesn't go before those who wait.
    if was_told || (waiting.is_empty() && free(app, &state) > 0) {
        state.starting.insert(id, project.user_id);
        return Ok(Place { room: &app.room, job: id });
    }
    drop(state);
    Err(StepError::wait(no_room(app, waiting.len() + 1)))
}

/// Says what somebody waits for who is at this place of the queue.
fn no_room(app: &App, place: usize) -> Failure {
    let running = app.agents.all().len();
    let agents = if running == 1 { "1 agent runs".to_owned() } else { format!("{running} agents run") };
    let most = match app.config.agents.most {
        Some(_) => "the most that may run at a time",
        None => "as many as this machine has memory for",
    };
    Failure::new(
        "no_room",
        format!("Number {place} in the queue: {agents}, {most}. This starts when one of them stops."),
        NextMove::None,
    )
}

/// Tells whether it is a place that a Job waits for.
pub(crate) fn is_no_room(waits_for: &Failure) -> bool {
    waits_for.code == "no_room"
}

/// Lists the Jobs that wait for a place, who asked first before the others.
async fn waiting(app: &App) -> Result<Vec<Job>, Error> {
    let mut waiting = job::waiting(&mut app.store.read().await?, None).await?;
    waiting.retain(|job| job.waits_for().is_some_and(is_no_room));
    Ok(waiting)
}

/// Counts the places that nobody has.
fn free(app: &App, state: &State) -> usize {
    let running = app.agents.all();
    let starting = state.starting.len();
    let taken = running.len() + starting;
    match app.config.agents.most {
        Some(most) => most.saturating_sub(taken),
        None => places(memory(), running.len(), starting),
    }
}

/// Counts the places that the memory has, total and available, beside Agents that run and that start.
fn places(memory: Option<(u64, u64)>, running: usize, starting: usize) -> usize {
    let taken = running + starting;
    // One always may: a machine that is too small for it says so itself.
    if taken == 0 {
        return 1;
    }
    let Some((total, available)) = memory else { return 1 };
    let fit = |bytes: u64| usize::try_from(bytes / AGENT_MEMORY).unwrap_or(usize::MAX);
    let in_all = fit(total.saturating_sub(OTHERS_MEMORY)).max(1).saturating_sub(taken);
    // Those that start have not taken yet what they will.
    in_all.min(fit(available.saturating_sub(OTHERS_MEMORY / 4)).saturating_sub(starting))
}

/// Counts the places that are taken, and who waits for one.
pub(crate) async fn agent_room(app: &App) -> Result<AgentRoom, Error> {
    let waiting = waiting(app).await?.len();
    let memory = memory();
    Ok(AgentRoom {
        running: app.agents.all().len(),
        starting: app.room.lock().starting.len(),
        waiting,
        most: app.config.agents.most,
        memory_total: memory.map(|(total, _)| total),
        memory_available: memory.map(|(_, available)| available),
    })
}

/// Reads how much memory there is, and how much of it may be had, in bytes: the machine's, or what a control group
/// leaves of it.
fn memory() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let value = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let memberships = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = (value("MemTotal")?, value("MemAvailable")?);
    Some(within_groups(machine, &memberships, &|path| std::fs::read_to_string(path).ok()))
}

/// Takes the least of what the machine has and what the control groups allow that this process is in.
fn within_groups(machine: (u64, u64), memberships: &str, read: &dyn Fn(&Utf8Path) -> Option<String>) -> (u64, u64) {
    let (mut total, mut available) = machine;
    for membership in memberships.lines() {
        let mut fields = membership.splitn(3, ':').skip(1);
        let (Some(controllers), Some(own)) = (fields.next(), fields.next()) else { continue };
        let (mount, limit, usage, reclaimable) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
        } else if controllers.split(',').any(|name| name == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        } else {
            continue;
        };
        let mount = Utf8Path::new(mount);
        let own = mount.join(own.trim_start_matches('/'));
        // In a container the membership may name a path of the host: there the mount itself is the own group.
        for group in own.ancestors().take_while(|group| group.starts_with(mount)) {
            let number = |file: &str| read(&group.join(file))?.trim().parse::<u64>().ok();
            // `max` of version 2 is no number, and that of version 1 more than any machine has.
            let Some(most) = number(limit) else { continue };
            let stat = read(&group.join("memory.stat")).unwrap_or_default();
            let files = stat.lines().find_map(|line| line.strip_prefix(reclaimable)?.trim().parse::<u64>().ok());
            // Files that nobody uses give way, as they do in what the machine calls available.
            let used = number(usage).unwrap_or(0).saturating_sub(files.unwrap_or(0));
            total = total.min(most);
            available = available.min(most.saturating_sub(used));
        }
    }
    (total, available)
}

/// Gives places to those who wait, as they become free. Returns when the server stops.
pub(crate) async fn give(app: &App) {
    loop {
        let somebody_waits = match fill(app).await {
            Ok(somebody_waits) => somebody_waits,
            Err(e) => {
                tracing::error!(error = chain(&e), "those who wait for a place were not looked at");
                true
            }
        };
        let look_again = async {
            if somebody_waits && app.config.agents.most.is_none() {
                tokio::time::sleep(MEMORY_EVERY).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = app.room.changed.notified() => {}
            () = look_again => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// Lets as many go on as there are places, and tells the others where they stand. Returns whether somebody still waits.
async fn fill(app: &App) -> Result<bool, Error> {
    let waiting = waiting(app).await?;
    let mut queue = in_turn(app, waiting);
    let granted: BTreeSet<JobId> = {
        let mut state = app.room.lock();
        let free = free(app, &state).min(queue.len());
        let granted: Vec<Job> = queue.drain(..free).collect();
        for job in &granted {
            state.starting.insert(job.id, job.user_id);
        }
        if state.somebody_waits == queue.is_empty() {
            state.somebody_waits = !queue.is_empty();
            app.room.rested.notify_one();
        }
        granted.iter().map(|job| job.id).collect()
    };
    let mut changed = Vec::new();
    let ctx = app.ctx(Actor::Reconciler("room"), "room");
    let told: Vec<(JobId, Failure)> = queue
        .iter()
        .enumerate()
        .map(|(index, job)| (job, no_room(app, index + 1)))
        .filter(|(job, failure)| job.waits_for().is_none_or(|said| said.message != failure.message))
        .map(|(job, failure)| (job.id, failure))
        .collect();
    if !granted.is_empty() || !told.is_empty() {
        let mut tx = app.store.write(&ctx).await?;
        for id in &granted {
            if app.jobs.resume(&mut tx, *id).await? {
                changed.push(*id);
            } else {
                // Cancelled in this very moment.
                app.room.lock().starting.remove(id);
            }
        }
        for (id, failure) in &told {
            job::wait_for_other(&mut tx, *id, failure).await?;
            changed.push(*id);
        }
        tx.commit().await?;
        app.jobs.changed(changed);
    }
    Ok(!queue.is_empty())
}

/// Puts those who wait in the order in which they are served: by the Agents that they would have then, and among those
/// by who asked first.
fn in_turn(app: &App, waiting: Vec<Job>) -> Vec<Job> {
    let mut have: HashMap<UserId, usize> = HashMap::new();
    for agent in app.agents.all() {
        *have.entry(agent.user_id).or_default() += 1;
    }
    for user in app.room.lock().starting.values() {
        *have.entry(*user).or_default() += 1;
    }
    let mut queue: Vec<(usize, usize, Job)> = Vec::new();
    for (asked, job) in waiting.into_iter().enumerate() {
        let would_have = have.entry(job.user_id).or_default();
        *would_have += 1;
        queue.push((*would_have, asked, job));
    }
    queue.sort_by_key(|(would_have, asked, _)| (*would_have, *asked));
    queue.into_iter().map(|(_, _, job)| job).collect()
}

/// Stops Agents that nobody needs. Returns when the server stops.
pub(crate) async fn stop_idle(app: &App) {
    loop {
        let next = match stop_those(app).await {
            Ok(next) => next,
            Err(e) => {
                tracing::error!(error = chain(&e), "agents that rest could not be stopped");
                Some(MAX_SLEEP)
            }
        };
        let due = async {
            match next {
                Some(sleep) => tokio::time::sleep(sleep.min(MAX_SLEEP)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = app.room.rested.notified() => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// Stops the Agents that have rested for long enough. Returns when the next one has, if it goes on resting.
async fn stop_those(app: &App) -> Result<Option<Duration>, Error> {
    let wanted = app.room.lock().somebody_waits;
    let Some(idle_stop) = (match app.config.agents.idle_stop {
        Some(idle_stop) if wanted => Some(idle_stop.min(IDLE_STOP_WHEN_WANTED)),
        None if wanted => Some(IDLE_STOP_WHEN_WANTED),
        other => other,
    }) else {
        return Ok(None);
    };
    let now = app.clock.now();
    let mut next: Option<Duration> = None;
    let mut resting: Vec<(Ms, std::sync::Arc<Agent>)> = app
        .agents
        .all()
        .into_iter()
        .filter(|agent| agent.is_at_rest() && !app.room.lock().pages.contains_key(&agent.project_id))
        .map(|agent| (agent.last_used(), agent))
        .collect();
    resting.sort_by_key(|(since, _)| *since);
    for (since, agent) in resting {
        let rested = now.since(since);
        if rested < idle_stop {
            let left = idle_stop.saturating_sub(rested);
            next = Some(next.map_or(left, |next| next.min(left)));
            continue;
        }
        if !stop(app, &agent).await? {
            // Something is about to happen with it, so it doesn't keep the others from making room.
            next = Some(next.map_or(MAX_SLEEP, |next| next.min(MAX_SLEEP)));
        } else if wanted {
            // One after the other: the next look is when its place is given away.
            break;
        }
    }
    Ok(next)
}

/// Enqueues the stop of an Agent that rests, unless something is about to happen in its Project. Returns whether it did.
async fn stop(app: &App, agent: &Agent) -> Result<bool, Error> {
    let id = agent.project_id;
    let ctx = app.ctx(Actor::Reconciler("room"), &id.to_string());
    let mut tx = app.store.write(&ctx).await?;
    let Some(mut project) = project::find(&mut tx, id).await? else { return Ok(false) };
    for subject in [jobs::project_subject(id), jobs::session_subject(agent.session_id)] {
        if !job::live_for_subject(&mut tx, &subject).await?.is_empty() {
            return Ok(false);
        }
    }
    // A Prompt that was accepted before this transaction has a Job that is seen above, or has passed and is seen here.
    if project.desired != Desired::Running || !agent.is_at_rest() {
        return Ok(false);
    }
    project.desired = Desired::Stopped;
    project::update(&mut tx, &project).await?;
    let new =
        New::new(stop_project::KIND, jobs::project_subject(id), project.user_id).project(id).policy(Policy::Supersede);
    let enqueued = app.jobs.enqueue(&mut tx, new).await.map_err(enqueue_error)?;
    tx.audit(AuditEvent::ok(AuditAction::StopProject, &id).of(project.user_id).detail("nobody used it")).await?;
    tx.commit().await?;
    app.jobs.changed(enqueued.changed());
    tracing::info!(project = %id, "stopped: nobody used it");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_memory_can_be_read() {
        let (total, available) = memory().expect("this is Linux");
        assert!(available <= total && total > 256 << 20, "{available} of {total}");
    }

    #[test]
    fn as_many_places_are_free_as_the_memory_has() {
        const GB: u64 = 1 << 30;
        for (memory, running, starting, free) in [
            // One always may start, on whatever machine.
            (None, 0, 0, 1),
            (Some((GB / 2, 0)), 0, 0, 1),
            // Nothing is known of the memory: one more at a time.
            (None, 3, 1, 1),
            // 8 GB less what is left to others hold eight.
            (Some((8 * GB, 7 * GB)), 1, 0, 7),
            (Some((8 * GB, 7 * GB)), 8, 0, 0),
            (Some((8 * GB, 7 * GB)), 9, 0, 0),
            // Others have taken the memory.
            (Some((8 * GB, 2 * GB)), 1, 0, 2),
            (Some((8 * GB, GB / 8)), 1, 0, 0),
            // Those that start count twice: as places, and as memory that isn't taken yet.
            (Some((8 * GB, 2 * GB)), 1, 1, 1),
            (Some((8 * GB, 2 * GB)), 1, 3, 0),
            // A machine that is too small holds one.
            (Some((GB, GB)), 1, 0, 0),
        ] {
            assert_eq!(places(memory, running, starting), free, "{memory:?}, {running} run and {starting} start");
        }
    }

    #[test]
    fn a_control_group_leaves_less_than_the_machine_has() {
        let machine = (8_000, 7_000);
        let files = |files: &'static [(&'static str, &'static str)]| {
            move |path: &Utf8Path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        let unlimited = files(&[("/sys/fs/cgroup/doce.service/memory.max", "max\n")]);
        assert_eq!(within_groups(machine, "0::/doce.service/main\n", &unlimited), machine);
        // The limit is that of the unit, above the group that the server is in.
        let unit = files(&[
            ("/sys/fs/cgroup/doce.service/memory.max", "4000\n"),
            ("/sys/fs/cgroup/doce.service/memory.current", "1500\n"),
            ("/sys/fs/cgroup/doce.service/memory.stat", "anon 900\ninactive_file 500\nfile 600\n"),
        ]);
        assert_eq!(within_groups(machine, "0::/doce.service/main\n", &unit), (4_000, 3_000));
        // A container of version 1, that sees its own group at the mount.
        let container = files(&[
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1900\n"),
        ]);
        assert_eq!(within_groups(machine, "4:memory:/docker/abc\n3:cpu:/\n0::/\n", &container), (2_000, 100));
        assert_eq!(within_groups(machine, "nonsense", &container), machine);
    }
}
