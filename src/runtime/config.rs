//! The configuration of a runtime, as plain data.

use std::time::Duration;

use super::inspect::report::Reporter;
use crate::stack::StackSize;

/// Policy for green threads that are still alive when their runtime ends. See
/// [`Builder::at_end`](super::Builder::at_end).
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{AtEnd, Builder};
///
/// let runtime = Builder::new().at_end(AtEnd::Unwind).build()?;
/// let (sender, receiver) = rustlet::channel::bounded::<()>(0);
/// runtime.spawn(move || receiver.recv());
/// drop(runtime);
/// // The thread has unwound, and dropped its receiver.
/// assert!(sender.send(()).is_err());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AtEnd {
    /// Cancels them: they unwind, and their destructors run. The default.
    #[default]
    Unwind,
    /// Never runs them again and drops nothing of theirs, as with OS threads at the end of a
    /// program.
    Abandon,
}

/// Reaction of a runtime to a deadlock. See [`Builder::on_deadlock`](super::Builder::on_deadlock).
///
/// # Examples
///
/// ```
/// use rustlet::runtime::{Builder, OnDeadlock};
///
/// // A deadlock in a test fails the test instead of hanging it.
/// let runtime = Builder::new().on_deadlock(OnDeadlock::Panic).build()?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnDeadlock {
    /// Reports it once, on stderr or to the [hook](super::Builder::on_report). The default.
    #[default]
    Report,
    /// Cancels the green threads of the runtime; [`run`](crate::run) panics with the report.
    Panic,
    /// Reports it, and aborts the process.
    Abort,
    /// Ignores it: no worker looks for deadlocks.
    Ignore,
}

/// The settings of a runtime, with the builder's defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Prefix of the names of the OS threads.
    pub(crate) name: Box<str>,
    pub(crate) stack: StackSize,
    /// The stack size of a first green thread (the function of `run`).
    pub(crate) first_stack: StackSize,
    pub(crate) max_threads: usize,
    pub(crate) blocking_threads: usize,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) at_end: AtEnd,
    pub(crate) on_deadlock: OnDeadlock,
    pub(crate) reporter: Reporter,
    /// `None`: the system's timer slack.
    pub(crate) timer_slack: Option<Duration>,
}
