//! Connections: connect, verify, replace, disconnect.
//!
//! A person waits for these, so they are plain requests: ask the provider, seal, write one transaction. What follows
//! from them for running Agents is a Job, enqueued in the same transaction.

use std::{borrow::Cow, collections::BTreeMap, sync::PoisonError, time::Duration};

use doce_model::{
    Actor, AuditAction, AuditEvent, AuthType, Connection, ConnectionId, ConnectionStatus, CredentialId, Ctx,
    CustomProvider, Ms, Outcome, ProjectId, Role, User, UserId, Verification, api_key,
    connection::{LABEL_MAX, MAX_AGE_DAYS_MAX},
    custom_provider::CUSTOM_PREFIX,
};
use doce_opencode::{
    endpoints::{self, Endpoint},
    login::{Harvest, Tokens},
};
use doce_store::{Read, Tx, connection, connection::SealedCredential, custom_provider, delivery, delivery::Delivered};
use doce_vault::{ExposeSecret as _, Identity, SecretString, Vault};

use crate::{
    App, Error, catalogue, custom,
    events::Change,
    jobs::{apply_delivery, refresh_credential, verify_connection},
    keys::{CREDENTIAL, METADATA},
    logins::{renewal, tokens},
    probe::{self, Answer, LoginQuestion, Question},
    views::ConnectionView,
};

/// Deliveries that browsers are told of together.
const TELL_TOGETHER: Duration = Duration::from_millis(100);

/// What a new Connection is made of.
pub struct NewConnection {
    /// The Provider, by `OpenCode`'s id.
    pub provider_id: String,
    /// What to call it; made up if absent.
    pub label: Option<String>,
    /// The key as it was pasted.
    pub key: SecretString,
    /// Where requests go instead of the Provider's default.
    pub base_url: Option<String>,
    /// The answers to the method's questions.
    pub metadata: BTreeMap<String, String>,
    /// Whether to keep a key that the provider rejected.
    pub keep_unverified: bool,
}

/// What a finished login is kept as.
pub(crate) struct NewLogin {
    pub(crate) provider_id: String,
    /// What to call a new Connection; made up if absent.
    pub(crate) label: Option<String>,
    /// The Connection whose login this renews.
    pub(crate) connection_id: Option<ConnectionId>,
    /// The answers to the method's questions.
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) harvest: Harvest,
}

/// What changes about a Connection. What is `None` stays.
#[derive(Default)]
pub struct ConnectionChange {
    /// Another label.
    pub label: Option<String>,
    /// Another key: *Replace*.
    pub key: Option<SecretString>,
    /// Another base URL, or the Provider's default again.
    pub base_url: Option<Option<String>>,
    /// Answers to the Provider's questions that change; the others stay. An empty one is taken away.
    pub metadata: BTreeMap<String, String>,
    /// Whether it is its owner's default for the Provider. Only `true` does something: another one must take over.
    pub is_default: Option<bool>,
    /// Whether to keep a key that the provider rejected.
    pub keep_unverified: bool,
    /// When the key runs out, by what its owner says; or that it doesn't.
    pub expires_at: Option<Option<Ms>>,
    /// How many days a key is to be in force at most; or for as long as it works.
    pub max_age_days: Option<Option<i64>>,
}

/// A Credential, opened for one call.
pub(crate) struct Opened {
    pub(crate) secret: Secret,
    pub(crate) version: i64,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What a Credential is.
pub(crate) enum Secret {
    /// A key.
    Key(SecretString),
    /// The tokens of a login.
    Tokens(Tokens),
}

/// Which of a user's Projects use which of their Connections.
struct Uses {
    /// How many Projects' models each pays for.
    paid: BTreeMap<ConnectionId, u64>,
    /// What the Instances hold.
    held: Vec<Delivered>,
}

impl Uses {
    async fn read(read: &mut impl Read, user_id: UserId) -> Result<Self, Error> {
        Ok(Self { paid: connection::count_paid(read, user_id).await?, held: delivery::of_user(read, user_id).await? })
    }

    fn held_of(&self, connection: &Connection) -> Vec<Delivered> {
        self.held.iter().filter(|held| held.delivery.connection_id == connection.id).cloned().collect()
    }
}

impl App {
    /// Lists a user's Connections, each with how far it is in use.
    pub async fn list_connections(&self, _ctx: &Ctx, user: &User) -> Result<Vec<ConnectionView>, Error> {
        let mut read = self.store.read().await?;
        let connections = connection::list(&mut read, user.id).await?;
        let in_use = Uses::read(&mut read, user.id).await?;
        Ok(connections.into_iter().map(|connection| self.connection_view_with(connection, &in_use)).collect())
    }

    /// Lists the Projects that use a Connection, with their names: it pays for their model, or their Instance holds it.
    pub async fn projects_of_connection(
        &self,
        _ctx: &Ctx,
        user: &User,
        id: ConnectionId,
    ) -> Result<Vec<(ProjectId, String)>, Error> {
        let mut read = self.store.read().await?;
        let connection = self.own_connection(&mut read, user.id, id).await?;
        let mut projects = connection::paid_by(&mut read, &connection).await?;
        let held = delivery::of_user(&mut read, user.id).await?.into_iter();
        let only_held = held.filter(|held| held.delivery.connection_id == id && !held.is_of_model);
        projects.extend(only_held.map(|held| (held.project_id, held.project_name)));
        Ok(projects)
    }

    /// Returns one of a user's Connections.
    pub async fn get_connection(&self, _ctx: &Ctx, user: &User, id: ConnectionId) -> Result<ConnectionView, Error> {
        let connection = self.own_connection(&mut self.store.read().await?, user.id, id).await?;
        self.connection_view(connection).await
    }

    /// Checks a key with its Provider, seals it, and connects the Provider.
    pub async fn connect(&self, ctx: &Ctx, user: &User, new: NewConnection) -> Result<ConnectionView, Error> {
        let (name, endpoint) = self.connectable(user.id, &new.provider_id).await?;
        let key = clean_key(&new.key)?;
        probe::check_metadata(&new.metadata).map_err(|message| Error::Invalid { field: "metadata", message })?;
        let given = new.base_url.as_deref().map(str::trim).filter(|url| !url.is_empty());
        let base_url = base_url_of(&endpoint, given, &new.metadata)?;
        let answer = probe::ask(&Question {
            provider_name: &name,
            endpoint: &endpoint,
            base_url: &base_url,
            base_url_given: given.is_some() || is_custom(&endpoint),
            key: &key,
            role: user.role,
        })
        .await;
        refuse_invalid(&answer, new.keep_unverified)?;

        let mut record = self.keyed(user, &new.provider_id, &key, ctx.now());
        record.base_url = given.map(|_| base_url.clone());
        record.kept_version = (answer.outcome == Outcome::Invalid).then_some(1);
        settle(&mut record, &answer, ctx.now());
        self.insert_connection(ctx, user, record, &key, &new.metadata, new.label.as_deref(), None).await
    }

    /// Keeps a new custom provider together with its first Connection.
    pub(crate) async fn connect_custom(
        &self,
        ctx: &Ctx,
        user: &User,
        provider: CustomProvider,
        key: &SecretString,
        answer: Answer,
        keep_unverified: bool,
    ) -> Result<ConnectionView, Error> {
        refuse_invalid(&answer, keep_unverified)?;
        let mut record = self.keyed(user, &provider.id, key, ctx.now());
        record.kept_version = (answer.outcome == Outcome::Invalid).then_some(1);
        settle(&mut record, &answer, ctx.now());
        self.insert_connection(ctx, user, record, key, &BTreeMap::new(), None, Some(provider)).await
    }

    /// A Connection with a key that nobody has asked about yet.
    fn keyed(&self, user: &User, provider_id: &str, key: &SecretString, now: Ms) -> Connection {
        Connection {
            id: ConnectionId::new(now),
            user_id: user.id,
            provider_id: provider_id.to_owned(),
            label: String::new(),
            auth_type: AuthType::Api,
            status: ConnectionStatus::Connected,
            error_message: None,
            verification: None,
            base_url: None,
            is_default: false,
            fingerprint: self.vault.fingerprint(key),
            last_four: last_four(key),
            version: 1,
            created_at: now,
            updated_at: now,
            expires_at: None,
            last_used_at: None,
            key_since: now,
            max_age_days: None,
            kept_version: None,
        }
    }

    /// Seals the secret of a new Connection and writes it, with what follows for Agents.
    #[expect(clippy::too_many_arguments, reason = "one row each, written together")]
    async fn insert_connection(
        &self,
        ctx: &Ctx,
        user: &User,
        mut record: Connection,
        secret: &SecretString,
        metadata: &BTreeMap<String, String>,
        label: Option<&str>,
        custom: Option<CustomProvider>,
    ) -> Result<ConnectionView, Error> {
        let mut tx = self.store.write(ctx).await?;
        let metadata_sealed = self.seal_metadata(&tx, &record, metadata)?;
        let credential = self.seal_secret(&tx, &record, secret)?;
        let others: Vec<Connection> = connection::list(&mut tx, user.id)
            .await?
            .into_iter()
            .filter(|other| other.provider_id == record.provider_id)
            .collect();
        record.label = match label.map(str::trim).filter(|label| !label.is_empty()) {
            Some(label) => check_label(label, &others, None)?,
            None => free_label(&others),
        };
        record.is_default = !others.iter().any(|other| other.is_default);
        if let Some(custom) = &custom {
            custom_provider::insert(&mut tx, custom).await?;
        }
        connection::insert(&mut tx, &record, metadata_sealed.as_deref()).await?;
        connection::insert_credential(&mut tx, &credential).await?;
        tx.audit(AuditEvent::ok(AuditAction::Connect, &record.id).fingerprint(&record.fingerprint).detail(
            match &record.verification {
                Some(verification) => {
                    format!("{} ({}), {}", record.provider_id, record.label, verification.outcome)
                }
                None => format!("{} ({})", record.provider_id, record.label),
            },
        ))
        .await?;
        if record.is_default {
            apply_delivery::enqueue_for_user(self, &mut tx, user.id).await?;
        }
        tx.commit().await?;
        if let Some(custom) = custom {
            self.customs.put(custom);
        }
        self.jobs.wake();
        self.resume_waiting(Some(user.id)).await?;
        let view = self.connection_view(record).await?;
        self.bus.publish(user.id, Change::Connection(Box::new(view.clone())));
        Ok(view)
    }

    /// Keeps a finished login: as a new Connection, or as the newest version of one.
    pub(crate) async fn connect_login(&self, ctx: &Ctx, user: &User, new: NewLogin) -> Result<ConnectionView, Error> {
        let tokens = match new.harvest {
            Harvest::Tokens(tokens) => tokens,
            // This login ends in a key like any other.
            Harvest::Key { key, mut metadata } => {
                metadata.extend(new.metadata);
                metadata.retain(|name, value| probe::check_metadata(&[(name.clone(), value.clone())].into()).is_ok());
                if let Some(id) = new.connection_id {
                    let change =
                        ConnectionChange { key: Some(key), keep_unverified: true, ..ConnectionChange::default() };
                    return self.change_connection(ctx, user, id, change).await;
                }
                let connection = NewConnection {
                    provider_id: new.provider_id,
                    label: new.label,
                    key,
                    base_url: None,
                    metadata,
                    keep_unverified: true,
                };
                return self.connect(ctx, user, connection).await;
            }
        };
        let name = self.provider_name(&new.provider_id);
        let verification =
            Verification { outcome: Outcome::Valid, at: ctx.now(), detail: format!("You signed in at {name}.") };
        let secret = tokens::to_secret(&tokens)?;
        let Some(id) = new.connection_id else {
            let now = ctx.now();
            let record = Connection {
                id: ConnectionId::new(now),
                user_id: user.id,
                provider_id: new.provider_id,
                label: String::new(),
                auth_type: AuthType::OAuth,
                status: ConnectionStatus::Connected,
                error_message: None,
                verification: Some(verification),
                base_url: None,
                is_default: false,
                fingerprint: self.vault.fingerprint(&tokens.access),
                last_four: doce_vault::last_four(&tokens.access),
                version: 1,
                created_at: now,
                updated_at: now,
                expires_at: tokens::expiry(&tokens),
                last_used_at: None,
                key_since: now,
                max_age_days: None,
                kept_version: None,
            };
            let view =
                self.insert_connection(ctx, user, record, &secret, &new.metadata, new.label.as_deref(), None).await?;
            self.renewals.notify_one();
            return Ok(view);
        };
        let mut tx = self.store.write(ctx).await?;
        let mut record = self.own_connection(&mut tx, user.id, id).await?;
        record.auth_type = AuthType::OAuth;
        // A sign-in goes to the provider's own address, or to the instance that was answered just now.
        record.base_url = None;
        record.kept_version = None;
        if !new.metadata.is_empty() {
            let sealed = self.seal_metadata(&tx, &record, &new.metadata)?;
            connection::set_metadata(&mut tx, id, sealed.as_deref()).await?;
        }
        self.write_version(&mut tx, &mut record, &tokens, &secret, verification).await?;
        tx.audit(AuditEvent::ok(AuditAction::Replace, &record.id).fingerprint(&record.fingerprint)).await?;
        tx.commit().await?;
        self.jobs.wake();
        self.renewals.notify_one();
        self.resume_waiting(Some(user.id)).await?;
        self.publish_connections(user.id).await?;
        self.connection_view(record).await
    }

    /// Writes newer tokens of a Connection into the caller's transaction, and what follows for Agents.
    pub(crate) async fn write_version(
        &self,
        tx: &mut Tx,
        record: &mut Connection,
        tokens: &Tokens,
        secret: &SecretString,
        verification: Verification,
    ) -> Result<(), Error> {
        record.version += 1;
        record.status = ConnectionStatus::Connected;
        record.error_message = None;
        record.verification = Some(verification);
        record.fingerprint = self.vault.fingerprint(&tokens.access);
        record.last_four = doce_vault::last_four(&tokens.access);
        record.expires_at = tokens::expiry(tokens);
        record.key_since = tx.now();
        record.max_age_days = None;
        let credential = self.seal_secret(tx, record, secret)?;
        connection::insert_credential(tx, &credential).await?;
        delivery::mark_stale(tx, record.id, record.version).await?;
        connection::update(tx, record).await?;
        apply_delivery::enqueue_for_user(self, tx, record.user_id).await
    }

    /// Changes a Connection; with a key, replaces its Credential.
    pub async fn change_connection(
        &self,
        ctx: &Ctx,
        user: &User,
        id: ConnectionId,
        change: ConnectionChange,
    ) -> Result<ConnectionView, Error> {
        let before = self.own_connection(&mut self.store.read().await?, user.id, id).await?;
        let opened = self.open_credential(&before).await?;
        let replaces = change.key.is_some();
        let answers = !change.metadata.is_empty();
        let mut metadata = opened.metadata.clone();
        if answers {
            metadata.extend(change.metadata.clone());
            metadata.retain(|_, answer| !answer.trim().is_empty());
            probe::check_metadata(&metadata).map_err(|message| Error::Invalid { field: "metadata", message })?;
        }
        let mut answer = None;
        let mut key = None;
        let mut base_url = before.base_url.clone();
        if replaces || answers || change.base_url.is_some() {
            let (name, endpoint) = self.connectable(user.id, &before.provider_id).await?;
            let given = match &change.base_url {
                Some(given) => given.as_deref().map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned),
                None => before.base_url.clone(),
            };
            let address = base_url_of(&endpoint, given.as_deref(), &metadata)?;
            let new_key = match (&change.key, &opened.secret) {
                (Some(pasted), _) => clean_key(pasted)?,
                (None, Secret::Key(key)) => key.clone(),
                (None, Secret::Tokens(_)) => {
                    return Err(Error::Invalid {
                        field: "base_url",
                        message: "A sign-in goes to the provider's own address only.".to_owned(),
                    });
                }
            };
            let asked = probe::ask(&Question {
                provider_name: &name,
                endpoint: &endpoint,
                base_url: &address,
                base_url_given: given.is_some() || is_custom(&endpoint),
                key: &new_key,
                role: user.role,
            })
            .await;
            refuse_invalid(&asked, change.keep_unverified)?;
            base_url = given.map(|_| address);
            answer = Some(asked);
            key = Some(new_key);
        }

        let mut tx = self.store.write(ctx).await?;
        let mut record = self.own_connection(&mut tx, user.id, id).await?;
        if record.version != before.version {
            return Err(changed_meanwhile());
        }
        if let Some(label) = change.label.as_deref() {
            let others = connection::list(&mut tx, user.id).await?;
            let others: Vec<_> = others.into_iter().filter(|other| other.provider_id == record.provider_id).collect();
            record.label = check_label(label.trim(), &others, Some(id))?;
        }
        if let (Some(answer), Some(key)) = (&answer, &key) {
            // A new address or answer counts as a new version too: Agents must be told.
            record.version += 1;
            record.base_url = base_url;
            record.auth_type = AuthType::Api;
            if replaces {
                record.expires_at = None;
                record.key_since = tx.now();
            }
            record.kept_version = (answer.outcome == Outcome::Invalid).then_some(record.version);
            record.fingerprint = self.vault.fingerprint(key);
            record.last_four = last_four(key);
            record.verification = None;
            settle(&mut record, answer, tx.now());
            let credential = self.seal_secret(&tx, &record, key)?;
            connection::insert_credential(&mut tx, &credential).await?;
            if metadata != opened.metadata {
                let sealed = self.seal_metadata(&tx, &record, &metadata)?;
                connection::set_metadata(&mut tx, id, sealed.as_deref()).await?;
            }
            delivery::mark_stale(&mut tx, record.id, record.version).await?;
        }
        set_age(&mut record, &change)?;
        if change.is_default == Some(true) && !record.is_default {
            connection::clear_default(&mut tx, user.id, &record.provider_id).await?;
            record.is_default = true;
        }
        connection::update(&mut tx, &record).await?;
        let action = if replaces { AuditAction::Replace } else { AuditAction::ChangeConnection };
        tx.audit(AuditEvent::ok(action, &record.id).fingerprint(&record.fingerprint)).await?;
        if answer.is_some() || record.is_default != before.is_default {
            apply_delivery::enqueue_for_user(self, &mut tx, user.id).await?;
        }
        tx.commit().await?;
        self.jobs.wake();
        self.resume_waiting(Some(user.id)).await?;
        self.publish_connections(user.id).await?;
        self.connection_view(record).await
    }

    /// Checks a Connection's key with its Provider again.
    pub async fn verify(&self, ctx: &Ctx, user: &User, id: ConnectionId) -> Result<ConnectionView, Error> {
        let before = self.own_connection(&mut self.store.read().await?, user.id, id).await?;
        let answer = self.ask_again(&before, user.role).await?;
        let record = self.settle_answer(ctx, &before, &answer).await?.ok_or_else(changed_meanwhile)?;
        // Tokens that are due are renewed now, not when the reconciler wakes: a laptop may have slept.
        self.renewals.notify_one();
        self.connection_view(record).await
    }

    /// Asks the Provider about the Credential that a Connection has.
    pub(crate) async fn ask_again(&self, record: &Connection, role: Role) -> Result<Answer, Error> {
        if record.auth_type == AuthType::OAuth {
            return self.ask_about_login(record, role).await;
        }
        let (name, endpoint) = self.connectable(record.user_id, &record.provider_id).await?;
        let opened = self.open_credential(record).await?;
        let Secret::Key(key) = &opened.secret else {
            return Err(changed_meanwhile());
        };
        let base_url = base_url_of(&endpoint, record.base_url.as_deref(), &opened.metadata)?;
        Ok(probe::ask(&Question {
            provider_name: &name,
            endpoint: &endpoint,
            base_url: &base_url,
            base_url_given: record.base_url.is_some() || is_custom(&endpoint),
            key,
            role,
        })
        .await)
    }

    async fn ask_about_login(&self, record: &Connection, role: Role) -> Result<Answer, Error> {
        let name = self.provider_name(&record.provider_id);
        let opened = self.open_credential(record).await?;
        let Secret::Tokens(tokens) = &opened.secret else {
            return Err(changed_meanwhile());
        };
        let answer = probe::ask_about_login(&LoginQuestion {
            provider_name: &name,
            provider_id: &record.provider_id,
            tokens,
            instead: self.config.token_endpoints.asked_at(&record.provider_id),
            role,
        })
        .await;
        if answer.outcome != Outcome::Invalid || !renewal::renews(record) {
            return Ok(answer);
        }
        // It may have run out early: a new pair says whether the login is still good.
        let mut tx = self.store.write(&self.ctx(Actor::Reconciler("verifications"), "rejected")).await?;
        refresh_credential::enqueue(self, &mut tx, record).await?;
        tx.commit().await?;
        self.jobs.wake();
        Ok(Answer {
            outcome: Outcome::Unreachable,
            detail: format!("{name} rejected this sign-in (401). It is renewed, which shows whether it is good."),
        })
    }

    /// Writes down what a Provider said about a Credential, and lets go on what waited for one that works. Returns the
    /// Connection as it is from then on, unless it has another Credential by now, or none.
    pub(crate) async fn settle_answer(
        &self,
        ctx: &Ctx,
        asked: &Connection,
        answer: &Answer,
    ) -> Result<Option<Connection>, Error> {
        let mut tx = self.store.write(ctx).await?;
        let found = connection::find(&mut tx, asked.id).await?;
        let Some(mut record) =
            found.filter(|found| found.version == asked.version && found.status != ConnectionStatus::Revoked)
        else {
            return Ok(None);
        };
        // That nothing can be asked about a sign-in takes nothing from what its renewal or use has shown.
        let is_silent = record.auth_type == AuthType::OAuth && answer.outcome == Outcome::Unsupported;
        if !is_silent || record.verification.is_none() {
            settle(&mut record, answer, tx.now());
        }
        connection::update(&mut tx, &record).await?;
        tx.audit(
            AuditEvent::ok(AuditAction::Verify, &record.id)
                .of(record.user_id)
                .fingerprint(&record.fingerprint)
                .detail(answer.outcome.as_str()),
        )
        .await?;
        tx.commit().await?;
        self.resume_waiting(Some(record.user_id)).await?;
        let view = self.connection_view(record.clone()).await?;
        self.bus.publish(record.user_id, Change::Connection(Box::new(view)));
        Ok(Some(record))
    }

    /// Ends a Connection: its Credential is erased at once, and running Agents give it back.
    pub async fn disconnect(&self, ctx: &Ctx, user: &User, id: ConnectionId) -> Result<(), Error> {
        let mut tx = self.store.write(ctx).await?;
        let mut record = self.own_connection(&mut tx, user.id, id).await?;
        connection::retire_credentials(&mut tx, id).await?;
        let was_default = record.is_default;
        record.status = ConnectionStatus::Revoked;
        record.is_default = false;
        connection::update(&mut tx, &record).await?;
        if was_default
            && let Some(mut heir) =
                connection::list(&mut tx, user.id).await?.into_iter().find(|c| c.provider_id == record.provider_id)
        {
            heir.is_default = true;
            connection::update(&mut tx, &heir).await?;
        }
        let custom = self.customs.own(user.id, &record.provider_id);
        let is_last =
            !connection::list(&mut tx, user.id).await?.iter().any(|other| other.provider_id == record.provider_id);
        let ended = custom.filter(|_| is_last);
        if let Some(custom) = &ended {
            custom_provider::delete(&mut tx, &custom.id).await?;
        }
        tx.audit(AuditEvent::ok(AuditAction::Disconnect, &record.id).fingerprint(&record.fingerprint)).await?;
        apply_delivery::enqueue_for_user(self, &mut tx, user.id).await?;
        tx.commit().await?;
        if let Some(custom) = ended {
            self.customs.remove(&custom.id);
        }
        self.jobs.wake();
        // Another Connection of the Provider may have taken its place.
        self.resume_waiting(Some(user.id)).await?;
        self.bus.publish(user.id, Change::ConnectionDeleted(id));
        self.publish_connections(user.id).await?;
        Ok(())
    }

    pub(crate) async fn own_connection(
        &self,
        read: &mut impl Read,
        user_id: UserId,
        id: ConnectionId,
    ) -> Result<Connection, Error> {
        connection::find(read, id)
            .await?
            .filter(|found| found.user_id == user_id)
            .filter(|found| match found.status {
                ConnectionStatus::Connected | ConnectionStatus::Expired | ConnectionStatus::Error => true,
                ConnectionStatus::Revoked => false,
            })
            .ok_or_else(|| Error::not_found("connection", id))
    }

    /// Records that an Agent's request with a Connection was rejected by the provider.
    pub(crate) async fn mark_rejected(&self, id: ConnectionId, version: i64, message: &str) -> Result<(), Error> {
        let ctx = self.ctx(Actor::Reconciler("follower"), "rejected");
        let mut tx = self.store.write(&ctx).await?;
        let Some(mut record) = connection::find(&mut tx, id).await? else {
            return Ok(());
        };
        // A key replaced meanwhile was not the one rejected.
        if record.version != version || record.status == ConnectionStatus::Revoked {
            return Ok(());
        }
        if renewal::renews(&record) {
            // It may have run out early: a new pair says whether the login is still good.
            refresh_credential::enqueue(self, &mut tx, &record).await?;
            tx.commit().await?;
            self.jobs.wake();
            return Ok(());
        }
        // A request may be rejected for what it asks for: the provider is asked about the key itself.
        verify_connection::enqueue_after_rejection(self, &mut tx, &record).await?;
        record.status = ConnectionStatus::Error;
        record.error_message = Some(message.to_owned());
        record.kept_version = None;
        record.verification =
            Some(Verification { outcome: Outcome::Invalid, at: tx.now(), detail: message.to_owned() });
        connection::update(&mut tx, &record).await?;
        tx.audit(
            AuditEvent::refused(AuditAction::Verify, &record.id, "rejected_in_use")
                .of(record.user_id)
                .fingerprint(&record.fingerprint),
        )
        .await?;
        tx.commit().await?;
        self.jobs.wake();
        self.publish_connections(record.user_id).await
    }

    /// Opens the Credential of a Connection, for one use.
    pub(crate) async fn open_credential(&self, record: &Connection) -> Result<Opened, Error> {
        let mut read = self.store.read().await?;
        let (sealed, metadata_sealed) = connection::find_credential(&mut read, record.id)
            .await?
            .ok_or_else(|| Error::not_found("connection", record.id))?;
        drop(read);
        open_sealed(&self.vault, record.auth_type, &sealed, metadata_sealed.as_deref())
    }

    /// Seals the secret of a Connection, for the transaction that stores it.
    ///
    /// Invariant: a value is sealed inside the transaction that stores it. One transaction writes at a time, so a change
    /// of the master key comes before it or after it, and never in between.
    pub(crate) fn seal_secret(
        &self,
        tx: &Tx,
        record: &Connection,
        secret: &SecretString,
    ) -> Result<SealedCredential, Error> {
        let (id, user) = (record.id.to_string(), record.user_id.to_string());
        let sealed =
            self.vault.seal(&Identity { noun: CREDENTIAL, id: &id, user: &user, version: record.version }, secret)?;
        Ok(SealedCredential {
            id: CredentialId::new(tx.now()),
            connection_id: record.id,
            user_id: record.user_id,
            version: record.version,
            sealed: sealed.bytes,
            key_id: sealed.key_id,
        })
    }

    /// Seals the answers that belong to a Connection, for the transaction that stores them.
    pub(crate) fn seal_metadata(
        &self,
        _tx: &Tx,
        record: &Connection,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Option<Vec<u8>>, Error> {
        if metadata.is_empty() {
            return Ok(None);
        }
        let text = SecretString::from(serde_json::to_string(metadata).map_err(Error::internal)?);
        let (id, user) = (record.id.to_string(), record.user_id.to_string());
        let sealed = self.vault.seal(&Identity { noun: METADATA, id: &id, user: &user, version: 1 }, &text)?;
        Ok(Some(sealed.bytes))
    }

    async fn connectable(&self, user_id: UserId, provider_id: &str) -> Result<(String, Cow<'static, Endpoint>), Error> {
        if let Some(custom) = self.customs.own(user_id, provider_id) {
            return Ok((custom.name.clone(), Cow::Owned(custom::endpoint_of(&custom))));
        }
        let stored = catalogue::ready(&self.catalogue).await?;
        let provider = stored.provider(provider_id).ok_or_else(|| Error::not_found("provider", provider_id))?;
        if let Some(message) = catalogue::refusal(provider, stored.methods()) {
            return Err(Error::Refused(doce_model::Failure::new(
                "provider_refused",
                message,
                doce_model::NextMove::ConnectProvider,
            )));
        }
        let endpoint = endpoints::find(provider_id).ok_or_else(|| Error::not_found("provider", provider_id))?;
        Ok((provider.name.clone(), Cow::Borrowed(endpoint)))
    }

    pub(crate) async fn connection_view(&self, record: Connection) -> Result<ConnectionView, Error> {
        let in_use = Uses::read(&mut self.store.read().await?, record.user_id).await?;
        Ok(self.connection_view_with(record, &in_use))
    }

    fn connection_view_with(&self, record: Connection, in_use: &Uses) -> ConnectionView {
        let provider_name = self.provider_name(&record.provider_id);
        let renews = renewal::renews(&record);
        let deliveries = in_use.held_of(&record);
        let only_held = deliveries.iter().filter(|held| !held.is_of_model).map(|_| 1).sum::<u64>();
        ConnectionView {
            renews,
            replace_by: record.replace_by().filter(|_| !renews),
            delivery: catalogue::delivery_plan(&provider_name),
            project_count: in_use.paid.get(&record.id).copied().unwrap_or(0) + only_held,
            deliveries,
            provider_name,
            connection: record,
        }
    }

    /// Tells the owner's browsers how their Connections stand, in a moment: when one key goes to many Agents, once for
    /// many of them.
    pub(crate) fn publish_connections_soon(&self, user_id: UserId) {
        if !self.connections_changed.lock().unwrap_or_else(PoisonError::into_inner).insert(user_id) {
            return;
        }
        let app = self.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(TELL_TOGETHER).await;
            // Before it is read: what is committed from here on is told the next time.
            app.connections_changed.lock().unwrap_or_else(PoisonError::into_inner).remove(&user_id);
            if let Err(e) = app.publish_connections(user_id).await {
                tracing::error!(user = %user_id, error = crate::chain(&e), "a delivery was not told of");
            }
        });
    }

    pub(crate) async fn publish_connections(&self, user_id: UserId) -> Result<(), Error> {
        let mut read = self.store.read().await?;
        let connections = connection::list(&mut read, user_id).await?;
        let in_use = Uses::read(&mut read, user_id).await?;
        drop(read);
        for record in connections {
            let view = self.connection_view_with(record, &in_use);
            self.bus.publish(user_id, Change::Connection(Box::new(view)));
        }
        Ok(())
    }
}

/// Checks a label before something long is begun that ends in a Connection of that name.
pub(crate) async fn check_new_label(app: &App, user_id: UserId, provider_id: &str, label: &str) -> Result<(), Error> {
    let label = label.trim();
    if label.is_empty() {
        return Ok(());
    }
    let others = connection::list(&mut app.store.read().await?, user_id).await?;
    let others: Vec<_> = others.into_iter().filter(|other| other.provider_id == provider_id).collect();
    check_label(label, &others, None).map(drop)
}

/// Opens a Credential and the answers that belong to it, for one use.
pub(crate) fn open_sealed(
    vault: &Vault,
    auth_type: AuthType,
    sealed: &SealedCredential,
    metadata_sealed: Option<&[u8]>,
) -> Result<Opened, Error> {
    // Secret: it is in memory from here until the caller's one call is over.
    let (id, user) = (sealed.connection_id.to_string(), sealed.user_id.to_string());
    let identity = Identity { noun: CREDENTIAL, id: &id, user: &user, version: sealed.version };
    let text = vault.open(&identity, &sealed.sealed).map_err(Error::internal)?;
    let secret = match auth_type {
        AuthType::Api => Secret::Key(text),
        AuthType::OAuth => Secret::Tokens(tokens::from_secret(&text)?),
    };
    let metadata = match metadata_sealed {
        Some(sealed) => {
            let identity = Identity { noun: METADATA, version: 1, ..identity };
            let text = vault.open(&identity, sealed).map_err(Error::internal)?;
            serde_json::from_str(text.expose_secret()).map_err(Error::internal)?
        }
        None => BTreeMap::new(),
    };
    Ok(Opened { secret, version: sealed.version, metadata })
}

/// Records the outcome of a check on a Connection.
fn settle(record: &mut Connection, answer: &Answer, now: Ms) {
    let (status, error_message) = match answer.outcome {
        Outcome::Invalid => (ConnectionStatus::Error, Some(answer.detail.clone())),
        Outcome::Valid | Outcome::Limited | Outcome::NoCredit => (ConnectionStatus::Connected, None),
        // Not knowing is no reason to forget that a key was rejected before; a replaced key begins anew.
        Outcome::Unreachable | Outcome::Unsupported if record.verification.is_none() => {
            (ConnectionStatus::Connected, None)
        }
        Outcome::Unreachable | Outcome::Unsupported => (record.status, record.error_message.clone()),
    };
    record.status = status;
    record.error_message = error_message;
    record.verification = Some(Verification { outcome: answer.outcome, at: now, detail: answer.detail.clone() });
}

/// An endpoint of a user's own is as good as an address of their own: it is checked before anything is sent there.
fn is_custom(endpoint: &Endpoint) -> bool {
    endpoint.id.starts_with(CUSTOM_PREFIX)
}

/// What a person may see of a key. Of none there is nothing to see.
fn last_four(key: &SecretString) -> String {
    if key.expose_secret() == custom::NO_KEY { String::new() } else { doce_vault::last_four(key) }
}

/// Notes what the owner says about how long a key is good.
fn set_age(record: &mut Connection, change: &ConnectionChange) -> Result<(), Error> {
    let field = match (change.expires_at, change.max_age_days) {
        (Some(Some(_)), _) => "expires_at",
        (_, Some(Some(_))) => "max_age_days",
        (Some(None) | None, Some(None) | None) => "",
    };
    if record.auth_type == AuthType::OAuth && !field.is_empty() {
        return Err(Error::Invalid { field, message: "How long a sign-in lasts is up to the provider.".to_owned() });
    }
    if let (Some(expires_at), AuthType::Api) = (change.expires_at, record.auth_type) {
        record.expires_at = expires_at;
    }
    if let Some(days) = change.max_age_days {
        if days.is_some_and(|days| !(1..=MAX_AGE_DAYS_MAX).contains(&days)) {
            return Err(Error::Invalid {
                field: "max_age_days",
                message: format!("A key is replaced after 1 to {MAX_AGE_DAYS_MAX} days."),
            });
        }
        record.max_age_days = days;
    }
    Ok(())
}

pub(crate) fn clean_key(pasted: &SecretString) -> Result<SecretString, Error> {
    api_key::clean(pasted.expose_secret())
        .map(SecretString::from)
        .map_err(|e| Error::Invalid { field: "key", message: sentence(&e.to_string()) })
}

fn sentence(fragment: &str) -> String {
    let mut characters = fragment.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

fn base_url_of(endpoint: &Endpoint, given: Option<&str>, metadata: &BTreeMap<String, String>) -> Result<String, Error> {
    endpoint.base_url(given, metadata).map_err(|e| match e {
        endpoints::BaseUrlError::Needed { .. } => Error::Invalid {
            field: "base_url",
            message: format!(
                "{} has a different address for each account: enter yours as the base URL.",
                endpoint.name
            ),
        },
        endpoints::BaseUrlError::Answer { key, .. } => {
            Error::Invalid { field: "metadata", message: format!("{} also needs `{key}`.", endpoint.name) }
        }
        endpoints::BaseUrlError::Invalid { reason } => {
            Error::Invalid { field: "base_url", message: format!("That is not a base URL: {reason}.") }
        }
    })
}

fn refuse_invalid(answer: &Answer, keep_unverified: bool) -> Result<(), Error> {
    if answer.outcome == Outcome::Invalid && !keep_unverified {
        return Err(Error::Refused(doce_model::Failure::new(
            "key_rejected",
            answer.detail.clone(),
            doce_model::NextMove::ReplaceKey,
        )));
    }
    Ok(())
}

fn check_label(label: &str, others: &[Connection], own: Option<ConnectionId>) -> Result<String, Error> {
    if label.is_empty() || label.chars().count() > LABEL_MAX || label.chars().any(char::is_control) {
        return Err(Error::Invalid { field: "label", message: format!("A label has 1 to {LABEL_MAX} characters.") });
    }
    if others.iter().any(|other| other.label == label && Some(other.id) != own) {
        return Err(Error::Conflict(doce_model::Failure::new(
            "label_taken",
            format!("You have a connection called `{label}` to this provider already. Choose another label."),
            doce_model::NextMove::None,
        )));
    }
    Ok(label.to_owned())
}

fn free_label(others: &[Connection]) -> String {
    let taken = |label: &str| others.iter().any(|other| other.label == label);
    if !taken("main") {
        return "main".to_owned();
    }
    // One more candidate than there are labels: one of them is free.
    (2..=others.len() + 2)
        .map(|n| format!("main {n}"))
        .find(|label| !taken(label))
        .expect("fewer labels are taken than there are candidates")
}

fn changed_meanwhile() -> Error {
    Error::Conflict(doce_model::Failure::new(
        "changed_meanwhile",
        "This connection was changed from somewhere else at the same moment. Look again, then repeat.",
        doce_model::NextMove::None,
    ))
}
