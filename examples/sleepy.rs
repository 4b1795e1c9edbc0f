//! Sorts numbers by sleeping: a green thread for each, which sleeps so long and then says its number.
//!
//! What it shows: `thread::sleep` suspends one green thread, so all sleep at the same time, on one OS thread; the program takes as long as the longest.
//!
//! ```sh
//! cargo run --release --example sleepy -- 30 10 20
//! ```
//!
//! The numbers are milliseconds. To try: `--example sleepy -- $(shuf -i 1-1000 -n 500)`.
#![allow(
    clippy::disallowed_methods,
    reason = "rules for the inside of the library, not for programs"
)]

use rustlet::thread;

use std::env::args;
use std::io;
use std::process::exit;
use std::time::{Duration, Instant};

fn main() -> io::Result<()> {
    let numbers: Result<Vec<u32>, _> = args().skip(1).map(|text| text.parse()).collect();
    let numbers = match numbers {
        Ok(numbers) if !numbers.is_empty() => numbers,
        _ => {
            eprintln!("usage: sleepy MILLISECONDS...");
            exit(2);
        }
    };
    // With one worker there is one row of timers, and numbers that are near to each other wake in order.
    rustlet::Builder::new()
        .workers(1)
        .build()?
        .run(|| sort(&numbers));
    Ok(())
}

fn sort(numbers: &[u32]) {
    let begin = Instant::now();
    thread::scope(|scope| {
        for &number in numbers {
            scope.spawn(move || {
                thread::sleep_until(begin + Duration::from_millis(number.into()));
                println!("{number}");
            });
        }
    });
    let all: u64 = numbers.iter().copied().map(u64::from).sum();
    println!("slept {all} ms in {} ms", begin.elapsed().as_millis());
}
