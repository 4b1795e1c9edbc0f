//! A web server: the files of a folder and listings of its directories, over HTTP/1.1.
//!
//! What it shows: a server for many connections in sequential code. Each connection has a green
//! thread that reads a request, answers it, and reads the next; a read that looks blocking suspends
//! that thread only. Time limits are the timeouts of the socket. File operations block in the
//! kernel, so they run on the pool of OS threads: a whole function with `unblock`, single calls
//! with `rustlet::fs`.
//!
//! - [`request`] parses requests;
//! - [`files`] finds what was asked for, never outside the folder, and decides what to send. It is
//!   ordinary blocking code;
//! - [`listing`] writes the page for a directory;
//! - this file moves the bytes: keep-alive, pipelining, limits, and a graceful shutdown on Ctrl-C.
//!
//! Files and directories whose names begin with a dot are neither listed nor served.
//!
//! With `--metrics` it serves the numbers of its runtime at `/metrics`, for Prometheus. With
//! `--log FILE` it writes a line for each request to that file, under a lock. Should that ever
//! hang: start it with `RUSTLET_DUMP=SIGQUIT`, and `kill -QUIT` makes it say what each connection
//! waits for.
//!
//! ```sh
//! cargo run --release --example httpd -- /usr/share/doc
//! ```
//!
//! To try against it: a browser; `curl -v --range 0-99 http://127.0.0.1:8080/FILE`;
//! `curl --path-as-is http://127.0.0.1:8080/../../etc/passwd`;
//! `wrk -c 100 http://127.0.0.1:8080/FILE`; and `nc 127.0.0.1 8080`, to be a client that is too
//! slow.

mod files;
mod listing;
mod request;
#[path = "../support/mod.rs"]
mod support;

use files::{Body, Response, Site};
use request::{Request, Status};
use support::{Args, cannot};

use rustlet::channel::select;
use rustlet::fs::File;
use rustlet::net::{Server, Shutdown, TcpStream};
use rustlet::runtime::Handle;
use rustlet::signal::{self, SIGINT, SIGTERM};
use rustlet::sync::Mutex;
use rustlet::thread;

use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

const HELP: &str = "\
[OPTIONS] [FOLDER] [ADDRESS]

Serves the files of a folder over HTTP/1.1, until Ctrl-C.

FOLDER               what to serve (default: the current directory)
ADDRESS              where to listen (default 127.0.0.1:8080; port 0: the system chooses)
--connections N      how many at a time (default 10000); others wait
--head-timeout MS    how long a request may take to arrive (default 10000)
--idle-timeout MS    how long to wait for the next request (default 30000)
--log FILE           append a line to this file for each request
--metrics            serve the numbers of the runtime at /metrics
--workers N          run on N workers (OS threads; default one per core)
--help               print this text";

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The longest first line of a request, in bytes. It names the file.
const MAX_LINE: usize = 8 * 1024;
/// How many bytes of a file are read and sent at a time.
const CHUNK: usize = 64 * 1024;
/// How long a client may take for a chunk. A slower one is disconnected.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(20);
/// How long responses that are being sent at Ctrl-C may still take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

static ENDING: AtomicBool = AtomicBool::new(false);
static ANSWERING: AtomicUsize = AtomicUsize::new(0);
static ANSWERED: AtomicUsize = AtomicUsize::new(0);

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let runtime = args.runtime()?;
        let options = Options::read(args)?;
        runtime.build()?.run(|| serve(options))
    })
}

/// Serves until Ctrl-C, then waits for the responses that are being sent. Idle connections are
/// cancelled when this returns.
fn serve(options: Options) -> support::Result {
    let (folder, address) = (&options.folder, &options.address);
    let site = Arc::new(Site::open(folder).map_err(cannot("serve", folder))?);
    let server = Server::bind(address).map_err(cannot("listen on", address))?;
    let server = server.max_connections(options.connections);
    let interrupted = signal::notify(&[SIGINT, SIGTERM])?;
    let log = match &options.log {
        Some(path) => {
            let file = File::options().append(true).create(true).open(path);
            Some(Mutex::new(file.map_err(cannot("open", path))?))
        }
        None => None,
    };
    println!("listening on {}", server.local_addr()?);

    let handle = server.handle();
    let service = Arc::new(Service {
        site,
        timeouts: options.timeouts,
        metrics: options.metrics,
        log,
    });
    let serving = thread::spawn(move || server.serve(move |stream| converse(&service, &stream)));
    select! {
        recv(interrupted) -> _ => {}
        recv(serving.done()) -> _ => {
            return Ok(serving.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
    }
    ENDING.store(true, Relaxed);
    handle.shutdown();
    let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
    while ANSWERING.load(Relaxed) > 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    println!("answered {} requests", ANSWERED.load(Relaxed));
    Ok(())
}

/// What all connections share.
struct Service {
    site: Arc<Site>,
    timeouts: Timeouts,
    metrics: bool,
    log: Option<Mutex<File>>,
}

impl Service {
    fn respond(&self, request: Request) -> Response {
        if self.metrics && request.path == b"/metrics" {
            let metrics = Handle::current().map(|runtime| runtime.metrics());
            return Response::metrics(metrics.map_or_else(String::new, |m| m.to_openmetrics()));
        }
        let site = Arc::clone(&self.site);
        rustlet::unblock(move || site.respond(&request))
    }

    /// Writes a line to the log, if there is one. Each line is whole: the lock is held until it is
    /// written.
    fn log(&self, line: impl FnOnce() -> String) -> io::Result<()> {
        match &self.log {
            Some(log) => {
                let line = line();
                let mut file = log.lock().unwrap_or_else(PoisonError::into_inner);
                file.write_all(line.as_bytes())
            }
            None => Ok(()),
        }
    }
}

/// One connection, from its first request to its end.
fn converse(service: &Service, stream: &TcpStream) {
    let mut connection = Connection {
        stream,
        timeouts: service.timeouts,
        input: Vec::new(),
        output: Vec::new(),
    };
    let ended = match connection.answer_all(service) {
        Ok(()) => connection.close(),
        Err(End::Refused(status)) => {
            let refusal = Response::refusal(status);
            let sent = connection.send(refusal, true, false);
            sent.and_then(|()| connection.close())
        }
        Err(End::Lost(error)) => Err(error),
    };
    // The client has closed the connection or was too slow, so no answer would arrive.
    drop(ended);
}

/// Why a connection ends early.
enum End {
    /// The input is no request that this server answers.
    Refused(Status),
    /// The connection failed.
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
    /// Bytes that were received and not parsed yet.
    input: Vec<u8>,
    /// Bytes to be sent.
    output: Vec<u8>,
}

impl Connection<'_> {
    fn answer_all(&mut self, service: &Service) -> Result<(), End> {
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(CHUNK_TIMEOUT))?;
        while let Some(request) = self.receive()? {
            let _answering = Answering::new();
            let keep_alive = request.keep_alive && !ENDING.load(Relaxed);
            let with_body = !request.is_head;
            let path = service.log.is_some().then(|| request.path.clone());
            let response = service.respond(request);
            service.log(|| {
                let path = path.unwrap_or_default().escape_ascii().to_string();
                format!("{} {path}\n", response.status)
            })?;
            self.send(response, with_body, keep_alive)?;
            if !keep_alive {
                self.flush()?;
                break;
            }
        }
        Ok(())
    }

    /// The next request, or `None` when the client has closed its side or stays idle for too long.
    fn receive(&mut self) -> Result<Option<Request>, End> {
        let mut deadline = Instant::now() + self.timeouts.idle;
        let mut has_begun = false;
        let mut has_new_line = true;
        loop {
            // Not after each read, which may return a single byte.
            if has_new_line {
                let empty_lines = self.input.iter().take_while(|&&b| is_newline(b)).count();
                self.input.drain(..empty_lines);
                let head = &self.input[..self.input.len().min(MAX_HEAD)];
                if let Some((request, length)) = Request::parse(head).map_err(End::Refused)? {
                    self.input.drain(..length);
                    return Ok(Some(request));
                }
            }
            let line = &self.input[..self.input.len().min(MAX_LINE)];
            if line.len() == MAX_LINE && !line.contains(&b'\n') {
                return Err(End::Refused(414));
            }
            if self.input.len() >= MAX_HEAD {
                return Err(End::Refused(431));
            }
            // Before a read that may wait, all responses are sent: those to a batch go out
            // together.
            self.flush()?;
            if !has_begun && !self.input.is_empty() {
                has_begun = true;
                // One deadline for the whole request: a client that sends a byte now and then is
                // cut off too.
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

    /// Reads once into `input` and returns the number of bytes, or `None` after the deadline.
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

    /// Writes a response. A short one stays in `output`, to be sent with the next ones.
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
            // A write of a green thread is short only after the timeout.
            if self.stream.write(chunk)? < chunk.len() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        self.output.clear();
        Ok(())
    }

    /// Closes a connection so that the last response arrives. Closing a socket with unread input
    /// resets the connection, and the client could lose what it has not read.
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

/// Counts itself in `ANSWERING` while it lives.
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

/// The command line.
struct Options {
    folder: String,
    address: String,
    connections: usize,
    timeouts: Timeouts,
    metrics: bool,
    log: Option<String>,
}

impl Options {
    fn read(args: &mut Args) -> support::Result<Options> {
        let head = args.milliseconds("--head-timeout")?;
        let idle = args.milliseconds("--idle-timeout")?;
        let options = Options {
            metrics: args.flag("--metrics"),
            log: args.value("--log")?,
            connections: args.number("--connections", 1)?.unwrap_or(10_000) as usize,
            timeouts: Timeouts {
                head: head.unwrap_or(Duration::from_secs(10)),
                idle: idle.unwrap_or(Duration::from_secs(30)),
            },
            folder: args.word_or(".")?,
            address: args.word_or("127.0.0.1:8080")?,
        };
        args.end()?;
        Ok(options)
    }
}
