#![allow(unsafe_code, reason = "a call of C's")]
//! What is done when the process ends, and how it ends at once.
//!
//! Owns nothing; any thread may call.

use std::fmt;
use std::io::{self, Write as _};

/// Says why on stderr, which may be closed, and aborts.
#[cold]
pub(crate) fn abort(why: fmt::Arguments<'_>) -> ! {
    let _unheard = writeln!(io::stderr(), "rustlet: {why}; aborting");
    std::process::abort()
}

/// Blocks the calling OS thread for the rest of the process.
#[cold]
pub(crate) fn stay_for_ever() -> ! {
    loop {
        #[allow(
            clippy::disallowed_methods,
            reason = "nothing else runs on this OS thread"
        )]
        std::thread::park();
    }
}

/// Lets `f` be called when `main` returns or somebody calls `std::process::exit`, on the thread that does. It must not unwind, nor wait for
/// another thread.
pub(crate) fn at_exit(f: extern "C" fn()) {
    // SAFETY: a function that takes nothing and stays for ever. There is always room for a few of them; if there is none, then
    // nothing is called, which the caller can do nothing about.
    let _refused = unsafe { libc::atexit(f) };
}
