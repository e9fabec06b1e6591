//! Any envelope, where the cases of `event.rs` are those that somebody thought of. `cargo xtask fuzz envelopes` tries for
//! longer; what it finds becomes a case of that file.

use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::json;

use super::*;
use crate::fuzz::{config, texts};

/// Looks like a key, and so must not be in what is said of an error.
const PLANTED: &str = "sk-planted0123456789planted";

/// One envelope of each kind that is typed.
fn envelopes() -> Vec<Value> {
    let time = json!({"created": 1_795_369_538_801_i64, "updated": 1_795_369_538_801_i64, "completed": 1.5e12});
    let tokens = json!({"input": 11, "output": 7, "reasoning": 0, "cache": {"read": 3, "write": 0}});
    let error = json!({"name": "APIError", "data": {"message": "overloaded", "statusCode": 529, "isRetryable": true,
        "responseHeaders": {"retry-after": "7"}, "responseBody": "{}"}});
    let session = json!({"info": {"id": "ses_1", "title": "T", "parentID": "ses_0", "directory": "/w", "time": time}});
    let part = |kind: &str, mut rest: Value| {
        let about = json!({"id": "prt_1", "sessionID": "ses_1", "messageID": "msg_1", "type": kind});
        rest.as_object_mut().expect("an object").extend(about.as_object().expect("an object").clone());
        ("message.part.updated", json!({"part": rest}))
    };
    let within = json!({"sessionID": "ses_1", "messageID": "msg_1", "partID": "prt_1", "field": "text", "delta": "d"});
    let kinds = [
        ("server.connected", json!({})),
        ("server.heartbeat", json!({})),
        ("session.created", session.clone()),
        ("session.updated", session),
        ("session.deleted", within.clone()),
        ("session.status", json!({"sessionID": "ses_1", "status": {"type": "busy"}})),
        (
            "session.status",
            json!({"sessionID": "ses_1", "status": {"type": "retry", "attempt": 2, "message": "slow", "next": 1}}),
        ),
        ("session.idle", within.clone()),
        ("session.error", json!({"sessionID": "ses_1", "error": error.clone()})),
        (
            "message.updated",
            json!({"info": {"id": "msg_1", "sessionID": "ses_1", "role": "user", "time": time,
            "model": {"providerID": "anthropic", "modelID": "m"}}}),
        ),
        (
            "message.updated",
            json!({"info": {"id": "msg_1", "sessionID": "ses_1", "role": "assistant",
            "parentID": "msg_0", "time": time, "providerID": "anthropic", "modelID": "m", "error": error,
            "finish": "stop", "tokens": tokens, "cost": 0.25}}),
        ),
        ("message.removed", within.clone()),
        ("message.part.delta", within.clone()),
        ("message.part.removed", within),
        part("text", json!({"text": "t", "synthetic": true, "time": {"start": 1, "end": 2}})),
        part("reasoning", json!({"text": "t", "time": {"start": 1, "end": 2}})),
        part(
            "tool",
            json!({"callID": "c", "tool": "bash", "state": {"status": "completed", "input": {"command": "ls"},
            "output": "o", "title": "t", "metadata": {"output": "o"}, "time": {"start": 1, "end": 2}}}),
        ),
        part("step-start", json!({})),
        part("step-finish", json!({"reason": "stop", "tokens": tokens, "cost": 0})),
        part("file", json!({"mime": "image/png", "filename": "f", "url": "data:,"})),
        part("patch", json!({"files": ["/w/a"], "hash": "h"})),
        (
            "permission.asked",
            json!({"id": "per_1", "sessionID": "ses_1", "permission": "bash", "patterns": ["ls"], "metadata": {}}),
        ),
        (
            "question.asked",
            json!({"id": "que_1", "sessionID": "ses_1", "questions": [{"question": "q", "header": "h", "options": []}]}),
        ),
        ("file.edited", json!({"file": "/w/a"})),
        ("file.watcher.updated", json!({"file": "/w/a", "event": "add"})),
        ("server.instance.disposed", json!({"directory": "/w"})),
        ("global.disposed", json!({})),
    ];
    let wrap = |(kind, properties)| json!({"directory": "/w", "project": "p", "payload": {"id": "evt_1", "type": kind, "properties": properties}});
    kinds.into_iter().map(wrap).collect()
}

/// What may stand where something else was expected.
fn values() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        texts(),
        (texts(), texts()).prop_map(|(before, after)| format!("{before} {PLANTED} {after}")),
        Just("long ".repeat(400)),
        Just("tool".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        texts.prop_map(Value::from),
    ];
    let keys = prop_oneof![Just("id"), Just("type"), Just("time"), Just("text"), Just("info"), Just("x")];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((keys.clone(), inner), 0..4).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}

/// The places of a value, itself first.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn parse(text: &str) -> Option<Event> {
    match Frame::parse(text) {
        Frame::Event(event) => Some(*event),
        Frame::Duplicate | Frame::Unreadable => None,
    }
}

/// What people are told of an error is one short clean line, whatever an Agent sends.
fn check(event: &Event) -> Result<(), TestCaseError> {
    let (told, whole) = match event {
        Event::SessionError { error, .. } | Event::MessageUpdated(Message { error: Some(error), .. }) => {
            (error.message(), format!("{error:?}"))
        }
        Event::SessionStatus { status: Status::Retry { message, .. }, .. } => (message.as_str(), message.clone()),
        _ => return Ok(()),
    };
    prop_assert!(told.chars().count() <= 500 && !told.chars().any(char::is_control), "{:?}", told);
    prop_assert!(!whole.contains(PLANTED), "{}", whole);
    Ok(())
}

#[test]
fn every_envelope_is_typed_as_it_comes() {
    for envelope in envelopes() {
        let event = parse(&envelope.to_string());
        let other_part = |part: &Part| matches!(part.kind, crate::PartKind::Other { .. });
        assert!(
            !matches!(&event, None | Some(Event::Other { .. }))
                && !matches!(&event, Some(Event::PartUpdated(part)) if other_part(part)),
            "{envelope}"
        );
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_envelope_with_anything_in_it_is_read_or_left_out(
        which in any::<Index>(),
        changes in vec((any::<Index>(), values()), 1..4),
    ) {
        let mut envelope = which.get(&envelopes()).clone();
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&envelope, "", &mut found);
            *envelope.pointer_mut(place.get::<String>(&found)).expect("it was found there") = value;
        }
        if let Some(event) = parse(&envelope.to_string()) {
            check(&event)?;
        }
    }

    #[test]
    fn text_that_is_almost_an_envelope_is_read_or_left_out(
        which in any::<Index>(),
        from in any::<Index>(),
        length in 0..6_usize,
        with in prop_oneof![texts(), Just("[".repeat(600)), Just("{\"a\":".repeat(600)), Just("\\ud800".to_owned()),
            Just("1e999".to_owned()), Just("-0".to_owned())],
    ) {
        let mut text: Vec<char> = which.get(&envelopes()).to_string().chars().collect();
        let from = from.index(text.len());
        let to = (from + length).min(text.len());
        text.splice(from..to, with.chars());
        if let Some(event) = parse(&text.into_iter().collect::<String>()) {
            check(&event)?;
        }
    }

    #[test]
    fn a_member_that_nobody_knows_changes_nothing(which in any::<Index>(), place in any::<Index>(), value in values()) {
        let plain = which.get(&envelopes()).clone();
        let mut found = Vec::new();
        places(&plain, "", &mut found);
        // What a model gave a tool is passed on as it is.
        found.retain(|at| plain.pointer(at).is_some_and(Value::is_object) && !at.ends_with("/input"));
        let mut more = plain.clone();
        more.pointer_mut(place.get::<String>(&found)).expect("it was found there")["unheardOf"] = value;
        prop_assert_eq!(parse(&more.to_string()), parse(&plain.to_string()));
    }
}
