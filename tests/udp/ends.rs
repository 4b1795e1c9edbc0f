//! Sockets that most cases begin with.

use super::net::{SocketAddr, UdpSocket};

pub(super) const LOCAL: &str = "127.0.0.1:0";

pub(super) fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(LOCAL).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Two sockets, each the other's peer.
pub(super) fn pair() -> (UdpSocket, UdpSocket) {
    let ((one, one_addr), (other, other_addr)) = (bound(), bound());
    one.connect(other_addr).unwrap();
    other.connect(one_addr).unwrap();
    (one, other)
}
