//! Projects: create, list, change, start, stop, delete.
//!
//! A request writes what is wanted and enqueues the Job that brings it about, in one transaction; the answer does not
//! wait for it. What a Project is doing is derived from its Jobs and its Instance each time, and stored nowhere.

use std::collections::HashMap;

use doce_jobs::{EnqueueError, New, Policy};
use doce_model::{
    AuditAction, AuditEvent, Connection, ConnectionId, Ctx, Delivery, Desired, Failure, Instance, Job, JobId, JobState,
    Message, MessageId, MessageState, ModelRef, Ms, NextMove, Observed, Part, PartId, PartKind, Project, ProjectId,
    Session, SessionId, SessionStatus, Speaker, User,
    project::{NAME_MAX, PROMPT_MAX, ProjectState, name_from_prompt, slug_from},
};
use doce_store::{Read, Tx, connection, conversation, delivery, instance, job, project};

use crate::{
    App, Error, catalogue,
    conversations::session_of,
    events::Change,
    jobs::{self, delete_project, launch_project, start_project, stop_project},
    model_preferences::note_use,
    views::{NewProject, ProjectChange, ProjectView},
};

/// Projects on a page, unless the caller wants another number.
const PAGE: i64 = 50;
/// Most Projects on a page.
const PAGE_MAX: i64 = 200;

impl App {
    /// Lists a page of a user's Projects, last active first, and where the next one begins.
    pub async fn list_projects(
        &self,
        _ctx: &Ctx,
        user: &User,
        cursor: Option<&str>,
        limit: Option<i64>,
    ) -> Result<(Vec<ProjectView>, Option<String>), Error> {
        let limit = limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let after = cursor.map(read_cursor::<ProjectId>).transpose()?;
        let mut read = self.store.read().await?;
        let projects = project::list(&mut read, user.id, after, limit).await?;
        let full = i64::try_from(projects.len()).unwrap_or(i64::MAX) == limit;
        let next = projects.last().filter(|_| full).map(|last| format!("{}.{}", last.last_active_at.0, last.id));
        Ok((self.project_views(&mut read, projects).await?, next))
    }

    /// Returns one of a user's Projects.
    pub async fn get_project(&self, _ctx: &Ctx, user: &User, id: ProjectId) -> Result<ProjectView, Error> {
        let mut read = self.store.read().await?;
        let project = own_project(&mut read, user, id).await?;
        self.project_view(&mut read, project).await
    }

    /// Makes a Project with its first Prompt and enqueues its launch.
    pub async fn create_project(&self, ctx: &Ctx, user: &User, new: NewProject) -> Result<(ProjectView, Job), Error> {
        let prompt = check_prompt(&new.prompt, "prompt")?;
        let name = match new.name.as_deref() {
            Some(name) => check_name(name)?,
            None => name_from_prompt(&prompt),
        };
        self.require_sandbox().map_err(Error::Conflict)?;
        // The Provider may be connected later: the launch waits for that.
        let paying = self.paying(user, &new.model, &new.connections).await?;
        self.check_model_is_there(user, &new.model, paying.as_ref()).await?;

        let now = ctx.now();
        let id = ProjectId::new(now);
        let directory = self.layout.project(id);
        let project = Project {
            id,
            user_id: user.id,
            slug: slug_from(&name, id),
            name,
            desired: Desired::Running,
            model: new.model.clone(),
            workspace: directory.join("workspace").to_string(),
            home: directory.join("home").to_string(),
            created_at: now,
            updated_at: now,
            last_active_at: now,
        };
        let session = Session { id: SessionId::new(now), project_id: id, agent_session_id: None, created_at: now };

        let mut tx = self.store.write(ctx).await?;
        let chosen = self.check_choice(&mut tx, user, &new.connections).await?;
        project::insert(&mut tx, &project).await?;
        for connection in &chosen {
            connection::choose(&mut tx, id, user.id, &connection.provider_id, connection.id).await?;
        }
        conversation::insert_session(&mut tx, &session, user.id).await?;
        let message = insert_prompt(&mut tx, user, session.id, &prompt, &project.model).await?;
        note_use(&mut tx, user, &project.model).await?;
        let enqueued = self
            .jobs
            .enqueue(
                &mut tx,
                New::new(launch_project::KIND, jobs::project_subject(id), user.id)
                    .project(id)
                    .payload(&launch_project::Payload { message_id: message.id.to_string() }),
            )
            .await
            .map_err(enqueue_error)?;
        tx.audit(AuditEvent::ok(AuditAction::CreateProject, &id)).await?;
        let job = job::find(&mut tx, enqueued.id).await?.ok_or_else(|| Error::not_found("job", enqueued.id))?;
        tx.commit().await?;
        self.jobs.changed(enqueued.changed());
        let view = self.project_view(&mut self.store.read().await?, project).await?;
        self.bus.publish(user.id, Change::Project(Box::new(view.clone())));
        self.publish_recents(user).await?;
        Ok((view, job))
    }

    /// Renames a Project, chooses the model of its next prompts, or who pays for them.
    pub async fn change_project(
        &self,
        ctx: &Ctx,
        user: &User,
        id: ProjectId,
        change: ProjectChange,
    ) -> Result<ProjectView, Error> {
        let ProjectChange { name, model, connections } = change;
        if let Some(model) = &model {
            let chosen = self.choice_with(user, id, &connections).await?;
            self.check_model(user, model, &chosen).await?;
        }
        let name = name.as_deref().map(check_name).transpose()?;
        let mut tx = self.store.write(ctx).await?;
        let mut project = own_project(&mut tx, user, id).await?;
        let only_switches = name.is_none() && model.is_none() && !connections.is_empty();
        self.switch_connections(&mut tx, user, id, &connections).await?;
        if let Some(name) = name {
            project.name = name;
        }
        let mut waiting = Vec::new();
        if let Some(model) = model {
            project.model = model.clone();
            // A launch that waits for a key sends its Prompt with the model that was chosen instead.
            let live = job::live_for_subject(&mut tx, &jobs::project_subject(id)).await?;
            if live.iter().any(|job| job.waits_for().is_some()) {
                let session = session_of(&mut tx, id).await?;
                waiting = conversation::in_states(&mut tx, session.id, &[MessageState::Waiting]).await?;
            }
            for message in &mut waiting {
                message.model = Some(model.clone());
                conversation::update_message(&mut tx, message).await?;
            }
        }
        project::update(&mut tx, &project).await?;
        if !only_switches {
            tx.audit(AuditEvent::ok(AuditAction::ChangeProject, &id)).await?;
        }
        tx.commit().await?;
        for message in waiting {
            self.publish_message(id, message.id).await;
        }
        self.resume_waiting(Some(user.id)).await?;
        let view = self.project_view(&mut self.store.read().await?, project).await?;
        self.bus.publish(user.id, Change::Project(Box::new(view.clone())));
        if !connections.is_empty() {
            self.jobs.wake();
            self.publish_connections(user.id).await?;
        }
        Ok(view)
    }

    /// Starts a Project. One that runs gets its preview back.
    pub async fn start_project(&self, ctx: &Ctx, user: &User, id: ProjectId) -> Result<Job, Error> {
        self.require_sandbox().map_err(Error::Conflict)?;
        crate::program::retry(self);
        let mut tx = self.store.write(ctx).await?;
        let mut project = own_project(&mut tx, user, id).await?;
        project.desired = Desired::Running;
        project::update(&mut tx, &project).await?;
        let enqueued = self.enqueue_start(&mut tx, &project).await?;
        tx.audit(AuditEvent::ok(AuditAction::StartProject, &id)).await?;
        self.commit_job(tx, enqueued).await
    }

    /// Writes a Job that starts a Project into the caller's transaction.
    pub(crate) async fn enqueue_start(&self, tx: &mut Tx, project: &Project) -> Result<doce_jobs::Enqueued, Error> {
        self.jobs
            .enqueue(
                tx,
                New::new(start_project::KIND, jobs::project_subject(project.id), project.user_id)
                    .project(project.id)
                    .policy(Policy::Coalesce),
            )
            .await
            .map_err(enqueue_error)
    }

    /// Stops a Project; a launch that is under way is cancelled first.
    pub async fn stop_project(&self, ctx: &Ctx, user: &User, id: ProjectId) -> Result<Job, Error> {
        let mut tx = self.store.write(ctx).await?;
        let mut project = own_project(&mut tx, user, id).await?;
        project.desired = Desired::Stopped;
        project::update(&mut tx, &project).await?;
        let enqueued = self
            .jobs
            .enqueue(
                &mut tx,
                New::new(stop_project::KIND, jobs::project_subject(id), user.id).project(id).policy(Policy::Supersede),
            )
            .await
            .map_err(enqueue_error)?;
        tx.audit(AuditEvent::ok(AuditAction::StopProject, &id)).await?;
        self.commit_job(tx, enqueued).await
    }

    /// Writes, into the caller's transaction, a Job for each Project of a user that is to run: it stops.
    pub(crate) async fn enqueue_stops_of(&self, tx: &mut Tx, user: &User) -> Result<Vec<JobId>, Error> {
        let mut changed = Vec::new();
        for mut project in project::list(tx, user.id, None, i64::MAX).await? {
            if project.desired != Desired::Running {
                continue;
            }
            project.desired = Desired::Stopped;
            project::update(tx, &project).await?;
            let new = New::new(stop_project::KIND, jobs::project_subject(project.id), user.id)
                .project(project.id)
                .policy(Policy::Supersede);
            let enqueued = self.jobs.enqueue(tx, new).await.map_err(enqueue_error)?;
            tx.audit(AuditEvent::ok(AuditAction::StopProject, &project.id).of(user.id)).await?;
            changed.extend(enqueued.changed());
        }
        Ok(changed)
    }

    /// Deletes a Project with its Workspace, its Agent's home and its conversation.
    pub async fn delete_project(&self, ctx: &Ctx, user: &User, id: ProjectId) -> Result<Job, Error> {
        let mut tx = self.store.write(ctx).await?;
        let mut project = own_project(&mut tx, user, id).await?;
        project.desired = Desired::Deleted;
        project::update(&mut tx, &project).await?;
        let enqueued = self
            .jobs
            .enqueue(
                &mut tx,
                New::new(delete_project::KIND, jobs::project_subject(id), user.id)
                    .project(id)
                    .policy(Policy::Supersede),
            )
            .await
            .map_err(enqueue_error)?;
        tx.audit(AuditEvent::ok(AuditAction::DeleteProject, &id)).await?;
        self.commit_job(tx, enqueued).await
    }

    /// Lists what the Project's Instance was handed.
    pub async fn project_deliveries(&self, _ctx: &Ctx, user: &User, id: ProjectId) -> Result<Vec<Delivery>, Error> {
        let mut read = self.store.read().await?;
        own_project(&mut read, user, id).await?;
        match instance::find_live(&mut read, id).await? {
            Some(instance) => Ok(delivery::of_instance(&mut read, instance.id).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Commits, wakes the workers and returns the Job as it stands.
    pub(crate) async fn commit_job(&self, mut tx: Tx, enqueued: doce_jobs::Enqueued) -> Result<Job, Error> {
        let job = job::find(&mut tx, enqueued.id).await?.ok_or_else(|| Error::not_found("job", enqueued.id))?;
        tx.commit().await?;
        self.jobs.changed(enqueued.changed());
        Ok(job)
    }

    pub(crate) async fn find_project(&self, id: ProjectId) -> Result<Project, Error> {
        project::find(&mut self.store.read().await?, id).await?.ok_or_else(|| Error::not_found("project", id))
    }

    /// Tells the owner's browsers how a Project stands.
    pub(crate) async fn publish_project(&self, id: ProjectId) {
        let view = async {
            let mut read = self.store.read().await?;
            match project::find(&mut read, id).await? {
                Some(project) => Ok(Some(self.project_view(&mut read, project).await?)),
                None => Ok::<_, Error>(None),
            }
        };
        match view.await {
            Ok(Some(view)) => self.bus.publish(view.project.user_id, Change::Project(Box::new(view))),
            Ok(None) => {}
            Err(e) => {
                tracing::error!(project = %id, error = crate::chain(&e), "a project was not published");
            }
        }
    }

    /// Derives what a Project is doing.
    pub(crate) async fn project_view(&self, read: &mut impl Read, project: Project) -> Result<ProjectView, Error> {
        let id = project.id;
        self.project_views(read, vec![project]).await?.pop().ok_or_else(|| Error::not_found("project", id))
    }

    /// Derives what each of these Projects is doing, with as many queries as for one.
    async fn project_views(&self, read: &mut impl Read, projects: Vec<Project>) -> Result<Vec<ProjectView>, Error> {
        let subjects = projects.iter().map(|project| jobs::project_subject(project.id)).collect();
        let mut by_subject: HashMap<String, Vec<Job>> = HashMap::new();
        for job in job::present(read, &subjects).await? {
            by_subject.entry(job.subject.clone()).or_default().push(job);
        }
        let ids = projects.iter().map(|project| project.id).collect();
        let live = instance::live_of(read, &ids).await?;
        let mut instances: HashMap<ProjectId, Instance> =
            live.into_iter().map(|instance| (instance.project_id, instance)).collect();
        let view = |project: Project| {
            let jobs = by_subject.remove(&jobs::project_subject(project.id)).unwrap_or_default();
            let instance = instances.remove(&project.id);
            self.view_of(project, jobs, instance)
        };
        Ok(projects.into_iter().map(view).collect())
    }

    /// Derives what a Project is doing from the Jobs that concern it, oldest first, and its Instance.
    fn view_of(&self, project: Project, jobs: Vec<Job>, instance: Option<Instance>) -> ProjectView {
        let (live, mut ended): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| match job.state {
            JobState::Queued | JobState::Running => true,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled | JobState::Stuck => false,
        });
        let live = live.into_iter().next();
        let failed = ended.pop().filter(|job| match job.state {
            JobState::Failed | JobState::Stuck => live.is_none(),
            JobState::Queued | JobState::Running | JobState::Succeeded | JobState::Cancelled => false,
        });
        let healthy = instance.as_ref().is_some_and(|instance| match instance.observed {
            Observed::Healthy | Observed::Unhealthy => true,
            Observed::Starting | Observed::Exited => false,
        });
        let state = match (&live, &failed) {
            _ if project.desired == Desired::Deleted && live.is_some() => ProjectState::Deleting,
            (Some(job), _) if job.kind == stop_project::KIND => ProjectState::Stopping,
            (Some(job), _) if job.kind == delete_project::KIND => ProjectState::Deleting,
            // Starting what runs already (for its preview) is no launch.
            (Some(job), _) if job.kind == start_project::KIND && healthy => ProjectState::Running,
            (Some(_), _) => ProjectState::Launching,
            (None, _) if healthy => ProjectState::Running,
            (None, Some(_)) => ProjectState::Failed,
            (None, None) => ProjectState::Stopped,
        };
        let session = self.agents.find(project.id).map_or(SessionStatus::None, |agent| agent.status());
        let preview = self.previews.view(project.id);
        ProjectView { project, state, job: live.or(failed), instance, session, preview }
    }

    /// Refuses a model that no Connection of the user reaches. `chosen` are the Connections that stand in for defaults.
    pub(crate) async fn check_model(
        &self,
        user: &User,
        model: &ModelRef,
        chosen: &[(String, ConnectionId)],
    ) -> Result<(), Error> {
        let paying = self.paying(user, model, chosen).await?;
        if paying.is_none() && !model.model_id.is_empty() {
            return Err(Error::Refused(Failure::new(
                "provider_not_connected",
                format!(
                    "{} is not connected. Connect it first, or choose another model.",
                    self.provider_name(&model.provider_id)
                ),
                NextMove::ConnectProvider,
            )));
        }
        self.check_model_is_there(user, model, paying.as_ref()).await
    }

    /// Returns the Connection that would pay for a model.
    async fn paying(
        &self,
        user: &User,
        model: &ModelRef,
        chosen: &[(String, ConnectionId)],
    ) -> Result<Option<Connection>, Error> {
        let connections = connection::list(&mut self.store.read().await?, user.id).await?;
        let mut in_use = connection::used(&connections, chosen).into_iter();
        Ok(in_use.find(|connection| connection.provider_id == model.provider_id).cloned())
    }

    /// Refuses a model that there is not.
    async fn check_model_is_there(
        &self,
        user: &User,
        model: &ModelRef,
        paying: Option<&Connection>,
    ) -> Result<(), Error> {
        if model.model_id.is_empty() {
            return Err(Error::Refused(Failure::new(
                "no_model",
                "This project has no model yet. Choose one.",
                NextMove::SwitchModel,
            )));
        }
        let stored = catalogue::ready(&self.catalogue).await?;
        if let Some(custom) = self.customs.own(user.id, &model.provider_id) {
            if custom.models.iter().any(|known| known.id == model.model_id) {
                return Ok(());
            }
        } else {
            let Some(provider) = stored.provider(&model.provider_id) else {
                return Err(unusable_provider(format!(
                    "{} is not among the providers of this version. Choose another model.",
                    self.provider_name(&model.provider_id)
                )));
            };
            if let Some(reason) = catalogue::unusable(provider, stored.methods()) {
                return Err(unusable_provider(reason));
            }
            let known = catalogue::model_views(provider).iter().any(|known| known.id == model.model_id);
            let takes_typed = paying.is_some_and(|paying| catalogue::takes_typed(provider, paying));
            if known || (takes_typed && is_model_id(&model.model_id)) {
                return Ok(());
            }
        }
        Err(Error::Invalid {
            field: "model",
            message: format!(
                "{} has no model `{}`. Choose one from its list.",
                self.provider_name(&model.provider_id),
                model.model_id.chars().take(80).collect::<String>()
            ),
        })
    }

    /// Lists which Connections were chosen for a Project, once `choice` is among them.
    pub(crate) async fn choice_with(
        &self,
        user: &User,
        id: ProjectId,
        choice: &[(String, Option<ConnectionId>)],
    ) -> Result<Vec<(String, ConnectionId)>, Error> {
        let mut read = self.store.read().await?;
        own_project(&mut read, user, id).await?;
        let mut chosen = connection::chosen(&mut read, id).await?;
        chosen.retain(|(provider, _)| !choice.iter().any(|(other, _)| other == provider));
        chosen.extend(choice.iter().filter_map(|(provider, id)| id.map(|id| (provider.clone(), id))));
        Ok(chosen)
    }

    /// Returns a Provider's name for sentences; its id if the catalogue isn't there or doesn't know it.
    pub(crate) fn provider_name(&self, provider_id: &str) -> String {
        if let Some(custom) = self.customs.find(provider_id) {
            return custom.name.clone();
        }
        if let catalogue::CatalogueState::Ready(stored) = &*self.catalogue.borrow()
            && let Some(provider) = stored.provider(provider_id)
        {
            return provider.name.clone();
        }
        if let Some(endpoint) = doce_opencode::endpoints::find(provider_id) {
            return endpoint.name.clone();
        }
        if provider_id.is_empty() { "The provider".to_owned() } else { provider_id.to_owned() }
    }
}

fn unusable_provider(message: String) -> Error {
    Error::Refused(Failure::new("provider_refused", message, NextMove::SwitchModel))
}

/// The rule a typed model id keeps.
pub(crate) fn is_model_id(text: &str) -> bool {
    (1..=200).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\' && c != '{')
}

/// Writes a user's Message that waits to be sent.
pub(crate) async fn insert_prompt(
    tx: &mut Tx,
    user: &User,
    session_id: SessionId,
    text: &str,
    model: &ModelRef,
) -> Result<Message, Error> {
    let now = tx.now();
    let id = MessageId::new(now);
    let part_id = PartId::new(now);
    let part = Part {
        id: part_id,
        agent_part_id: part_id.to_string(),
        message_id: id,
        position: 0,
        kind: PartKind::Text,
        text: Some(text.to_owned()),
        tool: None,
    };
    let message = Message {
        id,
        session_id,
        agent_message_id: doce_opencode::message_id(now.0),
        speaker: Speaker::User,
        state: MessageState::Waiting,
        model: Some(model.clone()),
        connection_id: None,
        failure: None,
        created_at: now,
        completed_at: None,
        parts: vec![part.clone()],
    };
    conversation::insert_message(tx, &message, user.id).await?;
    conversation::upsert_part(tx, &part, user.id).await?;
    Ok(message)
}

pub(crate) async fn own_project(read: &mut impl Read, user: &User, id: ProjectId) -> Result<Project, Error> {
    project::find(read, id)
        .await?
        .filter(|project| project.user_id == user.id)
        .ok_or_else(|| Error::not_found("project", id))
}

pub(crate) fn check_prompt(text: &str, field: &'static str) -> Result<String, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::Invalid { field, message: "Say what to build.".to_owned() });
    }
    if text.len() > PROMPT_MAX {
        return Err(Error::Invalid {
            field,
            message: format!("A prompt has at most {PROMPT_MAX} bytes; this one has {}.", text.len()),
        });
    }
    Ok(text.to_owned())
}

fn check_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(Error::Invalid { field: "name", message: format!("A name has 1 to {NAME_MAX} characters.") });
    }
    Ok(name.to_owned())
}

/// Reads where a page begins: a time and an id.
pub(crate) fn read_cursor<I: std::str::FromStr>(cursor: &str) -> Result<(Ms, I), Error> {
    cursor
        .split_once('.')
        .and_then(|(at, id)| Some((Ms(at.parse().ok()?), id.parse().ok()?)))
        .ok_or_else(|| Error::Invalid { field: "cursor", message: "Use the `next` of the page before.".to_owned() })
}

pub(crate) fn enqueue_error(error: EnqueueError) -> Error {
    match error {
        EnqueueError::Busy(_) => Error::Conflict(Failure::new(
            "busy",
            "Something else is being done with this right now. Wait until it has ended.",
            NextMove::None,
        )),
        EnqueueError::TooMany => Error::Conflict(Failure::new(
            "too_many_jobs",
            "You have too many jobs under way. Wait until some have ended.",
            NextMove::None,
        )),
        EnqueueError::Store(error) => error.into(),
        EnqueueError::UnknownKind(_) | EnqueueError::PayloadTooLong(_) => Error::internal(error),
    }
}
