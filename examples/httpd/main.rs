//! A web server: the files of a folder, and listings of its directories, over HTTP/1.1.
//!
//! What it shows: a server of many connections in the plainest style there is. Each connection has a green thread that
//! reads a request, answers it, and reads the next; what looks like a blocking read suspends that thread only.
//! Time limits are ordinary timeouts of the socket. Files block, whatever one does, so everything that touches them
//! goes to the pool of OS threads: in one piece by `unblock`, or call by call by `rustlet::fs`.
//!
//! - [`request`] turns bytes into a request, or into the status that refuses it;
//! - [`files`] finds what was asked for, never outside the folder, and says what to send: plain code, without a line about threads;
//! - [`listing`] writes the page for a directory;
//! - this file moves the bytes: keep-alive, pipelining, limits, and a graceful end on Ctrl-C.
//!
//! ```sh
//! cargo run --release --example httpd -- /usr/share/doc
//! ```
//!
//! To try against it: a browser; `curl -v --range 0-99 http://127.0.0.1:8080/FILE`; `curl --path-as-is http://127.0.0.1:8080/../../etc/passwd`;
//! `wrk -c 100 http://127.0.0.1:8080/FILE`; and `nc 127.0.0.1 8080`, to be too slow.
#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

mod files;
mod listing;
mod request;

use files::{Body, Response, Site};
use request::{Request, Status};

use rustlet::channel::select;
use rustlet::net::{Server, Shutdown, TcpStream};
use rustlet::signal::{self, SIGINT, SIGTERM};
use rustlet::thread;

use std::env::args;
use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

const HELP: &str = "\
Serves the files of a folder over HTTP/1.1, until Ctrl-C.

usage: httpd [OPTIONS] [FOLDER] [ADDRESS]

FOLDER               what to serve, the current directory if not given
ADDRESS              where to listen, 127.0.0.1:8080 if not given; port 0 lets the system choose
--connections N      serve so many at a time, 10000 if not given; others wait
--head-timeout MS    a request must be here so long after its first byte, 10000 if not given
--idle-timeout MS    wait so long for the next request, 30000 if not given
--workers N          run on so many workers (OS threads), one per core if not given
--help               print this text";

/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 16 * 1024;
/// The longest first line of a request, which names the file.
const LONGEST_LINE: usize = 8 * 1024;
/// How much of a file is read, and sent, at a time.
const CHUNK: usize = 64 * 1024;
/// So long may a client take for a chunk. One that is slower is cut off.
const CHUNK_WITHIN: Duration = Duration::from_secs(20);
/// At Ctrl-C, so long may the answers take that are under way.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

static ENDING: AtomicBool = AtomicBool::new(false);
static ANSWERING: AtomicUsize = AtomicUsize::new(0);
static ANSWERED: AtomicUsize = AtomicUsize::new(0);

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

/// Serves until Ctrl-C, then lets the answers end that are under way. Connections that have nothing to do are
/// cancelled when this returns.
fn serve(options: Options) -> io::Result<()> {
    let site = Arc::new(Site::open(&options.folder)?);
    let server = Server::bind(&options.address)?.max_connections(options.connections);
    let told_to_end = signal::notify(&[SIGINT, SIGTERM])?;
    println!("listening on {}", server.local_addr()?);

    let handle = server.handle();
    let timeouts = options.timeouts;
    let serving =
        thread::spawn(move || server.serve(move |stream| converse(&site, &stream, timeouts)));
    select! {
        recv(told_to_end) -> _ => {}
        recv(serving.done()) -> _ => return serving.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
    ENDING.store(true, Relaxed);
    handle.shutdown();
    let deadline = Instant::now() + LAST_ANSWERS_WITHIN;
    while ANSWERING.load(Relaxed) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    println!("answered {} requests", ANSWERED.load(Relaxed));
    Ok(())
}

/// One connection, from its first request to its end.
fn converse(site: &Arc<Site>, stream: &TcpStream, timeouts: Timeouts) {
    let mut connection = Connection {
        stream,
        timeouts,
        input: Vec::new(),
        output: Vec::new(),
    };
    let ended = match connection.answer_all(site) {
        Ok(()) => connection.close(),
        Err(End::Refused(status)) => {
            let refusal = Response::refusal(status);
            let sent = connection.send(refusal, true, false);
            sent.and_then(|()| connection.close())
        }
        Err(End::Lost(error)) => Err(error),
    };
    // A client that left, or was too slow: nobody is there to be told.
    drop(ended);
}

/// Why a connection ends before its time.
enum End {
    /// What was received is no request that we serve.
    Refused(Status),
    /// Nothing can be said to the client any more.
    Lost(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Lost(error)
    }
}

struct Connection<'a> {
    stream: &'a TcpStream,
    timeouts: Timeouts,
    /// Received, and not understood yet.
    input: Vec<u8>,
    /// To be sent.
    output: Vec<u8>,
}

impl Connection<'_> {
    fn answer_all(&mut self, site: &Arc<Site>) -> Result<(), End> {
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(CHUNK_WITHIN))?;
        while let Some(request) = self.receive()? {
            let _answering = Answering::new();
            let keep_alive = request.keep_alive && !ENDING.load(Relaxed);
            let with_body = !request.is_head;
            let site = Arc::clone(site);
            let response = rustlet::unblock(move || site.respond(&request));
            self.send(response, with_body, keep_alive)?;
            if !keep_alive {
                self.flush()?;
                break;
            }
        }
        Ok(())
    }

    /// The next request; none when the client has no more, or says nothing for long.
    fn receive(&mut self) -> Result<Option<Request>, End> {
        let mut deadline = Instant::now() + self.timeouts.idle;
        let mut has_begun = false;
        let mut has_new_line = true;
        loop {
            // Not for each piece that comes, which may be a byte.
            if has_new_line {
                let empty_lines = self.input.iter().take_while(|&&b| is_newline(b)).count();
                self.input.drain(..empty_lines);
                let head = &self.input[..self.input.len().min(LONGEST_HEAD)];
                if let Some((request, length)) = Request::parse(head).map_err(End::Refused)? {
                    self.input.drain(..length);
                    return Ok(Some(request));
                }
            }
            let line = &self.input[..self.input.len().min(LONGEST_LINE)];
            if line.len() == LONGEST_LINE && !line.contains(&b'\n') {
                return Err(End::Refused(414));
            }
            if self.input.len() >= LONGEST_HEAD {
                return Err(End::Refused(431));
            }
            // Whoever waits for us has got all that we have: the answers to a batch of requests go out at once.
            self.flush()?;
            if !has_begun && !self.input.is_empty() {
                has_begun = true;
                // One for all of it, not for each read: a byte now and then would hold the connection for ever.
                deadline = Instant::now() + self.timeouts.head;
            }
            match self.read(deadline)? {
                None | Some(0) if self.input.is_empty() => return Ok(None),
                None => return Err(End::Refused(408)),
                Some(0) => return Err(End::Refused(400)),
                Some(length) => {
                    let new = &self.input[self.input.len() - length..];
                    has_new_line = new.contains(&b'\n');
                }
            }
        }
    }

    /// Adds to `input` what comes first, and says how long it is; none when the time is up.
    fn read(&mut self, deadline: Instant) -> io::Result<Option<usize>> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut piece = [0; 4096];
        match self.stream.read(&mut piece) {
            Ok(length) => {
                self.input.extend_from_slice(&piece[..length]);
                Ok(Some(length))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Answers. What is short stays in `output`, for the answers to the requests behind it.
    fn send(&mut self, response: Response, with_body: bool, keep_alive: bool) -> io::Result<()> {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let date = httpdate::fmt_http_date(SystemTime::now());
        write!(
            self.output,
            "HTTP/1.1 {}\r\n{}Date: {date}\r\nConnection: {connection}\r\n\r\n",
            request::status_line(response.status),
            response.headers
        )?;
        match response.body {
            Body::Bytes(bytes) if with_body => self.output.extend_from_slice(&bytes),
            Body::File(mut piece) if with_body => {
                while let Some(bytes) = piece.next_chunk()? {
                    self.output.extend_from_slice(&bytes);
                    if self.output.len() >= CHUNK {
                        self.flush()?;
                    }
                }
            }
            Body::Bytes(_) | Body::File(_) | Body::None => {}
        }
        if self.output.len() >= CHUNK {
            self.flush()?;
        }
        ANSWERED.fetch_add(1, Relaxed);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        for chunk in self.output.chunks(CHUNK) {
            // As std's, our write gives all of its buffer to the system, unless its time is up before.
            if self.stream.write(chunk)? < chunk.len() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        self.output.clear();
        Ok(())
    }

    /// Ends a connection so that the last answer arrives: closing while there is something to be received would
    /// make the system reset the connection, and the client might lose what it has not read.
    fn close(&mut self) -> io::Result<()> {
        self.flush()?;
        self.stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Some(1..) = self.read(deadline)? {
            self.input.clear();
        }
        Ok(())
    }
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// One in `ANSWERING`.
struct Answering;

impl Answering {
    fn new() -> Answering {
        ANSWERING.fetch_add(1, Relaxed);
        Answering
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        ANSWERING.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone, Copy)]
struct Timeouts {
    head: Duration,
    idle: Duration,
}

/// What the command line asks for.
struct Options {
    folder: String,
    address: String,
    connections: usize,
    timeouts: Timeouts,
    workers: Option<usize>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        folder: ".".into(),
        address: "127.0.0.1:8080".into(),
        connections: 10_000,
        timeouts: Timeouts {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        },
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
            "--head-timeout" => options.timeouts.head = milliseconds(number()?),
            "--idle-timeout" => options.timeouts.idle = milliseconds(number()?),
            "--workers" => options.workers = Some(number()? as usize),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => words.push(arg),
        }
    }
    let mut words = words.into_iter();
    options.folder = words.next().unwrap_or(options.folder);
    options.address = words.next().unwrap_or(options.address);
    match words.next() {
        None => Ok(options),
        Some(word) => Err(format!("one word too many: {word}")),
    }
}
