//! Two ends of one connection, and other helpers that most cases begin with.

use super::net::{SocketAddr, TcpListener, TcpStream};
use super::thread;
use std::io::{self, Read, Write};

pub(super) const LOCAL: &str = "127.0.0.1:0";

pub(super) fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(LOCAL).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

pub(super) fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = listen();
    let client = TcpStream::connect(addr).unwrap();
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(peer, client.local_addr().unwrap());
    (client, server)
}

/// Repeats a call that does not wait until it returns a result: a network may deliver sent data a
/// moment later.
pub(super) fn until_there<T>(mut try_it: impl FnMut() -> io::Result<T>) -> T {
    loop {
        match try_it() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            result => return result.unwrap(),
        }
    }
}

/// Sends back all input, until the other end stops.
pub(super) fn echo(stream: &TcpStream) {
    let mut buf = [0; 4096];
    loop {
        match (&mut &*stream).read(&mut buf).unwrap() {
            0 => return,
            count => (&mut &*stream).write_all(&buf[..count]).unwrap(),
        }
    }
}
