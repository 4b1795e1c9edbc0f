//! A TCP echo server with one thread for each connection.
//!
//! What it shows: the same program on std's threads (`echo_threads.rs`) and on green threads
//! (`echo.rs`). The two files differ in three lines; a test compares them.
//!
//! ```sh
//! cargo run --release --example echo
//! cargo run --release --example echo_threads
//! ```
//!
//! To try against it, in another terminal: `printf 'hello\n' | nc -N 127.0.0.1 7777`, and the load
//! driver of the benchmarks, `cargo run --release --manifest-path benches/Cargo.toml --bin load`.
//! A client has to read while it sends: the server reads on only when it has sent its answer.

mod support;

use std::net::{TcpListener, TcpStream};
use std::thread;

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const HELP: &str = "\
[OPTIONS] [ADDRESS]

Sends back what it receives, until Ctrl-C.

ADDRESS            where to listen (default 127.0.0.1:7777; port 0: the system chooses)
--stats SECONDS    print a line of statistics at this interval
--help             print this text";

static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static ECHOED: AtomicU64 = AtomicU64::new(0);

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let stats = args.seconds("--stats")?;
        let address = args.word_or("127.0.0.1:7777")?;
        args.end()?;
        serve(&address, stats)
    })
}

/// Accepts connections and starts a thread for each.
fn serve(address: &str, stats: Option<Duration>) -> support::Result {
    let listener = TcpListener::bind(address).map_err(support::cannot("listen on", address))?;
    println!("listening on {}", listener.local_addr()?);
    if let Some(interval) = stats {
        thread::spawn(move || report(interval));
    }
    for stream in listener.incoming() {
        let start = |stream| thread::Builder::new().spawn(move || echo(stream));
        if let Err(error) = stream.and_then(start) {
            eprintln!("cannot accept a connection: {error}");
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Sends back what arrives, until the client closes its side.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    ACCEPTED.fetch_add(1, Relaxed);
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    while let length @ 1.. = stream.read(&mut buffer)? {
        stream.write_all(&buffer[..length])?;
        ECHOED.fetch_add(length as u64, Relaxed);
    }
    Ok(())
}

/// Prints a line of statistics at each interval.
fn report(interval: Duration) {
    loop {
        thread::sleep(interval);
        println!("accepted {ACCEPTED:?} connections, echoed {ECHOED:?} bytes");
    }
}
