//! How old a schema is, judged by its columns.
//!
//! doce.dev's migrations were started anew several times, and some installations were patched by hand, so what the
//! journal of migrations says is a hint only. Within a family the newest column that is there decides.

use crate::database::Tables;

/// The age of a schema of doce.dev.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Era {
    /// From 2025-12-30: an OpenCode per project, the model in three columns.
    L2,
    /// From 2026-01-05, patched by hand: the model in one column, sometimes no column for the key.
    L2b,
    /// From 2026-01-09: the model only in `opencode.json`.
    L3,
    /// From 2026-01-29: errors of OpenCode are recorded.
    L4,
    /// From 2026-02-20: a fast model, favourites, settings of the instance.
    L5,
    /// From 2026-03-18: one central OpenCode for all projects.
    H0,
    /// From about 2026-03-29: Tailscale.
    H2,
    /// A preferred model per project.
    H3,
    /// Icons.
    H4,
    /// Wanted and observed states.
    H5,
    /// From 2026-05-14: descriptions.
    H6,
}

impl Era {
    /// Returns what it is called, with its beginning.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L2 => "L2, an OpenCode per project, from 2025-12-30",
            Self::L2b => "L2b, an OpenCode per project, patched by hand, from 2026-01-05",
            Self::L3 => "L3, an OpenCode per project, from 2026-01-09",
            Self::L4 => "L4, an OpenCode per project, from 2026-01-29",
            Self::L5 => "L5, an OpenCode per project, from 2026-02-20",
            Self::H0 => "H0, a central OpenCode, from 2026-03-18",
            Self::H2 => "H2, a central OpenCode, from spring 2026",
            Self::H3 => "H3, a central OpenCode, from spring 2026",
            Self::H4 => "H4, a central OpenCode, from spring 2026",
            Self::H5 => "H5, a central OpenCode, from spring 2026",
            Self::H6 => "H6, a central OpenCode, from 2026-05-14",
        }
    }

    /// Recognises the era of a database; `None` if it has no table of projects.
    pub(crate) fn of(tables: &Tables) -> Option<Self> {
        let project = |column: &str| tables.has_column("projects", column);
        if !tables.has("projects") {
            return None;
        }
        let has_settings = |column: &str| tables.has_column("instance_settings", column);
        let era = if project("opencode_port") {
            if tables.has_column("user_settings", "fast_model")
                || tables.has("model_favorites")
                || tables.has("instance_settings")
            {
                Self::L5
            } else if project("opencode_error_category") {
                Self::L4
            } else if project("current_model") {
                Self::L2b
            } else if project("current_model_provider_id") || project("model") {
                // Whoever lost the key's column patched by hand, whatever else is as it was.
                if tables.has_column("user_settings", "openrouter_api_key") { Self::L2 } else { Self::L2b }
            } else {
                Self::L3
            }
        } else if project("description") {
            Self::H6
        } else if project("desired_status") || tables.has("system_health_snapshots") {
            Self::H5
        } else if project("icon") {
            Self::H4
        } else if project("preferred_model") {
            Self::H3
        } else if has_settings("tailscale_auth_key") {
            Self::H2
        } else {
            Self::H0
        };
        Some(era)
    }
}
