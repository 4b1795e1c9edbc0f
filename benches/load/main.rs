//! Loads an echo server on this machine and prints what its clients saw.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin load -- --help` shows the options.

#[allow(
    dead_code,
    reason = "the comparison with other runtimes drives in slices"
)]
mod driver;
mod hostile;
#[path = "../support/mod.rs"]
mod support;

use driver::{Load, Outcome};
use support::machine;
use support::table::{significant, thousands};

use std::io;
use std::net::ToSocketAddrs;
use std::process::{ExitCode, exit};
use std::time::Duration;

const HELP: &str = "\
Loads an echo server on this machine and prints what its clients saw.

usage: load [OPTIONS] [ADDRESS]

ADDRESS            a loopback address, 127.0.0.1:7777 if not given
--connections N    100 if not given
--in-flight N      messages under way on each connection, 1 if not given
--message BYTES    the size of a message, 64 if not given
--seconds N        how long, 5 if not given
--requests N       stop after this many answers
--core N           run on this core only
--hostile          half of the connections are slow, silent, never read, break off or reset
--help             print this text";

struct Options {
    load: Load,
    hostile: bool,
    core: Option<usize>,
}

fn main() -> ExitCode {
    let options = options().unwrap_or_else(|error| {
        eprintln!("load: {error}; --help shows the options");
        exit(2);
    });
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: cannot load {}: {error}", options.load.address);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    machine::raise_open_files()?;
    if let Some(core) = options.core {
        machine::pin(&[core])?;
    }
    let load = &options.load;
    if options.hostile {
        let (crowd, outcome) = hostile::run(load.address, load.connections, load.duration, |_| ())?;
        println!("{crowd}");
        print(&outcome);
    } else {
        print(&driver::run(load, |_| ())?);
    }
    Ok(())
}

fn print(outcome: &Outcome) {
    println!(
        "{} answers in {:.2} s, {} per second, {} connections failed",
        thousands(outcome.answers),
        outcome.elapsed.as_secs_f64(),
        thousands(outcome.per_second() as u64),
        outcome.failed
    );
    let quantile = |part| significant(outcome.quantile(part));
    println!(
        "latency in µs: p50 {}, p99 {}, p999 {}, max {}",
        quantile(0.5),
        quantile(0.99),
        quantile(0.999),
        quantile(1.0)
    );
    println!(
        "answers on one connection: {} to {}",
        thousands(outcome.fewest),
        thousands(outcome.most)
    );
}

fn options() -> Result<Options, String> {
    let mut address = "127.0.0.1:7777".to_owned();
    let (mut connections, mut in_flight, mut message, mut seconds) = (100, 1, 64, 5);
    let (mut requests, mut hostile, mut core) = (u64::MAX, false, None);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let text = args.next().unwrap_or_default();
            text.parse::<u32>()
                .map_err(|_| format!("{arg} wants a number, not '{text}'"))
        };
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--connections" => connections = number()? as usize,
            "--in-flight" => in_flight = number()? as usize,
            "--message" => message = number()? as usize,
            "--seconds" => seconds = number()?,
            "--requests" => requests = number()?.into(),
            "--core" => core = Some(number()? as usize),
            "--hostile" => hostile = true,
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => address = arg,
        }
    }
    let resolved = address
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    let load = Load {
        address: resolved.ok_or_else(|| format!("{address} is not an address"))?,
        connections,
        in_flight,
        message,
        warm_up: Duration::from_millis(500),
        duration: Duration::from_secs(seconds.into()),
        requests,
    };
    Ok(Options {
        load,
        hostile,
        core,
    })
}
