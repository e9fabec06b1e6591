//! After a start: Agents that survived are adopted, all others of ours are ended.

use doce_model::{Instance, Observed, SessionStatus};
use doce_opencode::Client;
use doce_runtime::Identity;
use doce_store::instance;
use doce_vault::Identity as SealedFor;
use std::time::Duration;

use crate::{
    App, Error,
    agents::{self, Arrival},
    chain,
    conversations::session_of,
    follower,
    keys::AGENT_PASSWORD,
    previews,
    retry::until_done,
};

/// How long a survivor may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Adopts every Agent whose process, password and answer all match its row, and ends every other process of ours.
pub(crate) async fn adopt_survivors(app: &App) {
    let live = async || Ok::<_, Error>(instance::list_live(&mut app.store.read().await?).await?);
    let Some(live) = until_done(app, "the instances could not be read", live).await else { return };
    let mut kept = Vec::new();
    // All at once: a silent one must not keep the others from being found.
    let adoptions = live.into_iter().map(|record| async move {
        let adopted = adopt(app, &record).await;
        (record, adopted)
    });
    for (record, adopted) in futures::future::join_all(adoptions).await {
        let words = match adopted {
            Ok(Some(identity)) => {
                kept.push(identity);
                continue;
            }
            Ok(None) => "was gone after a restart",
            Err(e) => {
                tracing::error!(instance = %record.id, error = chain(&e), "an agent could not be adopted");
                "could not be taken up after a restart and was ended"
            }
        };
        app.runtime.sweep(&crate::steps::instance::marker(app, record.id), &[]).await;
        agents::note_end(app, record.project_id, record.id, words.to_owned()).await;
    }
    let swept = app.runtime.sweep(&format!("{}-", app.installation), &kept).await;
    for stray in swept.killed {
        tracing::info!(pid = stray.pid, marker = stray.marker, "a process that nobody knew was ended");
    }
    for stray in swept.survived {
        tracing::error!(pid = stray.pid, marker = stray.marker, "a process of ours could not be ended");
    }
}

/// Adopts one Agent. `None` if it isn't there, isn't the one of the row, or doesn't answer.
async fn adopt(app: &App, record: &Instance) -> Result<Option<Identity>, Error> {
    let (Some(pid), Some(start_time), Some(boot_id), Some(port), Some(sealed)) = (
        record.pid.and_then(|pid| u32::try_from(pid).ok()),
        record.pid_started.and_then(|ticks| u64::try_from(ticks).ok()),
        record.boot_id.clone(),
        record.port,
        record.password_sealed.as_deref(),
    ) else {
        return Ok(None);
    };
    if app.require_sandbox().is_err() {
        return Ok(None);
    }
    let project = app.find_project(record.project_id).await?;
    let session = session_of(&mut app.store.read().await?, project.id).await?;
    let (id, user) = (record.id.to_string(), project.user_id.to_string());
    let password = app
        .vault
        .open(&SealedFor { noun: AGENT_PASSWORD, id: &id, user: &user, version: 1 }, sealed)
        .map_err(Error::internal)?;
    let identity = Identity { pid, start_time, boot_id };
    let Some(running) = app.runtime.adopt(&identity, app.layout.log(project.id, "agent")) else {
        return Ok(None);
    };
    let client = Client::new(port, &password);
    let answers = tokio::select! {
        answered = client.wait_healthy(ANSWER_WITHIN) => answered.is_ok(),
        // It is adopted to be stopped, below.
        () = app.stopping.cancelled() => true,
    };
    if !answers {
        if let Err(e) = running.stop(Duration::from_secs(1)).await {
            tracing::error!(instance = %record.id, error = chain(&e), "a silent agent could not be ended");
        }
        return Ok(None);
    }
    let ctx = app.ctx(doce_model::Actor::Reconciler("instances"), &id);
    let mut tx = app.store.write(&ctx).await?;
    instance::observe(&mut tx, record.id, Observed::Healthy).await?;
    tx.commit().await?;
    let agent = agents::register(
        app,
        Arrival {
            instance_id: record.id,
            project_id: project.id,
            user_id: project.user_id,
            session_id: session.id,
            client,
            running,
        },
    );
    if let Some(agent_session) = session.agent_session_id {
        // Until the follower has looked, it may be in the middle of an answer.
        agent.status.send_replace(SessionStatus::Busy);
        follower::follow(app, &agent, agent_session);
        previews::ensure(app, &project);
    }
    // Whoever ends the server stops the Agents that it finds, after it has said so: this one may have come too late.
    if app.stopping.is_cancelled() {
        agents::stop(app, &agent).await?;
        return Ok(Some(identity));
    }
    app.publish_project(project.id).await;
    tracing::info!(instance = %record.id, pid, "adopted");
    Ok(Some(identity))
}
