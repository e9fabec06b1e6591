//! What a user thinks of models: the one they prefer, their favourites, and those they used last.

use crate::{ModelRef, Ms};

/// Most favourites of a user.
pub const FAVOURITES_MAX: usize = 100;
/// How many of the models used last are remembered.
pub const RECENTS_MAX: usize = 8;

/// What a user thinks of one model. It need not be one that anybody can reach: what was preferred stays preferred
/// while its Provider is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPreference {
    /// Which model.
    pub model: ModelRef,
    /// Whether a new Project begins with it. At most one of a user's is.
    pub is_preferred: bool,
    /// Whether it is offered before others.
    pub is_favourite: bool,
    /// When the user last sent a Prompt to it, if that was one of the last [`RECENTS_MAX`] models.
    pub last_used_at: Option<Ms>,
}

impl ModelPreference {
    /// Returns what a user thinks of a model that they never had to do with.
    pub fn none(model: ModelRef) -> Self {
        Self { model, is_preferred: false, is_favourite: false, last_used_at: None }
    }
}
