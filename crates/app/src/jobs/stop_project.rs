//! Brings a Project to a standstill. Nothing of it is lost.

use std::time::Duration;

use doce_jobs::{Definition, Step};

use crate::{App, steps::instance};

pub(crate) const KIND: &str = "stop_project";

pub(crate) fn definition(app: &App) -> Definition {
    let a = app.clone();
    let stop = Step::new("stop_instance", "Stop the agent and the preview", move |step| {
        let app = a.clone();
        async move { instance::stop(&app, &step).await }
    })
    .timeout(Duration::from_secs(30));
    Definition::new(KIND, vec![stop])
}
