//! Listeners, connections, names.

use super::os::linux::net::SocketAddrExt;
use super::os::unix::net::{Incoming, SocketAddr, UnixDatagram, UnixListener, UnixStream};
use super::{enter, thread};
use crate::dir::{Dir, abstract_name};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

#[test]
fn hello_world() {
    enter(|| {
        let dir = Dir::new();
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let server = thread::spawn(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            assert!(peer.is_unnamed());
            let mut buf = [0; 5];
            stream.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"hello");
            stream.write_all(b"world!").unwrap();
        });
        let mut stream = UnixStream::connect(&path).unwrap();
        assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
        assert!(stream.local_addr().unwrap().is_unnamed());
        stream.write_all(b"hello").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "world!");
        server.join().unwrap();
    });
}

#[test]
fn abstract_names() {
    enter(|| {
        let addr = abstract_name();
        let listener = UnixListener::bind_addr(&addr).unwrap();
        let again = UnixListener::bind_addr(&addr).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        let local = listener.local_addr().unwrap();
        assert_eq!(local.as_abstract_name(), addr.as_abstract_name());
        let server = thread::spawn(move || {
            let (stream, peer) = listener.accept().unwrap();
            assert!(peer.is_unnamed());
            (&stream).write_all(b"hello").unwrap();
        });
        let mut stream = UnixStream::connect_addr(&addr).unwrap();
        let peer = stream.peer_addr().unwrap();
        assert_eq!(peer.as_abstract_name(), addr.as_abstract_name());
        assert!(peer.as_pathname().is_none() && !peer.is_unnamed());
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        server.join().unwrap();
    });
}

/// The effect of zeros in and around abstract names, and the longest of them.
#[test]
fn odd_abstract_names() {
    enter(|| {
        let mut longest = abstract_name().as_abstract_name().unwrap().to_vec();
        longest.resize(107, 0);
        for name in [&longest[..], &longest[..100]] {
            let addr = SocketAddr::from_abstract_name(name).unwrap();
            let socket = UnixDatagram::bind_addr(&addr).unwrap();
            assert_eq!(socket.local_addr().unwrap().as_abstract_name(), Some(name));
            let sender = UnixDatagram::unbound().unwrap();
            sender.send_to_addr(b"x", &addr).unwrap();
            assert_eq!(socket.recv(&mut [0]).unwrap(), 1);
            socket.send_to_addr(b"y", &addr).unwrap();
            let (_, from) = socket.recv_from(&mut [0]).unwrap();
            assert_eq!(from.as_abstract_name(), Some(name));
        }
    });
}

/// A socket that is bound to an empty name gets one from the system.
#[test]
fn names_that_the_system_gives() {
    enter(|| {
        let unnamed = SocketAddr::from_pathname("").unwrap();
        assert!(unnamed.is_unnamed());
        let listener = UnixListener::bind_addr(&unnamed).unwrap();
        let addr = listener.local_addr().unwrap();
        assert!(addr.as_abstract_name().is_some_and(|name| !name.is_empty()));
        let stream = UnixStream::connect_addr(&addr).unwrap();
        listener.accept().unwrap();
        drop(stream);
        // No socket can be reached by it, with either call.
        assert_eq!(
            UnixStream::connect_addr(&unnamed).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        assert_eq!(UnixStream::connect("").unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(UnixDatagram::bind("").unwrap().local_addr().unwrap().as_abstract_name().is_some());
    });
}

#[test]
fn errors_of_paths() {
    enter(|| {
        let dir = Dir::new();
        let long = dir.join_to(108);
        for path in [Path::new("in\0side"), Path::new("\0abstract"), &long] {
            for error in [
                UnixStream::connect(path).unwrap_err(),
                UnixListener::bind(path).unwrap_err(),
                UnixDatagram::bind(path).unwrap_err(),
                UnixDatagram::unbound().unwrap().connect(path).unwrap_err(),
                UnixDatagram::unbound().unwrap().send_to(b"x", path).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
            }
        }
        let error = UnixStream::connect(&long).unwrap_err();
        assert_eq!(error.to_string(), "path must be shorter than SUN_LEN");
        // The longest valid one.
        let longest = dir.join_to(107);
        let listener = UnixListener::bind(&longest).unwrap();
        UnixStream::connect(&longest).unwrap();
        listener.accept().unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*longest));

        let path = dir.join("socket");
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
        // The file stays, without a listener.
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn incoming_goes_on_and_on() {
    enter(|| {
        let dir = Dir::new();
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            assert_eq!(listener.incoming().size_hint(), (usize::MAX, None));
            let mut incoming: Incoming<'_> = listener.incoming();
            for number in 0..10u8 {
                let mut bytes = Vec::new();
                incoming.next().unwrap().unwrap().read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes, [number]);
            }
            for stream in (&listener).into_iter().take(1) {
                stream.unwrap().write_all(b"by reference").unwrap();
            }
        });
        for number in 0..10u8 {
            UnixStream::connect(&path).unwrap().write_all(&[number]).unwrap();
        }
        let mut text = String::new();
        UnixStream::connect(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "by reference");
        server.join().unwrap();
    });
}

#[test]
fn several_threads_accept_from_one_listener() {
    enter(|| {
        let addr = &abstract_name();
        let listener = &UnixListener::bind_addr(addr).unwrap();
        thread::scope(|scope| {
            let acceptors: Vec<_> = (0..4)
                .map(|number| {
                    let clone = (number == 0).then(|| listener.try_clone().unwrap());
                    scope.spawn(move || {
                        let listener = clone.as_ref().unwrap_or(listener);
                        let mut count = 0;
                        loop {
                            let (mut stream, _) = listener.accept().unwrap();
                            match stream.read(&mut [0]).unwrap() {
                                0 => return count,
                                _ => count += 1,
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..100 {
                UnixStream::connect_addr(addr).unwrap().write_all(&[1]).unwrap();
            }
            for _ in 0..4 {
                UnixStream::connect_addr(addr).unwrap();
            }
            let total: usize = acceptors.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(total, 100);
        });
    });
}

#[test]
fn a_nonblocking_listener_does_not_wait() {
    enter(|| {
        let addr = &abstract_name();
        let listener = UnixListener::bind_addr(addr).unwrap();
        let clone = listener.try_clone().unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(clone.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(listener.take_error().unwrap().is_none());
        let client = UnixStream::connect_addr(addr).unwrap();
        // The connection does not inherit the flag: this read waits.
        let (stream, _) = listener.accept().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| (&client).write_all(b"x").unwrap());
            assert_eq!((&stream).read(&mut [0; 2]).unwrap(), 1);
        });
        listener.set_nonblocking(false).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| UnixStream::connect_addr(addr).unwrap());
            clone.accept().unwrap();
        });
    });
}

/// A client with a name of its own, and one whose path fills the whole address.
#[test]
fn clients_with_names() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    enter(|| {
        let dir = Dir::new();
        let path = dir.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        for length in [60, 107, 108] {
            let own = dir.join_to(length);
            let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
            rustix::net::bind(&fd, &SocketAddrUnix::new(&own).unwrap()).unwrap();
            rustix::net::connect(&fd, &SocketAddrUnix::new(&path).unwrap()).unwrap();
            let (stream, peer) = listener.accept().unwrap();
            assert_eq!(peer.as_pathname(), Some(&*own));
            assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*own));
            assert_eq!(UnixStream::from(fd).local_addr().unwrap().as_pathname(), Some(&*own));
        }
    });
}
