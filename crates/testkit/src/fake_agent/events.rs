//! The fake's event streams, `GET /global/event` and `GET /event`, in the frames of OpenCode 1.18.33 (observed).
//!
//! The global stream carries every directory and a second frame of type `sync` for each durable event; nothing is replayed to a client that
//! connects later.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::ids::new_id;

/// How many frames a slow reader may lag behind before it loses some.
const BACKLOG: usize = 65_536;

/// Sends frames to all streams.
#[derive(Debug)]
pub(super) struct Events {
    sender: broadcast::Sender<Sent>,
    /// Numbers the durable events of each session.
    sequence: Mutex<HashMap<String, u64>>,
    /// Cancelled and replaced to end every stream.
    open: Mutex<CancellationToken>,
    heartbeat: Duration,
}

#[derive(Debug, Clone)]
struct Sent {
    directory: Option<Arc<str>>,
    /// Frames of the global stream.
    global: Arc<str>,
    /// The frame of the directory's own stream.
    local: Arc<str>,
    /// Whether the directory's streams end with it.
    ends_local: bool,
}

impl Events {
    pub(super) fn new(heartbeat: Duration) -> Self {
        Self {
            sender: broadcast::Sender::new(BACKLOG),
            sequence: Mutex::new(HashMap::new()),
            open: Mutex::new(CancellationToken::new()),
            heartbeat,
        }
    }

    /// Sends an event of a directory.
    pub(super) fn emit(&self, directory: &str, kind: &str, properties: &Value) {
        let id = new_id("evt");
        let payload = json!({ "id": id, "type": kind, "properties": properties });
        let mut global = global_frame(directory, &payload);
        if is_durable(kind) {
            let aggregate = properties["sessionID"].as_str().unwrap_or_default();
            let number = {
                let mut sequence = self.sequence.lock().expect("no code panics while it holds this lock");
                let next = sequence.entry(aggregate.to_owned()).or_default();
                *next += 1;
                *next - 1
            };
            let sync = json!({
                "type": "sync", "id": id,
                "syncEvent": { "id": id, "type": format!("{kind}.1"), "seq": number, "aggregateID": aggregate, "data": properties },
            });
            global.push_str(&global_frame(directory, &sync));
        }
        self.send(Sent {
            directory: Some(directory.into()),
            global: global.into(),
            local: format!("data: {payload}\n\n").into(),
            ends_local: kind == "server.instance.disposed",
        });
    }

    /// Sends these bytes to every stream as they are, to see what a client makes of them.
    pub(super) fn emit_raw(&self, frame: &str) {
        self.send(Sent { directory: None, global: frame.into(), local: frame.into(), ends_local: false });
    }

    /// Ends every open stream; clients may connect again.
    pub(super) fn disconnect(&self) {
        let mut open = self.open.lock().expect("no code panics while it holds this lock");
        std::mem::replace(&mut *open, CancellationToken::new()).cancel();
    }

    /// How many streams are open.
    pub(super) fn readers(&self) -> usize {
        self.sender.receiver_count()
    }

    fn send(&self, sent: Sent) {
        // Nobody listening is fine.
        let _ = self.sender.send(sent);
    }

    /// A stream of all directories, or of one.
    pub(super) fn subscribe(&self, directory: Option<String>) -> impl Stream<Item = io::Result<String>> + Send + use<> {
        let connected = json!({ "id": new_id("evt"), "type": "server.connected", "properties": {} });
        let first = match &directory {
            None => format!("data: {}\n\n", json!({ "payload": connected })),
            Some(_) => format!("data: {connected}\n\n"),
        };
        let mut beat = tokio::time::interval_at(tokio::time::Instant::now() + self.heartbeat, self.heartbeat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let reader = Reader {
            receiver: self.sender.subscribe(),
            open: self.open.lock().expect("no code panics while it holds this lock").clone(),
            beat,
            directory,
            over: false,
        };
        let following = stream::unfold(reader, |mut reader| async move {
            let frame = reader.next().await?;
            Some((Ok(frame), reader))
        });
        stream::once(async { Ok(first) }).chain(following)
    }
}

struct Reader {
    receiver: broadcast::Receiver<Sent>,
    open: CancellationToken,
    beat: tokio::time::Interval,
    directory: Option<String>,
    over: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        loop {
            let received = tokio::select! {
                () = self.open.cancelled() => return None,
                _ = self.beat.tick() => {
                    let payload = json!({ "id": new_id("evt"), "type": "server.heartbeat", "properties": {} });
                    return Some(match self.directory {
                        None => format!("data: {}\n\n", json!({ "payload": payload })),
                        Some(_) => format!("data: {payload}\n\n"),
                    });
                }
                received = self.receiver.recv() => received,
            };
            match received {
                Ok(sent) => match (&self.directory, &sent.directory) {
                    (None, _) => return Some(sent.global.as_ref().to_owned()),
                    (Some(mine), Some(its)) if **mine != **its => {}
                    (Some(_), _) => {
                        self.over = sent.ends_local;
                        return Some(sent.local.as_ref().to_owned());
                    }
                },
                // A reader this slow lost frames, as it would with the original.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

fn global_frame(directory: &str, payload: &Value) -> String {
    let frame = json!({ "directory": directory, "project": "global", "payload": payload });
    format!("data: {frame}\n\n")
}

fn is_durable(kind: &str) -> bool {
    matches!(
        kind,
        "session.created"
            | "session.updated"
            | "session.deleted"
            | "message.updated"
            | "message.removed"
            | "message.part.updated"
            | "message.part.removed"
    )
}
