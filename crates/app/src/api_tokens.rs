//! API tokens: made, listed, revoked, and who holds one.

use std::time::Duration;

use doce_model::{
    Actor, ApiToken, ApiTokenId, AuditAction, AuditEvent, Ctx, Scope, User, UserId,
    api_token::{DAYS_MAX, NAME_MAX, TOKENS_MAX},
};
use doce_store::api_token;
use doce_vault::{ExposeSecret as _, SecretString};

use crate::{
    App, Error,
    people::{TOUCH_EVERY, unless_in_trouble},
};

/// What every token begins with, so that it is known for one where it was left lying about.
const PREFIX: &str = "doce_";
const DAY: Duration = Duration::from_hours(24);

/// A token to be made.
#[derive(Debug)]
pub struct NewApiToken {
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// After how many days it ends by itself, if it does.
    pub days: Option<u32>,
}

impl App {
    /// Makes a token for the caller, and returns what proves it. That is kept nowhere.
    pub async fn create_token(
        &self,
        ctx: &Ctx,
        by: &User,
        new: NewApiToken,
    ) -> Result<(ApiToken, SecretString), Error> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
            return Err(Error::Invalid { field: "name", message: format!("A name has 1 to {NAME_MAX} characters.") });
        }
        if new.days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
            return Err(Error::Invalid { field: "days", message: format!("A token lasts 1 to {DAYS_MAX} days.") });
        }
        let secret = doce_vault::token()?;
        let secret = SecretString::from(format!("{PREFIX}{}", secret.expose_secret()));
        let now = ctx.now();
        let token = ApiToken {
            id: ApiTokenId::new(now),
            user_id: by.id,
            name,
            scope: new.scope,
            created_at: now,
            expires_at: new.days.map(|days| now.plus(DAY * days)),
            last_used_at: None,
            last_address: None,
        };
        let mut tx = self.store.write(ctx).await?;
        let others = api_token::list(&mut tx, by.id).await?;
        if others.iter().any(|other| other.name == token.name) {
            let message = "You have a token of this name. Revoke it, or choose another name.".to_owned();
            return Err(Error::Invalid { field: "name", message });
        }
        if others.len() >= TOKENS_MAX {
            let message = format!("You have {TOKENS_MAX} tokens, the most there may be. Revoke some.");
            return Err(Error::Invalid { field: "name", message });
        }
        api_token::insert(&mut tx, &token, &doce_vault::token_hash(secret.expose_secret())).await?;
        tx.audit(AuditEvent::ok(AuditAction::CreateToken, &token.id).detail(token.scope.as_str())).await?;
        tx.commit().await?;
        Ok((token, secret))
    }

    /// Lists the caller's tokens, newest first.
    pub async fn list_tokens(&self, _ctx: &Ctx, by: &User) -> Result<Vec<ApiToken>, Error> {
        Ok(api_token::list(&mut self.store.read().await?, by.id).await?)
    }

    /// Revokes one of the caller's tokens.
    pub async fn revoke_token(&self, ctx: &Ctx, user_id: UserId, id: ApiTokenId) -> Result<(), Error> {
        let mut tx = self.store.write(ctx).await?;
        if !api_token::revoke(&mut tx, user_id, id).await? {
            return Err(Error::not_found("token", id));
        }
        tx.audit(AuditEvent::ok(AuditAction::RevokeToken, &id)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Finds whose token this is, and notes that it was used.
    pub async fn authenticate_token(
        &self,
        token: &str,
        address: Option<&str>,
    ) -> Result<Option<(ApiToken, User)>, Error> {
        // Nothing else is worth a question to the database.
        if !token.starts_with(PREFIX) {
            return Ok(None);
        }
        let now = self.clock.now();
        let hash = doce_vault::token_hash(token);
        let Some((token, user)) = api_token::find(&mut self.store.read().await?, &hash, now).await? else {
            return Ok(None);
        };
        if token.last_used_at.is_none_or(|at| now.since(at) >= TOUCH_EVERY) || token.last_address.as_deref() != address
        {
            let ctx = self.ctx(Actor::Token(token.id, user.id), "authenticate_token");
            let written = async {
                let mut tx = self.store.write(&ctx).await?;
                api_token::touch(&mut tx, token.id, address).await?;
                tx.commit().await
            };
            unless_in_trouble(written.await)?;
        }
        Ok(Some((token, user)))
    }
}
