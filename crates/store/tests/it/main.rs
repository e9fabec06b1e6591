//! The store, on a real database.

mod audit_chain;
mod audit_pages;
mod bench;
mod migrating;
mod sealed;
mod usage;
