//! Audit events: who did what to which noun, when, from where, and how it ended.

use crate::{ApiTokenId, ConnectionId, JobId, ProjectId, SignInId, UserId, text_enum::text_enum};

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
        /// A model was preferred, made a favourite, or neither any more.
        ChangeModelPreference = "change_model_preference",
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
        /// Another Connection was chosen to pay in a Project.
        SwitchConnection = "switch_connection",
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
        /// An Agent got answers with a Credential; at most one event a minute for each Connection and Project.
        Use = "use",
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
        /// The queue was paused: no Job begins.
        PauseQueue = "pause_queue",
        /// The queue was resumed.
        ResumeQueue = "resume_queue",
        /// Asked an address which models it offers, or what it publishes.
        AskEndpoint = "ask_endpoint",
        /// Setting `OpenCode` up was tried again.
        RetryOpencode = "retry_opencode",
        /// The server started without a sandbox, by its owner's order.
        Unsandboxed = "unsandboxed",
        /// An Agent asked for a permission and was refused.
        RefusePermission = "refuse_permission",
        /// Something was brought over from an older installation.
        Import = "import",
        /// Somebody looked at what would be brought over.
        PreviewImport = "preview_import",
        /// Credentials, or the audit log, were written to a file.
        Export = "export",
        /// Everything sealed was wrapped with a new master key.
        RotateKeys = "rotate_keys",
        /// An account may do more, or less.
        ChangeRole = "change_role",
        /// An account was disabled, with all that ran for it.
        DisableUser = "disable_user",
        /// An account that was disabled may be used again.
        EnableUser = "enable_user",
        /// An admin gave an account another password.
        ResetPassword = "reset_password",
        /// An API token was made.
        CreateToken = "create_token",
        /// An API token was revoked.
        RevokeToken = "revoke_token",
        /// Somebody was invited to make an account.
        Invite = "invite",
        /// An invite was taken back.
        RevokeInvite = "revoke_invite",
        /// Somebody said that they keep a copy of the master key.
        CopyKey = "copy_key",
    }
}

text_enum! {
    /// What kind of thing an actor or a noun of an event is.
    NounKind {
        /// A person with an account.
        User = "user",
        /// A signed-in browser.
        SignIn = "sign_in",
        /// An API token.
        ApiToken = "api_token",
        /// A Connection.
        Connection = "connection",
        /// A Project.
        Project = "project",
        /// A Job.
        Job = "job",
        /// The program itself, unasked.
        Doce = "doce",
        /// The command line on the server's machine.
        Cli = "cli",
        /// Somebody who has not signed in.
        Nobody = "nobody",
        /// A thing of which there is only one, or a name that somebody typed.
        Other = "other",
    }
}

impl NounKind {
    /// Tells what kind of thing an event means by an actor or a noun.
    pub fn of(text: &str) -> Self {
        match text {
            "cli" => Self::Cli,
            "nobody" => Self::Nobody,
            _ if text.starts_with("reconciler:") => Self::Doce,
            _ if text.parse::<UserId>().is_ok() => Self::User,
            _ if text.parse::<SignInId>().is_ok() => Self::SignIn,
            _ if text.parse::<ApiTokenId>().is_ok() => Self::ApiToken,
            _ if text.parse::<ConnectionId>().is_ok() => Self::Connection,
            _ if text.parse::<ProjectId>().is_ok() => Self::Project,
            _ if text.parse::<JobId>().is_ok() => Self::Job,
            _ => Self::Other,
        }
    }
}

/// A line of the audit log. Who, when and from where come from the transaction's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// What was done.
    pub action: AuditAction,
    /// To which noun, by id; for an attempt without one, what was named.
    pub noun: String,
    /// Whose noun it is; `None` stands for whoever acts.
    pub user_id: Option<UserId>,
    /// In which Project, where one is concerned.
    pub project_id: Option<ProjectId>,
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
        let noun = noun.to_string();
        // A Project is concerned by what is done to it.
        let project_id = noun.parse().ok();
        Self { action, noun, user_id: None, project_id, outcome: "ok".to_owned(), fingerprint: None, detail: None }
    }

    /// Makes an event that ended otherwise.
    pub fn refused(action: AuditAction, noun: &(impl std::fmt::Display + ?Sized), outcome: &str) -> Self {
        Self { outcome: outcome.to_owned(), ..Self::ok(action, noun) }
    }

    /// Says whose noun it is, where that isn't whoever acts.
    #[must_use]
    pub fn of(mut self, user_id: UserId) -> Self {
        self.user_id = Some(user_id);
        self
    }

    /// Says which Project is concerned.
    #[must_use]
    pub fn project(mut self, project_id: ProjectId) -> Self {
        self.project_id = Some(project_id);
        self
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Actor, Ms};

    #[test]
    fn actors_and_nouns_are_known_by_how_they_are_printed() {
        let (user, now) = (UserId::new(Ms(1)), Ms(1));
        for (actor, kind) in [
            (Actor::User(user), NounKind::User),
            (Actor::Token(ApiTokenId::new(now), user), NounKind::ApiToken),
            (Actor::Job(JobId::new(now), user), NounKind::Job),
            (Actor::Reconciler("follower"), NounKind::Doce),
            (Actor::Cli, NounKind::Cli),
            (Actor::CliAs(user), NounKind::Cli),
            (Actor::Nobody, NounKind::Nobody),
        ] {
            assert_eq!(NounKind::of(&actor.to_string()), kind);
        }
        assert_eq!(NounKind::of(&ConnectionId::new(now).to_string()), NounKind::Connection);
        assert_eq!(NounKind::of(&ProjectId::new(now).to_string()), NounKind::Project);
        assert_eq!(NounKind::of(&SignInId::new(now).to_string()), NounKind::SignIn);
        assert_eq!(NounKind::of("con_typed-by-somebody"), NounKind::Other);
    }

    #[test]
    fn what_is_done_to_a_project_concerns_it() {
        let project = ProjectId::new(Ms(1));
        assert_eq!(AuditEvent::ok(AuditAction::StopProject, &project).project_id, Some(project));
        assert_eq!(AuditEvent::ok(AuditAction::Verify, &ConnectionId::new(Ms(1))).project_id, None);
        assert_eq!(AuditEvent::ok(AuditAction::SignInRefused, "prj_planted").project_id, None);
    }
}
