//! The queue, with toy Jobs on SQLite and a clock that the tests set. `tests/postgres` has the same on PostgreSQL.

mod backend;
mod bench;
mod cancelling;
mod crashing;
mod enqueueing;
mod harness;
mod retrying;
mod speaking;
mod waiting;
mod workers;
