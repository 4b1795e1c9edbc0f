//! A TCP proxy: what arrives on one address goes to another, and back.
//!
//! What it shows: the two directions of a connection are two green threads, each a loop that reads
//! and writes, inside a `scope` that ends when both have ended. The end of one direction is passed
//! on with `shutdown` while the other continues (half-close). Time limits are those of the sockets.
//! The number of connections is limited; more of them wait.
//!
//! ```sh
//! cargo run --release --example echo &
//! cargo run --release --example proxy -- 127.0.0.1:7777 127.0.0.1:8888
//! ```
//!
//! To try against it: `printf 'hello\n' | nc -N 127.0.0.1 8888`, which needs the half-close to get
//! its answer; a `wrk` through it at the example `httpd`; a target where no server listens; and
//! Ctrl-C, for the statistics.

mod support;

use rustlet::channel::select;
use rustlet::net::{Server, Shutdown, TcpStream, ToSocketAddrs};
use rustlet::signal::{self, SIGINT, SIGTERM};
use rustlet::thread;

use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use support::{Args, cannot, misuse};

const HELP: &str = "\
[OPTIONS] TARGET [ADDRESS]

Forwards TCP connections to another address, until Ctrl-C.

TARGET                 where connections go
ADDRESS                where to listen (default 127.0.0.1:8888; port 0: the system chooses)
--connections N        how many at a time (default 1000); others wait
--connect-timeout MS   how long connecting to the target may take (default 5000)
--idle-timeout MS      close a connection that moves no bytes for this long (default 60000)
--workers N            run on N workers (OS threads; default one per core)
--help                 print this text";

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static UNREACHABLE: AtomicU64 = AtomicU64::new(0);
static IDLE: AtomicU64 = AtomicU64::new(0);
static BROKEN: AtomicU64 = AtomicU64::new(0);
static BYTES_THERE: AtomicU64 = AtomicU64::new(0);
static BYTES_BACK: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let options = Options::read(args)?;
        runtime.build()?.run(|| serve(options))
    })
}

/// Serves until Ctrl-C. The connections that are open then are cancelled when this returns.
fn serve(options: Options) -> support::Result {
    let address = &options.address;
    let server = Server::bind(address).map_err(cannot("listen on", address))?;
    let server = server.max_connections(options.connections);
    let interrupted = signal::notify(&[SIGINT, SIGTERM])?;
    println!("listening on {}", server.local_addr()?);

    let serving = thread::spawn(move || server.serve(move |client| forward(&client, &options)));
    select! {
        recv(interrupted) -> _ => {}
        recv(serving.done()) -> _ => {
            return Ok(serving.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
    }
    println!(
        "accepted {}, of them {} unreachable, {} idle, {} broken; {} bytes there, {} back",
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
fn forward(client: &TcpStream, options: &Options) {
    ACCEPTED.fetch_add(1, Relaxed);
    let Ok(target) = connect(options) else {
        UNREACHABLE.fetch_add(1, Relaxed);
        return;
    };
    if join(client, &target, options.idle).is_err() {
        BROKEN.fetch_add(1, Relaxed);
    }
}

/// Connects to the first address of the target that answers in time.
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

/// Copies in both directions until both have ended or one fails.
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
        // Only the first failure counts: it causes that of the other direction.
        if !failed.swap(true, Relaxed) {
            let idle = error.kind() == io::ErrorKind::WouldBlock;
            let counter = if idle { &IDLE } else { &BROKEN };
            counter.fetch_add(1, Relaxed);
        }
        // Wakes the other direction.
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

/// Copies one direction until its sender closes, and passes the end on.
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
            // Timed out, unless the other direction has moved bytes meanwhile.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        bytes.fetch_add(length as u64, Relaxed);
        to.write_all(&buffer[..length])?;
        moved.now();
    }
}

/// When bytes have last moved on a connection, in either direction.
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

    /// How long the connection may stay idle from now on; an error when that time is over.
    fn time_left(&self) -> io::Result<Duration> {
        let idle_since = Duration::from_millis(self.last.load(Relaxed));
        let left = (idle_since + self.idle).saturating_sub(self.begin.elapsed());
        if left.is_zero() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(left)
    }
}

/// The command line.
struct Options {
    target: String,
    address: String,
    connections: usize,
    connect: Duration,
    idle: Duration,
}

impl Options {
    fn read(args: &mut Args) -> support::Result<Options> {
        let connect = args.milliseconds("--connect-timeout")?;
        let idle = args.milliseconds("--idle-timeout")?;
        let options = Options {
            connections: args.number("--connections", 1)?.unwrap_or(1_000) as usize,
            connect: connect.unwrap_or(Duration::from_secs(5)),
            idle: idle.unwrap_or(Duration::from_secs(60)),
            target: args.word()?.ok_or_else(|| misuse("TARGET is missing"))?,
            address: args.word_or("127.0.0.1:8888")?,
        };
        args.end()?;
        Ok(options)
    }
}
