//! The time limits of operations, and the cooperative budget of channels.

use std::panic::Location;
use std::time::{Duration, Instant};

use crate::green::budget::poll_budget;
use crate::sys::clock::{self, NEVER, Tick};

/// A limit as the caller has passed it; the clock is read only if the operation has to wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WaitLimit {
    Never,
    For(Duration),
    Until(Instant),
}

impl WaitLimit {
    #[inline(always)]
    pub(crate) fn tick(self) -> Tick {
        match self {
            WaitLimit::Never => NEVER,
            WaitLimit::For(timeout) => clock::after(timeout),
            WaitLimit::Until(deadline) => clock::ticks(deadline),
        }
    }
}

/// Charges the budget before an operation has any effect: threads whose channels are always ready
/// do not monopolise their worker.
#[inline(always)]
pub(crate) fn yield_point(at: &'static Location<'static>) {
    poll_budget(at);
}
