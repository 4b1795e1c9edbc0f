//! Child processes for green threads: the names of [`std::process`].
//!
//! Starting a child, reading and writing its pipes and waiting for its end suspend the calling green thread only; from ordinary OS
//! threads they block, as std's do. Plain data ([`Stdio`], [`Output`], [`ExitStatus`], [`ExitCode`] and the like) is std's own,
//! re-exported, and takes our pipes as well as std's.
//!
//! What differs, and is not visible in signatures:
//!
//! - a [`Child`] that is dropped leaves no zombie: the child goes on, and is reaped when it ends;
//! - a call to start a child (`posix_spawn`, about a millisecond) is made on the runtime's pool of blocking OS threads, unless the
//!   command has a [`pre_exec`](crate::os::unix::process::CommandExt::pre_exec) closure, which sees the thread that spawns;
//! - [`exit`] on a green thread leaves the thread-locals of the worker alone; `std::process::exit` is unsound there;
//! - [`Child::wait_timeout`] has no counterpart in std.
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
mod collect;
mod command;
mod exit;
mod pipe;

pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, id,
};

use crate::green::context::home::has_worker;
use crate::sys::exit::exit_elsewhere;

pub use child::Child;
pub use command::Command;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};

/// Ends the process with an exit code: [`std::process::exit`] for green threads.
///
/// Destructors do not run, neither those on the stacks of OS threads and green threads nor those of thread-locals. What is buffered
/// for stdout, ours and std's, is written, and the handlers that C's `atexit` has are called. The other OS threads
/// go on until the process is gone, and so do the green threads of other workers; none of this worker takes another step. If
/// several threads exit at once, the first one's code counts.
///
/// `std::process::exit` is not for green threads, nor for code that a [`Worker`](crate::Worker) steps: on most systems it destroys
/// the `std::thread_local!`s of the calling OS thread, which other green threads of the worker may be using. A destructor among
/// them that waits lets these go on, and they find freed memory. So this function has an OS thread of its own call it;
/// if there is none to be had, a line on stderr says so, and the process ends without calling the handlers of `atexit`. On an OS
/// thread without green threads it is `std::process::exit`.
///
/// It never suspends or returns, and cannot be cancelled.
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
