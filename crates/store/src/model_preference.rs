//! What users think of models.

use doce_model::{ModelPreference, ModelRef, Ms, UserId, model_preference::RECENTS_MAX};
use sqlx::any::AnyRow;

use crate::{Read, StoreError, Tx, get};

fn preference(row: &AnyRow) -> Result<ModelPreference, StoreError> {
    Ok(ModelPreference {
        model: ModelRef { provider_id: get(row, "provider_id")?, model_id: get(row, "model_id")? },
        is_preferred: get::<i64>(row, "is_preferred")? == 1,
        is_favourite: get::<i64>(row, "is_favourite")? == 1,
        last_used_at: get::<Option<i64>>(row, "last_used_at")?.map(Ms),
    })
}

/// Lists what a user thinks of models, those used last first, the others by name.
pub async fn list(read: &mut impl Read, user_id: UserId) -> Result<Vec<ModelPreference>, StoreError> {
    let rows = sqlx::query(
        "SELECT provider_id, model_id, is_preferred, is_favourite, last_used_at
         FROM model_preference
         WHERE user_id = $1
         ORDER BY COALESCE(last_used_at, 0) DESC, provider_id, model_id",
    )
    .bind(user_id.to_string())
    .fetch_all(read.connection())
    .await?;
    rows.iter().map(preference).collect()
}

/// Writes what a user thinks of a model. A model that becomes the preferred one takes the place of the one before.
pub async fn put(tx: &mut Tx, user_id: UserId, preference: &ModelPreference) -> Result<(), StoreError> {
    if preference.is_preferred {
        let before = list(tx, user_id).await?.into_iter().find(|p| p.is_preferred && p.model != preference.model);
        if let Some(before) = before {
            write(tx, user_id, &ModelPreference { is_preferred: false, ..before }).await?;
        }
    }
    write(tx, user_id, preference).await
}

/// Notes that a user sent a Prompt to a model, and forgets when those were used that are older than the newest
/// [`RECENTS_MAX`].
pub async fn touch(tx: &mut Tx, user_id: UserId, model: &ModelRef) -> Result<(), StoreError> {
    let now = tx.now();
    let all = list(tx, user_id).await?;
    let known = all.iter().find(|p| p.model == *model).cloned();
    let known = known.unwrap_or_else(|| ModelPreference::none(model.clone()));
    write(tx, user_id, &ModelPreference { last_used_at: Some(now), ..known }).await?;
    let older = all.into_iter().filter(|p| p.last_used_at.is_some() && p.model != *model).skip(RECENTS_MAX - 1);
    for old in older {
        write(tx, user_id, &ModelPreference { last_used_at: None, ..old }).await?;
    }
    Ok(())
}

async fn write(tx: &mut Tx, user_id: UserId, preference: &ModelPreference) -> Result<(), StoreError> {
    let ModelPreference { model, is_preferred, is_favourite, last_used_at } = preference;
    if !is_preferred && !is_favourite && last_used_at.is_none() {
        sqlx::query("DELETE FROM model_preference WHERE user_id = $1 AND provider_id = $2 AND model_id = $3")
            .bind(user_id.to_string())
            .bind(model.provider_id.as_str())
            .bind(model.model_id.as_str())
            .execute(tx.connection())
            .await?;
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO model_preference (user_id, provider_id, model_id, is_preferred, is_favourite, last_used_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (user_id, provider_id, model_id) DO UPDATE
         SET is_preferred = excluded.is_preferred, is_favourite = excluded.is_favourite,
             last_used_at = excluded.last_used_at",
    )
    .bind(user_id.to_string())
    .bind(model.provider_id.as_str())
    .bind(model.model_id.as_str())
    .bind(i64::from(*is_preferred))
    .bind(i64::from(*is_favourite))
    .bind(last_used_at.map(|at| at.0))
    .execute(tx.connection())
    .await?;
    Ok(())
}
