//! Measures one row of one peer in this process, for rows that need no external load.

use std::io;
use std::time::Duration;

use crate::blocking::{self, Threads, may::May, rustlet::Rustlet, threads::OsThreads};
use crate::figures::{Measured, nothing};
use crate::futures::{self, Tasks, smol::Smol, tokio as tokio_peer};
use crate::rows::Operation::*;
use crate::rows::Row;
use crate::{golang, limits, machine};

/// Maximum number of OS threads to try: the kernel sets the real limit, and crashes at it.
const MAX_OS_THREADS: usize = 10_000;

pub(crate) fn measure(row: &Row, peer: &str, scale: u64) -> io::Result<Measured> {
    let cores = machine::cores()?;
    if row.workers > cores.len() {
        return Ok(nothing("too few cores"));
    }
    let across = row.operation == PingPongAcross;
    if !across || peer == "go" {
        machine::pin(&cores[..row.workers])?;
    }
    Ok(match peer {
        "rustlet" => match row.operation {
            TimersWithSlack(n, slack) => Ok(blocking::rustlet::timers(
                row.workers,
                n as u64,
                Duration::from_micros(slack),
            )),
            _ => threads::<Rustlet>(row, &cores, scale),
        },
        "may" if across => nothing("its workers cannot be pinned one by one"),
        "may" => threads::<May>(row, &cores, scale),
        _ if matches!(row.operation, TimersWithSlack(..)) => nothing("it has no timer slack"),
        "threads" if matches!(row.operation, Skynet(_)) => nothing("too many OS threads"),
        "threads"
            if row.operation.threads() > MAX_OS_THREADS
                && !matches!(row.operation, Timers(20_000)) =>
        {
            nothing("too many OS threads")
        }
        "threads" => threads::<OsThreads>(row, &cores, scale),
        "tokio-mt" => tasks::<tokio_peer::MultiThread>(row, &cores, scale),
        "tokio-ct" if row.workers == 1 || across => {
            tasks::<tokio_peer::CurrentThread>(row, &cores, scale)
        }
        "smol" if across => nothing("one global executor and reactor: not two of one worker"),
        "smol" => tasks::<Smol>(row, &cores, scale),
        "go" => golang::measure(row, scale)?,
        "limit" => limit(row, scale),
        _ => nothing(""),
    })
}

fn threads<R: Threads>(row: &Row, cores: &[usize], scale: u64) -> Measured {
    let (workers, operation) = (row.workers, row.operation);
    // OS threads are a hundred times slower, so they do less of the same.
    let count = operation
        .count(scale)
        .div_ceil(if R::HEAVY { 20 } else { 1 });
    Ok(match operation {
        Yield(n) => blocking::yields::<R>(workers, n, count, false),
        YieldDeep(n) => blocking::yields::<R>(workers, n, count, true),
        SpawnOne => blocking::spawn_one::<R>(workers, count),
        SpawnAll(n) => blocking::spawn_all::<R>(workers, n, count),
        Wake(n) => blocking::wake::<R>(workers, n, count, false),
        Timer(n) => blocking::wake::<R>(workers, n, count, true),
        PingPong => blocking::ping_pong::<R>(workers, count),
        PingPongAcross => blocking::ping_pong_across::<R>(cores, operation.count(scale)),
        Mpsc => blocking::many_to_many::<R>(workers, 4, 1, None, count),
        Mpmc => blocking::many_to_many::<R>(workers, 4, 4, Some(128), count),
        Mutex => blocking::mutex::<R>(workers, 8, count),
        RwLock => blocking::rwlock::<R>(workers, 8, count),
        Parked(n) => blocking::parked::<R>(workers, n),
        Timers(n) => blocking::timers::<R>(workers, n as u64),
        TimersWithSlack(..) => return nothing(""),
        Skynet(leaves) => blocking::skynet::<R>(workers, leaves as u64),
        Chain(links) => blocking::chain::<R>(workers, links as u64, count),
        Pool => blocking::pool::<R>(workers),
        Meeting => blocking::meeting::<R>(workers),
        ForkJoin(each) => blocking::fork_join::<R>(workers, each as u64, count),
        BesideHog => blocking::beside_hog::<R>(workers),
        Serve { .. } | Idle(_) | Churn(_) | Wrk(_) => return nothing(""),
    })
}

fn tasks<R: Tasks>(row: &Row, cores: &[usize], scale: u64) -> Measured {
    let (workers, operation) = (row.workers, row.operation);
    let count = operation.count(scale);
    Ok(match operation {
        Yield(n) => futures::yields::<R>(workers, n, count, false),
        YieldDeep(n) => futures::yields::<R>(workers, n, count, true),
        SpawnOne => futures::spawn_one::<R>(workers, count),
        SpawnAll(n) => futures::spawn_all::<R>(workers, n, count),
        Wake(n) => futures::wake::<R>(workers, n, count, false),
        Timer(n) => futures::wake::<R>(workers, n, count, true),
        PingPong => futures::ping_pong::<R>(workers, count),
        PingPongAcross => futures::ping_pong_across::<R>(cores, count),
        Mpsc | Mpmc => {
            let (receivers, capacity) = if operation == Mpsc {
                (1, None)
            } else {
                (4, Some(128))
            };
            let figures = futures::many_to_many::<R>(workers, 4, receivers, capacity, count);
            return figures.ok_or_else(|| "its channels have one receiver".to_owned());
        }
        Mutex => futures::mutex::<R>(workers, 8, count),
        RwLock => futures::rwlock::<R>(workers, 8, count),
        Parked(n) => futures::parked::<R>(workers, n),
        Timers(n) => futures::timers::<R>(workers, n as u64),
        TimersWithSlack(..) => return nothing(""),
        Skynet(leaves) => futures::skynet::<R>(workers, leaves as u64),
        Chain(links) => futures::chain::<R>(workers, links as u64, count),
        Pool => {
            let figures = futures::pool::<R>(workers);
            return figures.ok_or_else(|| "its channels have one receiver".to_owned());
        }
        Meeting => futures::meeting::<R>(workers),
        ForkJoin(each) => futures::fork_join::<R>(workers, each as u64, count),
        BesideHog => futures::beside_hog::<R>(workers),
        Serve { .. } | Idle(_) | Churn(_) | Wrk(_) => return nothing(""),
    })
}

fn limit(row: &Row, scale: u64) -> Measured {
    let count = row.operation.count(scale);
    let figures = match row.operation {
        Yield(n) => limits::yields(n, count),
        SpawnOne if row.workers == 1 => limits::spawn_one(count),
        Parked(n) => limits::parked(n),
        _ => return nothing(""),
    };
    figures.map_err(|error| error.to_string())
}
