//! Custom providers: OpenAI-compatible endpoints that a user describes.

use crate::{Ms, UserId};

/// What every custom provider's id begins with.
pub const CUSTOM_PREFIX: &str = "custom-";
/// Most models of a custom provider.
pub const CUSTOM_MODELS_MAX: usize = 500;

/// An endpoint of a user's own. Its id is nobody else's too, so that a name can be found by it alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomProvider {
    /// `custom-<slug>`.
    pub id: String,
    /// Whose.
    pub user_id: UserId,
    /// What its owner calls it.
    pub name: String,
    /// Where requests go: what `/chat/completions` is appended to.
    pub base_url: String,
    /// Its models, in the order shown.
    pub models: Vec<CustomModel>,
    /// When it was made.
    pub created_at: Ms,
    /// When it last changed.
    pub updated_at: Ms,
}

/// A model of a custom provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomModel {
    /// Its id at the endpoint.
    pub id: String,
    /// What people call it; its id if absent.
    pub name: Option<String>,
    /// How many tokens it can read and write together.
    pub context: Option<u64>,
    /// How many tokens it can write.
    pub output: Option<u64>,
}

/// Returns the id that a name leads to: its letters and digits, joined by hyphens.
pub fn custom_id(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug: String = slug.chars().take(40).collect();
    let slug = slug.trim_end_matches('-');
    format!("{CUSTOM_PREFIX}{}", if slug.is_empty() { "endpoint" } else { slug })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_a_names_letters_and_digits() {
        for (name, id) in [
            ("Acme AI", "custom-acme-ai"),
            ("  --Küche 7B!", "custom-k-che-7b"),
            ("日本", "custom-endpoint"),
            ("ollama", "custom-ollama"),
        ] {
            assert_eq!(custom_id(name), id);
        }
        assert!(custom_id(&"x".repeat(500)).len() <= CUSTOM_PREFIX.len() + 40);
    }
}
