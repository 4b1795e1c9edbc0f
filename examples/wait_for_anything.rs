//! One `select!` that waits for a message, a timer, a child process, a signal, a socket and the end
//! of a green thread.
//!
//! What it shows: everything that can be waited for is a channel.
//!
//! ```sh
//! cargo run --release --example wait_for_anything
//! ```
//!
//! The program causes all six events itself, checks that each arrives once, and ends. To try:
//! remove one of the events, and see what the last arm of `select!` says after a minute.

mod support;

use rustlet::channel::{after, never, select, unbounded};
use rustlet::io::Watch;
use rustlet::net::{TcpListener, TcpStream};
use rustlet::process::{Command, Stdio};
use rustlet::signal::{self, SIGUSR1};

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
[--help]

Waits for six kinds of events with one `select!`.";

/// The events that have arrived.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    message: bool,
    timer: bool,
    child: bool,
    signal: bool,
    socket: bool,
    thread: bool,
}

fn main() -> ExitCode {
    support::main(HELP, |args| {
        args.end()?;
        Ok(rustlet::run(wait_for_all)?)
    })
}

fn wait_for_all() -> io::Result<()> {
    // A message from a green thread; the end of that thread is another event.
    let (sender, messages) = unbounded();
    let thread = rustlet::spawn(move || sender.send("hello").is_ok());

    // A timer.
    let mut timer = after(Duration::from_millis(20));

    // A child process, which exits when its standard input is closed.
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;

    // A signal from another child process.
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

    // A channel that stays ready, or closed, is replaced by one that never is.
    let mut exited = child.exited();
    let mut done = thread.done();
    let mut messages = messages;
    let mut seen = Seen::default();
    let limit = after(Duration::from_secs(60));
    while !(seen.message && seen.timer && seen.child && seen.signal && seen.socket && seen.thread) {
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
}
