//! Reads a data directory of doce.dev, the system that doce succeeds. The only crate that knows its shapes.
//!
//! [`read`] takes a directory of any age and returns plain data: people, keys, Projects and where their sources lie,
//! and a [`Finding`] for everything that is there and can't or mustn't be taken. What is there is judged by itself:
//! one broken row, file or table loses nothing else.
//!
//! Nothing of the directory changes: the database is copied and the copy is opened. [`env_files`] is the one
//! exception, and a command of its own. Nothing here knows the vault, the store or what becomes of what was read.
//! docs/importing.md tells the same to people.

mod auth_file;
mod beneath;
mod database;
mod env;
mod era;
mod finding;
mod installation;
mod people;
mod projects;
mod reading;
mod scrub;
mod sources;

pub use auth_file::{AuthFileError, read_auth_file};
pub use env::without_key;
pub use era::Era;
pub use finding::{Finding, Subject, Verdict, plain};
pub use installation::{Credential, Installation, Key, Owner, Project, User};
pub use reading::{ReadError, VOLUMES, read};
pub use scrub::{EnvFile, env_files};
pub use sources::{Item, Sources};
