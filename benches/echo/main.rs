//! An echo over loopback: rustlet against std's threads and against a raw epoll loop.
//!
//! Each server is a process of its own on one core, and the load driver runs on another. The
//! servers take turns within a round, so that a change of the machine's speed affects all of them.
//! The driver costs more than the server it loads, so the figure that tells servers apart is not
//! the answers per second but the CPU time that the server used for each.
//!
//! `cargo bench --manifest-path benches/Cargo.toml --bench echo`, or with `-- --quick`; `-- --help`
//! shows the options.

#[allow(dead_code, reason = "the driver by itself has further uses for it")]
#[path = "../load/driver.rs"]
mod driver;
mod green;
#[path = "../load/hostile.rs"]
mod hostile;
mod os;
mod raw_epoll;
mod servers;
mod serving;
#[path = "../support/mod.rs"]
mod support;

use driver::{Edge, Load, Outcome};
use servers::Server;
use serving::Serving;
use support::machine::{self, CpuTime};
use support::table::{Summary, Table, median, ratio, significant, thousands, with_spread};

use std::process::exit;
use std::time::Duration;
use std::{env, io};

const HELP: &str = "\
Compares echo servers: rustlet, std's threads, and a raw epoll loop as the limit.

usage: cargo bench --manifest-path benches/Cargo.toml --bench echo -- [OPTIONS] [SERVER...]

SERVER             rustlet, threads, epoll; all if none is given
--quick            one short round
--rounds N         how often each server is measured, 5 if not given
--seconds N        how long each time, 3 if not given
--connections N    this many only, instead of 1, 100, 1,000 and 10,000
--hostile          only the crowd of which half behaves badly
--help             print this text";

/// Number of connections, and messages in flight on each.
const SHAPES: [(usize, usize); 5] = [(1, 1), (100, 1), (1_000, 1), (10_000, 1), (100, 16)];
const MESSAGE: usize = 64;

struct Options {
    servers: Vec<Server>,
    shapes: Vec<(usize, usize)>,
    rounds: usize,
    duration: Duration,
    server_core: usize,
    hostile_only: bool,
}

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    if let [serve, server, core] = args.as_slice()
        && serve == serving::ARGUMENT
    {
        return serving::serve(server, core);
    }
    let mut options = options(args).unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    let files = machine::raise_open_files()?;
    println!("echo over loopback, {MESSAGE} bytes, server on one core, load on another");
    println!("machine: {}", machine::describe());
    let cores = machine::cores()?;
    options.server_core = cores[0];
    if cores.len() == 1 {
        println!("one core only: server and load share it, and the figures say little");
    }
    machine::pin(&[cores[cores.len() - 1]])?;
    if !options.hostile_only {
        shapes(&options, files)?;
    }
    hostile(&options, files)
}

/// One measurement of one server.
struct Sample {
    outcome: Outcome,
    cpu: Cpu,
}

/// CPU time of the server for each answer, in microseconds.
#[derive(Clone, Copy)]
struct Cpu {
    total: f64,
    user: f64,
}

impl Cpu {
    fn between(begin: CpuTime, end: CpuTime, answers: u64) -> Cpu {
        let total = (end.total - begin.total).as_secs_f64() * 1e6 / answers.max(1) as f64;
        let user = (end.user_ticks - begin.user_ticks) as f64;
        let system = (end.system_ticks - begin.system_ticks) as f64;
        Cpu {
            total,
            user: total * user / (user + system).max(1.0),
        }
    }
}

fn shapes(options: &Options, files: u64) -> io::Result<()> {
    let mut table = Table::new(&[
        "connections × in flight",
        "server",
        "answers/s",
        "vs threads",
        "p50 µs",
        "p99 µs",
        "p999 µs",
        "max µs",
        "CPU µs each",
        "of it user",
        "CPU vs epoll",
    ]);
    for &(connections, in_flight) in &options.shapes {
        if connections as u64 + 100 > files {
            println!("{connections} connections left out: only {files} open files are allowed");
            continue;
        }
        let mut samples: Vec<(Server, Vec<Sample>)> =
            options.servers.iter().map(|&s| (s, Vec::new())).collect();
        for round in 0..options.rounds {
            // The server that begins changes from round to round.
            for turn in 0..samples.len() {
                let place = (round + turn) % options.servers.len();
                let (server, measured) = &mut samples[place];
                match measure(options, *server, connections, in_flight) {
                    Ok(sample) => {
                        eprintln!(
                            "round {}: {connections} × {in_flight}, {}: {} answers/s, {:.3} µs each",
                            round + 1,
                            server.name(),
                            thousands(sample.outcome.per_second() as u64),
                            sample.cpu.total
                        );
                        measured.push(sample);
                    }
                    Err(error) => {
                        eprintln!("{connections} × {in_flight}, {}: {error}", server.name())
                    }
                }
            }
        }
        rows(
            &mut table,
            &format!("{} × {in_flight}", thousands(connections as u64)),
            &samples,
        );
    }
    println!();
    table.print();
    println!(
        "medians of {} rounds; ± is half the distance between the quartiles",
        options.rounds
    );
    Ok(())
}

fn rows(table: &mut Table, shape: &str, samples: &[(Server, Vec<Sample>)]) {
    let of = |samples: &[Sample], figure: &dyn Fn(&Sample) -> f64| -> Vec<f64> {
        samples.iter().map(figure).collect()
    };
    let other = |wanted: Server, figure: &dyn Fn(&Sample) -> f64| {
        let (_, samples) = samples.iter().find(|(server, _)| *server == wanted)?;
        median(&of(samples, figure))
    };
    let rate = |sample: &Sample| sample.outcome.per_second();
    let total = |sample: &Sample| sample.cpu.total;
    for (server, samples) in samples {
        let rates = Summary::of(&of(samples, &rate));
        let totals = Summary::of(&of(samples, &total));
        let quantile = |part: f64| {
            let median = median(&of(samples, &|sample| sample.outcome.quantile(part)));
            median.map_or("–".into(), significant)
        };
        table.row(vec![
            shape.to_owned(),
            server.name().to_owned(),
            with_spread(rates),
            ratio(rates.map(|s| s.median), other(Server::Threads, &rate)),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            quantile(1.0),
            with_spread(totals),
            median(&of(samples, &|sample| sample.cpu.user)).map_or("–".into(), significant),
            ratio(totals.map(|s| s.median), other(Server::Epoll, &total)),
        ]);
    }
}

fn measure(
    options: &Options,
    server: Server,
    connections: usize,
    in_flight: usize,
) -> io::Result<Sample> {
    let serving = Serving::start(server, options.server_core)?;
    let load = Load {
        address: serving.address(),
        connections,
        in_flight,
        message: MESSAGE,
        warm_up: options.duration / 4,
        duration: options.duration,
        requests: u64::MAX,
    };
    let mut clock = Clock::of(&serving);
    let outcome = driver::run(&load, |edge| clock.read(edge))?;
    if outcome.failed > 0 {
        return Err(io::Error::other(format!(
            "the server gave up {} connections",
            outcome.failed
        )));
    }
    let cpu = clock.each(outcome.answers)?;
    Ok(Sample { outcome, cpu })
}

/// Reads a server's CPU clock where the measured part begins and ends.
struct Clock {
    pid: u32,
    readings: Vec<io::Result<CpuTime>>,
}

impl Clock {
    fn of(serving: &Serving) -> Clock {
        Clock {
            pid: serving.pid(),
            readings: Vec::new(),
        }
    }

    fn read(&mut self, _: Edge) {
        self.readings.push(machine::cpu_time(self.pid));
    }

    fn each(self, answers: u64) -> io::Result<Cpu> {
        let mut readings = self.readings.into_iter();
        match (readings.next(), readings.next()) {
            (Some(begin), Some(end)) => Ok(Cpu::between(begin?, end?, answers)),
            _ => Err(io::Error::other("the clock was not read")),
        }
    }
}

/// Makes half of the connections behave badly: how evenly is the other half served, and does
/// anything leak?
fn hostile(options: &Options, files: u64) -> io::Result<()> {
    let largest = options
        .shapes
        .iter()
        .map(|&(connections, _)| connections)
        .max();
    let connections = largest.unwrap_or(0).min(files as usize - 100);
    let mut table = Table::new(&[
        "hostile crowd",
        "answers/s",
        "p50 µs",
        "p99 µs",
        "p999 µs",
        "max µs",
        "fewest, most on one",
        "failed",
        "descriptors before, at most, after",
        "resident MiB before, at most, after",
    ]);
    println!();
    for &server in &options.servers {
        match crowd(options, server, connections) {
            Ok(row) => table.row(row),
            Err(error) => eprintln!("hostile crowd, {}: {error}", server.name()),
        }
    }
    table.print();
    Ok(())
}

fn crowd(options: &Options, server: Server, connections: usize) -> io::Result<Vec<String>> {
    let serving = Serving::start(server, options.server_core)?;
    let pid = serving.pid();
    let look = || Some((machine::open_files(pid).ok()?, machine::resident(pid).ok()?));
    let before = look();
    let mut fullest = None;
    let (crowd, outcome) = hostile::run(
        serving.address(),
        connections,
        options.duration * 2,
        |edge| {
            if edge == Edge::End {
                fullest = look();
            }
        },
    )?;
    println!("{}: {crowd}", server.name());
    let after = serving.settled(before.map_or(0, |(descriptors, _)| descriptors));
    let three = |figure: fn((usize, u64)) -> u64| {
        let text =
            |look: Option<(usize, u64)>| look.map_or("–".into(), |look| thousands(figure(look)));
        [text(before), text(fullest), text(after)].join(", ")
    };
    let quantile = |part| significant(outcome.quantile(part));
    Ok(vec![
        server.name().to_owned(),
        thousands(outcome.per_second() as u64),
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0),
        format!("{}, {}", thousands(outcome.fewest), thousands(outcome.most)),
        thousands(outcome.failed as u64),
        three(|(descriptors, _)| descriptors as u64),
        three(|(_, bytes)| bytes >> 20),
    ])
}

fn options(args: Vec<String>) -> Result<Options, String> {
    let (mut rounds, mut seconds, mut quick) = (None, None, false);
    let mut options = Options {
        servers: Vec::new(),
        shapes: SHAPES.to_vec(),
        rounds: 0,
        duration: Duration::ZERO,
        server_core: 0,
        hostile_only: false,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().unwrap_or_default();
            let number = text.parse().ok().filter(|&number: &usize| number > 0);
            number.ok_or_else(|| format!("{arg} wants a number above 0, not '{text}'"))
        };
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            // Cargo passes this argument to every benchmark.
            "--bench" => {}
            "--quick" => quick = true,
            "--hostile" => options.hostile_only = true,
            "--rounds" => rounds = Some(number()?),
            "--seconds" => seconds = Some(number()?),
            "--connections" => {
                let connections = number()?;
                options.shapes = vec![(connections, 1)];
            }
            name => options
                .servers
                .push(Server::named(name).ok_or(format!("unknown option or server {name}"))?),
        }
    }
    if options.servers.is_empty() {
        options.servers = Server::ALL.to_vec();
    }
    options.rounds = rounds.unwrap_or(if quick { 1 } else { 5 });
    options.duration = Duration::from_secs(seconds.unwrap_or(if quick { 1 } else { 3 }) as u64);
    Ok(options)
}
