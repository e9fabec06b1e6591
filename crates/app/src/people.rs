//! People: setting up, signing in and out, accounts and passwords.
//!
//! Hashing a password costs 19 MiB and tens of milliseconds by design, so only a few run at once, and failed
//! attempts are throttled by address and by name before any hashing happens.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use doce_model::{
    AuditAction, AuditEvent, Ctx, Ms, Role, SignIn, SignInId, User, UserId,
    user::{PASSWORD_MAX, PASSWORD_MIN, is_username},
};
pub use doce_store::user::InUse;
use doce_store::{StoreError, api_token, user};
use doce_vault::{ExposeSecret as _, SecretString, password};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{App, Error};

/// Passwords hashed at the same time.
const HASHING: usize = 4;
/// Failed attempts on one name before it must wait.
pub const FAILURES_PER_NAME: u32 = 10;
/// Failed attempts from one address before it must wait.
pub const FAILURES_PER_ADDRESS: u32 = 30;
/// How long failed attempts count.
pub const FAILURE_WINDOW: Duration = Duration::from_mins(10);
/// Names and addresses remembered at most; beyond that, those whose window is over are dropped.
const THROTTLE_ENTRIES: usize = 10_000;
/// How long a sign-in lasts after its last use.
pub const SIGN_IN_IDLE: Duration = Duration::from_hours(720);
/// How long a sign-in lasts at most.
pub const SIGN_IN_MAX: Duration = Duration::from_hours(4320);
/// How exactly the last use is recorded.
pub(crate) const TOUCH_EVERY: Duration = Duration::from_mins(1);
/// A hash that no password matches: an attempt on an unknown name takes as long as one on a known.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A sign-in that just began. The token goes into the cookie and is kept nowhere else.
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// The sign-in.
    pub sign_in: SignIn,
    /// What proves it.
    pub token: SecretString,
}

/// Counts failed attempts.
#[derive(Debug)]
pub(crate) struct Gatekeeper {
    hashing: Semaphore,
    failures: Mutex<HashMap<String, (u32, Ms)>>,
}

impl Default for Gatekeeper {
    fn default() -> Self {
        Self { hashing: Semaphore::new(HASHING), failures: Mutex::default() }
    }
}

impl Gatekeeper {
    /// Refuses an attempt while too many failed.
    fn check(&self, keys: &[(String, u32)], now: Ms) -> Result<(), Error> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, limit) in keys {
            if let Some((count, since)) = failures.get(key)
                && count >= limit
                && now.since(*since) < FAILURE_WINDOW
            {
                let retry_after = FAILURE_WINDOW.saturating_sub(now.since(*since));
                let minutes = retry_after.as_secs().div_ceil(60);
                return Err(Error::Unavailable {
                    code: "throttled",
                    message: format!("Too many failed attempts. Try again in {minutes} min."),
                    retry_after,
                });
            }
        }
        Ok(())
    }

    fn failed(&self, keys: &[(String, u32)], now: Ms) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= THROTTLE_ENTRIES {
            failures.retain(|_, (_, since)| now.since(*since) < FAILURE_WINDOW);
        }
        for (key, _) in keys {
            let entry = failures.entry(key.clone()).or_insert((0, now));
            if now.since(entry.1) >= FAILURE_WINDOW {
                *entry = (0, now);
            }
            entry.0 += 1;
        }
    }

    fn succeeded(&self, keys: &[(String, u32)]) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in keys {
            failures.remove(key);
        }
    }

    /// Waits for the right to do something as costly as hashing a password.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.hashing.acquire().await.map_err(Error::internal)
    }

    async fn matches(&self, given: SecretString, hash: String) -> Result<bool, Error> {
        let _permit = self.turn().await?;
        tokio::task::spawn_blocking(move || password::matches(&given, &hash)).await.map_err(Error::internal)
    }

    pub(crate) async fn hash(&self, given: SecretString) -> Result<String, Error> {
        let _permit = self.turn().await?;
        tokio::task::spawn_blocking(move || password::hash(&given))
            .await
            .map_err(Error::internal)?
            .map_err(Error::internal)
    }
}

pub(crate) fn check_password(password: &SecretString, field: &'static str) -> Result<(), Error> {
    let text = password.expose_secret();
    if text.chars().count() < PASSWORD_MIN {
        return Err(Error::Invalid { field, message: format!("A password has at least {PASSWORD_MIN} characters.") });
    }
    if text.len() > PASSWORD_MAX {
        return Err(Error::Invalid { field, message: format!("A password has at most {PASSWORD_MAX} bytes.") });
    }
    Ok(())
}

pub(crate) fn check_username(username: &str) -> Result<(), Error> {
    if is_username(username) {
        return Ok(());
    }
    Err(Error::Invalid {
        field: "username",
        message: "A username has 1 to 40 letters, digits, dots, hyphens or underscores.".to_owned(),
    })
}

pub(crate) fn new_sign_in(ctx: &Ctx, user_id: UserId, user_agent: Option<&str>) -> SignIn {
    let now = ctx.now();
    SignIn {
        id: SignInId::new(now),
        user_id,
        created_at: now,
        last_seen_at: now,
        expires_at: now.plus(SIGN_IN_IDLE),
        address: ctx.address.clone(),
        user_agent: user_agent.map(|text| text.chars().take(200).collect()),
    }
}

impl App {
    /// Tells whether the first account is still to be made.
    pub async fn setup_required(&self) -> Result<bool, Error> {
        Ok(user::count(&mut self.store.read().await?).await? == 0)
    }

    /// Makes the first account, an admin's, and signs it in.
    pub async fn setup(
        &self,
        ctx: &Ctx,
        username: &str,
        password: SecretString,
        user_agent: Option<&str>,
    ) -> Result<SignedIn, Error> {
        check_username(username)?;
        check_password(&password, "password")?;
        if !self.setup_required().await? {
            return Err(setup_done());
        }
        let hash = self.gatekeeper.hash(password).await?;
        let user = User {
            id: UserId::new(ctx.now()),
            username: username.to_owned(),
            role: Role::Admin,
            created_at: ctx.now(),
            disabled_at: None,
        };
        let sign_in = new_sign_in(ctx, user.id, user_agent);
        let token = doce_vault::token()?;
        let mut tx = self.store.write(&ctx.acting_as(doce_model::Actor::User(user.id))).await?;
        // Two people may set up at once: who comes second finds an account here.
        if user::count(&mut tx).await? > 0 {
            return Err(setup_done());
        }
        user::insert(&mut tx, &user, &hash).await?;
        user::insert_sign_in(&mut tx, &sign_in, &doce_vault::token_hash(token.expose_secret())).await?;
        tx.audit(AuditEvent::ok(AuditAction::SetUp, &user.id)).await?;
        tx.commit().await?;
        Ok(SignedIn { user, sign_in, token })
    }

    /// Signs a person in.
    pub async fn sign_in(
        &self,
        ctx: &Ctx,
        username: &str,
        password: SecretString,
        user_agent: Option<&str>,
    ) -> Result<SignedIn, Error> {
        let name: String = username.chars().take(80).collect::<String>().to_ascii_lowercase();
        let mut keys = vec![(format!("name {name}"), FAILURES_PER_NAME)];
        if let Some(address) = &ctx.address {
            keys.push((format!("address {address}"), FAILURES_PER_ADDRESS));
        }
        self.gatekeeper.check(&keys, ctx.now())?;
        if password.expose_secret().len() > PASSWORD_MAX {
            return Err(Error::NotSignedIn);
        }
        let found = user::find_by_name(&mut self.store.read().await?, username).await?;
        let hash = found.as_ref().map_or_else(|| NOBODY.to_owned(), |(_, hash)| hash.clone());
        let matches = self.gatekeeper.matches(password.clone(), hash).await?;
        let named = found.as_ref().map(|(user, _)| user.id);
        // Who is disabled is told no more than whoever guesses.
        let Some((user, hash)) = found.filter(|(user, _)| matches && user.disabled_at.is_none()) else {
            self.gatekeeper.failed(&keys, ctx.now());
            let mut tx = self.store.write(ctx).await?;
            let mut event = AuditEvent::refused(AuditAction::SignInRefused, &name, "sign_in_failed");
            event.user_id = named;
            tx.audit(event).await?;
            tx.commit().await?;
            return Err(Error::NotSignedIn);
        };
        self.gatekeeper.succeeded(&keys);
        // A hash that came from elsewhere is good for one sign-in: now the password is at hand to make ours.
        let renewed = if password::is_outdated(&hash) { Some(self.gatekeeper.hash(password).await?) } else { None };
        let sign_in = new_sign_in(ctx, user.id, user_agent);
        let token = doce_vault::token()?;
        let mut tx = self.store.write(&ctx.acting_as(doce_model::Actor::User(user.id))).await?;
        if let Some(renewed) = renewed {
            user::renew_hash(&mut tx, user.id, &hash, &renewed).await?;
        }
        user::delete_expired_sign_ins(&mut tx).await?;
        user::insert_sign_in(&mut tx, &sign_in, &doce_vault::token_hash(token.expose_secret())).await?;
        tx.audit(AuditEvent::ok(AuditAction::SignIn, &sign_in.id)).await?;
        tx.commit().await?;
        Ok(SignedIn { user, sign_in, token })
    }

    /// Finds who holds a sign-in's token, and puts off its end.
    pub async fn authenticate(&self, token: &str) -> Result<Option<(SignIn, User)>, Error> {
        let now = self.clock.now();
        let hash = doce_vault::token_hash(token);
        let Some((sign_in, user)) = user::find_sign_in(&mut self.store.read().await?, &hash, now).await? else {
            return Ok(None);
        };
        if now.since(sign_in.created_at) > SIGN_IN_MAX {
            return Ok(None);
        }
        if now.since(sign_in.last_seen_at) >= TOUCH_EVERY {
            let ctx = self.ctx(doce_model::Actor::User(user.id), "authenticate");
            let written = async {
                let mut tx = self.store.write(&ctx).await?;
                user::touch_sign_in(&mut tx, sign_in.id, now.plus(SIGN_IN_IDLE)).await?;
                tx.commit().await
            };
            unless_in_trouble(written.await)?;
        }
        Ok(Some((sign_in, user)))
    }

    /// Ends the caller's own sign-in.
    pub async fn sign_out(&self, ctx: &Ctx, user_id: UserId, id: SignInId) -> Result<(), Error> {
        self.end_sign_in(ctx, user_id, id).await
    }

    /// Lists a user's sign-ins.
    pub async fn list_sign_ins(&self, ctx: &Ctx, user_id: UserId) -> Result<Vec<SignIn>, Error> {
        Ok(user::list_sign_ins(&mut self.store.read().await?, user_id, ctx.now()).await?)
    }

    /// Ends one of a user's sign-ins.
    pub async fn end_sign_in(&self, ctx: &Ctx, user_id: UserId, id: SignInId) -> Result<(), Error> {
        let mut tx = self.store.write(ctx).await?;
        if !user::delete_sign_in(&mut tx, user_id, id).await? {
            return Err(Error::not_found("sign-in", id));
        }
        tx.audit(AuditEvent::ok(AuditAction::SignOut, &id)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Changes the caller's password and ends all their sign-ins but this one.
    pub async fn change_password(
        &self,
        ctx: &Ctx,
        user: &User,
        current: SecretString,
        new: SecretString,
        keep: SignInId,
    ) -> Result<User, Error> {
        check_password(&new, "new_password")?;
        if !self.is_password(ctx, user, current).await? {
            return Err(Error::Invalid { field: "current_password", message: "That is not your password.".to_owned() });
        }
        let hash = self.gatekeeper.hash(new).await?;
        let mut tx = self.store.write(ctx).await?;
        user::set_password(&mut tx, user.id, &hash).await?;
        user::delete_other_sign_ins(&mut tx, user.id, Some(keep)).await?;
        tx.audit(AuditEvent::ok(AuditAction::ChangePassword, &user.id)).await?;
        tx.commit().await?;
        Ok(user.clone())
    }

    /// Tells whether this is the password of somebody who is signed in. Wrong ones count as attempts on their name.
    pub(crate) async fn is_password(&self, ctx: &Ctx, user: &User, given: SecretString) -> Result<bool, Error> {
        let keys = [(format!("name {}", user.username.to_ascii_lowercase()), FAILURES_PER_NAME)];
        self.gatekeeper.check(&keys, ctx.now())?;
        let (_, hash) = user::find_by_name(&mut self.store.read().await?, &user.username)
            .await?
            .ok_or_else(|| Error::not_found("user", user.id))?;
        let matches = self.gatekeeper.matches(given, hash).await?;
        if !matches {
            self.gatekeeper.failed(&keys, ctx.now());
        }
        Ok(matches)
    }

    /// Lists the accounts. Admins only.
    pub async fn list_users(&self, _ctx: &Ctx, by: &User) -> Result<Vec<User>, Error> {
        admins_only(by)?;
        Ok(user::list(&mut self.store.read().await?).await?)
    }

    /// Counts what of an account is of use to somebody at present: what disabling it takes along. Admins only.
    pub async fn account_in_use(&self, ctx: &Ctx, by: &User, id: UserId) -> Result<InUse, Error> {
        admins_only(by)?;
        let mut read = self.store.read().await?;
        user::find(&mut read, id).await?.ok_or_else(|| Error::not_found("user", id))?;
        Ok(user::in_use(&mut read, id, ctx.now()).await?)
    }

    /// Makes an account. Admins only.
    pub async fn create_user(
        &self,
        ctx: &Ctx,
        by: &User,
        username: &str,
        password: SecretString,
        role: Role,
    ) -> Result<User, Error> {
        admins_only(by)?;
        check_username(username)?;
        check_password(&password, "password")?;
        self.more_people()?;
        let hash = self.gatekeeper.hash(password).await?;
        let now = ctx.now();
        let username = username.to_owned();
        let user = User { id: UserId::new(now), username, role, created_at: now, disabled_at: None };
        let mut tx = self.store.write(ctx).await?;
        match user::insert(&mut tx, &user, &hash).await {
            Ok(()) => {}
            Err(e) if e.is_taken() => return Err(is_taken(&user.username)),
            Err(e) => return Err(e.into()),
        }
        tx.audit(AuditEvent::ok(AuditAction::CreateUser, &user.id).of(user.id).detail(role.as_str())).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Refuses another account where agents run without a sandbox: nothing would keep people's things apart.
    pub(crate) fn more_people(&self) -> Result<(), Error> {
        if !self.config.unsandboxed {
            return Ok(());
        }
        Err(Error::Conflict(doce_model::Failure::new(
            "unsandboxed_single_user",
            "This server runs agents without a sandbox, so it serves one person. Set the sandbox up first.",
            doce_model::NextMove::None,
        )))
    }
}

/// What an admin changes of an account. What is `None` stays.
#[derive(Debug, Default)]
pub struct UserChange {
    /// What it may do.
    pub role: Option<Role>,
    /// Whether nobody may sign in with it.
    pub disabled: Option<bool>,
    /// Its password.
    pub password: Option<SecretString>,
}

/// An account that was changed.
#[derive(Debug)]
pub struct ChangedUser {
    /// As it is now.
    pub user: User,
    /// The sign-ins that ended with the change, and what stands in the place of one for tokens that are of no use now.
    pub ended: Vec<SignInId>,
}

impl App {
    /// Changes somebody's account. Admins only, and never so that nobody is left who may.
    ///
    /// A disabled account is signed out everywhere, its projects stop and its logins at Providers are not renewed;
    /// nothing of it is deleted. Another password signs it out everywhere, too.
    pub async fn change_user(
        &self,
        ctx: &Ctx,
        by: &User,
        id: UserId,
        change: UserChange,
    ) -> Result<ChangedUser, Error> {
        admins_only(by)?;
        let UserChange { role, disabled, password } = change;
        if by.id == id && (role.is_some() || disabled == Some(true)) {
            return Err(Error::Conflict(doce_model::Failure::new(
                "own_account",
                "You can't change your own role or disable your own account. Another admin can.",
                doce_model::NextMove::None,
            )));
        }
        let hash = match password {
            Some(password) => {
                check_password(&password, "password")?;
                Some(self.gatekeeper.hash(password).await?)
            }
            None => None,
        };
        let mut tx = self.store.write(ctx).await?;
        let mut user = user::find(&mut tx, id).await?.ok_or_else(|| Error::not_found("user", id))?;
        let before = user.clone();
        let mut jobs = Vec::new();
        if let Some(role) = role.filter(|role| *role != before.role) {
            user.role = role;
            user::set_role(&mut tx, id, role).await?;
            tx.audit(AuditEvent::ok(AuditAction::ChangeRole, &id).of(id).detail(role.as_str())).await?;
        }
        match disabled {
            Some(true) if before.disabled_at.is_none() => {
                user.disabled_at = Some(tx.now());
                user::set_disabled(&mut tx, id, user.disabled_at).await?;
                tx.audit(AuditEvent::ok(AuditAction::DisableUser, &id).of(id)).await?;
                jobs = self.enqueue_stops_of(&mut tx, &user).await?;
            }
            Some(false) if before.disabled_at.is_some() => {
                user.disabled_at = None;
                user::set_disabled(&mut tx, id, None).await?;
                tx.audit(AuditEvent::ok(AuditAction::EnableUser, &id).of(id)).await?;
            }
            Some(_) | None => {}
        }
        if let Some(hash) = &hash {
            user::set_password(&mut tx, id, hash).await?;
            tx.audit(AuditEvent::ok(AuditAction::ResetPassword, &id).of(id)).await?;
        }
        let active = |user: &User| user.role == Role::Admin && user.disabled_at.is_none();
        if active(&before) && !active(&user) && !user::list(&mut tx).await?.iter().any(active) {
            return Err(Error::Conflict(doce_model::Failure::new(
                "last_admin",
                "This is the only admin who can sign in. Make another one first.",
                doce_model::NextMove::None,
            )));
        }
        let mut ended = Vec::new();
        if hash.is_some() || user.disabled_at.is_some() {
            let now = tx.now();
            ended = user::list_sign_ins(&mut tx, id, now).await?.into_iter().map(|sign_in| sign_in.id).collect();
            user::delete_other_sign_ins(&mut tx, id, None).await?;
        }
        if user.disabled_at.is_some() {
            // Tokens stay for the day when the account is enabled again; what hangs on them ends.
            ended.extend(api_token::list(&mut tx, id).await?.into_iter().map(|token| SignInId::from(token.id)));
        }
        tx.commit().await?;
        self.jobs.changed(jobs);
        // Logins that would have been renewed meanwhile are due.
        self.renewals.notify_one();
        Ok(ChangedUser { user, ended })
    }
}

pub(crate) fn is_taken(username: &str) -> Error {
    Error::Invalid { field: "username", message: format!("`{username}` is taken.") }
}

pub(crate) fn admins_only(by: &User) -> Result<(), Error> {
    match by.role {
        Role::Admin => Ok(()),
        Role::Member => Err(Error::Forbidden { code: "admins_only", message: "Only an admin may do this.".to_owned() }),
    }
}

fn setup_done() -> Error {
    Error::Conflict(doce_model::Failure::new(
        "setup_done",
        "The first account exists already: sign in instead.",
        doce_model::NextMove::None,
    ))
}

/// Lets somebody in although it can't be written down that they were here: what there is can be read while the disk is
/// full or the database is held.
pub(crate) fn unless_in_trouble(written: Result<(), StoreError>) -> Result<(), Error> {
    match written {
        Err(error) if error.trouble().is_some() => {
            tracing::warn!(error = crate::chain(&error), "it was not written down that somebody was here");
            Ok(())
        }
        other => other.map_err(Error::from),
    }
}
