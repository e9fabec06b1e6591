//! The audit log as people see it: a page, the whole as a file, and names for what it speaks of.
//!
//! An admin sees every event, everybody else those of what is theirs. Names are given only for what the caller owns:
//! an admin sees that somebody's Project was started, not what it is called.

use std::collections::{BTreeSet, HashMap};

use camino::Utf8Path;
use doce_model::{
    ApiTokenId, AuditAction, AuditEvent, ConnectionId, ConnectionStatus, Ctx, Desired, ProjectId, Role, User, UserId,
    audit::NounKind,
};
use doce_store::{
    PostgresUrl, Read, Store, api_token,
    audit::{
        self, Entry, Filter,
        chain::{self, Anchor, Verdict},
    },
    connection, project, user,
};
use futures::{Stream, stream};

use crate::{
    App, Error, OpenError,
    layout::Layout,
    views::{AuditNoun, AuditView},
};

/// Events on a page, unless the caller wants another number.
const PAGE: i64 = 50;
/// Most events on a page.
pub const AUDIT_PAGE_MAX: i64 = 1_000;
/// Events of an export that are in memory at a time.
const EXPORT_PAGE: usize = 200;
/// The noun of the whole log.
const LOG: &str = "audit_log";

/// Walks along the whole audit log of a data directory and says whether it is as it was written. `tell` hears how far
/// it is, and of how many events.
///
/// Nothing is changed, and a server may be running.
pub async fn verify_audit(
    data_dir: &Utf8Path,
    database_url: Option<&PostgresUrl>,
    anchor: Option<&Anchor>,
    tell: impl FnMut(i64, i64),
) -> Result<Verdict, OpenError> {
    let store = Store::open_to_read(&Layout::new(data_dir).database(database_url)).await?;
    let verdict = chain::verify(&mut store.read().await?, anchor, tell).await?;
    store.close().await;
    Ok(verdict)
}

/// Which events. All that are given must hold.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// About which noun; a Project stands for all that happened in it.
    pub noun: Option<String>,
    /// About which Connection.
    pub connection_id: Option<ConnectionId>,
    /// By whom, as the event says it.
    pub actor: Option<String>,
    /// What.
    pub action: Option<AuditAction>,
}

impl AuditQuery {
    fn filter(&self, by: &User) -> Filter {
        let project_id = self.noun.as_deref().and_then(|noun| noun.parse::<ProjectId>().ok());
        Filter {
            user_id: match by.role {
                Role::Admin => None,
                Role::Member => Some(by.id),
            },
            noun: self.noun.clone().filter(|_| project_id.is_none()),
            connection_id: self.connection_id,
            project_id,
            actor: self.actor.clone(),
            action: self.action,
        }
    }
}

impl App {
    /// Lists a page of the events that the caller may see, newest first, and the number before which the next begins.
    pub async fn list_audit(
        &self,
        _ctx: &Ctx,
        by: &User,
        query: &AuditQuery,
        before: Option<i64>,
        limit: Option<i64>,
    ) -> Result<(Vec<AuditView>, Option<i64>), Error> {
        let limit = usize::try_from(limit.unwrap_or(PAGE).clamp(1, AUDIT_PAGE_MAX)).unwrap_or(1);
        let mut read = self.store.read().await?;
        let page = audit::list(&mut read, &query.filter(by), before, limit).await?;
        let names = self.names(&mut read, by, &page.entries).await?;
        Ok((page.entries.into_iter().map(|entry| names.view(entry)).collect(), page.next))
    }

    /// Returns the events that the caller may see, oldest first, a page at a time: all up to this moment, the event
    /// that tells of this export included.
    pub async fn export_audit(
        &self,
        ctx: &Ctx,
        by: &User,
        query: &AuditQuery,
    ) -> Result<impl Stream<Item = Result<Vec<Entry>, Error>> + Send + use<>, Error> {
        let mut tx = self.store.write(ctx).await?;
        tx.audit(AuditEvent::ok(AuditAction::Export, LOG)).await?;
        let last = audit::head(&mut tx).await?.seq;
        tx.commit().await?;
        let (app, filter) = (self.clone(), query.filter(by));
        // A reader is borrowed for one page only: however slowly the file is fetched, nobody waits for it.
        Ok(stream::try_unfold(Some(0), move |after| {
            let (app, filter) = (app.clone(), filter.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = audit::walk(&mut app.store.read().await?, &filter, after, EXPORT_PAGE).await?;
                let next = page.next.filter(|next| *next < last);
                let entries = page.entries.into_iter().filter(|entry| entry.seq <= last).collect();
                Ok(Some((entries, next)))
            }
        }))
    }

    async fn names(&self, read: &mut impl Read, by: &User, entries: &[Entry]) -> Result<Names, Error> {
        let nouns = || entries.iter().map(|entry| entry.noun.as_str());
        let actors = entries.iter().map(|entry| entry.actor.as_str());
        let tokens: BTreeSet<ApiTokenId> = nouns().chain(actors.clone()).filter_map(|text| text.parse().ok()).collect();
        let tokens = api_token::names(read, &tokens, by.id).await?;
        let users: BTreeSet<UserId> = nouns()
            .chain(actors)
            .filter_map(|text| text.parse().ok())
            .chain(entries.iter().filter_map(|entry| entry.user_id))
            .collect();
        let connections: BTreeSet<ConnectionId> = nouns().filter_map(|noun| noun.parse().ok()).collect();
        let projects: BTreeSet<ProjectId> = entries.iter().filter_map(|entry| entry.project_id).collect();
        let users = user::names(read, &users).await?;
        let connections = connection::named(read, &connections, by.id)
            .await?
            .into_iter()
            .map(|named| {
                let name = format!("{} ({})", self.provider_name(&named.provider_id), named.label);
                (named.id.to_string(), (name, named.status != ConnectionStatus::Revoked))
            })
            .collect();
        let projects = project::named(read, &projects, by.id)
            .await?
            .into_iter()
            .map(|named| (named.id.to_string(), (named.name, named.desired != Desired::Deleted)))
            .collect();
        Ok(Names { users, tokens, connections, projects })
    }
}

/// What is known of the nouns of a page: the name, and whether there is a page of it to go to.
struct Names {
    users: HashMap<UserId, String>,
    tokens: HashMap<ApiTokenId, String>,
    connections: HashMap<String, (String, bool)>,
    projects: HashMap<String, (String, bool)>,
}

impl Names {
    fn view(&self, entry: Entry) -> AuditView {
        AuditView {
            actor: self.noun(&entry.actor),
            noun: self.noun(&entry.noun),
            project: entry.project_id.map(|id| self.noun(&id.to_string())),
            owner: entry.user_id.map(|id| self.noun(&id.to_string())),
            entry,
        }
    }

    fn noun(&self, id: &str) -> AuditNoun {
        let kind = NounKind::of(id);
        let found = match kind {
            NounKind::User => {
                let name = id.parse().ok().and_then(|id: UserId| self.users.get(&id));
                name.map(|name| (name.clone(), false))
            }
            NounKind::ApiToken => {
                let name = id.parse().ok().and_then(|id: ApiTokenId| self.tokens.get(&id));
                name.map(|name| (name.clone(), false))
            }
            NounKind::Connection => self.connections.get(id).cloned(),
            NounKind::Project => self.projects.get(id).cloned(),
            NounKind::SignIn | NounKind::Job | NounKind::Doce | NounKind::Cli | NounKind::Nobody | NounKind::Other => {
                None
            }
        };
        let (name, open) = found.map_or((None, false), |(name, open)| (Some(name), open));
        AuditNoun { kind, id: id.to_owned(), name, open }
    }
}
