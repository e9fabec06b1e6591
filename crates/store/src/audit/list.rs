//! Reading the audit log, a page at a time, from either end.
//!
//! Each page is read along one index: by the noun, the Project, the owner or the actor, alone or with an action. What
//! else is asked for is compared row by row, and a page looks at no more than [`LOOKED_AT_MAX`] rows: it then ends
//! early and says where to go on. So no page, however rare what it asks for, costs more than a fixed number of rows.

use doce_model::{AuditAction, ConnectionId, ProjectId, UserId};

use super::{COLUMNS, Entry, entry};
use crate::{Read, StoreError, get};

/// Rows that a page looks at, at most.
pub const LOOKED_AT_MAX: usize = 5_000;
/// Rows read at a time where not every one is on the page.
const CHUNK: usize = 1_000;

/// Which events. All that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Whose: what others own is as if it weren't there.
    pub user_id: Option<UserId>,
    /// To which noun.
    pub noun: Option<String>,
    /// To which Connection.
    pub connection_id: Option<ConnectionId>,
    /// In which Project.
    pub project_id: Option<ProjectId>,
    /// By whom, as printed.
    pub actor: Option<String>,
    /// What.
    pub action: Option<AuditAction>,
}

/// A page of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The events.
    pub entries: Vec<Entry>,
    /// The number from which the next page goes on, if there may be one.
    pub next: Option<i64>,
}

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    NewestFirst,
    OldestFirst,
}

/// The index along which a page is read.
#[derive(Debug, PartialEq, Eq)]
struct Along {
    /// Its first column, and the value there.
    column: Option<(&'static str, String)>,
    action: Option<AuditAction>,
}

impl Filter {
    fn along(&self) -> Along {
        let noun = self.connection_id.map(|id| id.to_string()).or_else(|| self.noun.clone());
        let noun = noun.map(|noun| ("noun", noun));
        let project = self.project_id.map(|id| ("project_id", id.to_string()));
        let user = self.user_id.map(|id| ("user_id", id.to_string()));
        let actor = self.actor.clone().map(|actor| ("actor", actor));
        Along { column: noun.or(project).or(user).or(actor), action: self.action }
    }

    fn matches(&self, entry: &Entry) -> bool {
        self.user_id.is_none_or(|id| entry.user_id == Some(id))
            && self.noun.as_ref().is_none_or(|noun| entry.noun == *noun)
            && self.connection_id.is_none_or(|id| entry.noun == id.to_string())
            && self.project_id.is_none_or(|id| entry.project_id == Some(id))
            && self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.action.is_none_or(|action| entry.action == action.as_str())
    }
}

impl Along {
    /// Writes the query whose parameters are: where to go on, how many rows, then the values of the index.
    fn sql(&self, way: Way) -> String {
        let column = self.column.as_ref().map(|(column, _)| format!("{column} = $3 AND ")).unwrap_or_default();
        let place = if self.column.is_some() { 4 } else { 3 };
        let action = self.action.map(|_| format!("action = ${place} AND ")).unwrap_or_default();
        let (beyond, order) = match way {
            Way::NewestFirst => ("<", "DESC"),
            Way::OldestFirst => (">", "ASC"),
        };
        format!("SELECT {COLUMNS} FROM audit_event WHERE {column}{action}seq {beyond} $1 ORDER BY seq {order} LIMIT $2")
    }
}

/// Reads the newest `limit` events before the number `before`, newest first.
pub async fn list(
    read: &mut impl Read,
    filter: &Filter,
    before: Option<i64>,
    limit: usize,
) -> Result<Page, StoreError> {
    page(read, filter, Way::NewestFirst, before.unwrap_or(i64::MAX), limit).await
}

/// Reads the oldest `limit` events after the number `after`, oldest first.
pub async fn walk(read: &mut impl Read, filter: &Filter, after: i64, limit: usize) -> Result<Page, StoreError> {
    page(read, filter, Way::OldestFirst, after, limit).await
}

async fn page(read: &mut impl Read, filter: &Filter, way: Way, from: i64, limit: usize) -> Result<Page, StoreError> {
    let along = filter.along();
    let mut page = Page { entries: Vec::new(), next: None };
    // A noun and a Project belong to one person: who asks for somebody else's would only be shown, by where pages end,
    // how much there is of it.
    if !owned(read, filter, &along).await? {
        return Ok(page);
    }
    let sql = along.sql(way);
    let (mut at, mut looked_at, mut wanted) = (from, 0, limit + 1);
    loop {
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql.clone())).bind(at).bind(count(wanted));
        if let Some((_, value)) = &along.column {
            query = query.bind(value.clone());
        }
        if let Some(action) = along.action {
            query = query.bind(action.as_str());
        }
        let rows = query.fetch_all(read.connection()).await?;
        for row in &rows {
            let found = entry(row)?;
            let seq = found.seq;
            if filter.matches(&found) {
                if page.entries.len() == limit {
                    page.next = Some(at);
                    return Ok(page);
                }
                page.entries.push(found);
            }
            at = seq;
        }
        if rows.len() < wanted {
            return Ok(page);
        }
        looked_at += rows.len();
        wanted = CHUNK;
        if looked_at >= LOOKED_AT_MAX {
            page.next = Some(at);
            return Ok(page);
        }
    }
}

/// Tells whether the newest event of the noun or Project that a person asks for is theirs.
async fn owned(read: &mut impl Read, filter: &Filter, along: &Along) -> Result<bool, StoreError> {
    let (Some(user_id), Some((column @ ("noun" | "project_id"), value))) = (filter.user_id, &along.column) else {
        return Ok(true);
    };
    let sql = format!("SELECT user_id FROM audit_event WHERE {column} = $1 ORDER BY seq DESC LIMIT 1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(value.clone()).fetch_optional(read.connection()).await?;
    let owner: Option<String> = row.as_ref().map(|row| get(row, "user_id")).transpose()?.flatten();
    Ok(owner == Some(user_id.to_string()))
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use doce_model::Ms;
    use sqlx::Row as _;

    use super::*;
    use crate::{Database, Store};

    #[tokio::test]
    async fn every_page_is_read_along_an_index_in_its_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("doce.sqlite").to_str().unwrap().to_owned();
        let store = Store::open(&Database::Sqlite(path)).await.unwrap();
        let mut read = store.read().await.unwrap();
        for bits in 0_u32..64 {
            let given = |bit: u32| bits & (1 << bit) != 0;
            let filter = Filter {
                user_id: given(0).then(|| UserId::new(Ms(1))),
                noun: given(1).then(|| "noun".to_owned()),
                connection_id: given(2).then(|| ConnectionId::new(Ms(1))),
                project_id: given(3).then(|| ProjectId::new(Ms(1))),
                actor: given(4).then(|| "cli".to_owned()),
                action: given(5).then_some(AuditAction::Use),
            };
            for way in [Way::NewestFirst, Way::OldestFirst] {
                let along = filter.along();
                let sql = format!("EXPLAIN QUERY PLAN {}", along.sql(way));
                let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(100_i64).bind(50_i64);
                if let Some((_, value)) = &along.column {
                    query = query.bind(value.clone());
                }
                if let Some(action) = along.action {
                    query = query.bind(action.as_str());
                }
                let rows = query.fetch_all(read.connection()).await.unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
                let column = along.column.as_ref().map(|(column, _)| format!("{column}=? AND "));
                let action = along.action.map(|_| "action=? AND ");
                let order = format!("{}{}", column.unwrap_or_default(), action.unwrap_or_default());
                let seq = if order.is_empty() { "rowid" } else { "seq" };
                let used = |sign| format!("({order}{seq}{sign}?)");
                let sign = if way == Way::NewestFirst { "<" } else { ">" };
                assert_eq!(plan.len(), 1, "{plan:?}");
                assert!(plan[0].starts_with("SEARCH audit_event USING ") && plan[0].ends_with(&used(sign)), "{plan:?}");
            }
        }
    }
}
