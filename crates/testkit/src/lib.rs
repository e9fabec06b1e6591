//! What the tests of the other crates stand on: a scripted model, a fake Agent, a clock, waiting, ports.
//!
//! `scripted_model` plays a model provider for a real Agent; `fake_agent` plays the Agent itself where starting a real one would be too slow.
//! Both are real HTTP servers and both read the same directives from the prompt (`directives`, `script`).
//! `providers` plays the hosts at which people sign in, and `intercepting_proxy` leads a real OpenCode to them.
//! `canary` finds a planted secret in whatever form it lies around.
//! `old_installation` makes data directories as doce.dev left them behind.
//! `postgres` makes databases of a server and cuts the way to it; `busy` writes to a file of SQLite without a pause.
//! Nothing in here may be a dependency of the `doce` binary.

mod authorization_server;
mod busy;
pub mod canary;
mod clock;
pub mod directives;
pub mod fake_agent;
mod intercepting_proxy;
mod locked;
pub mod old_installation;
mod postgres;
mod providers;
pub mod script;
pub mod scripted_model;
mod serve;
mod wait;

pub use authorization_server::{AuthorizationServer, Renewal, USER_CODE};
pub use busy::BusyDatabase;
pub use clock::MockClock;
pub use fake_agent::FakeAgent;
pub use locked::{LockedDatabase, tamper};
pub use postgres::{PostgresDatabase, Relay};
pub use providers::{ACCOUNT, Asked, Providers};
pub use scripted_model::ScriptedModel;
pub use wait::{free_port, wait_for};
