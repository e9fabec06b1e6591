//! The store, on PostgreSQL: the tests of `tests/it`, and what only this database has.
//!
//! `DOCE_TEST_PG` names a server where databases may be made: `postgres://postgres@localhost/postgres`.
//! `cargo xtask test postgres` starts one.

#[path = "../it/audit_chain.rs"]
mod audit_chain;
#[path = "../it/audit_pages.rs"]
mod audit_pages;
mod backend;
#[path = "../it/bench.rs"]
mod bench;
#[path = "../it/census.rs"]
mod census;
mod locking;
#[path = "../it/migrating.rs"]
mod migrating;
#[path = "../it/model_preference.rs"]
mod model_preference;
#[path = "../it/queries.rs"]
mod queries;
#[path = "../it/sealed.rs"]
mod sealed;
#[path = "../it/usage.rs"]
mod usage;
