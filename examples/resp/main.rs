//! A small server that speaks the protocol of Redis (RESP2, and lines typed by hand), with keys that expire.
//!
//! What it shows: a protocol read by plain sequential code. [`protocol::read_command`] is a function that reads a line, then so many
//! bytes, then the next line, and where the bytes are not there yet, its green thread waits; there is no state machine, and no buffer of
//! half a command to keep. Pipelining comes with it: [`Turns`] sends the answers when there is nothing left to read, in one write for all
//! that came together. A green thread beside them sweeps out what has expired.
//!
//! A client may send a huge pipeline before it reads the first answer. If the server insisted on sending then, both sides would
//! wait for each other, for ever. So while the answers wait for the client, a second green thread reads on, and keeps what the client
//! sends for later: up to 64 MiB. A client that sends more without reading is cut off.
//!
//! - [`protocol`] reads commands and writes replies;
//! - [`keyspace`] holds the keys and their deadlines;
//! - [`commands`] says what each command does.
//!
//! ```sh
//! cargo run --release --example resp
//! ```
//!
//! To try against it: `redis-cli -p 6380`; `redis-benchmark -p 6380 -t ping,set,get,incr -q`, and again with `-P 16`, which sends 16 commands at
//! a time; `printf 'set a 1\r\nincr a\r\n' | nc -N 127.0.0.1 6380`.
#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

mod commands;
mod keyspace;
mod protocol;

use keyspace::Keyspace;
use protocol::{Problem, Reply};

use rustlet::channel::select;
use rustlet::net::{Server, Shutdown, TcpStream};
use rustlet::signal::{self, SIGINT, SIGTERM};
use rustlet::sync::{Mutex, MutexGuard};
use rustlet::thread;

use std::collections::VecDeque;
use std::env::args;
use std::io::{self, BufReader, Read, Write};
use std::panic::resume_unwind;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

const HELP: &str = "\
Speaks the protocol of Redis, until Ctrl-C. Nothing is kept on disk.

usage: resp [OPTIONS] [ADDRESS]

ADDRESS            where to listen, 127.0.0.1:6380 if not given; port 0 lets the system choose
--connections N    serve so many at a time, 10000 if not given; others wait
--workers N        run on so many workers (OS threads), one per core if not given
--help             print this text";

/// The answers to a batch are sent when they are this many bytes, even if more commands have come.
const ENOUGH_TO_SEND: usize = 64 * 1024;
/// What a client may send, in bytes, while it does not read the answers to what it has sent before.
const MOST_AHEAD: usize = 64 * 1024 * 1024;
/// How often what has expired is swept out, and how much of it at a time: commands wait meanwhile.
const SWEEP_EVERY: Duration = Duration::from_millis(100);
const SWEEP_AT_ONCE: usize = 1_000;

static EXECUTED: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let options = options().unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    let mut builder = rustlet::Builder::new();
    if let Some(workers) = options.workers {
        builder = builder.workers(workers);
    }
    builder.build()?.run(|| serve(&options))
}

/// Serves until Ctrl-C. The connections that are open then are cancelled when this returns.
fn serve(options: &Options) -> io::Result<()> {
    let server = Server::bind(&options.address)?.max_connections(options.connections);
    let told_to_end = signal::notify(&[SIGINT, SIGTERM])?;
    println!("listening on {}", server.local_addr()?);

    let keys = Arc::new(Mutex::new(Keyspace::default()));
    let swept = Arc::clone(&keys);
    thread::spawn(move || sweep(&swept));
    let serving = thread::spawn(move || {
        server.serve(move |stream| {
            // A client that left: nobody is there to be told.
            drop(converse(&keys, &stream));
        })
    });
    select! {
        recv(told_to_end) -> _ => {}
        recv(serving.done()) -> _ => return serving.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
    println!("executed {} commands", EXECUTED.load(Relaxed));
    Ok(())
}

/// One connection: a command, its reply, the next.
fn converse(keys: &Mutex<Keyspace>, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let turns = Turns {
        stream,
        replies: Vec::new(),
        ahead: VecDeque::new(),
    };
    let mut reader = BufReader::with_capacity(16 * 1024, turns);
    loop {
        let (reply, last) = match protocol::read_command(&mut reader) {
            Ok(None) => return Ok(()),
            Ok(Some(command)) => {
                EXECUTED.fetch_add(1, Relaxed);
                let last = command[0].eq_ignore_ascii_case(b"quit");
                (commands::execute(keys, &command), last)
            }
            // What comes next cannot be told from the middle of something.
            Err(Problem::Protocol(text)) => (Reply::Error(text), true),
            Err(Problem::Io(error)) => return Err(error),
        };
        let turns = reader.get_mut();
        reply.write_to(&mut turns.replies);
        if last || turns.replies.len() >= ENOUGH_TO_SEND {
            turns.send()?;
        }
        if last {
            return Ok(());
        }
    }
}

/// The two directions of a connection take turns: whoever is about to wait for the client first sends what the
/// client may be waiting for.
struct Turns<'a> {
    stream: &'a TcpStream,
    replies: Vec<u8>,
    /// What was read while replies were sent.
    ahead: VecDeque<u8>,
}

impl Turns<'_> {
    fn send(&mut self) -> io::Result<()> {
        let (mut stream, reader, ahead) = (self.stream, self.stream, &mut self.ahead);
        // Nearly always, the system has room for all of it.
        stream.set_nonblocking(true)?;
        let sent = stream.write(&self.replies);
        stream.set_nonblocking(false)?;
        let sent = match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        if sent < self.replies.len() {
            thread::scope(|scope| {
                let reading = scope.spawn(|| read_ahead(reader, ahead));
                let result = stream.write_all(&self.replies[sent..]);
                // It may be waiting, and has lost nothing then: a read that is cancelled has read nothing.
                reading.cancel();
                drop(reading.join());
                result
            })?;
        }
        self.replies.clear();
        Ok(())
    }
}

/// Reads until there is no more, or too much: then the connection is ended.
fn read_ahead(mut stream: &TcpStream, ahead: &mut VecDeque<u8>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        ahead.extend(&bytes[..count]);
        if ahead.len() > MOST_AHEAD {
            // Whoever is sending hears of it.
            drop(stream.shutdown(Shutdown::Both));
            return;
        }
    }
}

/// Called by the `BufReader` when it has nothing left of what came before.
impl Read for Turns<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() && !self.replies.is_empty() {
            self.send()?;
        }
        if self.ahead.is_empty() {
            return self.stream.read(buffer);
        }
        let count = self.ahead.read(buffer)?;
        if self.ahead.is_empty() {
            // It may have become large.
            self.ahead = VecDeque::new();
        }
        Ok(count)
    }
}

/// Removes keys whose time is up, also those that nobody asks for any more.
fn sweep(keys: &Mutex<Keyspace>) {
    loop {
        thread::sleep(SWEEP_EVERY);
        while lock(keys).sweep(Instant::now(), SWEEP_AT_ONCE) == SWEEP_AT_ONCE {
            thread::yield_now();
        }
    }
}

/// A panic elsewhere has left every key as it was or as it was to be.
fn lock(keys: &Mutex<Keyspace>) -> MutexGuard<'_, Keyspace> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the command line asks for.
struct Options {
    address: String,
    connections: usize,
    workers: Option<usize>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        address: "127.0.0.1:6380".into(),
        connections: 10_000,
        workers: None,
    };
    let mut args = args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().unwrap_or_default();
            let number = text.parse::<u32>().ok().filter(|&n| n > 0);
            number.ok_or(format!("{arg} wants a number above 0, not '{text}'"))
        };
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--connections" => options.connections = number()? as usize,
            "--workers" => options.workers = Some(number()? as usize),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => options.address = arg,
        }
    }
    Ok(options)
}
