//! The load driver: one OS thread and one epoll that keep many connections to an echo server busy.
//!
//! Each connection has a fixed number of messages in flight and sends the next one when one has
//! come back, so the server is never without work, and a latency is the time from handing a message
//! to the kernel to reading the last byte of its echo. That is a closed loop: with n messages in
//! flight over all connections and r answers a second the mean latency is n / r, and a server that
//! stalls receives fewer messages meanwhile.
//!
//! It connects to loopback only, for a bounded time, and checks every byte that it gets back.

use hdrhistogram::Histogram;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// The load to put on a server.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Messages in flight on each connection.
    pub(crate) in_flight: usize,
    /// The size of a message in bytes.
    pub(crate) message: usize,
    /// Duration of the load before the measured part.
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// Ends the measured part early, after this many answers.
    pub(crate) requests: u64,
}

/// The start and end of the measured part; for reading the server's clocks there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Begin,
    End,
}

/// The clients' observations in the measured part.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) answers: u64,
    pub(crate) elapsed: Duration,
    /// In nanoseconds.
    pub(crate) latency: Histogram<u64>,
    /// Connections that the server ended, or on which it sent wrong bytes.
    pub(crate) failed: usize,
    /// Answers on the connection that got the fewest, and on the one that got the most.
    pub(crate) fewest: u64,
    pub(crate) most: u64,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the latency, in microseconds, that this part of the answers did not exceed.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        self.latency.value_at_quantile(part) as f64 / 1000.0
    }
}

/// Refuses addresses that are not on this machine: the driver is a load and must not hit others.
pub(crate) fn loopback_only(address: SocketAddr) -> io::Result<SocketAddr> {
    if address.ip().is_loopback() {
        return Ok(address);
    }
    let text = format!("{address} is not a loopback address, and the driver loads no other");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Time limit of each connection for its first answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connects, loads the server, and returns the results; calls `edge` at both ends of the measured
/// part.
pub(crate) fn run(load: &Load, mut edge: impl FnMut(Edge)) -> io::Result<Outcome> {
    let mut clients = Clients::new(load.message, load.in_flight)?;
    for _ in 0..load.connections {
        clients.connect(load.address)?;
    }
    clients.settle(load.warm_up)?;
    edge(Edge::Begin);
    let begin = Instant::now();
    clients.drive(begin + load.duration, load.requests, |_| Ok(()))?;
    let elapsed = begin.elapsed();
    edge(Edge::End);
    Ok(clients.outcome(elapsed))
}

/// The connections of one load, and their results.
pub(crate) struct Clients {
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    /// For each tag, as many bytes as a connection may have in flight.
    patterns: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    message: usize,
    in_flight: usize,
    latency: Histogram<u64>,
    answers: u64,
    failed: usize,
    /// Whether answers count at present.
    counts: bool,
    /// Start of the counting: a message sent before does not count towards the server's latency.
    began: Instant,
    /// How long to wait for events.
    pause: Timespec,
}

struct Connection {
    stream: TcpStream,
    /// Bytes still to be sent, because they did not fit into the socket's buffer.
    unsent: usize,
    /// Bytes already received of the message that is coming back.
    received: usize,
    /// When each message in flight was handed over, oldest first.
    sent: VecDeque<Instant>,
    answers: u64,
}

/// Tags differ in one byte; a prime number of them keeps neighbours apart.
const TAGS: usize = 251;

/// Latencies from 100 ns to a minute, to three digits.
fn histogram() -> io::Result<Histogram<u64>> {
    Histogram::new_with_bounds(100, 60_000_000_000, 3).map_err(io::Error::other)
}

impl Clients {
    pub(crate) fn new(message: usize, in_flight: usize) -> io::Result<Clients> {
        if message == 0 || in_flight == 0 {
            let text = "a message has at least one byte, and one message is in flight";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Clients {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            patterns: (0..TAGS)
                .map(|tag| vec![tag as u8; message * in_flight])
                .collect(),
            buffer: vec![0; 64 * 1024],
            message,
            in_flight,
            latency: histogram()?,
            answers: 0,
            failed: 0,
            counts: true,
            began: Instant::now(),
            pause: Timespec {
                tv_sec: 0,
                tv_nsec: 10_000_000,
            },
        })
    }

    /// Makes the driver poll for answers without waiting from now on, so that no server pays for
    /// waking it: on a core of its own, which a load from another machine would have, too.
    pub(crate) fn stay_awake(&mut self) {
        self.pause.tv_nsec = 0;
    }

    /// Opens one more connection.
    pub(crate) fn connect(&mut self, address: SocketAddr) -> io::Result<()> {
        let stream = TcpStream::connect(loopback_only(address)?)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
        let key = epoll::EventData::new_u64(self.connections.len() as u64);
        // A socket is writable at once, so its first event comes without further action.
        epoll::add(&self.epoll, &stream, key, flags)?;
        self.connections.push(Some(Connection {
            stream,
            unsent: 0,
            received: 0,
            sent: VecDeque::with_capacity(self.in_flight),
            answers: 0,
        }));
        Ok(())
    }

    /// Serves the connections until a time or a number of answers is reached; calls `between` after
    /// each wait, at least every 10 ms.
    pub(crate) fn drive(
        &mut self,
        until: Instant,
        answers: u64,
        mut between: impl FnMut(Instant) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut events = Vec::with_capacity(1024);
        loop {
            events.clear();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&self.pause),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.turn(event.data.u64() as usize);
            }
            let now = Instant::now();
            if now >= until || self.answers >= answers {
                return Ok(());
            }
            if self.failed == self.connections.len() {
                return Err(io::Error::other("the server has ended every connection"));
            }
            between(now)?;
        }
    }

    /// Drives until each connection has had an answer, and discards these answers.
    pub(crate) fn settle(&mut self, warm_up: Duration) -> io::Result<()> {
        let begin = Instant::now();
        self.drive(begin + warm_up, u64::MAX, |_| Ok(()))?;
        // Many connections on a slow server take longer than that to start.
        while self.unanswered() && begin.elapsed() < PATIENCE {
            self.drive(Instant::now() + warm_up / 4, u64::MAX, |_| Ok(()))?;
        }
        self.forget();
        Ok(())
    }

    /// Drives after a pause in which other servers were driven: `lead` does not count; the time
    /// after it does, on top of the former counts. Returns how long that took. The messages in
    /// flight are kept for the next time.
    pub(crate) fn slice(
        &mut self,
        lead: Duration,
        duration: Duration,
        mut edge: impl FnMut(Edge),
    ) -> io::Result<Duration> {
        self.counts = false;
        self.began = Instant::now();
        self.drive(self.began + lead, u64::MAX, |_| Ok(()))?;
        self.counts = true;
        edge(Edge::Begin);
        let begin = Instant::now();
        self.drive(begin + duration, u64::MAX, |_| Ok(()))?;
        let elapsed = begin.elapsed();
        edge(Edge::End);
        Ok(elapsed)
    }

    /// Returns how many answers counted.
    pub(crate) fn answers(&self) -> u64 {
        self.answers
    }

    /// Returns how many connections broke.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// Reads the bytes that have arrived for a connection, and sends what may now be sent.
    fn turn(&mut self, number: usize) {
        let Some(connection) = self.connections[number].as_mut() else {
            return;
        };
        let pattern = &self.patterns[number % TAGS];
        let turn = connection.receive(&mut self.buffer, pattern, self.message);
        let sent = turn.and_then(|(now, messages)| {
            for _ in 0..messages {
                if let Some(then) = connection.sent.pop_front()
                    && self.counts
                    && then >= self.began
                {
                    self.latency
                        .saturating_record((now - then).as_nanos() as u64);
                }
            }
            if self.counts {
                connection.answers += messages;
                self.answers += messages;
            }
            let missing = self.in_flight - connection.sent.len();
            connection.sent.extend(std::iter::repeat_n(now, missing));
            connection.unsent += missing * self.message;
            connection.flush(pattern)
        });
        if sent.is_err() {
            self.failed += 1;
            self.connections[number] = None;
        }
    }

    /// Returns whether there are connections without an answer since the counting started.
    fn unanswered(&self) -> bool {
        self.connections
            .iter()
            .flatten()
            .any(|connection| connection.answers == 0)
    }

    /// Restarts the counting.
    pub(crate) fn forget(&mut self) {
        self.latency.reset();
        self.answers = 0;
        for connection in self.connections.iter_mut().flatten() {
            connection.answers = 0;
        }
    }

    /// Closes all connections and returns their results.
    pub(crate) fn outcome(self, elapsed: Duration) -> Outcome {
        let alive = || {
            self.connections
                .iter()
                .flatten()
                .map(|connection| connection.answers)
        };
        Outcome {
            answers: self.answers,
            elapsed,
            failed: self.failed,
            fewest: alive().min().unwrap_or(0),
            most: alive().max().unwrap_or(0),
            latency: self.latency,
        }
    }
}

impl Connection {
    /// Reads until nothing is left; returns when, and how many messages that completed.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        pattern: &[u8],
        message: usize,
    ) -> io::Result<(Instant, u64)> {
        let mut messages = 0;
        loop {
            let length = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            // All bytes of a connection are the same, so it does not matter where in a message they
            // are.
            if buffer[..length]
                .chunks(pattern.len())
                .any(|chunk| chunk != &pattern[..chunk.len()])
            {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.received += length;
            messages += self.received / message;
            self.received %= message;
            if messages > self.sent.len() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if length < buffer.len() {
                break;
            }
        }
        Ok((Instant::now(), messages as u64))
    }

    fn flush(&mut self, pattern: &[u8]) -> io::Result<()> {
        while self.unsent > 0 {
            match send(&self.stream, &pattern[..self.unsent], SendFlags::NOSIGNAL) {
                Ok(length) => self.unsent -= length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
