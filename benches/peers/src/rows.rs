//! What is measured, and by whom.

use std::io;
use std::time::Duration;

use crate::blocking::{self, Threads, may::May, rustlet::Rustlet, threads::OsThreads};
use crate::driver::{self, Edge, Load};
use crate::figures::Figures;
use crate::futures::{self, Tasks, smol::Smol, tokio as tokio_peer};
use crate::servers::{Service, Serving};
use crate::{limits, machine};

/// The contenders, in the order of the table's columns.
pub(crate) const PEERS: [&str; 8] = [
    "rustlet", "tokio-mt", "tokio-ct", "smol", "may", "go", "threads", "limit",
];

/// An operation, and how large.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Yield(usize),
    SpawnOne,
    SpawnAll(usize),
    PingPong,
    PingPongAcross,
    Mpsc,
    Mpmc,
    Mutex,
    RwLock,
    Parked(usize),
    Timers(u64),
    Skynet(u64),
    Chain(u64),
    Serve {
        service: Service,
        connections: usize,
        in_flight: usize,
    },
    /// Connect, one request, close; so many at a time.
    Churn(usize),
    Wrk(usize),
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) text: &'static str,
    pub(crate) workers: usize,
    pub(crate) operation: Operation,
    /// Left out of the quick form.
    pub(crate) long: bool,
}

const fn row(key: &'static str, text: &'static str, workers: usize, operation: Operation) -> Row {
    Row {
        key,
        text,
        workers,
        operation,
        long: false,
    }
}

const fn long(row: Row) -> Row {
    Row { long: true, ..row }
}

const fn echo(connections: usize, in_flight: usize) -> Operation {
    Operation::Serve {
        service: Service::Echo,
        connections,
        in_flight,
    }
}

use Operation::*;

pub(crate) const ROWS: &[Row] = &[
    row("yield-2", "yield, 2 threads", 1, Yield(2)),
    long(row("yield-10", "yield, 10 threads", 1, Yield(10))),
    long(row("yield-100", "yield, 100 threads", 1, Yield(100))),
    row("yield-1k", "yield, 1,000 threads", 1, Yield(1_000)),
    long(row("yield-10k", "yield, 10,000 threads", 1, Yield(10_000))),
    row("yield-100k", "yield, 100,000 threads", 1, Yield(100_000)),
    long(row(
        "yield-1m",
        "yield, 1,000,000 threads",
        1,
        Yield(1_000_000),
    )),
    row("spawn-1", "spawn and join one", 1, SpawnOne),
    row("spawn-1-w2", "spawn and join one", 2, SpawnOne),
    long(row(
        "spawn-1k",
        "spawn 1,000, then join all, each",
        1,
        SpawnAll(1_000),
    )),
    row(
        "spawn-100k",
        "spawn 100,000, then join all, each",
        1,
        SpawnAll(100_000),
    ),
    row(
        "spawn-100k-w2",
        "spawn 100,000, then join all, each",
        2,
        SpawnAll(100_000),
    ),
    row("pingpong", "channel of capacity 1, round trip", 1, PingPong),
    row(
        "pingpong-w2",
        "channel of capacity 1, round trip",
        2,
        PingPong,
    ),
    row(
        "pingpong-cores",
        "the same, the ends on two cores",
        2,
        PingPongAcross,
    ),
    row(
        "mpsc",
        "4 senders, 1 receiver, unbounded, a message",
        1,
        Mpsc,
    ),
    row(
        "mpsc-w2",
        "4 senders, 1 receiver, unbounded, a message",
        2,
        Mpsc,
    ),
    row(
        "mpmc",
        "4 senders, 4 receivers, capacity 128, a message",
        1,
        Mpmc,
    ),
    row(
        "mpmc-w2",
        "4 senders, 4 receivers, capacity 128, a message",
        2,
        Mpmc,
    ),
    row("mutex", "a mutex, 8 threads", 1, Mutex),
    row("mutex-w2", "a mutex, 8 threads", 2, Mutex),
    row(
        "rwlock",
        "a reader-writer lock, 8 threads, one in ten writes",
        1,
        RwLock,
    ),
    row(
        "rwlock-w2",
        "a reader-writer lock, 8 threads, one in ten writes",
        2,
        RwLock,
    ),
    row("parked-10k", "10,000 waiting threads", 1, Parked(10_000)),
    row("parked-100k", "100,000 waiting threads", 1, Parked(100_000)),
    long(row(
        "parked-1m",
        "1,000,000 waiting threads",
        1,
        Parked(1_000_000),
    )),
    row(
        "timers-20k",
        "20,000 timers within a second",
        1,
        Timers(20_000),
    ),
    long(row(
        "timers-100k",
        "100,000 timers within a second",
        1,
        Timers(100_000),
    )),
    row(
        "skynet",
        "skynet: a tree of 100,000 leaves, a thread",
        2,
        Skynet(100_000),
    ),
    long(row(
        "skynet-1m",
        "skynet: a tree of 1,000,000 leaves, a thread",
        2,
        Skynet(1_000_000),
    )),
    row(
        "chain",
        "a message through 10,000 threads, a thread",
        1,
        Chain(10_000),
    ),
    long(row("echo-1", "echo, 1 connection", 1, echo(1, 1))),
    row("echo-100", "echo, 100 connections", 1, echo(100, 1)),
    row("echo-1k", "echo, 1,000 connections", 1, echo(1_000, 1)),
    long(row(
        "echo-10k",
        "echo, 10,000 connections",
        1,
        echo(10_000, 1),
    )),
    row(
        "echo-100x16",
        "echo, 100 connections, 16 messages in flight on each",
        1,
        echo(100, 16),
    ),
    row(
        "echo-limited",
        "echo, 100 connections, each read with a time limit",
        1,
        Serve {
            service: Service::Limited,
            connections: 100,
            in_flight: 1,
        },
    ),
    row(
        "churn",
        "connect, one echo, close; 100 at a time",
        1,
        Churn(100),
    ),
    row("http-100", "HTTP under wrk, 100 connections", 1, Wrk(100)),
];

/// Measures one row of one peer, in this process. None: that peer has no such thing, or fails at it.
pub(crate) fn measure(row: &Row, peer: &str, quick: bool) -> io::Result<Option<Figures>> {
    let cores = machine::cores()?;
    if !matches!(
        row.operation,
        Serve { .. } | Churn(_) | Wrk(_) | PingPongAcross
    ) {
        if row.workers > cores.len() {
            return Ok(None);
        }
        machine::pin(&cores[..row.workers])?;
    }
    let scale = if quick { 1 } else { 4 };
    Ok(match peer {
        "rustlet" => threads::<Rustlet>(row, &cores, scale),
        "may" if row.operation.fits_may() => threads::<May>(row, &cores, scale),
        "threads" if row.operation.fits_os_threads() => threads::<OsThreads>(row, &cores, scale),
        "tokio-mt" => tasks::<tokio_peer::MultiThread>(row, &cores, scale),
        "tokio-ct" if row.workers == 1 || matches!(row.operation, PingPongAcross) => {
            tasks::<tokio_peer::CurrentThread>(row, &cores, scale)
        }
        "smol" if !matches!(row.operation, PingPongAcross) => tasks::<Smol>(row, &cores, scale),
        "limit" => limit(row, scale),
        _ => None,
    })
}

impl Operation {
    /// may stops at some 32,000 coroutines: each of its stacks costs two of the kernel's mappings.
    fn fits_may(self) -> bool {
        match self {
            Yield(n) | SpawnAll(n) | Parked(n) => n <= 10_000,
            Timers(n) => n <= 20_000,
            Skynet(_) | PingPongAcross => false,
            _ => true,
        }
    }

    fn fits_os_threads(self) -> bool {
        match self {
            Yield(n) | SpawnAll(n) | Parked(n) => n <= 10_000,
            Timers(n) => n <= 20_000,
            Skynet(_) => false,
            Chain(_) => true,
            _ => true,
        }
    }

    /// Whether a load from outside measures it.
    pub(crate) fn is_served(self) -> bool {
        matches!(self, Serve { .. } | Churn(_) | Wrk(_))
    }
}

fn threads<R: Threads>(row: &Row, cores: &[usize], scale: u64) -> Option<Figures> {
    let workers = row.workers;
    // OS threads are a hundred times slower: less of the same.
    let scale_of = |count: u64| count * scale / if R::HEAVY { 20 } else { 1 };
    Some(match row.operation {
        Yield(n) => blocking::yields::<R>(workers, n, scale_of(2_000_000)),
        SpawnOne => blocking::spawn_one::<R>(workers, scale_of(200_000)),
        SpawnAll(n) => blocking::spawn_all::<R>(workers, n, scale_of(200_000).div_ceil(n as u64)),
        PingPong => blocking::ping_pong::<R>(workers, scale_of(400_000)),
        PingPongAcross if cores.len() > 1 => blocking::ping_pong_across::<R>(cores, 5_000 * scale),
        Mpsc => blocking::many_to_many::<R>(workers, 4, 1, None, scale_of(250_000)),
        Mpmc => blocking::many_to_many::<R>(workers, 4, 4, Some(128), scale_of(250_000)),
        Mutex => blocking::mutex::<R>(workers, 8, scale_of(100_000)),
        RwLock => blocking::rwlock::<R>(workers, 8, scale_of(100_000)),
        Parked(n) => blocking::parked::<R>(workers, n),
        Timers(n) => blocking::timers::<R>(workers, n),
        Skynet(leaves) => blocking::skynet::<R>(workers, leaves),
        Chain(links) => blocking::chain::<R>(workers, links, if R::HEAVY { 2 } else { 20 * scale }),
        _ => return None,
    })
}

fn tasks<R: Tasks>(row: &Row, cores: &[usize], scale: u64) -> Option<Figures> {
    let workers = row.workers;
    Some(match row.operation {
        Yield(n) => futures::yields::<R>(workers, n, 2_000_000 * scale),
        SpawnOne => futures::spawn_one::<R>(workers, 200_000 * scale),
        SpawnAll(n) => futures::spawn_all::<R>(workers, n, (200_000 * scale).div_ceil(n as u64)),
        PingPong => futures::ping_pong::<R>(workers, 400_000 * scale),
        PingPongAcross if cores.len() > 1 => futures::ping_pong_across::<R>(cores, 5_000 * scale),
        Mpsc => return futures::many_to_many::<R>(workers, 4, 1, None, 250_000 * scale),
        Mpmc => return futures::many_to_many::<R>(workers, 4, 4, Some(128), 250_000 * scale),
        Mutex => futures::mutex::<R>(workers, 8, 100_000 * scale),
        RwLock => futures::rwlock::<R>(workers, 8, 100_000 * scale),
        Parked(n) => futures::parked::<R>(workers, n),
        Timers(n) => futures::timers::<R>(workers, n),
        Skynet(leaves) => futures::skynet::<R>(workers, leaves),
        Chain(links) => futures::chain::<R>(workers, links, 20 * scale),
        _ => return None,
    })
}

fn limit(row: &Row, scale: u64) -> Option<Figures> {
    match row.operation {
        Yield(n) if n <= 10_000 => limits::yields(n, 2_000_000 * scale),
        SpawnOne if row.workers == 1 => limits::spawn_one(1_000_000 * scale),
        _ => None,
    }
}

/// Measures a server from outside: the server on the first core, the load on the last.
pub(crate) fn served(row: &Row, peer: &str, quick: bool) -> io::Result<Option<Figures>> {
    let cores = machine::cores()?;
    let (service, load) = match row.operation {
        Serve {
            service,
            connections,
            in_flight,
        } => (service, (connections, in_flight)),
        Churn(clients) => (Service::Echo, (clients, 0)),
        Wrk(connections) => (Service::Http, (connections, 0)),
        _ => return Ok(None),
    };
    let (connections, in_flight) = load;
    let too_many = peer == "threads" && connections > 1_000;
    if peer == "go" || too_many || !crate::servers::has(peer, service) {
        return Ok(None);
    }
    let serving = Serving::start(peer, row.workers, service, &cores[..row.workers])?;
    machine::pin(&cores[cores.len() - 1..])?;
    let duration = Duration::from_millis(if quick { 1_500 } else { 4_000 });
    let cpu = || machine::cpu_time(serving.pid()).map(|time| time.total.as_secs_f64());
    let figures = match row.operation {
        Serve { .. } => {
            let load = Load {
                address: serving.address,
                connections,
                in_flight,
                message: 64,
                warm_up: duration / 4,
                duration,
                requests: u64::MAX,
            };
            let mut readings = Vec::new();
            let outcome = driver::run(&load, |_: Edge| readings.push(cpu()))?;
            let used = readings.pop().unwrap_or(Ok(0.0))? - readings.pop().unwrap_or(Ok(0.0))?;
            if outcome.failed > 0 {
                return Ok(None);
            }
            vec![
                ("CPU µs per request", used * 1e6 / outcome.answers as f64),
                ("thousand req/s", outcome.per_second() / 1e3),
                ("p50 µs", outcome.quantile(0.5)),
                ("p99 µs", outcome.quantile(0.99)),
            ]
        }
        Churn(_) => {
            let before = cpu()?;
            let (count, latency) = crate::churn::run(serving.address, connections, duration)?;
            vec![
                (
                    "CPU µs per connection",
                    (cpu()? - before) * 1e6 / count as f64,
                ),
                (
                    "thousand connections/s",
                    count as f64 / duration.as_secs_f64() / 1e3,
                ),
                ("p99 µs", latency),
            ]
        }
        _ => {
            let before = cpu()?;
            let Some((count, rate)) = crate::churn::wrk(serving.address, connections, duration)?
            else {
                return Ok(None);
            };
            vec![
                ("CPU µs per request", (cpu()? - before) * 1e6 / count),
                ("thousand req/s", rate / 1e3),
            ]
        }
    };
    Ok(Some(figures))
}
