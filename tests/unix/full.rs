//! Full queues: senders and clients wait, and continue when there is room, or when the other side
//! is gone.

use super::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use super::{enter, thread};
use crate::dir::abstract_name;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::time::Duration;

/// A whole number of the kernel's ticks, to which std's timeouts are rounded, on any of the usual
/// clocks.
const SHORT: Duration = Duration::from_millis(20);

/// Returns a listener whose queue is as short as possible and full, and the connections in it.
fn full_listener() -> (UnixListener, SocketAddr, Vec<OwnedFd>) {
    let addr = abstract_name();
    let name = SocketAddrUnix::new_abstract_name(addr.as_abstract_name().unwrap()).unwrap();
    let socket = |flags| {
        rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
    };
    let fd = socket(SocketFlags::CLOEXEC);
    rustix::net::bind(&fd, &name).unwrap();
    rustix::net::listen(&fd, 0).unwrap();
    let mut clients = Vec::new();
    loop {
        let client = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
        match rustix::net::connect(&client, &name) {
            Ok(()) => clients.push(client),
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN);
                return (UnixListener::from(fd), addr, clients);
            }
        }
    }
}

/// Returns a receiver whose queue is full of datagrams from a stranger, and their number.
fn full_receiver() -> (UnixDatagram, SocketAddr, usize) {
    let addr = abstract_name();
    let receiver = UnixDatagram::bind_addr(&addr).unwrap();
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.set_nonblocking(true).unwrap();
    let mut count = 0;
    loop {
        match stranger.send_to_addr(b"strange", &addr) {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return (receiver, addr, count);
            }
        }
    }
}

#[test]
fn connecting_waits_for_room() {
    enter(|| {
        let (listener, addr, clients) = full_listener();
        thread::scope(|scope| {
            let connecting: Vec<_> = (0..3u8)
                .map(|number| {
                    let addr = &addr;
                    scope.spawn(move || {
                        let mut stream = UnixStream::connect_addr(addr).unwrap();
                        stream.write_all(&[number]).unwrap();
                        stream
                    })
                })
                .collect();
            for _ in 0..5 {
                thread::yield_now();
            }
            for _ in &clients {
                listener.accept().unwrap();
            }
            let mut numbers: Vec<u8> = (0..3)
                .map(|_| {
                    let mut number = [0];
                    listener.accept().unwrap().0.read_exact(&mut number).unwrap();
                    number[0]
                })
                .collect();
            numbers.sort_unstable();
            assert_eq!(numbers, [0, 1, 2]);
            for connected in connecting {
                connected.join().unwrap();
            }
        });
    });
}

#[test]
fn connecting_to_a_listener_that_goes() {
    enter(|| {
        let (listener, addr, _clients) = full_listener();
        let connecting = thread::spawn(move || UnixStream::connect_addr(&addr).unwrap_err().kind());
        for _ in 0..5 {
            thread::yield_now();
        }
        drop(listener);
        assert_eq!(connecting.join().unwrap(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn sending_waits_for_room() {
    enter(|| {
        let (receiver, addr, strange) = full_receiver();
        let connected = UnixDatagram::unbound().unwrap();
        connected.connect_addr(&addr).unwrap();
        let unconnected = UnixDatagram::unbound().unwrap();
        thread::scope(|scope| {
            let senders = [
                scope.spawn(|| (0..20).try_for_each(|_| connected.send(b"c").map(drop))),
                scope.spawn(|| (0..20).try_for_each(|_| unconnected.send_to_addr(b"u", &addr).map(drop))),
            ];
            for _ in 0..5 {
                thread::yield_now();
            }
            let mut buf = [0; 16];
            for _ in 0..strange {
                assert_eq!(receiver.recv(&mut buf).unwrap(), 7);
            }
            for _ in 0..40 {
                assert_eq!(receiver.recv(&mut buf).unwrap(), 1);
            }
            for sender in senders {
                sender.join().unwrap().unwrap();
            }
        });
    });
}

#[test]
fn sending_to_a_receiver_that_goes() {
    enter(|| {
        let (receiver, addr, _) = full_receiver();
        let connected = UnixDatagram::unbound().unwrap();
        connected.connect_addr(&addr).unwrap();
        let senders = [
            thread::spawn(move || connected.send(b"c").unwrap_err().kind()),
            thread::spawn(move || {
                let unconnected = UnixDatagram::unbound().unwrap();
                unconnected.send_to_addr(b"u", &addr).unwrap_err().kind()
            }),
        ];
        for _ in 0..5 {
            thread::yield_now();
        }
        drop(receiver);
        let [connected, unconnected] = senders.map(|sender| sender.join().unwrap());
        // Linux forgets the peer while it waits, and returns an error in either case.
        assert!(matches!(connected, ErrorKind::ConnectionRefused | ErrorKind::NotConnected));
        assert_eq!(unconnected, ErrorKind::ConnectionRefused);
    });
}

#[test]
fn sending_gives_up_in_time() {
    enter(|| {
        let (_receiver, addr, _) = full_receiver();
        let socket = UnixDatagram::unbound().unwrap();
        socket.set_write_timeout(Some(SHORT)).unwrap();
        assert_eq!(socket.send_to_addr(b"x", &addr).unwrap_err().kind(), ErrorKind::WouldBlock);
        socket.connect_addr(&addr).unwrap();
        assert_eq!(socket.send(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        socket.set_write_timeout(None).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.send_to_addr(b"x", &addr).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(socket.send(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

/// Many senders, one slow receiver: all arrives, in each sender's order.
#[test]
fn many_senders_and_a_short_queue() {
    enter(|| {
        let addr = abstract_name();
        let receiver = UnixDatagram::bind_addr(&addr).unwrap();
        thread::scope(|scope| {
            for sender in 0..6u8 {
                let addr = &addr;
                scope.spawn(move || {
                    let socket = UnixDatagram::unbound().unwrap();
                    if sender % 2 == 0 {
                        socket.connect_addr(addr).unwrap();
                    }
                    for number in 0..50 {
                        let text = [sender, number];
                        match sender % 2 {
                            0 => socket.send(&text).unwrap(),
                            _ => socket.send_to_addr(&text, addr).unwrap(),
                        };
                    }
                });
            }
            let mut next = [0u8; 6];
            for _ in 0..6 * 50 {
                let mut buf = [0; 2];
                assert_eq!(receiver.recv(&mut buf).unwrap(), 2);
                let expected = &mut next[usize::from(buf[0])];
                assert_eq!(buf[1], *expected);
                *expected += 1;
            }
        });
    });
}
