//! Ids in OpenCode's manner: a prefix, the time in hex, something random.

use std::sync::atomic::{AtomicU64, Ordering};

/// Makes an id such as `msg_2046d876e001CN9iq6bDmocjjF`; ids made later sort later.
pub(super) fn new_id(prefix: &str) -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed) & 0xfff;
    // OpenCode keeps 48 bits of the time with a counter of 12 bits behind it (OpenCode 1.18.33, observed).
    let time = ((crate::clock::epoch_ms() << 12) | count) & 0xffff_ffff_ffff;
    let random = uuid::Uuid::now_v7().simple().to_string();
    format!("{prefix}_{time:012x}{}", &random[18..])
}
