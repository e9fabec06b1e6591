//! Logins at Providers: attempts that a person begins, answers and cancels.
//!
//! `OpenCode` runs the login, in a server that belongs to no Project ([`server`]); doce keeps the attempt for
//! [`LASTS`] at most, tells the browser on the event stream how it goes, and puts the tokens into the vault when it
//! ends well.
//! Attempts are in memory: a restart of doce ends them, and says so by not knowing them any more.

mod places;
pub(crate) mod renewal;
pub(crate) mod server;
pub(crate) mod tokens;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use doce_model::{
    AuditAction, AuditEvent, ConnectionId, Ctx, Failure, Ms, NextMove, OAuthAttemptId, Role, User, UserId,
};
use doce_opencode::{
    CallError,
    catalogue::{AuthKind, AuthMethod},
    login::{self, Authorization, LoginEnd, MethodFacts, Redirect, RedirectError, Replay},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    App, Error, catalogue, chain,
    connections::{NewLogin, check_new_label},
    events::Change,
    probe, program,
};
use places::Places;
use server::LoginServer;

/// How long a person may take at most.
const LASTS: Duration = Duration::from_mins(10);
/// How long before `OpenCode` gives a login up by itself its attempt ends: the end is then what the page announced.
const BEFORE_ITS_END: Duration = Duration::from_secs(5);
/// Attempts of a user that ended and can still be looked at.
const KEPT: usize = 8;
/// How long the replay of a redirect may take.
const REPLAY_WITHIN: Duration = Duration::from_secs(30);
/// Characters of a code or address that a person may paste.
const ANSWER_MAX: usize = 8 * 1024;

/// What is known of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptView {
    /// Which.
    pub id: OAuthAttemptId,
    /// At which Provider.
    pub provider_id: String,
    /// Its name.
    pub provider_name: String,
    /// What the person has to do.
    pub kind: AttemptKind,
    /// The page to open.
    pub url: String,
    /// What `OpenCode` says about it.
    pub instructions: String,
    /// How far it is.
    pub state: AttemptState,
    /// When it is given up.
    pub expires_at: Ms,
}

/// What the person has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptKind {
    /// Enter a code on the provider's page.
    Device {
        /// The code.
        code: String,
    },
    /// Open a page that sends the browser to an address of the server itself. On another machine that address does not
    /// open: it is pasted.
    Redirect {
        /// How the address begins.
        address: String,
    },
    /// Open a page, and paste the code that it shows.
    Code,
    /// Open a page; the rest happens by itself.
    Page,
}

/// How far an attempt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptState {
    /// It waits for the person.
    Waiting,
    /// The Provider is connected.
    Succeeded {
        /// The Connection.
        connection_id: ConnectionId,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: String,
    },
    /// The person cancelled it.
    Cancelled,
    /// The person took too long.
    Expired,
}

/// What an attempt is begun with.
#[derive(Debug)]
pub struct NewAttempt {
    /// The Provider.
    pub provider_id: String,
    /// The method's place in the Provider's list.
    pub method: usize,
    /// Answers to the method's questions.
    pub inputs: BTreeMap<String, String>,
    /// What to call the Connection.
    pub label: Option<String>,
    /// The Connection whose login this renews; a new one is made otherwise.
    pub connection_id: Option<ConnectionId>,
}

/// The attempts of this run of the server.
#[derive(Default)]
pub(crate) struct Attempts {
    places: Places,
    all: Mutex<HashMap<OAuthAttemptId, Attempt>>,
}

struct Attempt {
    user_id: UserId,
    view: AttemptView,
    redirect: Option<Redirect>,
    cancel: CancellationToken,
    /// Takes the code that the person was shown.
    codes: mpsc::Sender<String>,
}

impl Attempts {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OAuthAttemptId, Attempt>> {
        // A panic while it was held can't leave it half changed: each change is one call.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, user_id: UserId, id: OAuthAttemptId) -> Result<AttemptView, Error> {
        let all = self.lock();
        let found = all.get(&id).filter(|attempt| attempt.user_id == user_id);
        found.map(|attempt| attempt.view.clone()).ok_or_else(|| Error::not_found("login", id))
    }

    /// Keeps an attempt, and forgets the oldest of its user that ended.
    fn insert(&self, attempt: Attempt) {
        let mut all = self.lock();
        let mut ended: Vec<OAuthAttemptId> = all
            .iter()
            .filter(|(_, other)| other.user_id == attempt.user_id && other.view.state != AttemptState::Waiting)
            .map(|(id, _)| *id)
            .collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(KEPT);
        for id in ended.into_iter().take(surplus) {
            all.remove(&id);
        }
        all.insert(attempt.view.id, attempt);
    }
}

fn failed(message: impl Into<String>) -> Error {
    Error::Refused(Failure::new("login_failed", message.into(), NextMove::Retry))
}

impl App {
    /// Begins a login at a Provider: starts a server for it and asks the Provider for a page or a code.
    ///
    /// It takes some seconds. What follows is told on the event stream.
    pub async fn begin_login(&self, ctx: &Ctx, user: &User, new: NewAttempt) -> Result<AttemptView, Error> {
        self.require_sandbox().map_err(Error::Conflict)?;
        let (provider_name, method) = self.login_method(&new).await?;
        probe::check_metadata(&new.inputs).map_err(|message| Error::Invalid { field: "inputs", message })?;
        if let Some(id) = new.connection_id {
            let connection = self.own_connection(&mut self.store.read().await?, user.id, id).await?;
            if connection.provider_id != new.provider_id {
                return Err(Error::Invalid {
                    field: "connection_id",
                    message: "That connection is one to another provider.".to_owned(),
                });
            }
        } else if let Some(label) = new.label.as_deref() {
            check_new_label(self, user.id, &new.provider_id, label).await?;
        }
        let facts = login::facts(&new.provider_id);
        let fixed_port = facts.and_then(|facts| facts.fixed_port);
        let lasts = lasts(facts.and_then(|facts| facts.method(new.method)));
        let id = OAuthAttemptId::new(ctx.now());
        let place = self.logins.places.take(id, user.id, &new.provider_id, fixed_port).await?;
        check_address(&new, user.role).await?;
        let path = program::ready(self, |_progress| {}).await.map_err(Error::Conflict)?;
        let server = LoginServer::start(self, id, &path).await.map_err(failed)?;
        let begun = server.client.begin_login(&new.provider_id, new.method, &new.inputs).await;
        let authorization = match begun {
            Ok(Some(authorization)) => authorization,
            Ok(None) => {
                server.end().await;
                return Err(failed(format!("{provider_name} has no such way to sign in.")));
            }
            Err(e) => {
                server.end().await;
                return Err(failed(not_begun(&provider_name, &e)));
            }
        };
        let redirect = authorization.redirect();
        let view = AttemptView {
            id,
            provider_id: new.provider_id.clone(),
            provider_name,
            kind: kind_of(&authorization, redirect.as_ref()),
            url: web_address(&authorization.url),
            instructions: authorization.instructions.chars().take(500).collect(),
            state: AttemptState::Waiting,
            expires_at: ctx.now().plus(lasts),
        };
        let mut tx = match self.store.write(ctx).await {
            Ok(tx) => tx,
            Err(e) => {
                server.end().await;
                return Err(e.into());
            }
        };
        let audited = tx.audit(AuditEvent::ok(AuditAction::BeginLogin, &id).detail(&new.provider_id)).await;
        if let Err(e) = match audited {
            Ok(()) => tx.commit().await,
            Err(e) => Err(e),
        } {
            server.end().await;
            return Err(e.into());
        }

        // Only a method that listens needs the port to itself.
        if !matches!(view.kind, AttemptKind::Redirect { .. }) {
            place.leave_port();
        }
        let cancel = place.cancel.clone();
        let (codes, code) = mpsc::channel(1);
        let attempt = Attempt { user_id: user.id, view: view.clone(), redirect, cancel: cancel.clone(), codes };
        self.logins.insert(attempt);
        let (app, user, ctx) = (self.clone(), user.clone(), ctx.clone());
        self.tasks.spawn(async move {
            let state = app
                .watch_login(&ctx, &user, id, &new, method, authorization.method, lasts, &server, cancel, code)
                .await;
            server.end().await;
            drop(place);
            app.settle_login(user.id, id, state);
        });
        Ok(view)
    }

    /// Returns one of a user's attempts.
    pub fn get_login(&self, _ctx: &Ctx, user: &User, id: OAuthAttemptId) -> Result<AttemptView, Error> {
        self.logins.find(user.id, id)
    }

    /// Gives an attempt what the person was shown: a code, or the address that their browser could not open.
    pub async fn answer_login(
        &self,
        ctx: &Ctx,
        user: &User,
        id: OAuthAttemptId,
        answer: &str,
    ) -> Result<AttemptView, Error> {
        let view = self.logins.find(user.id, id)?;
        if view.state != AttemptState::Waiting {
            return Err(Error::Conflict(Failure::new(
                "login_ended",
                "This sign-in has ended. Begin another one.",
                NextMove::None,
            )));
        }
        let answer = answer.trim();
        let invalid = |message: String| Error::Invalid { field: "code", message };
        if answer.is_empty() || answer.len() > ANSWER_MAX || answer.chars().any(char::is_control) {
            return Err(invalid("Paste the whole address, or the code, on one line.".to_owned()));
        }
        let (redirect, codes) = {
            let all = self.logins.lock();
            let attempt = all.get(&id).ok_or_else(|| Error::not_found("login", id))?;
            (attempt.redirect.clone(), attempt.codes.clone())
        };
        match (&view.kind, redirect) {
            (AttemptKind::Redirect { address }, Some(redirect)) => {
                let replay = redirect.check(answer).map_err(|e| invalid(explain(e, address)))?;
                self.audit_answer(ctx, id).await?;
                self.replay(&redirect, replay).await?;
            }
            (AttemptKind::Code, _) => {
                self.audit_answer(ctx, id).await?;
                // One is waited for; a second one while it is tried is as good as none.
                drop(codes.try_send(answer.to_owned()));
            }
            (AttemptKind::Device { .. } | AttemptKind::Page | AttemptKind::Redirect { .. }, _) => {
                return Err(invalid("This sign-in needs nothing pasted: finish it on the provider's page.".to_owned()));
            }
        }
        self.logins.find(user.id, id)
    }

    /// Gives an attempt up.
    pub async fn cancel_login(&self, ctx: &Ctx, user: &User, id: OAuthAttemptId) -> Result<(), Error> {
        self.logins.find(user.id, id)?;
        let mut tx = self.store.write(ctx).await?;
        tx.audit(AuditEvent::ok(AuditAction::CancelLogin, &id)).await?;
        tx.commit().await?;
        if let Some(attempt) = self.logins.lock().get(&id) {
            attempt.cancel.cancel();
        }
        Ok(())
    }

    async fn audit_answer(&self, ctx: &Ctx, id: OAuthAttemptId) -> Result<(), Error> {
        let mut tx = self.store.write(ctx).await?;
        tx.audit(AuditEvent::ok(AuditAction::AnswerLogin, &id)).await?;
        Ok(tx.commit().await?)
    }

    async fn login_method(&self, new: &NewAttempt) -> Result<(String, AuthMethod), Error> {
        let stored = catalogue::ready(&self.catalogue).await?;
        let provider =
            stored.provider(&new.provider_id).ok_or_else(|| Error::not_found("provider", &new.provider_id))?;
        let method = stored.methods().get(&new.provider_id).and_then(|methods| methods.get(new.method));
        let method = method.filter(|method| method.kind == AuthKind::OAuth).ok_or_else(|| Error::Invalid {
            field: "method",
            message: format!("{} has no such way to sign in.", provider.name),
        })?;
        if let Some(message) = catalogue::login_refusal(provider) {
            return Err(Error::Refused(Failure::new("provider_refused", message, NextMove::ConnectProvider)));
        }
        Ok((provider.name.clone(), method.clone()))
    }

    /// Waits for the end of a login, and puts what it left into the vault.
    #[expect(clippy::too_many_arguments, reason = "the body of one task, told all that its attempt is made of")]
    async fn watch_login(
        &self,
        ctx: &Ctx,
        user: &User,
        id: OAuthAttemptId,
        new: &NewAttempt,
        method: AuthMethod,
        end: LoginEnd,
        lasts: Duration,
        server: &LoginServer,
        cancel: CancellationToken,
        mut code: mpsc::Receiver<String>,
    ) -> AttemptState {
        let finish = async {
            let code = match end {
                LoginEnd::Auto => None,
                LoginEnd::Code => code.recv().await,
            };
            server.client.finish_login(&new.provider_id, new.method, code.as_deref(), lasts).await
        };
        let failed = |reason: String| AttemptState::Failed { reason };
        let finished = tokio::select! {
            finished = finish => finished,
            () = cancel.cancelled() => return AttemptState::Cancelled,
            () = self.stopping.cancelled() => return AttemptState::Cancelled,
            () = tokio::time::sleep(lasts) => return AttemptState::Expired,
            ending = server.running.exited() => return failed(format!("The sign-in's OpenCode {ending}. Begin again.")),
        };
        let name = self.provider_name(&new.provider_id);
        match finished {
            Ok(()) => {}
            Err(CallError::TimedOut { .. }) => return AttemptState::Expired,
            Err(e) => {
                tracing::info!(attempt = %id, provider = new.provider_id, error = chain(&e), "a sign-in failed");
                return failed(format!(
                    "{name} did not finish the sign-in. It was refused there, or took too long. Begin again."
                ));
            }
        }
        let Some(harvest) = server.harvest(&new.provider_id).await else {
            return failed(format!(
                "The sign-in at {name} ended without leaving anything to connect with. Begin again."
            ));
        };
        let login = NewLogin {
            provider_id: new.provider_id.clone(),
            label: new.label.clone(),
            connection_id: new.connection_id,
            metadata: asked_for(&method, &new.inputs),
            harvest,
        };
        match self.connect_login(ctx, user, login).await {
            Ok(view) => AttemptState::Succeeded { connection_id: view.connection.id },
            Err(e) => {
                tracing::error!(attempt = %id, error = chain(&e), "a finished sign-in was not connected");
                failed(format!("The sign-in at {name} worked, and could not be kept: {e}. Begin again."))
            }
        }
    }

    fn settle_login(&self, user_id: UserId, id: OAuthAttemptId, state: AttemptState) {
        let view = {
            let mut all = self.logins.lock();
            let Some(attempt) = all.get_mut(&id) else { return };
            attempt.view.state = state;
            attempt.view.clone()
        };
        self.bus.publish(user_id, Change::Login(Box::new(view)));
    }

    /// Asks the login's own listener what the browser could not ask it.
    async fn replay(&self, redirect: &Redirect, replay: Replay) -> Result<(), Error> {
        let unreachable = |_: reqwest::Error| failed("The sign-in no longer waits for this address. Begin again.");
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(REPLAY_WITHIN)
            .build()
            .map_err(Error::internal)?;
        let base = format!("http://127.0.0.1:{}", redirect.port);
        let request = match replay {
            Replay::Query(query) => client.get(format!("{base}{}?{query}", redirect.path)),
            // What the page at the redirect does with the fragment, in its place.
            Replay::Fragment(fields) => client.post(format!("{base}/auth/token")).json(&fields),
        };
        let response = request.send().await.map_err(unreachable)?;
        if response.status().is_client_error() || response.status().is_server_error() {
            return Err(failed("The sign-in did not accept this address. Begin again."));
        }
        Ok(())
    }
}

/// Refuses answers that would have this server call where it must not for this person.
async fn check_address(new: &NewAttempt, role: Role) -> Result<(), Error> {
    let invalid = |message: String| Error::Invalid { field: "inputs", message };
    let address = login::instance_address(&new.provider_id, &new.inputs)
        .map_err(|e| invalid(format!("The answer to {} is not an address or the name of an account.", e.answer)))?;
    if let Some(address) = address {
        probe::allowed_addresses(&address, role).await.map_err(invalid)?;
    }
    Ok(())
}

/// Returns how long a person has for a method.
fn lasts(method: Option<&MethodFacts>) -> Duration {
    let its_own = method.and_then(|method| method.lasts).map_or(LASTS, |lasts| lasts.saturating_sub(BEFORE_ITS_END));
    its_own.min(LASTS)
}

/// Keeps the answers that the method's questions ask for: what the Agent's provider needs beside the tokens.
fn asked_for(method: &AuthMethod, inputs: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    inputs
        .iter()
        .filter(|(key, value)| !value.trim().is_empty() && method.prompts.iter().any(|prompt| prompt.key == **key))
        .map(|(key, value)| (key.clone(), value.trim().to_owned()))
        .collect()
}

fn kind_of(authorization: &Authorization, redirect: Option<&Redirect>) -> AttemptKind {
    if authorization.method == LoginEnd::Code {
        return AttemptKind::Code;
    }
    match (authorization.device_code(), redirect) {
        (Some(code), _) => AttemptKind::Device { code: code.to_owned() },
        (None, Some(redirect)) => {
            AttemptKind::Redirect { address: format!("http://localhost:{}{}", redirect.port, redirect.path) }
        }
        (None, None) => AttemptKind::Page,
    }
}

/// Lets only addresses of pages through: what a provider says becomes a link.
fn web_address(url: &str) -> String {
    url::Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .map(String::from)
        .unwrap_or_default()
}

fn not_begun(provider: &str, error: &CallError) -> String {
    if let CallError::Refused { status: 400, .. } = error {
        return format!("{provider} can't be signed in to with these answers. Check them.");
    }
    format!(
        "The sign-in at {provider} could not be begun: it could not be reached, or another program on this server uses \
         the port that the sign-in needs."
    )
}

fn explain(error: RedirectError, address: &str) -> String {
    match error {
        RedirectError::NotAnAddress => {
            format!("That is not an address. Copy the whole line from the browser; it begins with {address}")
        }
        RedirectError::OtherPlace => {
            format!("That is the address of another page. Paste the one that begins with {address}")
        }
        RedirectError::OtherState => {
            "That address belongs to another sign-in, or was cut off. Use the link above and paste its last address."
                .to_owned()
        }
        RedirectError::NoCode => "That address has no code in it. Sign in on the provider's page first.".to_owned(),
    }
}
