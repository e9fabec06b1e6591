//! What a caller of a use case can do about its failure.

use std::{error::Error as StdError, time::Duration};

use doce_model::Failure;
use doce_store::{StoreError, Trouble, Words};

/// How long until a database may be well again that somebody has to look after.
const TROUBLE_RETRY_AFTER: Duration = Duration::from_secs(30);

type Source = Box<dyn StdError + Send + Sync>;

/// Why a use case did not do what was asked. Each variant is one thing that a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value is not acceptable: correct it.
    #[error("accept `{field}`: {message}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        message: String,
    },
    /// There is no such thing, or it is somebody else's, which looks the same.
    #[error("find the {noun} `{id}`")]
    NotFound {
        /// What kind of thing.
        noun: &'static str,
        /// Which.
        id: String,
    },
    /// The state of things does not allow it: the failure says which, and what to do first.
    #[error("do this now: {}", .0.message)]
    Conflict(Failure),
    /// The request is well-formed, and its content is refused: the failure says why.
    #[error("accept this: {}", .0.message)]
    Refused(Failure),
    /// The caller may not do this.
    #[error("allow this: {message}")]
    Forbidden {
        /// Stable name.
        code: &'static str,
        /// Why not.
        message: String,
    },
    /// Nobody is signed in with these particulars.
    #[error("sign in")]
    NotSignedIn,
    /// Not now: try again after this time.
    #[error("do this now: {message}")]
    Unavailable {
        /// Stable name.
        code: &'static str,
        /// Why not.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// It failed inside: the caller can do nothing but quote the request id.
    #[error("carry this out")]
    Internal(#[source] Source),
}

impl Error {
    /// Wraps a failure that the caller can do nothing about.
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::Internal(source.into())
    }

    pub(crate) fn not_found(noun: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound { noun, id: id.to_string() }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let Some(trouble) = error.trouble() else { return Self::internal(error) };
        let Words { code, message } = trouble.words();
        let message = match trouble {
            Trouble::DiskFull | Trouble::Locked | Trouble::Unreachable => format!("{message} Nothing was changed."),
            Trouble::Damaged => message.to_owned(),
        };
        tracing::error!(error = crate::chain(&error), "the database did not do its work");
        Self::Unavailable { code, message, retry_after: TROUBLE_RETRY_AFTER }
    }
}

impl From<doce_vault::NoRandom> for Error {
    fn from(error: doce_vault::NoRandom) -> Self {
        Self::internal(error)
    }
}
