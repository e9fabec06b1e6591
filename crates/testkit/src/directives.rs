//! The directives a prompt may carry to say how it is to be answered: `[[say: hello]]`, `[[write: a.txt | words]]`.
//!
//! They stand in the prompt itself, so a test in another process (a browser) decides what the model does without talking to the model.
//! `scripted_model` and `fake_agent` both read them; `script` turns them into turns. This file only parses.
//!
//! A directive ends at the first `]]` that isn't followed by another `]`. In values `\n`, `\t`, `\\` and `\]` are escapes, so code such as
//! `a[b[0]]` is written `a[b[0\]]`. Text outside of directives is ignored; a directive that can't be read is an error, never skipped.

use std::time::Duration;

use serde_json::Value;

/// One instruction found in a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Directive {
    /// Streams these words, token by token.
    Say(String),
    /// Streams these words as reasoning.
    Think(String),
    /// Calls the `write` tool.
    Write {
        /// The file, relative to the workspace or absolute.
        path: String,
        /// What the file shall hold.
        content: String,
    },
    /// Calls the `bash` tool.
    Bash(String),
    /// Calls the `read` tool.
    Read(String),
    /// Calls any tool with any input.
    Tool {
        /// The tool's name.
        name: String,
        /// Its input, a JSON object.
        input: Value,
    },
    /// Touches something that needs a permission: the model reads the path, the fake Agent asks for the permission.
    Ask {
        /// The permission, such as `external_directory`.
        permission: String,
        /// What it is asked for, such as a path.
        pattern: String,
    },
    /// Waits this long before each token from here on.
    Delay(Duration),
    /// Never answers; after words of the same turn, never goes on.
    Hang,
    /// Never goes on after this many tokens of this turn.
    HangAfter(usize),
    /// Breaks the connection after this many tokens of this turn.
    CutAfter(usize),
    /// Sends the protocol's error event after this many tokens of this turn.
    ErrorAfter(usize),
    /// Answers with an HTTP error.
    Status(Refusal),
    /// Answers 200 with a stream that holds nothing.
    Empty,
    /// Streams this many bytes of text.
    Huge(usize),
}

/// An HTTP error a provider answers with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Seconds for the `retry-after` header.
    pub retry_after: Option<u64>,
    /// How often the turn is refused before it is answered; `None` is for ever.
    pub times: Option<u32>,
}

impl Refusal {
    /// A refusal with this status, for ever and without `retry-after`.
    pub const fn new(status: u16) -> Self {
        Self { status, retry_after: None, times: None }
    }
}

/// Why a directive could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// The closing brackets are missing.
    #[error("find the end of the directive `[[{start}`")]
    Unclosed {
        /// The first characters of it.
        start: String,
    },
    /// No such directive.
    #[error("recognise the directive `{name}`")]
    Unknown {
        /// The name as written.
        name: String,
    },
    /// The value isn't what this directive takes.
    #[error("read `{value}` as the value of `{name}`: expected {expected}")]
    Value {
        /// The directive.
        name: String,
        /// The value as written.
        value: String,
        /// What belongs there.
        expected: &'static str,
    },
}

/// Reads all directives of a text, in order.
pub fn parse(text: &str) -> Result<Vec<Directive>, DirectiveError> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((start, length)) = next_directive(rest)? {
        let inner = &rest[start + 2..start + length - 2];
        found.push(parse_one(inner)?);
        rest = &rest[start + length..];
    }
    Ok(found)
}

/// Returns the text without its directives, trimmed. Unreadable ones stay.
pub fn strip(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Ok(Some((start, length))) = next_directive(rest) {
        kept.push_str(&rest[..start]);
        rest = &rest[start + length..];
    }
    kept.push_str(rest);
    kept.trim().to_owned()
}

/// Finds the next `[[…]]`: its start and its length, brackets included.
fn next_directive(text: &str) -> Result<Option<(usize, usize)>, DirectiveError> {
    let Some(start) = text.find("[[") else {
        return Ok(None);
    };
    let bytes = text.as_bytes();
    let mut at = start + 2;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b']' if bytes.get(at + 1) == Some(&b']') && bytes.get(at + 2) != Some(&b']') => {
                return Ok(Some((start, at + 2 - start)));
            }
            _ => at += 1,
        }
    }
    Err(DirectiveError::Unclosed { start: text[start + 2..].chars().take(40).collect() })
}

fn parse_one(inner: &str) -> Result<Directive, DirectiveError> {
    let (name, raw) = match inner.split_once(':') {
        Some((name, raw)) => (name.trim(), Some(raw.trim())),
        None => (inner.trim(), None),
    };
    let wrong = |expected: &'static str| DirectiveError::Value {
        name: name.to_owned(),
        value: raw.unwrap_or_default().to_owned(),
        expected,
    };
    let text = |expected| match raw {
        Some(value) if !value.is_empty() => Ok(unescape(value)),
        _ => Err(wrong(expected)),
    };
    let number = |expected| raw.and_then(|value| value.parse::<usize>().ok()).ok_or_else(|| wrong(expected));
    let nothing = |directive| match raw {
        None => Ok(directive),
        Some(_) => Err(wrong("no value")),
    };
    let pair = |expected| {
        let (left, right) = raw.and_then(|value| value.split_once('|')).ok_or_else(|| wrong(expected))?;
        let left = left.trim();
        if left.is_empty() {
            return Err(wrong(expected));
        }
        Ok((unescape(left), unescape(right.trim())))
    };
    match name {
        "say" => text("words").map(Directive::Say),
        "think" => text("words").map(Directive::Think),
        "bash" => text("a command").map(Directive::Bash),
        "read" => text("a path").map(Directive::Read),
        "write" => pair("a path, `|` and the content").map(|(path, content)| Directive::Write { path, content }),
        "ask" => {
            pair("a permission, `|` and a pattern").map(|(permission, pattern)| Directive::Ask { permission, pattern })
        }
        "tool" => {
            const EXPECTED: &str = "a tool, `|` and a JSON object";
            // JSON has its own escapes, so the raw text is read.
            let (tool, json) = raw.and_then(|value| value.split_once('|')).ok_or_else(|| wrong(EXPECTED))?;
            let input: Value = serde_json::from_str(json).map_err(|_| wrong(EXPECTED))?;
            if tool.trim().is_empty() || !input.is_object() {
                return Err(wrong(EXPECTED));
            }
            Ok(Directive::Tool { name: tool.trim().to_owned(), input })
        }
        "delay" => number("milliseconds").map(|ms| Directive::Delay(Duration::from_millis(ms as u64))),
        "hang" => nothing(Directive::Hang),
        "empty" => nothing(Directive::Empty),
        "hang-after" => number("a number of tokens").map(Directive::HangAfter),
        "cut-after" => number("a number of tokens").map(Directive::CutAfter),
        "error-after" => number("a number of tokens").map(Directive::ErrorAfter),
        "huge" => number("a number of bytes").map(Directive::Huge),
        "status" => parse_refusal(raw.unwrap_or_default())
            .map(Directive::Status)
            .ok_or_else(|| wrong("an HTTP error status, then perhaps `, retry-after: seconds` and `, times: n`")),
        unknown => Err(DirectiveError::Unknown { name: unknown.to_owned() }),
    }
}

fn parse_refusal(value: &str) -> Option<Refusal> {
    let mut pieces = value.split(',').map(str::trim);
    let status = pieces.next()?.parse::<u16>().ok().filter(|status| (400..600).contains(status))?;
    let mut refusal = Refusal::new(status);
    for piece in pieces {
        let (option, amount) = piece.split_once(':')?;
        match option.trim() {
            "retry-after" => refusal.retry_after = Some(amount.trim().parse().ok()?),
            "times" => refusal.times = Some(amount.trim().parse().ok()?),
            _ => return None,
        }
    }
    Some(refusal)
}

/// Resolves `\n`, `\t`, `\\` and `\]`; any other backslash stays as it is.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('\\') | None => out.push('\\'),
            Some(']') => out.push(']'),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out
}
