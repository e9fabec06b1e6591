//! The plan of an import: what becomes of everything that was found, decided before anything changes.

use std::sync::Arc;

use doce_legacy::{Finding, Installation, Key};
use doce_model::{Ms, User};

use crate::{
    Error,
    import::{
        Fingerprints, ImportError, ImportLine, Known,
        keys::{self, KeyPlan, Logins},
        people::{self, UserPlan},
        projects::{self, ProjectPlan},
        workspace,
    },
};

/// What an import would do.
pub struct ImportPlan {
    /// Names what it comes from.
    pub(crate) source: String,
    /// What it comes from, in words.
    pub(crate) title: String,
    /// What is to be made, in this order.
    pub(crate) planned: Vec<Planned>,
    /// What is not made.
    pub(crate) others: Vec<ImportLine>,
    /// The people there whose things may go to an account here instead, by their names there.
    pub(crate) people: Vec<String>,
}

/// A noun that is to be made.
pub(crate) struct Planned {
    pub(crate) line: ImportLine,
    pub(crate) noun: Noun,
}

pub(crate) enum Noun {
    User(UserPlan),
    Key(KeyPlan),
    Project(Arc<ProjectPlan>),
}

impl ImportPlan {
    /// Returns what it comes from, in words.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Returns what becomes of everything: first what comes over, then what doesn't.
    pub fn lines(&self) -> impl Iterator<Item = &ImportLine> {
        self.planned.iter().map(|planned| &planned.line).chain(&self.others)
    }

    /// Returns whether anything would come over.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// Returns the people there whose things may go to an account here instead, by their names there.
    pub fn people(&self) -> &[String] {
        &self.people
    }

    /// Returns whether accounts would be made.
    pub(crate) fn makes_accounts(&self) -> bool {
        self.planned.iter().any(|planned| match planned.noun {
            Noun::User(_) => true,
            Noun::Key(_) | Noun::Project(_) => false,
        })
    }

    /// Looks at every file that would come over.
    pub(crate) async fn looked(mut self) -> Result<Self, Error> {
        tokio::task::spawn_blocking(move || {
            for planned in &mut self.planned {
                match &planned.noun {
                    Noun::Project(project) => {
                        let (words, lines) = workspace::look(project);
                        planned.line.detail = format!("{words}, {}", planned.line.detail);
                        self.others.extend(lines);
                    }
                    Noun::User(_) | Noun::Key(_) => {}
                }
            }
            self
        })
        .await
        .map_err(Error::internal)
    }
}

/// Plans to bring over an installation.
pub(crate) fn of_installation(
    old: Installation,
    known: &Known,
    into: &[(String, String)],
    fingerprint: Fingerprints<'_>,
    now: Ms,
) -> Result<ImportPlan, ImportError> {
    let title = match old.era {
        Some(era) => format!("doce.dev ({}) in {}", era.as_str(), old.directory),
        None => format!("doce.dev in {}", old.directory),
    };
    let mut plan =
        ImportPlan { source: old.source, title, planned: Vec::new(), others: Vec::new(), people: Vec::new() };
    let people = people::plan(old.users, known, into, now, &mut plan)?;
    let connections = keys::plan(old.keys, &people, known, Logins::TakenOver, fingerprint, now, &mut plan);
    projects::plan(old.projects, &people, &connections, known, now, &mut plan);
    plan.others.extend(old.findings.into_iter().map(ImportLine::from));
    Ok(plan)
}

/// Plans to bring the keys of an `auth.json` to an account.
pub(crate) fn of_auth_file(
    source: String,
    keys: Vec<Key>,
    findings: Vec<Finding>,
    user: &User,
    known: &Known,
    fingerprint: Fingerprints<'_>,
    now: Ms,
) -> ImportPlan {
    let title = format!("{source}, for {}", user.username);
    let mut plan = ImportPlan { source, title, planned: Vec::new(), others: Vec::new(), people: Vec::new() };
    let people = people::only(user);
    keys::plan(keys, &people, known, Logins::Shared, fingerprint, now, &mut plan);
    plan.others.extend(findings.into_iter().map(ImportLine::from));
    plan
}
