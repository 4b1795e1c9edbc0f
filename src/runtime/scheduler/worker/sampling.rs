//! The state with which a worker counts its steps and to measure scheduling latencies: see
//! `measure.rs`.

use std::cell::Cell;

use crate::sys::clock::Tick;

/// See the module documentation.
pub(super) struct Sampling {
    /// How many times a thread was taken out of the run queue, or started, without being resumed by
    /// that.
    no_steps: Cell<usize>,
    /// When the last sample was taken.
    pub(super) sampled: Cell<Tick>,
}

impl Sampling {
    pub(super) fn new() -> Sampling {
        Sampling {
            no_steps: Cell::new(0),
            sampled: Cell::new(0),
        }
    }

    pub(super) fn no_steps(&self) -> usize {
        self.no_steps.get()
    }

    /// Notes that a thread was started and goes through the run queue, where it is counted; or that
    /// one was taken from the run queue and not resumed.
    pub(super) fn note_no_step(&self) {
        self.no_steps.set(self.no_steps.get() + 1);
    }
}
