//! Audit events: who did what to which noun, when, from where, and how it ended.

use crate::text_enum::text_enum;

text_enum! {
    /// What was done.
    AuditAction {
        /// The first account was made.
        SetUp = "set_up",
        /// A browser signed in.
        SignIn = "sign_in",
        /// An attempt to sign in was refused.
        SignInRefused = "sign_in_refused",
        /// A browser signed out, or was signed out.
        SignOut = "sign_out",
        /// A password was changed.
        ChangePassword = "change_password",
        /// An account was made.
        CreateUser = "create_user",
        /// A Provider was connected.
        Connect = "connect",
        /// A Connection was renamed or made the default.
        ChangeConnection = "change_connection",
        /// A Credential was replaced.
        Replace = "replace",
        /// A Credential was checked with its Provider.
        Verify = "verify",
        /// A Connection was ended.
        Disconnect = "disconnect",
        /// A login at a Provider was begun.
        BeginLogin = "begin_login",
        /// A login was given its code, or the address that the browser could not open.
        AnswerLogin = "answer_login",
        /// A login was cancelled.
        CancelLogin = "cancel_login",
        /// The tokens of a login were renewed.
        Refresh = "refresh",
        /// A Credential was handed to an Agent.
        Deliver = "deliver",
        /// A Credential was taken back from an Agent.
        Revoke = "revoke",
        /// A Project was made.
        CreateProject = "create_project",
        /// A Project was renamed, or its model changed.
        ChangeProject = "change_project",
        /// A Project was started.
        StartProject = "start_project",
        /// A Project was stopped.
        StopProject = "stop_project",
        /// A Project was deleted.
        DeleteProject = "delete_project",
        /// A Prompt was accepted.
        Prompt = "prompt",
        /// An answer was stopped.
        Abort = "abort",
        /// A ticket to a preview was issued.
        OpenPreview = "open_preview",
        /// A Job was cancelled.
        CancelJob = "cancel_job",
        /// A Job was run again.
        RetryJob = "retry_job",
        /// Setting `OpenCode` up was tried again.
        RetryOpencode = "retry_opencode",
        /// The server started without a sandbox, by its owner's order.
        Unsandboxed = "unsandboxed",
        /// An Agent asked for a permission and was refused.
        RefusePermission = "refuse_permission",
        /// Something was brought over from an older installation.
        Import = "import",
    }
}

/// A line of the audit log. Who, when and from where come from the transaction's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// What was done.
    pub action: AuditAction,
    /// To which noun, by id; for an attempt without one, what was named.
    pub noun: String,
    /// How it ended: `ok`, or the code of the failure.
    pub outcome: String,
    /// The fingerprint of the Credential, where one is concerned. Never more of it.
    pub fingerprint: Option<String>,
    /// A sentence more, without secrets.
    pub detail: Option<String>,
}

impl AuditEvent {
    /// Makes an event that ended well.
    pub fn ok(action: AuditAction, noun: &(impl std::fmt::Display + ?Sized)) -> Self {
        Self { action, noun: noun.to_string(), outcome: "ok".to_owned(), fingerprint: None, detail: None }
    }

    /// Makes an event that ended otherwise.
    pub fn refused(action: AuditAction, noun: &(impl std::fmt::Display + ?Sized), outcome: &str) -> Self {
        Self { outcome: outcome.to_owned(), ..Self::ok(action, noun) }
    }

    /// Adds the fingerprint of the Credential concerned.
    #[must_use]
    pub fn fingerprint(mut self, fingerprint: &str) -> Self {
        self.fingerprint = Some(fingerprint.to_owned());
        self
    }

    /// Adds a sentence.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
