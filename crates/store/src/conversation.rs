//! Sessions, Messages and Parts.

use doce_model::{
    InstanceId, Message, MessageId, MessageState, ModelRef, Ms, Part, PartKind, ProjectId, Session, SessionId,
    ToolCall, UserId,
};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use crate::{
    Read, StoreError, Tx, get,
    job::{failure_from_text, failure_to_text},
    parse, parse_opt, storable,
};

fn session(row: &AnyRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: parse("session", "id", get(row, "id")?)?,
        project_id: parse("session", "project_id", get(row, "project_id")?)?,
        agent_session_id: get(row, "agent_session_id")?,
        created_at: Ms(get(row, "created_at")?),
    })
}

/// Adds the Session of a Project.
pub async fn insert_session(tx: &mut Tx, session: &Session, user_id: UserId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO session (id, project_id, user_id, agent_session_id, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(session.id.to_string())
    .bind(session.project_id.to_string())
    .bind(user_id.to_string())
    .bind(session.agent_session_id.as_deref())
    .bind(session.created_at.0)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Records the Agent's own id for a Session, or that it has none.
pub async fn set_agent_session(tx: &mut Tx, id: SessionId, agent_session_id: Option<&str>) -> Result<(), StoreError> {
    sqlx::query("UPDATE session SET agent_session_id = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(agent_session_id)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Finds the Session of a Project.
pub async fn find_session(read: &mut impl Read, project_id: ProjectId) -> Result<Option<Session>, StoreError> {
    let row = sqlx::query("SELECT id, project_id, agent_session_id, created_at FROM session WHERE project_id = $1")
        .bind(project_id.to_string())
        .fetch_optional(read.connection())
        .await?;
    row.as_ref().map(session).transpose()
}

const MESSAGE_COLUMNS: &str = "id, session_id, agent_message_id, ordinal, speaker, state, model_provider_id, model_id,
    connection_id, failure, created_at, completed_at";

fn message(row: &AnyRow) -> Result<Message, StoreError> {
    let provider_id: Option<String> = get(row, "model_provider_id")?;
    let model_id: Option<String> = get(row, "model_id")?;
    let failure: Option<String> = get(row, "failure")?;
    Ok(Message {
        id: parse("message", "id", get(row, "id")?)?,
        session_id: parse("message", "session_id", get(row, "session_id")?)?,
        agent_message_id: get(row, "agent_message_id")?,
        speaker: parse("message", "speaker", get(row, "speaker")?)?,
        state: parse("message", "state", get(row, "state")?)?,
        model: provider_id.zip(model_id).map(|(provider_id, model_id)| ModelRef { provider_id, model_id }),
        connection_id: parse_opt("message", "connection_id", get(row, "connection_id")?)?,
        failure: failure.as_deref().map(|text| failure_from_text("message", text)).transpose()?,
        created_at: Ms(get(row, "created_at")?),
        completed_at: get::<Option<i64>>(row, "completed_at")?.map(Ms),
        parts: Vec::new(),
    })
}

/// Adds a Message, without its Parts, at the end of its Session.
pub async fn insert_message(tx: &mut Tx, message: &Message, user_id: UserId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO message (id, session_id, user_id, agent_message_id, ordinal, speaker, state, model_provider_id,
             model_id, connection_id, failure, created_at, completed_at)
         VALUES ($1, $2, $3, $4,
             (SELECT COALESCE(MAX(m.ordinal), 0) + 1 FROM message m WHERE m.session_id = $2),
             $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(message.id.to_string())
    .bind(message.session_id.to_string())
    .bind(user_id.to_string())
    .bind(message.agent_message_id.as_str())
    .bind(message.speaker.as_str())
    .bind(message.state.as_str())
    .bind(message.model.as_ref().map(|m| m.provider_id.as_str()))
    .bind(message.model.as_ref().map(|m| m.model_id.as_str()))
    .bind(message.connection_id.map(|id| id.to_string()))
    .bind(message.failure.as_ref().map(failure_to_text))
    .bind(message.created_at.0)
    .bind(message.completed_at.map(|at| at.0))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Writes a Message's state, model, Connection, failure and end.
pub async fn update_message(tx: &mut Tx, message: &Message) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE message
         SET state = $2, model_provider_id = $3, model_id = $4, connection_id = $5, failure = $6, completed_at = $7
         WHERE id = $1",
    )
    .bind(message.id.to_string())
    .bind(message.state.as_str())
    .bind(message.model.as_ref().map(|m| m.provider_id.as_str()))
    .bind(message.model.as_ref().map(|m| m.model_id.as_str()))
    .bind(message.connection_id.map(|id| id.to_string()))
    .bind(message.failure.as_ref().map(failure_to_text))
    .bind(message.completed_at.map(|at| at.0))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes a Message and its Parts.
pub async fn delete_message(tx: &mut Tx, id: MessageId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM message WHERE id = $1").bind(id.to_string()).execute(tx.connection()).await?;
    Ok(())
}

/// The recorded attempt to send a Prompt: to which Instance, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendAttempt {
    /// The incarnation of the Agent that it was sent to.
    pub instance_id: InstanceId,
    /// When the attempt was recorded, which is before anything was sent.
    pub at: Ms,
}

/// Records that a Prompt is about to be sent to an Instance. Committed before the first byte leaves.
pub async fn record_send(tx: &mut Tx, id: MessageId, instance_id: InstanceId) -> Result<(), StoreError> {
    let now = tx.now();
    sqlx::query("UPDATE message SET state = $2, sent_instance_id = $3, sent_at = $4 WHERE id = $1")
        .bind(id.to_string())
        .bind(MessageState::Sending.as_str())
        .bind(instance_id.to_string())
        .bind(now.0)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Finds the recorded attempt to send a Prompt.
pub async fn find_send(read: &mut impl Read, id: MessageId) -> Result<Option<SendAttempt>, StoreError> {
    let row = sqlx::query("SELECT sent_instance_id, sent_at FROM message WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(read.connection())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let instance_id = parse_opt("message", "sent_instance_id", get(&row, "sent_instance_id")?)?;
    let at: Option<i64> = get(&row, "sent_at")?;
    Ok(instance_id.zip(at).map(|(instance_id, at)| SendAttempt { instance_id, at: Ms(at) }))
}

/// Finds a Message by id, with its Parts.
pub async fn find_message(read: &mut impl Read, id: MessageId) -> Result<Option<Message>, StoreError> {
    let sql = format!("SELECT {MESSAGE_COLUMNS} FROM message WHERE id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(read.connection()).await?;
    let Some(row) = row else { return Ok(None) };
    let mut message = message(&row)?;
    let rows = sqlx::query("SELECT id, message_id, agent_part_id, position, kind, text, tool FROM part WHERE message_id = $1 ORDER BY position, id")
        .bind(id.to_string())
        .fetch_all(read.connection())
        .await?;
    message.parts = rows.iter().map(part).collect::<Result<_, _>>()?;
    Ok(Some(message))
}

/// Finds a Message of a Session by the Agent's own id, with its Parts.
pub async fn find_by_agent_id(
    read: &mut impl Read,
    session_id: SessionId,
    agent_message_id: &str,
) -> Result<Option<Message>, StoreError> {
    let id: Option<String> =
        sqlx::query_scalar("SELECT id FROM message WHERE session_id = $1 AND agent_message_id = $2")
            .bind(session_id.to_string())
            .bind(agent_message_id)
            .fetch_optional(read.connection())
            .await?;
    match id {
        Some(id) => find_message(read, parse("message", "id", &id)?).await,
        None => Ok(None),
    }
}

/// Records that the Agent has a Prompt. Returns whether that was news.
pub async fn mark_sent(tx: &mut Tx, id: MessageId) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE message SET state = 'sent' WHERE id = $1 AND state IN ('waiting', 'sending')")
        .bind(id.to_string())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// A page of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The Messages, oldest first, with their Parts.
    pub messages: Vec<Message>,
    /// The ordinal to give as `before` for the page of older ones, if there are any.
    pub before: Option<i64>,
}

/// Reads the last `limit` Messages of a Session that come before the ordinal `before`.
pub async fn page(
    read: &mut impl Read,
    session_id: SessionId,
    before: Option<i64>,
    limit: i64,
) -> Result<Page, StoreError> {
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS} FROM message WHERE session_id = $1 AND ordinal < $2 ORDER BY ordinal DESC LIMIT $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(session_id.to_string())
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(read.connection())
        .await?;
    let mut messages = Vec::with_capacity(rows.len());
    let mut oldest = i64::MAX;
    for row in rows.iter().rev() {
        oldest = oldest.min(get(row, "ordinal")?);
        messages.push(message(row)?);
    }
    let parts = sqlx::query(
        "SELECT p.id, p.message_id, p.agent_part_id, p.position, p.kind, p.text, p.tool
         FROM part p
         JOIN message m ON m.id = p.message_id
         WHERE m.session_id = $1 AND m.ordinal >= $2 AND m.ordinal < $3
         ORDER BY m.ordinal, p.position, p.id",
    )
    .bind(session_id.to_string())
    .bind(oldest)
    .bind(before.unwrap_or(i64::MAX))
    .fetch_all(read.connection())
    .await?;
    let mut at = 0;
    for row in &parts {
        let part = part(row)?;
        // Both lists are in the order of the conversation, so one pass places every Part.
        while messages.get(at).is_some_and(|m| m.id != part.message_id) {
            at += 1;
        }
        if let Some(message) = messages.get_mut(at) {
            message.parts.push(part);
        }
    }
    let full = i64::try_from(rows.len()).unwrap_or(i64::MAX) == limit;
    Ok(Page { messages, before: (full && oldest > 1).then_some(oldest) })
}

/// Lists the Messages of a Session in one of these states, oldest first, without Parts.
pub async fn in_states(
    read: &mut impl Read,
    session_id: SessionId,
    states: &[MessageState],
) -> Result<Vec<Message>, StoreError> {
    let words: Vec<String> = states.iter().map(|state| format!("'{}'", state.as_str())).collect();
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS} FROM message WHERE session_id = $1 AND state IN ({}) ORDER BY ordinal",
        words.join(", ")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(session_id.to_string()).fetch_all(read.connection()).await?;
    rows.iter().map(message).collect()
}

/// Finds the last Message of a Session, without Parts.
pub async fn last(read: &mut impl Read, session_id: SessionId) -> Result<Option<Message>, StoreError> {
    let sql = format!("SELECT {MESSAGE_COLUMNS} FROM message WHERE session_id = $1 ORDER BY ordinal DESC LIMIT 1");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(session_id.to_string()).fetch_optional(read.connection()).await?;
    row.as_ref().map(message).transpose()
}

/// A tool call as it is stored.
#[derive(Serialize, Deserialize)]
struct ToolRow {
    name: String,
    status: String,
    title: Option<String>,
    input: String,
    output: Option<String>,
    error: Option<String>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
}

fn tool_to_text(tool: &ToolCall) -> String {
    let row = ToolRow {
        name: tool.name.clone(),
        status: tool.status.as_str().to_owned(),
        title: tool.title.clone(),
        input: tool.input.clone(),
        output: tool.output.clone(),
        error: tool.error.clone(),
        started_at: tool.started_at.map(|at| at.0),
        ended_at: tool.ended_at.map(|at| at.0),
    };
    serde_json::to_string(&row).expect("a struct of texts and numbers is always JSON")
}

fn tool_from_text(text: &str) -> Result<ToolCall, StoreError> {
    let row: ToolRow = serde_json::from_str(text).map_err(|_| StoreError::Inconsistent {
        table: "part",
        column: "tool",
        value: text.chars().take(80).collect(),
    })?;
    Ok(ToolCall {
        name: row.name,
        status: parse("part", "tool", &row.status)?,
        title: row.title,
        input: row.input,
        output: row.output,
        error: row.error,
        started_at: row.started_at.map(Ms),
        ended_at: row.ended_at.map(Ms),
    })
}

fn part(row: &AnyRow) -> Result<Part, StoreError> {
    let kind: PartKind = parse("part", "kind", get(row, "kind")?)?;
    let tool: Option<String> = get(row, "tool")?;
    Ok(Part {
        id: parse("part", "id", get(row, "id")?)?,
        agent_part_id: get(row, "agent_part_id")?,
        message_id: parse("part", "message_id", get(row, "message_id")?)?,
        position: get(row, "position")?,
        kind,
        text: get(row, "text")?,
        tool: tool.as_deref().map(tool_from_text).transpose()?,
    })
}

/// Writes a whole Part: new, or in place of what was there.
pub async fn upsert_part(tx: &mut Tx, part: &Part, user_id: UserId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO part (id, message_id, user_id, agent_part_id, position, kind, text, tool)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (message_id, agent_part_id) DO UPDATE
         SET kind = excluded.kind, text = excluded.text, tool = excluded.tool",
    )
    .bind(part.id.to_string())
    .bind(part.message_id.to_string())
    .bind(user_id.to_string())
    .bind(part.agent_part_id.as_str())
    .bind(part.position)
    .bind(part.kind.as_str())
    .bind(part.text.as_deref().map(storable))
    .bind(part.tool.as_ref().map(tool_to_text))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes a Part.
pub async fn delete_part(tx: &mut Tx, part: &Part) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM part WHERE id = $1").bind(part.id.to_string()).execute(tx.connection()).await?;
    Ok(())
}
