//! Conversations: what was said, and saying more.

use axum::{Json, extract::State as Extract};
use doce_model::{Message as ModelMessage, MessageState as ModelState, Part as ModelPart, ProjectId, ToolCall};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    input::{Body, Id, Query},
    jobs::Job,
    projects::Project,
    words::{Failure, ModelRef, PartKind, Speaker, Time, ToolStatus},
};
use crate::{
    error::Problem,
    state::{Caller, State},
};

/// What either side said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Message {
    /// Which.
    id: String,
    /// Who speaks.
    role: Speaker,
    /// When it began.
    created_at: Time,
    /// When it was whole.
    completed_at: Option<Time>,
    /// The model that answers.
    model: Option<ModelRef>,
    /// The connection that pays.
    connection_id: Option<String>,
    /// How far it is.
    state: MessageState,
    /// Why it ended early.
    error: Option<Failure>,
    /// Its pieces, in order.
    parts: Vec<Part>,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MessageState {
    /// A prompt on its way to the agent.
    Waiting,
    /// A prompt that the agent has.
    Sent,
    /// An answer that is being written.
    Streaming,
    /// An answer that is whole.
    Complete,
    /// An answer whose agent went away, or a prompt left without one.
    Interrupted,
    /// An answer that ended with an error.
    Failed,
    /// An answer that its user stopped.
    Aborted,
}

/// A piece of a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Part {
    /// Which.
    id: String,
    /// What it is.
    kind: PartKind,
    /// Its words.
    text: Option<String>,
    /// The tool call, if it is one.
    tool: Option<Tool>,
}

/// A tool that the agent used. All of it is the agent's word.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tool {
    /// The tool's name.
    name: String,
    /// How far it is.
    status: ToolStatus,
    /// What the agent calls this use.
    title: Option<String>,
    /// Its input.
    input: Value,
    /// What it returned.
    output: Option<String>,
    /// Why it failed.
    error: Option<String>,
    /// When it began.
    started_at: Option<Time>,
    /// When it ended.
    ended_at: Option<Time>,
}

/// A page of a conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessagePage {
    /// The messages, oldest first.
    items: Vec<Message>,
    /// What to give as `before` for older ones, if there are any.
    next: Option<String>,
    /// The newest event of the stream that this page includes.
    event_id: Option<String>,
}

/// Which page of a conversation.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageQuery {
    /// The `next` of the page after this one.
    before: Option<String>,
    /// Most messages of the page.
    limit: Option<i64>,
}

/// Something to say.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPrompt)]
pub(crate) struct PromptRequest {
    /// What.
    text: String,
    /// Which model answers, from this prompt on.
    model: Option<ModelRef>,
}

/// A prompt that was accepted, and the job that sends it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageAndJob {
    /// The prompt.
    message: Message,
    /// The job.
    job: Job,
}

/// An answer that is taken up again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Continued {
    /// The prompt that asks for it.
    message: Option<Message>,
    /// The job.
    job: Job,
}

impl Message {
    /// Writes a message without its parts.
    pub(crate) fn bare(message: &ModelMessage) -> Self {
        Self {
            id: message.id.to_string(),
            role: message.speaker.into(),
            created_at: message.created_at.into(),
            completed_at: message.completed_at.map(Time::from),
            model: message.model.as_ref().map(ModelRef::from),
            connection_id: message.connection_id.map(|id| id.to_string()),
            state: message.state.into(),
            error: message.failure.as_ref().map(Failure::from),
            parts: Vec::new(),
        }
    }
}

impl From<&ModelMessage> for Message {
    fn from(message: &ModelMessage) -> Self {
        Self { parts: message.parts.iter().map(Part::from).collect(), ..Self::bare(message) }
    }
}

impl From<ModelState> for MessageState {
    fn from(state: ModelState) -> Self {
        match state {
            // Whether it arrived is not known yet; to a person both are "on its way".
            ModelState::Waiting | ModelState::Sending => Self::Waiting,
            ModelState::Sent => Self::Sent,
            ModelState::Streaming => Self::Streaming,
            ModelState::Complete => Self::Complete,
            ModelState::Interrupted => Self::Interrupted,
            ModelState::Failed => Self::Failed,
            ModelState::Aborted => Self::Aborted,
        }
    }
}

impl From<&ModelPart> for Part {
    fn from(part: &ModelPart) -> Self {
        Self {
            id: part.id.to_string(),
            kind: part.kind.into(),
            text: part.text.clone(),
            tool: part.tool.as_ref().map(Tool::from),
        }
    }
}

impl From<&ToolCall> for Tool {
    fn from(call: &ToolCall) -> Self {
        Self {
            name: call.name.clone(),
            status: call.status.into(),
            title: call.title.clone(),
            // Input that was cut to a limit is no JSON any more; it is shown as the text it is.
            input: serde_json::from_str(&call.input).unwrap_or_else(|_| Value::String(call.input.clone())),
            output: call.output.clone(),
            error: call.error.clone(),
            started_at: call.started_at.map(Time::from),
            ended_at: call.ended_at.map(Time::from),
        }
    }
}

/// Lists the messages of a project, oldest first; without `before`, the newest ones.
#[utoipa::path(get, path = "/api/projects/{id}/messages", tag = "conversation",
    params(("id" = String, Path, description = "Which project."), MessageQuery),
    responses((status = 200, description = "The messages.", body = MessagePage)))]
pub(crate) async fn list_messages(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
    Query(query): Query<MessageQuery>,
) -> Result<Json<MessagePage>, Problem> {
    let before = query.before.map(|before| before.parse::<i64>()).transpose();
    let before = before.map_err(|_| Problem::invalid("before", "It isn't the `next` of a page."))?;
    let page = state.app.conversation(&caller.ctx, &caller.user, id, before, query.limit).await?;
    Ok(Json(MessagePage {
        items: page.messages.iter().map(Message::from).collect(),
        next: page.before.map(|before| before.to_string()),
        event_id: Some(page.event_id),
    }))
}

/// Says something to the agent; a stopped project is started for it.
#[utoipa::path(post, path = "/api/projects/{id}/prompts", tag = "conversation",
    params(("id" = String, Path, description = "Which project.")), request_body = PromptRequest,
    responses((status = 202, description = "It is accepted.", body = MessageAndJob)))]
pub(crate) async fn prompt(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
    Body(request): Body<PromptRequest>,
) -> Result<(StatusCode, Json<MessageAndJob>), Problem> {
    let model = request.model.map(Into::into);
    let (message, job) = state.app.prompt(&caller.ctx, &caller.user, id, request.text, model).await?;
    let accepted = MessageAndJob { message: (&message).into(), job: (&job).into() };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// Lets the agent take an interrupted answer up again.
#[utoipa::path(post, path = "/api/projects/{id}/continue", tag = "conversation",
    params(("id" = String, Path, description = "Which project.")),
    responses((status = 202, description = "It is accepted.", body = Continued)))]
pub(crate) async fn continue_turn(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<(StatusCode, Json<Continued>), Problem> {
    let (message, job) = state.app.continue_turn(&caller.ctx, &caller.user, id).await?;
    let accepted = Continued { message: Some((&message).into()), job: (&job).into() };
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

/// Stops the answer that is being written.
#[utoipa::path(post, path = "/api/projects/{id}/abort", tag = "conversation",
    params(("id" = String, Path, description = "Which project.")),
    responses((status = 202, description = "It is being stopped.", body = Project)))]
pub(crate) async fn abort(
    Extract(state): Extract<State>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<(StatusCode, Json<Project>), Problem> {
    let project = state.app.abort(&caller.ctx, &caller.user, id).await?;
    Ok((StatusCode::ACCEPTED, Json((&project).into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(input: &str) -> ToolCall {
        ToolCall {
            name: "write".to_owned(),
            status: doce_model::ToolStatus::Running,
            title: None,
            input: input.to_owned(),
            output: None,
            error: None,
            started_at: None,
            ended_at: None,
        }
    }

    #[test]
    fn a_tools_input_is_json_and_what_is_not_is_shown_as_it_is() {
        assert_eq!(Tool::from(&call("{\"a\":1}")).input, serde_json::json!({"a": 1}));
        assert_eq!(Tool::from(&call("{\"a\":")).input, Value::String("{\"a\":".to_owned()));
    }
}
