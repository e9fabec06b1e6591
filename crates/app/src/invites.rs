//! Invites: an admin makes a link, and whoever has it makes an account of their own, once.

use std::collections::HashMap;

use doce_model::{
    Actor, AuditAction, AuditEvent, Ctx, Failure, Invite, InviteId, NextMove, Role, User, UserId,
    invite::{INVITE_LIFE, INVITES_MAX},
};
use doce_store::{invite, user};
use doce_vault::{ExposeSecret as _, SecretString};

use crate::{
    App, Error, SignedIn,
    people::{admins_only, check_password, check_username, is_taken, new_sign_in},
};

/// An invite, and who made it.
#[derive(Debug)]
pub struct InviteView {
    /// The invite.
    pub invite: Invite,
    /// The name of whoever invites.
    pub by: String,
}

impl App {
    /// Makes an invite, and returns what its link has to hold. That is kept nowhere. Admins only.
    pub async fn create_invite(&self, ctx: &Ctx, by: &User, role: Role) -> Result<(InviteView, SecretString), Error> {
        admins_only(by)?;
        self.more_people()?;
        let token = doce_vault::token()?;
        let now = ctx.now();
        let made =
            Invite { id: InviteId::new(now), user_id: by.id, role, created_at: now, expires_at: now.plus(INVITE_LIFE) };
        let mut tx = self.store.write(ctx).await?;
        invite::delete_expired(&mut tx).await?;
        if invite::list(&mut tx, now).await?.len() >= INVITES_MAX {
            let message = format!("{INVITES_MAX} invites are open, the most there may be. Take some back.");
            return Err(Error::Invalid { field: "role", message });
        }
        invite::insert(&mut tx, &made, &doce_vault::token_hash(token.expose_secret())).await?;
        tx.audit(AuditEvent::ok(AuditAction::Invite, &made.id).detail(role.as_str())).await?;
        tx.commit().await?;
        Ok((InviteView { invite: made, by: by.username.clone() }, token))
    }

    /// Lists the invites that can still be used. Admins only.
    pub async fn list_invites(&self, ctx: &Ctx, by: &User) -> Result<Vec<InviteView>, Error> {
        admins_only(by)?;
        let mut read = self.store.read().await?;
        let invites = invite::list(&mut read, ctx.now()).await?;
        let names = user::names(&mut read, &invites.iter().map(|invite| invite.user_id).collect()).await?;
        Ok(invites.into_iter().map(|invite| view(invite, &names)).collect())
    }

    /// Takes an invite back. Admins only.
    pub async fn revoke_invite(&self, ctx: &Ctx, by: &User, id: InviteId) -> Result<(), Error> {
        admins_only(by)?;
        let mut tx = self.store.write(ctx).await?;
        if !invite::delete(&mut tx, id).await? {
            return Err(Error::not_found("invite", id));
        }
        tx.audit(AuditEvent::ok(AuditAction::RevokeInvite, &id)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Tells what a link invites to.
    pub async fn look_at_invite(&self, ctx: &Ctx, token: &SecretString) -> Result<InviteView, Error> {
        let mut read = self.store.read().await?;
        let hash = doce_vault::token_hash(token.expose_secret());
        let found = invite::find(&mut read, &hash, ctx.now()).await?.ok_or_else(invite_gone)?;
        let names = user::names(&mut read, &[found.user_id].into()).await?;
        Ok(view(found, &names))
    }

    /// Makes the account that a link invites to, and signs it in. The invite is used up thereby.
    pub async fn accept_invite(
        &self,
        ctx: &Ctx,
        token: &SecretString,
        username: &str,
        password: SecretString,
        user_agent: Option<&str>,
    ) -> Result<SignedIn, Error> {
        check_username(username)?;
        check_password(&password, "password")?;
        self.more_people()?;
        // Before a password is hashed: that is costly, and anybody may ask.
        self.look_at_invite(ctx, token).await?;
        let hash = self.gatekeeper.hash(password).await?;
        let now = ctx.now();
        let id = UserId::new(now);
        let sign_in = new_sign_in(ctx, id, user_agent);
        let proof = doce_vault::token()?;
        let mut tx = self.store.write(&ctx.acting_as(Actor::User(id))).await?;
        let invite_hash = doce_vault::token_hash(token.expose_secret());
        // Two may use it at once: who comes second finds it gone.
        let found = invite::find(&mut tx, &invite_hash, now).await?.ok_or_else(invite_gone)?;
        let username = username.to_owned();
        let user = User { id, username, role: found.role, created_at: now, disabled_at: None };
        match user::insert(&mut tx, &user, &hash).await {
            Ok(()) => {}
            Err(e) if e.is_taken() => return Err(is_taken(&user.username)),
            Err(e) => return Err(e.into()),
        }
        invite::delete(&mut tx, found.id).await?;
        user::insert_sign_in(&mut tx, &sign_in, &doce_vault::token_hash(proof.expose_secret())).await?;
        tx.audit(AuditEvent::ok(AuditAction::CreateUser, &user.id).detail(format!("with {}", found.id))).await?;
        tx.commit().await?;
        Ok(SignedIn { user, sign_in, token: proof })
    }
}

fn view(invite: Invite, names: &HashMap<UserId, String>) -> InviteView {
    let by = names.get(&invite.user_id).cloned().unwrap_or_default();
    InviteView { invite, by }
}

fn invite_gone() -> Error {
    Error::Conflict(Failure::new(
        "invite_gone",
        "This link was used, was taken back, or is older than seven days. Ask whoever sent it for another one.",
        NextMove::None,
    ))
}
