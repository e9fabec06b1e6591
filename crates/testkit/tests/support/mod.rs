//! What the tests of this crate share: reading event streams, and bounds.

use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;

/// No test waits longer than this for anything that should come at once.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// One event of an SSE stream.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SseEvent {
    pub(crate) name: Option<String>,
    pub(crate) data: String,
}

impl SseEvent {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in {:?}", self.data))
    }
}

/// Reads a stream bit by bit.
pub(crate) struct SseReader {
    body: futures::stream::BoxStream<'static, Result<bytes::Bytes, reqwest::Error>>,
    buffer: String,
}

impl SseReader {
    pub(crate) fn new(response: reqwest::Response) -> Self {
        Self { body: response.bytes_stream().boxed(), buffer: String::new() }
    }

    /// The next event; `Ok(None)` at a proper end, an error when the connection broke.
    pub(crate) async fn next(&mut self) -> Result<Option<SseEvent>, reqwest::Error> {
        let read = async {
            loop {
                if let Some(end) = self.buffer.find("\n\n") {
                    let block: String = self.buffer.drain(..end + 2).collect();
                    if let Some(event) = parse(&block) {
                        return Ok(Some(event));
                    }
                    continue;
                }
                match self.body.next().await {
                    Some(bytes) => {
                        self.buffer.push_str(std::str::from_utf8(&bytes?).expect("pieces are whole characters"));
                    }
                    None => return Ok(None),
                }
            }
        };
        tokio::time::timeout(BOUND, read).await.expect("the stream goes on in time")
    }
}

/// Reads an event; `None` for a comment.
fn parse(block: &str) -> Option<SseEvent> {
    let mut name = None;
    let mut data = None;
    for line in block.lines() {
        if let Some(value) = line.strip_prefix("event: ") {
            name = Some(value.to_owned());
        } else if let Some(value) = line.strip_prefix("data: ") {
            assert!(data.is_none(), "an event with two data lines: {block:?}");
            data = Some(value.to_owned());
        } else {
            assert!(line.is_empty() || line.starts_with(':'), "an odd line: {line:?}");
        }
    }
    data.map(|data| SseEvent { name, data })
}
