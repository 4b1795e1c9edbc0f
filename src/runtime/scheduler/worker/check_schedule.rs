//! Schedules a worker's checks for deadlocks: soon after its threads have begun to wait, and ever
//! more rarely while nothing changes.

use std::cell::Cell;

use crate::sys::clock::{NEVER, Tick};

/// How long a worker has nothing to run, or a thread waits for a lock, before the worker checks.
const FIRST_CHECK_AFTER_NS: Tick = 20_000_000;
/// The longest time between two checks.
pub(crate) const MAX_CHECK_PAUSE_NS: Tick = 10_000_000_000;
/// The time between two checks is at least this many times the length of a check.
const MIN_PAUSE_PER_COST: Tick = 100;

/// The schedule of the next check.
pub(crate) struct CheckSchedule {
    pub(crate) at: Cell<Tick>,
    pub(crate) pause: Cell<Tick>,
    /// How long the last check took.
    pub(crate) cost: Cell<Tick>,
    /// Nothing has happened since a check that found nothing.
    pub(crate) is_unchanged: Cell<bool>,
    /// A thread has begun a wait that may close a cycle, and no check has come since.
    pub(crate) is_suspicious: Cell<bool>,
}

impl CheckSchedule {
    pub(crate) fn new() -> CheckSchedule {
        CheckSchedule {
            at: Cell::new(NEVER),
            pause: Cell::new(FIRST_CHECK_AFTER_NS),
            cost: Cell::new(0),
            is_unchanged: Cell::new(false),
            is_suspicious: Cell::new(false),
        }
    }

    fn first_pause(&self) -> Tick {
        FIRST_CHECK_AFTER_NS
            .max(self.cost.get().saturating_mul(MIN_PAUSE_PER_COST))
            .min(MAX_CHECK_PAUSE_NS)
    }

    /// Schedules a check soon.
    pub(crate) fn schedule(&self, now: Tick) {
        let pause = self.first_pause();
        self.pause.set(pause);
        self.at.set(self.at.get().min(now.saturating_add(pause)));
        self.is_unchanged.set(false);
    }

    /// Returns how long a worker with nothing to run may sleep before it checks.
    pub(crate) fn left(&self, now: Tick) -> Tick {
        if self.at.get() == NEVER {
            if self.is_unchanged.get() {
                return NEVER;
            }
            self.schedule(now);
        }
        self.at.get().saturating_sub(now)
    }
}
