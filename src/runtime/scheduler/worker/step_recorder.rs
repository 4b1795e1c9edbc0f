//! How a batch runs its steps: traced (`traced.rs`), or not.

use super::super::unstarted_queue::Unstarted;
use crate::green::ThreadInner;

/// Runs the steps of a batch on the worker `W`, and may record them.
pub(super) trait StepRecorder<W> {
    /// Runs one step of a ready thread. Returns false if the thread needs a stack and there is
    /// none.
    fn resume(&mut self, worker: &W, green: &'static ThreadInner) -> bool;
    /// Starts a thread and runs its first step.
    fn start(&mut self, worker: &W, new: Unstarted);
    /// Starts a thread where that is not the usual case.
    fn start_slowly(&mut self, worker: &W, new: Unstarted);
}

/// Records nothing.
pub(super) struct Untraced;
