//! The same crates on rustlet and on tokio, in one run: what a request costs the server in CPU
//! time, and a query of PostgreSQL the client.
//!
//! The runtimes take turns, so that a change of the machine's speed hits all of them; a figure is
//! the median of the rounds. Each runtime has one worker. A server is a process of its own, and so
//! is the load: wrk for HTTP, this program for WebSocket.

mod on_rustlet;
mod on_tokio;
#[path = "../../../../../examples/support/mod.rs"]
mod support;

use rustlet_ecosystem::postgres::Postgres;
use rustlet_ecosystem::process::{Folder, Process, bounded, certificate, text};
use support::{Args, Result, failure, misuse};

use std::fs;
use std::io;
use std::process::{Command, ExitCode, Stdio, exit};
use std::time::Duration;

const HELP: &str = "\
[OPTIONS]

Measures crates on rustlet and on tokio, and prints a table.

--rows NAMES         hyper, rustls, tungstenite, tokio-postgres (default: all, with commas)
--connections N,…    how many connections, or of PostgreSQL, how many threads (default 50,500)
--rounds N           how often each is measured (default 5)
--seconds N          how long each time (default 2)
--help               print this text";

const ROWS: [&str; 4] = ["hyper", "rustls", "tungstenite", "tokio-postgres"];

/// How many connections to PostgreSQL all threads share. Several queries may be under way on one.
const CLIENTS: usize = 10;

/// A minimal answer over HTTP, for servers without hyper.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";

/// What is measured.
#[derive(Clone, Copy, PartialEq)]
enum Runtime {
    Rustlet,
    CurrentThread,
    MultiThread,
}

const RUNTIMES: [(Runtime, &str); 3] = [
    (Runtime::Rustlet, "rustlet"),
    (Runtime::CurrentThread, "tokio current_thread"),
    (Runtime::MultiThread, "tokio multi-thread"),
];

fn main() -> ExitCode {
    support::main(HELP, |args| {
        // The program starts itself again as a server or a client.
        if let Some(row) = args.value("--serve")? {
            end_with_parent();
            let runtime = runtime(args)?;
            let files = (args.value("--cert")?, args.value("--key")?);
            let tls = match files {
                (Some(cert), Some(key)) => Some((cert, key)),
                _ => None,
            };
            return match runtime {
                Runtime::Rustlet => on_rustlet::serve(&row, tls),
                _ => on_tokio::serve(&row, runtime, tls),
            };
        }
        if let Some(database) = args.value("--query")? {
            let runtime = runtime(args)?;
            let threads = args.number("--threads", 1)?.unwrap_or(1) as usize;
            let time = args.seconds("--seconds")?.unwrap_or_default();
            let count = match runtime {
                Runtime::Rustlet => on_rustlet::query(&database, threads, time)?,
                _ => on_tokio::query(&database, runtime, threads, time)?,
            };
            println!("{count}");
            return Ok(());
        }
        Plan::from_args(args)?.measure()
    })
}

fn runtime(args: &mut Args) -> Result<Runtime> {
    let name = args.value("--runtime")?.unwrap_or_default();
    let found = RUNTIMES.iter().find(|(_, known)| *known == name);
    found
        .map(|(runtime, _)| *runtime)
        .ok_or_else(|| misuse("--runtime names a runtime"))
}

struct Plan {
    rows: Vec<String>,
    connections: Vec<u32>,
    rounds: u32,
    time: Duration,
}

impl Plan {
    fn from_args(args: &mut Args) -> Result<Plan> {
        let rows = args.value("--rows")?.unwrap_or_else(|| ROWS.join(","));
        let rows: Vec<String> = rows.split(',').map(str::to_owned).collect();
        if let Some(row) = rows.iter().find(|row| !ROWS.contains(&row.as_str())) {
            return Err(misuse(format!("there is no row {row}")));
        }
        let connections = args
            .value("--connections")?
            .unwrap_or_else(|| "50,500".to_owned());
        let connections = connections
            .split(',')
            .map(|word| support::number("--connections", word, 1));
        let plan = Plan {
            rows,
            connections: connections.collect::<Result<_>>()?,
            rounds: args.number("--rounds", 1)?.unwrap_or(5),
            time: args.seconds("--seconds")?.unwrap_or(Duration::from_secs(2)),
        };
        args.end()?;
        Ok(plan)
    }

    fn measure(&self) -> Result {
        let names = RUNTIMES.map(|(_, name)| name).join(" | ");
        println!("| CPU µs per request | connections | {names} | rustlet / better tokio |");
        println!("|---|---:|---:|---:|---:|---:|");
        for row in &self.rows {
            let subject = Subject::start(row)?;
            for &connections in &self.connections {
                let mut costs = RUNTIMES.map(|_| Vec::new());
                for _ in 0..self.rounds {
                    for (index, costs) in costs.iter_mut().enumerate() {
                        costs.push(subject.cost(index, connections, self.time)?);
                    }
                }
                let medians = costs.map(median);
                let ratio = medians[0] / medians[1].min(medians[2]);
                let cells = medians.map(|cost| format!("{cost:.2}")).join(" | ");
                println!("| {row} | {connections} | {cells} | {ratio:.2} |");
            }
        }
        Ok(())
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len() % 2 == 1 {
        figures[middle]
    } else {
        (figures[middle - 1] + figures[middle]) / 2.0
    }
}

/// What a row is measured on.
enum Subject {
    /// A server of each runtime, which a load asks.
    Servers {
        servers: Vec<(Process, String)>,
        load: Load,
        _folder: Folder,
    },
    /// A database, which a process of each runtime asks.
    Database {
        postgres: Postgres,
        _server: Process,
        _folder: Folder,
    },
}

#[derive(Clone, Copy)]
enum Load {
    Wrk(&'static str),
    WebSocket,
}

impl Subject {
    fn start(row: &str) -> Result<Subject> {
        if row == "tokio-postgres" {
            let started = Postgres::start();
            let (postgres, server, folder) =
                started.ok_or_else(|| failure("PostgreSQL is not installed"))?;
            return Ok(Subject::Database {
                postgres,
                _server: server,
                _folder: folder,
            });
        }
        let folder = Folder::temporary();
        let (cert, key) = certificate(&folder);
        let start = |(_, name): (Runtime, &str)| {
            let mut command = itself();
            command.args(["--serve", row, "--runtime", name]);
            if row == "rustls" {
                command.args(["--cert", &cert, "--key", &key]);
            }
            let process = Process::start(&mut command);
            let address = process.line_after("listening on ");
            (process, address)
        };
        let load = match row {
            "rustls" => Load::Wrk("https"),
            "tungstenite" => Load::WebSocket,
            _ => Load::Wrk("http"),
        };
        Ok(Subject::Servers {
            servers: RUNTIMES.map(start).into(),
            load,
            _folder: folder,
        })
    }

    /// Returns the CPU time of a request in microseconds, on the runtime `index`.
    fn cost(&self, index: usize, connections: u32, time: Duration) -> Result<f64> {
        match self {
            Subject::Servers { servers, load, .. } => {
                let (server, address) = &servers[index];
                let before = cpu_time(server.id())?;
                let requests = match load {
                    Load::Wrk(scheme) => wrk(&format!("{scheme}://{address}/"), connections, time)?,
                    Load::WebSocket => on_rustlet::talk(address, connections, time)?,
                };
                let used = cpu_time(server.id())? - before;
                Ok(used.as_secs_f64() * 1e6 / requests as f64)
            }
            Subject::Database { postgres, .. } => {
                let mut command = itself();
                command.args([
                    "--query",
                    &postgres.database,
                    "--runtime",
                    RUNTIMES[index].1,
                ]);
                command.args(["--threads", &connections.to_string()]);
                let said = text(command.args(["--seconds", &time.as_secs().to_string()]));
                let numbers: Vec<f64> = said
                    .split_whitespace()
                    .filter_map(|word| word.parse().ok())
                    .collect();
                let [queries, used] = numbers[..] else {
                    return Err(failure(format!("a client said {said}")));
                };
                Ok(used / queries)
            }
        }
    }
}

/// How many queries a client has made, and the CPU time that they took, in microseconds.
struct Queries {
    count: u64,
    used: Duration,
}

impl std::fmt::Display for Queries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.count, self.used.as_micros())
    }
}

/// The CPU time of this process.
fn own_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// This program again.
fn itself() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    command.stdin(Stdio::piped());
    command
}

/// Ends this process when the one that has started it ends, however that ends.
fn end_with_parent() {
    std::thread::spawn(|| {
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        exit(0);
    });
}

/// The CPU time of a process so far, with its kernel's part.
fn cpu_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program, in parentheses, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .flat_map(str::parse::<u64>);
    let seconds = ticks.sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(Duration::from_secs_f64(seconds))
}

/// Returns the number of requests that wrk made.
fn wrk(url: &str, connections: u32, time: Duration) -> Result<u64> {
    let (connections, time) = (connections.to_string(), time.as_secs().to_string());
    let said = text(bounded("wrk").args(["-t", "1", "-c", &connections, "-d", &time, url]));
    if said.contains("Socket errors") || said.contains("Non-2xx") {
        return Err(failure(said));
    }
    let requests = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in "));
    let (requests, _) = requests.ok_or_else(|| failure(&said))?;
    Ok(requests.parse()?)
}
