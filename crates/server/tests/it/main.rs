//! The use cases from outside: HTTP in, jobs run, HTTP and the world out.
//!
//! Each test has a world of its own ([`world`]): a data directory, the real server on a port, the real sandbox, and in
//! place of OpenCode a fake with its protocol.

mod access;
mod api_tokens;
mod audit;
mod audit_log;
mod backup;
mod bad_days;
mod cli;
mod connections;
mod custom;
mod doctor;
mod documents;
mod ending;
mod guards;
mod import;
mod imports;
mod invites;
mod keys;
mod limits;
mod logins;
mod logs;
mod machine;
mod master_key;
mod models;
mod people;
mod preview;
mod problems;
mod projects;
mod queue;
mod restarts;
mod room;
mod stream;
mod system;
mod terminal;
mod terminal_json;
mod words;
mod workspace;
mod world;
