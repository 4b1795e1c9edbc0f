//! Merges pulses of different speeds with `select!` until a timer fires. After the `select` example
//! of Spool.
//!
//! What it shows: a green thread behind a channel is a source of events, and a timer is a channel
//! too. `select!` waits for all of them at once and says which one is ready.
//!
//! ```sh
//! cargo run --release --example pulse -- 1000
//! ```
//!
//! To try: add a fourth pulse; let a pulse end after three beats, and see what `select!` receives
//! from a channel that has no sender any more.

mod support;

use rustlet::channel::{Receiver, after, bounded, select, tick};
use rustlet::thread;

use std::process::ExitCode;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);

const HELP: &str = "\
[MILLISECONDS]

Merges pulses of different speeds until a timer fires.

MILLISECONDS    how long (default 1000)
--help          print this text";

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let length = args.number_word("MILLISECONDS", 0)?.unwrap_or(1_000);
        args.end()?;
        rustlet::run(|| merge(length * MILLISECOND));
        Ok(())
    })
}

fn merge(length: Duration) {
    let slow = pulse(250 * MILLISECOND);
    let fast = pulse(100 * MILLISECOND);
    // The same without a thread and without a count.
    let ticks = tick(400 * MILLISECOND);
    let end = after(length);
    let mut beats = 0;
    loop {
        select! {
            recv(slow) -> beat => println!("slow {}", beat.unwrap_or_default()),
            recv(fast) -> beat => println!("        fast {}", beat.unwrap_or_default()),
            recv(ticks) -> _ => println!("                tick"),
            recv(end) -> _ => break,
        }
        beats += 1;
    }
    println!("time is up after {beats} beats");
}

/// Starts a thread that counts beats. It ends when the receiver is dropped.
fn pulse(interval: Duration) -> Receiver<u32> {
    let (sender, receiver) = bounded(0);
    thread::spawn(move || {
        let mut count = 0;
        loop {
            thread::sleep(interval);
            count += 1;
            if sender.send(count).is_err() {
                break;
            }
        }
    });
    receiver
}
