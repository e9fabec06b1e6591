//! What can be brought over from an older installation.

use crate::text_enum::text_enum;

text_enum! {
    /// What something was in the installation that it was brought over from.
    ImportedKind {
        /// A person with an account.
        User = "user",
        /// A provider's key.
        Key = "key",
        /// A Project.
        Project = "project",
    }
}
