//! The queue, with toy Jobs on SQLite and a clock that the tests set. `tests/postgres` has the same on PostgreSQL.

mod backend;
mod bench;
mod cancelling;
mod clocks;
mod crashing;
mod enqueueing;
mod harness;
mod pausing;
mod random;
mod retrying;
mod soak;
mod speaking;
mod turns;
mod waiting;
mod workers;
