//! The `doce` program: HTTP, the event stream, the preview proxy, the embedded pages, the command line.
//!
//! It parses, calls `doce-app`, and renders; it holds no rule of the domain. A request comes in through [`listen`],
//! is looked at by the guards (which host, which page sent it, who is signed in), and ends in one function of
//! `api/<noun>.rs`, in a preview ([`preview`]) or in a file of the web client (`ui`).
//! `serve` is the command that ties them together; [`Server`] is the part of it that a test starts, too.
//! `import` is the one that works on a data directory while no server does.

mod address;
pub mod api;
mod backup;
mod client;
mod clock;
mod config;
mod control;
mod doctor;
mod error;
mod guard;
mod import;
mod keys;
pub mod listen;
mod lock;
mod logs;
mod metrics;
pub mod preview;
mod preview_host;
mod printer;
mod prompt;
mod recover;
mod serve;
mod server;
mod setup_code;
mod state;
mod ui;
mod verify;

pub use clock::SystemClock;
#[doc(hidden)]
pub use config::command;
pub use config::main;
pub use error::CODES;
pub use server::{Limits, Server, Settings};
