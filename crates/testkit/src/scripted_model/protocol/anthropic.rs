//! Anthropic messages: named events, content blocks opened and closed one after the other.

use serde_json::{Value, json};

use super::{Conversation, Frame, Meta, calls_tool, last_text, output_tokens, tools};
use crate::script::Block;

pub(super) fn conversation(body: &Value) -> Conversation {
    let mut conversation = Conversation { tools: tools(body), ..Conversation::default() };
    for message in body["messages"].as_array().into_iter().flatten() {
        if message["role"] != "user" {
            continue;
        }
        // Tool results travel in user messages, and one message may hold results and, after them, the next prompt.
        let results = message["content"]
            .as_array()
            .map_or(0, |parts| parts.iter().filter(|part| part["type"] == "tool_result").count());
        conversation.tool_results += results;
        if let Some(text) = last_text(&message["content"]) {
            text.clone_into(&mut conversation.user_text);
            conversation.tool_results = 0;
        }
    }
    conversation
}

pub(super) fn frames(blocks: &[Block], meta: &Meta) -> Vec<Frame> {
    let mut frames = vec![Frame::event(
        "message_start",
        &json!({"type": "message_start", "message": {
            "id": format!("msg_{}", meta.id), "type": "message", "role": "assistant", "model": meta.model,
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": usage(meta, 1),
        }}),
    )];
    for (index, block) in blocks.iter().enumerate() {
        let opened = match block {
            Block::Text(_) => json!({"type": "text", "text": ""}),
            Block::Reasoning(_) => json!({"type": "thinking", "thinking": "", "signature": ""}),
            Block::ToolCall { name, .. } => {
                json!({"type": "tool_use", "id": call_id(meta, index), "name": name, "input": {}})
            }
        };
        frames.push(Frame::event(
            "content_block_start",
            &json!({"type": "content_block_start", "index": index, "content_block": opened}),
        ));
        if index == 0 {
            frames.push(Frame::event("ping", &json!({"type": "ping"})));
        }
        for token in block.tokens() {
            let delta = match block {
                Block::Text(_) => json!({"type": "text_delta", "text": token}),
                Block::Reasoning(_) => json!({"type": "thinking_delta", "thinking": token}),
                Block::ToolCall { .. } => {
                    json!({"type": "input_json_delta", "partial_json": token})
                }
            };
            frames.push(delta_frame(index, &delta).token());
        }
        if matches!(block, Block::Reasoning(_)) {
            frames.push(delta_frame(index, &json!({"type": "signature_delta", "signature": "c2NyaXB0ZWQ="})));
        }
        frames.push(Frame::event("content_block_stop", &json!({"type": "content_block_stop", "index": index})));
    }
    frames.push(Frame::event(
        "message_delta",
        &json!({
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason(blocks), "stop_sequence": null},
            "usage": {"output_tokens": output_tokens(blocks)},
        }),
    ));
    frames.push(Frame::event("message_stop", &json!({"type": "message_stop"})));
    frames
}

pub(super) fn whole(blocks: &[Block], meta: &Meta) -> Value {
    let content: Vec<Value> = blocks
        .iter()
        .enumerate()
        .map(|(index, block)| match block {
            Block::Text(text) => json!({"type": "text", "text": text}),
            Block::Reasoning(text) => json!({"type": "thinking", "thinking": text, "signature": "c2NyaXB0ZWQ="}),
            Block::ToolCall { name, input, .. } => {
                json!({"type": "tool_use", "id": call_id(meta, index), "name": name, "input": input})
            }
        })
        .collect();
    json!({
        "id": format!("msg_{}", meta.id), "type": "message", "role": "assistant", "model": meta.model, "content": content,
        "stop_reason": stop_reason(blocks), "stop_sequence": null, "usage": usage(meta, output_tokens(blocks)),
    })
}

pub(super) fn error_body(status: u16, message: &str) -> Value {
    let kind = match status {
        400 | 422 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"})
}

pub(super) fn error_frame(message: &str) -> Frame {
    Frame::event("error", &json!({"type": "error", "error": {"type": "overloaded_error", "message": message}}))
}

fn delta_frame(index: usize, delta: &Value) -> Frame {
    Frame::event("content_block_delta", &json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn usage(meta: &Meta, output: usize) -> Value {
    json!({
        "input_tokens": meta.input_tokens, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "output_tokens": output, "service_tier": "standard",
    })
}

fn stop_reason(blocks: &[Block]) -> &'static str {
    if calls_tool(blocks) { "tool_use" } else { "end_turn" }
}

fn call_id(meta: &Meta, index: usize) -> String {
    format!("toolu_{}{index}", meta.id)
}
