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
--help             print this text";

/// Threads that have come as far as their wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);
static WAKE: AtomicBool = AtomicBool::new(false);

fn main() -> io::Result<()> {
    let (count, wait) = options().unwrap_or_else(|error| {
        eprintln!("{error}; --help shows the options");
        exit(2);
    });
    rustlet::run(|| million(count, wait))?;
    let end = Memory::now()?;
    println!("{:<28}{end}", "the runtime has ended");
    Ok(())
}

/// How a thread waits.
type Wait = fn();

fn million(count: usize, wait: Wait) -> io::Result<()> {
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
        "spawned in {spawned:.0?}, all waiting after {waiting:.0?}; woken and joined in {woken:.0?}"
    );

    // Stacks stay with the runtime for a while, in case that more threads come.
    let mut last = u64::MAX;
    for second in 1..=30 {
        thread::sleep(Duration::from_secs(1));
        let memory = Memory::now()?;
        println!("{:<28}{memory}", format!("{second} s later"));
        if memory.resident == last {
            break;
        }
        last = memory.resident;
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

fn options() -> Result<(usize, Wait), String> {
    let (mut count, mut wait): (usize, Wait) = (1_000_000, thread::park);
    for arg in env::args().skip(1) {
        match arg.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                exit(0);
            }
            "--sleep" => wait = || thread::park_timeout(Duration::from_secs(3600)),
            _ if arg.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ => {
                let number = arg.parse().ok().filter(|&number| number > 0);
                count = number.ok_or(format!("{arg} is not a number above 0"))?;
            }
        }
    }
    Ok((count, wait))
}
