//! The scripted model over HTTP: each protocol is parsed back from its stream, and each failure is seen by a client.

mod client;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use doce_testkit::ScriptedModel;
use doce_testkit::script::{CLOSING, GREETING, Script};
use doce_testkit::scripted_model::{Outcome, Protocol, RecordedRequest};
use serde_json::{Value, json};

use client::{Answer, PROTOCOLS, ask, body, finish, send, understand};
use support::{BOUND, SseReader};

#[tokio::test]
async fn words_arrive_in_pieces_with_a_finish_reason_and_usage() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        let answer = ask(&model, protocol, "[[think: let me see]] [[say: one two three ü]]", 0).await;
        let wanted = Answer {
            text: "one two three ü".to_owned(),
            reasoning: "let me see".to_owned(),
            call: None,
            finish: Some(finish(protocol, false).to_owned()),
            output_tokens: Some(7),
            error: None,
            pieces: 7,
        };
        assert_eq!(answer, wanted, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_tool_call_arrives_with_streamed_arguments_and_the_next_turn_follows_its_result() {
    let model = ScriptedModel::start().await;
    let prompt = r"[[say: writing]] [[write: src/App.tsx | a\nb and a somewhat longer line]]";
    for protocol in PROTOCOLS {
        let first = ask(&model, protocol, prompt, 0).await;
        assert_eq!(first.text, "writing", "{protocol:?}");
        assert_eq!(first.finish.as_deref(), Some(finish(protocol, true)), "{protocol:?}");
        let (name, id, input) = first.call.expect("a tool call");
        assert_eq!(name, "write");
        assert!(!id.is_empty());
        assert_eq!(input, json!({ "filePath": "src/App.tsx", "content": "a\nb and a somewhat longer line" }));
        assert!(first.pieces > 3, "{protocol:?}: the arguments came in one piece");
        let second = ask(&model, protocol, prompt, 1).await;
        assert_eq!((second.text.as_str(), second.call), (CLOSING, None), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_later_prompt_starts_its_own_turns() {
    let model = ScriptedModel::start().await;
    let mut body = body(Protocol::Anthropic, "[[write: a | x]]", 1);
    let messages = body["messages"].as_array_mut().expect("a list");
    // Results and the next prompt share a message when the answer in between was aborted.
    messages[2]["content"].as_array_mut().expect("a list").push(json!({ "type": "text", "text": "[[say: fresh]]" }));
    let response = send(&model, Protocol::Anthropic, &body, "sk-test").await;
    let text = response.text().await.expect("a body");
    assert!(text.contains("fresh"), "{text}");
    assert_eq!(model.requests()[0].tool_results, 0);
}

#[tokio::test]
async fn a_prompt_without_directives_gets_a_friendly_answer() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        assert_eq!(ask(&model, protocol, "Build a blog", 0).await.text, GREETING, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_request_without_a_stream_gets_one_body() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        let mut body = body(protocol, "[[say: hello there]]", 0);
        body["stream"] = json!(false);
        let whole: Value = send(&model, protocol, &body, "sk-test").await.json().await.expect("JSON");
        let text = match protocol {
            Protocol::Anthropic => &whole["content"][0]["text"],
            Protocol::Chat => &whole["choices"][0]["message"]["content"],
            _ => &whole["output"][0]["content"][0]["text"],
        };
        assert_eq!(text, "hello there", "{protocol:?}: {whole}");
    }
}

#[tokio::test]
async fn a_request_for_a_title_gets_a_title_and_uses_no_script() {
    let model = ScriptedModel::start().await;
    model.fail_next(500);
    let body = json!({ "model": "small", "stream": false, "messages": [
        { "role": "system", "content": "You are a title generator. You output ONLY a thread title." },
        { "role": "user", "content": "Generate a title for this conversation:\n" },
        { "role": "user", "content": "Build a nice little blog about cats and dogs [[hang]]" },
    ]});
    let whole: Value = send(&model, Protocol::Chat, &body, "sk-test").await.json().await.expect("JSON");
    assert_eq!(whole["choices"][0]["message"]["content"], "Build a nice little blog about");
    assert_eq!(model.agent_turns().len(), 0);
    let response = send(&model, Protocol::Chat, &self::body(Protocol::Chat, "hi", 0), "sk-test").await;
    assert_eq!(response.status(), 500);
}

#[tokio::test]
async fn a_refusal_has_the_providers_shape_and_its_retry_after() {
    let model = ScriptedModel::start().await;
    for (protocol, kind) in
        [(Protocol::Anthropic, "rate_limit_error"), (Protocol::Chat, "requests"), (Protocol::Responses, "requests")]
    {
        let response = send(&model, protocol, &body(protocol, "[[status: 429, retry-after: 600]]", 0), "sk-test").await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()["retry-after"], "600");
        let error: Value = response.json().await.expect("JSON");
        assert_eq!(error["error"]["type"], kind);
    }
}

#[tokio::test]
async fn a_refusal_with_times_ends() {
    let model = ScriptedModel::start().await;
    let body = body(Protocol::Chat, "[[status: 500, times: 2]] [[say: fine]]", 0);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(send(&model, Protocol::Chat, &body, "sk-test").await.status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 200]);
}

#[tokio::test]
async fn only_accepted_keys_are_answered_and_only_in_the_right_header() {
    let model = ScriptedModel::start().await;
    model.accept_keys(["sk-good"]);
    for protocol in PROTOCOLS {
        let body = body(protocol, "hi", 0);
        assert_eq!(send(&model, protocol, &body, "sk-good").await.status(), 200, "{protocol:?}");
        assert_eq!(send(&model, protocol, &body, "sk-bad").await.status(), 401, "{protocol:?}");
    }
    let client = reqwest::Client::new();
    let as_bearer = client.post(format!("{}/v1/messages", model.url())).bearer_auth("sk-good");
    let answer = as_bearer.json(&body(Protocol::Anthropic, "hi", 0)).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let request = model.wait_for_request(|request| !request.key_accepted && request.key.is_none(), BOUND).await;
    assert_eq!(request.headers["authorization"], "Bearer sk-good");
}

#[tokio::test]
async fn the_record_names_the_header_and_the_key() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        ask(&model, protocol, "remember the AGENTS sentence", 0).await;
    }
    let requests = model.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.protocol, request.path.as_str(), request.key_header.as_deref(), request.key.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [
            (Protocol::Anthropic, "/anthropic/v1/messages", Some("x-api-key"), Some("sk-test")),
            (Protocol::Chat, "/v1/chat/completions", Some("authorization"), Some("sk-test")),
            (Protocol::Responses, "/some/prefix/responses", Some("authorization"), Some("sk-test")),
        ]
    );
    assert!(
        requests.iter().all(|request| request.mentions("You are an agent.") && request.mentions("AGENTS sentence"))
    );
    assert!(requests.iter().all(|request| !request.mentions("something nobody said")));
}

#[tokio::test]
async fn models_are_listed_for_an_accepted_key_and_refused_in_each_providers_shape() {
    let model = ScriptedModel::start().await;
    model.accept_keys(["sk-good"]);
    model.list_models(["m-1"]);
    let client = reqwest::Client::new();
    let get = |header: &str, value: &str| {
        client.get(format!("{}/any/v1/models?limit=1", model.url())).header(header, value).send()
    };
    for (header, good, id) in [
        ("x-api-key", "sk-good", "/data/0/id"),
        ("authorization", "Bearer sk-good", "/data/0/id"),
        ("x-goog-api-key", "sk-good", "/models/0/displayName"),
    ] {
        let response = get(header, good).await.expect("an answer");
        assert_eq!(response.status(), 200);
        let list: Value = response.json().await.expect("JSON");
        assert_eq!(list.pointer(id), Some(&json!("m-1")), "{list}");
    }
    for (header, bad, status, pointer, wanted) in [
        ("x-api-key", "sk-bad", 401, "/error/type", "authentication_error"),
        ("authorization", "Bearer sk-bad", 401, "/error/code", "invalid_api_key"),
        ("x-goog-api-key", "sk-bad", 400, "/error/details/0/reason", "API_KEY_INVALID"),
    ] {
        let response = get(header, bad).await.expect("an answer");
        assert_eq!(response.status(), status);
        let error: Value = response.json().await.expect("JSON");
        assert_eq!(error.pointer(pointer), Some(&json!(wanted)), "{error}");
    }
    let nothing = client.get(format!("{}/v1/models", model.url())).send().await.expect("an answer");
    assert_eq!(nothing.status(), 401);
}

#[tokio::test]
async fn a_cut_stream_breaks_after_its_words_have_arrived() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        let response =
            send(&model, protocol, &body(protocol, "[[say: one two three]] [[cut-after: 2]]", 0), "sk-test").await;
        let mut reader = SseReader::new(response);
        let mut seen = String::new();
        let end = loop {
            match reader.next().await {
                Ok(Some(event)) => seen.push_str(&event.data),
                end => break end,
            }
        };
        assert!(end.is_err(), "{protocol:?}: the stream ended properly");
        assert!(seen.contains("one ") && seen.contains("two ") && !seen.contains("three"), "{protocol:?}: {seen}");
    }
    assert!(model.requests().iter().all(|request| request.outcome == Outcome::Cut));
}

#[tokio::test]
async fn an_error_inside_the_stream_is_the_protocols_own() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        let answer = ask(&model, protocol, "[[say: one two three]] [[error-after: 1]]", 0).await;
        assert!(answer.error.is_some(), "{protocol:?}");
        assert_eq!((answer.finish, answer.pieces), (None, 1), "{protocol:?}");
    }
}

#[tokio::test]
async fn an_empty_stream_is_200_and_holds_no_event() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        let response = send(&model, protocol, &body(protocol, "[[empty]]", 0), "sk-test").await;
        assert_eq!(response.status(), 200);
        assert_eq!(SseReader::new(response).next().await.expect("a proper end"), None, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_is_noticed() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        let response =
            send(&model, protocol, &body(protocol, "[[say: one two three]] [[hang-after: 2]]", 0), "sk-test").await;
        let mut reader = SseReader::new(response);
        while let Some(event) = reader.next().await.expect("the stream goes on") {
            if event.data.contains("two ") {
                break;
            }
        }
        let open = model.wait_for_request(|request| request.protocol == protocol, BOUND).await;
        assert_eq!(open.outcome, Outcome::Open);
        drop(reader);
        let is_left =
            |request: &RecordedRequest| request.protocol == protocol && request.outcome == Outcome::ClosedByClient;
        model.wait_for_request(is_left, BOUND).await;
    }
}

#[tokio::test]
async fn a_hang_never_answers_and_its_client_is_noticed_when_it_leaves() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        let body = body(protocol, "[[hang]]", 0);
        let mut sent = Box::pin(send(&model, protocol, &body, "sk-test"));
        tokio::select! {
            _ = &mut sent => panic!("{protocol:?} answered"),
            arrived = model.wait_for_request(|request| request.protocol == protocol, BOUND) => {
                assert_eq!(arrived.outcome, Outcome::Open);
            }
        }
        let later = tokio::time::timeout(Duration::from_millis(50), &mut sent).await;
        assert!(later.is_err(), "{protocol:?} answered");
        drop(sent);
        let is_left =
            |request: &RecordedRequest| request.protocol == protocol && request.outcome == Outcome::ClosedByClient;
        model.wait_for_request(is_left, BOUND).await;
    }
}

#[tokio::test]
async fn a_delay_comes_before_each_token() {
    let model = ScriptedModel::start().await;
    let started = std::time::Instant::now();
    ask(&model, Protocol::Chat, "[[delay: 40]] [[say: one two three]]", 0).await;
    assert!(started.elapsed() >= Duration::from_millis(120), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_huge_answer_has_exactly_its_size() {
    let model = ScriptedModel::start().await;
    for protocol in PROTOCOLS {
        let answer = ask(&model, protocol, "[[huge: 300001]]", 0).await;
        assert_eq!(answer.text.len(), 300_001, "{protocol:?}");
        assert!(answer.pieces > 10, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_directive_that_cannot_be_read_is_a_loud_400() {
    let model = ScriptedModel::start().await;
    let response = send(&model, Protocol::Anthropic, &body(Protocol::Anthropic, "[[shout: hi]]", 0), "sk-test").await;
    assert_eq!(response.status(), 400);
    assert!(response.text().await.expect("a body").contains("recognise the directive `shout`"));
}

#[tokio::test]
async fn pushed_scripts_and_functions_come_before_the_prompts_directives() {
    let model = ScriptedModel::start().await;
    model.push(Script::say("pushed"));
    model.on(|request| request.user_text.contains("magic").then(|| Script::say("from the function")));
    assert_eq!(ask(&model, Protocol::Chat, "magic [[say: directive]]", 0).await.text, "from the function");
    assert_eq!(ask(&model, Protocol::Chat, "[[say: directive]]", 0).await.text, "pushed");
    assert_eq!(ask(&model, Protocol::Chat, "[[say: directive]]", 0).await.text, "directive");
}

#[tokio::test]
async fn a_file_is_written_with_the_tool_that_is_on_offer() {
    let model = ScriptedModel::start().await;
    let mut body = body(Protocol::Responses, r"[[write: a.txt | one\ntwo]]", 0);
    body["tools"] = json!([{ "type": "function", "name": "apply_patch" }, { "type": "function", "name": "bash" }]);
    let response = send(&model, Protocol::Responses, &body, "sk-test").await;
    let mut reader = SseReader::new(response);
    let mut events = Vec::new();
    while let Some(event) = reader.next().await.expect("a proper end") {
        events.push(event);
    }
    let (name, _, input) = understand(Protocol::Responses, &events).call.expect("a tool call");
    assert_eq!(name, "apply_patch");
    assert_eq!(input["patchText"], "*** Begin Patch\n*** Add File: a.txt\n+one\n+two\n*** End Patch");
}

#[tokio::test]
async fn what_is_not_a_known_route_is_404_and_recorded() {
    let model = ScriptedModel::start().await;
    let response = reqwest::get(format!("{}/v1/embeddings", model.url())).await.expect("an answer");
    assert_eq!(response.status(), 404);
    assert_eq!(model.requests()[0].protocol, Protocol::Other);
    assert_eq!(model.count(), 1);
}

#[tokio::test]
async fn stopping_breaks_open_streams_and_frees_the_port() {
    let model = ScriptedModel::start().await;
    let address = model.address();
    let response =
        send(&model, Protocol::Chat, &body(Protocol::Chat, "[[say: one two]] [[hang-after: 1]]", 0), "sk-test").await;
    let mut reader = SseReader::new(response);
    tokio::time::timeout(BOUND, model.stop()).await.expect("it stops");
    while let Ok(event) = reader.next().await {
        assert!(event.is_some(), "the stream ended as if it were complete");
    }
    ScriptedModel::start_on(address.port()).await.expect("the port is free");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the program under test is started as another process would start it")]
async fn the_program_prints_its_port_takes_scripts_and_tells_its_requests() {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_scripted-model"))
        .args(["--accept-key", "sk-one", "--accept-key", "sk-two"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(program.stdout.take().expect("its output is piped")).lines();
    let line =
        tokio::time::timeout(BOUND, lines.next_line()).await.expect("in time").expect("readable").expect("a line");
    let port = serde_json::from_str::<Value>(&line).expect("JSON")["port"].clone();
    let url = format!("http://127.0.0.1:{port}");
    let client = reqwest::Client::new();
    let complete = |key: &'static str| {
        let request = client.post(format!("{url}/v1/chat/completions")).bearer_auth(key);
        let mut body = body(Protocol::Chat, "hi", 0);
        body["stream"] = json!(false);
        async move { request.json(&body).send().await.expect("an answer") }
    };
    assert_eq!(complete("sk-three").await.status(), 401);
    let script = |body: Value| client.post(format!("{url}/__script")).json(&body).send();
    let pushed = script(json!({ "push": "[[say: from afar]]" })).await.expect("an answer");
    assert_eq!(pushed.status(), 204);
    let answer: Value = complete("sk-two").await.json().await.expect("JSON");
    assert_eq!(answer["choices"][0]["message"]["content"], "from afar");
    script(json!({ "fail_next": 503, "retry_after": 4 })).await.expect("an answer");
    let refused = complete("sk-one").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().expect("text")), (503, "4"));
    assert_eq!(script(json!({ "push": "[[shout: x]]" })).await.expect("an answer").status(), 400);
    let recorded: Value =
        client.get(format!("{url}/__requests")).send().await.expect("an answer").json().await.expect("JSON");
    let keys: Vec<_> = recorded.as_array().expect("a list").iter().map(|request| request["key"].clone()).collect();
    assert_eq!(keys, ["sk-three", "sk-two", "sk-one"]);
    script(json!({ "reset": true })).await.expect("an answer");
    let recorded: Value =
        client.get(format!("{url}/__requests")).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(recorded, json!([]));
}
