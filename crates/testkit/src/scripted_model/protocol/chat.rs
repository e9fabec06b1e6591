//! `OpenAI` chat completions: unnamed events, each a chunk with a delta, ended by `[DONE]`.

use serde_json::{Value, json};

use super::{Conversation, Frame, Meta, calls_tool, last_text, output_tokens, tools};
use crate::script::Block;

pub(super) fn conversation(body: &Value) -> Conversation {
    let mut conversation = Conversation { tools: tools(body), ..Conversation::default() };
    for message in body["messages"].as_array().into_iter().flatten() {
        match message["role"].as_str() {
            Some("tool") => conversation.tool_results += 1,
            Some("user") => {
                if let Some(text) = last_text(&message["content"]) {
                    text.clone_into(&mut conversation.user_text);
                    conversation.tool_results = 0;
                }
            }
            _ => {}
        }
    }
    conversation
}

pub(super) fn frames(blocks: &[Block], meta: &Meta) -> Vec<Frame> {
    let mut frames = vec![chunk(meta, &json!({"role": "assistant", "content": ""}), None)];
    let mut call = 0;
    for block in blocks {
        if let Block::ToolCall { name, .. } = block {
            let opened = json!({"tool_calls": [{
                "index": call, "id": call_id(meta, call), "type": "function", "function": {"name": name, "arguments": ""},
            }]});
            frames.push(chunk(meta, &opened, None));
        }
        for token in block.tokens() {
            let delta = match block {
                Block::Text(_) => json!({"content": token}),
                Block::Reasoning(_) => json!({"reasoning_content": token}),
                Block::ToolCall { .. } => {
                    json!({"tool_calls": [{"index": call, "function": {"arguments": token}}]})
                }
            };
            frames.push(chunk(meta, &delta, None).token());
        }
        if matches!(block, Block::ToolCall { .. }) {
            call += 1;
        }
    }
    frames.push(chunk(meta, &json!({}), Some(finish_reason(blocks))));
    if meta.include_usage {
        let mut last = envelope(meta, "chat.completion.chunk");
        last["choices"] = json!([]);
        last["usage"] = usage(blocks, meta);
        frames.push(Frame::data(&last));
    }
    frames.push(Frame::data(&"[DONE]"));
    frames
}

pub(super) fn whole(blocks: &[Block], meta: &Meta) -> Value {
    let mut text = String::new();
    let mut calls = Vec::new();
    for block in blocks {
        match block {
            Block::Text(words) => text.push_str(words),
            Block::Reasoning(_) => {}
            Block::ToolCall { name, input, .. } => calls.push(json!({
                "id": call_id(meta, calls.len()), "type": "function",
                "function": {"name": name, "arguments": input.to_string()},
            })),
        }
    }
    let mut message = json!({"role": "assistant", "content": text, "refusal": null});
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    let mut completion = envelope(meta, "chat.completion");
    completion["choices"] =
        json!([{"index": 0, "message": message, "logprobs": null, "finish_reason": finish_reason(blocks)}]);
    completion["usage"] = usage(blocks, meta);
    completion
}

pub(super) fn error_body(status: u16, message: &str) -> Value {
    let (kind, code) = match status {
        401 => ("invalid_request_error", json!("invalid_api_key")),
        402 => ("insufficient_quota", json!("insufficient_quota")),
        404 => ("invalid_request_error", json!("model_not_found")),
        429 => ("requests", json!("rate_limit_exceeded")),
        500.. => ("server_error", Value::Null),
        _ => ("invalid_request_error", Value::Null),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

pub(super) fn error_frame(message: &str) -> Frame {
    Frame::data(&error_body(500, message))
}

fn chunk(meta: &Meta, delta: &Value, finish: Option<&str>) -> Frame {
    let mut chunk = envelope(meta, "chat.completion.chunk");
    chunk["choices"] = json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
    if meta.include_usage {
        chunk["usage"] = Value::Null;
    }
    Frame::data(&chunk)
}

fn envelope(meta: &Meta, object: &str) -> Value {
    json!({
        "id": format!("chatcmpl-{}", meta.id), "object": object, "created": meta.created, "model": meta.model,
        "system_fingerprint": "fp_scripted",
    })
}

fn usage(blocks: &[Block], meta: &Meta) -> Value {
    let output = output_tokens(blocks);
    json!({
        "prompt_tokens": meta.input_tokens, "completion_tokens": output, "total_tokens": meta.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
    })
}

fn finish_reason(blocks: &[Block]) -> &'static str {
    if calls_tool(blocks) { "tool_calls" } else { "stop" }
}

fn call_id(meta: &Meta, call: usize) -> String {
    format!("call_{}{call}", meta.id)
}
