//! Everything that can be waited for is a channel: one `select!` waits for a message, a timer, a child process, a signal, a
//! socket and the end of a green thread.
//!
//! Run it with `cargo run --example wait_for_anything`. It causes all six itself, checks that each comes once, and ends.

use std::io::{self, Read, Write};
use std::time::Duration;

use rustlet::channel::{after, never, select, unbounded};
use rustlet::io::Watch;
use rustlet::net::{TcpListener, TcpStream};
use rustlet::process::{Command, Stdio};
use rustlet::signal::{self, SIGUSR1};

/// What has come so far, each of which is waited for until then.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    message: bool,
    timer: bool,
    child: bool,
    signal: bool,
    socket: bool,
    thread: bool,
}

pub(crate) fn main() -> io::Result<()> {
    rustlet::run(|| {
        // A message, from a green thread, whose end is awaited too.
        let (sender, messages) = unbounded();
        let thread = rustlet::spawn(move || sender.send("hello").is_ok());

        // A timer.
        let mut timer = after(Duration::from_millis(20));

        // A child, which ends when its standard input does.
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;

        // A signal, which another child sends us.
        let signals = signal::notify(&[SIGUSR1])?;
        let this = std::process::id().to_string();
        rustlet::spawn(move || Command::new("kill").args(["-USR1", &this]).status());

        // A socket.
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        let (server, _) = listener.accept()?;
        let mut socket = Some(Watch::new(server)?);

        drop(child.stdin.take());
        (&client).write_all(b"over the wire")?;

        // What has come for good stays ready, so it is left out from then on.
        let mut exited = child.exited();
        let mut done = thread.done();
        let mut messages = messages;
        let mut seen = Seen::default();
        let limit = after(Duration::from_secs(60));
        while !(seen.message
            && seen.timer
            && seen.child
            && seen.signal
            && seen.socket
            && seen.thread)
        {
            let readable = socket.as_ref().map_or(never(), Watch::readable);
            select! {
                recv(messages) -> message => {
                    println!("a message: {message:?}");
                    assert!(!seen.message);
                    seen.message = true;
                    messages = never();
                }
                recv(timer) -> moment => {
                    println!("a timer: {moment:?}");
                    seen.timer = true;
                    timer = never();
                }
                recv(exited) -> _ => {
                    println!("a child: {}", child.wait()?);
                    seen.child = true;
                    exited = never();
                }
                recv(signals) -> signal => {
                    println!("a signal: {signal:?}");
                    assert_eq!(signal, Ok(SIGUSR1));
                    seen.signal = true;
                }
                recv(readable) -> _ => {
                    let mut text = [0; 64];
                    let count = socket.take().map_or(Ok(0), |socket| socket.into_inner().read(&mut text))?;
                    println!("a socket: {:?}", String::from_utf8_lossy(&text[..count]));
                    seen.socket = true;
                }
                recv(done) -> _ => {
                    println!("the end of a thread");
                    seen.thread = true;
                    done = never();
                }
                recv(limit) -> _ => panic!("within a minute only {seen:?} came"),
            }
        }
        assert_eq!(thread.join().ok(), Some(true));
        println!("all of them");
        Ok(())
    })
}
