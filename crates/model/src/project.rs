//! Projects: what the user makes.

use crate::{Ms, ProjectId, UserId, text_enum::text_enum};

text_enum! {
    /// What the owner wants of a Project.
    Desired {
        /// It runs.
        Running = "running",
        /// It stands still; nothing of it is lost.
        Stopped = "stopped",
        /// It is gone.
        Deleted = "deleted",
    }
}

text_enum! {
    /// What a Project is doing, as its owner sees it. Derived from its Jobs and its Instance, never stored.
    ProjectState {
        /// A Job is bringing it up.
        Launching = "launching",
        /// Its Agent answers.
        Running = "running",
        /// A Job is bringing it down.
        Stopping = "stopping",
        /// It stands still.
        Stopped = "stopped",
        /// The last Job failed; its failure says why.
        Failed = "failed",
        /// A Job is removing it.
        Deleting = "deleting",
    }
}

text_enum! {
    /// How far the preview server of an Instance is.
    PreviewState {
        /// There is none.
        Off = "off",
        /// The app's packages are being installed.
        Installing = "installing",
        /// The dev server is starting.
        Starting = "starting",
        /// It answers.
        Ready = "ready",
        /// The app's packages could not be installed; the reason stands beside.
        NotInstalled = "not_installed",
        /// It does not work; the reason stands beside.
        Failed = "failed",
    }
}

/// A model, by Provider and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The Provider, by `OpenCode`'s id.
    pub provider_id: String,
    /// The model, by the Provider's id.
    pub model_id: String,
}

/// What the user makes; owns a Workspace and the Agent's home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Which.
    pub id: ProjectId,
    /// Whose.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: String,
    /// Its name in an address: lower case letters, digits and hyphens; unique.
    pub slug: String,
    /// What its owner wants.
    pub desired: Desired,
    /// The model that the next prompt goes to.
    pub model: ModelRef,
    /// The Workspace's directory.
    pub workspace: String,
    /// The part of the Agent's home that outlives an Instance.
    pub home: String,
    /// When it was made.
    pub created_at: Ms,
    /// When it last changed.
    pub updated_at: Ms,
    /// When somebody or its Agent last did something in it.
    pub last_active_at: Ms,
}

/// Most characters of a Project's name.
pub const NAME_MAX: usize = 80;
/// Most bytes of a prompt.
pub const PROMPT_MAX: usize = 200_000;

/// Returns a name for a Project made from its first prompt: the first words, at most 48 characters.
pub fn name_from_prompt(prompt: &str) -> String {
    let mut name = String::new();
    for word in prompt.split_whitespace().take(8) {
        if name.chars().count() + word.chars().count() > 47 {
            break;
        }
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(word);
    }
    if name.is_empty() {
        name = prompt.trim().chars().take(48).collect();
    }
    let name = name.trim_end_matches(|c: char| c.is_ascii_punctuation()).trim().to_owned();
    if name.is_empty() { "Untitled".to_owned() } else { name }
}

/// Returns an address name: the readable part of `name`, and eight characters that make it unique.
pub fn slug_from(name: &str, id: ProjectId) -> String {
    let mut slug = String::new();
    for c in name.chars().take(40) {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let readable: String = slug.trim_matches('-').chars().take(30).collect();
    let readable = readable.trim_matches('-');
    let hex = id.hex();
    let tail = &hex[hex.len() - 8..];
    if readable.is_empty() { format!("app-{tail}") } else { format!("{readable}-{tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_first_words_of_the_prompt() {
        assert_eq!(name_from_prompt("A booking page, for a small bakery."), "A booking page, for a small bakery");
        assert_eq!(name_from_prompt("  \n "), "Untitled");
        assert!(name_from_prompt(&"x".repeat(300)).chars().count() <= 48);
    }

    #[test]
    fn a_slug_is_a_host_label() {
        let id = ProjectId::new(Ms(1));
        for name in ["Café & Bar", "---", "日本", &"long ".repeat(40)] {
            let slug = slug_from(name, id);
            assert!(slug.len() <= 63 && !slug.starts_with('-') && !slug.contains("--"), "{slug}");
            assert!(slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{slug}");
        }
    }
}
