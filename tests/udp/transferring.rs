//! Binding, setting a peer, sending, receiving, peeking, and errors that the network reports.

use super::ends::{LOCAL, bound, pair};
use super::net::{SocketAddr, UdpSocket};
use super::{enter, thread};
use std::io::ErrorKind;
use std::time::Duration;

/// A whole number of the kernel's ticks, to which std's timeouts are rounded, on any of the usual
/// clocks.
const SHORT: Duration = Duration::from_millis(20);

/// A socket whose peer does not exist: the address is unused, and no other process gets it for now.
fn lonely() -> UdpSocket {
    let (one, other) = pair();
    drop(other);
    one
}

#[test]
fn there_and_back() {
    enter(|| {
        let ((one, one_addr), (other, other_addr)) = (bound(), bound());
        let echo = thread::spawn(move || {
            let mut buf = [0; 16];
            let (count, from) = other.recv_from(&mut buf).unwrap();
            assert_eq!(from, one_addr);
            other.send_to(&buf[..count], from).unwrap()
        });
        assert_eq!(one.send_to(b"hello", other_addr).unwrap(), 5);
        let mut buf = [0; 16];
        assert_eq!(one.recv_from(&mut buf).unwrap(), (5, other_addr));
        assert_eq!(&buf[..5], b"hello");
        assert_eq!(echo.join().unwrap(), 5);
    });
}

#[test]
fn a_receiver_waits() {
    enter(|| {
        let (one, other) = pair();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                other.send(b"ready").unwrap();
                let mut buf = [0; 16];
                let count = other.recv(&mut buf).unwrap();
                buf[..count].to_vec()
            });
            one.recv(&mut [0; 16]).unwrap();
            one.send(b"now").unwrap();
            assert_eq!(receiver.join().unwrap(), b"now");
        });
    });
}

#[test]
fn datagrams_of_no_bytes() {
    enter(|| {
        let (one, other) = pair();
        for text in [&b""[..], b"x", b"", b""] {
            assert_eq!(one.send(text).unwrap(), text.len());
        }
        let mut buf = [7; 4];
        assert_eq!(other.peek(&mut buf).unwrap(), 0);
        assert_eq!(other.recv(&mut buf).unwrap(), 0);
        assert_eq!(other.recv(&mut buf).unwrap(), 1);
        let from = one.local_addr().unwrap();
        assert_eq!(other.peek_from(&mut buf).unwrap(), (0, from));
        assert_eq!(other.recv_from(&mut buf).unwrap(), (0, from));
        assert_eq!(other.recv(&mut buf).unwrap(), 0);
        other.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(other.recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn the_rest_of_a_datagram_that_does_not_fit_is_lost() {
    enter(|| {
        let (one, other) = pair();
        for text in ["first", "second", "third", "fourth", "fifth"] {
            one.send(text.as_bytes()).unwrap();
        }
        let mut buf = [0; 3];
        assert_eq!(other.peek(&mut buf).unwrap(), 3);
        assert_eq!(other.recv(&mut buf).unwrap(), 3);
        assert_eq!(&buf, b"fir");
        assert_eq!(other.recv_from(&mut buf).unwrap().0, 3);
        assert_eq!(&buf, b"sec");
        // An empty buffer, and yet it takes one datagram.
        assert_eq!(other.recv(&mut []).unwrap(), 0);
        assert_eq!(other.recv_from(&mut []).unwrap().0, 0);
        assert_eq!(other.recv(&mut buf).unwrap(), 3);
        assert_eq!(&buf, b"fif");
    });
}

#[test]
fn peeking_takes_nothing() {
    enter(|| {
        let (one, other) = pair();
        let (from, mut buf) = (one.local_addr().unwrap(), [0; 16]);
        let sender = thread::spawn(move || one.send(b"hello").map(|_| one));
        for _ in 0..3 {
            assert_eq!(other.peek(&mut buf).unwrap(), 5);
            assert_eq!(other.peek_from(&mut buf).unwrap(), (5, from));
            assert_eq!(&buf[..5], b"hello");
        }
        assert_eq!(other.recv_from(&mut buf).unwrap(), (5, from));
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.peek(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(other.peek_from(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(sender.join().unwrap());
    });
}

#[test]
fn only_the_peer_is_heard() {
    enter(|| {
        let ((one, addr), (peer, peer_addr), (stranger, _)) = (bound(), bound(), bound());
        assert_eq!(one.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        one.connect(peer_addr).unwrap();
        assert_eq!(one.peer_addr().unwrap(), peer_addr);
        stranger.send_to(b"strange", addr).unwrap();
        peer.send_to(b"known", addr).unwrap();
        let mut buf = [0; 16];
        assert_eq!(one.recv_from(&mut buf).unwrap(), (5, peer_addr));
        // Another peer instead.
        one.connect(stranger.local_addr().unwrap()).unwrap();
        stranger.send_to(b"strange", addr).unwrap();
        assert_eq!(one.recv(&mut buf).unwrap(), 7);
        one.send(b"!").unwrap();
        assert_eq!(stranger.recv_from(&mut buf).unwrap(), (1, addr));
    });
}

#[test]
fn errors_of_addresses() {
    enter(|| {
        let none: &[SocketAddr] = &[];
        let (socket, addr) = bound();
        let text = "could not resolve to any addresses";
        for error in [
            UdpSocket::bind(none).unwrap_err(),
            socket.connect(none).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, text));
        }
        let error = socket.send_to(b"x", none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.to_string(), "no addresses to send data to");
        assert_eq!(socket.send_to(b"x", "nowhere").unwrap_err().kind(), ErrorKind::InvalidInput);

        assert_eq!(UdpSocket::bind("192.0.2.1:9").unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        assert_eq!(UdpSocket::bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        // The next one is tried; text and names do too.
        let any: SocketAddr = LOCAL.parse().unwrap();
        UdpSocket::bind(&[addr, any][..]).unwrap();
        socket.send_to(b"1", ("127.0.0.1", addr.port())).unwrap();
        socket.send_to(b"2", format!("127.0.0.1:{}", addr.port())).unwrap();
        socket.connect(("localhost", addr.port())).unwrap();
    });
}

#[test]
fn datagrams_that_cannot_be_sent() {
    enter(|| {
        use rustix::io::Errno;
        let (socket, addr) = bound();
        let error = socket.send(b"to whom?").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::DESTADDRREQ.raw_os_error()));
        let long = vec![0; 65_508];
        let error = socket.send_to(&long, addr).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::MSGSIZE.raw_os_error()));
        socket.connect(addr).unwrap();
        let error = socket.send(&long).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::MSGSIZE.raw_os_error()));
        // The longest datagram that is possible.
        assert_eq!(socket.send(&long[1..]).unwrap(), 65_507);
        let mut buf = vec![1; 70_000];
        assert_eq!(socket.recv(&mut buf).unwrap(), 65_507);
        // To a broadcast address only with permission.
        let error = socket.send_to(b"x", "255.255.255.255:9").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn a_refusal_is_told_once() {
    use rustix::event::{PollFd, PollFlags, poll};

    enter(|| {
        let socket = lonely();
        // Sends, and gets no error until the answer is there, which a network may deliver a moment
        // later.
        let send = |text: &[u8]| {
            socket.send(text).unwrap();
            let mut polled = [PollFd::new(&socket, PollFlags::empty())];
            while poll(&mut polled, None).unwrap() == 0 {}
        };
        socket.send(b"anybody?").unwrap();
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        socket.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        // The next call returns the error, whichever it is.
        send(b"anybody?");
        assert_eq!(socket.send(b"really?").unwrap_err().kind(), ErrorKind::ConnectionRefused);
        send(b"anybody?");
        assert_eq!(socket.peek(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        send(b"anybody?");
        assert_eq!(socket.recv_from(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        send(b"anybody?");
        let error = socket.take_error().unwrap().expect("a refusal");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(socket.take_error().unwrap().is_none());
        assert_eq!(socket.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_refusal_wakes_the_receiver() {
    enter(|| {
        let socket = lonely();
        thread::scope(|scope| {
            let receiver = scope.spawn(|| socket.recv(&mut [0]).unwrap_err().kind());
            thread::yield_now();
            socket.send(b"anybody?").unwrap();
            assert_eq!(receiver.join().unwrap(), ErrorKind::ConnectionRefused);
        });
    });
}

#[test]
fn ipv6() {
    enter(|| {
        // A machine may have none.
        let Ok(one) = UdpSocket::bind("[::1]:0") else {
            return;
        };
        let other = UdpSocket::bind("[::1]:0").unwrap();
        let addr = other.local_addr().unwrap();
        one.send_to(b"six", addr).unwrap();
        let mut buf = [0; 16];
        let (count, from) = other.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..count], from), (&b"six"[..], one.local_addr().unwrap()));
        one.set_multicast_loop_v6(false).unwrap();
        assert!(!one.multicast_loop_v6().unwrap());
        one.set_multicast_loop_v6(true).unwrap();
        assert!(one.multicast_loop_v6().unwrap());
        assert!(one.join_multicast_v6(&"::1".parse().unwrap(), 0).is_err());
        assert!(one.leave_multicast_v6(&"ff02::123".parse().unwrap(), 0).is_err());
    });
}
