//! How long a program takes to end that abandons its green threads: `abandon [COUNT]`.
//!
//! A million threads are parked when the first one, the closure of `run`, returns. With the
//! default, `AtEnd::Unwind`, each would be unwound; with `AtEnd::Abandon` the runtime leaves them
//! where they are, and `run` returns at once.

use std::time::Instant;

use rustlet::runtime::{AtEnd, Builder};
use rustlet::sync::WaitGroup;

fn main() -> std::io::Result<()> {
    let count = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |count| count.parse());
    let count: usize = count.map_err(std::io::Error::other)?;
    let runtime = Builder::new().at_end(AtEnd::Abandon).build()?;
    let returned = runtime.run(move || {
        let all_run = WaitGroup::new();
        for _ in 0..count {
            let runs = all_run.clone();
            rustlet::spawn(move || {
                drop(runs);
                rustlet::park();
            });
        }
        all_run.wait();
        Instant::now()
    });
    println!(
        "{count} threads abandoned: run returned after {:?}",
        returned.elapsed()
    );
    Ok(())
}
