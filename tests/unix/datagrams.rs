//! Datagrams: names, peers, peeking, truncation, ends.

use super::net::Shutdown;
use super::os::linux::net::SocketAddrExt;
use super::os::unix::net::UnixDatagram;
use super::{enter, thread};
use crate::dir::{Dir, abstract_name};
use std::io::ErrorKind;
use std::time::Duration;

/// A whole number of the kernel's ticks, to which std's timeouts are rounded, on any of the usual
/// clocks.
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn by_path() {
    enter(|| {
        let dir = Dir::new();
        let (one_path, other_path) = (dir.join("one"), dir.join("other"));
        let one = UnixDatagram::bind(&one_path).unwrap();
        let other = UnixDatagram::bind(&other_path).unwrap();
        assert_eq!(UnixDatagram::bind(&one_path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let echo = thread::spawn(move || {
            let mut buf = [0; 16];
            let (count, from) = other.recv_from(&mut buf).unwrap();
            assert_eq!(from.as_pathname(), Some(&*one_path));
            // To its sender, in both ways.
            other.send_to_addr(&buf[..count], &from).unwrap();
            other.connect_addr(&from).unwrap();
            assert_eq!(other.peer_addr().unwrap().as_pathname(), Some(&*one_path));
            other.send(b"again").unwrap();
        });
        assert_eq!(one.send_to(b"hello", &other_path).unwrap(), 5);
        let mut buf = [0; 16];
        let (count, from) = one.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..count], from.as_pathname()), (&b"hello"[..], Some(&*other_path)));
        assert_eq!(one.recv(&mut buf).unwrap(), 5);
        assert_eq!(&buf[..5], b"again");
        echo.join().unwrap();
    });
}

#[test]
fn by_abstract_name_and_without_any() {
    enter(|| {
        let (one_name, other_name) = (abstract_name(), abstract_name());
        let one = UnixDatagram::bind_addr(&one_name).unwrap();
        let other = UnixDatagram::bind_addr(&other_name).unwrap();
        one.send_to_addr(b"hello", &other_name).unwrap();
        let (count, from) = other.recv_from(&mut [0; 16]).unwrap();
        assert_eq!((count, from.as_abstract_name()), (5, one_name.as_abstract_name()));

        let unbound = UnixDatagram::unbound().unwrap();
        assert!(unbound.local_addr().unwrap().is_unnamed());
        assert_eq!(unbound.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(unbound.send(b"x").unwrap_err().kind(), ErrorKind::NotConnected);
        for (name, socket) in [(&one_name, &one), (&other_name, &other)] {
            unbound.connect_addr(name).unwrap();
            unbound.send(b"hello there").unwrap();
            let (count, from) = socket.recv_from(&mut [0; 16]).unwrap();
            assert!(count == 11 && from.is_unnamed());
            // There is no address to answer to.
            assert_eq!(
                socket.send_to_addr(b"x", &from).unwrap_err().kind(),
                ErrorKind::InvalidInput
            );
        }
    });
}

#[test]
fn a_pair() {
    enter(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        let thread = thread::spawn(move || {
            let mut buf = [0; 5];
            assert_eq!(one.recv(&mut buf).unwrap(), 5);
            assert_eq!(&buf, b"hello");
            one.send(b"world!").unwrap();
        });
        other.send(b"hello").unwrap();
        let mut buf = [0; 16];
        assert_eq!(other.recv(&mut buf).unwrap(), 6);
        thread.join().unwrap();
        assert_eq!(other.send(b"x").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(other.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
    });
}

#[test]
fn lengths() {
    enter(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        for text in [&b""[..], b"second", b"third", b"", b"fifth"] {
            assert_eq!(one.send(text).unwrap(), text.len());
        }
        let mut buf = [0; 3];
        let (count, from) = other.recv_from(&mut buf).unwrap();
        assert!(count == 0 && from.is_unnamed());
        assert_eq!(other.recv(&mut buf).unwrap(), 3);
        assert_eq!(&buf, b"sec");
        // An empty buffer, and yet it takes one datagram.
        assert_eq!(other.recv(&mut []).unwrap(), 0);
        assert_eq!(other.recv(&mut buf).unwrap(), 0);
        assert_eq!(other.recv_from(&mut buf).unwrap().0, 3);
        assert_eq!(&buf, b"fif");
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        let error = one.send(&vec![0; 64 << 20]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MSGSIZE.raw_os_error()));
    });
}

#[test]
fn timeouts() {
    enter(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        let clone = one.try_clone().unwrap();
        assert_eq!((one.read_timeout().unwrap(), one.write_timeout().unwrap()), (None, None));
        for result in [
            one.set_read_timeout(Some(Duration::ZERO)),
            one.set_write_timeout(Some(Duration::ZERO)),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        one.set_read_timeout(Some(SHORT)).unwrap();
        clone.set_write_timeout(Some(SHORT)).unwrap();
        assert_eq!(clone.read_timeout().unwrap(), Some(SHORT));
        assert_eq!(clone.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(clone.recv_from(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        // The sender's own buffer is full.
        let error = loop {
            if let Err(error) = one.send(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        other.recv(&mut [0]).unwrap();
        assert!(one.take_error().unwrap().is_none());
    });
}

#[test]
fn shutting_down() {
    enter(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| one.recv(&mut [0]).unwrap());
            thread::yield_now();
            one.shutdown(Shutdown::Read).unwrap();
            assert_eq!(receiver.join().unwrap(), 0);
        });
        assert_eq!(other.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        one.send(b"x").unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(one.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(other.recv(&mut [0]).unwrap(), 1);
    });
}

#[test]
fn errors_of_peers() {
    enter(|| {
        let dir = Dir::new();
        let path = dir.join("socket");
        let socket = UnixDatagram::unbound().unwrap();
        assert_eq!(socket.connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let other = UnixDatagram::bind(&path).unwrap();
        socket.connect(&path).unwrap();
        // A socket with a peer receives from no other.
        let (one, _peer) = UnixDatagram::pair().unwrap();
        assert_eq!(one.send_to(b"x", &path).unwrap(), 1);
        other.connect(&path).unwrap();
        assert_eq!(one.send_to(b"x", &path).unwrap_err().kind(), ErrorKind::PermissionDenied);
        drop(other);
        assert_eq!(socket.send(b"x").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(socket.send_to(b"x", &path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(socket.connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn clones_receive_one_each() {
    enter(|| {
        let (one, other) = UnixDatagram::pair().unwrap();
        let clone = one.try_clone().unwrap();
        let receivers = [one, clone].map(|socket| {
            thread::spawn(move || {
                let mut buf = [0];
                socket.recv(&mut buf).unwrap();
                buf[0]
            })
        });
        other.send(&[1]).unwrap();
        other.send(&[2]).unwrap();
        let mut got = receivers.map(|receiver| receiver.join().unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

/// A sender whose path fills the whole address, without a zero at its end, which Linux permits.
#[test]
fn the_longest_path_that_others_can_bind() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    enter(|| {
        let dir = Dir::new();
        let path = dir.join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let longest = dir.join_to(108);
        let fd = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
        rustix::net::bind(&fd, &SocketAddrUnix::new(&longest).unwrap()).unwrap();
        let sender = UnixDatagram::from(fd);
        assert_eq!(sender.send_to(b"x", &path).unwrap(), 1);
        let (_, from) = socket.recv_from(&mut [0]).unwrap();
        assert_eq!(from.as_pathname(), Some(&*longest));
    });
}
