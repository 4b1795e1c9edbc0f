//! How long a program takes to end that abandons its green threads.
//!
//! What it shows: `AtEnd::Abandon`. A million threads are parked when the first one, the closure of
//! `run`, returns. With the default, `AtEnd::Unwind`, each of them would be unwound; here the
//! runtime leaves them where they are, and `run` returns at once.
//!
//! ```sh
//! cargo run --release --example abandon
//! cargo run --release --example abandon -- 100000
//! ```

mod support;

use std::process::ExitCode;
use std::time::Instant;

use rustlet::runtime::{AtEnd, Builder};
use rustlet::sync::WaitGroup;

const HELP: &str = "\
[COUNT]

Starts green threads that wait, abandons them, and prints how long the end took.

COUNT       how many (default 1000000)
--help      print this text";

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let count = args.number_word("COUNT", 1)?.unwrap_or(1_000_000);
        args.end()?;
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
        let elapsed = returned.elapsed();
        println!("{count} threads abandoned: run returned after {elapsed:?}");
        Ok(())
    })
}
