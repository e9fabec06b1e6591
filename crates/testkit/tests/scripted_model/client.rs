//! A client of each protocol: makes requests as the SDKs do, and understands the streams.

use doce_testkit::ScriptedModel;
use doce_testkit::scripted_model::Protocol;
use serde_json::{Value, json};

use crate::support::{SseEvent, SseReader};

pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::Anthropic, Protocol::Chat, Protocol::Responses];

/// What a client of a protocol understands of a stream.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) reasoning: String,
    /// Tool, call id and input.
    pub(crate) call: Option<(String, String, Value)>,
    pub(crate) finish: Option<String>,
    pub(crate) output_tokens: Option<u64>,
    pub(crate) error: Option<String>,
    pub(crate) pieces: usize,
}

fn path(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Anthropic => "/anthropic/v1/messages",
        Protocol::Chat => "/v1/chat/completions",
        Protocol::Responses => "/some/prefix/responses",
        Protocol::Models | Protocol::Other => unreachable!("not a protocol that answers"),
    }
}

/// A request as the SDKs make it: the prompt, then so many tool calls with their results.
pub(crate) fn body(protocol: Protocol, prompt: &str, results: usize) -> Value {
    let tools = ["bash", "read", "write"];
    match protocol {
        Protocol::Anthropic => {
            let mut messages = vec![json!({ "role": "user", "content": [{ "type": "text", "text": prompt }] })];
            for call in 0..results {
                let id = format!("toolu_{call}");
                messages.push(json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": id, "name": "write", "input": {} }] }));
                messages.push(json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "ok" }] }));
            }
            json!({
                "model": "claude", "max_tokens": 100, "stream": true, "messages": messages,
                "system": [{ "type": "text", "text": "You are an agent." }],
                "tools": tools.map(|name| json!({ "name": name, "input_schema": {} })),
            })
        }
        Protocol::Chat => {
            let mut messages = vec![
                json!({ "role": "system", "content": "You are an agent." }),
                json!({ "role": "user", "content": prompt }),
            ];
            for call in 0..results {
                let id = format!("call_{call}");
                messages.push(json!({ "role": "assistant", "tool_calls": [{ "id": id, "type": "function", "function": { "name": "write", "arguments": "{}" } }] }));
                messages.push(json!({ "role": "tool", "tool_call_id": id, "content": "ok" }));
            }
            json!({
                "model": "gpt", "stream": true, "stream_options": { "include_usage": true }, "messages": messages,
                "tools": tools.map(|name| json!({ "type": "function", "function": { "name": name } })),
            })
        }
        Protocol::Responses => {
            let mut input = vec![
                json!({ "role": "developer", "content": "You are an agent." }),
                json!({ "role": "user", "content": [{ "type": "input_text", "text": prompt }] }),
            ];
            for call in 0..results {
                let id = format!("call_{call}");
                input.push(json!({ "type": "function_call", "call_id": id, "name": "write", "arguments": "{}" }));
                input.push(json!({ "type": "function_call_output", "call_id": id, "output": "ok" }));
            }
            json!({
                "model": "gpt", "stream": true, "store": false, "input": input,
                "tools": tools.map(|name| json!({ "type": "function", "name": name })),
            })
        }
        Protocol::Models | Protocol::Other => unreachable!("not a protocol that answers"),
    }
}

pub(crate) async fn send(model: &ScriptedModel, protocol: Protocol, body: &Value, key: &str) -> reqwest::Response {
    let request = reqwest::Client::new().post(format!("{}{}", model.url(), path(protocol))).json(body);
    let request = match protocol {
        Protocol::Anthropic => request.header("x-api-key", key).header("anthropic-version", "2023-06-01"),
        _ => request.bearer_auth(key),
    };
    request.send().await.expect("the model answers")
}

pub(crate) async fn ask(model: &ScriptedModel, protocol: Protocol, prompt: &str, results: usize) -> Answer {
    let response = send(model, protocol, &body(protocol, prompt, results), "sk-test").await;
    assert_eq!(response.status(), 200);
    let mut reader = SseReader::new(response);
    let mut events = Vec::new();
    while let Some(event) = reader.next().await.expect("the stream ends properly") {
        events.push(event);
    }
    understand(protocol, &events)
}

pub(crate) fn understand(protocol: Protocol, events: &[SseEvent]) -> Answer {
    match protocol {
        Protocol::Anthropic => understand_anthropic(events),
        Protocol::Chat => understand_chat(events),
        Protocol::Responses => understand_responses(events),
        Protocol::Models | Protocol::Other => unreachable!("not a protocol that answers"),
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

fn understand_anthropic(events: &[SseEvent]) -> Answer {
    let mut answer = Answer::default();
    let mut open: Option<(u64, Value, String)> = None;
    let mut next_index = 0;
    for event in events {
        let data = event.json();
        assert_eq!(event.name.as_deref(), data["type"].as_str(), "the name is the type");
        match event.name.as_deref().expect("every event has a name") {
            "message_start" => assert_eq!(data["message"]["role"], "assistant"),
            "ping" => {}
            "content_block_start" => {
                assert!(open.is_none(), "a block begins inside another");
                assert_eq!(data["index"], next_index);
                open = Some((next_index, data["content_block"].clone(), String::new()));
                next_index += 1;
            }
            "content_block_delta" => {
                let (index, _, said) = open.as_mut().expect("a delta is inside a block");
                assert_eq!(data["index"], *index);
                let delta = &data["delta"];
                let piece = match delta["type"].as_str().expect("a delta has a type") {
                    "text_delta" => string(&delta["text"]),
                    "thinking_delta" => string(&delta["thinking"]),
                    "input_json_delta" => string(&delta["partial_json"]),
                    "signature_delta" => continue,
                    other => panic!("an odd delta {other}"),
                };
                answer.pieces += 1;
                said.push_str(&piece);
            }
            "content_block_stop" => {
                let (index, block, said) = open.take().expect("a block is open");
                assert_eq!(data["index"], index);
                match block["type"].as_str().expect("a block has a type") {
                    "text" => answer.text.push_str(&said),
                    "thinking" => answer.reasoning.push_str(&said),
                    "tool_use" => {
                        let input = serde_json::from_str(&said).expect("the arguments are JSON");
                        answer.call = Some((string(&block["name"]), string(&block["id"]), input));
                    }
                    other => panic!("an odd block {other}"),
                }
            }
            "message_delta" => {
                answer.finish = Some(string(&data["delta"]["stop_reason"]));
                answer.output_tokens = data["usage"]["output_tokens"].as_u64();
            }
            "message_stop" => assert!(answer.finish.is_some(), "message_stop comes after message_delta"),
            "error" => answer.error = Some(string(&data["error"]["message"])),
            other => panic!("an odd event {other}"),
        }
    }
    answer
}

fn understand_chat(events: &[SseEvent]) -> Answer {
    let mut answer = Answer::default();
    let mut call: Option<(String, String, String)> = None;
    let mut is_done = false;
    for event in events {
        assert_eq!(event.name, None, "chat completions have no event names");
        assert!(!is_done, "something after [DONE]");
        if event.data == "[DONE]" {
            is_done = true;
            continue;
        }
        let data = event.json();
        if !data["error"].is_null() {
            answer.error = Some(string(&data["error"]["message"]));
            is_done = true;
            continue;
        }
        assert_eq!(data["object"], "chat.completion.chunk");
        let Some(choice) = data["choices"].get(0) else {
            answer.output_tokens = data["usage"]["completion_tokens"].as_u64();
            continue;
        };
        let delta = &choice["delta"];
        for (key, into) in [("content", &mut answer.text), ("reasoning_content", &mut answer.reasoning)] {
            if let Some(piece) = delta[key].as_str().filter(|piece| !piece.is_empty()) {
                answer.pieces += 1;
                into.push_str(piece);
            }
        }
        if let Some(piece) = delta["tool_calls"].get(0) {
            assert_eq!(piece["index"], 0);
            if piece["id"].is_string() {
                call = Some((string(&piece["function"]["name"]), string(&piece["id"]), String::new()));
            }
            let (_, _, arguments) = call.as_mut().expect("the first piece of a call has its id");
            let arguments_piece = string(&piece["function"]["arguments"]);
            answer.pieces += usize::from(!arguments_piece.is_empty());
            arguments.push_str(&arguments_piece);
        }
        if let Some(finish) = choice["finish_reason"].as_str() {
            answer.finish = Some(finish.to_owned());
        }
    }
    assert!(is_done, "the stream ends with [DONE] or an error");
    answer.call =
        call.map(|(name, id, arguments)| (name, id, serde_json::from_str(&arguments).expect("the arguments are JSON")));
    answer
}

fn understand_responses(events: &[SseEvent]) -> Answer {
    let mut answer = Answer::default();
    let mut text = String::new();
    let mut reasoning = String::new();
    let mut arguments = String::new();
    for (number, event) in events.iter().enumerate() {
        let data = event.json();
        let name = event.name.as_deref().expect("every event has a name");
        assert_eq!(data["type"], name, "the name is the type");
        if name == "error" {
            answer.error = Some(string(&data["error"]["message"]));
            continue;
        }
        assert_eq!(data["sequence_number"], number, "events are numbered");
        match name {
            "response.created" | "response.in_progress" => {
                assert_eq!(data["response"]["status"], "in_progress");
            }
            "response.output_text.delta" => {
                answer.pieces += 1;
                text.push_str(&string(&data["delta"]));
            }
            "response.output_text.done" => assert_eq!(data["text"], text),
            "response.reasoning_summary_text.delta" => {
                answer.pieces += 1;
                reasoning.push_str(&string(&data["delta"]));
            }
            "response.reasoning_summary_text.done" => assert_eq!(data["text"], reasoning),
            "response.function_call_arguments.delta" => {
                answer.pieces += 1;
                arguments.push_str(&string(&data["delta"]));
            }
            "response.function_call_arguments.done" => assert_eq!(data["arguments"], arguments),
            "response.completed" => {
                answer.finish = Some(string(&data["response"]["status"]));
                answer.output_tokens = data["response"]["usage"]["output_tokens"].as_u64();
                for item in data["response"]["output"].as_array().expect("a completed response has its output") {
                    match item["type"].as_str().expect("an item has a type") {
                        "message" => answer.text.push_str(&string(&item["content"][0]["text"])),
                        "reasoning" => answer.reasoning.push_str(&string(&item["summary"][0]["text"])),
                        "function_call" => {
                            let input =
                                serde_json::from_str(&string(&item["arguments"])).expect("the arguments are JSON");
                            answer.call = Some((string(&item["name"]), string(&item["call_id"]), input));
                        }
                        other => panic!("an odd item {other}"),
                    }
                }
            }
            "response.output_item.added"
            | "response.output_item.done"
            | "response.content_part.added"
            | "response.content_part.done"
            | "response.reasoning_summary_part.added"
            | "response.reasoning_summary_part.done" => {}
            other => panic!("an odd event {other}"),
        }
    }
    assert!(
        answer.finish.is_none() || (answer.text == text && answer.reasoning == reasoning),
        "deltas and the end agree"
    );
    answer
}

pub(crate) fn finish(protocol: Protocol, calls_tool: bool) -> &'static str {
    match (protocol, calls_tool) {
        (Protocol::Anthropic, true) => "tool_use",
        (Protocol::Anthropic, false) => "end_turn",
        (Protocol::Chat, true) => "tool_calls",
        (Protocol::Chat, false) => "stop",
        _ => "completed",
    }
}
