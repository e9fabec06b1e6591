//! People, and the browsers they signed in with.

use crate::{ApiToken, Ms, SignInId, UserId, text_enum::text_enum};

text_enum! {
    /// What a person may do beyond their own things.
    Role {
        /// Also manages people and the server.
        Admin = "admin",
        /// Sees and changes only what is theirs.
        Member = "member",
    }
}

/// A person with an account. The password's hash stays in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The name they sign in with, unique without regard to case.
    pub username: String,
    /// What they may do.
    pub role: Role,
    /// When the account was made.
    pub created_at: Ms,
    /// Since when nobody may sign in with it, if an admin decided so.
    pub disabled_at: Option<Ms>,
}

/// The rule a username keeps: 1 to 40 letters, digits, `.`, `_` or `-`.
pub fn is_username(text: &str) -> bool {
    (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Fewest characters of a password.
pub const PASSWORD_MIN: usize = 8;
/// Most bytes of a password: hashing more only costs time.
pub const PASSWORD_MAX: usize = 1024;

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Which.
    pub id: SignInId,
    /// Whose.
    pub user_id: UserId,
    /// When it began.
    pub created_at: Ms,
    /// When a request last used it, to the minute.
    pub last_seen_at: Ms,
    /// When it ends by itself.
    pub expires_at: Ms,
    /// The address it came from.
    pub address: Option<String>,
    /// What the browser called itself.
    pub user_agent: Option<String>,
}

impl SignIn {
    /// What stands in a sign-in's place while the command line acts for somebody: it is stored nowhere.
    pub fn of_terminal(user_id: UserId, now: Ms) -> Self {
        Self::stand_in(SignInId::new(now), user_id, now)
    }

    /// What stands in a sign-in's place while an API token is used: always the same one, and stored nowhere.
    pub fn of_token(token: &ApiToken, now: Ms) -> Self {
        Self::stand_in(token.id.into(), token.user_id, now)
    }

    fn stand_in(id: SignInId, user_id: UserId, now: Ms) -> Self {
        Self { id, user_id, created_at: now, last_seen_at: now, expires_at: now, address: None, user_agent: None }
    }
}
