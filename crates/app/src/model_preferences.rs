//! What a user thinks of models: the one a new Project begins with, favourites, and those used last.
//!
//! A preference opens nothing: whether a model can be used is asked when a Prompt is sent to it.

use doce_model::{AuditAction, AuditEvent, Ctx, ModelPreference, ModelRef, User, model_preference::FAVOURITES_MAX};
use doce_store::{Read, Tx, model_preference};

use crate::{App, Error, events::Change, projects::is_model_id, views::ModelPreferencesView};

/// Most bytes of a Provider's id.
const PROVIDER_ID_MAX: usize = 100;

impl App {
    /// Returns what a user thinks of models.
    pub async fn model_preferences(&self, _ctx: &Ctx, user: &User) -> Result<ModelPreferencesView, Error> {
        preferences(&mut self.store.read().await?, user).await
    }

    /// Prefers a model, makes it a favourite, or neither any more. What is `None` stays.
    pub async fn change_model_preference(
        &self,
        ctx: &Ctx,
        user: &User,
        model: ModelRef,
        preferred: Option<bool>,
        favourite: Option<bool>,
    ) -> Result<ModelPreferencesView, Error> {
        check_ref(&model)?;
        let mut tx = self.store.write(ctx).await?;
        let all = model_preference::list(&mut tx, user.id).await?;
        let known = all.iter().find(|p| p.model == model).cloned();
        let known = known.unwrap_or_else(|| ModelPreference::none(model.clone()));
        let changed = ModelPreference {
            is_preferred: preferred.unwrap_or(known.is_preferred),
            is_favourite: favourite.unwrap_or(known.is_favourite),
            ..known.clone()
        };
        let favourites = all.iter().filter(|p| p.is_favourite).count();
        if changed.is_favourite && !known.is_favourite && favourites >= FAVOURITES_MAX {
            return Err(Error::Invalid {
                field: "favourite",
                message: format!("There are {FAVOURITES_MAX} favourites already. Take one away first."),
            });
        }
        model_preference::put(&mut tx, user.id, &changed).await?;
        let is = [(changed.is_preferred, "preferred"), (changed.is_favourite, "favourite")];
        let is: Vec<_> = is.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        let is = if is.is_empty() { "neither preferred nor favourite".to_owned() } else { is.join(", ") };
        let event = AuditEvent::ok(AuditAction::ChangeModelPreference, &user.id)
            .detail(format!("{}/{}: {is}", model.provider_id, model.model_id));
        tx.audit(event).await?;
        tx.commit().await?;
        let view = preferences(&mut self.store.read().await?, user).await?;
        self.bus.publish(user.id, Change::ModelPreferences(Box::new(view.clone())));
        Ok(view)
    }

    /// Tells the owner's browsers which models they used last, after a Prompt was accepted.
    pub(crate) async fn publish_recents(&self, user: &User) -> Result<(), Error> {
        let view = preferences(&mut self.store.read().await?, user).await?;
        self.bus.publish(user.id, Change::ModelPreferences(Box::new(view)));
        Ok(())
    }
}

/// Notes in the caller's transaction that a user sent a Prompt to a model.
pub(crate) async fn note_use(tx: &mut Tx, user: &User, model: &ModelRef) -> Result<(), Error> {
    Ok(model_preference::touch(tx, user.id, model).await?)
}

async fn preferences(read: &mut impl Read, user: &User) -> Result<ModelPreferencesView, Error> {
    let all = model_preference::list(read, user.id).await?;
    let those = |is: fn(&ModelPreference) -> bool| all.iter().filter(|p| is(p)).map(|p| p.model.clone()).collect();
    let mut favourites: Vec<ModelRef> = those(|p| p.is_favourite);
    // By name: a list that changed its order with each use would have to be read each time.
    favourites.sort_by(|a, b| (&a.provider_id, &a.model_id).cmp(&(&b.provider_id, &b.model_id)));
    Ok(ModelPreferencesView {
        preferred: all.iter().find(|p| p.is_preferred).map(|p| p.model.clone()),
        favourites,
        recents: those(|p| p.last_used_at.is_some()),
    })
}

fn check_ref(model: &ModelRef) -> Result<(), Error> {
    let provider = &model.provider_id;
    let named = (1..=PROVIDER_ID_MAX).contains(&provider.len()) && provider.chars().all(|c| c.is_ascii_graphic());
    if named && is_model_id(&model.model_id) {
        return Ok(());
    }
    Err(Error::Invalid { field: "model", message: "That can't be the id of a provider and of a model.".to_owned() })
}
