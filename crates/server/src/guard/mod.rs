//! What every request passes before it reaches a use case, from the outside in.
//!
//! [`front`] numbers it, asks which host it names, hands previews on, and writes problems and headers on the way out;
//! [`same_origin`] refuses what another site's page sent; [`carry_out`] ends what was begun even if nobody waits for it;
//! [`access`] asks who is signed in or whose token it is ([`proof`]), and lets nothing through that the table of routes doesn't list.

pub(crate) mod access;
pub(crate) mod carry_out;
pub(crate) mod cookie;
pub(crate) mod front;
mod headers;
pub(crate) mod proof;
pub(crate) mod same_origin;
