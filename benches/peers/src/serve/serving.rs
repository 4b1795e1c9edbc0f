//! Measures one row of one peer under an external load, without slices (`slices.rs`): the server on
//! the first cores, the load on the last one.

use std::io;
use std::time::Duration;

use super::churn;
use super::servers::Serving;
use super::service::Service;
use crate::driver::Clients;
use crate::figures::{Measured, nothing};
use crate::rows::Operation::*;
use crate::rows::Row;
use crate::{golang, machine};

/// The maximum number of connections to try with OS threads.
const MAX_OS_THREADS: usize = 1_000;

pub(crate) fn measure(row: &Row, peer: &str, quick: bool) -> io::Result<Measured> {
    let service = match row.operation {
        Wrk(_) => Service::Http,
        _ => Service::Echo,
    };
    let connections = row.operation.threads();
    let cores = machine::cores()?;
    let serving = match start(row, peer, service, &cores)? {
        Ok(serving) => serving,
        Err(words) => return Ok(Err(words)),
    };
    make_room(row, &cores)?;
    let duration = Duration::from_millis(if quick { 1_200 } else { 2_500 });
    match row.operation {
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

/// Starts the server on the first of the cores; or returns the reason of its failure.
pub(crate) fn start(
    row: &Row,
    peer: &str,
    service: Service,
    cores: &[usize],
) -> io::Result<Result<Serving, String>> {
    let words = match peer {
        "go" if !golang::is_there() => "no Go toolchain here",
        "threads" if row.operation.threads() > MAX_OS_THREADS => "too many OS threads",
        "threads" | "tokio-ct" if row.workers > 1 => "",
        _ if row.workers > cores.len() => "too few cores",
        _ => return Serving::start(peer, row.workers, service, &cores[..row.workers]).map(Ok),
    };
    Ok(Err(words.to_owned()))
}

/// Keeps the load, which is this process, on the last core, or on all cores if the servers use the
/// last one, too.
pub(crate) fn make_room(row: &Row, cores: &[usize]) -> io::Result<()> {
    let last = cores.len() - 1;
    machine::pin(&cores[if row.workers > last { 0 } else { last }..])
}

pub(crate) fn cpu(serving: &Serving) -> io::Result<f64> {
    machine::cpu_time(serving.pid()).map(|time| time.total.as_secs_f64())
}

/// Measures connections that have each had one answer, and then nothing.
fn idle(serving: &Serving, connections: usize, duration: Duration) -> io::Result<Measured> {
    let mut clients = Clients::new(64, 1)?;
    for _ in 0..connections {
        clients.connect(serving.address)?;
    }
    clients.drive(std::time::Instant::now() + duration / 4, u64::MAX, |_| {
        Ok(())
    })?;
    // Messages that are on their way arrive, and are not answered.
    std::thread::sleep(Duration::from_millis(200));
    let before = cpu(serving)?;
    std::thread::sleep(duration);
    let used = cpu(serving)? - before;
    Ok(Ok(vec![(
        "CPU ms per second",
        used * 1e3 / duration.as_secs_f64(),
    )]))
}
