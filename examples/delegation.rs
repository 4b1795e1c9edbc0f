//! How one thread of control hands work to another, and gets back what came of it. After Bluelet's example of that name.
//!
//! What it shows: where Bluelet needs `yield` to call a function that waits, here it is a plain call. To let it go on beside the caller, spawn it;
//! `join` gives its value, or its panic, which one may look at or let go on.
//!
//! ```sh
//! cargo run --release --example delegation
//! ```

use rustlet::thread;

use std::panic::{self, resume_unwind};

fn main() {
    // The panic below is part of the example: nobody needs to hear of it on stderr.
    panic::set_hook(Box::new(|_| {}));
    rustlet::run(parent);
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
            let why = payload.downcast_ref::<&str>().copied();
            println!("parent: caught '{}'", why.unwrap_or("something else"));
        }
    }
}

/// Works for a while, in which others have their turns too.
fn child(name: &str, value: u32) -> u32 {
    println!("  {name}: started");
    thread::yield_now();
    println!("  {name}: resumed");
    value
}

/// Passes on what its own child left it.
fn middle() {
    println!("  middle: started");
    let failing = thread::spawn(|| fail("nobody is perfect"));
    failing.join().unwrap_or_else(|payload| {
        println!("  middle: lets it go on");
        resume_unwind(payload)
    });
    println!("  middle: does not come as far as here");
}

fn fail(why: &'static str) {
    println!("    failing: started");
    thread::yield_now();
    panic::panic_any(why);
}
