//! Deliveries: Credentials are handed to an Agent, read back, changed and taken back.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

use doce_jobs::{Step, StepCtx, StepError};
use doce_model::{
    AuditAction, AuditEvent, AuthType, Connection, ConnectionStatus, Ctx, Delivery, DeliveryId, DeliveryMode,
    DeliveryStatus, Failure, ModelRef, NextMove, Project,
};
use doce_opencode::{
    ReadBack,
    config::{AGENT_FILE, AgentConfig, CustomModel, CustomProvider, DeliveredProvider},
    endpoints::{self, Endpoint},
    login,
};
use doce_store::{Read, connection, delivery};
use tokio::sync::RwLockWriteGuard;

use crate::{
    App, Error,
    agents::Agent,
    catalogue, chain,
    connections::{Opened, Secret},
    custom,
    jobs::{apply_delivery, project_id, step_error},
    program::{self, CONFIG_DIRECTORY, write_beside},
    project_connections::waits_for_other,
    projects::is_model_id,
    steps::instance,
};

/// How long a reload that takes a Credential back waits for the answer that is being written.
const REVOKE_WAIT: Duration = Duration::from_mins(1);

pub(crate) fn deliver_step(app: &App) -> Step {
    let (a, b) = (app.clone(), app.clone());
    Step::new("deliver_credentials", "Hand over the keys", move |step| {
        let app = a.clone();
        async move { deliver(&app, &step).await }
    })
    .undo(move |step| {
        let app = b.clone();
        async move { revoke_all(&app, &step).await }
    })
}

/// A Connection that a Project's Agent is to hold, and what is known of its Provider.
struct Usable {
    connection: Connection,
    endpoint: Cow<'static, Endpoint>,
    /// What the Provider has that `OpenCode` doesn't know.
    custom: Option<CustomProvider>,
}

/// One whose Credential is opened, for one handing over.
struct Wanted {
    connection: Connection,
    provider: DeliveredProvider,
    opened: Opened,
}

/// Lists the Connections that a Project's Agent is to hold. No Credential is opened.
async fn usable(app: &App, project: &Project) -> Result<Vec<Usable>, Error> {
    let connections = connection::of_project(&mut app.store.read().await?, project.id, project.user_id).await?;
    let mut usable = Vec::with_capacity(connections.len());
    for connection in connections {
        match connection.status {
            ConnectionStatus::Connected | ConnectionStatus::Error => {}
            ConnectionStatus::Expired | ConnectionStatus::Revoked => continue,
        }
        // Deny by default: a Provider that was not measured, or that is refused, is not delivered.
        let own = app.customs.own(connection.user_id, &connection.provider_id);
        let endpoint = match &own {
            Some(own) => Cow::Owned(custom::endpoint_of(own)),
            None => match endpoints::find(&connection.provider_id) {
                Some(endpoint) => Cow::Borrowed(endpoint),
                None => continue,
            },
        };
        if endpoint.refusal().is_some() {
            continue;
        }
        let custom = match &own {
            Some(own) => Some(custom::config_of(own)),
            None => typed_model(app, project, &connection).await,
        };
        usable.push(Usable { connection, endpoint, custom });
    }
    Ok(usable)
}

/// Opens the Credentials of what is [`usable`], and pins where each is sent. One that can't be is left out.
///
/// Secret: they are in memory as long as what this returns.
async fn open(app: &App, project: &Project, usable: Vec<Usable>) -> Result<Vec<Wanted>, Error> {
    let mut wanted = Vec::with_capacity(usable.len());
    for Usable { connection, endpoint, custom } in usable {
        let opened = match app.open_credential(&connection).await {
            Ok(opened) => opened,
            // One that can't be opened keeps none of the others back, unless it is the one that the Project needs.
            Err(e) if connection.provider_id != project.model.provider_id => {
                tracing::error!(connection = %connection.id, error = chain(&e), "a credential could not be opened");
                continue;
            }
            Err(e) => return Err(e),
        };
        let Ok(base_url) = base_url(&endpoint, &connection, &opened) else {
            continue;
        };
        let provider = DeliveredProvider {
            id: connection.provider_id.clone(),
            npm: endpoint.npm.first().cloned().unwrap_or_default(),
            options: endpoint.pin(&base_url),
            custom,
        };
        wanted.push(Wanted { connection, provider, opened });
    }
    Ok(wanted)
}

/// Opens what a Project's Agent is to hold.
async fn wanted(app: &App, project: &Project) -> Result<Vec<Wanted>, Error> {
    open(app, project, usable(app, project).await?).await
}

/// Returns where a Connection's requests go. A login may have been at an instance of the user's own.
fn base_url(endpoint: &Endpoint, connection: &Connection, opened: &Opened) -> Result<String, endpoints::BaseUrlError> {
    let Secret::Tokens(tokens) = &opened.secret else {
        return endpoint.base_url(connection.base_url.as_deref(), &opened.metadata);
    };
    let mut metadata = opened.metadata.clone();
    if let Some(account) = &tokens.account_id {
        metadata.entry("account".to_owned()).or_insert_with(|| account.clone());
    }
    endpoint.base_url(tokens.base_url(&connection.provider_id).as_deref(), &metadata)
}

/// Declares a model that the catalogue doesn't know, where one may be typed.
async fn typed_model(app: &App, project: &Project, connection: &Connection) -> Option<CustomProvider> {
    let model = &project.model;
    if model.provider_id != connection.provider_id || !is_model_id(&model.model_id) {
        return None;
    }
    let stored = catalogue::ready(&app.catalogue).await.ok()?;
    let provider = stored.provider(&connection.provider_id)?;
    if !catalogue::takes_typed(provider, connection) || provider.models.iter().any(|known| known.id == model.model_id) {
        return None;
    }
    let typed = CustomModel { id: model.model_id.clone(), name: model.model_id.clone(), context: None, output: None };
    Some(CustomProvider { name: provider.name.clone(), models: vec![typed] })
}

/// Returns what a Project's Agent is configured with.
pub(crate) async fn agent_config(app: &App, project: &Project) -> Result<AgentConfig, Error> {
    Ok(config_of(app, project, wanted(app, project).await?.into_iter().map(|w| w.provider).collect()))
}

fn config_of(app: &App, project: &Project, providers: Vec<DeliveredProvider>) -> AgentConfig {
    let mut config = program::agent_config(instance::instructions(app, project));
    // Titles, too, are written by the model that was chosen: left to itself, OpenCode picks another one of the provider,
    // which nobody was asked about, and which isn't there behind an address of the user's own.
    let ModelRef { provider_id, model_id } = &project.model;
    if !model_id.is_empty() {
        config.small_model = Some(format!("{provider_id}/{model_id}"));
    }
    config.providers = providers;
    config
}

/// Writes an Agent's configuration. Returns whether it was another one before.
async fn write_config(app: &App, agent: &Agent, config: &AgentConfig) -> Result<bool, StepError> {
    let path = app.layout.instance(agent.instance_id).join(CONFIG_DIRECTORY).join(AGENT_FILE);
    let text = config.to_json();
    if tokio::fs::read(&path).await.is_ok_and(|before| before == text.as_bytes()) {
        return Ok(false);
    }
    write_beside(&path, text.as_bytes()).await.map_err(|e| super::workspace::disk_error(&path, e))?;
    Ok(true)
}

/// Effect: the Agent holds the Credentials its Project uses, and a Delivery says so for each. A repeat writes the same
/// again, which changes nothing. Undo: [`revoke_all`].
pub(crate) async fn deliver(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let id = project_id(step)?;
    let agent = instance::ready(app, step).await?;
    let project = app.find_project(id).await.map_err(step_error)?;
    let _gate = agent.gate.write().await;
    let held = held_by(app, &agent).await?;
    let wanted = wanted(app, &project).await.map_err(step_error)?;
    // An Agent that runs and holds all this already is left alone: a reload would cut its answer.
    let same = !held.is_empty() && held.len() == wanted.len() && wanted.iter().all(|w| is_held(&held, &w.connection));
    // One that answers is left alone too: the Job that came with the change waits for the answer's end.
    if same || !(held.is_empty() || agent.is_at_rest()) {
        return Ok(());
    }
    // Nothing was handed over yet, so nothing is lost by waiting. An Agent at work is never made to.
    if held.is_empty()
        && let Some(missing) = missing_key(app, &mut app.store.read().await.map_err(StepError::internal)?, &project)
            .await
            .map_err(step_error)?
    {
        return Err(StepError::wait(missing));
    }
    if !wanted.iter().any(|w| w.connection.provider_id == project.model.provider_id) {
        return Err(StepError::fail(Failure::new(
            "provider_not_connected",
            format!(
                "{} is not connected, and this project's model is one of its. Connect it, or choose another model.",
                app.provider_name(&project.model.provider_id)
            ),
            NextMove::ConnectProvider,
        )));
    }
    hand_over(app, &step.ctx, &agent, &project, wanted, held, false, |text| step.detail(text)).await
}

/// Says what a Project needs before an Agent can be set to work, if it needs something: a key of its model's Provider.
pub(crate) async fn missing_key(app: &App, read: &mut impl Read, project: &Project) -> Result<Option<Failure>, Error> {
    let connections = connection::of_project(read, project.id, project.user_id).await?;
    let found = connections.into_iter().find(|used| used.provider_id == project.model.provider_id);
    let provider = app.provider_name(&project.model.provider_id);
    let (id, message) = match found {
        Some(used) if used.is_usable() => return Ok(None),
        Some(used) if used.auth_type == AuthType::OAuth => {
            (used.id, format!("The sign-in at {provider} doesn't work any more. Sign in again, and this goes on."))
        }
        Some(used) => (used.id, format!("{provider} rejected the key. Replace it, and this goes on.")),
        None => {
            return Ok(Some(Failure::new(
                "needs_key",
                format!(
                    "{provider} is not connected, and this project's model is one of its. Connect it, and this goes on."
                ),
                NextMove::ConnectProvider,
            )));
        }
    };
    Ok(Some(Failure::new("needs_key", message, NextMove::ReplaceKey).about(id)))
}

/// Writes the configuration, hands over one by one, reloads if needed, reads back and records.
///
/// The caller holds the gate. `loaded` says whether the Agent has read its credentials before. One that held a
/// Credential which is not wanted any more has, and gives it up with a reload only.
#[expect(clippy::too_many_arguments, reason = "one operation, called from the launch and from a change")]
async fn hand_over(
    app: &App,
    ctx: &Ctx,
    agent: &Arc<Agent>,
    project: &Project,
    wanted: Vec<Wanted>,
    held: Vec<Delivery>,
    loaded: bool,
    detail: impl Fn(String),
) -> Result<(), StepError> {
    let config = config_of(app, project, wanted.iter().map(|w| w.provider.clone()).collect());
    // What a launch waited for is not in the configuration that its Agent began with.
    let other_config = write_config(app, agent, &config).await?;

    let keep: BTreeSet<&str> = wanted.iter().map(|w| w.connection.provider_id.as_str()).collect();
    let gone: Vec<&Delivery> =
        held.iter().filter(|d| d.status != DeliveryStatus::Revoked && !keep.contains(d.provider_id.as_str())).collect();
    for old in &gone {
        delete(app, agent, old).await?;
    }
    for w in &wanted {
        let provider = app.provider_name(&w.connection.provider_id);
        detail(format!("handing over {provider}"));
        put(agent, &w.connection, &w.opened).await.map_err(|e| not_delivered(&provider, &e))?;
    }
    // A login isn't shown by an Agent, so nothing else would tell that a repeat found it loaded with an older one.
    let has_login = wanted.iter().any(|w| w.connection.auth_type == AuthType::OAuth);
    if loaded || other_config || has_login || !gone.is_empty() {
        agent.client.dispose().await.map_err(|e| not_delivered("the keys", &e))?;
    }
    // Crash: recorded after the reload, or a repeat would find nothing to take back and leave out the reload.
    for old in gone {
        record_revoked(app, ctx, agent, old, "disconnected").await?;
    }
    for w in &wanted {
        let provider = app.provider_name(&w.connection.provider_id);
        let mut read = read_back(agent, w).await.map_err(|e| not_delivered(&provider, &e))?;
        if read != ReadBack::Same && !loaded && matches!(w.opened.secret, Secret::Key(_)) {
            // A repeat after a crash finds an Agent that had loaded already.
            agent.client.dispose().await.map_err(|e| not_delivered(&provider, &e))?;
            read = read_back(agent, w).await.map_err(|e| not_delivered(&provider, &e))?;
        }
        // Crash: only a power cut undoes this, and it takes the Agent along, and what that held.
        let mut tx = app.store.write_without_sync(ctx).await.map_err(StepError::internal)?;
        // In the transaction that records: a change of it comes before this, or finds the record.
        let Some((newest, _)) =
            connection::find_credential(&mut tx, w.connection.id).await.map_err(StepError::internal)?
        else {
            // Disconnected in this very moment: what was handed over, and loaded by reading it back, is taken back again.
            drop(tx);
            agent.client.delete_auth(&w.connection.provider_id).await.map_err(|e| not_delivered(&provider, &e))?;
            agent.client.dispose().await.map_err(|e| not_delivered(&provider, &e))?;
            continue;
        };
        let (status, reason) = match read {
            // Replaced after its PUT: the Job that was enqueued with the newer one hands that over.
            _ if newest.version != w.opened.version => {
                (DeliveryStatus::Stale, Some("a newer one came while this was handed over".to_owned()))
            }
            ReadBack::Same => (DeliveryStatus::Delivered, None),
            ReadBack::Different => {
                (DeliveryStatus::Failed, Some("the agent still shows another key after a reload".to_owned()))
            }
            ReadBack::Unknown => (
                DeliveryStatus::Delivered,
                Some("handed over; the agent does not show it, so it was not read back".to_owned()),
            ),
        };
        let failed = status == DeliveryStatus::Failed;
        let record = Delivery {
            id: DeliveryId::new(ctx.now()),
            instance_id: agent.instance_id,
            connection_id: w.connection.id,
            provider_id: w.connection.provider_id.clone(),
            version: w.opened.version,
            mode: DeliveryMode::Direct,
            status,
            reason,
            updated_at: ctx.now(),
        };
        delivery::upsert(&mut tx, &record, agent.user_id).await.map_err(StepError::internal)?;
        let mut event = AuditEvent::ok(AuditAction::Deliver, &w.connection.id)
            .of(agent.user_id)
            .project(agent.project_id)
            .fingerprint(&w.connection.fingerprint);
        if failed {
            "not_read_back".clone_into(&mut event.outcome);
        }
        tx.audit(event).await.map_err(StepError::internal)?;
        // What the Agent held of the Provider before is overwritten: another Connection of it is taken back thereby.
        let other = held.iter().find(|old| {
            old.provider_id == w.connection.provider_id
                && old.connection_id != w.connection.id
                && old.status != DeliveryStatus::Revoked
        });
        if let Some(other) = other {
            tx.audit(
                AuditEvent::ok(AuditAction::Revoke, &other.connection_id)
                    .of(agent.user_id)
                    .project(agent.project_id)
                    .detail("another connection took its place"),
            )
            .await
            .map_err(StepError::internal)?;
        }
        tx.commit().await.map_err(StepError::internal)?;
        if failed && w.connection.provider_id == project.model.provider_id {
            return Err(StepError::retry(Failure::new(
                "not_delivered",
                format!("{provider}'s key could not be handed to the agent: it still shows another one."),
                NextMove::Retry,
            )));
        }
    }
    app.publish_connections_soon(agent.user_id);
    Ok(())
}

/// Lists what an Agent was handed, and whether it still has it.
async fn held_by(app: &App, agent: &Agent) -> Result<Vec<Delivery>, StepError> {
    delivery::of_instance(&mut app.store.read().await.map_err(StepError::internal)?, agent.instance_id)
        .await
        .map_err(StepError::internal)
}

/// Tells whether an Agent was handed what a Connection is now.
fn is_held(held: &[Delivery], connection: &Connection) -> bool {
    held.iter().any(|d| {
        d.connection_id == connection.id && d.version == connection.version && d.status == DeliveryStatus::Delivered
    })
}

async fn put(agent: &Agent, connection: &Connection, opened: &Opened) -> Result<(), doce_opencode::CallError> {
    match &opened.secret {
        Secret::Key(key) => agent.client.put_auth(&connection.provider_id, key, &opened.metadata).await,
        Secret::Tokens(tokens) => agent.client.put_tokens(&connection.provider_id, tokens).await,
    }
}

/// Compares a key with what the Agent shows. Of a login it shows nothing: loading it is all that can be seen.
async fn read_back(agent: &Agent, wanted: &Wanted) -> Result<ReadBack, doce_opencode::CallError> {
    match &wanted.opened.secret {
        Secret::Key(key) => agent.client.read_back(&wanted.connection.provider_id, key).await,
        Secret::Tokens(tokens) => {
            agent.client.read_back(&wanted.connection.provider_id, &tokens.access).await.map(|_| ReadBack::Unknown)
        }
    }
}

fn not_delivered(what: &str, error: &doce_opencode::CallError) -> StepError {
    let failure = Failure::new(
        "not_delivered",
        format!("{what} could not be handed to the agent: {}.", crate::chain(error)),
        NextMove::Retry,
    );
    if error.is_transient() { StepError::retry(failure) } else { StepError::fail(failure) }
}

/// Removes a Credential from what the Agent keeps. A repeat removes nothing. What it has loaded it uses until a reload.
async fn delete(app: &App, agent: &Agent, old: &Delivery) -> Result<(), StepError> {
    let provider = app.provider_name(&old.provider_id);
    agent.client.delete_auth(&old.provider_id).await.map_err(|e| not_delivered(&provider, &e))
}

async fn record_revoked(app: &App, ctx: &Ctx, agent: &Agent, old: &Delivery, why: &str) -> Result<(), StepError> {
    let record = Delivery {
        status: DeliveryStatus::Revoked,
        reason: Some(why.to_owned()),
        updated_at: ctx.now(),
        ..old.clone()
    };
    let mut tx = app.store.write(ctx).await.map_err(StepError::internal)?;
    delivery::upsert(&mut tx, &record, agent.user_id).await.map_err(StepError::internal)?;
    tx.audit(
        AuditEvent::ok(AuditAction::Revoke, &old.connection_id).of(agent.user_id).project(agent.project_id).detail(why),
    )
    .await
    .map_err(StepError::internal)?;
    tx.commit().await.map_err(StepError::internal)
}

/// Undo of [`deliver`]: the Agent holds nothing. A repeat finds nothing; an Agent that is gone holds nothing either.
async fn revoke_all(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let Some(agent) = app.agents.find(project_id(step)?) else {
        return Ok(());
    };
    let held = held_by(app, &agent).await?;
    for old in held.iter().filter(|d| d.status != DeliveryStatus::Revoked) {
        delete(app, &agent, old).await?;
        record_revoked(app, &step.ctx, &agent, old, "the launch was undone").await?;
    }
    Ok(())
}

/// Effect: the Agent holds what its Project's Connections say now. A repeat finds nothing to change. No undo: the
/// wanted state has changed, and the next Job brings the newest about.
///
/// A key that was disconnected is taken back at once; the reload that makes it so waits at most [`REVOKE_WAIT`] for
/// an answer. A key that was replaced waits until the Agent is idle, however long that is, and without holding a
/// worker: the follower enqueues this Job again then. What could not be handed over is recorded as failed, with why.
pub(crate) async fn apply(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let applied = bring_about(app, step).await;
    if let Err(e) = &applied
        && let Err(unrecorded) = record_failed(app, step, e.failure()).await
    {
        tracing::error!(job = %step.job.id, error = chain(&unrecorded), "a delivery that failed was not recorded");
    }
    applied
}

/// Records why what waits to be handed over was not.
async fn record_failed(app: &App, step: &StepCtx, failure: &Failure) -> Result<(), Error> {
    let agent = step.payload().ok().and_then(|payload: apply_delivery::Payload| {
        payload.instance_id.parse().ok().and_then(|id| app.agents.find_instance(id))
    });
    let Some(agent) = agent else { return Ok(()) };
    let mut tx = app.store.write(&step.ctx).await?;
    for old in delivery::of_instance(&mut tx, agent.instance_id).await? {
        match old.status {
            DeliveryStatus::Pending | DeliveryStatus::Stale | DeliveryStatus::Failed => {}
            DeliveryStatus::Delivered | DeliveryStatus::Revoked => continue,
        }
        let record = Delivery {
            status: DeliveryStatus::Failed,
            reason: Some(failure.message.clone()),
            updated_at: step.ctx.now(),
            ..old
        };
        delivery::upsert(&mut tx, &record, agent.user_id).await?;
    }
    tx.commit().await?;
    app.publish_connections_soon(agent.user_id);
    Ok(())
}

async fn bring_about(app: &App, step: &StepCtx) -> Result<(), StepError> {
    let payload: apply_delivery::Payload = step.payload()?;
    let Some(agent) = payload.instance_id.parse().ok().and_then(|id| app.agents.find_instance(id)) else {
        return Ok(());
    };
    let project = app.find_project(agent.project_id).await.map_err(step_error)?;
    let held = held_by(app, &agent).await?;
    // Nothing was ever handed over: the launch is still on its way there, and takes the newest state itself.
    if held.is_empty() {
        return Ok(());
    }
    let newest = usable(app, &project).await.map_err(step_error)?;
    let mut revokes = false;
    for old in held.iter().filter(|d| d.status != DeliveryStatus::Revoked) {
        if !newest.iter().any(|u| u.connection.provider_id == old.provider_id) {
            delete(app, &agent, old).await?;
            revokes = true;
        }
    }
    if !revokes && newest.iter().all(|u| is_held(&held, &u.connection)) {
        return Ok(());
    }
    if !revokes && hand_over_live(app, step, &agent, &held, &newest).await? {
        return Ok(());
    }
    let at_once = agent.gate.try_write().ok().filter(|_| agent.is_at_rest());
    let (_gate, held, newest) = if let Some(gate) = at_once {
        (gate, held, newest)
    } else {
        let Some(gate) = closed_at_rest(step, &agent, revokes).await else {
            return mark_waiting(app, step, &agent, &held, &newest).await;
        };
        // What has changed meanwhile is handed over as it is now.
        (gate, held_by(app, &agent).await?, usable(app, &project).await.map_err(step_error)?)
    };
    let wanted = open(app, &project, newest).await.map_err(step_error)?;
    if !revokes && wanted.iter().all(|w| is_held(&held, &w.connection)) {
        return Ok(());
    }
    hand_over(app, &step.ctx, &agent, &project, wanted, held, true, |text| step.detail(text)).await
}

/// Closes an Agent's gate when nothing is being answered. Returns nothing if something is, and that may not be cut: a
/// Provider that was disconnected is waited for at most [`REVOKE_WAIT`].
async fn closed_at_rest<'a>(step: &StepCtx, agent: &'a Agent, revokes: bool) -> Option<RwLockWriteGuard<'a, ()>> {
    let deadline = tokio::time::Instant::now() + REVOKE_WAIT;
    loop {
        agent.answer_begun().await;
        if revokes {
            step.detail("waiting for the agent's answer, 60 s at most");
            if tokio::time::timeout_at(deadline, agent.idle()).await.is_err() {
                tracing::info!(instance = %agent.instance_id, "an answer is cut: its provider was disconnected");
                return Some(agent.gate.write().await);
            }
        } else if !agent.is_idle() {
            return None;
        }
        let gate = agent.gate.write().await;
        // A Prompt may have passed before the gate was closed: its answer is waited for like any other.
        if agent.is_at_rest() {
            return Some(gate);
        }
    }
}

/// Effect: the Agent knows the model of a Prompt, one that was typed among them. A repeat finds it known.
///
/// A model that is in no catalogue is declared in the Agent's configuration, which is read at a reload only; and what is
/// configured must fit what is held, so all is handed over with it.
pub(crate) async fn declare_model(
    app: &App,
    step: &StepCtx,
    agent: &Arc<Agent>,
    model: &ModelRef,
) -> Result<(), StepError> {
    if let catalogue::CatalogueState::Ready(stored) = &*app.catalogue.borrow()
        && stored.provider(&model.provider_id).is_some_and(|p| p.models.iter().any(|known| known.id == model.model_id))
    {
        return Ok(());
    }
    let project = Project { model: model.clone(), ..app.find_project(agent.project_id).await.map_err(step_error)? };
    loop {
        let typed = usable(app, &project).await.map_err(step_error)?.iter().any(|u| u.custom.is_some());
        if !typed || is_declared(app, agent, model).await {
            return Ok(());
        }
        agent.answer_begun().await;
        step.detail("waiting until the agent is idle");
        agent.idle().await;
        let _gate = agent.gate.write().await;
        if agent.is_at_rest() {
            let held = held_by(app, agent).await?;
            let wanted = wanted(app, &project).await.map_err(step_error)?;
            return hand_over(app, &step.ctx, agent, &project, wanted, held, true, |text| step.detail(text)).await;
        }
    }
}

/// Returns whether the configuration that the Agent was given names a model itself.
async fn is_declared(app: &App, agent: &Agent, model: &ModelRef) -> bool {
    let path = app.layout.instance(agent.instance_id).join(CONFIG_DIRECTORY).join(AGENT_FILE);
    let Ok(text) = tokio::fs::read(&path).await else { return false };
    let config: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    config["provider"][&model.provider_id]["models"].get(&model.model_id).is_some()
}

/// Hands over renewed tokens that the Agent reads anew at each request: no reload is needed, and no answer waits or is
/// cut. Returns whether that was all there is to change.
async fn hand_over_live(
    app: &App,
    step: &StepCtx,
    agent: &Agent,
    held: &[Delivery],
    newest: &[Usable],
) -> Result<bool, StepError> {
    let mut renewed = Vec::new();
    for w in newest.iter().filter(|u| !is_held(held, &u.connection)) {
        let is_live = w.connection.auth_type == AuthType::OAuth
            && login::facts(&w.connection.provider_id).is_some_and(|facts| facts.read_live);
        let before = held.iter().find(|d| {
            d.connection_id == w.connection.id && matches!(d.status, DeliveryStatus::Stale | DeliveryStatus::Failed)
        });
        match before.filter(|_| is_live) {
            Some(before) => renewed.push((w, before)),
            None => return Ok(false),
        }
    }
    for (w, before) in renewed {
        let provider = app.provider_name(&w.connection.provider_id);
        let opened = app.open_credential(&w.connection).await.map_err(step_error)?;
        put(agent, &w.connection, &opened).await.map_err(|e| not_delivered(&provider, &e))?;
        let record = Delivery {
            version: opened.version,
            status: DeliveryStatus::Delivered,
            reason: None,
            updated_at: step.ctx.now(),
            ..before.clone()
        };
        let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
        delivery::upsert(&mut tx, &record, agent.user_id).await.map_err(StepError::internal)?;
        tx.audit(
            AuditEvent::ok(AuditAction::Deliver, &w.connection.id)
                .of(agent.user_id)
                .project(agent.project_id)
                .fingerprint(&w.connection.fingerprint),
        )
        .await
        .map_err(StepError::internal)?;
        tx.commit().await.map_err(StepError::internal)?;
    }
    app.publish_connections_soon(agent.user_id);
    Ok(true)
}

/// Records that the newest Credentials wait until the Agent is idle.
async fn mark_waiting(
    app: &App,
    step: &StepCtx,
    agent: &Agent,
    held: &[Delivery],
    newest: &[Usable],
) -> Result<(), StepError> {
    let mut tx = app.store.write(&step.ctx).await.map_err(StepError::internal)?;
    for w in newest {
        let record = match held.iter().find(|d| d.provider_id == w.connection.provider_id) {
            Some(old) if old.connection_id == w.connection.id && old.version == w.connection.version => {
                continue;
            }
            Some(old) if old.connection_id != w.connection.id => waits_for_other(old.clone(), step.ctx.now()),
            Some(old) => Delivery {
                status: DeliveryStatus::Stale,
                reason: Some("a newer key waits until the agent is idle".to_owned()),
                updated_at: step.ctx.now(),
                ..old.clone()
            },
            None => Delivery {
                id: DeliveryId::new(step.ctx.now()),
                instance_id: agent.instance_id,
                connection_id: w.connection.id,
                provider_id: w.connection.provider_id.clone(),
                version: w.connection.version,
                mode: DeliveryMode::Direct,
                status: DeliveryStatus::Pending,
                reason: Some("waits until the agent is idle".to_owned()),
                updated_at: step.ctx.now(),
            },
        };
        delivery::upsert(&mut tx, &record, agent.user_id).await.map_err(StepError::internal)?;
    }
    tx.commit().await.map_err(StepError::internal)?;
    app.publish_connections_soon(agent.user_id);
    Ok(())
}
