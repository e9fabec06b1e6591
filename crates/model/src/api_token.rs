//! API tokens: how a script or the command line of another machine acts for a person, without their password.

use crate::{ApiTokenId, Ms, UserId, text_enum::text_enum};

text_enum! {
    /// What an API token may do. Each includes those before it, and none lets more than its owner may do.
    Scope {
        /// Read the server's figures, if its owner is an admin.
        Metrics = "metrics",
        /// Look at all that its owner sees.
        Read = "read",
        /// Make, prompt, start, stop and delete projects, too.
        Build = "build",
        /// Connect and disconnect providers, too, and look after the server if its owner is an admin.
        Full = "full",
    }
}

/// An API token. What proves it is shown once, when it is made; the store keeps a hash of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Which.
    pub id: ApiTokenId,
    /// Whose.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// When it was made.
    pub created_at: Ms,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Ms>,
    /// When a request last used it, to the minute.
    pub last_used_at: Option<Ms>,
    /// The address that request came from.
    pub last_address: Option<String>,
}

/// Most characters of a token's name.
pub const NAME_MAX: usize = 60;
/// Most tokens that a person may have at a time.
pub const TOKENS_MAX: usize = 50;
/// Most days that a token may be said to last.
pub const DAYS_MAX: u32 = 3650;
