//! Timeouts, the nonblocking flag, and the options of the system.

use super::ends::{bound, pair};
use super::net::{Ipv4Addr, UdpSocket};
use super::{enter, thread};
use std::io::{self, ErrorKind};
use std::time::Duration;

/// A whole number of the kernel's ticks, to which std's timeouts are rounded, on any of the usual
/// clocks.
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn timeouts_are_kept() {
    enter(|| {
        let (socket, _) = bound();
        let clone = socket.try_clone().unwrap();
        assert_eq!((socket.read_timeout().unwrap(), socket.write_timeout().unwrap()), (None, None));
        let (read, write) = (Duration::from_secs(15410), Duration::from_secs(30));
        socket.set_read_timeout(Some(read)).unwrap();
        clone.set_write_timeout(Some(write)).unwrap();
        assert_eq!(clone.read_timeout().unwrap(), Some(read));
        assert_eq!(socket.write_timeout().unwrap(), Some(write));
        socket.set_read_timeout(None).unwrap();
        assert_eq!(clone.read_timeout().unwrap(), None);
        for result in [
            socket.set_read_timeout(Some(Duration::ZERO)),
            socket.set_write_timeout(Some(Duration::ZERO)),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "cannot set a 0 duration timeout");
        }
        assert_eq!(socket.write_timeout().unwrap(), Some(write));
    });
}

#[test]
fn a_read_timeout_elapses() {
    enter(|| {
        let (one, other) = pair();
        one.set_read_timeout(Some(SHORT)).unwrap();
        let calls: [fn(&UdpSocket) -> io::Result<()>; 4] = [
            |socket| socket.recv(&mut [0]).map(drop),
            |socket| socket.recv_from(&mut [0]).map(drop),
            |socket| socket.peek(&mut [0]).map(drop),
            |socket| socket.peek_from(&mut [0]).map(drop),
        ];
        for call in calls {
            assert_eq!(call(&one).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        other.send(b"x").unwrap();
        for call in calls.into_iter().rev() {
            call(&one).unwrap();
            other.send(b"x").unwrap();
        }
    });
}

#[test]
fn the_longest_timeout_is_for_ever() {
    enter(|| {
        let (one, other) = pair();
        one.set_read_timeout(Some(Duration::MAX)).unwrap();
        one.set_write_timeout(Some(Duration::MAX)).unwrap();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                one.send(b"r").unwrap();
                one.recv(&mut [0]).unwrap()
            });
            other.recv(&mut [0]).unwrap();
            other.send(b"x").unwrap();
            assert_eq!(receiver.join().unwrap(), 1);
        });
    });
}

#[test]
fn a_nonblocking_socket_does_not_wait() {
    enter(|| {
        let (one, other) = pair();
        let clone = one.try_clone().unwrap();
        one.set_nonblocking(true).unwrap();
        assert_eq!(one.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(clone.recv_from(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        other.send(b"x").unwrap();
        // A network may deliver a moment later.
        let received = loop {
            match clone.recv(&mut [0]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::yield_now(),
                received => break received,
            }
        };
        assert_eq!(received.unwrap(), 1);
        clone.set_nonblocking(false).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| other.send(b"x").unwrap());
            assert_eq!(one.recv(&mut [0]).unwrap(), 1);
        });
    });
}

#[test]
fn options_of_the_system() {
    enter(|| {
        let (socket, _) = bound();
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.try_clone().unwrap().broadcast().unwrap());

        socket.set_ttl(100).unwrap();
        assert_eq!(socket.ttl().unwrap(), 100);
        for wrong in [0, 256] {
            assert_eq!(socket.set_ttl(wrong).unwrap_err().kind(), ErrorKind::InvalidInput);
        }

        assert!(socket.multicast_loop_v4().unwrap());
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 1);
        socket.set_multicast_ttl_v4(255).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 255);
        assert_eq!(socket.set_multicast_ttl_v4(256).unwrap_err().kind(), ErrorKind::InvalidInput);

        assert!(socket.multicast_loop_v6().is_err());
        assert!(socket.set_multicast_loop_v6(true).is_err());
        assert!(socket.take_error().unwrap().is_none());
    });
}

#[test]
fn groups() {
    enter(|| {
        let (socket, _) = bound();
        let group = Ipv4Addr::new(239, 255, 1, 2);
        let no_group = socket.join_multicast_v4(&Ipv4Addr::LOCALHOST, &Ipv4Addr::LOCALHOST);
        assert_eq!(no_group.unwrap_err().kind(), ErrorKind::InvalidInput);
        socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        let twice = socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST);
        assert_eq!(twice.unwrap_err().kind(), ErrorKind::AddrInUse);
        socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        let gone = socket.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST);
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
    });
}
