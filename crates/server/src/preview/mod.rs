//! Previews: a Project's app, shown through a reverse proxy on an origin of its own.
//!
//! The app is written by an agent, so it is a stranger: it must reach neither doce nor another preview, and nobody but
//! its owner may see it. Three things keep it so: its own *origin* ([`Address`]); a *pass*, a cookie that a page of doce
//! gets for it with a one-use ticket ([`Preview::issue`]); and what is taken out of requests and answers in between.
//!
//! **Which address** (Chromium 156, observed; pages on plain http, third-party cookies blocked as by default):
//!
//! | doce's page at | frame at | cookie that arrives in the frame |
//! |---|---|---|
//! | `http://localhost:P` | `http://a.preview.localhost:P` | only `Secure; SameSite=None; Partitioned` |
//! | `http://127.0.0.1:P` | `http://a.preview.localhost:P` | only `Secure; SameSite=None; Partitioned` |
//! | `http://b.preview.localhost:P` | `http://a.preview.localhost:P` | every kind |
//! | `http://192.0.2.2:P` | `http://192.0.2.2:Q` | only those that aren't `Secure` |
//! | `http://192.0.2.2:P` | `http://a.preview.localhost:P` | none: the request isn't even made |
//!
//! - `*.localhost` resolves to this machine without any set-up, and counts as secure: it takes `Secure` cookies and the
//!   `__Host-` prefix over plain http. So does `127.0.0.1`; doce's page may be addressed by either name.
//! - `localhost` and `a.preview.localhost` are two *sites*; all of `*.preview.localhost` are one. So a preview's requests
//!   to another preview count as same-site and would carry its cookies: requests that another page makes are refused by
//!   `Sec-Fetch-Site` and `Origin`, whatever cookies they carry.
//! - On plain http to another machine there is no `Sec-Fetch-Site` and no secure cookie, and cookies don't tell ports
//!   apart: there a preview has a port of its own, and a pass is `SameSite=Lax`.
//!
//! **What the app sees.** One consistent story: it runs at `http://localhost:<port>`. `Host`, `Origin` and `Referer` say
//! so, and no `X-Forwarded-*` contradicts them: frameworks compare `Origin` with either `X-Forwarded-Host` or `Host`, and
//! rewriting one of the two breaks half of them. Vite takes the hot reload socket's address from the page's own, so it
//! works without any setting (Vite 8.3, observed).
//!
//! **What a frame says.** Pages that stand in for the app ([`pages`]) tell the page that frames them why, with
//! `postMessage({source: "doce-preview", kind})`; `kind` is `locked`, `cookie_refused`, `not_ready`, `unreachable`, `slow`
//! or `broken`. On `locked` the workspace may fetch a new ticket, once; on the others it waits for the Project's events.
//!
//! Not here: deciding who may have a ticket, which Instance answers, starting a preview server, listening.

mod access;
mod address;
mod cookies;
mod forward;
mod headers;
mod pages;
mod serve;
#[cfg(test)]
mod tests;

pub use access::{Grant, Ticket};
pub use address::{Address, Origin, OriginError};
pub use forward::Limits;
pub use serve::{Preview, Upstream, Visit};
