//! The store, on a real database.

mod audit_chain;
mod audit_pages;
mod bench;
mod migrating;
mod model_preference;
mod sealed;
mod usage;
