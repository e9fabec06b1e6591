//! Invites: a link with which somebody makes an account of their own.

use std::time::Duration;

use crate::{InviteId, Ms, Role, UserId};

/// How long an invite can be used.
pub const INVITE_LIFE: Duration = Duration::from_hours(168);
/// Most invites that may be open at a time.
pub const INVITES_MAX: usize = 100;

/// An invite that was not used yet. What proves it stands in the link only; the store keeps a hash of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Which.
    pub id: InviteId,
    /// Who invites.
    pub user_id: UserId,
    /// What the account may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Ms,
    /// When it ends by itself.
    pub expires_at: Ms,
}
