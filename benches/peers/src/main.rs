//! rustlet beside other runtimes, in one run.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- --help` shows the options. Each
//! measurement is a process of its own; the peers of a row follow each other, and everything is
//! repeated several times, so that a change of the machine's speed affects all of them. Echo
//! servers take turns of a tenth of a second (`slices.rs`).

#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

mod blocking;
mod charts;
#[path = "../../support/connection.rs"]
mod connection;
#[allow(dead_code, reason = "the driver has more to tell than this needs")]
#[path = "../../load/driver.rs"]
mod driver;
mod figures;
mod futures;
mod golang;
mod head;
mod limits;
#[path = "../../support/machine.rs"]
#[allow(dead_code, reason = "not every benchmark needs all of it")]
mod machine;
mod measure;
mod report;
mod rows;
mod run;
mod serve;
#[path = "../../support/table.rs"]
#[allow(dead_code, reason = "not every benchmark needs all of it")]
mod table;

use std::path::PathBuf;
use std::process::exit;
use std::{env, io};

use report::Report;
use rows::{PEERS, ROWS, When};

const HELP: &str = "\
rustlet beside other runtimes: tokio (both flavours), smol, may, Go if there is a toolchain, OS threads, and what the
machine allows. Prints a table, and writes the figures and charts of them.

usage: peers [OPTIONS]

--quick            fewer rows, smaller counts, one round
--rounds N         3 if not given, 1 with --quick
--rows A,B         only rows of these keys, or whose keys begin so; --list
                   shows the keys
--peers A,B        only these peers
--tsv PATH         where the figures go, target/peers.tsv if not given; what
                   has been measured is there if the run is broken off
--charts DIR       where the charts go, charts beside the figures if not given
--markdown         print tables for a document instead of those for a terminal
--readme           print the table of the README instead
--from PATH,PATH   measure nothing, take the figures from there
--list             print the keys of the rows
--help             print this text";

#[derive(Debug, Default)]
pub(crate) struct Options {
    quick: bool,
    rounds: Option<usize>,
    rows: Vec<String>,
    peers: Vec<String>,
    tsv: PathBuf,
    charts: Option<PathBuf>,
    markdown: bool,
    readme: bool,
    from: Vec<String>,
}

fn main() -> io::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some(serve::servers::ARGUMENT) => return serve::servers::child(&args[1..]),
        Some(run::ARGUMENT) => return run::child(&args[1..]),
        _ => {}
    }
    let options = options(args).unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    let report = if options.from.is_empty() {
        let report = run::all(&options)?;
        println!("\nwritten to {}\n", options.tsv.display());
        report
    } else {
        Report::read(&options.from)?
    };
    if options.readme {
        report::readme::print(&report);
    } else if options.markdown {
        report.print_markdown();
    } else {
        report.print();
    }
    let beside = options.tsv.with_file_name("charts");
    let measured = options.from.is_empty().then_some(beside);
    if let Some(directory) = options.charts.or(measured) {
        charts::draw(&report, &directory)?;
        eprintln!("charts drawn in {}", directory.display());
    }
    Ok(())
}

fn options(args: Vec<String>) -> Result<Options, String> {
    let mut options = Options {
        tsv: env::var_os("CARGO_TARGET_DIR")
            .map_or(PathBuf::from("target"), PathBuf::from)
            .join("peers.tsv"),
        ..Options::default()
    };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        let list = |text: String| -> Vec<String> { text.split(',').map(str::to_owned).collect() };
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--list" => {
                for row in ROWS {
                    let when = match row.when {
                        When::Always => "",
                        When::Full => " (not with --quick)",
                        When::Seldom => " (not with --quick, and not in each round)",
                    };
                    println!("{:16} {}{when}", row.key, row.label());
                }
                exit(0);
            }
            "--quick" => options.quick = true,
            "--markdown" => options.markdown = true,
            "--readme" => options.readme = true,
            "--rounds" => options.rounds = Some(value()?.parse().map_err(|_| "not a number")?),
            "--rows" => options.rows = list(value()?),
            "--peers" => options.peers = list(value()?),
            "--tsv" => options.tsv = value()?.into(),
            "--charts" => options.charts = Some(value()?.into()),
            "--from" => options.from = list(value()?),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    if let Some(name) = options
        .rows
        .iter()
        .find(|name| rows::named(name).next().is_none())
    {
        return Err(format!("no row begins with {name}"));
    }
    let unknown = |peer: &&String| !PEERS.contains(&peer.as_str());
    if let Some(peer) = options.peers.iter().find(unknown) {
        return Err(format!("no peer is called {peer}"));
    }
    Ok(options)
}
