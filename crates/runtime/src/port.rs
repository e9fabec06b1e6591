//! Free ports on the loopback address.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

/// Names a TCP port that nobody listens on at 127.0.0.1.
///
/// Somebody else may take it before the program it is meant for does: a start that fails for this is tried again.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on() {
        let port = free_port().expect("the loopback address has a free port");
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
    }
}
