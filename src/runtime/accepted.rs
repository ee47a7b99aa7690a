//! A socket that a peer has connected to, and who that peer is.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use socket2::{SockAddr, SockRef};

use super::listener::Kind;
use crate::access::Peer;
use crate::engine::ClientOrigin;

/// A connection before it has an engine.
#[derive(Debug)]
pub struct Accepted {
    pub socket: OwnedFd,
    pub peer: Peer,
    addr: String,
    laddr: String,
}

impl Accepted {
    /// # Errors
    /// The peer has gone already.
    pub fn new(socket: OwnedFd, listener: &Kind) -> io::Result<Accepted> {
        match listener {
            Kind::Unix { path } => {
                // What Redis prints: a client of a unix socket has no address of its own.
                let address = format!("{}:0", path.display());
                Ok(Accepted { socket, peer: Peer::Unix, addr: address.clone(), laddr: address })
            }
            Kind::Tcp => {
                let names = SockRef::from(&socket);
                let theirs = inet(names.peer_addr()?)?;
                let ours = inet(names.local_addr()?)?;
                let peer = Peer::Ip(theirs.ip());
                Ok(Accepted { socket, peer, addr: theirs.to_string(), laddr: ours.to_string() })
            }
        }
    }

    /// The socket, and what the engine is told about it.
    pub fn into_parts(self, id: u64) -> (OwnedFd, ClientOrigin) {
        let Accepted { socket, peer, addr, laddr } = self;
        let origin = ClientOrigin { id, peer, addr, laddr, fd: socket.as_raw_fd() };
        (socket, origin)
    }
}

fn inet(address: SockAddr) -> io::Result<SocketAddr> {
    let address = address.as_socket().ok_or(io::ErrorKind::NotConnected)?;
    // Without flow label and scope: `[fe80::1]:6379`, as Redis prints it.
    Ok(SocketAddr::new(address.ip(), address.port()))
}
