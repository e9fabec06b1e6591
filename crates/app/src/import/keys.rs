//! Keys: which become connections, whose, and under which label.

use std::collections::{BTreeMap, HashMap, HashSet};

use doce_legacy::{Credential, Key, Owner, Subject};
use doce_model::{ConnectionId, ImportedKind, Ms, UserId};
use doce_opencode::endpoints::{self, BaseUrlError};
use doce_vault::SecretString;

use crate::{
    import::{
        Fingerprints, ImportLine, ImportOutcome, Known,
        people::People,
        plan::{ImportPlan, Noun, Planned},
    },
    probe,
};

/// What a connection that came over is called.
const LABEL: &str = "imported";

/// A key that is to become a connection, or that is one already.
pub(crate) struct KeyPlan {
    pub(crate) old_id: String,
    pub(crate) user_id: UserId,
    pub(crate) becomes: Becomes,
}

/// What a key becomes.
pub(crate) enum Becomes {
    /// A connection.
    Connection {
        id: ConnectionId,
        provider_id: String,
        label: String,
        is_default: bool,
        key: SecretString,
        metadata: BTreeMap<String, String>,
    },
    /// What is here already: it is only remembered that it was there, too.
    Existing(ConnectionId),
}

/// The connections that Projects use instead of their owner's default: by the Project's old id.
pub(crate) type Chosen = HashMap<String, Vec<(String, ConnectionId)>>;

/// Plans which keys come over.
pub(crate) fn plan(
    keys: Vec<Key>,
    people: &People,
    known: &Known,
    fingerprint: Fingerprints<'_>,
    now: Ms,
    plan: &mut ImportPlan,
) -> Chosen {
    let mut desk = Desk::new(known);
    let mut chosen = Chosen::new();
    for key in keys {
        let (outcome, name, place) = (decide(&key, people), key.provider_id.clone(), key.place.clone());
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
        let Credential::Api { key: secret, metadata } = key.credential else { continue };
        let print = fingerprint(&secret);
        // With its fingerprint: a key that was replaced there since is another one.
        let old_id = format!("{}#{print}", key.id);
        let before = known.imported.get(&(ImportedKind::Key, old_id.clone()));
        let id = if before.is_some() {
            say(ImportOutcome::Already, format!("came over before (from {place})"));
            before.and_then(|id| id.parse().ok())
        } else if let Some((id, label)) = desk.find(user_id, &key.provider_id, &print) {
            plan.planned.push(Planned {
                line: ImportLine::new(
                    ImportOutcome::Already,
                    Subject::Key,
                    &key.provider_id,
                    format!("is connected as `{label}` (from {place})"),
                ),
                noun: Noun::Key(KeyPlan { old_id, user_id, becomes: Becomes::Existing(id) }),
            });
            Some(id)
        } else {
            let id = ConnectionId::new(now);
            let (label, is_default) = desk.add(user_id, &key.provider_id, &print, id);
            let last_four = match doce_vault::last_four(&secret) {
                end if end.is_empty() => String::new(),
                end => format!(", ends in {end}"),
            };
            plan.planned.push(Planned {
                line: ImportLine::new(
                    ImportOutcome::New,
                    Subject::Key,
                    &key.provider_id,
                    format!("becomes the connection `{label}`{whose}{last_four} (from {place})"),
                ),
                noun: Noun::Key(KeyPlan {
                    old_id,
                    user_id,
                    becomes: Becomes::Connection {
                        id,
                        provider_id: key.provider_id.clone(),
                        label,
                        is_default,
                        key: secret,
                        metadata,
                    },
                }),
            });
            Some(id)
        };
        if let Some(id) = id.filter(|id| !desk.defaults.contains(id)) {
            for project in key.projects {
                chosen.entry(project).or_default().push((key.provider_id.clone(), id));
            }
        }
    }
    chosen
}

/// Says whose connection a key becomes, in the plan and in words; or why it becomes none.
fn decide(key: &Key, people: &People) -> Result<(UserId, String), (ImportOutcome, String)> {
    let left = |reason: String| Err((ImportOutcome::Left, reason));
    let name = endpoints::find(&key.provider_id).map_or(key.provider_id.as_str(), |endpoint| endpoint.name.as_str());
    let metadata = match &key.credential {
        Credential::Api { metadata, .. } => metadata,
        Credential::OAuth { .. } => {
            return left(format!("{name} is a login, not a key, and two programs can't share one: sign in again here"));
        }
        Credential::WellKnown => {
            return left("it is a token for an address that describes a provider: connect that one by hand".to_owned());
        }
    };
    let Some(endpoint) = endpoints::find(&key.provider_id) else {
        return left("doce knows no such provider, so nobody can say where its key would go".to_owned());
    };
    if let Some(refusal) = endpoint.refusal() {
        return left(refusal.trim_end_matches('.').to_owned());
    }
    if probe::check_metadata(metadata).is_err() {
        return Err((ImportOutcome::Refused, "the answers beside it are too many or too long".to_owned()));
    }
    match endpoint.base_url(None, metadata) {
        Ok(_) => {}
        Err(BaseUrlError::Needed { .. } | BaseUrlError::Answer { .. } | BaseUrlError::Invalid { .. }) => {
            return left(format!("{name} has a different address for each account: connect it by hand"));
        }
    }
    match &key.owner {
        Owner::User(id) => match people.find(id) {
            Some(user_id) => Ok((user_id, String::new())),
            None => Err((ImportOutcome::Refused, "its owner doesn't come over".to_owned())),
        },
        Owner::Installation => match people.first() {
            Some((user_id, name)) if people.are_several() => {
                Ok((user_id, format!(" of {}: everybody used it, and it goes to the first", doce_legacy::plain(name))))
            }
            Some((user_id, _)) => Ok((user_id, String::new())),
            None => Err((
                ImportOutcome::Refused,
                "there is nobody to give it to: `doce import opencode FILE --user NAME` gives it to an account"
                    .to_owned(),
            )),
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
