//! Projects.

use std::collections::BTreeSet;

use doce_model::{Desired, ModelRef, Ms, Project, ProjectId, UserId};
use sqlx::{any::AnyRow, query::Query};

use crate::{Read, StoreError, Tx, chunks, get, parse, places};

const COLUMNS: &str = "id, user_id, name, slug, desired, model_provider_id, model_id, workspace, home, created_at,
    updated_at, last_active_at";

fn project(row: &AnyRow) -> Result<Project, StoreError> {
    Ok(Project {
        id: parse("project", "id", get(row, "id")?)?,
        user_id: parse("project", "user_id", get(row, "user_id")?)?,
        name: get(row, "name")?,
        slug: get(row, "slug")?,
        desired: parse("project", "desired", get(row, "desired")?)?,
        model: ModelRef { provider_id: get(row, "model_provider_id")?, model_id: get(row, "model_id")? },
        workspace: get(row, "workspace")?,
        home: get(row, "home")?,
        created_at: Ms(get(row, "created_at")?),
        updated_at: Ms(get(row, "updated_at")?),
        last_active_at: Ms(get(row, "last_active_at")?),
    })
}

/// A Project by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Which.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// Whether it is still wanted.
    pub desired: Desired,
}

/// Returns the names of those of these Projects that belong to a user.
pub async fn named(read: &mut impl Read, ids: &BTreeSet<ProjectId>, user_id: UserId) -> Result<Vec<Named>, StoreError> {
    let mut found = Vec::new();
    for ids in chunks(ids) {
        let sql =
            format!("SELECT id, name, desired FROM project WHERE user_id = $1 AND id IN ({})", places(2, ids.len()));
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(user_id.to_string());
        for row in ids.into_iter().fold(query, Query::bind).fetch_all(read.connection()).await? {
            found.push(Named {
                id: parse("project", "id", get(&row, "id")?)?,
                name: get(&row, "name")?,
                desired: parse("project", "desired", get(&row, "desired")?)?,
            });
        }
    }
    Ok(found)
}

/// Adds a Project.
pub async fn insert(tx: &mut Tx, project: &Project) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO project (id, user_id, name, slug, desired, model_provider_id, model_id, workspace, home,
             created_at, updated_at, last_active_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(project.id.to_string())
    .bind(project.user_id.to_string())
    .bind(project.name.as_str())
    .bind(project.slug.as_str())
    .bind(project.desired.as_str())
    .bind(project.model.provider_id.as_str())
    .bind(project.model.model_id.as_str())
    .bind(project.workspace.as_str())
    .bind(project.home.as_str())
    .bind(project.created_at.0)
    .bind(project.updated_at.0)
    .bind(project.last_active_at.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes a Project's name, wanted state, model and last activity.
pub async fn update(tx: &mut Tx, project: &Project) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query(
        "UPDATE project
         SET name = $2, desired = $3, model_provider_id = $4, model_id = $5, updated_at = $6, last_active_at = $7
         WHERE id = $1",
    )
    .bind(project.id.to_string())
    .bind(project.name.as_str())
    .bind(project.desired.as_str())
    .bind(project.model.provider_id.as_str())
    .bind(project.model.model_id.as_str())
    .bind(now.0)
    .bind(project.last_active_at.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes a Project and all rows that are its own.
pub async fn delete(tx: &mut Tx, id: ProjectId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM project WHERE id = $1").bind(id.to_string()).execute(tx.connection()).await?;
    Ok(())
}

/// Where the files of a Project are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of which Project.
    pub id: ProjectId,
    /// Its Workspace.
    pub workspace: String,
    /// Its Agent's home.
    pub home: String,
}

/// Lists where the files of all Projects are.
pub async fn list_places(read: &mut impl Read) -> Result<Vec<Place>, StoreError> {
    let rows = sqlx::query("SELECT id, workspace, home FROM project ORDER BY id").fetch_all(read.connection()).await?;
    let place = |row| {
        let id = parse("project", "id", get(row, "id")?)?;
        Ok(Place { id, workspace: get(row, "workspace")?, home: get(row, "home")? })
    };
    rows.iter().map(place).collect()
}

/// Lists everybody's Projects.
pub async fn list_all(read: &mut impl Read) -> Result<Vec<Project>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM project ORDER BY id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(read.connection()).await?;
    rows.iter().map(project).collect()
}

/// Lists the Projects of which their owners want this.
pub async fn list_desired(read: &mut impl Read, desired: Desired) -> Result<Vec<ProjectId>, StoreError> {
    let rows = sqlx::query("SELECT id FROM project WHERE desired = $1 ORDER BY id")
        .bind(desired.as_str())
        .fetch_all(read.connection())
        .await?;
    rows.iter().map(|row| parse("project", "id", get(row, "id")?)).collect()
}

/// Says where the files of a Project are from here on.
pub async fn put_at(tx: &mut Tx, place: &Place) -> Result<(), StoreError> {
    sqlx::query("UPDATE project SET workspace = $2, home = $3 WHERE id = $1")
        .bind(place.id.to_string())
        .bind(place.workspace.as_str())
        .bind(place.home.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Finds a Project by id.
pub async fn find(read: &mut impl Read, id: ProjectId) -> Result<Option<Project>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM project WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(read.connection()).await?;
    row.as_ref().map(project).transpose()
}

/// Finds a Project by the name in its address.
pub async fn find_by_slug(read: &mut impl Read, slug: &str) -> Result<Option<Project>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM project WHERE slug = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(slug).fetch_optional(read.connection()).await?;
    row.as_ref().map(project).transpose()
}

/// Lists a page of a user's Projects, last active first, those after `(last_active_at, id)`.
pub async fn list(
    read: &mut impl Read,
    user_id: UserId,
    after: Option<(Ms, ProjectId)>,
    limit: i64,
) -> Result<Vec<Project>, StoreError> {
    let (at, id) = after.map_or((i64::MAX, String::new()), |(at, id)| (at.0, id.to_string()));
    let sql = format!(
        "SELECT {COLUMNS} FROM project
         WHERE user_id = $1 AND (last_active_at < $2 OR (last_active_at = $2 AND id < $3))
         ORDER BY last_active_at DESC, id DESC
         LIMIT $4"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(user_id.to_string())
        .bind(at)
        .bind(id)
        .bind(limit)
        .fetch_all(read.connection())
        .await?;
    rows.iter().map(project).collect()
}
