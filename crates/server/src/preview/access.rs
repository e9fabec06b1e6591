//! Tickets and passes: who may see which preview, kept in memory and hashed.
//!
//! A ticket is handed to a page of doce, lives for seconds and works once; the preview's own host turns it into a pass,
//! which lives in a cookie for hours. Neither survives a restart: the page asks for another ticket then.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use doce_model::{Ms, ProjectId, SignInId};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::Origin;

/// How long a ticket can be used.
pub(super) const TICKET_LIFE: Duration = Duration::from_secs(30);
/// How long a pass opens its preview.
pub(super) const PASS_LIFE: Duration = Duration::from_hours(12);
/// Most tickets, and most passes, of one Project; the oldest gives way.
pub(super) const PER_PROJECT: usize = 32;
/// Most tickets, and most passes, of all Projects together; the oldest gives way.
pub(super) const IN_ALL: usize = 4096;

/// What a ticket allows: to see one Project's preview from the pages of one origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Whose preview.
    pub project: ProjectId,
    /// The signed-in browser that asked, so that signing out ends it; none for an API token.
    pub sign_in: Option<SignInId>,
    /// The page of doce that asked: only it may frame the preview.
    pub opener: Origin,
}

/// A ticket to one preview: one use, half a minute.
pub struct Ticket {
    /// What goes into the address of the frame.
    pub secret: SecretString,
    /// From when on it is worthless.
    pub expires_at: Ms,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A grant that holds at present.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// What is allowed.
    pub(super) grant: Grant,
    /// Ends with the grant; whatever outlives the request it came with watches it.
    pub(super) ended: CancellationToken,
}

struct Slot {
    access: Access,
    expires_at: Ms,
}

/// Random tokens and what each stands for.
pub(super) struct Shelf {
    life: Duration,
    shutdown: CancellationToken,
    slots: Mutex<HashMap<[u8; 32], Slot>>,
}

impl Shelf {
    /// Makes an empty one whose tokens live for `life`, and no longer than until `shutdown`.
    pub(super) fn new(life: Duration, shutdown: CancellationToken) -> Self {
        Self { life, shutdown, slots: Mutex::new(HashMap::new()) }
    }

    /// Makes a token for a grant. Returns the token, which isn't kept, and the moment it ends.
    pub(super) fn issue(&self, grant: Grant, now: Ms) -> (SecretString, Ms) {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).expect("the kernel has random bytes");
        let token = SecretString::from(URL_SAFE_NO_PAD.encode(random));
        let expires_at = now.plus(self.life);
        let project = grant.project;
        let mut slots = self.slots();
        sweep(&mut slots, |slot| slot.expires_at > now);
        while count(&slots, |slot| slot.access.grant.project == project) >= PER_PROJECT {
            evict_oldest(&mut slots, |slot| slot.access.grant.project == project);
        }
        while slots.len() >= IN_ALL {
            evict_oldest(&mut slots, |_| true);
        }
        let access = Access { grant, ended: self.shutdown.child_token() };
        slots.insert(hash(token.expose_secret()), Slot { access, expires_at });
        (token, expires_at)
    }

    /// Takes the token's grant away, if it is good for this Project: it can't be had twice.
    ///
    /// A token of another Project stays what it was: a preview can't use up a ticket that isn't its own.
    pub(super) fn redeem(&self, token: &str, project: ProjectId, now: Ms) -> Option<Grant> {
        let mut slots = self.slots();
        let key = hash(token);
        if slots.get(&key)?.access.grant.project != project {
            return None;
        }
        let slot = slots.remove(&key)?;
        slot.access.ended.cancel();
        (slot.expires_at > now).then_some(slot.access.grant)
    }

    /// Returns what the token stands for, if it is good for this Project.
    pub(super) fn find(&self, token: &str, project: ProjectId, now: Ms) -> Option<Access> {
        let slots = self.slots();
        let slot = slots.get(&hash(token))?;
        (slot.access.grant.project == project && slot.expires_at > now).then(|| slot.access.clone())
    }

    /// Ends every grant that `which` names.
    pub(super) fn revoke(&self, which: impl Fn(&Grant) -> bool) {
        sweep(&mut self.slots(), |slot| !which(&slot.access.grant));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<[u8; 32], Slot>> {
        // A panic while it was held can't leave it half changed: each change is one call.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Slots = HashMap<[u8; 32], Slot>;

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn count(slots: &Slots, which: impl Fn(&Slot) -> bool) -> usize {
    slots.values().filter(|slot| which(slot)).count()
}

fn evict_oldest(slots: &mut Slots, which: impl Fn(&Slot) -> bool) {
    let oldest =
        slots.iter().filter(|(_, slot)| which(slot)).min_by_key(|(_, slot)| slot.expires_at).map(|(key, _)| *key);
    if let Some(slot) = oldest.and_then(|key| slots.remove(&key)) {
        slot.access.ended.cancel();
    }
}

fn sweep(slots: &mut Slots, stays: impl Fn(&Slot) -> bool) {
    slots.retain(|_, slot| {
        let stays = stays(slot);
        if !stays {
            slot.access.ended.cancel();
        }
        stays
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Ms = Ms(1_790_000_000_000);

    fn grant(project: ProjectId) -> Grant {
        Grant { project, sign_in: None, opener: Origin::parse("http://localhost:4321").expect("it is an origin") }
    }

    fn shelf() -> Shelf {
        Shelf::new(TICKET_LIFE, CancellationToken::new())
    }

    #[test]
    fn a_token_has_256_random_bits_and_is_not_kept() {
        let shelf = shelf();
        let project = ProjectId::new(NOW);
        let (one, _) = shelf.issue(grant(project), NOW);
        let (other, _) = shelf.issue(grant(project), NOW);
        assert_ne!(one.expose_secret(), other.expose_secret());
        let bytes = URL_SAFE_NO_PAD.decode(one.expose_secret()).expect("it is base64url");
        assert_eq!(bytes.len(), 32);
        assert!(!shelf.slots().contains_key(bytes.as_slice()));
    }

    #[test]
    fn a_token_is_redeemed_once() {
        let shelf = shelf();
        let project = ProjectId::new(NOW);
        let (token, _) = shelf.issue(grant(project), NOW);
        let token = token.expose_secret();
        assert_eq!(shelf.redeem(token, project, NOW), Some(grant(project)));
        assert_eq!(shelf.redeem(token, project, NOW), None);
    }

    #[test]
    fn a_token_is_worthless_from_its_end_on() {
        let shelf = shelf();
        let project = ProjectId::new(NOW);
        let (token, end) = shelf.issue(grant(project), NOW);
        assert_eq!(end, NOW.plus(TICKET_LIFE));
        let token = token.expose_secret();
        assert!(shelf.find(token, project, Ms(end.0 - 1)).is_some());
        assert!(shelf.find(token, project, end).is_none());
        assert_eq!(shelf.redeem(token, project, end), None);
    }

    #[test]
    fn a_token_of_another_project_neither_works_nor_is_used_up() {
        let shelf = shelf();
        let (mine, other) = (ProjectId::new(NOW), ProjectId::new(NOW));
        let (token, _) = shelf.issue(grant(mine), NOW);
        let token = token.expose_secret();
        assert_eq!(shelf.redeem(token, other, NOW), None);
        assert!(shelf.find(token, other, NOW).is_none());
        assert!(shelf.redeem(token, mine, NOW).is_some());
    }

    #[test]
    fn one_project_more_than_its_share_loses_its_own_oldest() {
        let shelf = shelf();
        let (mine, other) = (ProjectId::new(NOW), ProjectId::new(NOW));
        let (kept, _) = shelf.issue(grant(other), NOW);
        let (first, _) = shelf.issue(grant(mine), NOW);
        for _ in 0..PER_PROJECT {
            shelf.issue(grant(mine), NOW.plus(Duration::from_secs(1)));
        }
        assert_eq!(shelf.len(), PER_PROJECT + 1);
        assert!(shelf.find(first.expose_secret(), mine, NOW).is_none());
        assert!(shelf.find(kept.expose_secret(), other, NOW).is_some());
    }

    #[test]
    fn all_projects_together_hold_no_more_than_the_limit() {
        let shelf = shelf();
        let first = ProjectId::new(NOW);
        let (oldest, _) = shelf.issue(grant(first), NOW);
        for _ in 0..IN_ALL {
            shelf.issue(grant(ProjectId::new(NOW)), NOW.plus(Duration::from_secs(1)));
        }
        assert_eq!(shelf.len(), IN_ALL);
        assert!(shelf.find(oldest.expose_secret(), first, NOW).is_none());
    }

    #[test]
    fn what_has_ended_makes_room() {
        let shelf = shelf();
        let project = ProjectId::new(NOW);
        let (_, end) = shelf.issue(grant(project), NOW);
        shelf.issue(grant(project), end);
        assert_eq!(shelf.len(), 1);
    }

    #[test]
    fn revoking_ends_what_is_named_and_nothing_else() {
        let shelf = shelf();
        let (mine, other) = (ProjectId::new(NOW), ProjectId::new(NOW));
        let (gone, _) = shelf.issue(grant(mine), NOW);
        let (kept, _) = shelf.issue(grant(other), NOW);
        let access = shelf.find(gone.expose_secret(), mine, NOW).expect("it was just issued");
        shelf.revoke(|grant| grant.project == mine);
        assert!(access.ended.is_cancelled());
        assert!(shelf.find(gone.expose_secret(), mine, NOW).is_none());
        assert!(shelf.find(kept.expose_secret(), other, NOW).is_some());
    }

    #[test]
    fn shutting_down_ends_what_is_held() {
        let shutdown = CancellationToken::new();
        let shelf = Shelf::new(PASS_LIFE, shutdown.clone());
        let project = ProjectId::new(NOW);
        let (token, _) = shelf.issue(grant(project), NOW);
        let access = shelf.find(token.expose_secret(), project, NOW).expect("it was just issued");
        shutdown.cancel();
        assert!(access.ended.is_cancelled());
    }

    #[test]
    fn a_ticket_does_not_print_its_secret() {
        let ticket = Ticket { secret: SecretString::from("planted"), expires_at: NOW };
        assert!(!format!("{ticket:?}").contains("planted"));
    }
}
