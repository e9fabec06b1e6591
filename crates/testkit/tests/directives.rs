//! Reading directives, and what turns become of them.

use std::time::Duration;

use doce_testkit::directives::{Directive, DirectiveError, Refusal, parse, strip};
use doce_testkit::script::{Block, CLOSING, GREETING, Script, turns};
use serde_json::json;

fn text(words: &str) -> Block {
    Block::Text(words.to_owned())
}

fn turns_of(prompt: &str) -> Vec<Script> {
    turns(&parse(prompt).expect("the prompt's directives can be read"))
}

#[test]
fn directives_are_read_in_order_and_the_rest_is_ignored() {
    let read = parse("Build a shop. [[say: on it]]\n[[write: src/a.ts | let a = 1;]] please [[delay: 200]][[hang]]")
        .expect("readable");
    assert_eq!(
        read,
        [
            Directive::Say("on it".to_owned()),
            Directive::Write { path: "src/a.ts".to_owned(), content: "let a = 1;".to_owned() },
            Directive::Delay(Duration::from_millis(200)),
            Directive::Hang,
        ]
    );
}

#[test]
fn every_kind_of_directive_is_read() {
    let refusal = Refusal { status: 429, retry_after: Some(600), times: Some(2) };
    let cases = [
        ("[[think: hm]]", Directive::Think("hm".to_owned())),
        ("[[bash: ls | wc -l]]", Directive::Bash("ls | wc -l".to_owned())),
        ("[[read: a.txt]]", Directive::Read("a.txt".to_owned())),
        ("[[hang-after: 3]]", Directive::HangAfter(3)),
        ("[[cut-after: 0]]", Directive::CutAfter(0)),
        ("[[error-after: 1]]", Directive::ErrorAfter(1)),
        ("[[status: 401]]", Directive::Status(Refusal::new(401))),
        ("[[status: 429, retry-after: 600, times: 2]]", Directive::Status(refusal)),
        ("[[empty]]", Directive::Empty),
        ("[[huge: 5000000]]", Directive::Huge(5_000_000)),
        (
            r#"[[tool: webfetch | {"url": "http://x/\n"}]]"#,
            Directive::Tool { name: "webfetch".to_owned(), input: json!({ "url": "http://x/\n" }) },
        ),
        (
            "[[ask: external_directory | /etc/hostname]]",
            Directive::Ask { permission: "external_directory".to_owned(), pattern: "/etc/hostname".to_owned() },
        ),
    ];
    for (prompt, wanted) in cases {
        assert_eq!(parse(prompt), Ok(vec![wanted]), "{prompt}");
    }
}

#[test]
fn escapes_stand_for_newlines_tabs_brackets_and_backslashes() {
    let read = parse(r"[[write: a | one\n\ttwo [x[0\]] \\n \q]]").expect("readable");
    assert_eq!(read, [Directive::Write { path: "a".to_owned(), content: "one\n\ttwo [x[0]] \\n \\q".to_owned() }]);
}

#[test]
fn a_value_may_end_with_a_bracket_and_span_lines() {
    let read = parse("[[write: a | x\ny[0]]]").expect("readable");
    assert_eq!(read, [Directive::Write { path: "a".to_owned(), content: "x\ny[0]".to_owned() }]);
}

#[test]
fn a_prompt_without_directives_has_none() {
    assert_eq!(parse("Build [a] blog with arr[0] and ünïcode ]]"), Ok(vec![]));
    assert_eq!(parse(""), Ok(vec![]));
}

#[test]
fn directives_that_cannot_be_read_are_errors_that_name_them() {
    assert_eq!(parse("[[say: hello"), Err(DirectiveError::Unclosed { start: "say: hello".to_owned() }));
    assert_eq!(parse("[[shout: hello]]"), Err(DirectiveError::Unknown { name: "shout".to_owned() }));
    let bad_values = [
        "[[say]]",
        "[[say: ]]",
        "[[write: a.txt]]",
        "[[write: | x]]",
        "[[bash:]]",
        "[[delay: soon]]",
        "[[delay: -1]]",
        "[[hang: 3]]",
        "[[hang-after: x]]",
        "[[status: 200]]",
        "[[status: 999]]",
        "[[status: 429, retry-after: later]]",
        "[[status: 429, twice]]",
        "[[tool: x | []]]",
        "[[tool: x | {]]",
        "[[ask: x]]",
        "[[huge: -5]]",
        "[[empty: no]]",
    ];
    for prompt in bad_values {
        assert!(matches!(parse(prompt), Err(DirectiveError::Value { .. })), "{prompt} gave {:?}", parse(prompt));
    }
    assert_eq!(
        parse("[[delay: soon]]").expect_err("unreadable").to_string(),
        "read `soon` as the value of `delay`: expected milliseconds"
    );
}

#[test]
fn stripping_leaves_the_words_around() {
    assert_eq!(strip("A blog, please. [[say: hi]]\n[[hang]]"), "A blog, please.");
    assert_eq!(strip("broken [[say: hi"), "broken [[say: hi");
}

#[test]
fn each_tool_call_ends_a_turn_and_the_last_turn_closes() {
    let turns = turns_of("[[say: one]] [[write: a | x]] [[delay: 7]] [[bash: ls]]");
    assert_eq!(
        turns,
        [
            Script::say("one").write("a", "x"),
            Script::default()
                .tool("bash", json!({ "command": "ls", "description": "Runs a scripted command" }))
                .delay(Duration::from_millis(7)),
            Script::say(CLOSING).delay(Duration::from_millis(7)),
        ]
    );
}

#[test]
fn a_prompt_without_directives_is_greeted() {
    assert_eq!(turns_of("Build a blog"), [Script::say(GREETING)]);
    assert_eq!(turns_of("[[delay: 5]]"), [Script::say(GREETING).delay(Duration::from_millis(5))]);
}

#[test]
fn words_of_the_closing_turn_replace_the_standard_ones() {
    let turns = turns_of("[[bash: ls]] [[say: all]] [[say: done]]");
    assert_eq!(turns.last(), Some(&Script::say("all\ndone")));
}

#[test]
fn the_tokens_of_a_block_are_the_whole_block() {
    let blocks = [text("one two\n three "), text("ä ö ü"), Block::Reasoning("hm hm".to_owned())];
    for block in blocks {
        let (Block::Text(whole) | Block::Reasoning(whole)) = &block else {
            unreachable!("the list holds only text and reasoning");
        };
        let tokens = block.tokens();
        assert!(tokens.len() > 1, "{whole:?} is one token");
        assert_eq!(&tokens.concat(), whole);
    }
}
