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
    /// When its tokens run out, or its key by what its owner said, if they do.
    pub expires_at: Option<Ms>,
    /// When an Agent last got an answer with it.
    pub last_used_at: Option<Ms>,
    /// Since when its key is this one.
    pub key_since: Ms,
    /// How many days its owner wants a key to be in force at most.
    pub max_age_days: Option<i64>,
    /// The version that its owner kept although the Provider had rejected it.
    pub kept_version: Option<i64>,
}

impl Connection {
    /// Tells whether an Agent may be set to work with it. One that the Provider rejected may if its owner kept it.
    pub fn is_usable(&self) -> bool {
        match self.status {
            ConnectionStatus::Connected => true,
            ConnectionStatus::Error => self.kept_version == Some(self.version),
            ConnectionStatus::Expired | ConnectionStatus::Revoked => false,
        }
    }

    /// Returns when its key is to have been replaced: when it runs out, or has become as old as its owner wants.
    pub fn replace_by(&self) -> Option<Ms> {
        let oldest = self.max_age_days.map(|days| {
            let age = days.saturating_mul(24 * 60 * 60 * 1000);
            Ms(self.key_since.0.saturating_add(age))
        });
        self.expires_at.into_iter().chain(oldest).min()
    }
}

/// Most characters of a label.
pub const LABEL_MAX: usize = 60;
/// Most days that a key may be said to be in force.
pub const MAX_AGE_DAYS_MAX: i64 = 3650;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn connection() -> Connection {
        Connection {
            id: ConnectionId::new(Ms(0)),
            user_id: UserId::new(Ms(0)),
            provider_id: "anthropic".to_owned(),
            label: "main".to_owned(),
            auth_type: AuthType::Api,
            status: ConnectionStatus::Connected,
            error_message: None,
            verification: None,
            base_url: None,
            is_default: true,
            fingerprint: String::new(),
            last_four: String::new(),
            version: 2,
            created_at: Ms(0),
            updated_at: Ms(0),
            expires_at: None,
            last_used_at: None,
            key_since: Ms(DAY),
            max_age_days: None,
            kept_version: None,
        }
    }

    #[test]
    fn a_rejected_key_is_used_only_as_long_as_its_owner_kept_this_very_one() {
        let rejected = Connection { status: ConnectionStatus::Error, ..connection() };
        assert!(connection().is_usable());
        assert!(!rejected.is_usable());
        assert!(!Connection { kept_version: Some(1), ..rejected.clone() }.is_usable());
        assert!(Connection { kept_version: Some(2), ..rejected }.is_usable());
        let expired = Connection { status: ConnectionStatus::Expired, kept_version: Some(2), ..connection() };
        assert!(!expired.is_usable());
    }

    #[test]
    fn a_key_is_to_be_replaced_when_it_runs_out_or_is_too_old_whichever_comes_first() {
        assert_eq!(connection().replace_by(), None);
        let old = Connection { max_age_days: Some(30), ..connection() };
        assert_eq!(old.replace_by(), Some(Ms(31 * DAY)));
        assert_eq!(Connection { expires_at: Some(Ms(5 * DAY)), ..old.clone() }.replace_by(), Some(Ms(5 * DAY)));
        assert_eq!(Connection { expires_at: Some(Ms(50 * DAY)), ..old }.replace_by(), Some(Ms(31 * DAY)));
    }
}
