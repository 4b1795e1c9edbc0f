//! Sorts numbers by sleeping: one green thread for each, which sleeps that long and prints its
//! number.
//!
//! What it shows: `thread::sleep` suspends one green thread. All of them sleep at the same time on
//! one OS thread, so the program takes as long as the largest number.
//!
//! ```sh
//! cargo run --release --example sleepy -- 30 10 20
//! ```
//!
//! To try: `cargo run --release --example sleepy -- $(shuf -i 1-1000 -n 500)`.

mod support;

use rustlet::thread;

use std::process::ExitCode;
use std::time::{Duration, Instant};

const HELP: &str = "\
MILLISECONDS...

Sorts numbers by sleeping.

MILLISECONDS    one or more numbers
--help          print this text";

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let mut numbers = Vec::new();
        while let Some(number) = args.number_word("MILLISECONDS", 0)? {
            numbers.push(number);
        }
        args.end()?;
        if numbers.is_empty() {
            return Err(support::misuse("nothing to sort"));
        }
        // One worker has one queue of timers, so numbers that are close together wake in order.
        let runtime = rustlet::Builder::new().workers(1).build()?;
        runtime.run(|| sort(&numbers));
        Ok(())
    })
}

fn sort(numbers: &[u32]) {
    let start = Instant::now();
    thread::scope(|scope| {
        for &number in numbers {
            scope.spawn(move || {
                thread::sleep_until(start + Duration::from_millis(number.into()));
                println!("{number}");
            });
        }
    });
    let total: u64 = numbers.iter().copied().map(u64::from).sum();
    println!("slept {total} ms in {} ms", start.elapsed().as_millis());
}
