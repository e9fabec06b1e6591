//! `OpenAI` responses: named, numbered events around output items that are added, filled and done.

use serde_json::{Value, json};

use super::{Conversation, Frame, Meta, last_text, output_tokens, tools};
use crate::script::Block;

pub(super) fn conversation(body: &Value) -> Conversation {
    let mut conversation = Conversation { tools: tools(body), ..Conversation::default() };
    if let Some(text) = body["input"].as_str() {
        text.clone_into(&mut conversation.user_text);
    }
    for item in body["input"].as_array().into_iter().flatten() {
        if item["type"] == "function_call_output" {
            conversation.tool_results += 1;
        } else if item["role"] == "user"
            && let Some(text) = last_text(&item["content"])
        {
            text.clone_into(&mut conversation.user_text);
            conversation.tool_results = 0;
        }
    }
    conversation
}

/// Numbers the events of one stream.
struct Events {
    frames: Vec<Frame>,
}

impl Events {
    fn push(&mut self, name: &str, mut fields: Value) -> &mut Frame {
        fields["type"] = json!(name);
        fields["sequence_number"] = json!(self.frames.len());
        self.frames.push(Frame::event(name, &fields));
        self.frames.last_mut().expect("a frame was pushed one line above")
    }
}

pub(super) fn frames(blocks: &[Block], meta: &Meta) -> Vec<Frame> {
    let mut events = Events { frames: Vec::new() };
    let started = response(meta, "in_progress", &[], &Value::Null);
    events.push("response.created", json!({"response": started}));
    events.push("response.in_progress", json!({"response": started}));
    let mut output = Vec::new();
    for (index, block) in blocks.iter().enumerate() {
        let id = item_id(meta, index, block);
        events.push(
            "response.output_item.added",
            json!({"output_index": index, "item": item(meta, index, block, false)}),
        );
        match block {
            Block::Text(text) => push_text(&mut events, index, &id, text, &block.tokens()),
            Block::Reasoning(text) => {
                push_reasoning(&mut events, index, &id, text, &block.tokens());
            }
            Block::ToolCall { name, input, .. } => {
                for token in block.tokens() {
                    events
                        .push(
                            "response.function_call_arguments.delta",
                            json!({"item_id": id, "output_index": index, "delta": token}),
                        )
                        .is_token = true;
                }
                events.push(
                    "response.function_call_arguments.done",
                    json!({"item_id": id, "output_index": index, "name": name, "arguments": input.to_string()}),
                );
            }
        }
        let done = item(meta, index, block, true);
        events.push("response.output_item.done", json!({"output_index": index, "item": done}));
        output.push(done);
    }
    let finished = response(meta, "completed", &output, &usage(blocks, meta));
    events.push("response.completed", json!({"response": finished}));
    events.frames
}

fn push_text(events: &mut Events, index: usize, id: &str, text: &str, tokens: &[String]) {
    let at = || json!({"item_id": id, "output_index": index, "content_index": 0});
    let with = |key: &str, value: Value| {
        let mut fields = at();
        fields[key] = value;
        fields
    };
    events.push("response.content_part.added", with("part", text_part("")));
    for token in tokens {
        let mut fields = with("delta", json!(token));
        fields["logprobs"] = json!([]);
        events.push("response.output_text.delta", fields).is_token = true;
    }
    let mut done = with("text", json!(text));
    done["logprobs"] = json!([]);
    events.push("response.output_text.done", done);
    events.push("response.content_part.done", with("part", text_part(text)));
}

fn push_reasoning(events: &mut Events, index: usize, id: &str, text: &str, tokens: &[String]) {
    let with = |key: &str, value: Value| {
        let mut fields = json!({"item_id": id, "output_index": index, "summary_index": 0});
        fields[key] = value;
        fields
    };
    let part = |text: &str| json!({"type": "summary_text", "text": text});
    events.push("response.reasoning_summary_part.added", with("part", part("")));
    for token in tokens {
        events.push("response.reasoning_summary_text.delta", with("delta", json!(token))).is_token = true;
    }
    events.push("response.reasoning_summary_text.done", with("text", json!(text)));
    events.push("response.reasoning_summary_part.done", with("part", part(text)));
}

pub(super) fn whole(blocks: &[Block], meta: &Meta) -> Value {
    let output: Vec<Value> = blocks.iter().enumerate().map(|(index, block)| item(meta, index, block, true)).collect();
    response(meta, "completed", &output, &usage(blocks, meta))
}

pub(super) fn error_frame(message: &str) -> Frame {
    Frame::event(
        "error",
        &json!({"type": "error", "sequence_number": 0, "error": {
            "type": "server_error", "code": "server_error", "message": message, "param": null,
        }}),
    )
}

fn item(meta: &Meta, index: usize, block: &Block, done: bool) -> Value {
    let id = item_id(meta, index, block);
    let status = if done { "completed" } else { "in_progress" };
    match block {
        Block::Text(text) => {
            let content = if done { vec![text_part(text)] } else { Vec::new() };
            json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
        }
        Block::Reasoning(text) => {
            let summary = if done { vec![json!({"type": "summary_text", "text": text})] } else { Vec::new() };
            json!({"id": id, "type": "reasoning", "summary": summary})
        }
        Block::ToolCall { name, input, .. } => json!({
            "id": id, "type": "function_call", "status": status, "call_id": format!("call_{}{index}", meta.id), "name": name,
            "arguments": if done { input.to_string() } else { String::new() },
        }),
    }
}

fn item_id(meta: &Meta, index: usize, block: &Block) -> String {
    let prefix = match block {
        Block::Text(_) => "msg",
        Block::Reasoning(_) => "rs",
        Block::ToolCall { .. } => "fc",
    };
    format!("{prefix}_{}{index}", meta.id)
}

fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

fn usage(blocks: &[Block], meta: &Meta) -> Value {
    let output = output_tokens(blocks);
    json!({
        "input_tokens": meta.input_tokens, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": output, "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": meta.input_tokens + output,
    })
}

fn response(meta: &Meta, status: &str, output: &[Value], usage: &Value) -> Value {
    json!({
        "id": format!("resp_{}", meta.id), "object": "response", "created_at": meta.created, "status": status,
        "background": false, "error": null, "incomplete_details": null, "instructions": null, "max_output_tokens": null,
        "model": meta.model, "output": output, "parallel_tool_calls": true, "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null}, "service_tier": "default", "store": false, "temperature": 1.0,
        "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled",
        "usage": usage, "user": null, "metadata": {},
    })
}
