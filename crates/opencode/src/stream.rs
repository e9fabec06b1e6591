//! The Agent's event stream: bytes to [`Event`]s, with bounds on silence and size.
//!
//! OpenCode replays nothing: after any end the reader reads the state again. The stream says so by ending with an
//! error, always. It doesn't reconnect by itself, because only the reader can put the two together.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::StatusCode;
use sse_stream::SseByteStream;

use crate::Event;
use crate::event::Frame;

/// The longest event taken, in bytes. A tool's output is one event, so this is generous.
pub const EVENT_LIMIT: usize = 16 * 1024 * 1024;

/// The longest silence taken; the Agent sends a heartbeat every ten seconds.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(25);

/// Why the event stream ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// No connection, or it broke.
    #[error("read the agent's events")]
    Unreachable(#[source] reqwest::Error),
    /// The Agent answered with an error.
    #[error("open the agent's events: it answered {status}")]
    Refused {
        /// The HTTP status; 401 means that something else listens on the port.
        status: u16,
    },
    /// Not a byte came in time, not even a heartbeat.
    #[error("hear from the agent for {} s", after.as_secs_f32())]
    Silent {
        /// How long was waited.
        after: Duration,
    },
    /// One event was longer than any that makes sense.
    #[error("take an event of more than {limit} bytes")]
    TooLarge {
        /// The cap, in bytes.
        limit: usize,
    },
    /// The bytes were not an event stream.
    #[error("understand the agent's events")]
    Malformed(#[source] std::str::Utf8Error),
    /// The Agent closed the stream, as when its process ends.
    #[error("go on reading: the agent closed its events")]
    Ended,
}

/// Bounds of one stream.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) silence: Duration,
    pub(crate) event: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { silence: SILENCE_LIMIT, event: EVENT_LIMIT }
    }
}

/// Opens the stream with `request` and reads it until an error, which is its last item.
pub(crate) fn open(
    request: reqwest::RequestBuilder,
    bounds: Bounds,
) -> impl Stream<Item = Result<Event, StreamError>> + Send + 'static {
    let connect = async move {
        let response = tokio::time::timeout(bounds.silence, request.send())
            .await
            .map_err(|_elapsed| StreamError::Silent { after: bounds.silence })?
            .map_err(StreamError::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(StreamError::Refused { status: response.status().as_u16() });
        }
        Ok(events(bytes(response, bounds)))
    };
    futures::stream::once(connect).try_flatten()
}

/// The response's bytes, ending with an error when they stop coming or when an event grows too long.
fn bytes(response: reqwest::Response, bounds: Bounds) -> impl Stream<Item = Result<Bytes, StreamError>> + Send {
    struct State {
        response: reqwest::Response,
        meter: Meter,
        is_over: bool,
    }
    let state = State { response, meter: Meter::default(), is_over: false };
    futures::stream::try_unfold(state, move |mut state| async move {
        if state.is_over {
            return Err(StreamError::TooLarge { limit: bounds.event });
        }
        let chunk = tokio::time::timeout(bounds.silence, state.response.chunk())
            .await
            .map_err(|_elapsed| StreamError::Silent { after: bounds.silence })?
            .map_err(StreamError::Unreachable)?;
        let Some(chunk) = chunk else {
            return Err(StreamError::Ended);
        };
        // The events before it, in the same chunk, still arrive.
        let fits = state.meter.take(&chunk, bounds.event);
        state.is_over = fits < chunk.len();
        Ok(Some((chunk.slice(..fits), state)))
    })
}

fn events(
    bytes: impl Stream<Item = Result<Bytes, StreamError>> + Send,
) -> impl Stream<Item = Result<Event, StreamError>> + Send {
    let mut unreadable = 0_u64;
    let frames = SseByteStream::new(Box::pin(bytes));
    frames.filter_map(move |frame| {
        let event = match frame {
            Ok(frame) => match frame.data.as_deref().map(|data| (data.len(), Frame::parse(data))) {
                None | Some((_, Frame::Duplicate)) => None,
                Some((_, Frame::Event(event))) => Some(Ok(*event)),
                Some((length, Frame::Unreadable)) => {
                    unreadable += 1;
                    // A hostile Agent could fill the log: one line per power of two is enough to notice.
                    if unreadable.is_power_of_two() {
                        tracing::warn!(length, unreadable, "the agent sent an event that can't be read: ignored");
                    }
                    None
                }
            },
            Err(error) => Some(Err(stream_error(error))),
        };
        std::future::ready(event)
    })
}

fn stream_error(error: sse_stream::Error) -> StreamError {
    match error {
        sse_stream::Error::Body(source) => match source.downcast::<StreamError>() {
            Ok(error) => *error,
            Err(_other) => StreamError::Ended,
        },
        sse_stream::Error::Utf8Parse(source) => StreamError::Malformed(source),
        // `UnknownField` needs a feature that isn't on; the enum may grow.
        _ => StreamError::Ended,
    }
}

/// Counts the bytes of the event that is being received; an empty line ends one. A line ends with LF, CR, or both.
#[derive(Default)]
struct Meter {
    since_event: usize,
    line_is_empty: bool,
    after_return: bool,
}

impl Meter {
    /// Returns how many bytes of `chunk` come before an event is longer than `limit`.
    fn take(&mut self, chunk: &[u8], limit: usize) -> usize {
        for (at, byte) in chunk.iter().enumerate() {
            self.since_event += 1;
            if self.since_event > limit {
                return at;
            }
            match byte {
                b'\n' if self.after_return => {}
                b'\n' | b'\r' if self.line_is_empty => self.since_event = 0,
                b'\n' | b'\r' => self.line_is_empty = true,
                _ => self.line_is_empty = false,
            }
            self.after_return = *byte == b'\r';
        }
        chunk.len()
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
