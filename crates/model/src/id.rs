//! Ids: `UUIDv7` behind a printed prefix that names the noun.
//!
//! The prefix makes an id recognisable in a log and makes it impossible to pass one noun's id as another's.
//! A `UUIDv7` tells when it was made, so an id is never a secret: tokens are random values of their own.

use std::{fmt, str::FromStr};

use uuid::{NoContext, Timestamp, Uuid};

use crate::Ms;

/// A text that is not an id of the noun it was read as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form `{prefix}_…`")]
pub struct IdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
    /// The text that was read, cut to 80 characters.
    pub text: String,
}

/// Defines one id type.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// The printed prefix, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes a new id for something that begins at `now`.
            pub fn new(now: Ms) -> Self {
                Self(uuid_at(now))
            }

            /// Returns the id without its prefix, 32 hexadecimal digits.
            pub fn hex(self) -> String {
                self.0.simple().to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32)
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or_else(|| IdError { prefix: $prefix, text: text.chars().take(80).collect() })
            }
        }
    };
}

fn uuid_at(now: Ms) -> Uuid {
    let millis = u64::try_from(now.0).unwrap_or(0);
    let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
    Uuid::new_v7(Timestamp::from_unix(NoContext, millis / 1000, nanos))
}

id!(/** Names a person with an account. */ UserId, "usr");
id!(/** Names a signed-in browser. */ SignInId, "sin");
id!(/** Names an API token. */ ApiTokenId, "tok");
id!(/** Names an invite to make an account. */ InviteId, "inv");
id!(/** Names a user's link to a Provider. */ ConnectionId, "con");
id!(/** Names one version of a Connection's secret. */ CredentialId, "crd");
id!(/** Names an attempt to sign in to a Provider. */ OAuthAttemptId, "oat");
id!(/** Names the handing over of one Connection to one Instance. */ DeliveryId, "dlv");
id!(/** Names a Project. */ ProjectId, "prj");
id!(/** Names one incarnation of a Project. */ InstanceId, "ins");
id!(/** Names a conversation with an Agent. */ SessionId, "ses");
id!(/** Names a Message. Its digits are also the id that `OpenCode` is given for a Prompt. */ MessageId, "msg");
id!(/** Names a piece of a Message. */ PartId, "prt");
id!(/** Names a Job. */ JobId, "job");
id!(/** Names a line of the audit log. */ AuditEventId, "aud");

impl From<ApiTokenId> for SignInId {
    /// Names what stands in a sign-in's place while a token is used.
    fn from(id: ApiTokenId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = ProjectId::new(Ms(1_790_000_000_123));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().starts_with("prj_"));
    }

    #[test]
    fn an_id_of_another_noun_is_refused() {
        let id = UserId::new(Ms(1)).to_string();
        assert!(id.parse::<ProjectId>().is_err());
        assert!("prj_".parse::<ProjectId>().is_err());
        assert!("prj_zz".parse::<ProjectId>().is_err());
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        assert!(JobId::new(Ms(2000)).to_string() > JobId::new(Ms(1000)).to_string());
    }
}
