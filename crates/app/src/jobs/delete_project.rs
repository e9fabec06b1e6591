//! Removes a Project: its processes, its files, its rows. The owner confirmed it; there is no way back.

use std::time::Duration;

use doce_jobs::{Definition, Step};

use crate::{
    App,
    steps::{instance, workspace},
};

pub(crate) const KIND: &str = "delete_project";

pub(crate) fn definition(app: &App) -> Definition {
    let (a, b, c) = (app.clone(), app.clone(), app.clone());
    let stop = Step::new("stop_instance", "Stop the agent and the preview", move |step| {
        let app = a.clone();
        async move { instance::stop(&app, &step).await }
    })
    .timeout(Duration::from_secs(30));
    let files = Step::new("remove_files", "Remove the files", move |step| {
        let app = b.clone();
        async move { workspace::remove_all(&app, &step).await }
    });
    let rows = Step::new("remove_project", "Remove the project", move |step| {
        let app = c.clone();
        async move { workspace::remove_rows(&app, &step).await }
    });
    Definition::new(KIND, vec![stop, files, rows])
}
