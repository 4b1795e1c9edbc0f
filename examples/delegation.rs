//! How one thread hands work to another and gets the result back. After Bluelet's example of the
//! same name.
//!
//! What it shows: a function that waits is called like any other function. To let it run beside the
//! caller, spawn it; `join` returns its value, or its panic, which the caller may inspect or pass
//! on.
//!
//! ```sh
//! cargo run --release --example delegation
//! ```
//!
//! To try: replace `join` by `join_timeout`, or cancel the child before it is joined.

mod support;

use rustlet::thread;

use std::panic::{self, resume_unwind};
use std::process::ExitCode;

const HELP: &str = "\
[--help]

Calls a function, spawns it, joins it, and passes on a panic.";

fn main() -> ExitCode {
    support::main(HELP, |args| {
        args.end()?;
        // The panic below is part of the example and needs no message on stderr.
        panic::set_hook(Box::new(|_| {}));
        rustlet::run(parent);
        Ok(())
    })
}

fn parent() {
    println!("parent: a plain call");
    println!("parent: the child returned {}", child("called", 42));

    println!("parent: a thread beside me");
    let spawned = thread::spawn(|| child("spawned", 43));
    println!("parent: goes on meanwhile");
    match spawned.join() {
        Ok(value) => println!("parent: the child returned {value}"),
        Err(_) => println!("parent: the child panicked"),
    }

    println!("parent: a child that fails, in its own child");
    match thread::spawn(middle).join() {
        Ok(()) => println!("parent: the child did not fail"),
        Err(payload) => {
            let reason = payload.downcast_ref::<&str>().copied();
            println!("parent: caught '{}'", reason.unwrap_or("something else"));
        }
    }
}

/// Yields once between two steps, so that other threads run.
fn child(name: &str, value: u32) -> u32 {
    println!("  {name}: started");
    thread::yield_now();
    println!("  {name}: resumed");
    value
}

/// Passes on the panic of its own child.
fn middle() {
    println!("  middle: started");
    let failing = thread::spawn(|| fail("an example of a failure"));
    failing.join().unwrap_or_else(|payload| {
        println!("  middle: passes the panic on");
        resume_unwind(payload)
    });
    println!("  middle: is not reached");
}

fn fail(reason: &'static str) {
    println!("    failing: started");
    thread::yield_now();
    panic::panic_any(reason);
}
