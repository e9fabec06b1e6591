//! The store, on SQLite. `tests/postgres` has the same tests on PostgreSQL.

mod audit_chain;
mod audit_pages;
mod backend;
mod bench;
mod census;
mod migrating;
mod model_preference;
mod queries;
mod sealed;
mod syncing;
mod usage;
