//! The kinds of Jobs there are, one per file. What their steps do is in `steps/`.

pub(crate) mod apply_delivery;
pub(crate) mod delete_project;
pub(crate) mod launch_project;
pub(crate) mod refresh_credential;
pub(crate) mod send_prompt;
pub(crate) mod start_project;
pub(crate) mod stop_project;
pub(crate) mod verify_connection;

#[cfg(test)]
mod harness;

use doce_jobs::{Definition, StepCtx, StepError};
use doce_model::{ConnectionId, Failure, InstanceId, NextMove, ProjectId, SessionId};

use crate::{App, Error};

/// The name of every kind of Job.
pub const JOB_KINDS: [&str; 8] = [
    launch_project::KIND,
    start_project::KIND,
    stop_project::KIND,
    delete_project::KIND,
    send_prompt::KIND,
    apply_delivery::KIND,
    refresh_credential::KIND,
    verify_connection::KIND,
];

/// Every kind of Job, in the order of their names.
pub(crate) fn definitions(app: &App) -> [Definition; JOB_KINDS.len()] {
    [
        launch_project::definition(app),
        start_project::definition(app),
        stop_project::definition(app),
        delete_project::definition(app),
        send_prompt::definition(app),
        apply_delivery::definition(app),
        refresh_credential::definition(app),
        verify_connection::definition(app),
    ]
}

/// The subject of what is done with a Project.
pub(crate) fn project_subject(id: ProjectId) -> String {
    format!("project:{id}")
}

/// The subject of what is said in a Session.
pub(crate) fn session_subject(id: SessionId) -> String {
    format!("session:{id}")
}

/// The subject of what is handed to an Instance.
pub(crate) fn instance_subject(id: InstanceId) -> String {
    format!("instance:{id}")
}

/// The subject of what is done with a Connection.
pub(crate) fn connection_subject(id: ConnectionId) -> String {
    format!("connection:{id}")
}

/// Returns the Project that a Job works on.
pub(crate) fn project_id(step: &StepCtx) -> Result<ProjectId, StepError> {
    step.job
        .project_id
        .ok_or_else(|| StepError::fail(Failure::new("internal", "This job names no project.", NextMove::None)))
}

/// Says what the queue should do about a use case's error.
pub(crate) fn step_error(error: Error) -> StepError {
    match error {
        Error::Conflict(failure) | Error::Refused(failure) => StepError::fail(failure),
        Error::NotFound { .. } | Error::Invalid { .. } | Error::Forbidden { .. } | Error::NotSignedIn => {
            let message = error.to_string();
            StepError::fail(Failure::new("gone", format!("It could not be done: {message}."), NextMove::Retry))
                .source(error)
        }
        Error::Unavailable { code, message, retry_after } => {
            StepError::retry(Failure::new(code, message, NextMove::Retry)).after(retry_after)
        }
        Error::Internal(source) => StepError::internal(source),
    }
}
