//! Free ports on the loopback address.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    net::{Ipv4Addr, TcpListener},
    ops::Range,
};

/// Ports that no system gives to an outgoing connection by itself: Linux begins at 32768, macOS at 49152.
const QUIET: Range<u16> = 20_000..32_000;
/// Quiet ports that are tried before any port will do.
const TRIES: usize = 32;

/// Names a TCP port that nobody listens on at 127.0.0.1.
///
/// Somebody else may take it before the program it is meant for does: a start that fails for this is tried again. It is
/// rare, because the port is one of twelve thousand, drawn by chance, that outgoing connections don't use.
pub fn free_port() -> io::Result<u16> {
    let length = u64::from(QUIET.end - QUIET.start);
    let drawn = std::iter::repeat_with(|| RandomState::new().build_hasher().finish() % length)
        .filter_map(|offset| u16::try_from(offset).ok())
        .map(|offset| QUIET.start + offset)
        .take(TRIES)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    match drawn {
        Some(port) => Ok(port),
        None => Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on_and_is_no_outgoing_connections() {
        let port = free_port().expect("the loopback address has a free port");
        assert!(QUIET.contains(&port), "{port}");
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    }

    #[test]
    fn two_that_ask_at_once_hardly_get_the_same() {
        let ports: std::collections::BTreeSet<u16> = (0..16).filter_map(|_| free_port().ok()).collect();
        assert!(ports.len() > 10, "{ports:?}");
    }
}
