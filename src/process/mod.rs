//! Child processes for green threads: the API of [`std::process`].
//!
//! Starting a child, reading and writing its pipes and waiting for its end suspend only the calling
//! green thread; on an OS thread they block, as in std. Plain data ([`Stdio`], [`Output`],
//! [`ExitStatus`], [`ExitCode`] and so on) is std's own, reexported, and accepts our pipes as well
//! as std's.
//!
//! Differences from std that signatures do not show:
//!
//! - a [`Child`] that is dropped leaves no zombie: the child keeps running, and is reaped when it
//!   ends;
//! - the call that starts a child (`posix_spawn`, about a millisecond) is made on the runtime's
//!   pool of blocking OS threads, unless the command has a
//!   [`pre_exec`](crate::os::unix::process::CommandExt::pre_exec) closure, which sees the spawning
//!   thread;
//! - [`exit`] on a green thread leaves the thread-locals of the worker alone; `std::process::exit`
//!   is unsound there;
//! - [`Child::wait_timeout`] has no counterpart in std.
//!
//! # Examples
//!
//! ```
//! use rustlet::process::Command;
//!
//! rustlet::run(|| {
//!     let output = Command::new("echo").arg("hello").output()?;
//!     assert!(output.status.success());
//!     assert_eq!(output.stdout, b"hello\n");
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```

mod child;
mod command;
mod exit;
mod output_reader;
mod pipe;

pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, id,
};

use crate::green::context::worker_context::has_worker;
use crate::sys::exit::exit_elsewhere;

pub use child::Child;
pub use command::Command;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};

/// Ends the process with an exit code: [`std::process::exit`] for green threads.
///
/// Destructors do not run, neither on the stacks of OS threads and green threads nor of
/// thread-locals. Buffered data for stdout, ours and std's, is written, and the handlers of C's
/// `atexit` are called. The other OS threads go on until the process ends, and so do the green
/// threads of other workers; none of this worker runs again. If several threads exit at the same
/// time, the first one's code counts.
///
/// Do not call `std::process::exit` in green threads, or in code that a [`Worker`](crate::Worker)
/// steps: on most systems it destroys the `std::thread_local!`s of the calling OS thread, which
/// other green threads of the worker may be using. A destructor among them that waits lets these go
/// on, and they find freed memory. So this function lets an OS thread of its own call it; if none
/// can be created, it reports that on stderr and ends the process without calling the handlers of
/// `atexit`. On an OS thread without green threads it is `std::process::exit`.
///
/// # Suspends
///
/// Never suspends or returns, and cannot be cancelled.
///
/// # Examples
///
/// ```no_run
/// rustlet::run(|| {
///     rustlet::spawn(|| rustlet::process::exit(3));
///     rustlet::park();
/// });
/// ```
pub fn exit(code: i32) -> ! {
    if has_worker() {
        exit_elsewhere(code)
    } else {
        std::process::exit(code)
    }
}
