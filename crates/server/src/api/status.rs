//! How the server is doing, for admins: what runs, what waits, and what is left of the machine.

use axum::{Json, extract::State as Extract};
use doce_app::system;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    error::Problem,
    state::{Caller, State},
};

/// How the server is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SystemStatus {
    /// When it was started.
    started_at: String,
    /// The database.
    database: DatabaseFacts,
    /// How projects are run.
    runtime: RuntimeFacts,
    /// The programs that projects are run with.
    tools: Vec<ToolVersion>,
    /// How many agents there are and may be.
    agents: AgentRoom,
    /// Jobs that have not ended.
    queue: QueueDepth,
    /// The disk of the data directory; null where it can't be asked.
    disk: Option<DiskRoom>,
    /// What each project takes, those that take most first.
    projects: Vec<ProjectUse>,
    /// When disks and programs were looked at: once a minute at most.
    measured_at: String,
}

/// The database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatabaseFacts {
    /// `SQLite` or `PostgreSQL`.
    kind: &'static str,
    /// Its version.
    version: String,
    /// Bytes that it takes.
    bytes: u64,
}

/// How projects are run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuntimeFacts {
    /// By what.
    kind: RuntimeKind,
    /// The program that locks each of them into a sandbox of its own; null where nothing does.
    sandbox: Option<String>,
    /// Whether the kernel holds the ceiling on their memory.
    memory_ceiling: bool,
    /// Whether the kernel holds the ceiling on their number of processes.
    process_ceiling: bool,
}

/// By what projects are run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RuntimeKind {
    /// As processes of the server's machine.
    Process,
}

/// A program of the server's machine.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToolVersion {
    /// Which.
    name: &'static str,
    /// Its version; null where it isn't there or doesn't say.
    version: Option<String>,
}

/// How many agents there are and may be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentRoom {
    /// They run.
    running: usize,
    /// They are being started.
    starting: usize,
    /// Jobs that wait for a place of theirs.
    waiting: usize,
    /// Most at a time; null is as many as the memory holds.
    most: Option<usize>,
    /// Bytes of the machine's memory, if it tells.
    memory_total: Option<u64>,
    /// Bytes of it that may be had.
    memory_available: Option<u64>,
}

/// Jobs that have not ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueDepth {
    /// They could begin.
    due: u64,
    /// They have a time that has not come.
    later: u64,
    /// They wait for a person, or for room.
    waiting: u64,
    /// They are at work.
    running: u64,
    /// Seconds for which the oldest that is due has been.
    oldest_due_seconds: u64,
}

/// The disk of the data directory.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiskRoom {
    /// Bytes that may still be written.
    free: u64,
    /// Bytes in all.
    total: u64,
}

/// What a project takes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectUse {
    /// Which.
    id: String,
    /// Its name; null where it isn't the caller's.
    name: Option<String>,
    /// Its owner's name.
    owner: String,
    /// Bytes of memory of its agent, its preview and an installation for that; null where none of them runs.
    memory: Option<u64>,
    /// Bytes on the disk; null if it is newer than the measurement.
    disk: Option<u64>,
    /// Whether it takes more: it has more files than are counted.
    disk_at_least: bool,
}

impl From<&system::Status> for SystemStatus {
    fn from(status: &system::Status) -> Self {
        let system::Status {
            started_at,
            database,
            runtime,
            tools,
            agents,
            queue,
            oldest_due,
            disk,
            projects,
            measured_at,
        } = status;
        Self {
            started_at: started_at.rfc3339(),
            database: DatabaseFacts { kind: database.kind, version: database.version.clone(), bytes: database.bytes },
            runtime: RuntimeFacts {
                kind: RuntimeKind::Process,
                sandbox: runtime.sandbox.clone(),
                memory_ceiling: runtime.memory_ceiling,
                process_ceiling: runtime.process_ceiling,
            },
            tools: tools.iter().map(|tool| ToolVersion { name: tool.name, version: tool.version.clone() }).collect(),
            agents: AgentRoom {
                running: agents.running,
                starting: agents.starting,
                waiting: agents.waiting,
                most: agents.most,
                memory_total: agents.memory_total,
                memory_available: agents.memory_available,
            },
            queue: QueueDepth {
                due: queue.due,
                later: queue.later,
                waiting: queue.waiting,
                running: queue.running,
                oldest_due_seconds: oldest_due.as_secs(),
            },
            disk: disk.map(|disk| DiskRoom { free: disk.free, total: disk.total }),
            projects: projects.iter().map(ProjectUse::from).collect(),
            measured_at: measured_at.rfc3339(),
        }
    }
}

impl From<&system::ProjectUse> for ProjectUse {
    fn from(project: &system::ProjectUse) -> Self {
        Self {
            id: project.id.to_string(),
            name: project.name.clone(),
            owner: project.owner.clone(),
            memory: project.memory,
            disk: project.disk,
            disk_at_least: project.disk_at_least,
        }
    }
}

/// Says how the server is doing. Disks are measured once a minute at most.
#[utoipa::path(get, path = "/api/system/status", tag = "system",
    responses((status = 200, description = "How it is doing.", body = SystemStatus)))]
pub(crate) async fn get_status(Extract(state): Extract<State>, caller: Caller) -> Result<Json<SystemStatus>, Problem> {
    let status = state.app.status(&caller.ctx, &caller.user).await?;
    Ok(Json(SystemStatus::from(&status)))
}
