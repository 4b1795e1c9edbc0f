//! The feature `socket2`: sockets convert from and into those of that crate.

#![allow(clippy::unwrap_used, reason = "tests, and what only tests call")]

use rustlet::net::{TcpListener, TcpStream, UdpSocket};
use rustlet::os::unix::net::UnixStream;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

#[test]
fn sockets_of_socket2_become_ours_and_theirs_again() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(1).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    rustlet::run(|| {
        let server = rustlet::spawn(move || listener.accept().unwrap().0.write_all(b"hello"));
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut stream = TcpStream::from(socket);
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        server.join().unwrap().unwrap();
        assert!(Socket::from(stream).tcp_nodelay().unwrap());
    });
    // The flag is the handle's.
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.bind(&any.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let error = UdpSocket::from(socket).recv(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let (one, mut other) = UnixStream::pair().unwrap();
    UnixStream::from(Socket::from(one)).write_all(b"x").unwrap();
    assert_eq!(other.read(&mut [0; 8]).unwrap(), 1);
}
