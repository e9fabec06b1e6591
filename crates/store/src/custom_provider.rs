//! Custom providers and their models.

use std::collections::BTreeMap;

use doce_model::{CustomModel, CustomProvider, Ms};
use sqlx::any::AnyRow;

use crate::{Read, StoreError, Tx, get, parse};

/// Lists everybody's, in no order.
pub async fn list(read: &mut impl Read) -> Result<Vec<CustomProvider>, StoreError> {
    let providers = sqlx::query("SELECT id, user_id, name, base_url, created_at, updated_at FROM custom_provider")
        .fetch_all(read.connection())
        .await?;
    let rows = sqlx::query(
        "SELECT custom_provider_id, model_id, name, context, output FROM custom_model
         ORDER BY custom_provider_id, position",
    )
    .fetch_all(read.connection())
    .await?;
    let mut models: BTreeMap<String, Vec<CustomModel>> = BTreeMap::new();
    for row in &rows {
        models.entry(get(row, "custom_provider_id")?).or_default().push(model(row)?);
    }
    providers.iter().map(|row| provider(row, &mut models)).collect()
}

fn provider(row: &AnyRow, models: &mut BTreeMap<String, Vec<CustomModel>>) -> Result<CustomProvider, StoreError> {
    let id: String = get(row, "id")?;
    Ok(CustomProvider {
        user_id: parse("custom_provider", "user_id", get(row, "user_id")?)?,
        name: get(row, "name")?,
        base_url: get(row, "base_url")?,
        models: models.remove(&id).unwrap_or_default(),
        created_at: Ms(get(row, "created_at")?),
        updated_at: Ms(get(row, "updated_at")?),
        id,
    })
}

fn model(row: &AnyRow) -> Result<CustomModel, StoreError> {
    let tokens = |column| Ok::<_, StoreError>(get::<Option<i64>>(row, column)?.and_then(|n| u64::try_from(n).ok()));
    Ok(CustomModel {
        id: get(row, "model_id")?,
        name: get(row, "name")?,
        context: tokens("context")?,
        output: tokens("output")?,
    })
}

/// Adds one. An id that is in use is [`StoreError::is_taken`].
pub async fn insert(tx: &mut Tx, custom: &CustomProvider) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO custom_provider (id, user_id, name, base_url, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&custom.id)
    .bind(custom.user_id.to_string())
    .bind(&custom.name)
    .bind(&custom.base_url)
    .bind(custom.created_at.0)
    .bind(custom.updated_at.0)
    .execute(tx.connection())
    .await?;
    insert_models(tx, custom).await
}

/// Writes what changed of one: name, address and models.
pub async fn update(tx: &mut Tx, custom: &CustomProvider) -> Result<(), StoreError> {
    sqlx::query("UPDATE custom_provider SET name = $2, base_url = $3, updated_at = $4 WHERE id = $1")
        .bind(&custom.id)
        .bind(&custom.name)
        .bind(&custom.base_url)
        .bind(custom.updated_at.0)
        .execute(tx.connection())
        .await?;
    sqlx::query("DELETE FROM custom_model WHERE custom_provider_id = $1")
        .bind(&custom.id)
        .execute(tx.connection())
        .await?;
    insert_models(tx, custom).await
}

/// Removes one with its models.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM custom_provider WHERE id = $1").bind(id).execute(tx.connection()).await?;
    Ok(())
}

async fn insert_models(tx: &mut Tx, custom: &CustomProvider) -> Result<(), StoreError> {
    let tokens = |tokens: Option<u64>| tokens.and_then(|tokens| i64::try_from(tokens).ok());
    for (position, model) in (0_i64..).zip(&custom.models) {
        sqlx::query(
            "INSERT INTO custom_model (custom_provider_id, position, user_id, model_id, name, context, output)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(&custom.id)
        .bind(position)
        .bind(custom.user_id.to_string())
        .bind(&model.id)
        .bind(&model.name)
        .bind(tokens(model.context))
        .bind(tokens(model.output))
        .execute(tx.connection())
        .await?;
    }
    Ok(())
}
