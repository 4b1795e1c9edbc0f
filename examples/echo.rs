//! A TCP echo server with a thread for each connection: in `echo_threads.rs` one of std's,
//! in `echo.rs` a green one. The diff between the two files is all that it takes.
//!
//! A client has to read while it sends: an echo server that kept all that a client does not read would need memory without
//! bound. This one waits until the client reads.
#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

use rustlet::net::{TcpListener, TcpStream};
use rustlet::thread;

use std::env::args;
use std::io::{self, Read, Write};
use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const HELP: &str = "\
Sends back whatever it receives, until Ctrl-C.

usage: echo [OPTIONS] [ADDRESS]

ADDRESS            where to listen, 127.0.0.1:7777 if not given; port 0 lets the system choose
--stats SECONDS    print a line of statistics every so many seconds
--help             print this text";

static STOP: AtomicBool = AtomicBool::new(false);
static ACCEPTED: AtomicU64 = AtomicU64::new(0);
static CLOSED: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

fn main() -> io::Result<()> {
    let options = options().unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    rustlet::run(|| serve(&options))
}

/// Accepts connections, each on a thread of its own, until Ctrl-C.
fn serve(options: &Options) -> io::Result<()> {
    let listener = TcpListener::bind(&options.address)?;
    println!("listening on {}", listener.local_addr()?);

    let main = thread::current();
    let stop = move || {
        STOP.store(true, Relaxed);
        main.unpark();
    };
    ctrlc::set_handler(stop).map_err(io::Error::other)?;

    if let Some(every) = options.stats {
        thread::spawn(move || report(every));
    }
    thread::spawn(move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(handle) {
                eprintln!("cannot take a connection: {error}");
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
    while !STOP.load(Relaxed) {
        thread::park();
    }
    println!(
        "accepted {}, echoed {} bytes",
        ACCEPTED.load(Relaxed),
        BYTES.load(Relaxed)
    );
    Ok(())
}

/// Gives a connection a thread.
fn handle(stream: TcpStream) -> io::Result<()> {
    ACCEPTED.fetch_add(1, Relaxed);
    let served = thread::Builder::new().spawn(move || {
        if echo(stream).is_err() {
            FAILED.fetch_add(1, Relaxed);
        }
        CLOSED.fetch_add(1, Relaxed);
    });
    served.map(drop).inspect_err(|_| {
        CLOSED.fetch_add(1, Relaxed);
    })
}

/// Sends back what arrives, until the other side has no more to say.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        // First, so that whoever has an answer finds it counted.
        BYTES.fetch_add(length as u64, Relaxed);
        stream.write_all(&buffer[..length])?;
    }
}

/// Prints a line of statistics every so often.
fn report(every: Duration) {
    let (mut then, mut accepted_then, mut bytes_then) = (Instant::now(), 0, 0);
    loop {
        thread::sleep(every);
        let (now, accepted, bytes) = (Instant::now(), ACCEPTED.load(Relaxed), BYTES.load(Relaxed));
        let seconds = (now - then).as_secs_f64();
        println!(
            "{} open, {accepted} accepted ({:.0}/s), {} failed, {bytes} bytes ({:.0}/s)",
            accepted.saturating_sub(CLOSED.load(Relaxed)),
            (accepted - accepted_then) as f64 / seconds,
            FAILED.load(Relaxed),
            (bytes - bytes_then) as f64 / seconds,
        );
        (then, accepted_then, bytes_then) = (now, accepted, bytes);
    }
}

/// What the command line asks for.
struct Options {
    address: String,
    stats: Option<Duration>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        address: "127.0.0.1:7777".into(),
        stats: None,
    };
    let mut args = args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().unwrap_or_default();
            text.parse::<u32>()
                .ok()
                .filter(|&n| n > 0)
                .ok_or(format!("{arg} wants a number above 0, not '{text}'"))
        };
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--stats" => options.stats = Some(Duration::from_secs(number()?.into())),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => options.address = arg,
        }
    }
    Ok(options)
}
