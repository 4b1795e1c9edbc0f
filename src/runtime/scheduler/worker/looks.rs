//! Schedules a worker's looks for deadlocks: soon after its threads have begun to wait, and ever
//! more rarely while nothing changes.

use std::cell::Cell;

use crate::sys::clock::{NEVER, Tick};

/// How long a worker has nothing to run, or a thread waits for a lock, before the worker looks.
const FIRST_LOOK: Tick = 20_000_000;
/// The longest time between two looks.
pub(crate) const RARELY: Tick = 10_000_000_000;
/// A look may take one part in this many of the time.
const SHARE: Tick = 100;

/// The schedule of the next look.
pub(crate) struct Looks {
    pub(crate) at: Cell<Tick>,
    pub(crate) pause: Cell<Tick>,
    /// How long the last look took.
    pub(crate) cost: Cell<Tick>,
    /// Nothing has happened since a look that found nothing.
    pub(crate) is_settled: Cell<bool>,
    /// A thread has begun a wait that may close a cycle, and no look has come since.
    pub(crate) is_suspicious: Cell<bool>,
}

impl Looks {
    pub(crate) fn new() -> Looks {
        Looks {
            at: Cell::new(NEVER),
            pause: Cell::new(FIRST_LOOK),
            cost: Cell::new(0),
            is_settled: Cell::new(false),
            is_suspicious: Cell::new(false),
        }
    }

    fn first_pause(&self) -> Tick {
        FIRST_LOOK
            .max(self.cost.get().saturating_mul(SHARE))
            .min(RARELY)
    }

    /// Schedules a look soon.
    pub(crate) fn schedule(&self, now: Tick) {
        let pause = self.first_pause();
        self.pause.set(pause);
        self.at.set(self.at.get().min(now.saturating_add(pause)));
        self.is_settled.set(false);
    }

    /// Returns how long a worker with nothing to run may sleep before it looks.
    pub(crate) fn left(&self, now: Tick) -> Tick {
        if self.at.get() == NEVER {
            if self.is_settled.get() {
                return NEVER;
            }
            self.schedule(now);
        }
        self.at.get().saturating_sub(now)
    }
}
