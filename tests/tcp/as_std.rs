//! The results of a failing connection, call by call: std's stream and rustlet's return the same.
//!
//! Each script runs four times: with std's stream, and with rustlet's on an OS thread, on a green
//! thread, and on the green thread of a single worker. The peer is always std's.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt::Debug;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream as Peer};
use std::os::fd::AsFd;
use std::time::Duration;

/// More than the buffers of a connection hold.
const MUCH: usize = 30_000_000;

/// The common interface of std's stream and rustlet's.
trait Stream: Read + Write + AsFd + Send + Sized {
    fn connect(addr: SocketAddr) -> io::Result<Self>;
    fn peek(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
    fn try_clone(&self) -> io::Result<Self>;
}

macro_rules! stream {
    ($name:ty) => {
        impl Stream for $name {
            fn connect(addr: SocketAddr) -> io::Result<Self> {
                <$name>::connect(addr)
            }
            fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.peek(buf)
            }
            fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.take_error()
            }
            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }
            fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
                self.set_nonblocking(nonblocking)
            }
            fn try_clone(&self) -> io::Result<Self> {
                self.try_clone()
            }
        }
    };
}
stream!(std::net::TcpStream);
stream!(super::net::TcpStream);

/// Calls, a letter each, and their results.
fn calls<S: Stream>(stream: &mut S, letters: &str) -> Vec<String> {
    let tell = |result: io::Result<usize>| match result {
        Ok(count) => count.to_string(),
        Err(error) => format!("{:?}", error.kind()),
    };
    let call = |letter| {
        let mut buf = [0; 100];
        let said = match letter {
            'r' => tell(stream.read(&mut buf)),
            '0' => tell(stream.read(&mut [])),
            'p' => tell(stream.peek(&mut buf)),
            'v' => {
                let (one, two) = buf.split_at_mut(5);
                tell(stream.read_vectored(&mut [IoSliceMut::new(one), IoSliceMut::new(two)]))
            }
            'a' => {
                let mut all = Vec::new();
                let ended = stream.read_to_end(&mut all);
                format!("{} of {}", tell(ended), all.len())
            }
            'w' => tell(stream.write(b"more")),
            'W' => tell(stream.write_vectored(&[IoSlice::new(b"mo"), IoSlice::new(b"re")])),
            'e' => {
                let error = stream.take_error().unwrap();
                format!("{:?}", error.map(|error| error.kind()))
            }
            's' => tell(stream.shutdown(Shutdown::Write).map(|()| 0)),
            'n' => tell(stream.set_nonblocking(true).map(|()| 0)),
            _ => unreachable!("{letter} is no call"),
        };
        format!("{letter}: {said}")
    };
    letters.chars().map(call).collect()
}

/// Waits until the connection has failed, and takes nothing.
fn until_failed(stream: &impl AsFd) {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    let timeout = Timespec {
        tv_sec: 60,
        tv_nsec: 0,
    };
    assert_eq!(poll(&mut fds, Some(&timeout)).unwrap(), 1, "no failure");
}

fn pair<S: Stream>() -> (S, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = S::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// With this option set, closing resets the connection.
fn reset(peer: Peer) {
    rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
}

fn compare<T: PartialEq + Debug + Send>(
    what: &str,
    stds: impl Fn() -> T,
    ours: impl Fn() -> T + Sync,
) {
    let expected = stds();
    assert_eq!(ours(), expected, "{what}, on an OS thread");
    assert_eq!(rustlet::run(&ours), expected, "{what}, on a green thread");
    let single = rustlet::Builder::new().workers(1).build().unwrap();
    assert_eq!(single.run(&ours), expected, "{what}, on one worker");
}

/// Runs a script, a function that is generic in the stream, with each of several sequences of
/// calls.
macro_rules! compare {
    ($script:ident, $sequences:expr) => {
        for letters in $sequences {
            compare(
                &format!("{} {letters}", stringify!($script)),
                || $script::<std::net::TcpStream>(letters),
                || $script::<super::net::TcpStream>(letters),
            );
        }
    };
}

/// A server that answers before it has read the request, and closes: the rest of the request resets
/// the connection.
fn an_early_answer<S: Stream>(letters: &str) -> Vec<String> {
    let (mut client, mut peer) = pair::<S>();
    let server = std::thread::spawn(move || {
        peer.read_exact(&mut [0; 100]).unwrap();
        peer.write_all(b"413 too large").unwrap();
    });
    let written = client.write(&vec![0; MUCH]).unwrap();
    assert!((100..MUCH).contains(&written));
    until_failed(&client);
    server.join().unwrap();
    calls(&mut client, letters)
}

#[test]
fn the_answer_comes_before_the_reset() {
    compare!(
        an_early_answer,
        [
            "rrrww", "prprr", "vvvW", "aa", "err", "erwe", "reer", "wrrw", "Wrr", "nrrr", "0r0rr",
            "srr"
        ]
    );
}

/// As before, but the client's request is written by one handle while another one waits for the
/// answer.
fn an_early_answer_to_a_clone<S: Stream>(letters: &str) -> Vec<String> {
    let (mut client, mut peer) = pair::<S>();
    let mut reader = client.try_clone().unwrap();
    let server = std::thread::spawn(move || {
        peer.read_exact(&mut [0; 100]).unwrap();
        peer.write_all(b"413 too large").unwrap();
    });
    let mut said = Vec::new();
    rustlet::scope(|scope| {
        scope.spawn(|| said = calls(&mut reader, "r"));
        let written = client.write(&vec![0; MUCH]).unwrap();
        assert!((100..MUCH).contains(&written));
    });
    server.join().unwrap();
    said.extend(calls(&mut reader, letters));
    said
}

#[test]
fn the_answer_reaches_a_clone() {
    // std's blocking calls would stop the worker, so the scope's threads are green only if the
    // script's thread is.
    for letters in ["rrw", "wrr", "er"] {
        let expected = ["r: 13".to_owned()]
            .into_iter()
            .chain(an_early_answer::<std::net::TcpStream>(&format!("r{letters}")).split_off(1))
            .collect::<Vec<_>>();
        let ours = || an_early_answer_to_a_clone::<super::net::TcpStream>(letters);
        assert_eq!(rustlet::run(ours), expected, "{letters}");
    }
}

/// Nothing was sent before the reset.
fn a_reset_alone<S: Stream>(letters: &str) -> Vec<String> {
    let (mut client, peer) = pair::<S>();
    reset(peer);
    until_failed(&client);
    calls(&mut client, letters)
}

#[test]
fn a_reset_is_told_once() {
    compare!(
        a_reset_alone,
        [
            "rrw", "prw", "vr", "aa", "wwr", "Wwr", "eerw", "nrw", "0r", "sr"
        ]
    );
}

/// The reset arrives behind unread data.
fn a_reset_after_data<S: Stream>(letters: &str) -> Vec<String> {
    let (mut client, mut peer) = pair::<S>();
    peer.write_all(b"some data").unwrap();
    // The data has arrived before the reset goes out.
    assert_eq!(client.peek(&mut [0; 20]).unwrap(), 9);
    reset(peer);
    until_failed(&client);
    calls(&mut client, letters)
}

#[test]
fn a_reset_is_told_after_the_data() {
    compare!(
        a_reset_after_data,
        ["rrrw", "pprr", "vvr", "aa", "wrrw", "erre", "nrrr"]
    );
}

/// The reset arrives while a read waits, or before it.
fn a_reset_of_a_reader<S: Stream>(letters: &str) -> Vec<String> {
    let (mut client, mut peer) = pair::<S>();
    let server = std::thread::spawn(move || {
        peer.read_exact(&mut [0; 4]).unwrap();
        reset(peer);
    });
    client.write_all(b"ping").unwrap();
    let said = calls(&mut client, letters);
    server.join().unwrap();
    said
}

#[test]
fn a_reset_reaches_a_reader() {
    compare!(a_reset_of_a_reader, ["rrw", "pr", "vr", "a"]);
}

/// The reset arrives while a read with an empty buffer waits. A reset that arrives before the read
/// is its error, so the peer tries again and waits longer.
#[allow(
    clippy::disallowed_methods,
    reason = "the peer is an OS thread of the test"
)]
fn a_reset_of_a_reader_into_no_room<S: Stream>(letters: &str) -> Vec<String> {
    let mut said = Vec::new();
    for pause in (0..10).map(|power| Duration::from_millis(1 << power)) {
        let (mut client, mut peer) = pair::<S>();
        let server = std::thread::spawn(move || {
            peer.read_exact(&mut [0; 4]).unwrap();
            std::thread::sleep(pause);
            reset(peer);
        });
        client.write_all(b"ping").unwrap();
        said = calls(&mut client, letters);
        server.join().unwrap();
        if said != ["0: ConnectionReset", "r: 0"] {
            break;
        }
    }
    said
}

#[test]
fn a_reset_reaches_a_reader_into_no_room() {
    compare!(a_reset_of_a_reader_into_no_room, ["0r"]);
}

/// The peer has ended its half, with data before it, and continues to read.
fn a_half_close<S: Stream>(letters: &str) -> Vec<String> {
    let (mut client, mut peer) = pair::<S>();
    peer.write_all(b"some data").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    let said = calls(&mut client, letters);
    drop(client);
    let mut got = Vec::new();
    peer.read_to_end(&mut got).unwrap();
    [said, vec![got.len().to_string()]].concat()
}

#[test]
fn after_a_half_close_writes_go_on() {
    compare!(a_half_close, ["rrwrwW", "pra", "wvre", "aaw", "rwsr"]);
}

/// The peer has ended its half, and then resets: std's reads return the end, its writes return the
/// failure.
fn a_reset_after_a_half_close<S: Stream>(letters: &str) -> Vec<String> {
    let (mut client, mut peer) = pair::<S>();
    peer.write_all(b"some data").unwrap();
    peer.shutdown(Shutdown::Write).unwrap();
    client.write_all(b"x").unwrap();
    peer.read_exact(&mut [0]).unwrap();
    assert_eq!(client.peek(&mut [0; 20]).unwrap(), 9);
    reset(peer);
    until_failed(&client);
    calls(&mut client, letters)
}

#[test]
fn a_reset_after_a_half_close_is_told_to_writers() {
    compare!(
        a_reset_after_a_half_close,
        ["rrrwwe", "wrrwe", "errw", "awa"]
    );
}

/// The peer ends its half, and then closes with the rest of the request unread.
fn an_early_answer_and_end<S: Stream>(letters: &str) -> Vec<String> {
    let (mut client, mut peer) = pair::<S>();
    let server = std::thread::spawn(move || {
        peer.read_exact(&mut [0; 100]).unwrap();
        peer.write_all(b"413 too large").unwrap();
        peer.shutdown(Shutdown::Write).unwrap();
    });
    let written = client.write(&vec![0; MUCH]).unwrap();
    assert!((100..MUCH).contains(&written));
    until_failed(&client);
    server.join().unwrap();
    calls(&mut client, letters)
}

#[test]
fn the_answer_and_the_end_come_before_the_reset() {
    compare!(an_early_answer_and_end, ["rrrww", "wwrr", "erwe", "ae"]);
}

/// The client ends its own half while a large write waits: that write is cut short, and reads
/// continue.
#[test]
fn a_write_that_is_shut_down_does_not_end_reads() {
    fn script<S: Stream + 'static>() -> Vec<String> {
        let (mut client, mut peer) = pair::<S>();
        let closer = client.try_clone().unwrap();
        let server = std::thread::spawn(move || {
            peer.read_exact(&mut [0; 100]).unwrap();
            closer.shutdown(Shutdown::Write).unwrap();
            peer.read_to_end(&mut Vec::new()).unwrap();
            peer.write_all(b"413 too large").unwrap();
        });
        let written = client.write(&vec![0; MUCH]).unwrap();
        assert!((100..MUCH).contains(&written));
        let said = calls(&mut client, "erwre");
        server.join().unwrap();
        said
    }
    compare(
        "a write that is shut down",
        script::<std::net::TcpStream>,
        script::<super::net::TcpStream>,
    );
}

#[test]
fn connecting_without_a_listener_is_refused() {
    fn script<S: Stream>() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        drop(listener);
        format!("{:?}", S::connect(addr).err().map(|error| error.kind()))
    }
    compare(
        "no listener",
        script::<std::net::TcpStream>,
        script::<super::net::TcpStream>,
    );
}
