//! `io::copy_bidirectional`.

use crate::support::on_one_worker;
use rustlet::io::{HalfClose, copy_bidirectional};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::os::unix::net::UnixStream;
use rustlet::{Cancelled, run, spawn, yield_now};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::panic::resume_unwind;

/// Two connected streams.
fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn unix() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

fn everywhere(case: fn()) {
    run(case);
    case();
}

#[test]
fn both_directions_and_their_ends() {
    let case = || {
        let ((mut client, a), (b, mut server)) = (tcp(), unix());
        let proxy = spawn(move || copy_bidirectional(&a, &b));
        let request = vec![7; 300_000];
        let sent = request.clone();
        let thread = spawn(move || {
            client.write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            answer
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        assert!(received == request);
        // One direction has ended, the other goes on.
        server.write_all(&received[..200_000]).unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(thread.join().unwrap().len(), 200_000);
        assert_eq!(proxy.join().unwrap().unwrap(), (300_000, 200_000));
    };
    everywhere(case);
    on_one_worker(case);
}

#[test]
fn on_an_os_thread() {
    let ((client, a), (b, mut server)) = (unix(), unix());
    let proxy = std::thread::spawn(move || copy_bidirectional(&a, &b).unwrap());
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut answer = String::new();
    (&client).read_to_string(&mut answer).unwrap();
    assert_eq!((answer.as_str(), proxy.join().unwrap()), ("answer", (0, 6)));
}

/// A stream whose writes fail, or panic.
struct Bad {
    stream: UnixStream,
    panics: bool,
}

impl Read for &Bad {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&self.stream).read(buf)
    }
}

impl Write for &Bad {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.panics {
            true => resume_unwind(Box::new("no")),
            false => Err(io::Error::other("the disk is full")),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl HalfClose for Bad {
    fn shutdown_write(&self) -> io::Result<()> {
        self.stream.shutdown_write()
    }
}

/// The other direction would wait forever.
#[test]
fn an_error_ends_both_directions() {
    everywhere(|| {
        for swapped in [false, true] {
            let ((mut client, a), (b, mut server)) = (unix(), unix());
            let bad = Bad {
                stream: b,
                panics: false,
            };
            client.write_all(b"x").unwrap();
            let error = match swapped {
                false => copy_bidirectional(&a, &bad),
                true => copy_bidirectional(&bad, &a),
            }
            .unwrap_err();
            assert_eq!(error.to_string(), "the disk is full");
            // The streams are open.
            (&a).write_all(b"y").unwrap();
            client.read_exact(&mut [0]).unwrap();
            server.write_all(b"z").unwrap();
            (&bad).read_exact(&mut [0]).unwrap();
        }
    });
}

#[test]
fn a_panic_ends_both_directions() {
    everywhere(|| {
        for swapped in [false, true] {
            let ((mut client, a), (b, _server)) = (unix(), unix());
            let bad = Bad {
                stream: b,
                panics: true,
            };
            client.write_all(b"x").unwrap();
            let thread = spawn(move || match swapped {
                false => copy_bidirectional(&a, &bad),
                true => copy_bidirectional(&bad, &a),
            });
            assert!(thread.join().is_err());
        }
    });
}

#[test]
fn a_cancellation_ends_both_directions() {
    on_one_worker(|| {
        let ((mut client, a), (b, mut server)) = (unix(), unix());
        let proxy = spawn(move || copy_bidirectional(&a, &b));
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        yield_now();
        proxy.cancel();
        assert!(proxy.join().unwrap_err().is::<Cancelled>());
        // Both streams were dropped.
        assert_eq!(server.read(&mut [0]).unwrap(), 0);
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    });
}
