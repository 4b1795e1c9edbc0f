//! One row of one peer that a load from outside measures: the server on the first cores, the load on the last one.

use std::fs;
use std::io;
use std::time::Duration;

use crate::driver::{self, Clients, Edge, Load};
use crate::figures::Figures;
use crate::measure::{Measured, nothing};
use crate::rows::Operation::*;
use crate::rows::Row;
use crate::servers::{Service, Serving};
use crate::{churn, golang, machine};

/// The most connections for which OS threads are asked.
const MAX_OS_THREADS: usize = 1_000;

pub(crate) fn measure(row: &Row, peer: &str, quick: bool) -> io::Result<Measured> {
    let cores = machine::cores()?;
    let service = match row.operation {
        Serve { service, .. } => service,
        Wrk(_) => Service::Http,
        _ => Service::Echo,
    };
    let connections = row.operation.threads();
    if row.workers > cores.len() {
        return Ok(nothing("too few cores"));
    }
    match peer {
        "go" if !golang::is_there() => return Ok(nothing("no Go toolchain here")),
        "threads" if connections > MAX_OS_THREADS => return Ok(nothing("too many OS threads")),
        "threads" | "tokio-ct" if row.workers > 1 => return Ok(nothing("")),
        _ => {}
    }
    let serving = Serving::start(peer, row.workers, service, &cores[..row.workers])?;
    // Where there is no core left, the load shares them all.
    let last = cores.len() - 1;
    machine::pin(&cores[if row.workers > last { 0 } else { last }..])?;
    let duration = Duration::from_millis(if quick { 1_200 } else { 2_500 });
    match row.operation {
        Serve { in_flight, .. } => echo(&serving, row.workers, connections, in_flight, duration),
        Idle(_) => idle(&serving, connections, duration),
        Churn(_) => {
            let before = cpu(&serving)?;
            let (count, p99) = churn::run(serving.address, connections, duration)?;
            let used = cpu(&serving)? - before;
            Ok(Ok(vec![
                ("CPU µs per connection", used * 1e6 / count as f64),
                (
                    "thousand connections/s",
                    count as f64 / duration.as_secs_f64() / 1e3,
                ),
                ("p99 µs", p99),
            ]))
        }
        _ => {
            let before = cpu(&serving)?;
            let Some((count, rate)) = churn::wrk(serving.address, connections, duration)? else {
                return Ok(nothing("no wrk here"));
            };
            let used = cpu(&serving)? - before;
            Ok(Ok(vec![
                ("CPU µs per request", used * 1e6 / count),
                ("thousand req/s", rate / 1e3),
            ]))
        }
    }
}

fn cpu(serving: &Serving) -> io::Result<f64> {
    machine::cpu_time(serving.pid()).map(|time| time.total.as_secs_f64())
}

fn echo(
    serving: &Serving,
    workers: usize,
    connections: usize,
    in_flight: usize,
    duration: Duration,
) -> io::Result<Measured> {
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
    let mut loads = Vec::new();
    let outcome = driver::run(&load, |_: Edge| {
        readings.push(cpu(serving));
        loads.push(by_thread(serving.pid()));
    })?;
    let used = readings.pop().unwrap_or(Ok(0.0))? - readings.pop().unwrap_or(Ok(0.0))?;
    if outcome.failed > 0 {
        return Ok(Err(format!("{} connections broke", outcome.failed)));
    }
    let mut figures: Figures = vec![
        ("CPU µs per request", used * 1e6 / outcome.answers as f64),
        ("thousand req/s", outcome.per_second() / 1e3),
        ("p50 µs", outcome.quantile(0.5)),
        ("p99 µs", outcome.quantile(0.99)),
    ];
    if workers > 1 {
        if let [before, after] = &loads[..] {
            figures.push((
                "busiest to idlest worker, % apart",
                apart(before, after, workers),
            ));
        }
        let unfair = outcome.most as f64 / outcome.fewest.max(1) as f64;
        figures.push(("most / fewest answers on a connection", unfair));
    }
    Ok(Ok(figures))
}

/// What each OS thread of a process has used of a core, in nanoseconds, by its number.
fn by_thread(pid: u32) -> Vec<(u32, f64)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let entries = tasks.into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, text.split_whitespace().next()?.parse().ok()?))
        })
        .collect()
}

/// By how much the load of the workers, which are the busiest threads, differs, as a part of their mean.
fn apart(before: &[(u32, f64)], after: &[(u32, f64)], workers: usize) -> f64 {
    let then = |number| before.iter().find(|(then, _)| *then == number);
    let mut used: Vec<f64> = after
        .iter()
        .map(|(number, time)| time - then(*number).map_or(0.0, |(_, time)| *time))
        .collect();
    used.sort_by(f64::total_cmp);
    let used = &used[used.len().saturating_sub(workers)..];
    let sum: f64 = used.iter().sum();
    match (used.first(), used.last()) {
        (Some(least), Some(most)) if sum > 0.0 => (most - least) * 100.0 * used.len() as f64 / sum,
        _ => 0.0,
    }
}

/// Connections that have each had one answer, and then nothing.
fn idle(serving: &Serving, connections: usize, duration: Duration) -> io::Result<Measured> {
    let mut clients = Clients::new(64, 1)?;
    for _ in 0..connections {
        clients.connect(serving.address)?;
    }
    clients.drive(std::time::Instant::now() + duration / 4, u64::MAX, |_| {
        Ok(())
    })?;
    // What is on its way arrives, and nobody answers it.
    std::thread::sleep(Duration::from_millis(200));
    let before = cpu(serving)?;
    std::thread::sleep(duration);
    let used = cpu(serving)? - before;
    Ok(Ok(vec![(
        "CPU ms per second",
        used * 1e3 / duration.as_secs_f64(),
    )]))
}
