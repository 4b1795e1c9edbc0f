//! A counter and a printer that send each other messages. After the tasklet example of Kiwi.
//!
//! What it shows: two green threads, each with its own loop, over channels without a buffer: a
//! sender waits until its message is received. When one thread ends, its channels close and the
//! other one sees that.
//!
//! ```sh
//! cargo run --release --example pingpong -- 5
//! ```
//!
//! To try: count to a million with the output to `/dev/null`; each number takes two messages.

mod support;

use rustlet::channel::{Receiver, Sender, bounded};
use rustlet::thread;

use std::process::ExitCode;

const HELP: &str = "\
[LAST]

Counts with two threads that send each other messages.

LAST      the last number (default 10)
--help    print this text";

/// What the counter sends to the printer.
struct Count(u64);

/// What the printer sends to the counter.
enum Command {
    Next,
    Stop,
}

fn main() -> ExitCode {
    support::main(HELP, |args| {
        let last = args.number_word("LAST", 0)?.unwrap_or(10).into();
        args.end()?;
        rustlet::run(|| {
            let (counts, counted) = bounded(0);
            let (commands, commanded) = bounded(0);
            thread::scope(|scope| {
                scope.spawn(move || counter(&commanded, &counts));
                scope.spawn(move || printer(&counted, &commands, last));
            });
        });
        println!("both have ended");
        Ok(())
    })
}

/// Sends the next number for each command.
fn counter(commands: &Receiver<Command>, printer: &Sender<Count>) {
    for count in 1.. {
        match commands.recv() {
            Ok(Command::Next) => {}
            Ok(Command::Stop) | Err(_) => break,
        }
        if printer.send(Count(count)).is_err() {
            break;
        }
    }
}

/// Prints numbers until the last one.
fn printer(counts: &Receiver<Count>, counter: &Sender<Command>, last: u64) {
    let mut printed = 0;
    loop {
        let is_last = printed >= last;
        let command = if is_last {
            Command::Stop
        } else {
            Command::Next
        };
        if counter.send(command).is_err() || is_last {
            break;
        }
        let Ok(Count(count)) = counts.recv() else {
            break;
        };
        println!("{count}");
        printed = count;
    }
}
