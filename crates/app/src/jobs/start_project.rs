//! Brings a stopped Project back, with the conversation it had. One that runs gets its preview back.

use doce_jobs::{Definition, Step};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    steps::{delivery, instance, preview, session, workspace},
};

pub(crate) const KIND: &str = "start_project";

/// What the Job is told.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Payload {
    /// Which start in a row it is, if nobody asked for it: see [`crate::reconcilers::restarts`].
    pub(crate) restart: Option<Restart>,
}

/// A start of an Agent that ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restart {
    /// Which in a row, from 1.
    pub(crate) number: u32,
    /// How the Agent ended, in a sentence.
    pub(crate) because: String,
}

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
