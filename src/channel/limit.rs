//! For how long an operation waits, and when one that does not wait gives way.

use std::panic::Location;
use std::time::{Duration, Instant};

use crate::green::budget::spend;
use crate::sys::clock::{self, NEVER, Tick};

/// As the caller said it; the clock is read only if there is something to wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Never,
    For(Duration),
    Until(Instant),
}

impl Limit {
    #[inline(always)]
    pub(crate) fn tick(self) -> Tick {
        match self {
            Limit::Never => NEVER,
            Limit::For(timeout) => clock::after(timeout),
            Limit::Until(deadline) => clock::ticks(deadline),
        }
    }
}

/// Before an operation has any effect: those whose channels are always ready do not keep their worker to themselves.
#[inline(always)]
pub(crate) fn give_way(at: &'static Location<'static>) {
    spend(at);
}
