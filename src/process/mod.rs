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
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};

pub use child::Child;
pub use command::Command;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
