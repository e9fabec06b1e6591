//! People: who comes over, under which name, and who is who here already.

use std::collections::{HashMap, HashSet};

use doce_legacy::{Subject, User as OldUser};
use doce_model::{ImportedKind, ModelPreference, Ms, Role, User, UserId, model_preference::FAVOURITES_MAX};
use doce_vault::{ExposeSecret as _, SecretString, password};

use crate::import::{
    ImportError, ImportLine, ImportOutcome, Known,
    plan::{ImportPlan, Noun, Planned},
};

/// Most characters of a name that comes over. doce.dev had no rule; people keep the name that they sign in with.
const NAME_MAX: usize = 80;

/// A person who is to come over.
pub(crate) struct UserPlan {
    pub(crate) old_id: String,
    pub(crate) user: User,
    pub(crate) password_hash: SecretString,
    /// What they think of models.
    pub(crate) models: Vec<ModelPreference>,
}

/// Who the people of the old installation are here.
#[derive(Default)]
pub(crate) struct People {
    by_old_id: HashMap<String, UserId>,
    /// Whose the installation's own keys become.
    first: Option<(UserId, String)>,
}

impl People {
    pub(crate) fn find(&self, old_id: &str) -> Option<UserId> {
        self.by_old_id.get(old_id).copied()
    }

    pub(crate) fn first(&self) -> Option<(UserId, &str)> {
        self.first.as_ref().map(|(id, name)| (*id, name.as_str()))
    }

    /// Whether there are others whose agents used the installation's keys, too.
    pub(crate) fn are_several(&self) -> bool {
        self.by_old_id.len() > 1
    }

    fn add(&mut self, old_id: &str, id: UserId, name: &str) {
        self.by_old_id.insert(old_id.to_owned(), id);
        self.first.get_or_insert_with(|| (id, name.to_owned()));
    }
}

/// Everything is this account's.
pub(crate) fn only(user: &User) -> People {
    People { by_old_id: HashMap::new(), first: Some((user.id, user.username.clone())) }
}

/// Plans who comes over. The first one becomes an admin if there is nobody here.
pub(crate) fn plan(
    old: Vec<OldUser>,
    known: &Known,
    into: &[(String, String)],
    now: Ms,
    plan: &mut ImportPlan,
) -> Result<People, ImportError> {
    for (there, here) in into {
        if !old.iter().any(|user| user.username == *there) {
            return Err(ImportError::NobodyThere { name: there.clone() });
        }
        known.account(here)?;
    }
    let mut people = People::default();
    let mut names: HashSet<String> = known.users.iter().map(|user| user.username.to_ascii_lowercase()).collect();
    let mut ids: HashSet<UserId> = known.users.iter().map(|user| user.id).collect();
    let mut needs_admin = known.users.is_empty();
    for user in old {
        let name = user.username.clone();
        let mut say = |outcome, detail: &str| plan.others.push(ImportLine::new(outcome, Subject::User, &name, detail));
        if let Some(id) = known.imported.get(&(ImportedKind::User, user.id.clone())) {
            match known.users.iter().find(|here| here.id.to_string() == *id) {
                Some(here) => {
                    say(ImportOutcome::Already, &format!("came over before, as `{}`", here.username));
                    people.add(&user.id, here.id, &here.username);
                }
                None => say(ImportOutcome::Already, "came over before, and the account was deleted here"),
            }
            continue;
        }
        if !plan.people.contains(&user.username) {
            plan.people.push(user.username.clone());
        }
        if let Some((_, here)) = into.iter().find(|(there, _)| *there == user.username) {
            let here = known.account(here)?;
            say(ImportOutcome::Left, &format!("what is theirs goes to the account `{}`", here.username));
            people.add(&user.id, here.id, &here.username);
            continue;
        }
        if let Err(reason) = check(&user) {
            say(ImportOutcome::Refused, &reason);
            continue;
        }
        let Some(username) = free_name(&user.username, &mut names) else {
            say(ImportOutcome::Refused, "too many people have this name");
            continue;
        };
        let id = own_id(&user.id).filter(|id| !ids.contains(id)).unwrap_or_else(|| UserId::new(now));
        ids.insert(id);
        let role = if std::mem::take(&mut needs_admin) { Role::Admin } else { Role::Member };
        let renamed = if username == user.username {
            String::new()
        } else {
            format!(
                "; the name `{}` is taken, so it becomes `{username}`, unless what is theirs is given to an account here",
                doce_legacy::plain(&user.username)
            )
        };
        people.add(&user.id, id, &username);
        let models = models_of(&user);
        plan.planned.push(Planned {
            line: ImportLine::new(
                ImportOutcome::New,
                Subject::User,
                &user.username,
                format!("{role}, with the password they have{}{renamed}", favourites_in_words(&user)),
            ),
            noun: Noun::User(UserPlan {
                old_id: user.id,
                user: User { id, username, role, created_at: user.created_at.unwrap_or(now), disabled_at: None },
                password_hash: user.password_hash,
                models,
            }),
        });
    }
    Ok(people)
}

/// What somebody thought of models there, as it is kept here.
fn models_of(user: &OldUser) -> Vec<ModelPreference> {
    let mut models: Vec<ModelPreference> = user
        .favourites
        .iter()
        .take(FAVOURITES_MAX)
        .map(|model| ModelPreference { is_favourite: true, ..ModelPreference::none(model.clone()) })
        .collect();
    if let Some(preferred) = &user.preferred {
        match models.iter_mut().find(|known| known.model == *preferred) {
            Some(known) => known.is_preferred = true,
            None => {
                models.push(ModelPreference { is_preferred: true, ..ModelPreference::none(preferred.clone()) });
            }
        }
    }
    models
}

fn favourites_in_words(user: &OldUser) -> String {
    match user.favourites.len() {
        0 => String::new(),
        1 => " and a favourite model".to_owned(),
        count => format!(" and {} favourite models", count.min(FAVOURITES_MAX)),
    }
}

fn check(user: &OldUser) -> Result<(), String> {
    let name = &user.username;
    if name.trim() != name || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(format!(
            "the name has more than {NAME_MAX} characters, or some that nobody can type: nobody could sign in with it"
        ));
    }
    if !password::is_acceptable(user.password_hash.expose_secret()) {
        return Err(
            "the password's hash is of a kind that can't be checked here; make an account here, and give it what is theirs"
                .to_owned(),
        );
    }
    Ok(())
}

/// Finds a name that nobody has: the same one, or with a number behind it.
fn free_name(wanted: &str, names: &mut HashSet<String>) -> Option<String> {
    let numbered = (2..1000).map(|n| {
        let end = format!("-{n}");
        let begin: String = wanted.chars().take(NAME_MAX - end.len()).collect();
        begin + &end
    });
    std::iter::once(wanted.to_owned()).chain(numbered).find(|name| names.insert(name.to_ascii_lowercase()))
}

/// Returns the id that a person had, if it can be one here.
fn own_id(old_id: &str) -> Option<UserId> {
    old_id
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        .then(|| format!("usr_{old_id}").parse().ok())?
}
