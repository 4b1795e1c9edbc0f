//! Echo servers of all peers, alive at once and loaded in turns of a tenth of a second, so that a
//! change of the machine's speed affects all of them. Measuring one process after the other would
//! measure the machine: its speed changes by a third within seconds.
//!
//! A server that is not loaded waits and costs nothing. The beginning of a turn does not count: the
//! messages in flight since the turn before come back, and the caches fill.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

use super::servers::Serving;
use super::serving::{cpu, make_room, start};
use crate::driver::{Clients, Edge};
use crate::figures::{Figures, Measured};
use crate::machine;
use crate::rows::{Operation, Row};
use crate::table::Summary;

/// The size of a message in bytes.
const MESSAGE: usize = 64;

/// A server, its clients, and the results of its turns.
struct Contender {
    serving: Serving,
    clients: Clients,
    /// In seconds.
    elapsed: f64,
    /// CPU time for each answer, of each turn, in seconds.
    costs: Vec<f64>,
    /// The time that each of its OS threads used of a core, in nanoseconds, by thread number.
    used: HashMap<u32, f64>,
}

/// Length of the part of a turn that does not count, of the part that does, and number of turns.
fn plan(connections: usize, quick: bool) -> (Duration, Duration, u32) {
    let all = if quick { 1_200 } else { 2_400 };
    // A turn must be longer than an answer takes.
    let length = if connections < 10_000 { 100 } else { 400 };
    (
        Duration::from_millis(length / 2),
        Duration::from_millis(length),
        (all / length) as u32,
    )
}

/// Measures the peers and returns the results in their order. `files` may be open at once: if that
/// is not enough for all, some run after the others.
pub(crate) fn measure<'a>(
    row: &Row,
    peers: &[&'a str],
    files: u64,
    quick: bool,
) -> io::Result<Vec<(&'a str, Measured)>> {
    let cores = machine::cores()?;
    // Some for the other needs of this program, and two for each server.
    let at_once = files.saturating_sub(64) / (row.operation.threads() as u64 + 2);
    let mut all = Vec::new();
    for peers in peers.chunks(at_once.max(1) as usize) {
        all.extend(together(row, peers, &cores, quick)?);
    }
    Ok(all)
}

fn together<'a>(
    row: &Row,
    peers: &[&'a str],
    cores: &[usize],
    quick: bool,
) -> io::Result<Vec<(&'a str, Measured)>> {
    let Operation::Serve {
        service,
        connections,
        in_flight,
    } = row.operation
    else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut contenders = Vec::new();
    for &peer in peers {
        let contender = start(row, peer, service, cores)?.and_then(|serving| {
            let mut clients =
                Clients::new(MESSAGE, in_flight).map_err(|error| error.to_string())?;
            if row.workers < cores.len() {
                clients.stay_awake();
            }
            Ok(Contender {
                serving,
                clients,
                elapsed: 0.0,
                costs: Vec::new(),
                used: HashMap::new(),
            })
        });
        contenders.push((peer, contender));
    }
    make_room(row, cores)?;
    let (lead, length, turns) = plan(connections, quick);
    for (_, contender) in &mut contenders {
        attempt(contender, |contender| {
            contender.connect(connections, length * 3)
        });
    }
    for turn in 0..turns {
        for number in 0..contenders.len() {
            // In alternating direction, so that no peer always follows the same one.
            let number = if turn % 2 == 0 {
                number
            } else {
                contenders.len() - 1 - number
            };
            attempt(&mut contenders[number].1, |contender| {
                contender.turn(lead, length)
            });
        }
    }
    let figures = |contender: Contender| contender.figures(row.workers);
    Ok(contenders
        .into_iter()
        .map(|(peer, contender)| (peer, contender.and_then(figures)))
        .collect())
}

/// Applies it to each contender still in the race; a contender that fails leaves it.
fn attempt(
    contender: &mut Result<Contender, String>,
    act: impl FnOnce(&mut Contender) -> io::Result<()>,
) {
    if let Ok(own) = contender {
        let words = match act(own) {
            Err(error) => Some(format!("fails: {error}")),
            Ok(()) => match own.clients.failed() {
                0 => None,
                failed => Some(format!("{failed} connections broke")),
            },
        };
        if let Some(words) = words {
            *contender = Err(words);
        }
    }
}

impl Contender {
    fn connect(&mut self, connections: usize, warm_up: Duration) -> io::Result<()> {
        for _ in 0..connections {
            self.clients.connect(self.serving.address)?;
        }
        self.clients.settle(warm_up)
    }

    fn turn(&mut self, lead: Duration, length: Duration) -> io::Result<()> {
        let answers = self.clients.answers();
        let mut readings = Vec::new();
        let serving = &self.serving;
        let elapsed = self.clients.slice(lead, length, |_: Edge| {
            readings.push((cpu(serving), by_thread(serving.pid())));
        })?;
        self.elapsed += elapsed.as_secs_f64();
        let answers = self.clients.answers() - answers;
        let mut readings = readings.into_iter();
        if let (Some((before, idle)), Some((after, busy))) = (readings.next(), readings.next()) {
            let used = after? - before?;
            if answers > 0 {
                self.costs.push(used / answers as f64);
            }
            for (thread, time) in busy {
                let then = idle.iter().find(|(then, _)| *then == thread);
                *self.used.entry(thread).or_default() += time - then.map_or(0.0, |(_, time)| *time);
            }
        }
        Ok(())
    }

    fn figures(self, workers: usize) -> Measured {
        let cost = Summary::of(&self.costs).ok_or("fails: no answer came")?;
        let elapsed = Duration::from_secs_f64(self.elapsed);
        let outcome = self.clients.outcome(elapsed);
        let mut figures: Figures = vec![
            ("CPU µs per request", cost.median * 1e6),
            ("thousand req/s", outcome.per_second() / 1e3),
            ("p50 µs", outcome.quantile(0.5)),
            ("p99 µs", outcome.quantile(0.99)),
        ];
        if workers > 1 {
            let used = self.used.into_values().collect();
            figures.push(("busiest to idlest worker, % apart", apart(used, workers)));
            let unfair = outcome.most as f64 / outcome.fewest.max(1) as f64;
            figures.push(("most / fewest answers on a connection", unfair));
        }
        Ok(figures)
    }
}

/// Returns the time that each OS thread of a process used of a core, in nanoseconds, by thread
/// number.
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

/// Returns how far the load of the workers, which are the busiest threads, differs, as a fraction
/// of their mean.
fn apart(mut used: Vec<f64>, workers: usize) -> f64 {
    used.sort_by(f64::total_cmp);
    let used = &used[used.len().saturating_sub(workers)..];
    let sum: f64 = used.iter().sum();
    match (used.first(), used.last()) {
        (Some(least), Some(most)) if sum > 0.0 => (most - least) * 100.0 * used.len() as f64 / sum,
        _ => 0.0,
    }
}
