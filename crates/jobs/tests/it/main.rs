//! The queue, with toy Jobs on a real database and a clock that the tests set.

mod bench;
mod cancelling;
mod crashing;
mod enqueueing;
mod harness;
mod retrying;
mod speaking;
mod waiting;
mod workers;
