//! Timeouts, the nonblocking flag, and the options of the system.

use super::net::TcpStream;
use super::pair::{listen, pair};
use super::{enter, thread};
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

/// A whole number of the kernel's ticks, to which std's timeouts are rounded, on any of the usual
/// clocks.
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn timeouts_are_kept() {
    enter(|| {
        let (client, _server) = pair();
        assert_eq!(client.read_timeout().unwrap(), None);
        assert_eq!(client.write_timeout().unwrap(), None);
        let (read, write) = (Duration::from_secs(20), Duration::from_secs(30));
        client.set_read_timeout(Some(read)).unwrap();
        client.set_write_timeout(Some(write)).unwrap();
        assert_eq!(client.read_timeout().unwrap(), Some(read));
        assert_eq!(client.write_timeout().unwrap(), Some(write));
        client.set_read_timeout(None).unwrap();
        assert_eq!(client.read_timeout().unwrap(), None);
        assert_eq!(client.write_timeout().unwrap(), Some(write));
    });
}

#[test]
fn zero_timeouts_are_refused() {
    enter(|| {
        let (client, _server) = pair();
        client.set_read_timeout(Some(SHORT)).unwrap();
        for result in [
            client.set_read_timeout(Some(Duration::ZERO)),
            client.set_write_timeout(Some(Duration::ZERO)),
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), "cannot set a 0 duration timeout");
        }
        assert_eq!(client.read_timeout().unwrap(), Some(SHORT));
    });
}

#[test]
fn the_longest_timeout_is_for_ever() {
    enter(|| {
        let (client, server) = pair();
        client.set_read_timeout(Some(Duration::MAX)).unwrap();
        client.set_write_timeout(Some(Duration::MAX)).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                (&client).write_all(b"r").unwrap();
                (&client).read(&mut [0]).unwrap()
            });
            (&server).read_exact(&mut [0]).unwrap();
            (&server).write_all(b"x").unwrap();
            assert_eq!(reader.join().unwrap(), 1);
        });
    });
}

#[test]
fn a_read_timeout_elapses() {
    enter(|| {
        let (client, server) = pair();
        client.set_read_timeout(Some(SHORT)).unwrap();
        for _ in 0..2 {
            assert_eq!((&client).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        assert_eq!(client.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        // A read with an empty buffer waits too, and then returns 0.
        assert_eq!((&client).read(&mut []).unwrap(), 0);
        assert_eq!(client.peek(&mut []).unwrap(), 0);
        // The stream can still be used.
        (&server).write_all(b"x").unwrap();
        client.set_read_timeout(None).unwrap();
        assert_eq!((&client).read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn a_write_timeout_elapses() {
    enter(|| {
        let (client, _server) = pair();
        client.set_write_timeout(Some(SHORT)).unwrap();
        // Bytes that fit count as written; then none do.
        let size = 64 << 20;
        let count = (&client).write(&vec![0; size]).unwrap();
        assert!(0 < count && count < size);
        let error = loop {
            if let Err(error) = (&client).write(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn clones_share_timeouts() {
    enter(|| {
        let (client, _server) = pair();
        let clone = client.try_clone().unwrap();
        client.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(clone.read_timeout().unwrap(), Some(SHORT));
        assert_eq!((&clone).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let later = clone.try_clone().unwrap();
        later.set_read_timeout(None).unwrap();
        assert_eq!(client.read_timeout().unwrap(), None);
    });
}

#[test]
fn a_nonblocking_stream_does_not_wait() {
    enter(|| {
        let (client, server) = pair();
        let clone = client.try_clone().unwrap();
        client.set_nonblocking(true).unwrap();
        assert_eq!((&client).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((&clone).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(client.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!((&client).read(&mut []).unwrap_err().kind(), ErrorKind::WouldBlock);
        let error = loop {
            if let Err(error) = (&client).write(&[0; 100_000]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);

        (&server).write_all(b"x").unwrap();
        client.set_nonblocking(false).unwrap();
        assert_eq!((&clone).read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn nodelay() {
    enter(|| {
        let (client, _server) = pair();
        assert!(!client.nodelay().unwrap());
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap());
        assert!(client.try_clone().unwrap().nodelay().unwrap());
        client.set_nodelay(false).unwrap();
        assert!(!client.nodelay().unwrap());
    });
}

#[test]
fn ttl() {
    enter(|| {
        let (listener, addr) = listen();
        listener.set_ttl(100).unwrap();
        assert_eq!(listener.ttl().unwrap(), 100);
        let client = TcpStream::connect(addr).unwrap();
        client.set_ttl(101).unwrap();
        assert_eq!(client.ttl().unwrap(), 101);
        assert_eq!(client.set_ttl(0).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(client.set_ttl(256).unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn take_error_takes() {
    enter(|| {
        let (client, server) = pair();
        assert!(client.take_error().unwrap().is_none());
        assert!(listen().0.take_error().unwrap().is_none());
        // A reset, without a read or a write.
        (&client).write_all(b"unread").unwrap();
        assert_eq!(server.peek(&mut [0; 8]).unwrap(), 6);
        drop(server);
        let error = loop {
            if let Some(error) = client.take_error().unwrap() {
                break error;
            }
            thread::yield_now();
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(client.take_error().unwrap().is_none());
    });
}
