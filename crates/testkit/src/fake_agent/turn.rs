//! One assistant message of the fake in the making: streamed, retried, failed or aborted as OpenCode 1.18.33 does it (observed).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::agent::Agent;
use super::ids::new_id;
use super::sessions::Due;
use super::tools;
use crate::clock::epoch_ms;
use crate::directives::{self, Refusal};
use crate::script::{Block, Ending, Opening, Script};

/// Between two rounds of the runaway loop, so that it doesn't starve the rest.
const EMPTY_ROUND: Duration = Duration::from_millis(20);
/// How often a failed request is repeated.
const RETRIES: usize = 5;

/// How a turn ended.
pub(super) enum End {
    /// The next turn, if any, is due.
    Next,
    /// The run is over; its last events were sent.
    Over,
}

/// Why the model's answer stopped.
enum Halt {
    /// A tool was called and ran.
    Tool,
    /// Everything was said.
    Said,
    /// A permission was refused, which ends the run without an error.
    Rejected,
    /// The answer broke off.
    Broken { message: String },
}

/// One assistant message in the making.
pub(super) struct Turn<'a> {
    pub(super) agent: &'a Agent,
    pub(super) session: &'a str,
    pub(super) message: &'a str,
    pub(super) cancel: &'a CancellationToken,
    pub(super) directory: &'a str,
}

impl Turn<'_> {
    pub(super) async fn play(&self, script: Script, due: &Due) -> End {
        let mut script = script;
        for attempt in 1..=RETRIES + 1 {
            if let Opening::Refuse(Refusal { times: Some(limit), .. }) = script.opening
                && !self.agent.may_refuse(&due.message_id, due.turn, limit)
            {
                script.opening = Opening::Stream;
            }
            let (broken, retry_after) = match &script.opening {
                Opening::Hang => {
                    self.cancel.cancelled().await;
                    return self.abort(None);
                }
                Opening::Empty => {
                    sleep(EMPTY_ROUND).await;
                    if self.cancel.is_cancelled() {
                        return self.abort(None);
                    }
                    self.finish(None, 0);
                    return End::Next;
                }
                Opening::Refuse(refusal) if !is_retryable(refusal.status) => {
                    self.fail(&api_error(refusal));
                    return End::Over;
                }
                Opening::Refuse(refusal) => {
                    let error = api_error(refusal);
                    if attempt > RETRIES {
                        self.fail(&error);
                        return End::Over;
                    }
                    let message = error["data"]["message"].as_str().unwrap_or_default().to_owned();
                    (message, refusal.retry_after.map(Duration::from_secs))
                }
                Opening::Stream => match self.stream(&script).await {
                    Err(open_part) => return self.abort(open_part),
                    Ok(Halt::Tool) => {
                        self.finish(Some("tool-calls"), script.blocks.len());
                        return End::Next;
                    }
                    Ok(Halt::Said) => {
                        self.finish(Some("stop"), script.blocks.len());
                        return End::Next;
                    }
                    Ok(Halt::Rejected) => {
                        self.agent.skip_waiting(self.session);
                        self.finish(Some("tool-calls"), script.blocks.len());
                        self.agent.emit_idle(self.session);
                        return End::Over;
                    }
                    Ok(Halt::Broken { message }) => {
                        if attempt > RETRIES {
                            self.fail(
                                &json!({ "name": "APIError", "data": { "message": message, "isRetryable": true } }),
                            );
                            return End::Over;
                        }
                        (message, None)
                    }
                },
            };
            let delays = &self.agent.behaviour.retry_delays;
            let delay = retry_after.or_else(|| delays.get(attempt - 1).or(delays.last()).copied()).unwrap_or_default();
            let next = epoch_ms() + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            let status = json!({ "type": "retry", "attempt": attempt, "message": broken, "next": next });
            self.agent.set_status(self.session, &status);
            tokio::select! {
                () = sleep(delay) => self.agent.set_status(self.session, &json!({ "type": "busy" })),
                () = self.cancel.cancelled() => return self.abort_retry(),
            }
        }
        End::Over
    }

    /// Streams the blocks of an answer. `Err` when it was aborted, with the text part that is open then.
    async fn stream(&self, script: &Script) -> Result<Halt, Option<Value>> {
        self.put(&json!({ "id": new_id("prt"), "type": "step-start" }));
        let (limit, broken) = match script.ending {
            Ending::Complete => (usize::MAX, None),
            Ending::HangAfter(limit) => (limit, None),
            Ending::CutAfter(limit) => (limit, Some("Connection reset by server")),
            Ending::ErrorAfter(limit) => (limit, Some("The provider failed in the middle of its answer.")),
        };
        let mut tokens = 0;
        let mut stop = Halt::Said;
        for block in &script.blocks {
            let kind = match block {
                Block::Text(_) => "text",
                Block::Reasoning(_) => "reasoning",
                Block::ToolCall { name, input, ask } if tokens < limit => {
                    match self.call(name, input, ask.as_deref()).await {
                        tools::Outcome::Done => stop = Halt::Tool,
                        tools::Outcome::Rejected => return Ok(Halt::Rejected),
                        tools::Outcome::Aborted => return Err(None),
                    }
                    continue;
                }
                Block::ToolCall { .. } => break,
            };
            let id = new_id("prt");
            let start = epoch_ms();
            let mut part = self.place(json!({ "id": id, "type": kind, "text": "", "time": { "start": start } }));
            self.agent.put_part(self.session, self.message, &part);
            let mut said = String::new();
            for token in block.tokens() {
                if tokens == limit {
                    break;
                }
                tokio::select! {
                    biased;
                    () = self.cancel.cancelled() => return Err(Some(close(part, &said))),
                    () = sleep(script.delay) => {}
                }
                said.push_str(&token);
                tokens += 1;
                let delta = json!({
                    "sessionID": self.session, "messageID": self.message, "partID": id, "field": "text", "delta": token,
                });
                self.agent.emit_in(self.session, "message.part.delta", &delta);
            }
            if tokens == limit {
                // The part stays open and, in the store, empty: its text was only in the deltas.
                if broken.is_none() {
                    self.cancel.cancelled().await;
                    return Err(Some(close(part, &said)));
                }
                break;
            }
            part = close(part, &said);
            self.agent.put_part(self.session, self.message, &part);
        }
        match (broken, script.ending) {
            (Some(message), _) => Ok(Halt::Broken { message: message.to_owned() }),
            (None, Ending::HangAfter(_)) => {
                self.cancel.cancelled().await;
                Err(None)
            }
            (None, _) => Ok(stop),
        }
    }

    async fn call(&self, name: &str, input: &Value, ask: Option<&str>) -> tools::Outcome {
        let call = tools::Call {
            agent: self.agent,
            session: self.session,
            message: self.message,
            directory: self.directory,
            cancel: self.cancel,
            name,
            input,
            ask,
        };
        call.run().await
    }

    /// Ends the message: with the reason, or without one, as it is after a stream that held nothing.
    fn finish(&self, reason: Option<&str>, output: usize) {
        let tokens = json!({ "total": 1000 + output, "input": 1000, "output": output, "reasoning": 0, "cache": { "write": 0, "read": 0 } });
        if let Some(reason) = reason {
            self.put(
                &json!({ "id": new_id("prt"), "reason": reason, "type": "step-finish", "tokens": tokens, "cost": 0 }),
            );
        }
        self.agent.update_message(self.session, self.message, |info| {
            info["time"]["completed"] = json!(epoch_ms());
            if let Some(reason) = reason {
                info["tokens"] = tokens.clone();
                info["finish"] = json!(reason);
            }
        });
        self.agent.update_message(self.session, self.message, |_| {});
    }

    /// Ends the message with an error, and says idle twice.
    pub(super) fn fail(&self, error: &Value) {
        self.agent.skip_waiting(self.session);
        self.agent.emit_in(self.session, "session.error", &json!({ "sessionID": self.session, "error": error }));
        self.agent.emit_idle(self.session);
        self.complete_with(error);
        self.agent.emit_idle(self.session);
    }

    /// Ends the message because the client asked for it; what was said stays.
    fn abort(&self, open_part: Option<Value>) -> End {
        self.agent.skip_waiting(self.session);
        let error = json!({ "name": "MessageAbortedError", "data": { "message": "Aborted" } });
        self.agent.emit_in(self.session, "session.error", &json!({ "sessionID": self.session, "error": error }));
        self.agent.emit_idle(self.session);
        if let Some(part) = open_part {
            self.agent.put_part(self.session, self.message, &part);
        }
        self.complete_with(&error);
        self.agent.emit_idle(self.session);
        End::Over
    }

    /// An abort while waiting for the next attempt leaves no error at all (OpenCode 1.18.33, observed).
    fn abort_retry(&self) -> End {
        self.agent.skip_waiting(self.session);
        self.agent.update_message(self.session, self.message, |info| {
            info["time"]["completed"] = json!(epoch_ms());
        });
        self.agent.emit_idle(self.session);
        End::Over
    }

    fn complete_with(&self, error: &Value) {
        self.agent.update_message(self.session, self.message, |info| {
            info["time"]["completed"] = json!(epoch_ms());
            info["error"] = error.clone();
        });
    }

    pub(super) fn give_title(&self, due: &Due) {
        if !self.agent.session(self.session).is_some_and(|session| session.is_untitled()) {
            return;
        }
        let words = directives::strip(&due.text);
        let title = words.split_whitespace().take(6).collect::<Vec<_>>().join(" ");
        let title = if title.is_empty() { "Hello".to_owned() } else { title };
        self.agent.update_session(self.session, |session| session.info["title"] = json!(title));
    }

    fn put(&self, part: &Value) {
        self.agent.put_part(self.session, self.message, &self.place(part.clone()));
    }

    fn place(&self, mut part: Value) -> Value {
        part["sessionID"] = json!(self.session);
        part["messageID"] = json!(self.message);
        part
    }
}

fn close(mut part: Value, said: &str) -> Value {
    part["text"] = json!(said);
    part["time"]["end"] = json!(epoch_ms());
    part
}

const fn is_retryable(status: u16) -> bool {
    matches!(status, 408 | 429) || status >= 500
}

pub(super) fn api_error(refusal: &Refusal) -> Value {
    let message = crate::scripted_model::describe(refusal.status);
    json!({ "name": "APIError", "data": {
        "message": message, "statusCode": refusal.status, "isRetryable": is_retryable(refusal.status),
        "responseHeaders": { "content-type": "application/json" },
        "responseBody": json!({ "error": { "message": message } }).to_string(),
        "metadata": { "url": "http://provider.invalid/v1" },
    } })
}
