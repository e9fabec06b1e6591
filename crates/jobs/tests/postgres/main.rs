//! The queue on PostgreSQL: the tests of `tests/it`. What they need is told in the store's `tests/postgres`.

#[path = "../../../store/tests/postgres/fresh.rs"]
mod backend;
#[path = "../it/bench.rs"]
mod bench;
#[path = "../it/cancelling.rs"]
mod cancelling;
#[path = "../it/clocks.rs"]
mod clocks;
#[path = "../it/crashing.rs"]
mod crashing;
#[path = "../it/enqueueing.rs"]
mod enqueueing;
#[path = "../it/harness.rs"]
mod harness;
#[path = "../it/pausing.rs"]
mod pausing;
#[path = "../it/random.rs"]
mod random;
#[path = "../it/retrying.rs"]
mod retrying;
#[path = "../it/soak.rs"]
mod soak;
#[path = "../it/speaking.rs"]
mod speaking;
#[path = "../it/turns.rs"]
mod turns;
#[path = "../it/waiting.rs"]
mod waiting;
#[path = "../it/workers.rs"]
mod workers;
