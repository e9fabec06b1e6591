//! Keys and logins: which become connections, whose, and under which label.

use std::collections::{BTreeMap, HashMap, HashSet};

use doce_legacy::{Credential, Key, Owner, Subject};
use doce_model::{ConnectionId, ImportedKind, Ms, UserId};
use doce_opencode::{
    endpoints::{self, BaseUrlError},
    login::{self, Tokens},
};
use doce_vault::SecretString;

use crate::{
    import::{
        Fingerprints, ImportLine, ImportOutcome, Known,
        people::People,
        plan::{ImportPlan, Noun, Planned},
    },
    logins::tokens,
    probe,
};

/// What a connection that came over is called.
const LABEL: &str = "imported";
/// The one provider whose login is more than what OpenCode's file says of it.
const COPILOT: &str = "github-copilot";

/// A key that is to become a connection, or that is one already.
pub(crate) struct KeyPlan {
    pub(crate) old_id: String,
    pub(crate) user_id: UserId,
    pub(crate) becomes: Becomes,
}

/// What a key becomes.
pub(crate) enum Becomes {
    /// A connection.
    Connection { id: ConnectionId, provider_id: String, label: String, is_default: bool, held: Held },
    /// What is here already: it is only remembered that it was there, too.
    Existing(ConnectionId),
}

/// What a connection holds.
pub(crate) enum Held {
    /// A key, and the answers to its provider's questions.
    Key(SecretString, BTreeMap<String, String>),
    /// The tokens of a login.
    Login(Tokens),
}

impl Held {
    /// Takes what was found; `None` for what doce doesn't keep.
    fn new(provider_id: &str, found: Credential) -> Option<Self> {
        let (refresh, access, expires, mut details) = match found {
            Credential::Api { key, metadata } => return Some(Self::Key(key, metadata)),
            Credential::WellKnown => return None,
            Credential::OAuth { refresh, access, expires, details } => (refresh, access, expires, details),
        };
        let mut tokens = Tokens {
            access,
            refresh,
            expires: expires.unwrap_or(0),
            account_id: details.remove("accountId"),
            enterprise_url: details.remove("enterpriseUrl"),
        };
        if provider_id == COPILOT {
            // Older OpenCodes kept a token of half an hour beside it; this one sends `refresh`, which doesn't run out
            // (1.18.33, read in its source).
            tokens.access = tokens.refresh.clone();
            tokens.expires = 0;
        }
        Some(Self::Login(tokens))
    }

    /// Returns what tells this from others: a key, or what requests carry.
    pub(crate) fn secret(&self) -> &SecretString {
        match self {
            Self::Key(key, _) => key,
            Self::Login(tokens) => &tokens.access,
        }
    }
}

/// What becomes of logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logins {
    /// Nobody else goes on using them.
    TakenOver,
    /// Somebody does: those whose tokens change at every renewal stay there.
    Shared,
}

/// The connections that Projects use instead of their owner's default: by the Project's old id.
pub(crate) type Chosen = HashMap<String, Vec<(String, ConnectionId)>>;

/// Plans which keys and logins come over.
pub(crate) fn plan(
    keys: Vec<Key>,
    people: &People,
    known: &Known,
    logins: Logins,
    fingerprint: Fingerprints<'_>,
    now: Ms,
    plan: &mut ImportPlan,
) -> Chosen {
    let mut desk = Desk::new(known);
    let mut chosen = Chosen::new();
    for key in keys {
        let Key { id: key_id, owner, projects, provider_id, credential, place } = key;
        let held = Held::new(&provider_id, credential);
        let outcome = check(&provider_id, held.as_ref(), logins, now).and_then(|()| owner_of(&owner, people));
        let name = provider_id.clone();
        let mut say = |outcome, detail: String| {
            plan.others.push(ImportLine::new(outcome, Subject::Key, &name, detail));
        };
        let (user_id, whose) = match outcome {
            Ok(owner) => owner,
            Err((outcome, reason)) => {
                say(outcome, format!("{reason} (from {place})"));
                continue;
            }
        };
        let Some(held) = held else { continue };
        let print = fingerprint(held.secret());
        let (old_id, words) = match &held {
            // With its fingerprint: a key that was replaced there since is another one.
            Held::Key(key, _) => (
                format!("{key_id}#{print}"),
                match doce_vault::last_four(key) {
                    end if end.is_empty() => String::new(),
                    end => format!(", ends in {end}"),
                },
            ),
            // A login stays the same one, however often its tokens are renewed.
            Held::Login(_) if logins == Logins::TakenOver => {
                (key_id, ", a login, which the old installation must not use any more".to_owned())
            }
            Held::Login(_) => (key_id, ", a login".to_owned()),
        };
        let before = known.imported.get(&(ImportedKind::Key, old_id.clone()));
        let id = if before.is_some() {
            say(ImportOutcome::Already, format!("came over before (from {place})"));
            before.and_then(|id| id.parse().ok())
        } else if let Some((id, label)) = desk.find(user_id, &provider_id, &print) {
            plan.planned.push(Planned {
                line: ImportLine::new(
                    ImportOutcome::Already,
                    Subject::Key,
                    &provider_id,
                    format!("is connected as `{label}` (from {place})"),
                ),
                noun: Noun::Key(KeyPlan { old_id, user_id, becomes: Becomes::Existing(id) }),
            });
            Some(id)
        } else {
            let id = ConnectionId::new(now);
            let (label, is_default) = desk.add(user_id, &provider_id, &print, id);
            plan.planned.push(Planned {
                line: ImportLine::new(
                    ImportOutcome::New,
                    Subject::Key,
                    &provider_id,
                    format!("becomes the connection `{label}`{whose}{words} (from {place})"),
                ),
                noun: Noun::Key(KeyPlan {
                    old_id,
                    user_id,
                    becomes: Becomes::Connection { id, provider_id: provider_id.clone(), label, is_default, held },
                }),
            });
            Some(id)
        };
        if let Some(id) = id.filter(|id| !desk.defaults.contains(id)) {
            for project in projects {
                chosen.entry(project).or_default().push((provider_id.clone(), id));
            }
        }
    }
    chosen
}

/// Why something becomes no connection.
type Declined = (ImportOutcome, String);

/// Says why something can't be a connection here, if it can't.
fn check(provider_id: &str, held: Option<&Held>, logins: Logins, now: Ms) -> Result<(), Declined> {
    let left = |reason: String| Err((ImportOutcome::Left, reason));
    let Some(held) = held else {
        return left("a token for an address that describes a provider: connect that one by hand".to_owned());
    };
    let Some(endpoint) = endpoints::find(provider_id) else {
        return left("doce knows no such provider, so nobody can say where its key would go".to_owned());
    };
    if let Some(refusal) = endpoint.refusal() {
        return left(refusal.trim_end_matches('.').to_owned());
    }
    let name = &endpoint.name;
    let (address, metadata) = match held {
        Held::Key(_, metadata) => (None, metadata.clone()),
        Held::Login(tokens) => {
            let Some(facts) = login::facts(provider_id) else {
                return left(format!("a login at {name}, which doce can't keep: connect it with a key"));
            };
            if facts.renewal.is_some() && logins == Logins::Shared {
                return left(format!(
                    "a login at {name}, whose tokens change at every renewal, so two programs can't share it: sign in \
                     again here"
                ));
            }
            if facts.renewal.is_none() && tokens::expiry(tokens).is_some_and(|at| at <= now) {
                return left(format!("a login at {name} that has run out: sign in again here"));
            }
            let account = tokens.account_id.iter().map(|id| ("account".to_owned(), id.clone()));
            (tokens.base_url(provider_id), account.collect())
        }
    };
    if probe::check_metadata(&metadata).is_err() {
        return Err((ImportOutcome::Refused, "the answers beside it are too many or too long".to_owned()));
    }
    match endpoint.base_url(address.as_deref(), &metadata) {
        Ok(_) => Ok(()),
        Err(BaseUrlError::Needed { .. } | BaseUrlError::Answer { .. } | BaseUrlError::Invalid { .. }) => {
            left(format!("{name} has a different address for each account: connect it by hand"))
        }
    }
}

/// Says whose connection a key becomes, also in words where that isn't plain.
fn owner_of(owner: &Owner, people: &People) -> Result<(UserId, String), Declined> {
    let refused = |reason: &str| Err((ImportOutcome::Refused, reason.to_owned()));
    match owner {
        Owner::User(id) => match people.find(id) {
            Some(user_id) => Ok((user_id, String::new())),
            None => refused("its owner doesn't come over"),
        },
        Owner::Installation => match people.first() {
            Some((user_id, name)) if people.are_several() => {
                Ok((user_id, format!(" of {}, the first: everybody used it", doce_legacy::plain(name))))
            }
            Some((user_id, _)) => Ok((user_id, String::new())),
            None => {
                refused("there is nobody to give it to: `doce import opencode FILE --user NAME` gives it to an account")
            }
        },
    }
}

/// The connections that there are and will be.
struct Desk {
    labels: HashSet<(UserId, String, String)>,
    by_print: HashMap<(UserId, String, String), (ConnectionId, String)>,
    has_default: HashSet<(UserId, String)>,
    defaults: HashSet<ConnectionId>,
}

impl Desk {
    fn new(known: &Known) -> Self {
        let mut desk = Self {
            labels: HashSet::new(),
            by_print: HashMap::new(),
            has_default: HashSet::new(),
            defaults: HashSet::new(),
        };
        for connection in known.connections.values().flatten() {
            let (user_id, provider_id) = (connection.user_id, connection.provider_id.clone());
            desk.labels.insert((user_id, provider_id.clone(), connection.label.clone()));
            if connection.is_default {
                desk.has_default.insert((user_id, provider_id.clone()));
                desk.defaults.insert(connection.id);
            }
            desk.by_print.insert(
                (user_id, provider_id, connection.fingerprint.clone()),
                (connection.id, connection.label.clone()),
            );
        }
        desk
    }

    fn find(&self, user_id: UserId, provider_id: &str, print: &str) -> Option<(ConnectionId, &str)> {
        let found = self.by_print.get(&(user_id, provider_id.to_owned(), print.to_owned()));
        found.map(|(id, label)| (*id, label.as_str()))
    }

    fn add(&mut self, user_id: UserId, provider_id: &str, print: &str, id: ConnectionId) -> (String, bool) {
        let provider_id = provider_id.to_owned();
        let label = std::iter::once(LABEL.to_owned())
            // One more candidate than there are labels: one of them is free.
            .chain((2..self.labels.len() + 3).map(|n| format!("{LABEL} {n}")))
            .find(|label| self.labels.insert((user_id, provider_id.clone(), label.clone())))
            .expect("fewer labels are taken than there are candidates");
        let is_default = self.has_default.insert((user_id, provider_id.clone()));
        if is_default {
            self.defaults.insert(id);
        }
        self.by_print.insert((user_id, provider_id, print.to_owned()), (id, label.clone()));
        (label, is_default)
    }
}
