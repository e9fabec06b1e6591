//! Brings a new Project to life and gives its Agent the first Prompt.

use std::time::Duration;

use doce_jobs::{Definition, Step};
use serde::{Deserialize, Serialize};

use crate::{
    App,
    steps::{delivery, instance, prompt, session, workspace},
};

pub(crate) const KIND: &str = "launch_project";

/// What the Job is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The first Prompt's Message.
    pub(crate) message_id: String,
}

pub(crate) fn definition(app: &App) -> Definition {
    let (a, b) = (app.clone(), app.clone());
    let send = Step::new("send_prompt", "Send the first prompt", move |step| {
        let app = a.clone();
        async move { prompt::send_and_show(&app, &step).await }
    })
    .undo(move |step| {
        let app = b.clone();
        async move { prompt::abort(&app, &step).await }
    })
    .timeout(Duration::from_mins(5));
    Definition::new(
        KIND,
        vec![
            workspace::prepare_step(app),
            instance::start_step(app),
            instance::healthy_step(app),
            delivery::deliver_step(app),
            session::create_step(app),
            send,
        ],
    )
}
