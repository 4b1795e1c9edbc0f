//! Measures how busy a worker has been of late: the part of about the last second in which it did
//! not sleep.
//!
//! L1. Only its worker writes it, when the worker falls asleep and when it is awake again; any
//!     thread reads it.
//! L2. `changed` is written after `share`, and read before it. So a reader that sees when the
//!     present state began sees the share up to that moment, or up to a later one; if it mixes two
//!     of them, only that reading is wrong, and by one period of sleep or work.
//!
//! The state since the last change needs no write: the worker slept, or it was busy. So a worker
//! that one thread keeps computing looks busier all the time, although it gets to no bookkeeping.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::clock::Tick;

/// A period of this length counts as much as all the time before it.
const LOAD_WINDOW_NS: f64 = 1e9;
/// A difference below this part of a core is ignored: accepting many connections at once causes
/// that much, and it passes.
const MIN_SHARE_DIFFERENCE: f64 = 0.25;
/// The part of its core that a fully busy worker is assumed to have left.
const MIN_SPARE_SHARE: f64 = 0.02;

/// The load of one worker; see the module's text.
#[derive(Debug)]
pub(crate) struct Load {
    /// The part of the past in which the worker was awake, up to the last change; the bits of an
    /// `f64`.
    share: AtomicU64,
    /// When the worker last fell asleep or awoke, doubled; odd if it sleeps since then.
    changed: AtomicU64,
}

impl Load {
    /// Creates the load of a worker that has done nothing yet.
    pub(crate) fn new(now: Tick) -> Load {
        Load {
            share: AtomicU64::new(0f64.to_bits()),
            changed: AtomicU64::new(now << 1 | 1),
        }
    }

    /// Records that the worker goes to sleep now; only the worker calls it (L1).
    #[inline]
    pub(crate) fn note_sleep(&self, now: Tick) {
        self.change(now, 1);
    }

    /// Records that the worker is awake again; only the worker calls it (L1).
    #[inline]
    pub(crate) fn note_wake(&self, now: Tick) {
        self.change(now, 0);
    }

    /// Returns whether the worker sleeps, or has been woken and is not awake yet.
    #[inline]
    pub(crate) fn is_asleep(&self) -> bool {
        self.changed.load(Ordering::Relaxed) & 1 == 1
    }

    #[inline]
    fn change(&self, now: Tick, asleep: u64) {
        let share = self.share(now);
        self.share.store(share.to_bits(), Ordering::Release);
        self.changed.store(now << 1 | asleep, Ordering::Release);
    }

    /// Returns the part of its time that the worker is awake: from 0, always asleep, to 1, never
    /// asleep.
    #[inline]
    fn share(&self, now: Tick) -> f64 {
        // L2.
        let changed = self.changed.load(Ordering::Acquire);
        let share = f64::from_bits(self.share.load(Ordering::Acquire));
        let since = now.saturating_sub(changed >> 1) as f64;
        let is_busy = (changed & 1 ^ 1) as f64;
        share + (is_busy - share) * (since / (since + LOAD_WINDOW_NS))
    }

    /// Returns what is left of the two cores, if one has clearly more left than the other.
    pub(crate) fn spare(&self, other: &Load, now: Tick) -> Option<(f64, f64)> {
        let (mine, others) = (self.share(now), other.share(now));
        let room = |share: f64| (1.0 - share).max(MIN_SPARE_SHARE);
        ((mine - others).abs() > MIN_SHARE_DIFFERENCE).then(|| (room(mine), room(others)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Tick = 1_000_000;

    /// Alternates between work and sleep until `end`.
    fn go_on(load: &Load, from: Tick, end: Tick, works: Tick, sleeps: Tick) {
        let mut now = from;
        while now < end {
            load.note_wake(now);
            load.note_sleep(now + works);
            now += works + sleeps;
        }
    }

    #[test]
    fn share_converges_to_the_busy_part_of_the_time() {
        let load = Load::new(0);
        go_on(&load, 0, 10_000 * MS, MS, 3 * MS);
        assert!((load.share(10_000 * MS) - 0.25).abs() < 0.01);
    }

    #[test]
    fn a_burst_is_ignored_and_a_second_of_work_is_a_difference() {
        let (working, sleeping) = (Load::new(0), Load::new(0));
        working.note_wake(0);
        assert_eq!(working.spare(&sleeping, 100 * MS), None);
        let (left, whole) = working.spare(&sleeping, 1_000 * MS).unwrap();
        assert!((left - 0.5).abs() < 0.01 && whole == 1.0, "{left} {whole}");
    }

    #[test]
    fn work_before_a_long_sleep_is_forgotten() {
        let (one, other) = (Load::new(0), Load::new(0));
        one.note_wake(0);
        one.note_sleep(10_000 * MS);
        assert!(one.spare(&other, 10_000 * MS).is_some());
        assert_eq!(one.spare(&other, 60_000 * MS), None);
    }
}
