//! The data of a connection, and its end.

use super::net::Shutdown;
use super::os::unix::net::UnixStream;
use super::{enter, thread};
use std::io::{BufRead, BufReader, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::time::Duration;

/// A whole number of the kernel's ticks, to which std's timeouts are rounded, on any of the usual
/// clocks.
const SHORT: Duration = Duration::from_millis(20);

#[test]
fn a_pair_talks() {
    enter(|| {
        let (one, mut other) = UnixStream::pair().unwrap();
        assert!(one.local_addr().unwrap().is_unnamed());
        assert!(other.peer_addr().unwrap().is_unnamed());
        let thread = thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(&one).read_line(&mut line).unwrap();
            write!(&one, "you said {line}").unwrap();
        });
        other.write_all(b"hello\n").unwrap();
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "you said hello\n");
        thread.join().unwrap();
    });
}

#[test]
fn clones_are_the_same_stream() {
    enter(|| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let mut clone = one.try_clone().unwrap();
        other.write_all(b"helloworld").unwrap();
        let mut buf = [0; 5];
        one.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"hello");
        clone.read_exact(&mut buf).unwrap();
        assert_eq!(&buf, b"world");
        drop(one);
        clone.write_all(b"still here").unwrap();
        drop(clone);
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
    });
}

#[test]
fn several_buffers_at_once() {
    enter(|| {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let bufs = [IoSlice::new(b"hello"), IoSlice::new(b""), IoSlice::new(b" world!")];
        assert_eq!(one.write_vectored(&bufs).unwrap(), 12);
        let (mut first, mut second) = ([0; 6], [0; 7]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(other.read_vectored(&mut bufs).unwrap(), 12);
        assert_eq!((&first, &second), (b"hello ", b"world!\0"));
        one.flush().unwrap();
        // More than one call of the system takes.
        let many = vec![IoSlice::new(b"x"); 2000];
        let count = one.write_vectored(&many).unwrap();
        assert!((1..=1024).contains(&count));
        let mut got = vec![0; count];
        other.read_exact(&mut got).unwrap();
    });
}

#[test]
fn nothing_is_lost_on_the_way() {
    const SIZE: usize = 600_001;
    enter(|| {
        let (one, other) = UnixStream::pair().unwrap();
        let pattern = |at: usize| (at % 251) as u8;
        let send = |stream: &UnixStream, stop: Shutdown| {
            let bytes: Vec<u8> = (0..SIZE).map(pattern).collect();
            // In one call, which takes all; then by many buffers.
            assert_eq!((&*stream).write(&bytes).unwrap(), SIZE);
            let slices: Vec<_> = bytes.chunks(5000).map(IoSlice::new).collect();
            assert_eq!((&*stream).write_vectored(&slices).unwrap(), SIZE);
            stream.shutdown(stop).unwrap();
        };
        let receive = |stream: &UnixStream| {
            let mut bytes = Vec::new();
            (&*stream).read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), 2 * SIZE);
            assert!((0..2 * SIZE).all(|at| bytes[at] == pattern(at % SIZE)));
        };
        // Both directions at once, by two threads each.
        thread::scope(|scope| {
            scope.spawn(|| send(&one, Shutdown::Write));
            scope.spawn(|| send(&other, Shutdown::Write));
            scope.spawn(|| receive(&one));
            scope.spawn(|| receive(&other));
        });
    });
}

#[test]
fn shutting_down() {
    enter(|| {
        let (one, other) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            // Waiting threads continue at once.
            let reader = scope.spawn(|| (&one).read(&mut [0]).unwrap());
            thread::yield_now();
            one.shutdown(Shutdown::Read).unwrap();
            assert_eq!(reader.join().unwrap(), 0);
        });
        assert_eq!((&one).read(&mut [0]).unwrap(), 0);
        assert_eq!((&other).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        (&one).write_all(b"last words").unwrap();
        one.shutdown(Shutdown::Both).unwrap();
        assert_eq!((&one).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut text = String::new();
        (&other).read_to_string(&mut text).unwrap();
        assert_eq!(text, "last words");
    });
}

#[test]
fn a_writer_that_waits_hears_of_the_end() {
    fn ends(shut: fn(&UnixStream, &UnixStream)) {
        let (one, other) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut sent = 0;
                loop {
                    match (&one).write(&[7; 100_000]) {
                        Ok(count) => sent += count,
                        Err(error) => return (sent, error.kind()),
                    }
                }
            });
            (&other).read_exact(&mut [0; 50_000]).unwrap();
            shut(&one, &other);
            let (sent, kind) = writer.join().unwrap();
            assert!(sent >= 50_000);
            assert_eq!(kind, ErrorKind::BrokenPipe);
        });
    }
    // Linux reports neither of them to `epoll`.
    enter(|| {
        ends(|_, other| other.shutdown(Shutdown::Read).unwrap());
        ends(|one, _| one.try_clone().unwrap().shutdown(Shutdown::Write).unwrap());
    });
}

#[test]
fn a_peer_that_leaves_things_unread() {
    enter(|| {
        let (one, other) = UnixStream::pair().unwrap();
        (&one).write_all(b"unread").unwrap();
        (&other).write_all(b"before").unwrap();
        drop(other);
        // The failure is returned first, once, and the data sent before it is still there.
        let kinds = [(&one).read(&mut [0; 6]), (&one).read(&mut [0; 6]), (&one).read(&mut [0; 6])]
            .map(|result| result.map_err(|error| error.kind()));
        assert_eq!(kinds, [Ok(6), Err(ErrorKind::ConnectionReset), Ok(0)]);
        assert_eq!((&one).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!((&one).read(&mut [0]).unwrap(), 0);

        let (one, other) = UnixStream::pair().unwrap();
        (&one).write_all(b"unread").unwrap();
        drop(other);
        let error = one.take_error().unwrap().expect("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(one.take_error().unwrap().is_none());
    });
}

/// A write that fails half way returns the number of bytes that it has sent.
#[test]
fn a_failure_half_way_through_a_write() {
    enter(|| {
        let (one, other) = UnixStream::pair().unwrap();
        (&other).write_all(b"an answer").unwrap();
        thread::scope(|scope| {
            let writer = scope.spawn(|| (&one).write(&vec![0; 10_000_000]).unwrap());
            (&other).read_exact(&mut [0; 50_000]).unwrap();
            drop(other);
            let sent = writer.join().unwrap();
            assert!((50_000..10_000_000).contains(&sent));
        });
        assert_eq!((&one).read(&mut [0; 20]).unwrap(), 9);
        // Unless the writer was in the middle of waiting and got the error, the reset is still to
        // be reported.
        match (&one).read(&mut [0; 20]) {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert_eq!((&one).read(&mut [0; 20]).unwrap(), 0);
        assert_eq!((&one).write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn timeouts() {
    enter(|| {
        let (one, mut other) = UnixStream::pair().unwrap();
        let clone = one.try_clone().unwrap();
        assert_eq!((one.read_timeout().unwrap(), one.write_timeout().unwrap()), (None, None));
        for result in [
            one.set_read_timeout(Some(Duration::ZERO)),
            one.set_write_timeout(Some(Duration::ZERO)),
        ] {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let long = Duration::from_secs(15410);
        one.set_read_timeout(Some(long)).unwrap();
        assert_eq!(clone.read_timeout().unwrap(), Some(long));
        one.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!((&clone).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        // Bytes that fit count as written; then none do.
        one.set_write_timeout(Some(SHORT)).unwrap();
        let count = (&one).write(&vec![0; 64 << 20]).unwrap();
        assert!(0 < count && count < 64 << 20);
        let error = loop {
            if let Err(error) = (&one).write(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        // The stream can still be used.
        other.write_all(b"x").unwrap();
        one.set_read_timeout(Some(Duration::MAX)).unwrap();
        assert_eq!((&one).read(&mut [0; 2]).unwrap(), 1);
    });
}

#[test]
fn a_nonblocking_stream_does_not_wait() {
    enter(|| {
        let (one, mut other) = UnixStream::pair().unwrap();
        let clone = one.try_clone().unwrap();
        one.set_nonblocking(true).unwrap();
        assert_eq!((&clone).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let error = loop {
            if let Err(error) = (&one).write(&[0; 100_000]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        other.write_all(b"x").unwrap();
        clone.set_nonblocking(false).unwrap();
        assert_eq!((&one).read(&mut [0; 2]).unwrap(), 1);
    });
}
