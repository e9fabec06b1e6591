//! Brings a stopped Project back, with the conversation it had. One that runs gets its preview back.

use doce_jobs::{Definition, Step};

use crate::{
    App,
    steps::{delivery, instance, preview, session, workspace},
};

pub(crate) const KIND: &str = "start_project";

pub(crate) fn definition(app: &App) -> Definition {
    let a = app.clone();
    let show = Step::new("start_preview", "Start the preview", move |step| {
        let app = a.clone();
        async move { preview::begin(&app, &step).await }
    });
    Definition::new(
        KIND,
        vec![
            // A launch that failed early was undone, its workspace with it.
            workspace::prepare_step(app),
            instance::start_step(app),
            instance::healthy_step(app),
            delivery::deliver_step(app),
            session::create_step(app),
            show,
        ],
    )
}
