//! The preview's step.

use doce_jobs::{StepCtx, StepError};

use crate::{
    App,
    jobs::{project_id, step_error},
    previews,
};

/// Effect: the preview begins to come up, by itself. A repeat finds it on its way. Nothing to undo: it ends with the
/// Instance.
pub(crate) async fn begin(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let project = app.find_project(project_id(step)?).await.map_err(step_error)?;
    previews::ensure(app, &project);
    Ok(())
}
