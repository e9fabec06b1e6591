//! Any bytes in any chunks, where `tests.rs` has the cases that somebody thought of. `cargo xtask fuzz events` tries
//! for longer; what it finds becomes a case of `tests.rs`.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::tests::{delta, frame, idle_frame};
use super::*;
use crate::fuzz::{config, texts};

/// Reads `chunks` to the end; the last item of a stream is why it ended.
fn read(chunks: Vec<Bytes>, bounds: Bounds) -> (Vec<Event>, StreamError) {
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>)));
    let response = reqwest::Response::from(http::Response::new(body));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    let mut items: Vec<_> = runtime.block_on(events(bytes(response, bounds)).collect());
    let last = items.pop().expect("a stream ends with an error").expect_err("a stream ends with an error");
    (items.into_iter().map(|item| item.expect("only the last item is an error")).collect(), last)
}

/// Cuts `whole` at these places.
fn chunks(whole: &[u8], cuts: &[Index]) -> Vec<Bytes> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
    places.extend([0, whole.len()]);
    places.sort_unstable();
    places.windows(2).map(|between| Bytes::copy_from_slice(&whole[between[0]..between[1]])).collect()
}

/// What a stream says by the letter of the specification, read as a whole; `Err` where a field that counts is no text.
fn reference(whole: &[u8]) -> (Vec<Event>, bool) {
    let mut rest = whole.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(whole);
    let (mut events, mut data): (Vec<Event>, Option<String>) = (Vec::new(), None);
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let (line, after) = (&rest[..end], &rest[end..]);
        rest = after.strip_prefix(b"\r\n").unwrap_or(&after[1..]);
        if line.is_empty() {
            if let Some(Frame::Event(event)) = data.take().map(|data| Frame::parse(&data)) {
                events.push(*event);
            }
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = colon.map_or((line, &b""[..]), |at| (&line[..at], &line[at + 1..]));
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let counts = match name {
            b"id" => !value.contains(&0),
            b"data" | b"event" | b"retry" => true,
            _ => false,
        };
        match std::str::from_utf8(value) {
            Ok(text) if name == b"data" => {
                data = Some(data.map_or_else(|| text.to_owned(), |before| format!("{before}\n{text}")));
            }
            Err(_) if counts => return (events, false),
            Ok(_) | Err(_) => {}
        }
    }
    (events, true)
}

/// Something that an Agent may send, or that looks like it.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let data_in_lines = texts().prop_map(|text| {
        let value = serde_json::json!({"payload": {"type": "file.edited", "properties": {"file": text}}});
        let pretty = serde_json::to_string_pretty(&value).expect("it is JSON");
        format!("data: {}\n", pretty.replace('\n', "\ndata: ")).into_bytes()
    });
    let line = prop_oneof![Just("\n"), Just("\r"), Just("\r\n"), Just("")];
    let field = prop_oneof![
        Just("data:"),
        Just("data: "),
        Just("data"),
        Just("data :"),
        Just("dat"),
        Just("event: "),
        Just("id: "),
        Just("retry: 7"),
        Just(":"),
        Just(": "),
        Just("\u{feff}"),
        Just(""),
        Just(" "),
        Just("\0"),
    ];
    prop_oneof![
        4 => texts().prop_map(|text| delta(&text)),
        2 => texts().prop_map(|text| frame(&text, &serde_json::json!({"sessionID": text}))),
        2 => Just(idle_frame()),
        1 => data_in_lines,
        3 => (field, texts(), line.clone()).prop_map(|(field, text, end)| format!("{field}{text}{end}").into_bytes()),
        2 => line.prop_map(|end| end.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..12),
    ]
}

/// Many of them, with line ends of one kind or the other, and some bytes changed.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let ends = prop_oneof![3 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\r")];
    let changes = vec((any::<Index>(), any::<u8>()), 0..3);
    (vec((pieces(), ends), 0..12), prop_oneof![2 => Just(Vec::new()), 1 => changes]).prop_map(|(pieces, changes)| {
        let mut whole = Vec::new();
        for (piece, end) in pieces {
            for byte in piece {
                if byte == b'\n' { whole.extend(end.as_bytes()) } else { whole.push(byte) }
            }
        }
        for (place, byte) in changes {
            if !whole.is_empty() {
                let at = place.index(whole.len());
                whole[at] = byte;
            }
        }
        whole
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn however_a_stream_is_cut_it_says_what_the_specification_says(
        whole in streams(),
        cuts in vec(any::<Index>(), 0..40),
    ) {
        let (expected, is_text) = reference(&whole);
        let (events, end) = read(chunks(&whole, &cuts), Bounds::default());
        prop_assert_eq!(events, expected);
        match end {
            StreamError::Ended => prop_assert!(is_text),
            StreamError::Malformed(_) => prop_assert!(!is_text),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn what_is_too_long_ends_the_stream_and_all_before_it_arrives(
        before in 0..8_usize,
        junk in vec(prop_oneof![4 => 0x20..0x7f_u8, 1 => Just(b'\r')], 600..900),
        comment in any::<bool>(),
        end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        cuts in vec(any::<Index>(), 0..40),
    ) {
        // One bound for all that comes before an empty line: words, comments, and fields that nobody reads.
        let line = if comment { ": " } else { "data: " };
        let junk = String::from_utf8(junk).expect("it is ASCII").replace('\r', &format!("{end}{line}"));
        let idle = String::from_utf8(idle_frame()).expect("it is text").replace('\n', end);
        let whole = format!("{}{line}{junk}{end}{end}{idle}", idle.repeat(before));
        let (events, error) = read(chunks(whole.as_bytes(), &cuts), Bounds { event: 500, ..Bounds::default() });
        prop_assert_eq!(events.len(), before);
        prop_assert!(matches!(error, StreamError::TooLarge { limit: 500 }), "{:?}", error);
    }
}
