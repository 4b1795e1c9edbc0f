//! A million green threads at once, each with a stack of its own and a guard under it: how long it takes
//! to start them and to wake them, and how much memory they hold.
#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

use rustlet::thread;

use std::process::exit;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{env, fs, io};

const HELP: &str = "\
Starts green threads that wait, wakes them all, and says what they cost.

usage: million [OPTIONS] [COUNT]

COUNT              how many, 1000000 if not given
--sleep            each sleeps with a timer of its own, instead of waiting to be woken only
--brief            look at the memory for one second after the end, not for thirty
--help             print this text";

/// Threads that have come as far as their wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);
static WAKE: AtomicBool = AtomicBool::new(false);

fn main() -> io::Result<()> {
    let options = options().unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    rustlet::run(|| million(options))?;
    let end = Memory::now()?;
    println!("{:<28}{end}", "the runtime has ended");
    Ok(())
}

fn million(
    Options {
        count,
        wait,
        patience,
    }: Options,
) -> io::Result<()> {
    // Room for the handles is part of the program, not of its threads.
    let mut handles = Vec::with_capacity(count);
    let before = Memory::now()?;
    println!("{:<28}{before}", "before");

    let begin = Instant::now();
    for _ in 0..count {
        handles.push(thread::Builder::new().spawn(move || {
            WAITING.fetch_add(1, SeqCst);
            while !WAKE.load(SeqCst) {
                wait();
            }
        })?);
    }
    let spawned = begin.elapsed();
    while WAITING.load(SeqCst) < count {
        thread::yield_now();
    }
    let waiting = begin.elapsed();
    let held = Memory::now()?;
    println!("{:<28}{held}", format!("{count} threads wait"));
    println!(
        "{:<28}{:>12} B each   {:>10} B each",
        "",
        held.resident.saturating_sub(before.resident) / count as u64,
        held.page_tables.saturating_sub(before.page_tables) / count as u64,
    );

    let begin = Instant::now();
    WAKE.store(true, SeqCst);
    for handle in &handles {
        handle.thread().unpark();
    }
    for handle in handles {
        if handle.join().is_err() {
            return Err(io::Error::other("a thread panicked"));
        }
    }
    let woken = begin.elapsed();
    println!("{:<28}{}", "all have ended", Memory::now()?);
    println!(
        "spawned in {} ms, all waiting after {} ms; woken and joined in {} ms",
        spawned.as_millis(),
        waiting.as_millis(),
        woken.as_millis()
    );

    // Stacks stay with the runtime for a while, in case that more threads come.
    for seconds in [1, 2, 5, 10, 20, 30] {
        if seconds > patience.as_secs() {
            break;
        }
        thread::sleep_until(begin + woken + Duration::from_secs(seconds));
        println!("{:<28}{}", format!("{seconds} s later"), Memory::now()?);
    }
    Ok(())
}

/// What the process holds, in bytes, as the kernel counts it.
struct Memory {
    resident: u64,
    page_tables: u64,
}

impl Memory {
    fn now() -> io::Result<Memory> {
        let status = fs::read_to_string("/proc/self/status")?;
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            number.ok_or_else(|| io::Error::other(format!("/proc/self/status has no {name}")))
        };
        Ok(Memory {
            resident: kibibytes("VmRSS:")? * 1024,
            page_tables: kibibytes("VmPTE:")? * 1024,
        })
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "{:>8.1} MiB resident, {:>6.1} MiB of page tables",
            mebibytes(self.resident),
            mebibytes(self.page_tables)
        )
    }
}

/// What the command line asks for.
struct Options {
    count: usize,
    /// How a thread waits.
    wait: fn(),
    /// How long to watch the memory go down.
    patience: Duration,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        count: 1_000_000,
        wait: thread::park,
        patience: Duration::from_secs(30),
    };
    for arg in env::args().skip(1) {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--sleep" => options.wait = || thread::park_timeout(Duration::from_secs(3600)),
            "--brief" => options.patience = Duration::from_secs(1),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => {
                let number = arg.parse().ok().filter(|&number| number > 0);
                options.count = number.ok_or(format!("{arg} is not a number above 0"))?;
            }
        }
    }
    Ok(options)
}
