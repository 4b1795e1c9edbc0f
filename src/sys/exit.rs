#![allow(unsafe_code, reason = "calls C functions")]
//! The end of the process: hooks that run then, an immediate end, and an exit from a thread that
//! must not run C's `exit`.
//!
//! C's `exit` destroys the thread-locals of the OS thread that calls it, on the stack of the
//! caller. On the OS thread of a worker they may be borrowed by suspended green threads, and a
//! destructor that waits would let those continue. So [`exit_elsewhere`] has another OS thread call
//! it, and blocks its own for good.
//!
//! Any thread may call these functions.

use std::fmt;
use std::io::{self, Write as _};
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::shim::lock;

/// How long an exit waits for another thread that has locked std's stdout. std's own exit does not
/// wait for one.
const MAX_LOCK_WAIT: Duration = Duration::from_millis(50);

/// Prints the reason to stderr, which may be closed, and aborts.
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

static HOOKS: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Registers `f` to be called when `main` returns or the process exits. It must not unwind, nor
/// wait for another thread. It may be called twice: by [`exit_elsewhere`] on the thread that exits,
/// and then on the one that calls C's `exit`.
pub(crate) fn at_exit(f: fn()) {
    let mut hooks = lock(&HOOKS);
    if hooks.is_empty() {
        // SAFETY: a function that takes nothing and stays forever. There is always room for a few
        // registrations; if there is none, then the hook is not called, and the caller cannot help
        // it.
        let _refused = unsafe { libc::atexit(run_hooks) };
    }
    hooks.push(f);
}

extern "C" fn run_hooks() {
    let hooks = lock(&HOOKS).clone();
    for hook in hooks.into_iter().rev() {
        hook();
    }
}

/// Ends the process with `code`: as `std::process::exit`, but C's `exit` is called by an OS thread
/// that has no thread-locals of the user's. The calling OS thread never continues, nor does a later
/// caller's.
///
/// If no OS thread can be started, the process ends without running the handlers of C's `atexit`.
pub(crate) fn exit_elsewhere(code: i32) -> ! {
    static EXITS: AtomicBool = AtomicBool::new(false);
    if !EXITS.swap(true, Ordering::Relaxed) {
        // Runs here, because no other thread could write the output that this thread has locked.
        run_hooks();
        let (progress, watched) = channel();
        let exiting = std::thread::Builder::new().name("rustlet-exit".into());
        match exiting.spawn(move || exit_after(&watched, code)) {
            Ok(_never_joined) => flush_stds_stdout(progress),
            Err(error) => {
                let _unheard = writeln!(
                    io::stderr(),
                    "rustlet: no OS thread can be started to run the exit handlers, so the process exits without them: {error}"
                );
                // SAFETY: it has no precondition.
                unsafe { libc::_exit(code) };
            }
        }
    }
    stay_for_ever()
}

/// Writes the data that std's stdout has buffered. std's own exit does so unless another thread has
/// locked stdout: here the caller may be that other thread. Reports through `progress` when it has
/// the lock, and drops `progress` when it has written.
fn flush_stds_stdout(progress: Sender<()>) {
    let flush = move || {
        let mut stdout = io::stdout().lock();
        let _unheard = progress.send(());
        let _unheard = stdout.flush();
    };
    drop(catch_unwind(flush));
}

/// Exits when the caller of [`exit_elsewhere`] has flushed std's stdout, or cannot because another
/// thread has locked it.
fn exit_after(flushed: &Receiver<()>, code: i32) {
    if flushed.recv_timeout(MAX_LOCK_WAIT).is_ok() {
        let _gone = flushed.recv();
    }
    std::process::exit(code)
}
