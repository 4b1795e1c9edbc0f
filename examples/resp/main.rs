//! A small server that speaks the protocol of Redis (RESP2 and inline commands), with keys that
//! expire.
//!
//! What it shows: a protocol read by sequential code. [`protocol::read_command`] reads a line, then
//! as many bytes as it announces, then the next line. Where the bytes have not arrived, its green
//! thread waits; there is no state machine, and no buffer for half a command. Pipelining needs no
//! code of its own: [`Turns`] sends the replies when there is nothing left to read, in one write
//! for a whole batch. Another green thread removes expired keys.
//!
//! A client may send a huge pipeline before it reads the first reply. If the server then only
//! wrote, both sides would wait for each other forever. So while replies wait for the client, a
//! second green thread reads on and keeps what the client sends, up to 64 MiB. A client that sends
//! more without reading is disconnected.
//!
//! - [`protocol`] reads commands and writes replies;
//! - [`keyspace`] holds the keys and their deadlines;
//! - [`commands`] implements the commands.
//!
//! ```sh
//! cargo run --release --example resp
//! ```
//!
//! To try against it: `redis-cli -p 6380`; `redis-benchmark -p 6380 -t ping,set,get,incr -q`, and
//! again with `-P 16`, which sends 16 commands at a time; or without a client of Redis
//! `printf 'set a 1\r\nincr a\r\n' | nc -N 127.0.0.1 6380`.

mod commands;
mod keyspace;
mod protocol;
#[path = "../support/mod.rs"]
mod support;

use keyspace::Keyspace;
use protocol::{Problem, Reply};
use support::cannot;

use rustlet::channel::select;
use rustlet::net::{Server, Shutdown, TcpStream};
use rustlet::signal::{self, SIGINT, SIGTERM};
use rustlet::sync::{Mutex, MutexGuard};
use rustlet::thread;

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

const HELP: &str = "\
[OPTIONS] [ADDRESS]

A server for clients of Redis, until Ctrl-C. It keeps nothing on disk.

ADDRESS            where to listen (default 127.0.0.1:6380; port 0: the system chooses)
--connections N    how many at a time (default 10000); others wait
--workers N        run on N workers (OS threads; default one per core)
--help             print this text";

/// Replies are sent when they are this many bytes, even if more commands have arrived.
const MAX_BATCH: usize = 64 * 1024;
/// How many bytes a client may send while it does not read its replies.
const MAX_AHEAD: usize = 64 * 1024 * 1024;
/// How often expired keys are removed, and how many at a time: commands wait meanwhile.
const SWEEP_INTERVAL: Duration = Duration::from_millis(100);
const KEYS_PER_SWEEP: usize = 1_000;

static EXECUTED: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let connections = args.number("--connections", 1)?.unwrap_or(10_000);
        let address = args.word_or("127.0.0.1:6380")?;
        args.end()?;
        let runtime = runtime.build()?;
        runtime.run(|| serve(&address, connections as usize))
    })
}

/// Serves until Ctrl-C. The connections that are open then are cancelled when this returns.
fn serve(address: &str, connections: usize) -> support::Result {
    let server = Server::bind(address).map_err(cannot("listen on", address))?;
    let server = server.max_connections(connections);
    let interrupted = signal::notify(&[SIGINT, SIGTERM])?;
    println!("listening on {}", server.local_addr()?);

    let keys = Arc::new(Mutex::new(Keyspace::default()));
    let swept = Arc::clone(&keys);
    thread::spawn(move || sweep(&swept));
    let serving = thread::spawn(move || {
        server.serve(move |stream| {
            // An error ends this connection only.
            drop(converse(&keys, &stream));
        })
    });
    select! {
        recv(interrupted) -> _ => {}
        recv(serving.done()) -> _ => {
            return Ok(serving.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
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
            // After a malformed command, the start of the next one is unknown.
            Err(Problem::Protocol(text)) => (Reply::Error(text), true),
            Err(Problem::Io(error)) => return Err(error),
        };
        let turns = reader.get_mut();
        reply.write_to(&mut turns.replies);
        if last || turns.replies.len() >= MAX_BATCH {
            turns.send()?;
        }
        if last {
            return Ok(());
        }
    }
}

/// A connection whose reads first send the replies that the client may be waiting for.
struct Turns<'a> {
    stream: &'a TcpStream,
    replies: Vec<u8>,
    /// Bytes that were read while replies were sent.
    ahead: VecDeque<u8>,
}

impl Turns<'_> {
    fn send(&mut self) -> io::Result<()> {
        let (mut stream, reader, ahead) = (self.stream, self.stream, &mut self.ahead);
        // Nearly always the socket's buffer has room for all of it.
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
                // Nothing is lost: a cancelled read has consumed no bytes.
                reading.cancel();
                drop(reading.join());
                result
            })?;
        }
        self.replies.clear();
        Ok(())
    }
}

/// Reads until the client closes; too many bytes end the connection.
fn read_ahead(mut stream: &TcpStream, ahead: &mut VecDeque<u8>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        ahead.extend(&bytes[..count]);
        if ahead.len() > MAX_AHEAD {
            // Ends the writing thread too.
            drop(stream.shutdown(Shutdown::Both));
            return;
        }
    }
}

/// Called by the `BufReader` when its buffer is empty.
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
            // Gives the memory back; it may be a lot.
            self.ahead = VecDeque::new();
        }
        Ok(count)
    }
}

/// Removes expired keys, also those that no command names any more.
fn sweep(keys: &Mutex<Keyspace>) {
    loop {
        thread::sleep(SWEEP_INTERVAL);
        while lock(keys).sweep(Instant::now(), KEYS_PER_SWEEP) == KEYS_PER_SWEEP {
            thread::yield_now();
        }
    }
}

/// Ignores poisoning: a panic leaves each key as it was before its command or after it.
fn lock(keys: &Mutex<Keyspace>) -> MutexGuard<'_, Keyspace> {
    keys.lock().unwrap_or_else(PoisonError::into_inner)
}
