//! Pulses of different speeds, merged, until the time is up. After the example for `select` in Spool.
//!
//! What it shows: a green thread behind a channel is a source of events; a timer is a channel too; `select!` waits for all of them at
//! once and says which came.
//!
//! ```sh
//! cargo run --release --example pulse -- 1000
//! ```
//!
//! The number says for how many milliseconds, 1000 if it is not given. To try: a fourth pulse; a pulse that ends after three beats, and
//! what `select!` says of a channel that nobody sends on any more.

use rustlet::channel::{Receiver, after, bounded, select, tick};
use rustlet::thread;

use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);

fn main() {
    let length = std::env::args().nth(1);
    let length = length.map_or(Ok(1000), |text| text.parse::<u32>());
    let Ok(length) = length else {
        eprintln!("usage: pulse [MILLISECONDS]");
        std::process::exit(2);
    };
    rustlet::run(|| merge(length * MILLISECOND));
}

fn merge(length: Duration) {
    let slow = pulse(250 * MILLISECOND);
    let fast = pulse(100 * MILLISECOND);
    // The same without a thread, and without a count.
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

/// Beats for ever, and counts. The thread ends when nobody listens any more.
fn pulse(every: Duration) -> Receiver<u32> {
    let (sender, receiver) = bounded(0);
    thread::spawn(move || {
        let mut count = 0;
        loop {
            thread::sleep(every);
            count += 1;
            if sender.send(count).is_err() {
                break;
            }
        }
    });
    receiver
}
