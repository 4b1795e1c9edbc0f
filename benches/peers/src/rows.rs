//! The measured rows of the table, in the order in which they run.

use crate::serve::service::Service;

/// The contenders, in the order of the table's columns.
pub(crate) const PEERS: [&str; 8] = [
    "rustlet", "tokio-mt", "tokio-ct", "smol", "may", "go", "threads", "limit",
];

/// Returns the name of a peer, as tables and charts show it.
pub(crate) fn shown(peer: &'static str) -> &'static str {
    match peer {
        "tokio-mt" => "tokio multi-thread",
        "tokio-ct" => "tokio current_thread",
        "go" => "Go",
        "threads" => "OS threads",
        "limit" => "bare loop",
        _ => peer,
    }
}

/// An operation and its size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Yield(usize),
    /// Below a few frames, which each iteration enters again.
    YieldDeep(usize),
    SpawnOne,
    SpawnAll(usize),
    /// This many parked threads, woken one after the other.
    Wake(usize),
    /// The same, but each wait has a time limit that it does not reach.
    Timer(usize),
    PingPong,
    PingPongAcross,
    Mpsc,
    Mpmc,
    Mutex,
    RwLock,
    Parked(usize),
    Timers(usize),
    /// The same with a timer slack of this many microseconds, which only rustlet has.
    TimersWithSlack(usize, u64),
    Skynet(usize),
    Chain(usize),
    /// Threads receive jobs.
    Pool,
    /// Threads wait for each other, and then compute.
    Meeting,
    /// 8 threads that compute for this many nanoseconds each.
    ForkJoin(usize),
    /// A thread spawns one that computes, and sleeps.
    BesideHog,
    Serve {
        service: Service,
        connections: usize,
        in_flight: usize,
    },
    /// Idle connections.
    Idle(usize),
    /// Connect, one request, close; this many at a time.
    Churn(usize),
    Wrk(usize),
}

use Operation::*;

impl Operation {
    /// Returns the name of the operation in `go/peers.go`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Yield(_) => "yield",
            YieldDeep(_) => "yield-deep",
            SpawnOne => "spawn-one",
            SpawnAll(_) => "spawn-all",
            Wake(_) => "wake",
            Timer(_) => "timer",
            PingPong => "ping-pong",
            PingPongAcross => "ping-pong-across",
            Mpsc => "mpsc",
            Mpmc => "mpmc",
            Mutex => "mutex",
            RwLock => "rwlock",
            Parked(_) => "parked",
            Timers(_) | TimersWithSlack(..) => "timers",
            Skynet(_) => "skynet",
            Chain(_) => "chain",
            Pool => "pool",
            Meeting => "meeting",
            ForkJoin(_) => "fork-join",
            BesideHog => "beside-hog",
            Serve { .. } | Idle(_) | Churn(_) | Wrk(_) => "serve",
        }
    }

    /// Returns how many threads take part.
    pub(crate) fn threads(self) -> usize {
        match self {
            Yield(n)
            | YieldDeep(n)
            | SpawnAll(n)
            | Wake(n)
            | Timer(n)
            | Parked(n)
            | Timers(n)
            | TimersWithSlack(n, _)
            | Skynet(n)
            | Chain(n) => n,
            SpawnOne | BesideHog => 1,
            PingPong | PingPongAcross => 2,
            Mpsc => 5,
            Mpmc | Mutex | RwLock | Pool | ForkJoin(_) => 8,
            Meeting => 10,
            Serve { connections: n, .. } | Idle(n) | Churn(n) | Wrk(n) => n,
        }
    }

    /// Returns the number of repetitions: of all threads together, of each thread, or of rounds,
    /// depending on the operation.
    pub(crate) fn count(self, scale: u64) -> u64 {
        let rounds = |total: u64| (total * scale).div_ceil(self.threads() as u64);
        match self {
            Yield(_) | YieldDeep(_) => 2_000_000 * scale,
            SpawnOne => 100_000 * scale,
            SpawnAll(_) => rounds(200_000),
            Wake(_) | Timer(_) => rounds(300_000),
            PingPong => 200_000 * scale,
            PingPongAcross => 5_000 * scale,
            Mpsc | Mpmc => 250_000 * scale,
            Mutex | RwLock => 100_000 * scale,
            Chain(_) => 20 * scale,
            ForkJoin(each) if each < 1_000 => 20_000 * scale,
            ForkJoin(_) => 500 * scale,
            _ => 1,
        }
    }

    /// Returns whether one process measures all peers, in turns.
    pub(crate) fn is_sliced(self) -> bool {
        matches!(self, Serve { .. })
    }

    /// Returns whether an external load measures it.
    pub(crate) fn is_served(self) -> bool {
        matches!(self, Serve { .. } | Idle(_) | Churn(_) | Wrk(_))
    }
}

/// The parts of the table, as the Markdown shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Switching,
    Growth,
    Channels,
    Scale,
    Servers,
}

impl Group {
    pub(crate) const ALL: [(Group, &'static str); 5] = [
        (Group::Switching, "Yield and spawn"),
        (Group::Channels, "Channels and locks"),
        (Group::Scale, "Many threads"),
        (Group::Servers, "Servers over loopback"),
        (Group::Growth, "How costs grow"),
    ];
}

/// The condition for measuring a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// Not in the quick form.
    Full,
    /// Not in the quick form, and in the full one not in each round, because it takes long.
    Seldom,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) group: Group,
    pub(crate) key: &'static str,
    pub(crate) text: &'static str,
    pub(crate) workers: usize,
    pub(crate) operation: Operation,
    pub(crate) when: When,
}

const fn row(
    group: Group,
    key: &'static str,
    text: &'static str,
    workers: usize,
    operation: Operation,
) -> Row {
    Row {
        group,
        key,
        text,
        workers,
        operation,
        when: When::Always,
    }
}

impl Row {
    const fn measured(self, when: When) -> Row {
        Row { when, ..self }
    }
}

const fn serve(service: Service, connections: usize, in_flight: usize) -> Operation {
    Serve {
        service,
        connections,
        in_flight,
    }
}

const M: usize = 1_000_000;
use Group::{Channels, Growth, Scale, Servers, Switching};
use Service::{Echo, Limited};
use When::{Full, Seldom};

#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    row(Switching, "yield-2", "yield, 2 threads", 1, Yield(2)),
    row(Switching, "yield-2-deep", "yield, 2 threads, from behind four frames", 1, YieldDeep(2)),
    row(Growth, "yield-10", "yield, 10 threads", 1, Yield(10)).measured(Full),
    row(Growth, "yield-100", "yield, 100 threads", 1, Yield(100)).measured(Full),
    row(Switching, "yield-1k", "yield, 1,000 threads", 1, Yield(1_000)),
    row(Growth, "yield-10k", "yield, 10,000 threads", 1, Yield(10_000)).measured(Full),
    row(Switching, "yield-100k", "yield, 100,000 threads", 1, Yield(100_000)),
    row(Switching, "yield-1m", "yield, 1,000,000 threads", 1, Yield(M)).measured(Seldom),

    row(Switching, "spawn-1", "spawn and join one", 1, SpawnOne),
    row(Switching, "spawn-1-w2", "spawn and join one", 2, SpawnOne),
    row(Growth, "spawn-10", "spawn 10, then join all, each", 1, SpawnAll(10)).measured(Full),
    row(Growth, "spawn-100", "spawn 100, then join all, each", 1, SpawnAll(100)).measured(Full),
    row(Growth, "spawn-1k", "spawn 1,000, then join all, each", 1, SpawnAll(1_000)),
    row(Growth, "spawn-10k", "spawn 10,000, then join all, each", 1, SpawnAll(10_000)).measured(Full),
    row(Switching, "spawn-100k", "spawn 100,000, then join all, each", 1, SpawnAll(100_000)),
    row(Switching, "spawn-100k-w2", "spawn 100,000, then join all, each", 2, SpawnAll(100_000)),
    row(Growth, "spawn-1m", "spawn 1,000,000, then join all, each", 1, SpawnAll(M)).measured(Seldom),

    row(Channels, "pingpong", "channel of capacity 1, round trip", 1, PingPong),
    row(Channels, "pingpong-w2", "channel of capacity 1, round trip", 2, PingPong),
    row(Channels, "pingpong-cores", "the same, the ends on two cores", 2, PingPongAcross),
    row(Channels, "mpsc", "4 senders, 1 receiver, unbounded, a message", 1, Mpsc),
    row(Channels, "mpsc-w2", "4 senders, 1 receiver, unbounded, a message", 2, Mpsc),
    row(Channels, "mpmc", "4 senders, 4 receivers, capacity 128, a message", 1, Mpmc),
    row(Channels, "mpmc-w2", "4 senders, 4 receivers, capacity 128, a message", 2, Mpmc),
    row(Channels, "mutex", "a mutex, 8 threads", 1, Mutex),
    row(Channels, "mutex-w2", "a mutex, 8 threads", 2, Mutex),
    row(Channels, "rwlock", "a reader-writer lock, 8 threads, one in ten writes", 1, RwLock),
    row(Channels, "rwlock-w2", "a reader-writer lock, 8 threads, one in ten writes", 2, RwLock),

    row(Growth, "wake-10", "wake one of 10 parked threads", 1, Wake(10)).measured(Full),
    row(Growth, "wake-100", "wake one of 100 parked threads", 1, Wake(100)).measured(Full),
    row(Growth, "wake-1k", "wake one of 1,000 parked threads", 1, Wake(1_000)),
    row(Growth, "wake-10k", "wake one of 10,000 parked threads", 1, Wake(10_000)).measured(Full),
    row(Growth, "wake-100k", "wake one of 100,000 parked threads", 1, Wake(100_000)),
    row(Growth, "wake-1m", "wake one of 1,000,000 parked threads", 1, Wake(M)).measured(Seldom),
    row(Growth, "timer-10", "the same with a time limit, 10 threads", 1, Timer(10)).measured(Full),
    row(Growth, "timer-100", "the same with a time limit, 100 threads", 1, Timer(100)).measured(Full),
    row(Growth, "timer-1k", "the same with a time limit, 1,000 threads", 1, Timer(1_000)),
    row(Growth, "timer-10k", "the same with a time limit, 10,000 threads", 1, Timer(10_000)).measured(Full),
    row(Growth, "timer-100k", "the same with a time limit, 100,000 threads", 1, Timer(100_000)),
    row(Growth, "timer-1m", "the same with a time limit, 1,000,000 threads", 1, Timer(M)).measured(Seldom),

    row(Scale, "parked-10k", "10,000 waiting threads", 1, Parked(10_000)),
    row(Scale, "parked-100k", "100,000 waiting threads", 1, Parked(100_000)).measured(Full),
    row(Scale, "parked-1m", "1,000,000 waiting threads", 1, Parked(M)),
    row(Scale, "timers-20k", "20,000 timers within a second", 1, Timers(20_000)),
    row(Scale, "timers-100k", "100,000 timers within a second", 1, Timers(100_000)),
    row(Scale, "slack-0", "20,000 timers, timer slack 0", 1, TimersWithSlack(20_000, 0)).measured(Full),
    row(Scale, "slack-50", "20,000 timers, timer slack 50 µs", 1, TimersWithSlack(20_000, 50)).measured(Full),
    row(Scale, "slack-100", "20,000 timers, timer slack 100 µs", 1, TimersWithSlack(20_000, 100)).measured(Full),
    row(Scale, "slack-250", "20,000 timers, timer slack 250 µs", 1, TimersWithSlack(20_000, 250)).measured(Full),
    row(Scale, "slack-1000", "20,000 timers, timer slack 1 ms", 1, TimersWithSlack(20_000, 1_000)).measured(Full),
    row(Scale, "slack-0-100k", "100,000 timers, timer slack 0", 1, TimersWithSlack(100_000, 0)).measured(Full),
    row(Scale, "slack-50-100k", "100,000 timers, timer slack 50 µs", 1, TimersWithSlack(100_000, 50)).measured(Full),
    row(Scale, "slack-100-100k", "100,000 timers, timer slack 100 µs", 1, TimersWithSlack(100_000, 100)).measured(Full),
    row(Scale, "slack-250-100k", "100,000 timers, timer slack 250 µs", 1, TimersWithSlack(100_000, 250)).measured(Full),
    row(Scale, "slack-1000-100k", "100,000 timers, timer slack 1 ms", 1, TimersWithSlack(100_000, 1_000)).measured(Full),
    row(Scale, "skynet-1m", "skynet, a tree of a million leaves, each thread", 2, Skynet(M)),
    row(Scale, "chain", "a message through 10,000 threads, each thread", 1, Chain(10_000)),

    row(Scale, "pool-w2", "8 threads receive 80 jobs of 5 ms", 2, Pool),
    row(Scale, "meeting-w2", "10 threads meet, then compute 20 ms each", 2, Meeting),
    row(Scale, "fork-join-100ns-w2", "spawn 8 of 100 ns and join them", 2, ForkJoin(100)),
    row(Scale, "fork-join-50us", "spawn 8 of 50 µs and join them", 1, ForkJoin(50_000)),
    row(Scale, "fork-join-50us-w2", "spawn 8 of 50 µs and join them", 2, ForkJoin(50_000)),
    row(Scale, "beside-hog-w2", "spawn one that computes 200 ms, sleep 10 ms: late", 2, BesideHog),

    row(Servers, "echo-1", "echo, 1 connection", 1, serve(Echo, 1, 1)),
    row(Servers, "echo-100", "echo, 100 connections", 1, serve(Echo, 100, 1)),
    row(Servers, "echo-1k", "echo, 1,000 connections", 1, serve(Echo, 1_000, 1)),
    row(Servers, "echo-10k", "echo, 10,000 connections", 1, serve(Echo, 10_000, 1)),
    row(Servers, "echo-100x16", "echo, 100 connections, 16 messages in flight on each", 1, serve(Echo, 100, 16)),
    row(Servers, "echo-limited", "echo, 100 connections, a time limit on every read", 1, serve(Limited, 100, 1)),
    row(Servers, "echo-limited-1k", "echo, 1,000 connections, a time limit on every read", 1, serve(Limited, 1_000, 1)).measured(Full),
    row(Servers, "echo-1k-w2", "echo, 1,000 connections, two workers", 2, serve(Echo, 1_000, 1)),
    row(Servers, "idle-w2", "1,000 connections, nothing happens", 2, Idle(1_000)),
    row(Servers, "churn", "connect, one echo, close; 100 at a time", 1, Churn(100)),
    row(Servers, "http-100", "HTTP under wrk, 100 connections", 1, Wrk(100)),
];

/// Returns the rows whose key this is, or, if there are none, those whose key begins with it.
pub(crate) fn named(name: &str) -> impl Iterator<Item = &'static Row> {
    let exact = ROWS.iter().any(|row| row.key == name);
    ROWS.iter().filter(move |row| {
        if exact {
            row.key == name
        } else {
            row.key.starts_with(name)
        }
    })
}
