//! A load of which half of the connections behave badly: does the other half notice?
//!
//! Half of the connections are healthy and each sends a message when the reply to the last one has
//! arrived. Of the others, some are silent, some send a byte now and then, some send much and never
//! read, some send half a message and close, some send half a message and reset. The last two kinds
//! are reopened all the time.

use crate::driver::{Clients, Edge, Outcome, loopback_only};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, connect, send, socket_with};

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use std::{fmt, io};

/// The size of a message in bytes; half a message is half of it.
const MESSAGE: usize = 64;
/// Time between two rounds of bad behaviour.
const TICK: Duration = Duration::from_millis(10);
/// A slow client sends a byte each time this many ticks have passed.
const SLOWNESS: usize = 20;
/// Connections that are closed in a tick; as many are reset.
const BROKEN: usize = 5;
/// Bytes that a client that never reads sends before it stops.
const UNREAD: usize = 256 * 1024;

/// Number of connections of each kind.
#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) healthy: usize,
    pub(crate) silent: usize,
    pub(crate) slow: usize,
    pub(crate) deaf: usize,
    /// Open at a time, of those that will be closed or reset.
    pub(crate) breaking: usize,
    /// Closed after half a message, over the whole run.
    pub(crate) closed: usize,
    /// Reset after half a message, over the whole run.
    pub(crate) reset: usize,
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} healthy, {} silent, {} slow, {} that never read, {} breaking off; meanwhile {} closed and {} reset half way",
            self.healthy, self.silent, self.slow, self.deaf, self.breaking, self.closed, self.reset
        )
    }
}

/// Runs the hostile load against a server and returns the results of the healthy connections;
/// `edge` as in the driver.
pub(crate) fn run(
    address: SocketAddr,
    connections: usize,
    duration: Duration,
    mut edge: impl FnMut(Edge),
) -> io::Result<(Crowd, Outcome)> {
    loopback_only(address)?;
    let part = |percent: usize| connections * percent / 100;
    let mut healthy = Clients::new(MESSAGE, 1)?;
    let mut bad = Bad {
        address,
        ..Bad::new(address)
    };
    let (slow, deaf, breaking) = (part(20), part(1), part(4));
    let silent = connections - part(50) - slow - deaf - breaking;
    // Mixed, so that no kind has the first or the last descriptors for itself.
    for number in 0..connections {
        if number * part(50) / connections != (number + 1) * part(50) / connections {
            healthy.connect(address)?;
            continue;
        }
        let stream = established(open(address)?)?;
        if bad.slow.len() < slow {
            bad.slow.push(stream);
        } else if bad.deaf.len() < deaf {
            bad.deaf.push(stream);
        } else if bad.breaking.len() < breaking {
            bad.breaking.push_back(stream);
        } else {
            bad.silent.push(stream);
        }
    }
    for stream in &bad.deaf {
        flood(stream)?;
    }
    let mut next = Instant::now();
    let mut misbehave = |now| {
        if now >= next {
            bad.tick()?;
            next = now + TICK;
        }
        Ok(())
    };
    healthy.drive(Instant::now() + duration / 4, u64::MAX, &mut misbehave)?;
    healthy.forget();
    edge(Edge::Begin);
    let begin = Instant::now();
    healthy.drive(begin + duration, u64::MAX, &mut misbehave)?;
    let elapsed = begin.elapsed();
    edge(Edge::End);
    let crowd = Crowd {
        healthy: part(50),
        silent,
        slow,
        deaf,
        breaking,
        closed: bad.closed,
        reset: bad.reset,
    };
    Ok((crowd, healthy.outcome(elapsed)))
}

/// The connections that behave badly.
struct Bad {
    address: SocketAddr,
    silent: Vec<OwnedFd>,
    slow: Vec<OwnedFd>,
    deaf: Vec<OwnedFd>,
    /// Oldest first.
    breaking: VecDeque<OwnedFd>,
    ticks: usize,
    closed: usize,
    reset: usize,
}

impl Bad {
    fn new(address: SocketAddr) -> Bad {
        Bad {
            address,
            silent: Vec::new(),
            slow: Vec::new(),
            deaf: Vec::new(),
            breaking: VecDeque::new(),
            ticks: 0,
            closed: 0,
            reset: 0,
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        self.ticks += 1;
        for stream in self
            .slow
            .iter()
            .skip(self.ticks % SLOWNESS)
            .step_by(SLOWNESS)
        {
            offer(stream, &[1])?;
        }
        for turn in 0..(2 * BROKEN).min(self.breaking.len()) {
            let Some(stream) = self.breaking.pop_front() else {
                break;
            };
            offer(&stream, &[2; MESSAGE / 2])?;
            if turn % 2 == 0 {
                self.closed += 1;
            } else {
                set_socket_linger(&stream, Some(Duration::ZERO))?;
                self.reset += 1;
            }
            drop(stream);
            // It has a whole round in the queue to be established.
            self.breaking.push_back(open(self.address)?);
        }
        Ok(())
    }
}

/// Starts to connect, without waiting.
fn open(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // A small buffer on this side: a client that never reads must fill it, and then the server's
    // side.
    set_socket_recv_buffer_size(&socket, 4096)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

fn established(socket: OwnedFd) -> io::Result<OwnedFd> {
    let timeout = Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    };
    if poll(&mut [PollFd::new(&socket, PollFlags::OUT)], Some(&timeout))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(socket)
}

/// Sends as much as fits; the server may have ended the connection, which it is allowed to do.
fn offer(stream: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    match send(stream, bytes, SendFlags::NOSIGNAL) {
        Ok(length) => Ok(length),
        Err(Errno::AGAIN | Errno::INTR | Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Sends until the buffer is full.
fn flood(stream: &OwnedFd) -> io::Result<()> {
    let chunk = [3; 16 * 1024];
    for _ in 0..UNREAD / chunk.len() {
        if offer(stream, &chunk)? == 0 {
            break;
        }
    }
    Ok(())
}
