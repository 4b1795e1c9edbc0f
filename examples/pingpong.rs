//! A counter and a printer, which talk to each other. After the example of Kiwi's tasklets.
//!
//! What it shows: two green threads, each a loop of its own, that hand each other messages over channels without room
//! in them: whoever sends waits until it is received. When one ends, its channels do, and the other sees that.
//!
//! ```sh
//! cargo run --release --example pingpong -- 5
//! ```
//!
//! The number says how far to count, 10 if it is not given. To try: a million of them, with the output to `/dev/null`; each is two round
//! trips from thread to thread.

use rustlet::channel::{Receiver, Sender, bounded};
use rustlet::thread;

/// What the counter says to the printer.
struct Count(u64);

/// What the printer says to the counter.
enum Order {
    Next,
    Stop,
}

fn main() {
    let last = std::env::args().nth(1);
    let last = last.map_or(Ok(10), |text| text.parse::<u64>());
    let Ok(last) = last else {
        eprintln!("usage: pingpong [HOW-FAR]");
        std::process::exit(2);
    };
    rustlet::run(|| {
        let (counts, counted) = bounded(0);
        let (orders, ordered) = bounded(0);
        thread::scope(|scope| {
            scope.spawn(move || counter(&ordered, &counts));
            scope.spawn(move || printer(&counted, &orders, last));
        });
    });
    println!("both have ended");
}

/// Counts when it is told to.
fn counter(orders: &Receiver<Order>, printer: &Sender<Count>) {
    for count in 1.. {
        match orders.recv() {
            Ok(Order::Next) => {}
            Ok(Order::Stop) | Err(_) => break,
        }
        if printer.send(Count(count)).is_err() {
            break;
        }
    }
}

/// Prints what it is told, until it has had enough.
fn printer(counts: &Receiver<Count>, counter: &Sender<Order>, last: u64) {
    let mut order = if last > 0 { Order::Next } else { Order::Stop };
    while counter.send(order).is_ok() {
        let Ok(Count(count)) = counts.recv() else {
            break;
        };
        println!("{count}");
        order = if count < last {
            Order::Next
        } else {
            Order::Stop
        };
    }
}
