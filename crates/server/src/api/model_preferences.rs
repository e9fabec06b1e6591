//! Model preferences: the model a new project begins with, favourites, and the models used last.

use axum::{Json, extract::State as Extract};
use doce_app::views::ModelPreferencesView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{input::Body, words::ModelRef};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// What the caller thinks of models. A model stays in it while its provider is gone.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelPreferences {
    /// The one that a new project begins with.
    preferred: Option<ModelRef>,
    /// Those offered before others, by name.
    favourites: Vec<ModelRef>,
    /// Those that prompts were sent to last, newest first.
    recents: Vec<ModelRef>,
}

/// What to think of a model from here on; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelPreferenceChange {
    /// Which model.
    model: ModelRef,
    /// Whether a new project begins with it. The one that did before doesn't any more.
    preferred: Option<bool>,
    /// Whether it is offered before others.
    favourite: Option<bool>,
}

impl From<&ModelPreferencesView> for ModelPreferences {
    fn from(view: &ModelPreferencesView) -> Self {
        Self {
            preferred: view.preferred.as_ref().map(ModelRef::from),
            favourites: view.favourites.iter().map(ModelRef::from).collect(),
            recents: view.recents.iter().map(ModelRef::from).collect(),
        }
    }
}

/// Shows what the caller thinks of models.
#[utoipa::path(get, path = "/api/models/preferences", tag = "providers",
    responses((status = 200, description = "The preferred model, favourites and recents.", body = ModelPreferences)))]
pub(crate) async fn get_model_preferences(
    Extract(state): Extract<State>,
    caller: Caller,
) -> Result<Json<ModelPreferences>, Problem> {
    let view = state.app.model_preferences(&caller.ctx, &caller.user).await?;
    Ok(Json((&view).into()))
}

/// Prefers a model, makes it a favourite, or neither any more.
#[utoipa::path(patch, path = "/api/models/preferences", tag = "providers", request_body = ModelPreferenceChange,
    responses((status = 200, description = "It is changed.", body = ModelPreferences)))]
pub(crate) async fn change_model_preference(
    Extract(state): Extract<State>,
    caller: Caller,
    Body(change): Body<ModelPreferenceChange>,
) -> Result<Json<ModelPreferences>, Problem> {
    let ModelPreferenceChange { model, preferred, favourite } = change;
    let view = state.app.change_model_preference(&caller.ctx, &caller.user, model.into(), preferred, favourite).await?;
    Ok(Json((&view).into()))
}
