//! Uses of Connections: each is counted, and at most once a minute an audit event tells of them.
//!
//! The first answer is told at once; what comes within a minute of that is told together when the minute is over. The
//! counts are in rows: what waited when the program ended is told at its next start.

use std::time::Duration;

use doce_model::{Actor, AuditAction, AuditEvent, Connection, Ctx, Ms, ProjectId};
use doce_store::{connection, project, usage};

use crate::{App, Error, chain};

/// How often an audit event tells of the answers that a Connection paid for in a Project.
pub const USE_TOLD_EVERY: Duration = Duration::from_mins(1);

impl App {
    /// Records that an Agent got an answer with a version of a Connection.
    pub(crate) async fn record_use(
        &self,
        ctx: &Ctx,
        paid: &Connection,
        version: i64,
        project_id: ProjectId,
    ) -> Result<(), Error> {
        let mut tx = self.store.write(ctx).await?;
        connection::touch(&mut tx, paid.id).await?;
        if let Some(mut project) = project::find(&mut tx, project_id).await? {
            project.last_active_at = tx.now();
            project::update(&mut tx, &project).await?;
        }
        let used = usage::Use {
            connection_id: paid.id,
            version,
            project_id,
            user_id: paid.user_id,
            fingerprint: (paid.version == version).then(|| paid.fingerprint.clone()),
        };
        if let Some(told) = usage::record(&mut tx, used, USE_TOLD_EVERY).await? {
            tx.audit(event(told)).await?;
        }
        tx.commit().await?;
        self.uses.notify_one();
        Ok(())
    }
}

/// Tells of what waited a minute, for as long as the program runs.
pub(crate) async fn tell_uses(app: &App) {
    loop {
        let next = match tell_due(app).await {
            Ok(next) => next,
            Err(e) => {
                tracing::error!(error = chain(&e), "the uses of connections were not told");
                Some(USE_TOLD_EVERY)
            }
        };
        let minute = async {
            match next {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = minute => {}
            () = app.uses.notified() => {}
            () = app.stopping.cancelled() => return,
        }
    }
}

/// Tells of what is due, and returns how long it is until more is.
async fn tell_due(app: &App) -> Result<Option<Duration>, Error> {
    let now = app.clock.now();
    let Some(oldest) = usage::oldest(&mut app.store.read().await?).await? else {
        return Ok(None);
    };
    if oldest.plus(USE_TOLD_EVERY) > now {
        return Ok(Some(oldest.plus(USE_TOLD_EVERY).since(now)));
    }
    let ctx = app.ctx(Actor::Reconciler("uses"), "uses");
    let mut tx = app.store.write(&ctx).await?;
    let every = i64::try_from(USE_TOLD_EVERY.as_millis()).unwrap_or(i64::MAX);
    for told in usage::take_due(&mut tx, Ms(now.0.saturating_sub(every))).await? {
        tx.audit(event(told)).await?;
    }
    tx.commit().await?;
    Ok(Some(Duration::ZERO))
}

fn event(told: usage::Told) -> AuditEvent {
    let answers = if told.answers == 1 { "1 answer".to_owned() } else { format!("{} answers", told.answers) };
    let event = AuditEvent::ok(AuditAction::Use, &told.used.connection_id)
        .of(told.used.user_id)
        .project(told.used.project_id)
        .detail(answers);
    match told.used.fingerprint {
        Some(fingerprint) => event.fingerprint(&fingerprint),
        None => event,
    }
}
