//! rustlet beside other runtimes, in one run.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- --help` shows the options. Each measurement is a process of its
//! own; the peers of a row follow each other, and the whole is done several times over, so that a machine which
//! changes its speed does so for all of them.

#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

mod blocking;
mod charts;
mod churn;
#[allow(dead_code, reason = "the driver has more to tell than this needs")]
#[path = "../../load/driver.rs"]
mod driver;
mod figures;
mod futures;
mod golang;
mod limits;
#[path = "../../support/machine.rs"]
#[allow(dead_code, reason = "not every benchmark needs all of it")]
mod machine;
#[path = "../../echo/raw_epoll.rs"]
mod raw_epoll;
mod report;
mod rows;
mod servers;
#[path = "../../support/table.rs"]
#[allow(dead_code, reason = "not every benchmark needs all of it")]
mod table;

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio, exit};
use std::time::{Duration, Instant};
use std::{env, thread};

use figures::Figures;
use report::Report;
use rows::{PEERS, ROWS, Row};

const HELP: &str = "\
rustlet beside other runtimes: tokio (both flavours), smol, may, Go if there is a toolchain, OS threads, and what the
machine allows. Prints a table, and writes the figures and charts of them.

usage: peers [OPTIONS]

--quick            smaller counts, fewer rows, one round: some minutes
--rounds N         3 if not given, 1 with --quick
--rows A,B         only rows whose keys begin so; --list shows the keys
--peers A,B        only these peers
--tsv PATH         where the figures go, target/peers.tsv if not given
--charts DIR       draw the charts there
--from PATH        measure nothing, take the figures from there
--list             print the keys of the rows
--help             print this text";

/// The argument that makes this program measure one row of one peer.
const MEASURE: &str = "--measure";

/// What a measurement may take at most; who takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

struct Options {
    quick: bool,
    rounds: Option<usize>,
    rows: Vec<String>,
    peers: Vec<String>,
    tsv: PathBuf,
    charts: Option<PathBuf>,
    from: Option<PathBuf>,
}

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(servers::ARGUMENT) => return servers::child(&args[1..]),
        Some(MEASURE) => return measure(&args[1..]),
        _ => {}
    }
    let options = options(args).unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    let report = match &options.from {
        Some(path) => Report::read(path)?,
        None => {
            let report = run(&options)?;
            report.write(&options.tsv)?;
            println!("\nwritten to {}\n", options.tsv.display());
            report
        }
    };
    println!("machine: {}\n", report.machine);
    report.print();
    if let Some(directory) = &options.charts {
        charts::draw(&report, directory)?;
    }
    Ok(())
}

fn run(options: &Options) -> io::Result<Report> {
    let mut report = Report::default();
    report.machine = machine::describe();
    if options.wants_peer("go") && golang::build()?.is_none() {
        println!("no Go toolchain here: its column stays empty");
    }
    let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
    for round in 1..=rounds {
        for row in ROWS.iter().filter(|row| options.wants(row)) {
            for peer in PEERS.iter().filter(|peer| options.wants_peer(peer)) {
                let Some(figures) = measured(row, peer, options.quick)? else {
                    continue;
                };
                for (metric, value) in figures {
                    println!("{round}/{rounds} {} {peer}: {metric} {value:.1}", row.key);
                    report.add(row.key, metric, peer, value);
                }
            }
        }
    }
    Ok(report)
}

/// Has a child measure it. None: there is nothing to measure, or it failed, or took too long.
fn measured(row: &Row, peer: &str, quick: bool) -> io::Result<Option<Figures>> {
    let mut child = Command::new(env::current_exe()?)
        .args([MEASURE, row.key, peer])
        .args(quick.then_some("--quick"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > PATIENCE {
            println!("{} {peer}: given up after {PATIENCE:?}", row.key);
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(20));
    };
    let mut output = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut output)?;
    }
    if !status.success() {
        println!("{} {peer}: failed, {status}", row.key);
        return Ok(None);
    }
    let figures = golang::parse(&output);
    Ok((!figures.is_empty()).then_some(figures))
}

/// The child's side: prints the figures.
fn measure(args: &[String]) -> io::Result<()> {
    let [key, peer, options @ ..] = args else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let row = ROWS.iter().find(|row| row.key == *key);
    let row = row.ok_or_else(|| io::Error::other(format!("no row {key}")))?;
    let quick = options.iter().any(|option| option == "--quick");
    machine::raise_open_files()?;
    let figures = if row.operation.is_served() {
        rows::served(row, peer, quick)?
    } else if peer == "go" {
        golang::measure(row, quick)?
    } else {
        rows::measure(row, peer, quick)?
    };
    for (metric, value) in figures.into_iter().flatten() {
        println!("{metric}\t{value}");
    }
    // Without waiting for what the runtimes have left behind.
    exit(0)
}

impl Options {
    fn wants(&self, row: &Row) -> bool {
        let named = self
            .rows
            .iter()
            .any(|key| row.key.starts_with(key.as_str()));
        if self.rows.is_empty() {
            !(self.quick && row.long)
        } else {
            named
        }
    }

    fn wants_peer(&self, peer: &str) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|name| name == peer)
    }
}

fn options(args: Vec<String>) -> Result<Options, String> {
    let mut options = Options {
        quick: false,
        rounds: None,
        rows: Vec::new(),
        peers: Vec::new(),
        tsv: env::var_os("CARGO_TARGET_DIR")
            .map_or(PathBuf::from("target"), PathBuf::from)
            .join("peers.tsv"),
        charts: None,
        from: None,
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        let list = |text: String| text.split(',').map(str::to_owned).collect();
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--list" => {
                for row in ROWS {
                    println!("{:16} {}", row.key, row.text);
                }
                exit(0);
            }
            "--quick" => options.quick = true,
            "--rounds" => options.rounds = Some(value()?.parse().map_err(|_| "not a number")?),
            "--rows" => options.rows = list(value()?),
            "--peers" => options.peers = list(value()?),
            "--tsv" => options.tsv = value()?.into(),
            "--charts" => options.charts = Some(value()?.into()),
            "--from" => options.from = Some(value()?.into()),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(options)
}
