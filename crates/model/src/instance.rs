//! Instances: one incarnation of a Project, an Agent and a preview server.

use crate::{InstanceId, Ms, ProjectId, text_enum::text_enum};

text_enum! {
    /// What was last seen of an Instance's Agent.
    Observed {
        /// Its process runs; it has not answered yet.
        Starting = "starting",
        /// It answers.
        Healthy = "healthy",
        /// It runs and does not answer.
        Unhealthy = "unhealthy",
        /// It is gone. Never restarted: a new Instance is made.
        Exited = "exited",
    }
}

/// One incarnation of a Project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Which.
    pub id: InstanceId,
    /// Whose.
    pub project_id: ProjectId,
    /// What was last seen.
    pub observed: Observed,
    /// Pid of the sandbox's init, once started.
    pub pid: Option<i64>,
    /// That process's start time, in clock ticks since boot.
    pub pid_started: Option<i64>,
    /// The boot during which the pid means something.
    pub boot_id: Option<String>,
    /// The Agent's port on 127.0.0.1.
    pub port: Option<u16>,
    /// The Agent's password, sealed by the vault.
    pub password_sealed: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: Ms,
    /// When it ended.
    pub ended_at: Option<Ms>,
    /// How it ended, in words.
    pub ending: Option<String>,
}
