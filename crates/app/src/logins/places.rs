//! Places for logins under way: how many there may be, and who waits for whom.
//!
//! A login has its place from before its server starts until that server has ended, so two that begin at one instant
//! can't both take the last one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use doce_model::{Failure, NextMove, OAuthAttemptId, UserId};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Logins at a time of one user.
const LIVE_PER_USER: usize = 2;
/// Logins at a time on the server: each is an `OpenCode`, of 0.4 GB.
const LIVE: usize = 4;
/// How long a login waits for the end of the one that it replaces.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

/// The places that are taken.
#[derive(Clone, Default)]
pub(super) struct Places {
    taken: Arc<Mutex<HashMap<OAuthAttemptId, Taken>>>,
}

struct Taken {
    user_id: UserId,
    provider_id: String,
    /// The port that the login listens on and nothing else can meanwhile.
    fixed_port: Option<u16>,
    cancel: CancellationToken,
    free: CancellationToken,
}

/// A place; free again when this is dropped.
pub(super) struct Place {
    places: Places,
    id: OAuthAttemptId,
    /// Cancels the login.
    pub(super) cancel: CancellationToken,
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<OAuthAttemptId, Taken>> {
        // A panic while it was held can't leave it half changed: each change is one call.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a login. The user's own at the same Provider is given up for it, and its end is waited for:
    /// it may hold the port.
    pub(super) async fn take(
        &self,
        id: OAuthAttemptId,
        user_id: UserId,
        provider_id: &str,
        fixed_port: Option<u16>,
    ) -> Result<Place, Error> {
        let (place, replaced) = {
            let mut taken = self.lock();
            let (own, others): (Vec<&Taken>, Vec<&Taken>) =
                taken.values().partition(|other| other.user_id == user_id && other.provider_id == provider_id);
            check(&others, user_id, fixed_port)?;
            let replaced: Vec<CancellationToken> = own
                .into_iter()
                .map(|old| {
                    old.cancel.cancel();
                    old.free.clone()
                })
                .collect();
            let place = Place { places: self.clone(), id, cancel: CancellationToken::new() };
            let entry = Taken {
                user_id,
                provider_id: provider_id.to_owned(),
                fixed_port,
                cancel: place.cancel.clone(),
                free: CancellationToken::new(),
            };
            taken.insert(id, entry);
            (place, replaced)
        };
        let ends = futures::future::join_all(replaced.iter().map(CancellationToken::cancelled));
        if tokio::time::timeout(REPLACED_WITHIN, ends).await.is_err() {
            tracing::warn!(attempt = %id, "the sign-in that this one replaces has not ended in time");
        }
        Ok(place)
    }
}

fn check(others: &[&Taken], user_id: UserId, fixed_port: Option<u16>) -> Result<(), Error> {
    if fixed_port.is_some() && others.iter().any(|other| other.fixed_port == fixed_port) {
        return Err(busy(
            "Somebody else is signing in to this provider right now, and it can be done by one at a time only. Try \
             again when they are done, in ten minutes at most.",
        ));
    }
    let live = || others.iter().filter(|other| !other.cancel.is_cancelled());
    if live().filter(|other| other.user_id == user_id).count() >= LIVE_PER_USER {
        return Err(busy("You have other sign-ins under way. Finish or cancel one of them first."));
    }
    if live().count() >= LIVE {
        return Err(busy("Too many people are signing in to providers right now. Try again in a few minutes."));
    }
    Ok(())
}

fn busy(message: &str) -> Error {
    Error::Conflict(Failure::new("login_busy", message, NextMove::None))
}

impl Place {
    /// Says that this login doesn't listen, so that others may use the port.
    pub(super) fn leave_port(&self) {
        if let Some(taken) = self.places.lock().get_mut(&self.id) {
            taken.fixed_port = None;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(taken) = self.places.lock().remove(&self.id) {
            taken.free.cancel();
        }
    }
}
