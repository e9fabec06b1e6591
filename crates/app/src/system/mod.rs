//! How the server is doing: for the system page and for whoever collects metrics.
//!
//! [`App::load`] is numbers alone, without a name or an id, and cheap. [`App::status`] is for an admin's eyes: it names
//! Projects, and measures disks, which is done at most once a minute.

mod disk;
mod tools;

use std::{collections::HashMap, time::Duration};

use doce_model::{Ctx, DeliveryStatus, JobState, Ms, Outcome, ProjectId, User, UserId};
use doce_runtime::{Enforced, Isolation};
use doce_store::{census, project, user};

pub use disk::Room as DiskRoom;
pub use doce_store::census::{DatabaseFacts, Queue};

use crate::{App, Error, people::admins_only, previews, room, steps::instance};

/// How long a measurement of disks and tools counts as fresh.
pub const MEASURED_EVERY: Duration = Duration::from_mins(1);

/// What the server is doing, in numbers.
#[derive(Debug, Clone)]
pub struct Load {
    /// Jobs that are kept, by kind and state.
    pub jobs: Vec<(String, JobState, u64)>,
    /// Jobs that have not ended.
    pub queue: Queue,
    /// How long the oldest Job that is due has been.
    pub oldest_due: Duration,
    /// What of the machine Agents have.
    pub agents: AgentRoom,
    /// Bytes of memory that all Agents use.
    pub agent_memory: u64,
    /// Deliveries to Instances that live, by status.
    pub deliveries: Vec<(DeliveryStatus, u64)>,
    /// Connections, by what came of their last check.
    pub verifications: Vec<(Outcome, u64)>,
    /// The database itself.
    pub database: DatabaseFacts,
}

/// How many Agents there are and may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentRoom {
    /// They run.
    pub running: usize,
    /// They are being started.
    pub starting: usize,
    /// Jobs wait for a place of theirs.
    pub waiting: usize,
    /// Most at a time; `None` is as many as the memory holds.
    pub most: Option<usize>,
    /// Bytes of the machine's memory.
    pub memory_total: Option<u64>,
    /// Bytes of it that may be had.
    pub memory_available: Option<u64>,
}

/// What an admin sees of the server.
#[derive(Debug, Clone)]
pub struct Status {
    /// When it was started.
    pub started_at: Ms,
    /// The database.
    pub database: DatabaseFacts,
    /// How Projects are run.
    pub runtime: RuntimeFacts,
    /// What Projects are run with.
    pub tools: Vec<ToolVersion>,
    /// How many Agents there are and may be.
    pub agents: AgentRoom,
    /// Jobs that have not ended.
    pub queue: Queue,
    /// How long the oldest Job that is due has been.
    pub oldest_due: Duration,
    /// The disk of the data directory.
    pub disk: Option<DiskRoom>,
    /// What each Project takes, those that take most first.
    pub projects: Vec<ProjectUse>,
    /// When disks and tools were looked at.
    pub measured_at: Ms,
}

/// How Projects are run: as processes of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeFacts {
    /// The program that locks each of them in, if they are.
    pub sandbox: Option<String>,
    /// Whether the kernel holds the ceiling on their memory.
    pub memory_ceiling: bool,
    /// Whether the kernel holds the ceiling on their number.
    pub process_ceiling: bool,
}

/// A program of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolVersion {
    /// Which.
    pub name: &'static str,
    /// Its version, if it is there and says so.
    pub version: Option<String>,
}

/// What a Project takes of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectUse {
    /// Which.
    pub id: ProjectId,
    /// What its owner calls it, where that is who asks.
    pub name: Option<String>,
    /// Its owner's name.
    pub owner: String,
    /// Bytes of memory of its Agent, its preview and an installation for that, if any of them runs.
    pub memory: Option<u64>,
    /// Bytes on the disk; `None` if it was made after they were measured.
    pub disk: Option<u64>,
    /// Whether it has more files than were counted.
    pub disk_at_least: bool,
}

/// What takes a while to find out.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    disk: Option<DiskRoom>,
    projects: HashMap<ProjectId, disk::Size>,
    tools: Vec<ToolVersion>,
    ceilings: Enforced,
    at: Ms,
}

/// The last measurement. Whoever comes while one is made waits for it.
#[derive(Debug, Default)]
pub(crate) struct LastMeasured(tokio::sync::Mutex<Option<Measured>>);

impl App {
    /// Returns what the server is doing, in numbers that tell of nobody.
    pub async fn load(&self) -> Result<Load, Error> {
        let now = self.clock.now();
        let mut read = self.store.read().await?;
        let jobs = census::jobs(&mut read).await?;
        let queue = census::queue(&mut read, now).await?;
        let deliveries = census::deliveries(&mut read).await?;
        let verifications = census::verifications(&mut read).await?;
        drop(read);
        let agents = self.agents.all().iter().map(|agent| instance::marker(self, agent.instance_id)).collect();
        let agent_memory = self.runtime.memory_bytes(agents).await.into_values().sum();
        Ok(Load {
            jobs,
            oldest_due: age(&queue, now),
            queue,
            agents: room::agent_room(self).await?,
            agent_memory,
            deliveries,
            verifications,
            database: self.store.facts().await?,
        })
    }

    /// Returns how the server is doing. Admins only.
    pub async fn status(&self, _ctx: &Ctx, by: &User) -> Result<Status, Error> {
        admins_only(by)?;
        let now = self.clock.now();
        let measured = self.measured().await?;
        let mut read = self.store.read().await?;
        let queue = census::queue(&mut read, now).await?;
        let owners = user::list(&mut read).await?;
        let name_of = |id: UserId| owners.iter().find(|owner| owner.id == id).map(|owner| owner.username.clone());
        let known = project::list_all(&mut read).await?;
        drop(read);
        // An Agent's processes are marked by its Instance; a preview's and an installation's by the Project.
        let markers = |id: ProjectId| {
            let agent = self.agents.find(id).map(|agent| instance::marker(self, agent.instance_id));
            [Some(previews::marker(self, id)), agent].into_iter().flatten()
        };
        let used = self.runtime.memory_bytes(known.iter().flat_map(|project| markers(project.id)).collect()).await;
        let mut projects: Vec<ProjectUse> = known
            .into_iter()
            .map(|project| {
                let size = measured.projects.get(&project.id);
                let memory: u64 = markers(project.id).filter_map(|marker| used.get(&marker)).sum();
                ProjectUse {
                    id: project.id,
                    owner: name_of(project.user_id).unwrap_or_default(),
                    name: (project.user_id == by.id).then_some(project.name),
                    memory: (memory > 0).then_some(memory),
                    disk: size.map(|size| size.bytes),
                    disk_at_least: size.is_some_and(|size| size.is_cut),
                }
            })
            .collect();
        projects.sort_by_key(|project| std::cmp::Reverse((project.memory, project.disk)));
        Ok(Status {
            started_at: self.started_at,
            database: self.store.facts().await?,
            runtime: RuntimeFacts {
                sandbox: match self.runtime.isolation() {
                    Isolation::Sandboxed(sandbox) => Some(sandbox.program().to_string()),
                    Isolation::Unsandboxed | Isolation::Missing => None,
                },
                memory_ceiling: measured.ceilings.memory,
                process_ceiling: measured.ceilings.processes,
            },
            tools: measured.tools,
            agents: room::agent_room(self).await?,
            oldest_due: age(&queue, now),
            queue,
            disk: measured.disk,
            projects,
            measured_at: measured.at,
        })
    }

    /// Returns the last measurement, or makes one if that is too old.
    async fn measured(&self) -> Result<Measured, Error> {
        let mut last = self.measured.0.lock().await;
        let now = self.clock.now();
        if let Some(fresh) = last.as_ref().filter(|last| now.since(last.at) < MEASURED_EVERY) {
            return Ok(fresh.clone());
        }
        let places = project::list_places(&mut self.store.read().await?).await?;
        let directories = places.iter().map(|place| (place.id, self.layout.project(place.id))).collect();
        let data_dir = self.config.data_dir.clone();
        let runtime = self.runtime.clone();
        let measuring = tokio::task::spawn_blocking(move || {
            (disk::room(&data_dir), disk::measure(directories), runtime.enforceable())
        });
        let (node, npm) = tokio::join!(tools::version(self, "node"), tools::version(self, "npm"));
        let (disk, projects, ceilings) = measuring.await.map_err(Error::internal)?;
        let measured = Measured { disk, projects, tools: vec![node, npm], ceilings, at: now };
        *last = Some(measured.clone());
        Ok(measured)
    }
}

fn age(queue: &Queue, now: Ms) -> Duration {
    queue.oldest_due.map(|since| now.since(since)).unwrap_or_default()
}
