//! Makes what a plan says, one noun after the other.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use camino::{Utf8Path, Utf8PathBuf};
use doce_legacy::Subject;
use doce_model::{
    AuditAction, AuditEvent, AuthType, Connection, ConnectionStatus, Ctx, Desired, Failure, ImportedKind, Message,
    MessageId, MessageState, ModelRef, NextMove, Part, PartId, PartKind, Project, Session, SessionId, Speaker, UserId,
};
use doce_store::{Tx, connection, conversation, imported, model_preference, project, user};
use doce_vault::ExposeSecret as _;

use crate::{
    App, Error, SandboxState, chain,
    import::{
        ImportLine, ImportOutcome, ImportProgress,
        keys::{Becomes, Held, KeyPlan},
        people::UserPlan,
        plan::{ImportPlan, Noun},
        projects::ProjectPlan,
        workspace,
    },
    jobs::apply_delivery,
    logins::tokens,
    make_private_directory,
    steps::workspace::first_commit,
};

/// What stands below the first prompt of a Project that came over.
const NOTICE: &str = "This project was brought over from doce.dev with its files. \
                      What was said about it there stayed there; the next prompt begins a new conversation.";
/// What the first commit of a Project without a repository is called.
const COMMIT: &str = "Bring the project over from doce.dev";

impl App {
    /// Does what a plan says, telling what begins and what is settled. Returns all lines.
    ///
    /// What fails is a line of its own and stops nothing. Only one import is carried out at a time: by the command, or by
    /// the server that has the data directory. Projects come in stopped, so no Job knows them before they are whole.
    pub async fn carry_out(
        &self,
        ctx: &Ctx,
        plan: ImportPlan,
        tell: &mut (dyn FnMut(ImportProgress<'_>) + Send),
    ) -> Vec<ImportLine> {
        let mut lines = Vec::new();
        let mut absent: HashSet<UserId> = HashSet::new();
        let mut connected: BTreeSet<UserId> = BTreeSet::new();
        for planned in plan.planned {
            let mut line = planned.line;
            tell(ImportProgress::Begins(&line));
            let mut more = None;
            let done = match planned.noun {
                Noun::User(_) | Noun::Key(_) | Noun::Project(_) if self.stopping.is_cancelled() => Err(ending()),
                Noun::User(user) => {
                    let done = self.import_user(ctx, &plan.source, &user).await;
                    if done.is_err() {
                        absent.insert(user.user.id);
                    }
                    done
                }
                Noun::Key(key) if absent.contains(&key.user_id) => Err(no_owner()),
                Noun::Key(key) => {
                    connected.insert(key.user_id);
                    self.import_key(ctx, &plan.source, key).await
                }
                Noun::Project(project) if absent.contains(&project.user_id) => Err(no_owner()),
                Noun::Project(project) => {
                    let done = self.import_project(ctx, &plan.source, &project).await.map(|git| more = git);
                    if done.is_ok() {
                        self.publish_project(project.id).await;
                    }
                    done
                }
            };
            if let Err(e) = done {
                line.outcome = ImportOutcome::Failed;
                line.detail = chain(&e);
            }
            tell(ImportProgress::Settled(&line));
            lines.push(line);
            if let Some(line) = more {
                tell(ImportProgress::Settled(&line));
                lines.push(line);
            }
        }
        for line in plan.others {
            tell(ImportProgress::Settled(&line));
            lines.push(line);
        }
        self.jobs.wake();
        self.renewals.notify_one();
        // A launch may have waited for one of these keys.
        if let Err(e) = self.resume_waiting(None).await {
            tracing::error!(error = chain(&e), "what waits for a key was not looked at");
        }
        for user_id in connected {
            if let Err(e) = self.publish_connections(user_id).await {
                tracing::error!(user = %user_id, error = chain(&e), "connections that came over were not told of");
            }
        }
        lines
    }

    async fn import_user(&self, ctx: &Ctx, source: &str, plan: &UserPlan) -> Result<(), Error> {
        let mut tx = self.store.write(ctx).await?;
        user::insert(&mut tx, &plan.user, plan.password_hash.expose_secret()).await?;
        for preference in &plan.models {
            model_preference::put(&mut tx, plan.user.id, preference).await?;
        }
        let id = plan.user.id.to_string();
        let what = format!("user {} of {source}", doce_legacy::plain(&plan.user.username));
        remember(
            &mut tx,
            source,
            ImportedKind::User,
            &plan.old_id,
            &id,
            AuditEvent::ok(AuditAction::Import, &id).detail(what),
        )
        .await?;
        Ok(tx.commit().await?)
    }

    async fn import_key(&self, ctx: &Ctx, source: &str, plan: KeyPlan) -> Result<(), Error> {
        let now = ctx.now();
        let (id, provider_id, label, is_default, held) = match plan.becomes {
            Becomes::Existing(id) => {
                let mut tx = self.store.write(ctx).await?;
                imported::insert(&mut tx, source, ImportedKind::Key, &plan.old_id, &id.to_string()).await?;
                return Ok(tx.commit().await?);
            }
            Becomes::Connection { id, provider_id, label, is_default, held } => {
                (id, provider_id, label, is_default, held)
            }
        };
        let (auth_type, expires_at, secret, metadata) = match &held {
            Held::Key(key, metadata) => (AuthType::Api, None, key.clone(), metadata.clone()),
            Held::Login(login) => (AuthType::OAuth, tokens::expiry(login), tokens::to_secret(login)?, BTreeMap::new()),
        };
        let mut tx = self.store.write(ctx).await?;
        // Since the plan was made its owner may have connected this provider.
        let others = connection::list(&mut tx, plan.user_id).await?;
        let is_default = is_default && !others.iter().any(|c| c.is_default && c.provider_id == provider_id);
        let record = Connection {
            id,
            user_id: plan.user_id,
            provider_id,
            label,
            auth_type,
            status: ConnectionStatus::Connected,
            error_message: None,
            // Nobody has been asked yet: the page offers to.
            verification: None,
            base_url: None,
            is_default,
            fingerprint: self.vault.fingerprint(held.secret()),
            last_four: doce_vault::last_four(held.secret()),
            version: 1,
            created_at: now,
            updated_at: now,
            expires_at,
            last_used_at: None,
            key_since: now,
            max_age_days: None,
            kept_version: None,
        };
        let metadata_sealed = self.seal_metadata(&tx, &record, &metadata)?;
        let credential = self.seal_secret(&tx, &record, &secret)?;
        connection::insert(&mut tx, &record, metadata_sealed.as_deref()).await?;
        connection::insert_credential(&mut tx, &credential).await?;
        let event = AuditEvent::ok(AuditAction::Import, &id)
            .fingerprint(&record.fingerprint)
            .detail(format!("{} ({}) of {source}", record.provider_id, record.label));
        remember(&mut tx, source, ImportedKind::Key, &plan.old_id, &id.to_string(), event).await?;
        if is_default {
            apply_delivery::enqueue_for_user(self, &mut tx, plan.user_id).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Copies a Project's files and writes its rows. Returns a line about its repository if there is something to say.
    async fn import_project(
        &self,
        ctx: &Ctx,
        source: &str,
        plan: &Arc<ProjectPlan>,
    ) -> Result<Option<ImportLine>, Error> {
        let directory = self.layout.project(plan.id);
        // Crash: the id is the same at every try, so what an earlier one left behind is found here, and is nobody's.
        remove(&directory).await?;
        let made = self.make_project(ctx, source, plan, &directory).await;
        if made.is_err() {
            remove(&directory).await?;
        }
        made
    }

    async fn make_project(
        &self,
        ctx: &Ctx,
        source: &str,
        plan: &Arc<ProjectPlan>,
        directory: &Utf8Path,
    ) -> Result<Option<ImportLine>, Error> {
        let now = ctx.now();
        let (workspace, home) = (directory.join("workspace"), directory.join("home"));
        let project = Project {
            id: plan.id,
            user_id: plan.user_id,
            name: plan.name.clone(),
            slug: plan.slug.clone(),
            desired: Desired::Stopped,
            model: plan
                .model
                .clone()
                .unwrap_or_else(|| ModelRef { provider_id: String::new(), model_id: String::new() }),
            workspace: workspace.to_string(),
            home: home.to_string(),
            created_at: plan.created_at,
            updated_at: now,
            last_active_at: plan.created_at,
        };
        let (copied, to) = (Arc::clone(plan), workspace.clone());
        tokio::task::spawn_blocking(move || {
            make_private_directory(&home).map_err(std::io::Error::other)?;
            workspace::copy(&copied, &to)
        })
        .await
        .map_err(Error::internal)?
        .map_err(Error::internal)?;
        let git = self.make_repository(&project, &workspace).await;

        let mut tx = self.store.write(ctx).await?;
        project::insert(&mut tx, &project).await?;
        for (provider_id, id) in &plan.chosen {
            if connection::find(&mut tx, *id).await?.is_some_and(|found| found.user_id == plan.user_id) {
                connection::choose(&mut tx, plan.id, plan.user_id, provider_id, *id).await?;
            }
        }
        insert_conversation(&mut tx, plan).await?;
        let event =
            AuditEvent::ok(AuditAction::Import, &plan.id).detail(format!("project {} of {source}", plan.old_id));
        remember(&mut tx, source, ImportedKind::Project, &plan.old_id, &plan.id.to_string(), event).await?;
        tx.commit().await?;
        Ok(git)
    }

    /// Makes a git repository of a Workspace that has none. Without one a Project works, too.
    async fn make_repository(&self, project: &Project, workspace: &Utf8Path) -> Option<ImportLine> {
        if workspace.join(".git").exists() {
            return None;
        }
        let reason = match self.sandbox() {
            SandboxState::Unavailable { reason, .. } => reason,
            SandboxState::Active | SandboxState::Overridden => {
                match first_commit(self, project, workspace, COMMIT).await {
                    Ok(()) => return None,
                    Err(e) => e.failure().message.clone(),
                }
            }
        };
        let detail = format!("no git repository could be made: {reason}");
        Some(ImportLine::new(ImportOutcome::Left, Subject::Project, &project.name, detail))
    }
}

/// Writes what was first asked for, as something that an Agent has had long ago: nothing ever sends it.
async fn insert_conversation(tx: &mut Tx, plan: &ProjectPlan) -> Result<(), Error> {
    let (now, then) = (tx.now(), plan.created_at);
    let session = Session { id: SessionId::new(then), project_id: plan.id, agent_session_id: None, created_at: then };
    conversation::insert_session(tx, &session, plan.user_id).await?;
    let said = [
        (Speaker::User, MessageState::Sent, PartKind::Text, plan.prompt.as_str(), then),
        // The last Message is an answer, so that nothing waits for one.
        (Speaker::Assistant, MessageState::Complete, PartKind::Notice, NOTICE, now),
    ];
    for (speaker, state, kind, text, at) in said.into_iter().filter(|(_, _, _, text, _)| !text.is_empty()) {
        let (id, part_id) = (MessageId::new(at), PartId::new(at));
        let message = Message {
            id,
            session_id: session.id,
            agent_message_id: doce_opencode::message_id(at.0),
            speaker,
            state,
            model: plan.model.clone().filter(|_| speaker == Speaker::User),
            connection_id: None,
            failure: None,
            created_at: at,
            completed_at: None,
            parts: Vec::new(),
        };
        conversation::insert_message(tx, &message, plan.user_id).await?;
        let part = Part {
            id: part_id,
            agent_part_id: part_id.to_string(),
            message_id: id,
            position: 0,
            kind,
            text: Some(text.to_owned()),
            tool: None,
        };
        conversation::upsert_part(tx, &part, plan.user_id).await?;
    }
    Ok(())
}

/// Writes that something came over, and the audit event of it.
async fn remember(
    tx: &mut Tx,
    source: &str,
    kind: ImportedKind,
    old_id: &str,
    noun_id: &str,
    event: AuditEvent,
) -> Result<(), Error> {
    imported::insert(tx, source, kind, old_id, noun_id).await?;
    Ok(tx.audit(event).await?)
}

async fn remove(directory: &Utf8Path) -> Result<(), Error> {
    let directory: Utf8PathBuf = directory.to_owned();
    let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(directory)).await;
    match removed.map_err(Error::internal)? {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::internal(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn ending() -> Error {
    Error::Conflict(Failure::new("stopping", "the server was ending; the next run brings it over", NextMove::Retry))
}

fn no_owner() -> Error {
    Error::Invalid { field: "owner", message: "the account that it belongs to could not be made".to_owned() }
}
