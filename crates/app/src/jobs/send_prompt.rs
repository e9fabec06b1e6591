//! Gives a running Agent a Prompt, exactly once.

use std::time::Duration;

use doce_jobs::{Definition, Step};
use serde::{Deserialize, Serialize};

use crate::{App, steps::prompt};

pub(crate) const KIND: &str = "send_prompt";

/// What the Job is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The Prompt's Message.
    pub(crate) message_id: String,
}

pub(crate) fn definition(app: &App) -> Definition {
    let (a, b) = (app.clone(), app.clone());
    let send = Step::new("send_prompt", "Send the prompt", move |step| {
        let app = a.clone();
        async move { prompt::send(&app, &step).await }
    })
    .undo(move |step| {
        let app = b.clone();
        async move { prompt::abort(&app, &step).await }
    })
    .timeout(Duration::from_mins(5));
    Definition::new(KIND, vec![send])
}
