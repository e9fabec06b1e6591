//! What a person is told when something did not work: a name, a reason, and one next move.

use crate::{ConnectionId, Ms, text_enum::text_enum};

text_enum! {
    /// The one thing a person can do about a [`Failure`]. Each is a real action of the page.
    NextMove {
        /// Connect a Provider.
        ConnectProvider = "connect_provider",
        /// Give a Connection another key.
        ReplaceKey = "replace_key",
        /// Run the Job again.
        Retry = "retry",
        /// Let the Agent take the answer up again.
        Continue = "continue",
        /// Start the Project.
        Start = "start",
        /// Pay the Provider, at its own page.
        TopUp = "top_up",
        /// Choose another model.
        SwitchModel = "switch_model",
        /// Read what the process wrote.
        OpenLogs = "open_logs",
        /// Nothing to do: it passes by itself, or was wanted.
        None = "none",
    }
}

/// A failure as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable name, documented in `docs/errors.md`.
    pub code: String,
    /// What went wrong and what to do, in a sentence or two.
    pub message: String,
    /// The one next move.
    pub next: NextMove,
    /// The Connection that the move is about.
    pub connection_id: Option<ConnectionId>,
    /// Until when the move is of no use, if somebody said so.
    pub until: Option<Ms>,
}

impl Failure {
    /// Makes a failure without a Connection.
    pub fn new(code: &str, message: impl Into<String>, next: NextMove) -> Self {
        Self { code: code.to_owned(), message: message.into(), next, connection_id: None, until: None }
    }

    /// Names the Connection that the next move is about.
    #[must_use]
    pub fn about(mut self, connection_id: ConnectionId) -> Self {
        self.connection_id = Some(connection_id);
        self
    }

    /// Says until when the next move is of no use.
    #[must_use]
    pub fn until(mut self, until: Option<Ms>) -> Self {
        self.until = until;
        self
    }
}
