//! A million green threads at once, each with its own stack and a guard below it.
//!
//! What it shows: how long it takes to start them and to wake them, how much memory they hold, and
//! how much of it goes back to the system afterwards.
//!
//! ```sh
//! cargo run --release --example million
//! cargo run --release --example million -- 100000 --brief
//! ```
//!
//! To try: `-- --sleep`, where each thread has a timer of its own.

mod support;

use rustlet::thread;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{fs, io};

const HELP: &str = "\
[OPTIONS] [COUNT]

Starts green threads that wait, wakes them all, and prints what they cost.

COUNT       how many (default 1000000)
--sleep     each sleeps with its own timer until it is woken
--brief     watch the memory for one second after the end, not for thirty
--help      print this text";

/// Threads that are about to wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);
static WAKE: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let wait: fn() = if args.flag("--sleep") {
            || thread::park_timeout(Duration::from_secs(3600))
        } else {
            thread::park
        };
        let watch = Duration::from_secs(if args.flag("--brief") { 1 } else { 30 });
        let count = args.number_word("COUNT", 1)?.unwrap_or(1_000_000) as usize;
        args.end()?;
        rustlet::run(|| million(count, wait, watch))?;
        println!("{:<28}{}", "the runtime has ended", Memory::now()?);
        Ok(())
    })
}

/// Starts `count` threads that call `wait`, wakes and joins them, and watches the memory for so
/// long.
fn million(count: usize, wait: fn(), watch: Duration) -> io::Result<()> {
    // The handles belong to the program, not to the threads: allocated before the first
    // measurement.
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

    // The runtime keeps stacks for a while, for the next threads.
    for seconds in [1, 2, 5, 10, 20, 30] {
        if seconds > watch.as_secs() {
            break;
        }
        thread::sleep_until(begin + woken + Duration::from_secs(seconds));
        println!("{:<28}{}", format!("{seconds} s later"), Memory::now()?);
    }
    Ok(())
}

/// The memory of this process in bytes, as the kernel counts it.
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
