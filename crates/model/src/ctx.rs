//! The context of a call: who, for which request, and what time it is.

use std::{fmt, sync::Arc};

use crate::{ApiTokenId, Clock, JobId, Ms, UserId};

/// Who is behind a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person, through a browser or a script that signed in.
    User(UserId),
    /// A script, or the command line of another machine, with an API token of this person.
    Token(ApiTokenId, UserId),
    /// Nobody has signed in yet: setting up, or trying to sign in.
    Nobody,
    /// A worker carrying out a Job that belongs to this user.
    Job(JobId, UserId),
    /// A reconciler or a follower, by its name.
    Reconciler(&'static str),
    /// The command line on the server's own machine.
    Cli,
    /// The same, on behalf of this person.
    CliAs(UserId),
}

impl Actor {
    /// Returns the person who acts, or for whom a Job is carried out.
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Self::User(id) | Self::Token(_, id) | Self::Job(_, id) | Self::CliAs(id) => Some(*id),
            Self::Nobody | Self::Reconciler(_) | Self::Cli => None,
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "{id}"),
            Self::Token(id, _) => write!(f, "{id}"),
            Self::Nobody => f.write_str("nobody"),
            Self::Job(id, _) => write!(f, "{id}"),
            Self::Reconciler(name) => write!(f, "reconciler:{name}"),
            Self::Cli | Self::CliAs(_) => f.write_str("cli"),
        }
    }
}

/// What every call is given first.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who is behind the call.
    pub actor: Actor,
    /// The request or Job id by which a person can ask about this call.
    pub request_id: String,
    /// The address the call came from, if it came over a network.
    pub address: Option<String>,
    clock: Arc<dyn Clock>,
}

impl Ctx {
    /// Makes a context.
    pub fn new(actor: Actor, request_id: impl Into<String>, address: Option<String>, clock: Arc<dyn Clock>) -> Self {
        Self { actor, request_id: request_id.into(), address, clock }
    }

    /// Returns the present moment.
    pub fn now(&self) -> Ms {
        self.clock.now()
    }

    /// Returns the same context with somebody else behind it.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }

    /// Returns the clock, for what must outlive the call.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }
}
