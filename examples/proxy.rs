//! A TCP proxy: what comes in on one address goes to another, and back.
//!
//! What it shows: two directions of one connection are two green threads, each a loop that reads and writes, inside a
//! `scope`, which ends when both have. The end of one direction is passed on (`shutdown`) while the other goes on: half-close. Time limits are those
//! of the sockets. There are as many connections at a time as one says; more wait.
//!
//! ```sh
//! cargo run --release --example echo &
//! cargo run --release --example proxy -- 127.0.0.1:7777 127.0.0.1:8888
//! ```
//!
//! To try against it: `printf 'hello\n' | nc -N 127.0.0.1 8888`, which needs the half-close to get its answer; a `wrk` through it at the example `httpd`;
//! an address where nobody listens; and Ctrl-C, for the statistics.
#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

use rustlet::channel::select;
use rustlet::net::{Server, Shutdown, TcpStream, ToSocketAddrs};
use rustlet::signal::{self, SIGINT, SIGTERM};
use rustlet::thread;

use std::env::args;
use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const HELP: &str = "\
Passes TCP connections on, until Ctrl-C.

usage: proxy [OPTIONS] TARGET [ADDRESS]

TARGET                 where connections go
ADDRESS                where to listen, 127.0.0.1:8888 if not given; port 0 lets the system choose
--connections N        so many at a time, 1000 if not given; others wait
--connect-timeout MS   give up connecting after so long, 5000 if not given
--idle-timeout MS      end a connection on which nothing has moved for so long, 60000 if not given
--workers N            run on so many workers (OS threads), one per core if not given
--help                 print this text";

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static UNREACHABLE: AtomicU64 = AtomicU64::new(0);
static IDLE: AtomicU64 = AtomicU64::new(0);
static BROKEN: AtomicU64 = AtomicU64::new(0);
static BYTES_THERE: AtomicU64 = AtomicU64::new(0);
static BYTES_BACK: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let options = options().unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    let mut builder = rustlet::Builder::new();
    if let Some(workers) = options.workers {
        builder = builder.workers(workers);
    }
    builder.build()?.run(|| serve(options))
}

/// Serves until Ctrl-C. The connections that are open then are cancelled when this returns.
fn serve(options: Options) -> io::Result<()> {
    let server = Server::bind(&options.address)?.max_connections(options.connections);
    let told_to_end = signal::notify(&[SIGINT, SIGTERM])?;
    println!("listening on {}", server.local_addr()?);

    let serving = thread::spawn(move || server.serve(move |client| pass_on(&client, &options)));
    select! {
        recv(told_to_end) -> _ => {}
        recv(serving.done()) -> _ => return serving.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
    println!(
        "accepted {}, of them {} found nobody, {} idle, {} broken; {} bytes there, {} back",
        ACCEPTED.load(Relaxed),
        UNREACHABLE.load(Relaxed),
        IDLE.load(Relaxed),
        BROKEN.load(Relaxed),
        BYTES_THERE.load(Relaxed),
        BYTES_BACK.load(Relaxed),
    );
    Ok(())
}

/// One connection, from its acceptance to its end.
fn pass_on(client: &TcpStream, options: &Options) {
    ACCEPTED.fetch_add(1, Relaxed);
    let Ok(target) = connect(options) else {
        UNREACHABLE.fetch_add(1, Relaxed);
        return;
    };
    // A connection that breaks while it is set up is as broken as any other.
    if join(client, &target, options.idle).is_err() {
        BROKEN.fetch_add(1, Relaxed);
    }
}

/// To the first address of the target that answers in time.
fn connect(options: &Options) -> io::Result<TcpStream> {
    let mut failure = io::ErrorKind::NotFound.into();
    for address in options.target.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, options.connect) {
            Ok(target) => return Ok(target),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Both directions, until both have ended, or one fails.
fn join(client: &TcpStream, target: &TcpStream, idle: Duration) -> io::Result<()> {
    for stream in [client, target] {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(idle))?;
    }
    let moved = Moved::new(idle);
    let failed = AtomicBool::new(false);
    let one_way = |from, to, bytes| {
        let Err(error) = copy(from, to, &moved, bytes) else {
            return;
        };
        // The failure of the other direction is a consequence of this one.
        if !failed.swap(true, Relaxed) {
            let idle = error.kind() == io::ErrorKind::WouldBlock;
            let counter = if idle { &IDLE } else { &BROKEN };
            counter.fetch_add(1, Relaxed);
        }
        // It wakes, and waits no longer for what cannot come.
        for stream in [client, target] {
            drop(stream.shutdown(Shutdown::Both));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| one_way(client, target, &BYTES_THERE));
        one_way(target, client, &BYTES_BACK);
    });
    Ok(())
}

/// One direction: until its sender has no more to say, which the receiver is told.
fn copy(
    mut from: &TcpStream,
    mut to: &TcpStream,
    moved: &Moved,
    bytes: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        from.set_read_timeout(Some(moved.time_left()?))?;
        let length = match from.read(&mut buffer) {
            Ok(0) => return to.shutdown(Shutdown::Write),
            Ok(length) => length,
            // Out of time; unless the other direction has moved something.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        bytes.fetch_add(length as u64, Relaxed);
        to.write_all(&buffer[..length])?;
        moved.now();
    }
}

/// When something has moved on a connection, in either direction.
struct Moved {
    begin: Instant,
    /// Milliseconds after `begin`.
    last: AtomicU64,
    idle: Duration,
}

impl Moved {
    fn new(idle: Duration) -> Moved {
        Moved {
            begin: Instant::now(),
            last: AtomicU64::new(0),
            idle,
        }
    }

    fn now(&self) {
        let elapsed = self.begin.elapsed().as_millis() as u64;
        self.last.store(elapsed, Relaxed);
    }

    /// How long nothing may move from now on; an error when nothing has for too long.
    fn time_left(&self) -> io::Result<Duration> {
        let idle_since = Duration::from_millis(self.last.load(Relaxed));
        let left = (idle_since + self.idle).saturating_sub(self.begin.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(left)
    }
}

/// What the command line asks for.
struct Options {
    target: String,
    address: String,
    connections: usize,
    connect: Duration,
    idle: Duration,
    workers: Option<usize>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        target: String::new(),
        address: "127.0.0.1:8888".into(),
        connections: 1_000,
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        workers: None,
    };
    let mut words = Vec::new();
    let mut args = args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().unwrap_or_default();
            let number = text.parse::<u32>().ok().filter(|&n| n > 0);
            number.ok_or(format!("{arg} wants a number above 0, not '{text}'"))
        };
        let milliseconds = |number: u32| Duration::from_millis(number.into());
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--connections" => options.connections = number()? as usize,
            "--connect-timeout" => options.connect = milliseconds(number()?),
            "--idle-timeout" => options.idle = milliseconds(number()?),
            "--workers" => options.workers = Some(number()? as usize),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => words.push(arg),
        }
    }
    let mut words = words.into_iter();
    options.target = words.next().ok_or("where to?")?;
    options.address = words.next().unwrap_or(options.address);
    match words.next() {
        None => Ok(options),
        Some(word) => Err(format!("one word too many: {word}")),
    }
}
