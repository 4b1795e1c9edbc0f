//! What is decided about a runtime before it starts, as plain data.

use std::time::Duration;

use super::inspect::report::Reporter;
use crate::stack::StackSize;

/// What becomes of the green threads that are still alive when their runtime ends. See
/// [`Builder::at_end`](super::Builder::at_end).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AtEnd {
    /// They are cancelled: they unwind, and their destructors run. The default.
    #[default]
    Unwind,
    /// They never run again, and nothing of theirs is dropped, as with OS threads at the end of a
    /// program.
    Abandon,
}

/// What is done about a deadlock. See [`Builder::on_deadlock`](super::Builder::on_deadlock).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnDeadlock {
    /// It is reported on stderr, once. The default.
    #[default]
    Report,
    /// The green threads of the runtime are cancelled, and [`run`](crate::run) panics with the
    /// report.
    Panic,
    /// It is reported, and the process is aborted.
    Abort,
    /// Nothing: no worker looks for deadlocks.
    Ignore,
}

/// What the builder decided.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The OS threads are called after it.
    pub(crate) name: Box<str>,
    pub(crate) stack: StackSize,
    /// Of a first green thread.
    pub(crate) first_stack: StackSize,
    pub(crate) max_threads: usize,
    pub(crate) blocking_threads: usize,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) at_end: AtEnd,
    pub(crate) on_deadlock: OnDeadlock,
    pub(crate) reporter: Reporter,
    /// The system's if none.
    pub(crate) timer_slack: Option<Duration>,
}
