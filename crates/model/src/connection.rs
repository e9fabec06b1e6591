//! Connections: a user's link to a Provider.

use crate::{ConnectionId, Ms, UserId, text_enum::text_enum};

text_enum! {
    /// Whether a Connection can be used.
    ConnectionStatus {
        /// It can.
        Connected = "connected",
        /// Its credential has run out.
        Expired = "expired",
        /// The provider refused it; the reason stands beside.
        Error = "error",
        /// Its owner disconnected it.
        Revoked = "revoked",
    }
}

text_enum! {
    /// How a Connection proves itself to its Provider.
    AuthType {
        /// With a key.
        Api = "api",
        /// With the tokens of a login.
        OAuth = "oauth",
    }
}

text_enum! {
    /// What the provider said when the credential was last checked.
    Outcome {
        /// It works.
        Valid = "valid",
        /// It works, but may not do everything (for example not list models).
        Limited = "limited",
        /// It is genuine, and has nothing left to spend.
        NoCredit = "no_credit",
        /// The provider rejected it.
        Invalid = "invalid",
        /// The provider did not answer in time, or not sensibly.
        Unreachable = "unreachable",
        /// There is no honest way to check it without spending money.
        Unsupported = "unsupported",
    }
}

/// The last check of a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// What came of it.
    pub outcome: Outcome,
    /// When.
    pub at: Ms,
    /// One sentence for a person. Nothing of the provider's body is in it.
    pub detail: String,
}

/// A user's link to a Provider. Its secret is a Credential, which this type can't reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Which.
    pub id: ConnectionId,
    /// Whose.
    pub user_id: UserId,
    /// The Provider, by `OpenCode`'s id.
    pub provider_id: String,
    /// What its owner calls it; unique per owner and Provider.
    pub label: String,
    /// How it proves itself.
    pub auth_type: AuthType,
    /// Whether it can be used.
    pub status: ConnectionStatus,
    /// Why not, if it can't.
    pub error_message: Option<String>,
    /// The last check, if there was one.
    pub verification: Option<Verification>,
    /// Where requests go instead of the Provider's default.
    pub base_url: Option<String>,
    /// Whether Projects take this one when they don't name another.
    pub is_default: bool,
    /// Keyed hash of the Credential.
    pub fingerprint: String,
    /// Last four characters of the Credential; fewer for a short one.
    pub last_four: String,
    /// The Credential's version: 1, then one more with each replacement.
    pub version: i64,
    /// When it was made.
    pub created_at: Ms,
    /// When it last changed.
    pub updated_at: Ms,
    /// When its tokens run out, if they do.
    pub expires_at: Option<Ms>,
    /// When an Agent last got an answer with it.
    pub last_used_at: Option<Ms>,
}

/// Most characters of a label.
pub const LABEL_MAX: usize = 60;
