//! Projects: which come over, under which name, and with which model.

use std::{collections::HashSet, sync::Arc};

use doce_legacy::{Project as OldProject, Sources, Subject};
use doce_model::{
    ConnectionId, ImportedKind, ModelRef, Ms, ProjectId, UserId,
    project::{NAME_MAX, PROMPT_MAX, name_from_prompt, slug_from},
};

use crate::import::{
    ImportLine, ImportOutcome, Known,
    keys::Chosen,
    people::People,
    plan::{ImportPlan, Noun, Planned},
};

/// A Project that is to come over.
pub(crate) struct ProjectPlan {
    pub(crate) old_id: String,
    pub(crate) id: ProjectId,
    pub(crate) user_id: UserId,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) prompt: String,
    pub(crate) model: Option<ModelRef>,
    pub(crate) created_at: Ms,
    pub(crate) sources: Sources,
    /// The connections it uses instead of its owner's defaults.
    pub(crate) chosen: Vec<(String, ConnectionId)>,
}

/// Plans which Projects come over.
pub(crate) fn plan(
    old: Vec<OldProject>,
    people: &People,
    chosen: &Chosen,
    known: &Known,
    now: Ms,
    plan: &mut ImportPlan,
) {
    let mut slugs: HashSet<String> = known.slugs.clone();
    for project in old {
        let name = clean_name(&project.name, &project.prompt);
        let mut say =
            |outcome, detail: &str| plan.others.push(ImportLine::new(outcome, Subject::Project, &name, detail));
        if known.imported.contains_key(&(ImportedKind::Project, project.id.clone())) {
            say(ImportOutcome::Already, "came over before");
            continue;
        }
        let Some(user_id) = people.find(&project.owner_id) else {
            say(ImportOutcome::Refused, "its owner doesn't come over");
            continue;
        };
        let created_at = project.created_at.unwrap_or(now);
        let id = id_of(&plan.source, &project.id, created_at);
        let slug = match project.slug {
            slug if is_label(&slug) && slugs.insert(slug.clone()) => slug,
            _ => slug_from(&name, id),
        };
        let model = match &project.model {
            Some(model) => format!("model {}/{}", model.provider_id, model.model_id),
            None => "no model is known: choose one with the next prompt".to_owned(),
        };
        plan.planned.push(Planned {
            line: ImportLine::new(ImportOutcome::New, Subject::Project, &name, format!("stopped; {model}")),
            noun: Noun::Project(Arc::new(ProjectPlan {
                chosen: chosen.get(&project.id).cloned().unwrap_or_default(),
                old_id: project.id,
                id,
                user_id,
                name,
                slug,
                prompt: cut(project.prompt),
                model: project.model,
                created_at,
                sources: project.sources,
            })),
        });
    }
}

/// Returns the id that a Project gets: the same one at every try, so that a try that died leaves nothing astray.
fn id_of(source: &str, old_id: &str, created_at: Ms) -> ProjectId {
    let digest = doce_vault::token_hash(&format!("project\0{source}\0{old_id}"));
    let millis = u64::try_from(created_at.0).unwrap_or(0) & 0xffff_ffff_ffff;
    // The form of a UUIDv7: when it was made, then what is random elsewhere.
    let text = format!("prj_{millis:012x}7{}8{}", &digest[..3], &digest[3..18]);
    text.parse().expect("32 hexadecimal digits behind its prefix are an id")
}

fn clean_name(name: &str, prompt: &str) -> String {
    let cleaned: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(NAME_MAX).collect();
    match cleaned.trim() {
        "" => name_from_prompt(&prompt.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()),
        name => name.to_owned(),
    }
}

/// The rule that a name in an address keeps: it is a part of a host's name.
fn is_label(slug: &str) -> bool {
    (1..=63).contains(&slug.len())
        && slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !slug.starts_with('-')
        && !slug.ends_with('-')
        && !slug.contains("--")
}

fn cut(mut prompt: String) -> String {
    if prompt.len() > PROMPT_MAX {
        let mut end = PROMPT_MAX;
        while !prompt.is_char_boundary(end) {
            end -= 1;
        }
        prompt.truncate(end);
    }
    prompt.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projects_id_is_the_same_at_every_try_and_sorts_by_age() {
        let id = id_of("a", "1", Ms(1_767_520_000_000));
        assert_eq!(id, id_of("a", "1", Ms(1_767_520_000_000)));
        assert_ne!(id, id_of("b", "1", Ms(1_767_520_000_000)));
        assert_ne!(id, id_of("a", "2", Ms(1_767_520_000_000)));
        assert!(id < id_of("a", "1", Ms(1_767_520_000_001)));
        assert!(id < ProjectId::new(Ms(1_767_520_000_001)));
    }

    #[test]
    fn names_are_made_fit_to_be_shown() {
        assert_eq!(clean_name(" Bak\u{1b}ery\n", "p"), "Bak ery");
        assert_eq!(clean_name("", "Build a bakery site"), "Build a bakery site");
        assert_eq!(clean_name(" \n", ""), "Untitled");
        assert_eq!(clean_name(&"x".repeat(NAME_MAX + 1), "").chars().count(), NAME_MAX);
    }

    #[test]
    fn only_a_part_of_a_hosts_name_stays_one() {
        assert!(is_label("bakery-0-5d0b") && is_label(&"a".repeat(63)));
        for slug in ["", "-a", "a-", "a--b", "A", "a.b", "a/b", "é", &"a".repeat(64)] {
            assert!(!is_label(slug), "{slug}");
        }
    }

    #[test]
    fn a_prompt_is_cut_at_its_limit() {
        assert_eq!(cut("x".repeat(PROMPT_MAX)).len(), PROMPT_MAX);
        assert_eq!(cut("x".repeat(PROMPT_MAX + 1)).len(), PROMPT_MAX);
        assert!(cut("é".repeat(PROMPT_MAX)).len() <= PROMPT_MAX);
    }
}
